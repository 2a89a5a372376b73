//! Non-blocking connects, raced over all candidates (RFC 8305): IPv6 and IPv4 take turns, the next attempt starts
//! 250 ms after the last one, or at once when that failed; the first proven connection wins and the rest are closed.
//!
//! What proves a connection: an event, no pending error in SO_ERROR, and a peer's name; over TCP, where the system's
//! events can say as much, one that tells of room to write and of nothing else. Two answers surprise. ENOTCONN without an
//! error is "not yet". And a reset after the handshake is not a failed connect: the peer's last words may stand in the
//! queue, so the socket is handed over, marked as cut, and reading decides.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::SockAddr;

use super::attempt::{Attempt, Candidate, Stage, Trouble, Verdict};
use super::printed;
use super::resolve::{Lookup, NoAddress};
use super::socket::{Family, Socket};
use crate::error::{Cause, Error, Op, hint, sentence};
use crate::outcome::ExitStatus;
use crate::plan::address::{Address, Host, HostPort, Kind, Options, UnixName, UnixSocket};
use crate::reactor::Turn;

/// Getting one connection.
#[derive(Debug)]
pub struct Dial {
    /// What the user typed. Shared: there may be a dial for each session of a relay.
    to: Rc<Address>,
    /// True if the addresses tried are not what the user typed.
    resolved: bool,
    state: State,
}

/// A connection that is up.
#[derive(Debug)]
pub struct Connected {
    /// Registered already; its latches are as the kernel set them.
    pub socket: Socket,
    /// `tcp`, `mptcp`, `unix`, `unix-seqpacket`.
    pub protocol: &'static str,
    /// The peer, as printed.
    pub peer: String,
    /// The peer has cut the connection already. What came before can still be read.
    pub cut: Option<io::Error>,
}

#[derive(Debug)]
enum State {
    /// It cannot begin, and this is why.
    Refused(NoAddress),
    /// Waiting for the addresses of the target and of our side.
    Resolving {
        target: Lookup,
        source: Option<Lookup>,
        found: Found,
    },
    Racing(Race),
    Over,
}

#[derive(Debug, Default)]
struct Found {
    target: Option<Vec<SocketAddr>>,
    source: Option<Vec<SocketAddr>>,
}

/// Attempts under way and to come.
#[derive(Debug, Default)]
struct Race {
    waiting: VecDeque<Candidate>,
    /// In the order in which they were started.
    attempts: Vec<Attempt>,
    failures: Vec<(Candidate, io::Error)>,
    /// When the next candidate has its turn, whatever becomes of those before it.
    next_at: Option<Instant>,
}

impl Dial {
    /// Prepares to connect to a TCP or Unix address; nothing is opened or asked yet.
    ///
    /// Where proxies lead to it, the first of them is what is connected to.
    pub fn new(address: &Rc<Address>) -> Self {
        let (resolved, state) = match &address.dialled().kind {
            Kind::Tcp(at) => {
                let named = matches!(at.host, Host::Name(_) | Host::Unspecified);
                (named, resolving(at, &address.options).unwrap_or_else(State::Refused))
            }
            Kind::Unix(name, kind) => (false, unix(name, *kind).unwrap_or_else(State::Refused)),
            Kind::Path(path) => {
                let name = UnixName::Path(path.clone());
                (false, unix(&name, UnixSocket::Stream).unwrap_or_else(State::Refused))
            }
            _ => (false, refused("nothing of this kind can be dialled")),
        };
        Dial { to: Rc::clone(address), resolved, state }
    }

    /// Prepares to connect to a TCP address whose name somebody else has looked up.
    pub fn among(address: &Rc<Address>, addresses: Vec<SocketAddr>) -> Self {
        let state = racing(addresses, &address.options).unwrap_or_else(State::Refused);
        Dial { to: Rc::clone(address), resolved: true, state }
    }

    /// Races over addresses that are known already, ours among them.
    pub fn to(address: &Rc<Address>, addresses: &[SocketAddr]) -> Self {
        let race = Race { waiting: candidates(addresses.to_vec(), &[], &address.options), ..Race::default() };
        Dial { to: Rc::clone(address), resolved: true, state: State::Racing(race) }
    }

    /// What messages call it.
    fn object(&self) -> Vec<u8> {
        printed::goal(&self.to, "localhost")
    }

    /// Asks for the name, or starts the first attempt.
    ///
    /// # Errors
    /// What makes it hopeless from the start; failures of single addresses are told by [`Dial::turn`].
    pub fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        match &mut self.state {
            State::Refused(why) => {
                let why = why.clone();
                Err(on_the_way(&self.to.options, why.into_error(Op::Connect, printed::goal(&self.to, "localhost"))))
            }
            State::Resolving { target, source, .. } => {
                let asked = target.start(turn).and_then(|()| source.as_mut().map_or(Ok(()), |s| s.start(turn)));
                asked.map_err(|error| Error::new(Op::Connect, self.object(), error))
            }
            State::Racing(_) | State::Over => Ok(()),
        }
    }

    /// Does everything possible now; `Some` once a connection is up. Harmless when called for nothing.
    ///
    /// # Errors
    /// The name has no address, an option is refused, or every address has failed.
    pub fn turn(&mut self, turn: &mut Turn) -> Result<Option<Connected>, Error> {
        self.advance(turn).map_err(|error| on_the_way(&self.to.options, error))
    }

    fn advance(&mut self, turn: &mut Turn) -> Result<Option<Connected>, Error> {
        self.take_answers()?;
        let State::Racing(race) = &mut self.state else { return Ok(None) };
        if let Some(connected) = race.check(turn) {
            self.abandon(turn);
            return Ok(Some(connected));
        }
        race.retry_full(turn);
        race.start_due(turn, &self.to.options)?;
        if race.attempts.is_empty() && race.waiting.is_empty() {
            let failures = std::mem::take(&mut race.failures);
            self.state = State::Over;
            return Err(self.all_failed(failures));
        }
        Ok(None)
    }

    /// When the next turn is due at the latest, whatever happens.
    pub fn deadline(&self) -> Option<Instant> {
        let State::Racing(race) = &self.state else { return None };
        let full = race.attempts.iter().filter_map(|attempt| match attempt.stage {
            Stage::Full { again, .. } => Some(again),
            Stage::Pending(_) => None,
        });
        let next = race.next_at.filter(|_| !race.waiting.is_empty());
        full.chain(next).min()
    }

    /// Takes every attempt out of the poll and closes it.
    pub fn abandon(&mut self, turn: &mut Turn) {
        if let State::Racing(race) = &mut self.state {
            for attempt in race.attempts.drain(..) {
                attempt.close(turn);
            }
        }
        self.state = State::Over;
    }

    /// What to say when the caller's time limit passed: what was tried, and how far each came.
    pub fn timed_out(&self, limit: Duration) -> Error {
        let error = Error::new(Op::Connect, self.object(), crate::error::Cause::TimedOut(limit));
        match &self.state {
            State::Resolving { .. } => error.with_facts(vec!["the name server has not answered".into()]),
            State::Racing(race) if race.failures.len() + race.attempts.len() > usize::from(!self.resolved) => {
                let failed = race.failures.iter().map(|(candidate, error)| (candidate.printed(), sentence(error)));
                let open = race.attempts.iter().map(|attempt| (attempt.candidate.printed(), attempt.stage.told()));
                error.with_facts(aligned(failed.chain(open).collect()))
            }
            _ => error,
        }
    }

    /// Goes on from names to the race as soon as all addresses are there.
    fn take_answers(&mut self) -> Result<(), Error> {
        let State::Resolving { target, source, found } = &mut self.state else { return Ok(()) };
        let answered: Result<bool, NoAddress> = (|| {
            if found.target.is_none() {
                found.target = target.poll()?;
            }
            if let (Some(lookup), None) = (source, &found.source) {
                found.source = lookup.poll()?;
                return Ok(found.source.is_some() && found.target.is_some());
            }
            Ok(found.target.is_some())
        })();
        match answered {
            Err(why) => {
                self.state = State::Over;
                Err(why.into_error(Op::Connect, self.object()))
            }
            Ok(false) => Ok(()),
            Ok(true) => {
                let Found { target, source } = std::mem::take(found);
                let bound = source.unwrap_or_default();
                let waiting = candidates(target.unwrap_or_default(), &bound, &self.to.options);
                if waiting.is_empty() {
                    self.state = State::Over;
                    let why = NoAddress::said("it has no address of the same family as the source address");
                    return Err(why.into_error(Op::Connect, self.object()));
                }
                self.state = State::Racing(Race { waiting, ..Race::default() });
                Ok(())
            }
        }
    }

    /// One line where all causes are the same, else a line each.
    fn all_failed(&self, mut failures: Vec<(Candidate, io::Error)>) -> Error {
        let advice = failures.iter().find_map(|(_, error)| hint(Op::Connect, error));
        let told: Vec<_> = failures.iter().map(|(candidate, error)| candidate.explain(error)).collect();
        let error = if told.iter().any(|cause| *cause != told[0]) {
            let facts = failures.iter().map(|(candidate, _)| candidate.printed()).zip(told.iter().cloned()).collect();
            Error::said(Op::Connect, self.object(), format!("all {} addresses failed", told.len()))
                .with_facts(aligned(facts))
        } else if self.resolved && !failures.is_empty() {
            let tried: Vec<_> = failures.iter().map(|(candidate, _)| candidate.host()).collect();
            Error::said(Op::Connect, self.object(), format!("{} (tried {})", told[0], tried.join(", ")))
        } else {
            match failures.pop() {
                Some((candidate, error)) if candidate.explain(&error) == sentence(&error) => {
                    let stale = candidate.kind != Family::Tcp && error.kind() == io::ErrorKind::ConnectionRefused;
                    let error = Error::new(Op::Connect, self.object(), error);
                    return match self.object().first() {
                        Some(b'@') if stale => error.with_advice(NOBODY),
                        _ if stale => error.with_advice(STALE),
                        _ => error,
                    };
                }
                _ => Error::said(Op::Connect, self.object(), told.into_iter().next().unwrap_or_default()),
            }
        };
        match advice {
            Some(advice) => error.with_advice(advice),
            None => error,
        }
    }
}

impl Race {
    /// Looks at the attempts that had an event; the first one that is up wins.
    fn check(&mut self, turn: &mut Turn) -> Option<Connected> {
        let mut index = 0;
        while let Some(attempt) = self.attempts.get_mut(index) {
            match attempt.verdict(turn) {
                Verdict::NotYet => index += 1,
                Verdict::Up(cut) => return Some(self.attempts.remove(index).finish(cut)),
                Verdict::Failed(error) => self.fail(turn, index, error),
            }
        }
        None
    }

    /// Tries those again that found a full backlog.
    fn retry_full(&mut self, turn: &mut Turn) {
        let mut index = 0;
        while let Some(attempt) = self.attempts.get_mut(index) {
            match attempt.retry(turn) {
                Ok(()) => index += 1,
                Err(error) => self.fail(turn, index, error),
            }
        }
    }

    /// Starts the next candidate if its time has come, or if nothing newer is under way.
    fn start_due(&mut self, turn: &mut Turn, options: &Options) -> Result<(), Error> {
        while !self.waiting.is_empty() && self.next_at.is_none_or(|at| at <= turn.now()) {
            let Some(candidate) = self.waiting.pop_front() else { break };
            match Attempt::open(turn, candidate.clone(), options) {
                Ok(attempt) => {
                    self.attempts.reserve_exact(1); // most often the only one
                    self.attempts.push(attempt);
                    self.next_at = Some(turn.now() + ATTEMPT_DELAY);
                }
                Err(Trouble::Candidate(error)) => self.failures.push((candidate, error)),
                Err(Trouble::Options(error)) => {
                    self.attempts.drain(..).for_each(|attempt| attempt.close(turn));
                    return Err(*error);
                }
            }
        }
        Ok(())
    }

    /// Moves an attempt to the failures. The failure of the newest one lets the next start at once.
    fn fail(&mut self, turn: &mut Turn, index: usize, error: io::Error) {
        let attempt = self.attempts.remove(index);
        if index == self.attempts.len() {
            self.next_at = None;
        }
        self.failures.push((attempt.candidate.clone(), error));
        attempt.close(turn);
    }
}

/// What is wrong with the way to the first proxy, told as that and not as an answer of it.
pub fn on_the_way(options: &Options, error: Error) -> Error {
    let timed_out = matches!(error.cause(), Cause::TimedOut(_));
    match options.way.as_ref().and_then(|way| Some((way, way.proxies.first()?))) {
        Some((way, proxy)) if error.status() == ExitStatus::Network && !timed_out => {
            let cause = format!("{} cannot be reached: {}", way.called(proxy), error.cause());
            error.with_cause(Cause::Said(cause))
        }
        _ => error,
    }
}

fn resolving(at: &HostPort, options: &Options) -> Result<State, NoAddress> {
    let target = Lookup::new(at, options)?;
    Ok(State::Resolving { target, source: source(options)?, found: Found::default() })
}

fn racing(addresses: Vec<SocketAddr>, options: &Options) -> Result<State, NoAddress> {
    let target = Lookup::known(addresses);
    Ok(State::Resolving { target, source: source(options)?, found: Found::default() })
}

/// The look-up of our side's address, where one is given.
fn source(options: &Options) -> Result<Option<Lookup>, NoAddress> {
    let source = options.source.as_ref().map(|host| {
        let at = HostPort { host: host.clone(), port: options.source_port.unwrap_or(0) };
        Lookup::new(&at, options)
    });
    source.transpose()
}

fn unix(name: &UnixName, kind: UnixSocket) -> Result<State, NoAddress> {
    let kind = match kind {
        UnixSocket::Stream => Family::Unix,
        UnixSocket::Seqpacket => Family::Seqpacket,
        UnixSocket::Datagram => return Ok(refused("a datagram socket carries no stream")),
    };
    let address = super::unix_path::address(name)?;
    let candidate = Candidate { address, source: None, kind };
    Ok(State::Racing(Race { waiting: [candidate].into(), ..Race::default() }))
}

fn refused(cause: &str) -> State {
    State::Refused(NoAddress::said(cause))
}

/// Interleaves the families, IPv6 first (RFC 8305, 4), and pairs each address with our side's of the same family. With
/// a source address of one family only, the other's addresses cannot be reached.
fn candidates(addresses: Vec<SocketAddr>, sources: &[SocketAddr], options: &Options) -> VecDeque<Candidate> {
    let (mut v6, mut v4): (VecDeque<_>, VecDeque<_>) = addresses.into_iter().partition(SocketAddr::is_ipv6);
    let mut order = VecDeque::with_capacity(v6.len() + v4.len());
    while !(v6.is_empty() && v4.is_empty()) {
        for address in [v6.pop_front(), v4.pop_front()].into_iter().flatten() {
            let source =
                match (sources.iter().find(|source| source.is_ipv4() == address.is_ipv4()), options.source_port) {
                    (Some(source), _) => Some(*source),
                    (None, _) if !sources.is_empty() => continue,
                    (None, Some(port)) if address.is_ipv4() => Some((std::net::Ipv4Addr::UNSPECIFIED, port).into()),
                    (None, Some(port)) => Some((std::net::Ipv6Addr::UNSPECIFIED, port).into()),
                    (None, None) => None,
                };
            order.push_back(Candidate {
                address: address.into(),
                source: source.map(SockAddr::from),
                kind: Family::Tcp,
            });
        }
    }
    order
}

/// Two columns.
fn aligned(rows: Vec<(String, String)>) -> Vec<String> {
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    rows.into_iter().map(|(left, right)| format!("{left:width$}  {right}")).collect()
}

/// A Unix socket's file outlives its listener.
const STALE: &str = "check that the service is running: its socket file is there, but nobody listens";
/// An abstract name is there only while somebody listens.
const NOBODY: &str = "check that the service is running: nobody listens at that name";
/// RFC 8305, 8: the recommended Connection Attempt Delay.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests;
