//! `--proxy-accept`: clients whose PROXY header is being waited for, each as a task of its own.
//!
//! A header is read to its last byte and no further: pieces of it are taken as they come, the piece with its end only
//! up to there. So the session finds the first byte of payload in the socket, and its bytes can still be spliced.

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::endpoint::accept::Accepted;
use crate::endpoint::access::Access;
use crate::endpoint::printed;
use crate::error::Error;
use crate::layer::proxy_header::{LONGEST, Parties, parse};
use crate::outcome::{Ended, Outcome};
use crate::plan::AccessList;
use crate::reactor::{Park, Task, TaskId, Turn};
use crate::units::Span;

/// Everybody who has come in and has not said yet for whom.
pub(super) struct Lobby {
    /// Who may say so.
    proxies: Access,
    waiting: HashSet<TaskId>,
    desk: Rc<Desk>,
}

/// What the tasks and the lobby share.
#[derive(Default)]
struct Desk {
    heard: RefCell<VecDeque<Heard>>,
    /// Nobody is waited for any more.
    closed: Cell<bool>,
}

/// A client that is not waited for any more.
pub(super) struct Heard {
    task: TaskId,
    /// The listener that it came to.
    pub(super) pair: usize,
    /// It, in its own name.
    pub(super) client: Accepted,
    pub(super) header: Result<Parties, Silence>,
}

/// Why there is no header.
pub(super) enum Silence {
    /// The proxy went away without a byte, as those do that only look whether somebody listens.
    Left,
    /// What there was instead.
    Unheard(String),
}

impl Lobby {
    /// A lobby for those whom `proxies` lists; for everybody where it is empty.
    ///
    /// # Errors
    /// A list cannot be read.
    pub(super) fn new(proxies: &[AccessList]) -> Result<Self, Error> {
        let proxies = Access::load(proxies, &[])?;
        Ok(Lobby { proxies, waiting: HashSet::new(), desk: Rc::default() })
    }

    /// Whether a header from there is believed. A Unix socket's permissions say who may come there.
    pub(super) fn trusts(&self, ip: Option<IpAddr>) -> bool {
        ip.is_none_or(|ip| self.proxies.permits(ip))
    }

    /// Reads the lists again.
    ///
    /// # Errors
    /// A line is wrong; the lists are then what they were.
    pub(super) fn reload(&mut self) -> Result<(), Error> {
        self.proxies.reload()
    }

    /// Waits for the header of a client.
    pub(super) fn admit(&mut self, turn: &mut Turn, client: Accepted, pair: usize) {
        let until = turn.now() + PATIENCE;
        let desk = Rc::clone(&self.desk);
        let guest = Guest { client: Some(client), pair, read: Vec::new(), until, desk };
        self.waiting.insert(turn.spawn(Box::new(guest)));
    }

    /// Somebody who is not waited for any more.
    pub(super) fn heard(&mut self) -> Option<Heard> {
        let heard = self.desk.heard.borrow_mut().pop_front()?;
        self.waiting.remove(&heard.task);
        Some(heard)
    }

    /// True while somebody is waited for.
    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Waits for nobody any more.
    pub(super) fn close(&self, turn: &mut Turn) {
        self.desk.closed.set(true);
        for task in &self.waiting {
            turn.wake(*task);
        }
    }
}

/// One client that owes a header.
struct Guest {
    /// Until it is heard.
    client: Option<Accepted>,
    pair: usize,
    /// The pieces that have come. Invariant: all of it belongs to the header, which is not whole yet.
    read: Vec<u8>,
    until: Instant,
    desk: Rc<Desk>,
}

impl Guest {
    /// Reads what is there; `None` while the header is not whole.
    fn listen(&mut self, turn: &mut Turn) -> Option<Result<Parties, Silence>> {
        let unheard = |why: &str| Some(Err(Silence::Unheard(why.to_string())));
        let client = self.client.as_mut()?;
        if self.desk.closed.get() {
            return Some(Err(Silence::Left));
        }
        let mut piece = [0; PIECE];
        loop {
            let count = match client.socket.peek(turn, &mut piece) {
                Ok(0) if self.read.is_empty() => return Some(Err(Silence::Left)),
                Ok(0) => return unheard("it ended within its PROXY header"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) if self.read.is_empty() => return Some(Err(Silence::Left)),
                Err(_) => return unheard("it was reset within its PROXY header"),
            };
            let before = self.read.len();
            self.read.extend_from_slice(&piece[..count]);
            let found = match parse(&self.read) {
                Ok(found) => found,
                Err(flaw) => return unheard(flaw.0),
            };
            let end = found.as_ref().map_or(self.read.len(), |(_, length)| *length);
            // it is there, so one call takes it; the parser saw more than it needed, never less
            match client.socket.read(turn, &mut piece[..end - before]) {
                Ok(taken) if before + taken == end => {}
                _ => return unheard("its PROXY header cannot be read"),
            }
            if let Some((parties, _)) = found {
                return Some(Ok(parties));
            }
            debug_assert!(self.read.len() < LONGEST);
        }
        match self.until <= turn.now() {
            true => unheard(&format!("its PROXY header was not whole within {}", Span(PATIENCE))),
            false => None,
        }
    }
}

impl Guest {
    /// Leaves the client at the desk.
    fn tell(&mut self, turn: &mut Turn, header: Result<Parties, Silence>) {
        let Some(mut client) = self.client.take() else { return };
        client.socket.stop(turn);
        let (task, pair) = (turn.id(), self.pair);
        let client = match &header {
            Ok(parties) => named(client, parties),
            Err(_) => client,
        };
        self.desk.heard.borrow_mut().push_back(Heard { task, pair, client, header });
    }
}

impl Task for Guest {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let started = self.client.as_mut().map_or(Ok(()), |client| client.socket.start(turn));
        if let Err(error) = started {
            self.tell(turn, Err(Silence::Unheard(error.to_string())));
        }
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        match self.listen(turn) {
            Some(header) => self.tell(turn, header),
            None if self.client.is_some() => {
                turn.deadline(Some(self.until));
                return Park::Wait;
            }
            None => {}
        }
        Park::Done(Outcome::nothing_moved(Ended::Clean))
    }
}

/// The connection under the names that the header gives it. Who has no address is still judged by the proxy's.
fn named(client: Accepted, parties: &Parties) -> Accepted {
    match parties {
        Parties::Own => client,
        Parties::Inet(from, to) => {
            let [from, to] = [from, to].map(|address| printed::unmapped(*address));
            let (peer, told_local) = (printed::inet(&from), Some(printed::inet(&to)));
            Accepted { protocol: "tcp", peer, told_local, ip: Some(from.ip()), ..client }
        }
        Parties::Unix(from, to) => {
            let (peer, told_local) = (printed::unix(from), Some(printed::unix(to)));
            Accepted { protocol: "unix", peer, told_local, ..client }
        }
    }
}

/// How long a client may take for its header.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes looked at in one call; a header without extensions fits.
const PIECE: usize = 256;
