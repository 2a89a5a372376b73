//! What `haul relay` was asked to do, and what of it fits together.

mod datagram;
mod explain;
mod halves;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::address::{Address, Host, Keepalive, Kind, Options, Program, UnixSocket};
use super::advice::{Advice, advice, unused};
use super::explain::shown;
use super::faults::Faults;
use super::role::refusal;
use super::{AccessList, ProxyVersion, Report, Serving, Transfer, policy, way};
use crate::error::{Error, Op};
use crate::units::Rate;
pub(super) use explain::explain;
pub(super) use halves::is_introduced;
use halves::{is_itself, listens, no_ring, reaches};

/// `--connect-timeout` where it is not given.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// `--half-close-timeout` where it is not given.
pub const DEFAULT_HALF_CLOSE: Duration = Duration::from_secs(300);

/// `--resolve-every` where it is not given.
pub const DEFAULT_RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// `haul relay`: every connection that comes to a listener is joined to one that is made to its target.
#[derive(Clone, Debug, PartialEq)]
pub struct Relay {
    /// Listeners and where what comes to them goes. Invariant: at least one.
    pub pairs: Vec<Pair>,
    /// How many clients at once, and whom, over all listeners. `keep` is set.
    pub serving: Serving,
    /// `--connect-timeout`: longest time that connecting to one target may take.
    pub connect_timeout: Duration,
    /// `--flow-idle`, see [`Relay::silence`].
    pub flow_idle: Option<Duration>,
    /// `--half-close-timeout`: longest silence of one direction after the other has ended.
    pub half_close: Duration,
    /// `--limit-total`: most bytes per second, per direction, of all sessions together.
    pub limit_total: Option<Rate>,
    /// `--threads`: how many run the sessions; 1 is the one that accepts them.
    pub threads: usize,
    /// `--once`: one session, and its status is haul's.
    pub once: bool,
    /// `--resolve-every`: how often the names of targets are looked up again.
    pub resolve_every: Duration,
    /// `--balance`: which of several targets a client is joined to.
    pub balance: Balance,
    /// `--proxy-send`: each connection to a target begins with a PROXY header about its client.
    pub proxy_send: Option<ProxyVersion>,
    /// `--proxy-accept`: each client begins with a PROXY header, and only these may connect; everybody where the list
    /// is empty.
    pub proxy_accept: Option<Vec<AccessList>>,
    /// `--log`: where a line for each session goes.
    pub log: Option<LogSink>,
    /// `-o`: the directory for copies of what passes, a file for each session and direction.
    pub copies: Option<Copies>,
    /// What is to go wrong on purpose.
    pub faults: Faults,
    /// How the bytes of each session move.
    pub transfer: Transfer,
    /// What is told, and to whom.
    pub report: Report,
}

/// Which of several targets a client is joined to (`--balance`); one that cannot be reached is followed by the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The first in the order given.
    #[default]
    First,
    /// One after the other.
    RoundRobin,
    /// The one with the fewest sessions.
    Least,
}

/// Where the line for each session goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogSink {
    /// `-`
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// `-o`: copies of what passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copies {
    /// The directory.
    pub directory: PathBuf,
    /// `--hex`: as hexadecimal and text, otherwise as it is.
    pub hex: bool,
    /// `--timestamps`: each line of the dump begins with the time.
    pub timestamps: bool,
}

/// A listener and where what comes to it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Where to listen.
    pub at: Address,
    /// Where to connect to, one of them for each client. Invariant: at least one.
    pub targets: Vec<Target>,
}

/// What a client is joined to.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Something that is connected to.
    Address(Box<Address>),
    /// `-e`, `-c`, `--`: a program, started for each session.
    Program(Program),
}

impl Target {
    /// True if sessions run a program.
    pub fn is_program(&self) -> bool {
        match self {
            Target::Address(address) => policy::is_program(address),
            Target::Program(_) => true,
        }
    }

    /// True for a file. It is opened for each session, and read unless it is appended to: a client does not empty it.
    pub fn is_file(&self) -> bool {
        matches!(self, Target::Address(address) if matches!(address.kind, Kind::File(_)))
    }

    /// True for a file that is written.
    pub fn is_appended(&self) -> bool {
        self.is_file() && matches!(self, Target::Address(address) if address.options.append)
    }

    /// The endpoint, where it is one.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Target::Address(address) => Some(address),
            Target::Program(_) => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Address(address) => address.fmt(f),
            Target::Program(program) => f.write_str(&shown(program)),
        }
    }
}

fn is_named(address: &Address) -> bool {
    matches!(&address.dialled().kind, Kind::Tcp(at) | Kind::Udp(at) if matches!(at.host, Host::Name(_)))
}

/// The address with what a relay sets on every TCP connection unless the user has: small writes go at once, and a peer
/// that is gone does not hold its session for ever.
pub fn tuned(address: &Address) -> Address {
    let mut address = address.clone();
    let defaults = Options {
        nodelay: true,
        keepalive: Some(Keepalive::Every(KEEPALIVE)),
        user_timeout: Some(USER_TIMEOUT),
        ..Options::default()
    };
    address.overlay(&defaults);
    address
}

/// Refuses what cannot work and contradictions, and notes what is odd.
pub(super) fn settle(plan: &mut Relay, flags: &Options) -> Result<(), Error> {
    datagram::settle(plan)?;
    for Pair { at, targets } in &plan.pairs {
        listens(at, plan)?;
        for to in targets.iter().filter_map(Target::address) {
            reaches(to, plan)?;
            way::settle(to)?;
            is_introduced(to, plan.proxy_send)?;
            if to.options.way.is_none() && is_itself(at, to) {
                let cause = format!("{to} is this very listener, and every connection would make the next");
                return Err(refusal(Op::Listen, at, &cause, "another target".into()));
            }
        }
        policy::programs_and_the_world(at, targets.iter().any(Target::is_program), &plan.checked())?;
    }
    no_ring(&plan.pairs)?;
    let odd = odd(plan, flags);
    plan.report.advice.extend(odd);
    Ok(())
}

fn odd(plan: &Relay, flags: &Options) -> Vec<Advice> {
    let addresses: Vec<_> = plan.addresses().cloned().collect();
    let mut odd = unused(flags, &addresses);
    odd.extend(datagram::odd(plan));
    let mut note = |condition: bool, sentence: &str, remedy: &str| {
        if condition {
            odd.push(advice(sentence, remedy));
        }
    };
    let serving = &plan.serving;
    let targets = || plan.pairs.iter().flat_map(|pair| &pair.targets);
    let program = targets().any(Target::is_program);
    note(serving.open && !program, "--open is about programs, and none is run", "the command without it");
    note(
        serving.most.is_some_and(|most| serving.most_per_ip.is_some_and(|per_ip| per_ip > most)),
        "-m is reached before --max-per-ip can be",
        "a smaller --max-per-ip",
    );
    note(
        plan.once && (serving.most.is_some() || serving.most_per_ip.is_some()),
        "-m and --max-per-ip change nothing with --once",
        "--once alone",
    );
    note(
        plan.limit_total.is_some_and(|total| plan.transfer.rate.is_some_and(|each| each.0 > total.0)),
        "--limit-total is reached before -L can be",
        "a smaller -L",
    );
    note(
        plan.proxy_accept.as_ref().is_some_and(Vec::is_empty) && !(serving.allow.is_empty() && serving.deny.is_empty()),
        "--allow and --deny are about what a header says, and --proxy-accept believes everybody",
        "--proxy-accept=CIDR, with the addresses of the proxies",
    );
    let keeps_records = |address: &Address| matches!(address.kind, Kind::Unix(_, UnixSocket::Seqpacket));
    for Pair { at, targets } in &plan.pairs {
        for to in targets.iter().filter_map(Target::address) {
            note(
                keeps_records(at) != keeps_records(to),
                &format!("between {at} and {to} the bounds of packets are lost"),
                "unix,seqpacket on both halves",
            );
        }
    }
    let named = targets().filter_map(Target::address).any(is_named);
    note(
        plan.resolve_every != DEFAULT_RESOLVE_EVERY && !named,
        "--resolve-every changes nothing, for no target has a name",
        "the command without it",
    );
    note(
        plan.balance != Balance::First && plan.pairs.iter().all(|pair| pair.targets.len() < 2),
        "--balance changes nothing, for there is one target",
        "--target, for more",
    );
    odd
}

impl Relay {
    /// Whom it serves, as far as clients cannot choose it: where everybody may say who he is, `--allow` keeps nobody
    /// from a program.
    pub fn checked(&self) -> Serving {
        let claimed = self.proxy_accept.as_ref().is_some_and(Vec::is_empty);
        let allow = if claimed { Vec::new() } else { self.serving.allow.clone() };
        Serving { allow, ..self.serving.clone() }
    }

    /// Every endpoint, listeners and targets.
    fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.pairs
            .iter()
            .flat_map(|pair| std::iter::once(&pair.at).chain(pair.targets.iter().filter_map(Target::address)))
    }
}

/// How often a silent connection is probed: a peer that vanished is found out within ten of these.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long sent data may stay unacknowledged, or a peer take nothing.
const USER_TIMEOUT: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::super::tests::plain;
    use super::*;
    use crate::outcome::ExitStatus;

    fn parse(word: &str) -> Address {
        Address::parse(OsStr::new(word)).unwrap()
    }

    pub(in crate::plan::relay) fn relay(at: &str, to: &str) -> Relay {
        Relay {
            pairs: vec![Pair { at: parse(at), targets: vec![Target::Address(Box::new(parse(to)))] }],
            serving: Serving { keep: true, ..Serving::default() },
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            flow_idle: None,
            half_close: DEFAULT_HALF_CLOSE,
            limit_total: None,
            once: false,
            threads: 1,
            resolve_every: DEFAULT_RESOLVE_EVERY,
            balance: Balance::First,
            proxy_send: None,
            proxy_accept: None,
            log: None,
            copies: None,
            faults: Faults::default(),
            transfer: plain(),
            report: Report::default(),
        }
    }

    pub(in crate::plan::relay) fn refused(at: &str, to: &str) -> Error {
        settle(&mut relay(at, to), &Options::default()).unwrap_err()
    }

    #[test]
    fn a_program_is_not_served_to_the_world_by_accident() {
        for to in ["exec:cat", "sh:cat"] {
            assert_eq!(refused("9000", to).status(), ExitStatus::Policy, "{to}");
            assert!(settle(&mut relay("127.0.0.1:9000", to), &Options::default()).is_ok());
        }
        let mut given = relay("9000", "a:1");
        given.pairs[0].targets.push(Target::Program(Program::Shell("cat".into())));
        assert_eq!(settle(&mut given, &Options::default()).unwrap_err().status(), ExitStatus::Policy);
        given.serving.open = true;
        assert!(settle(&mut given, &Options::default()).is_ok());
    }

    #[test]
    fn what_the_user_sets_on_an_endpoint_wins_over_what_a_relay_sets() {
        let own = tuned(&parse("tcp,keepalive=5,user-timeout=7:a:1")).options;
        assert_eq!(own.keepalive, Some(Keepalive::Every(Duration::from_secs(5))));
        assert_eq!((own.user_timeout, own.nodelay), (Some(Duration::from_secs(7)), true));
        let plain = tuned(&parse("a:1")).options;
        assert_eq!((plain.keepalive, plain.user_timeout), (Some(Keepalive::Every(KEEPALIVE)), Some(USER_TIMEOUT)));
        assert_eq!(tuned(&parse("unix:/s")), parse("unix:/s"));
    }
}
