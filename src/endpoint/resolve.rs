//! From a host to addresses. Numbers are answered at once; names go to a helper thread, since getaddrinfo(3) sleeps,
//! and the answer wakes the task through the reactor.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use crate::error::{Error, Op};
use crate::outcome::ExitStatus;
use crate::plan::address::{Family, Host, HostPort, Options};
use crate::reactor::Turn;
use crate::sys;

/// A question and, sooner or later, its answer. Dropping it ignores an answer that comes too late.
#[derive(Debug)]
pub struct Lookup {
    port: u16,
    family: Option<Family>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Known without asking.
    Known(Vec<SocketAddr>),
    /// To be asked once there is a reactor to wake.
    New(String),
    /// A helper thread is at it.
    Asked(Receiver<io::Result<Vec<SocketAddr>>>),
}

/// Why there are no addresses: a sentence, and what to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAddress {
    /// Lower case, no full stop.
    pub cause: String,
    /// The text of the `try:` line.
    pub advice: Option<&'static str>,
    /// The exit status, where the operation does not decide it.
    pub status: Option<ExitStatus>,
}

impl NoAddress {
    /// A cause without advice.
    pub fn said(cause: impl Into<String>) -> Self {
        NoAddress { cause: cause.into(), advice: None, status: None }
    }

    /// The same with something to try.
    pub fn with_advice(self, advice: &'static str) -> Self {
        NoAddress { advice: Some(advice), ..self }
    }

    /// What `op` says of `object` for want of an address.
    pub fn into_error(self, op: Op, object: impl AsRef<[u8]>) -> Error {
        let error = Error::said(op, object, self.cause);
        let error = match self.advice {
            Some(advice) => error.with_advice(advice),
            None => error,
        };
        match self.status {
            Some(status) => error.with_status(status),
            None => error,
        }
    }
}

impl Lookup {
    /// Prepares the question. No host at all means this machine over both families.
    ///
    /// # Errors
    /// A name under `-n`, an unknown interface as the scope, an address of the family that was excluded.
    pub fn new(at: &HostPort, options: &Options) -> Result<Self, NoAddress> {
        let family = options.family;
        let state = match &at.host {
            Host::Name(_) if options.numeric => {
                return Err(NoAddress::said("not a numeric address").with_advice("without -n"));
            }
            Host::Name(name) => State::New(name.clone()),
            host => State::Known(only(family, numeric(host, at.port)?)?),
        };
        Ok(Lookup { port: at.port, family, state })
    }

    /// What somebody else has looked up.
    pub fn known(addresses: Vec<SocketAddr>) -> Self {
        Lookup { port: 0, family: None, state: State::Known(addresses) }
    }

    /// Asks, if there is something to ask.
    ///
    /// # Errors
    /// No thread or no waker could be made.
    pub fn start(&mut self, turn: &mut Turn) -> io::Result<()> {
        let State::New(name) = &self.state else { return Ok(()) };
        let (remote, task) = (turn.remote()?, turn.id());
        let (answer, receiver) = channel();
        let question = (name.clone(), self.port);
        std::thread::Builder::new().name("resolver".into()).spawn(move || {
            // nobody listens any more: the dial was given up
            let _ = answer.send(ask(question));
            remote.wake(task);
        })?;
        self.state = State::Asked(receiver);
        Ok(())
    }

    /// The addresses, once they are known; at least one, none twice, those of the excluded family left out.
    ///
    /// # Errors
    /// The name does not exist, or has no address of the family that was asked for.
    pub fn poll(&mut self) -> Result<Option<Vec<SocketAddr>>, NoAddress> {
        match &mut self.state {
            State::Known(list) => Ok(Some(std::mem::take(list))),
            State::New(_) => Ok(None),
            State::Asked(receiver) => match receiver.try_recv() {
                Ok(Ok(list)) => only(self.family, list).map(Some),
                Ok(Err(error)) => Err(not_found(&error)),
                Err(TryRecvError::Empty) => Ok(None),
                Err(TryRecvError::Disconnected) => Err(NoAddress::said("the resolver gave up")),
            },
        }
    }

    /// The addresses, waiting for them: before there is a loop. A signal ends the program meanwhile.
    ///
    /// # Errors
    /// As [`Lookup::poll`].
    pub fn wait(self) -> Result<Vec<SocketAddr>, NoAddress> {
        match self.state {
            State::Known(list) => Ok(list),
            State::New(name) => {
                let _at_once = sys::AtOnce::begin();
                match ask((name, self.port)) {
                    Ok(list) => only(self.family, list),
                    Err(error) => Err(not_found(&error)),
                }
            }
            State::Asked(receiver) => match receiver.recv() {
                Ok(Ok(list)) => only(self.family, list),
                Ok(Err(error)) => Err(not_found(&error)),
                Err(_) => Err(NoAddress::said("the resolver gave up")),
            },
        }
    }
}

/// The addresses of a host that is no name.
fn numeric(host: &Host, port: u16) -> Result<Vec<SocketAddr>, NoAddress> {
    Ok(match host {
        Host::Unspecified => {
            vec![(Ipv6Addr::LOCALHOST, port).into(), (Ipv4Addr::LOCALHOST, port).into()]
        }
        Host::V4(ip) => vec![SocketAddrV4::new(*ip, port).into()],
        Host::V6(ip, scope) => {
            let scope = scope.as_deref().map_or(Ok(0), scope_id)?;
            vec![SocketAddrV6::new(*ip, port, 0, scope).into()]
        }
        Host::Name(_) => Vec::new(),
    })
}

/// RFC 4007, 11.2: a scope is an interface's name or its number.
fn scope_id(scope: &str) -> Result<u32, NoAddress> {
    if let Ok(number) = scope.parse() {
        return Ok(number);
    }
    sys::interface_index(scope).map_err(|_| {
        let shown = crate::escape::Escaped(scope.as_bytes());
        NoAddress::said(format!("no interface is called {shown}")).with_advice("ip link, to see their names")
    })
}

/// Leaves out the excluded family, and what stands in the list twice.
fn only(family: Option<Family>, list: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, NoAddress> {
    let mut left: Vec<SocketAddr> = Vec::with_capacity(list.len());
    for address in list {
        let fits = match family {
            None => true,
            Some(Family::V4) => address.is_ipv4(),
            Some(Family::V6) => address.is_ipv6(),
        };
        if fits && !left.contains(&address) {
            left.push(address);
        }
    }
    if left.is_empty() {
        return Err(match family {
            Some(Family::V4) => NoAddress::said("no IPv4 address").with_advice("without -4"),
            Some(Family::V6) => NoAddress::said("no IPv6 address").with_advice("without -6"),
            None => NoAddress::said("name not found"),
        });
    }
    Ok(left)
}

/// The getaddrinfo(3) that sleeps. Without a descriptor to be had it may say that there is no such name, as it could
/// read neither /etc/hosts nor a server's answer.
fn ask(question: (String, u16)) -> io::Result<Vec<SocketAddr>> {
    question.to_socket_addrs().map(Iterator::collect).map_err(|error| match std::fs::File::open("/dev/null") {
        Err(scarce) if is_scarcity(&scarce) => scarce,
        _ => error,
    })
}

fn is_scarcity(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}

/// The standard library passes on gai_strerror(3) as text alone, so the text decides: what it says beyond "there is no
/// such name" is kept, since a name server that does not answer is repaired elsewhere than a misspelt name.
fn not_found(error: &io::Error) -> NoAddress {
    let text = crate::error::sentence(error);
    if is_scarcity(error) {
        return NoAddress { status: Some(ExitStatus::LocalIo), ..NoAddress::said(format!("no look-up: {text}")) };
    }
    let reason = text.rsplit_once("address information: ").map_or(text.as_str(), |(_, reason)| reason).to_lowercase();
    let plain = reason.contains("not known") || reason.contains("does not resolve");
    NoAddress::said(if plain { "name not found".into() } else { format!("name not found ({reason})") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(host: Host, options: &Options) -> Result<Vec<SocketAddr>, NoAddress> {
        Lookup::new(&HostPort { host, port: 80 }, options)?.wait()
    }

    #[test]
    fn numbers_need_no_helper_and_keep_their_scope() {
        let scoped = Host::V6("fe80::1".parse().unwrap(), Some("lo".into()));
        let mut lookup = Lookup::new(&HostPort { host: scoped, port: 80 }, &Options::default()).unwrap();
        let list = lookup.poll().unwrap().unwrap();
        let SocketAddr::V6(address) = list[0] else { panic!("{list:?}") };
        assert_eq!(address.scope_id(), sys::interface_index("lo").unwrap());
        let numbered = Host::V6("fe80::1".parse().unwrap(), Some("7".into()));
        let SocketAddr::V6(address) = look_up(numbered, &Options::default()).unwrap()[0] else { panic!() };
        assert_eq!(address.scope_id(), 7);
        let wrong = Host::V6("fe80::1".parse().unwrap(), Some("nosuch0".into()));
        assert_eq!(look_up(wrong, &Options::default()).unwrap_err().cause, "no interface is called nosuch0");
    }

    #[test]
    fn no_host_is_this_machine_in_the_families_that_are_wanted() {
        let all = look_up(Host::Unspecified, &Options::default()).unwrap();
        assert_eq!(all, ["[::1]:80".parse().unwrap(), "127.0.0.1:80".parse().unwrap()]);
        let v4 = Options { family: Some(Family::V4), ..Options::default() };
        assert_eq!(look_up(Host::Unspecified, &v4).unwrap(), ["127.0.0.1:80".parse().unwrap()]);
        let v6_address = Host::V6(Ipv6Addr::LOCALHOST, None);
        assert_eq!(look_up(v6_address, &v4).unwrap_err().cause, "no IPv4 address");
    }

    #[test]
    fn a_name_is_refused_under_n_and_not_found_is_said_plainly() {
        let numeric = Options { numeric: true, ..Options::default() };
        let name = || Host::Name("nonexistent.invalid".into());
        assert_eq!(look_up(name(), &numeric).unwrap_err().advice, Some("without -n"));
        let cause = look_up(name(), &Options::default()).unwrap_err().cause;
        assert!(cause.starts_with("name not found"), "{cause}");
        assert!(!cause.contains("lookup"), "{cause}");
    }

    #[test]
    fn a_look_up_without_descriptors_is_no_missing_name() {
        let why = not_found(&io::Error::from_raw_os_error(libc::EMFILE));
        assert_eq!(why.cause, "no look-up: too many open files");
        assert_eq!(why.into_error(Op::Listen, "a:1").status(), ExitStatus::LocalIo);
    }

    #[test]
    fn localhost_resolves() {
        assert!(!look_up(Host::Name("localhost".into()), &Options::default()).unwrap().is_empty());
    }
}
