//! What does not fit together: contradictions are refused, and what is legal but odd gets a sentence and a remedy.

use std::fmt;

use super::address::{Address, Family, Host, HostPort, Kind, Options, UnixSocket};
use super::bench;
use super::datagram::{ConnectUdp, ListenUdp, SendUdp};
use super::{AfterPeerEof, Check, Connect, EventSink, Flow, Listen, Local, Plan, Transfer};
use super::{datagram, dialogue, pipe, policy, proof, relay, role, serving, way};
use crate::error::{Error, Op};

/// One sentence on a request that is legal but odd, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Lower case, no full stop; control characters escaped.
    pub sentence: String,
    /// What to type instead.
    pub remedy: String,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; try: {}", self.sentence, self.remedy)
    }
}

/// Two parts of a request that contradict each other: `cannot use A with B: WHY`.
pub fn clash(a: &str, b: &str, why: &str, remedy: &str) -> Error {
    Error::said(Op::Use, format!("{a} with {b}"), why).with_advice(remedy)
}

/// One part of a request that means nothing without another: `cannot use A without B: WHY`.
pub fn lonely(a: &str, b: &str, why: &str, remedy: &str) -> Error {
    Error::said(Op::Use, format!("{a} without {b}"), why).with_advice(remedy)
}

/// Completes a plan: refuses endpoints that make no sense in their role and contradictions, decides the direction where
/// a kind has only one, and notes what is odd. `flags` are the endpoint options that were given as flags.
///
/// # Errors
/// The first thing that cannot work, with status 2; with status 7 what haul refuses by its own policy.
pub fn settle(plan: &mut Plan, flags: &Options) -> Result<(), Error> {
    match plan {
        Plan::Listen(plan) => listen(plan, flags),
        Plan::Connect(plan) => connect(plan, flags),
        Plan::Check(plan) => check(plan, flags),
        Plan::Pipe(plan) => pipe::settle(plan, flags),
        Plan::SendUdp(plan) => send_udp(plan, flags),
        Plan::ListenUdp(plan) => listen_udp(plan, flags),
        Plan::ConnectUdp(plan) => connect_udp(plan, flags),
        Plan::Relay(plan) => relay::settle(plan, flags),
        Plan::Bench(plan) => bench::settle(plan, flags),
    }
}

fn listen(plan: &mut Listen, flags: &Options) -> Result<(), Error> {
    directions(&plan.transfer, &plan.local)?;
    packets(&plan.transfer, &plan.at)?;
    family(&plan.at)?;
    // before the direction of a FIFO is decided, so that only what was typed is judged
    let mut odd = unused(flags, std::slice::from_ref(&plan.at));
    let typed = plan.transfer.stdin;
    let proof = proof::listen(plan)?;
    odd.extend(serving::settle(plan)?);
    odd.extend(proof);
    // that many clients, or --out, leave standard input alone makes flags about it odd, but nobody has typed -d
    let shutdown = plan.transfer.shutdown || typed != plan.transfer.stdin;
    odd.extend(odd_transfer(&Transfer { shutdown, ..plan.transfer.clone() }));
    role::listen(plan)?;
    same_descriptor(plan.announce.ready_fd, plan.report.events.as_ref())?;
    policy::programs_and_the_world(&plan.at, policy::runs_program(&plan.local), &plan.serving)?;
    plan.report.advice = odd;
    Ok(())
}

fn connect(plan: &mut Connect, flags: &Options) -> Result<(), Error> {
    directions(&plan.transfer, &plan.local)?;
    packets(&plan.transfer, &plan.to)?;
    family(&plan.to)?;
    let mut odd = unused(flags, std::slice::from_ref(&plan.to));
    let banner = dialogue::opening(&plan.dialogue);
    let typed = plan.transfer.stdin;
    odd.extend(proof::connect(plan)?);
    let shutdown = plan.transfer.shutdown || typed != plan.transfer.stdin;
    odd.extend(odd_transfer(&Transfer { banner, shutdown, ..plan.transfer.clone() }));
    let dialled = matches!(plan.to.kind, Kind::Tcp(_) | Kind::Unix(..) | Kind::Path(_));
    if plan.wait.is_some() && !dialled {
        odd.push(advice(&format!("--wait changes nothing for {}", plan.to), "the command without it"));
    }
    role::connect(plan)?;
    way::settle(&plan.to)?;
    relay::is_introduced(&plan.to, plan.proxy_send)?;
    dialogue::settle(plan)?;
    plan.report.advice = odd;
    Ok(())
}

fn check(plan: &mut Check, flags: &Options) -> Result<(), Error> {
    for target in &plan.targets {
        family(target)?;
        role::check(target)?;
        way::settle(target)?;
    }
    plan.report.advice.extend(unused(flags, &plan.targets));
    Ok(())
}

fn send_udp(plan: &mut SendUdp, flags: &Options) -> Result<(), Error> {
    family(&plan.to)?;
    role::send_to(&plan.to)?;
    plan.report.advice.extend(unused(flags, std::slice::from_ref(&plan.to)));
    plan.report.advice.extend(datagram::send(plan)?);
    Ok(())
}

fn connect_udp(plan: &mut ConnectUdp, flags: &Options) -> Result<(), Error> {
    family(&plan.to)?;
    role::exchange_with(&plan.to)?;
    plan.report.advice.extend(unused(flags, std::slice::from_ref(&plan.to)));
    plan.report.advice.extend(datagram::connect(plan)?);
    Ok(())
}

fn listen_udp(plan: &mut ListenUdp, flags: &Options) -> Result<(), Error> {
    role::hear_at(&plan.at)?;
    family(&plan.at)?;
    let odd = datagram::listen(plan)?;
    same_descriptor(plan.announce.ready_fd, plan.report.events.as_ref())?;
    policy::programs_and_the_world(&plan.at, policy::runs_program(&plan.local), &plan.serving)?;
    plan.report.advice.extend(unused(flags, std::slice::from_ref(&plan.at)));
    plan.report.advice.extend(odd);
    Ok(())
}

fn directions(transfer: &Transfer, local: &Local) -> Result<(), Error> {
    match transfer.flow {
        _ if !transfer.stdin && policy::runs_program(local) => {
            let why = "what the program writes is sent, and standard input is not read anyway";
            Err(clash("-d", "a program", why, "it without -d"))
        }
        Flow::SendOnly if !transfer.stdin => Err(clash("-d", "--send-only", "nothing is left to move", "one of them")),
        Flow::ReceiveOnly if !transfer.stdin => {
            let why = "-d leaves the sending side open, --recv-only ends it";
            Err(clash("-d", "--recv-only", why, "one of them"))
        }
        Flow::ReceiveOnly if !transfer.shutdown => {
            let why = "--recv-only ends the sending side at once";
            Err(clash("--recv-only", "--no-shutdown", why, "-d, which leaves it open"))
        }
        _ => Ok(()),
    }
}

/// A layer hands on bytes as they fit, and each piece would be a packet.
fn packets(transfer: &Transfer, address: &Address) -> Result<(), Error> {
    match &address.kind {
        Kind::Unix(_, UnixSocket::Seqpacket) if transfer.crlf => {
            let why = "longer lines could split a packet in two";
            Err(clash("-C", &address.to_string(), why, "it without -C"))
        }
        _ => Ok(()),
    }
}

/// `-4`, `-6` and `-n` against what the host is written as.
pub(super) fn family(address: &Address) -> Result<(), Error> {
    let address = &address.dialled();
    let (Kind::Tcp(at) | Kind::Udp(at)) = &address.kind else { return Ok(()) };
    hops(address, at)?;
    let source = address.options.source.as_ref();
    for (host, shown) in std::iter::once((&at.host, at.to_string())).chain(source.map(|host| (host, host.to_string())))
    {
        match (host, address.options.family) {
            (Host::V4(_), Some(Family::V6)) => {
                return Err(clash("-6", &shown, "that is an IPv4 address", "it without -6"));
            }
            (Host::V6(..), Some(Family::V4)) => {
                return Err(clash("-4", &shown, "that is an IPv6 address", "it without -4"));
            }
            (Host::Name(_), _) if address.options.numeric => {
                return Err(clash("-n", &shown, "the host is a name", "its address, or it without -n"));
            }
            _ => {}
        }
    }
    match (&at.host, source) {
        (Host::V4(_), Some(from @ Host::V6(..))) | (Host::V6(..), Some(from @ Host::V4(_))) => {
            let why = "the addresses are of two families";
            Err(clash(&format!("-s {from}"), &at.to_string(), why, "both of one family"))
        }
        _ => Ok(()),
    }
}

/// A hop limit of 0 keeps what is sent to a group on this machine, and anything else from being sent at all.
fn hops(address: &Address, at: &HostPort) -> Result<(), Error> {
    let group = matches!(address.kind, Kind::Udp(_)) && datagram::is_group(&at.host) != Some(false);
    if address.options.ttl == Some(0) && !group {
        return Err(clash(
            "--ttl 0",
            &at.to_string(),
            "only to a multicast group a packet may have no hop",
            "1 to 255",
        ));
    }
    Ok(())
}

pub(super) fn same_descriptor(ready_fd: Option<i32>, events: Option<&EventSink>) -> Result<(), Error> {
    match (ready_fd, events) {
        (Some(ready), Some(EventSink::Fd(events))) if ready == *events => {
            let why = "--ready-fd closes its descriptor";
            Err(clash("--ready-fd", "--events on one descriptor", why, "another descriptor for one of them"))
        }
        _ => Ok(()),
    }
}

/// Flags that name an option which none of these endpoints has.
pub(super) fn unused(flags: &Options, addresses: &[Address]) -> Vec<Advice> {
    type Given = fn(&Options) -> bool;
    let table: [(Given, &str); 24] = [
        (|options| options.family.is_some(), "-4 or -6"),
        (|options| options.numeric, "-n"),
        (|options| options.source.is_some(), "-s"),
        (|options| options.source_port.is_some(), "-p"),
        (|options| options.iface.is_some(), "--iface"),
        (|options| options.nodelay, "--nodelay"),
        (|options| options.keepalive.is_some(), "--keepalive"),
        (|options| options.user_timeout.is_some(), "--user-timeout"),
        (|options| options.rcvbuf.is_some(), "--rcvbuf"),
        (|options| options.sndbuf.is_some(), "--sndbuf"),
        (|options| options.dscp.is_some(), "--dscp"),
        (|options| options.ttl.is_some(), "--ttl"),
        (|options| options.congestion.is_some(), "--congestion"),
        (|options| options.mptcp, "--mptcp"),
        (|options| options.mode.is_some(), "--mode"),
        (|options| options.broadcast, "-b"),
        (|options| options.loopback.is_some(), "--loop"),
        (|options| options.df, "--df"),
        (|options| options.web.message.is_some(), "--text or --binary"),
        (|options| !options.web.header.is_empty(), "-H"),
        (|options| !options.web.subprotocol.is_empty(), "--subprotocol"),
        (|options| !options.web.origin.is_empty(), "--origin"),
        (|options| options.path.is_some(), "--path"),
        (|options| options.web.ping.is_some(), "--ping"),
    ];
    let object = match addresses {
        [address] => address.to_string(),
        _ => "any of the endpoints".into(),
    };
    let unused = table.iter().filter(|(given, _)| given(flags) && !addresses.iter().any(|at| given(&at.options)));
    unused.map(|(_, flag)| advice(&format!("{flag} changes nothing for {object}"), "the command without it")).collect()
}

pub(super) fn odd_transfer(transfer: &Transfer) -> Vec<Advice> {
    let sends = transfer.stdin && transfer.flow != Flow::ReceiveOnly;
    let mut odd = Vec::new();
    let mut note = |condition: bool, sentence: &str, remedy: &str| {
        if condition {
            odd.push(advice(sentence, remedy));
        }
    };
    note(
        !sends && transfer.quit_after.is_some(),
        "-q counts from the end of standard input, which is not read",
        "--idle",
    );
    note(!transfer.stdin && !transfer.shutdown, "-d alone already sends no end", "-d without --no-shutdown");
    note(
        !sends && transfer.after_peer_eof != AfterPeerEof::Auto,
        "--after-peer-eof is about standard input, which is not read",
        "the command without it",
    );
    note(
        transfer.flow == Flow::SendOnly && transfer.max_bytes.is_some(),
        "--max-bytes counts received bytes, which are discarded",
        "head -c in front of haul",
    );
    note(
        transfer.max_time.is_some_and(|all| transfer.idle.is_some_and(|idle| idle >= all)),
        "--max-time passes before --idle can",
        "a shorter --idle",
    );
    note(
        transfer.buffer.is_some_and(|buffer| transfer.block.is_some_and(|block| block > buffer)),
        "--block is more than --buffer can hold",
        "--buffer at least as large as --block",
    );
    let converts = sends || !transfer.banner.is_empty();
    note(
        !converts && transfer.crlf,
        "-C changes what is sent, and standard input is not read",
        "the command without it",
    );
    odd
}

pub(super) fn advice(sentence: &str, remedy: &str) -> Advice {
    Advice { sentence: sentence.into(), remedy: remedy.into() }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::time::Duration;

    use super::super::tests::{connect_to, listen_at};
    use super::*;
    use crate::outcome::ExitStatus;
    use crate::units::Size;

    fn parse(word: &str) -> Address {
        Address::parse(OsStr::new(word)).unwrap()
    }

    /// The line of the error that a change to a plain connect plan gives.
    fn refused(word: &str, change: fn(&mut super::super::Connect)) -> String {
        let mut connect = connect_to(parse(word));
        change(&mut connect);
        let error = settle(&mut Plan::Connect(connect), &Options::default()).unwrap_err();
        assert_eq!(error.status(), ExitStatus::Usage);
        error.line()
    }

    #[test]
    fn contradictions_are_refused_with_a_sentence() {
        let line = refused("a:1", |plan| {
            plan.transfer.flow = Flow::SendOnly;
            plan.transfer.stdin = false;
        });
        assert_eq!(line, "cannot use -d with --send-only: nothing is left to move");
        let line = refused("a:1", |plan| {
            plan.transfer.flow = Flow::ReceiveOnly;
            plan.transfer.shutdown = false;
        });
        assert_eq!(line, "cannot use --recv-only with --no-shutdown: --recv-only ends the sending side at once");
        let line = refused("127.0.0.1:1", |plan| plan.to.options.family = Some(Family::V6));
        assert_eq!(line, "cannot use -6 with 127.0.0.1:1: that is an IPv4 address");
        let line = refused("unix,seqpacket:/s", |plan| plan.transfer.crlf = true);
        assert_eq!(line, "cannot use -C with unix,seqpacket:/s: longer lines could split a packet in two");
        let line = refused("::1/80", |plan| plan.to.options.family = Some(Family::V4));
        assert_eq!(line, "cannot use -4 with ::1/80: that is an IPv6 address");
        let line = refused("a:1", |plan| plan.to.options.numeric = true);
        assert_eq!(line, "cannot use -n with a:1: the host is a name");
        let line =
            refused("127.0.0.1:1", |plan| plan.to.options.source = Some(Host::V6(std::net::Ipv6Addr::LOCALHOST, None)));
        assert_eq!(line, "cannot use -s ::1 with 127.0.0.1:1: the addresses are of two families");
    }

    #[test]
    fn one_descriptor_is_not_both_closed_and_written_to() {
        let mut listen = listen_at(parse("9000"));
        listen.announce.ready_fd = Some(3);
        listen.report.events = Some(EventSink::Fd(3));
        assert!(settle(&mut Plan::Listen(listen), &Options::default()).is_err());
    }

    #[test]
    fn a_flag_that_does_not_fit_the_endpoint_is_told() {
        let flags = Options { nodelay: true, ..Options::default() };
        let advice = unused(&flags, &[parse("unix:/s")]);
        assert_eq!(advice.len(), 1);
        assert_eq!(advice[0].to_string(), "--nodelay changes nothing for unix:/s; try: the command without it");
        let mut address = parse("a:1");
        address.overlay(&flags);
        assert_eq!(unused(&flags, &[address, parse("unix:/s")]), []);
    }

    #[test]
    fn odd_requests_get_a_sentence_and_a_remedy() {
        let plain = connect_to(parse("a:1")).transfer;
        assert_eq!(odd_transfer(&plain), []);
        let banner = Transfer { stdin: false, crlf: true, banner: b"hi\n".to_vec(), ..plain.clone() };
        assert_eq!(odd_transfer(&banner), []);
        let second = Some(Duration::from_secs(1));
        for odd in [
            Transfer { stdin: false, quit_after: second, ..plain.clone() },
            Transfer { stdin: false, shutdown: false, ..plain.clone() },
            Transfer { stdin: false, after_peer_eof: AfterPeerEof::Send, ..plain.clone() },
            Transfer { flow: Flow::SendOnly, max_bytes: Some(1), ..plain.clone() },
            Transfer { max_time: second, idle: second, ..plain.clone() },
            Transfer { buffer: Some(Size(1)), block: Some(Size(2)), ..plain.clone() },
        ] {
            let advice = odd_transfer(&odd);
            assert_eq!(advice.len(), 1, "{odd:?}: {advice:?}");
            assert!(!advice[0].sentence.ends_with('.') && !advice[0].remedy.is_empty());
        }
    }
}
