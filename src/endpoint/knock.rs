//! Asks whether anybody is behind a datagram socket.
//!
//! UDP has no handshake. An empty datagram on a connected socket either draws an ICMP message (port unreachable: there is
//! nobody), an answer, or nothing, which is what most services say to an empty datagram: after a second of silence the
//! port counts as open. It is sent several times, since a single one may be lost, and hosts limit their ICMP messages.
//! A Unix datagram socket answers at once: connecting to it tells.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use socket2::{Domain, SockAddr, Type};

use super::options::{self, Phase, Target};
use super::printed;
use super::unix_path;
use crate::error::{Error, Op, sentence};
use crate::plan::address::{Options, UnixName};
use crate::reactor::{Slot, Turn};
use crate::sys;

/// Asking every address of a UDP endpoint at once.
#[derive(Debug)]
pub struct Knock {
    /// What messages call the endpoint.
    object: Vec<u8>,
    doors: Vec<Door>,
    refused: Vec<(SocketAddr, io::Error)>,
    /// How often it has been knocked, and when to do so again, or to give up listening.
    knocked: u32,
    next_at: Option<Instant>,
    /// How long nothing has to come.
    silence: Duration,
}

/// How to ask.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The addresses of our side that were asked for.
    pub sources: &'a [SocketAddr],
    /// Socket options.
    pub options: &'a Options,
    /// The silence that counts as open, if it is shorter than a second.
    pub most: Option<Duration>,
}

#[derive(Debug)]
struct Door {
    address: SocketAddr,
    socket: socket2::Socket,
    slot: Slot,
}

impl Knock {
    /// Opens a socket for each address; those without a source of their family are left out.
    ///
    /// # Errors
    /// An option or a source address that does not work. An address that does not work is one that refuses.
    pub fn open(turn: &mut Turn, object: &[u8], addresses: &[SocketAddr], terms: &Terms<'_>) -> Result<Self, Error> {
        let (doors, refused) = (Vec::new(), Vec::new());
        let Terms { sources, options, most } = *terms;
        let silence = most.unwrap_or(SILENCE).min(SILENCE);
        let mut knock = Knock { object: object.into(), doors, refused, knocked: 0, next_at: None, silence };
        for address in addresses {
            let source = source(sources, *address, options);
            if source.is_none() && !sources.is_empty() {
                continue;
            }
            match door(turn, *address, source, options)? {
                Ok(door) => knock.doors.push(door),
                Err(error) => knock.refused.push((*address, error)),
            }
        }
        Ok(knock)
    }

    /// Does everything possible now; true once somebody is there, or may be.
    ///
    /// # Errors
    /// Every address has refused.
    pub fn turn(&mut self, turn: &mut Turn) -> Result<bool, Error> {
        if self.next_at.is_none_or(|at| at <= turn.now()) {
            if self.knocked == KNOCKS && !self.doors.is_empty() {
                return Ok(true);
            }
            self.doors.iter().for_each(Door::knock);
            self.knocked += 1;
            self.next_at = Some(turn.now() + self.silence / KNOCKS);
        }
        let mut index = 0;
        while let Some(door) = self.doors.get(index) {
            match door.answer(turn) {
                Ok(true) => return Ok(true),
                Ok(false) => index += 1,
                Err(error) => {
                    let mut door = self.doors.remove(index);
                    door.close(turn);
                    self.refused.push((door.address, error));
                }
            }
        }
        if self.doors.is_empty() { Err(self.all_refused()) } else { Ok(false) }
    }

    /// When the next turn is due at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.next_at
    }

    fn all_refused(&self) -> Error {
        let told: Vec<_> =
            self.refused.iter().map(|(address, error)| (printed::inet(address), sentence(error))).collect();
        match told.as_slice() {
            [] => Error::said(Op::Connect, &self.object, "it has no address of the same family as the source address"),
            [(_, cause)] => Error::said(Op::Connect, &self.object, cause.as_str()),
            [(_, first), rest @ ..] if rest.iter().all(|(_, cause)| cause == first) => {
                let tried: Vec<_> = self.refused.iter().map(|(address, _)| printed::host(address)).collect();
                Error::said(Op::Connect, &self.object, format!("{first} (tried {})", tried.join(", ")))
            }
            all => {
                let facts = all.iter().map(|(address, cause)| format!("{address}  {cause}")).collect();
                let sentence = format!("all {} addresses refused", all.len());
                Error::said(Op::Connect, &self.object, sentence).with_facts(facts)
            }
        }
    }
}

impl Door {
    /// An error is kept by the socket, or comes again with the next knock.
    fn knock(&self) {
        let _ = self.socket.send(&[]);
    }

    /// True if somebody answered.
    fn answer(&self, turn: &mut Turn) -> io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        if !turn.latch(self.slot).read {
            return Ok(false);
        }
        match sys::receive(std::os::fd::AsFd::as_fd(&self.socket), &mut [0]) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                turn.read_would_block(self.slot);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn close(&mut self, turn: &mut Turn) {
        turn.deregister(&mut SourceFd(&self.socket.as_raw_fd()), self.slot);
    }
}

/// Asks a Unix datagram socket.
///
/// # Errors
/// Nobody has it open, it is not there, or it is one of another type.
pub fn unix(object: &[u8], name: &UnixName) -> Result<(), Error> {
    let failed = |error| Error::new(Op::Connect, object, error);
    let address = unix_path::address(name).map_err(|why| Error::said(Op::Connect, object, why.cause))?;
    let socket = sys::socket(Domain::UNIX, Type::DGRAM, None).map_err(failed)?;
    socket.connect(&address).map_err(failed)
}

/// A connected socket. The outer error is the user's, the inner one the address's.
fn door(
    turn: &mut Turn,
    address: SocketAddr,
    source: Option<SocketAddr>,
    options: &Options,
) -> Result<io::Result<Door>, Error> {
    let domain = Domain::for_address(address);
    let socket = match sys::socket(domain, Type::DGRAM, None) {
        Ok(socket) => socket,
        Err(error) => return Ok(Err(error)),
    };
    options::apply(options, &socket, Target::of(domain, true), Phase::BeforeBind)?;
    if let Some(source) = source {
        let object = || format!("source address {}", printed::inet(&source));
        socket.bind(&SockAddr::from(source)).map_err(|error| Error::new(Op::Use, object(), error))?;
    }
    let connected = socket.connect(&SockAddr::from(address)).and_then(|()| {
        let slot = turn.register(&mut SourceFd(&socket.as_raw_fd()))?;
        Ok(Door { address, socket, slot })
    });
    Ok(connected)
}

/// Our side for an address: what was asked for, of the same family.
fn source(sources: &[SocketAddr], address: SocketAddr, options: &Options) -> Option<SocketAddr> {
    let given = sources.iter().find(|source| source.is_ipv4() == address.is_ipv4()).copied();
    given.or_else(|| {
        let port = options.source_port.filter(|_| sources.is_empty())?;
        Some(match address.is_ipv4() {
            true => (std::net::Ipv4Addr::UNSPECIFIED, port).into(),
            false => (std::net::Ipv6Addr::UNSPECIFIED, port).into(),
        })
    })
}

/// How long nothing has to come until the port counts as open, and how often it is knocked in that time.
const SILENCE: Duration = Duration::from_secs(1);
const KNOCKS: u32 = 3;

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;
    use crate::endpoint::testing::drive;

    fn knock(addresses: Vec<SocketAddr>) -> Result<(), Error> {
        let mut held = None;
        let options = Options::default();
        drive(move |turn| {
            let knock = match &mut held {
                Some(knock) => knock,
                None => {
                    let terms = Terms { sources: &[], options: &options, most: None };
                    held.insert(Knock::open(turn, b"x:1", &addresses, &terms).unwrap())
                }
            };
            match knock.turn(turn) {
                Ok(true) => Ok(Ok(())),
                Ok(false) => Err(knock.deadline()),
                Err(error) => Ok(Err(error)),
            }
        })
    }

    /// A port that nobody has.
    fn closed() -> SocketAddr {
        UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[test]
    fn a_port_that_nobody_has_is_refused_and_a_silent_one_is_open() {
        let error = knock(vec![closed()]).unwrap_err();
        assert_eq!(error.line(), "cannot connect to x:1: connection refused");
        assert_eq!(error.status().code(), 1);
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        knock(vec![silent.local_addr().unwrap()]).unwrap();
        // an empty datagram is a datagram
        assert_eq!(silent.recv(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn one_address_of_several_is_enough_and_an_answer_is_not_waited_for_in_vain() {
        let there = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = there.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let (_, peer) = there.recv_from(&mut [0; 8]).unwrap();
            there.send_to(b"yes", peer).unwrap();
        });
        let start = Instant::now();
        knock(vec![closed(), address]).unwrap();
        assert!(start.elapsed() < SILENCE, "the answer did not count");
        answering.join().unwrap();
        let error = knock(vec![closed(), closed()]).unwrap_err();
        assert_eq!(error.line(), "cannot connect to x:1: connection refused (tried 127.0.0.1, 127.0.0.1)");
    }

    #[test]
    fn a_unix_datagram_socket_says_at_once_whether_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let ask = |name: &str| unix(b"/s", &UnixName::Path(directory.path().join(name)));
        assert_eq!(ask("none").unwrap_err().line(), "cannot connect to /s: no such file or directory");
        let _socket = UnixDatagram::bind(directory.path().join("s")).unwrap();
        ask("s").unwrap();
        let _stream = UnixListener::bind(directory.path().join("stream")).unwrap();
        assert!(ask("stream").is_err());
        drop(UnixDatagram::bind(directory.path().join("stale")).unwrap());
        assert_eq!(ask("stale").unwrap_err().line(), "cannot connect to /s: connection refused");
    }
}
