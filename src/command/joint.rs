//! What the connections of one command have in common, and how each is joined to its local side.

use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::contact::Contact;
use super::copy::Copier;
use super::link::Link;
use super::mover::Mover;
use super::surroundings::variables;
use crate::endpoint::open::Opened;
use crate::endpoint::process;
use crate::endpoint::{Descriptors, Transport, printed, stdio};
use crate::error::Error;
use crate::escape::Escaped;
use crate::event::Observer;
use crate::layer::Layer;
use crate::layer::crlf::Crlf;
use crate::layer::verify::Verify;
use crate::meter::Meter;
use crate::plan::address::Program;
use crate::plan::faults::Direction;
use crate::plan::{self, Flow, Local, Transfer};
use crate::reactor::Turn;
use crate::session::carrier::Pools;
use crate::session::end::{End, Side};
use crate::session::faults::Faults;
use crate::session::policy::Policy;
use crate::session::share::{Common, Share};
use crate::session::tap::Tap;
use crate::session::{Context, Session};
use crate::sys;

/// What every link of one command has in common.
#[derive(Clone)]
pub(super) struct Joint {
    /// How bytes move and how it ends.
    pub(super) transfer: Transfer,
    /// What is joined to each connection.
    pub(super) local: Local,
    /// Where carriers come from.
    pub(super) pools: Rc<Pools>,
    /// Counts what is delivered.
    pub(super) meter: Arc<Meter>,
    /// Hears of everything.
    pub(super) observer: Rc<dyn Observer>,
    /// Who copies what passes (`-o`).
    pub(super) copier: Option<Copier>,
    /// How long a program may take between SIGHUP, SIGTERM and SIGKILL.
    pub(super) grace: Duration,
    /// There is one link and no other: nobody waits while it takes a long turn.
    alone: bool,
    /// Somebody at a terminal may be told what is waited for.
    hint: bool,
    /// Longest silence of one direction after the other has ended.
    half_close: Option<Duration>,
    /// What all sessions have in common, where there are many.
    shared: Option<Rc<Context>>,
    /// The rate that all links share.
    total: Option<Arc<Common>>,
    /// What goes wrong on purpose, and the seed that decides it.
    faults: Option<(Rc<plan::faults::Faults>, u64)>,
}

impl Joint {
    /// What a plan says, with pools of their own.
    pub(super) fn new(transfer: Transfer, local: Local, grace: Duration, observer: Rc<dyn Observer>) -> Self {
        let size = |default| transfer.buffer.map_or(default, |size| size.0 as usize);
        let pools = Pools::new(size(BUFFER), size(PIPE));
        let hint = local == Local::Stdio && sys::stderr_columns().is_some();
        Joint {
            transfer,
            local,
            pools,
            meter: Arc::new(Meter::default()),
            observer,
            copier: None,
            grace,
            alone: true,
            hint,
            half_close: None,
            shared: None,
            total: None,
            faults: None,
        }
    }

    /// The same between two peers, for many at once, on one of so many threads.
    pub(super) fn for_relay(
        self,
        half_close: Duration,
        total: Option<Arc<Common>>,
        meter: Arc<Meter>,
        shards: usize,
    ) -> Self {
        let size = |default| self.transfer.buffer.map_or(default, |size| size.0 as usize);
        let long = if self.transfer.buffer.is_some() { 0 } else { PIPE };
        let pools = Pools::with_some_long(size(BUFFER), size(RELAY_PIPE), long, shards);
        Joint { pools, meter, alone: false, hint: false, half_close: Some(half_close), total, ..self }
    }

    /// The same on a bad network, which `seed` decides.
    pub(super) fn with_faults(self, faults: &plan::faults::Faults, seed: u64) -> Self {
        Joint { faults: (!faults.is_sound()).then(|| (Rc::new(faults.clone()), seed)), ..self }
    }

    /// What goes wrong in a session: down to the client, which is the far end, and up from it.
    fn mischief(&self, number: u64) -> [Option<Faults>; 2] {
        let Some((faults, seed)) = &self.faults else { return [None, None] };
        let hold = self.transfer.buffer.unwrap_or(plan::faults::DEFAULT_HOLD).0 as usize;
        [Direction::Down, Direction::Up].map(|way| Faults::new(faults.way(way), way, *seed, number, hold))
    }

    /// The same, with what passes copied.
    pub(super) fn with_copier(self, copier: Option<Copier>) -> Self {
        Joint { copier, ..self }
    }

    /// The same, for many links at once.
    pub(super) fn for_many(self) -> Self {
        Joint { alone: false, ..self }
    }

    /// The same with other rules for how bytes move.
    pub(super) fn with_transfer(&self, transfer: Transfer) -> Self {
        let joint = Joint { transfer, ..self.clone() };
        Joint { shared: Some(joint.context().into()), ..joint }
    }

    /// The rules of each session.
    pub(super) fn policy(&self) -> Policy {
        let transfer = &self.transfer;
        Policy {
            flow: transfer.flow,
            stdin: transfer.stdin,
            shutdown: transfer.shutdown,
            after_peer_eof: transfer.after_peer_eof,
            quit_after: transfer.quit_after,
            linger: transfer.linger,
            grace: GRACE,
            idle: transfer.idle,
            half_close: self.half_close,
            max_time: transfer.max_time,
            max_bytes: transfer.max_bytes,
            stop_at: None,
            one_way: false,
            rate: transfer.rate,
            block: transfer.block.map_or(BLOCK, |size| size.0 as usize),
            budget: if self.alone { LONG_TURN } else { TURN },
            splice: transfer.splice,
            widen: transfer.splice && transfer.buffer.is_none(),
            hint: self.hint,
        }
    }

    /// What a session needs besides its ends.
    pub(super) fn context(&self) -> Context {
        Context {
            policy: self.policy(),
            pools: Rc::clone(&self.pools),
            meter: Arc::clone(&self.meter),
            observer: Rc::clone(&self.observer),
        }
    }

    /// True if bytes from the local side go to the peer.
    pub(super) fn sends(&self) -> bool {
        self.transfer.flow != Flow::ReceiveOnly && self.transfer.stdin
    }

    /// True if bytes from the peer go to the local side.
    pub(super) fn receives(&self) -> bool {
        self.transfer.flow != Flow::SendOnly
    }

    /// True if anything goes to the peer, be it only a banner.
    pub(super) fn writes(&self) -> bool {
        self.sends() || !self.transfer.banner.is_empty()
    }

    /// Whether the connection is read, and whether it is written: greetings and receipts go both ways whatever the
    /// payload does.
    pub(super) fn ways(&self) -> (bool, bool) {
        let verify = self.transfer.verify;
        (verify || self.transfer.flow != Flow::SendOnly, verify || self.writes())
    }

    /// True if there are line ends to convert on the way to the peer (`-C`).
    pub(super) fn converts(&self) -> bool {
        self.transfer.crlf && self.writes()
    }

    /// What the command itself puts on a connection that comes up now, outermost first.
    pub(super) fn layers(&self, now: Instant) -> Vec<Box<dyn Layer>> {
        layers(self.converts(), self.transfer.verify.then_some(now))
    }

    /// True if somebody types at the local side, or reads there.
    pub(super) fn is_typed(&self) -> bool {
        let at_terminal = || if self.sends() { io::stdin().is_terminal() } else { io::stdout().is_terminal() };
        self.local == Local::Stdio && at_terminal()
    }

    /// Standard input and output, as far as this plan uses them; `None` where a program stands there.
    ///
    /// # Errors
    /// Standard input is a directory; the file of `--out` cannot be made.
    pub(super) fn open_stdio(&self) -> Result<Option<Transport>, Error> {
        match self.local {
            Local::Stdio => self.open_local(self.sends(), self.transfer.flow != Flow::SendOnly).map(Some),
            Local::Program(_) => Ok(None),
        }
    }

    /// Standard input and output, or what stands in its place (`--out`).
    ///
    /// # Errors
    /// As [`Joint::open_stdio`].
    pub(super) fn open_local(&self, reads: bool, writes: bool) -> Result<Transport, Error> {
        let mut local = match &self.transfer.out {
            Some(path) if writes => stdio::open_with_out(reads, path)?,
            _ => stdio::open(reads, writes)?,
        };
        if self.transfer.fsync {
            local.sync_before_close();
        }
        Ok(local)
    }

    /// That as an end.
    pub(super) fn local_end(&self, transport: Transport) -> End {
        let reading = "standard input".into();
        let writing = match &self.transfer.out {
            Some(path) => Escaped(path.as_os_str().as_bytes()).to_string().into(),
            None => "standard output".into(),
        };
        End::new(transport, Side::Local { reading, writing }, None)
    }

    /// A session that was begun, with the wait for its programs.
    pub(super) fn link(&self, session: Session, number: u64) -> Link {
        self.link_of(Mover::Session(Box::new(session)), number)
    }

    /// The same for whatever moves bytes.
    pub(super) fn link_of(&self, mover: Mover, number: u64) -> Link {
        Link::new(mover, number, self.grace, Rc::clone(&self.observer))
    }

    /// Joins a connection to standard input and output, or to a program started for it.
    ///
    /// # Errors
    /// The program cannot be started, or epoll refuses.
    pub(super) fn join(
        &self,
        turn: &mut Turn,
        mut contact: Contact,
        stdio: Option<Transport>,
        number: u64,
    ) -> Result<Link, Error> {
        let near = match (&self.local, stdio) {
            (Local::Program(program), _) => match program_end(program, &contact) {
                Ok(near) => near,
                Err(error) => {
                    // a FIN would be an empty answer
                    contact.reset(turn);
                    return Err(error);
                }
            },
            (Local::Stdio, stdio) => self.local_end(stdio.unwrap_or(Descriptors::default().into())),
        };
        if self.transfer.fsync {
            contact.opened.transport.sync_before_close();
        }
        let tap = self.copier.as_ref().map(|copier| copier.tap(number));
        let began = contact.began();
        let link = self.join_ends(turn, near, far_end(contact, self.layers(turn.now())), number, tap)?;
        Ok(link.counted_from(began))
    }

    /// Joins a connection to whatever it is for.
    ///
    /// # Errors
    /// epoll refuses.
    pub(super) fn join_ends(
        &self,
        turn: &mut Turn,
        near: End,
        far: End,
        number: u64,
        tap: Option<Tap>,
    ) -> Result<Link, Error> {
        let context = self.shared.clone().unwrap_or_else(|| self.context().into());
        let session = Session::new(near, far, context, turn.now()).numbered(number);
        let share = self.total.clone().map(|total| Share::new(total, turn.now()));
        let session = session.with_share(share).with_faults(self.mischief(number));
        let mut session = session.with_tap(tap).with_banner(&self.transfer.banner);
        if let Err(error) = session.start(turn) {
            session.kill_programs();
            return Err(error);
        }
        Ok(self.link(session, number))
    }
}

/// A program that is started for a connection.
///
/// # Errors
/// It cannot be started.
pub(super) fn program_end(program: &Program, contact: &Contact) -> Result<End, Error> {
    let (both, child) = process::start(program, &variables(contact))?;
    let name = String::from_utf8_lossy(child.name()).into_owned();
    Ok(End::new(Transport::from(both), Side::Program(name.into()), None).with_program(child))
}

/// Line ends that are converted, receipts from the time that they are waited for; outermost first.
pub(super) fn layers(crlf: bool, verify: Option<Instant>) -> Vec<Box<dyn Layer>> {
    let mut layers: Vec<Box<dyn Layer>> = Vec::new();
    if crlf {
        layers.push(Box::new(Crlf::new()));
    }
    if let Some(now) = verify {
        layers.push(Box::new(Verify::new(now)));
    }
    layers
}

/// The end that was opened or accepted, with what stands on it, and with these layers on top of that.
pub(super) fn far_end(contact: impl Into<Contact>, layers: Vec<Box<dyn Layer>>) -> End {
    let contact = contact.into();
    let led = contact.led;
    let (opened, stack) = contact.covered(layers);
    // the usual client of a Unix socket has no name: what it came to has
    let came_to = (opened.peer == printed::UNNAMED).then(|| opened.local());
    let Opened { transport, peer, cut, child, .. } = opened;
    let peer = came_to.map_or(peer, |local| format!("a client of {local}"));
    let side = match (transport.is_remote(), &child) {
        (true, _) => Side::Peer(peer.into()),
        (false, Some(_)) => Side::Program(peer.into()),
        (false, None) => Side::Local { reading: peer.as_str().into(), writing: peer.into() },
    };
    let mut far = End::new(transport, side, stack).led(led);
    if let Some(child) = child {
        far = far.with_program(child);
    }
    if cut.is_some() {
        far.mark_cut();
    }
    far
}

/// Bytes in a buffer of ours: beyond this reads gain nothing.
const BUFFER: usize = 256 * 1024;

/// Bytes in a kernel pipe of ours: what an unprivileged process may have.
const PIPE: usize = 1 << 20;

/// The same between peers, but for the first few: many are leased when many sinks are slow, and all together have a
/// limit.
const RELAY_PIPE: usize = 256 * 1024;

/// Bytes by one system call.
const BLOCK: usize = 1 << 20;

/// Bytes that one direction of many sessions moves in one turn: a fraction of a millisecond.
const TURN: u64 = 1 << 20;

/// The same where nobody else waits: an epoll_wait a mebibyte would cost one part in fifty.
const LONG_TURN: u64 = 8 << 20;

/// How long a signal lets what is in transit go on.
const GRACE: Duration = Duration::from_millis(500);
