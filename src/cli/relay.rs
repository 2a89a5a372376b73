//! `haul relay`: its flags, and the plan they make.

mod flags;

use std::ffi::OsString;

use super::clients::Gate;
use super::faults::Faults;
use super::program::Programs;
use super::proxies::{self, Proxies};
use super::shared::{Buffers, InTransit, Moving, Output, Route, Tuning};
use super::tls::Tls;
use super::web::Web;
use super::{Request, endpoint, request};
use crate::error::{Error, Op};
use crate::plan::address::{Layer, Options, Program, WebOptions};
use crate::plan::relay::{DEFAULT_CONNECT_TIMEOUT, DEFAULT_HALF_CLOSE, DEFAULT_RESOLVE_EVERY, Pair, Relay, Target};
use crate::plan::tls::{Reach, Side};
use crate::plan::{AfterPeerEof, DEFAULT_GRACE, DEFAULT_LINGER, Local, Plan, Serving, Transfer, advice};
use flags::{Clients, Proxying, Records, Sessions, Targets};

/// Join every connection that comes to LISTEN to one of its own to TARGET, until stopped.
///
/// Both are endpoints: TCP to TCP, TCP to a Unix socket, IPv6 to IPv4, a port to a program. An end of file is passed on
/// while the other direction goes on, and a reset once everything that came before it is delivered: a target that
/// answers and closes while its client still sends has its whole answer delivered. Several pairs are served by one
/// process; nobody is accepted before all of them are bound. A file is a target too: it is opened for each session, and
/// sent to the client, or with file,append:NAME what the client sends is appended to it.
///
/// Between udp: or unix,dgram: endpoints datagrams are passed on, each as it came. A client is known by its address: it
/// has a socket of its own towards the target until it has been silent for --flow-idle, and counts for -m, --max-per-ip
/// and --log like a session. -L and --limit-total drop what is beyond them. A target that refuses datagrams ends no flow;
/// where there is another, the next one goes there.
///
/// A program behind such a listener is started for each client: each datagram is written to it, and each of its writes is
/// a datagram back, or several where one cannot hold it (65507 bytes over IPv4). It reads from a pipe, which may give it
/// two quick datagrams as one, and says nothing of an empty one. It ends with its flow. Datagrams and streams are joined
/// by a program as well, which has to say how, because a stream does not keep them apart: behind udp:9000, sh:'haul connect
/// db:5432' makes a datagram of what is read at once, and behind 9000, sh:'haul connect --split len16 udp:db:53' expects a
/// length in front of each.
#[derive(Debug, clap::Parser)]
#[command(
    name = "relay",
    bin_name = "haul relay",
    override_usage = "haul relay [OPTIONS] LISTEN TARGET [LISTEN TARGET]…\n       \
                      haul relay [OPTIONS] LISTEN -- CMD…",
    args_override_self = true,
    max_term_width = 100,
    after_help = "See also: haul help endpoints, exit, eof, tls, units.",
    after_long_help = EXAMPLES,
    mut_arg("nodelay", |arg| arg.help("Send small writes at once (TCP_NODELAY): the default here, on both halves")),
    mut_arg("keepalive", |arg| arg.help("Probe a silent peer (SO_KEEPALIVE), every T if given [default: 60s]")),
    mut_arg("user_timeout", |arg| arg.help(
        "Give up when a peer has acknowledged nothing, or taken nothing, for T (TCP_USER_TIMEOUT) [default: 5m]"
    )),
)]
pub(super) struct Args {
    /// Where to listen and where to connect to, in turns: endpoints such as 9000, ::1/80, host:80 or unix:/run/a.sock.
    #[arg(value_name = "ENDPOINT")]
    words: Vec<OsString>,

    #[command(flatten)]
    targets: Targets,

    #[command(flatten)]
    sessions: Sessions,

    #[command(flatten)]
    clients: Clients,

    #[command(flatten)]
    programs: Programs,

    #[command(flatten)]
    gate: Gate,

    #[command(flatten)]
    proxying: Proxying,

    #[command(flatten)]
    route: Route,

    #[command(flatten)]
    proxies: Proxies,

    #[command(flatten)]
    tls: Tls,

    #[command(flatten)]
    records: Records,

    #[command(flatten)]
    faults: Faults,

    #[command(flatten)]
    buffers: Buffers,

    #[command(flatten)]
    in_transit: InTransit,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    tuning: Tuning,

    #[command(flatten)]
    web: Web,
}

const EXAMPLES: &str = "\
Examples:
  haul relay 5433 tcp:db:5432             a port of this machine for another's
  haul relay 8080 unix:/run/app.sock      TCP in front of a Unix socket
  haul relay 80 web:8080 443 web:8443 -m 500
                                          two pairs, 500 sessions in all
  haul relay ::/8080 127.0.0.1:8080 --allow 2001:db8::/32
                                          IPv6 in front of an IPv4 service
  haul relay 5432 db1:5432 --target db2:5432
                                          the second where the first cannot be reached
  haul relay --tls --cert a.pem 443 app:80
                                          TLS in front of a plain service
  haul relay ws:8080 db:5432              from a browser's WebSocket to TCP
  haul relay 127.0.0.1:7 -- cat           a program for each connection
  haul relay 9000 file:page --log -       a file for each, and a line about it
  haul relay 9000 db:5432 -o dumps --hex  what passes, for people to read
  haul relay udp:53 udp:192.0.2.1:53      datagrams, with a flow for each client
  haul relay udp:127.0.0.1:7 -- cat       a program for each client's datagrams

See also: haul help endpoints, exit, eof, tls, units.";

impl Args {
    /// Validates everything that was given.
    pub(super) fn into_request(self, program: Option<Program>) -> Result<Request, Error> {
        let (source, source_port) = (self.targets.source.clone(), self.targets.port);
        let mut flags = Options { source, source_port, ..Options::default() };
        self.route.add_to(&mut flags)?;
        self.tuning.add_to(&mut flags);
        self.web.add_to(&mut flags)?;
        let mut pairs = pairs(&self.words, self.programs.local(program)?)?;
        self.targets.add_to(&mut pairs)?;
        let listeners = pairs.iter_mut().map(|pair| (&mut pair.at, Side::Server)).collect();
        self.tls.flags().apply(listeners, Reach::Listeners)?;
        for Pair { at, targets } in &mut pairs {
            // a source is where connections to targets come from
            at.overlay(&Options { source: None, source_port: None, ..flags.clone() });
            // where both halves are a WebSocket its flags are the listener's
            let both = at.layers.contains(&Layer::WebSocket);
            let plain = Options { path: None, web: WebOptions::default(), ..flags.clone() };
            for target in targets {
                if let Target::Address(to) = target {
                    to.overlay(if both { &plain } else { &flags });
                }
            }
        }
        let way = self.proxies.way()?;
        for target in pairs.iter_mut().flat_map(|pair| &mut pair.targets) {
            match target {
                Target::Address(to) => proxies::lead(&way, [&mut **to]),
                Target::Program(_) if way.is_none() => {}
                Target::Program(_) => {
                    return Err(advice::clash(
                        "-x",
                        "a program",
                        "it is no target that is connected to",
                        "one of them",
                    ));
                }
            }
        }
        let sessions = self.sessions;
        let explain = self.output.explain;
        let (buffers, buffer) = (self.buffers, self.in_transit.buffer);
        let plain = Moving { buffers, buffer, ..Moving::default() }.transfer()?;
        let relay = Relay {
            pairs,
            serving: Serving {
                keep: true,
                most: self.clients.most,
                most_per_ip: self.clients.max_per_ip,
                allow: self.gate.allow,
                deny: self.gate.deny,
                open: self.gate.open,
                grace: self.clients.grace.unwrap_or(DEFAULT_GRACE),
                ..Serving::default()
            },
            connect_timeout: sessions.connect_timeout.unwrap_or(DEFAULT_CONNECT_TIMEOUT),
            flow_idle: sessions.flow_idle,
            half_close: sessions.half_close_timeout.unwrap_or(DEFAULT_HALF_CLOSE),
            limit_total: sessions.limit_total,
            once: self.clients.once,
            threads: self.clients.threads.unwrap_or(1),
            resolve_every: self.targets.resolve_every.unwrap_or(DEFAULT_RESOLVE_EVERY),
            balance: self.targets.balance.unwrap_or_default(),
            proxy_send: self.proxying.proxy_send,
            proxy_accept: self.proxying.proxy_accept.map(|list| list.into_iter().collect()),
            copies: self.records.copies()?,
            log: self.records.log,
            faults: self.faults.faults()?,
            transfer: Transfer {
                after_peer_eof: AfterPeerEof::Send,
                idle: sessions.idle,
                linger: sessions.linger.unwrap_or(DEFAULT_LINGER),
                rate: sessions.rate,
                ..plain
            },
            report: self.output.report()?,
        };
        request(Plan::Relay(Box::new(relay)), &flags, explain)
    }
}

/// Listeners and targets in turns; with a program, which is the target, there is only one listener.
fn pairs(words: &[OsString], local: Local) -> Result<Vec<Pair>, Error> {
    let whole = |word: &OsString| endpoint::words(word, None);
    let missing = |what: &str| {
        Error::said(Op::Parse, "'haul relay'", what)
            .with_advice("haul relay LISTEN TARGET, say haul relay 8080 host:80")
    };
    if let Local::Program(program) = local {
        return match words {
            [] => Err(missing("it does not say where to listen")),
            [at] => Ok(vec![Pair { at: whole(at)?, targets: vec![Target::Program(program)] }]),
            _ => Err(advice::clash("a program", "TARGET", "each listener has one target", "one of them")),
        };
    }
    let pair = |two: &[OsString]| match two {
        [at, to] => Ok(Pair { at: whole(at)?, targets: vec![Target::Address(Box::new(whole(to)?))] }),
        [at] => {
            whole(at)?;
            Err(missing("a listener has no target"))
        }
        _ => Err(missing("a listener has no target")),
    };
    match words {
        [] => Err(missing("it does not say where to listen")),
        words => words.chunks(2).map(pair).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Request, plan as parsed};
    use super::*;
    use std::time::Duration;

    use crate::outcome::ExitStatus;
    use crate::plan::ProxyVersion;
    use crate::plan::address::Address;
    use crate::plan::relay::{Balance, Copies, LogSink};
    use crate::units::Rate;

    fn split(line: &str) -> Vec<OsString> {
        shlex::split(line).unwrap().into_iter().map(OsString::from).collect()
    }

    fn run(line: &str) -> Result<Relay, Error> {
        match parsed(split(&format!("relay {line}")))? {
            Request::Run(Plan::Relay(relay)) => Ok(*relay),
            other => panic!("relay {line}: {other:?}"),
        }
    }

    fn shown(line: &str) -> Vec<String> {
        let pairs = run(line).unwrap_or_else(|error| panic!("relay {line}: {error}")).pairs;
        let words = |pair: &Pair| {
            let targets: Vec<_> = pair.targets.iter().map(ToString::to_string).collect();
            format!("{} {}", pair.at, targets.join(" "))
        };
        pairs.iter().map(words).collect()
    }

    #[test]
    fn listeners_and_targets_stand_in_turns() {
        assert_eq!(shown("9000 db:1"), ["tcp:9000 tcp:db:1"]);
        assert_eq!(shown("9000 db:1 @a unix:/s"), ["tcp:9000 tcp:db:1", "unix:@a unix:/s"]);
        assert_eq!(shown("::1/80 7 -m 3"), ["tcp:::1/80 tcp:7"]);
        assert_eq!(shown("127.0.0.1:80 -- tr a 'b c'"), ["tcp:127.0.0.1:80 tr a 'b c'"]);
        assert_eq!(shown("-c 'a | b' 127.0.0.1:80"), ["tcp:127.0.0.1:80 sh -c 'a | b'"]);
        assert_eq!(shown("127.0.0.1:80 exec:cat"), ["tcp:127.0.0.1:80 exec:cat"]);
        assert_eq!(shown("1 a:1 --target b:1 --target @c"), ["tcp:1 tcp:a:1 tcp:b:1 unix:@c"]);
        for (line, expected) in [
            ("1 a:1 2 b:1 --target c:1", "cannot use --target with several pairs: it does not say whose it is"),
            ("127.0.0.1:1 --target c:1 -- cat", "cannot use --target with a program: it takes every client"),
            ("", "cannot understand 'haul relay': it does not say where to listen"),
            ("9000", "cannot understand 'haul relay': a listener has no target"),
            ("9000 a:1 9001", "cannot understand 'haul relay': a listener has no target"),
            ("127.0.0.1:1 a:1 -- cat", "cannot use a program with TARGET: each listener has one target"),
            ("-- cat", "cannot understand 'haul relay': it does not say where to listen"),
            ("-e cat -c cat 127.0.0.1:1", "cannot use -e with -c: one program serves a connection"),
        ] {
            let error = run(line).unwrap_err();
            assert_eq!(error.line(), expected, "relay {line}");
            assert_eq!(error.status(), ExitStatus::Usage, "relay {line}");
        }
        assert_eq!(run("9000 host").unwrap_err().status(), ExitStatus::Usage);
    }

    #[test]
    fn every_flag_reaches_the_plan() {
        let relay = run("-s 10.0.0.9 -p 7 -m 3 --max-per-ip 2 --allow 10.0.0.0/8 --deny @f --open --once --grace 5 -w 6 \
             --connect-timeout 7 --half-close-timeout 8 --linger 9 -L 10M --limit-total 20M --splice never \
             --resolve-every 11 --threads 3 --balance least --proxy-send v2 --proxy-accept=10.0.0.1,::1 --target b:2 1 a:1")
        .unwrap();
        let seconds = Duration::from_secs;
        let options = |address: &Address| (address.options.source.is_some(), address.options.source_port);
        let Target::Address(to) = &relay.pairs[0].targets[1] else { panic!() };
        assert_eq!([options(&relay.pairs[0].at), options(to)], [(false, None), (true, Some(7))]);
        let serving = &relay.serving;
        assert!(relay.once && serving.open && serving.keep && !relay.transfer.splice);
        assert_eq!((serving.most, serving.most_per_ip, serving.grace), (Some(3), Some(2), seconds(5)));
        let lists: Vec<_> = serving.allow.iter().chain(&serving.deny).map(ToString::to_string).collect();
        assert_eq!(lists, ["10.0.0.0/8", "@f"]);
        let proxies = relay.proxy_accept.iter().flatten().map(ToString::to_string);
        assert_eq!(proxies.collect::<Vec<_>>(), ["10.0.0.1,::1"]);
        assert_eq!(relay.proxy_send, Some(ProxyVersion::V2));
        assert_eq!(run("--proxy-accept 1 a:1").unwrap().proxy_accept, Some(vec![]));
        assert_eq!((relay.transfer.idle, relay.connect_timeout), (Some(seconds(6)), seconds(7)));
        assert_eq!((relay.half_close, relay.transfer.linger), (seconds(8), seconds(9)));
        assert_eq!((relay.threads, run("1 a:1").unwrap().threads), (3, 1));
        assert_eq!((relay.resolve_every, relay.balance), (seconds(11), Balance::Least));
        assert_eq!((relay.transfer.rate, relay.limit_total), (Some(Rate(10_000_000)), Some(Rate(20_000_000))));
    }

    #[test]
    fn w_does_for_flow_idle_where_that_is_not_given() {
        let silence = |flags: &str| run(&format!("{flags} udp:1 udp:a:1")).unwrap().silence();
        let seconds = Duration::from_secs;
        assert_eq!(["", "-w 5", "-w 5 --flow-idle 9"].map(silence), [60, 5, 9].map(seconds));
    }

    #[test]
    fn a_log_and_copies_are_asked_for_in_their_own_words() {
        assert_eq!(run("--log - 1 a:1").unwrap().log, Some(LogSink::Stdout));
        assert_eq!(run("--log f 1 a:1").unwrap().log, Some(LogSink::File("f".into())));
        let copies = Copies { directory: "d".into(), hex: true, timestamps: true };
        assert_eq!(run("-o d --hex --timestamps 1 a:1").unwrap().copies, Some(copies));
        for line in ["--hex 1 a:1", "-o d --timestamps 1 a:1", "--log '' 1 a:1"] {
            assert_eq!(run(line).unwrap_err().status(), ExitStatus::Usage, "relay {line}");
        }
    }

    #[test]
    fn explain_is_one_decision_a_line() {
        let explain = |line: &str| match parsed(split(&format!("relay --explain {line}"))).unwrap() {
            Request::Explain(plan) => plan.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            explain("-m 3 --allow ::1 -w 5 --limit-total 1M 9000 db:5432"),
            "\
listen on tcp:9000 and accept connections until stopped
connect to tcp:db:5432 for each of them, and join the two
look names up again every 30s, and after a failure
hold at most 3 connections at once
allow only ::1
give up a connect when it has taken 10s, and reset the client
on TCP, unless said otherwise: no delay, keepalive every 1m, user timeout 5m
pass an end of file on, and a reset once what came before it is delivered
end a session when one direction has ended and the other was silent for 5m
end a session when no byte has moved for 5s
move at most 1M a second in each direction of all sessions together
"
        );
        assert_eq!(
            explain("-m 3 -L 1M --flow-idle 5 --loss 1%:up --seed 7 udp:53 udp:192.0.2.1:53"),
            "\
receive datagrams at udp:53 from every client until stopped
pass each client's on to udp:192.0.2.1:53 from a socket of its own, and answers back
hold at most 3 clients at once
forget a client of datagrams that has been silent for 5s
drop datagrams of a client beyond 1M a second in each direction
faults: up: loss 1%; seed 7
"
        );
        assert!(explain("@a -- cat -u").starts_with(
            "listen on unix:@a and accept connections until stopped\nrun cat -u for each of them, and join the two\n"
        ));
    }
}
