//! Real descriptors for sessions, and threads of the test at their far sides.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::driver::{Dice, Log, plain};
use crate::endpoint::descriptor::Descriptor;
use crate::endpoint::socket::{Family, Socket};
use crate::endpoint::testing::tcp_pair;
use crate::endpoint::{Descriptors, Transport};
use crate::error::Error;
use crate::layer::stack::Stack;
use crate::meter::Meter;
use crate::outcome::Outcome;
use crate::reactor::{Park, Reactor, Task, Turn};
use crate::session::carrier::Pools;
use crate::session::end::{End, Side};
use crate::session::policy::Policy;
use crate::session::{Context, Session};
use crate::sys::Access;

/// The session as the reactor's only task.
pub(super) struct Alone(pub(super) Session);

impl Task for Alone {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.0.start(turn)
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        self.0.turn(turn)
    }
}

/// Runs a session to its end. A hang fails by `--max-time`.
pub(super) fn run(local: End, peer: End, policy: Policy) -> Outcome {
    let context = Context {
        policy: Policy { max_time: Some(Duration::from_secs(20)), ..policy },
        pools: Pools::new(64 * 1024, 256 * 1024),
        meter: Arc::new(Meter::default()),
        observer: Rc::new(Log::default()),
    };
    let session = Session::new(local, peer, context, std::time::Instant::now());
    Reactor::new().unwrap().run(Box::new(Alone(session))).unwrap()
}

/// The defaults, with blocks large enough for splice.
pub(super) fn drop_nothing() -> Policy {
    Policy { block: 1 << 20, ..plain() }
}

/// Bytes that a seed decides.
pub(super) fn bytes(count: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    (0..count).map(|_| dice.below(256) as u8).collect()
}

/// The other side of something, run by a thread of the test.
pub(super) struct Far(JoinHandle<Vec<u8>>);

impl Far {
    pub(super) fn spawn<T: Send + 'static>(mut end: T, run: impl FnOnce(&mut T) -> Vec<u8> + Send + 'static) -> Self {
        Far(std::thread::spawn(move || run(&mut end)))
    }

    pub(super) fn join(self) -> Vec<u8> {
        self.0.join().unwrap()
    }
}

/// Writes everything in pieces that the seed decides, giving the other side time to run dry now and then.
pub(super) fn write_in_pieces(to: &mut impl Write, bytes: &[u8], seed: u64) {
    let (mut dice, mut rest) = (Dice::new(seed), bytes);
    while !rest.is_empty() {
        let most = if dice.one_in(3) { 100 } else { 100_000 };
        let (now, later) = rest.split_at(rest.len().min(1 + dice.below(most)));
        to.write_all(now).unwrap();
        rest = later;
        if dice.one_in(4) {
            std::thread::yield_now();
        }
    }
}

/// Reads to the end in pieces that the seed decides.
pub(super) fn read_in_pieces(from: &mut impl Read, seed: u64) -> Vec<u8> {
    let (mut dice, mut heard, mut buffer) = (Dice::new(seed), Vec::new(), vec![0; 100_000]);
    loop {
        let most = if dice.one_in(3) { 100 } else { buffer.len() };
        match from.read(&mut buffer[..1 + dice.below(most)]) {
            Ok(0) => return heard,
            Ok(count) => heard.extend(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => panic!("after {} bytes: {error}", heard.len()),
        }
        if dice.one_in(4) {
            std::thread::yield_now();
        }
    }
}

pub(super) fn descriptor(fd: impl Into<OwnedFd>, access: Access) -> Descriptor {
    let fd = fd.into();
    rustix::io::ioctl_fionbio(&fd, true).unwrap();
    Descriptor::own(fd, access).unwrap()
}

pub(super) fn local_end(reader: Option<Descriptor>, writer: Option<Descriptor>) -> End {
    let side = Side::Local { reading: "standard input".into(), writing: "standard output".into() };
    End::new(Transport::from(Descriptors { reader, writer }), side, None)
}

pub(super) fn socket_end(fd: OwnedFd, family: Family, stack: Option<Stack>) -> End {
    rustix::io::ioctl_fionbio(&fd, true).unwrap();
    End::new(Transport::Socket(Socket::own(fd, family)), Side::Peer("peer".into()), stack)
}

/// What was written to a file by a session.
pub(super) struct Written(File);

impl Written {
    pub(super) fn bytes(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.rewind().unwrap();
        self.0.read_to_end(&mut bytes).unwrap();
        bytes
    }
}

pub(super) fn file_with(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

/// A local end that reads a file with these bytes and writes another.
pub(super) fn file_of(bytes: &[u8]) -> (End, Written) {
    let output = tempfile::tempfile().unwrap();
    let written = Written(output.try_clone().unwrap());
    let reader = descriptor(file_with(bytes), Access::Read);
    (local_end(Some(reader), Some(descriptor(output, Access::Write))), written)
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Pipe,
    File,
    Unix,
    Tcp,
}

pub(super) const KINDS: [Kind; 4] = [Kind::Pipe, Kind::File, Kind::Unix, Kind::Tcp];

/// What became of the bytes at the far side of a sink.
pub(super) enum Sink {
    Far(Far),
    File(Written),
}

impl Sink {
    pub(super) fn bytes(self) -> Vec<u8> {
        match self {
            Sink::Far(far) => far.join(),
            Sink::File(written) => written.bytes(),
        }
    }
}

/// An end that gives these bytes and then ends; nothing is written to it.
pub(super) fn source(kind: Kind, payload: &[u8], seed: u64) -> End {
    let payload = payload.to_vec();
    match kind {
        Kind::File => local_end(Some(descriptor(file_with(&payload), Access::Read)), None),
        Kind::Pipe => {
            let (reader, writer) = io::pipe().unwrap();
            Far::spawn(writer, move |far| {
                write_in_pieces(far, &payload, seed);
                Vec::new()
            });
            local_end(Some(descriptor(reader, Access::Read)), None)
        }
        Kind::Unix => {
            let (near, far) = UnixStream::pair().unwrap();
            Far::spawn(far, move |far| {
                write_in_pieces(far, &payload, seed);
                far.shutdown(std::net::Shutdown::Write).unwrap();
                read_in_pieces(far, seed)
            });
            socket_end(near.into(), Family::Unix, None)
        }
        Kind::Tcp => {
            let (near, far) = tcp_pair(None);
            Far::spawn(far, move |far| {
                write_in_pieces(far, &payload, seed);
                far.shutdown(std::net::Shutdown::Write).unwrap();
                read_in_pieces(far, seed)
            });
            socket_end(near.into(), Family::Tcp, None)
        }
    }
}

/// An end that takes bytes and gives none; its far side ends at once, or only when everything was heard.
pub(super) fn sink(kind: Kind, seed: u64) -> (End, Sink) {
    let ends_first = seed.is_multiple_of(2);
    match kind {
        Kind::File => {
            let output = tempfile::tempfile().unwrap();
            let written = Written(output.try_clone().unwrap());
            (local_end(None, Some(descriptor(output, Access::Write))), Sink::File(written))
        }
        Kind::Pipe => {
            let (reader, writer) = io::pipe().unwrap();
            let far = Far::spawn(reader, move |far| read_in_pieces(far, seed));
            (local_end(None, Some(descriptor(writer, Access::Write))), Sink::Far(far))
        }
        Kind::Unix => {
            let (near, far) = UnixStream::pair().unwrap();
            let far = Far::spawn(far, move |far| {
                if ends_first {
                    far.shutdown(std::net::Shutdown::Write).unwrap();
                }
                read_in_pieces(far, seed)
            });
            (socket_end(near.into(), Family::Unix, None), Sink::Far(far))
        }
        Kind::Tcp => {
            let (near, far) = tcp_pair(None);
            let far = Far::spawn(far, move |far| {
                if ends_first {
                    far.shutdown(std::net::Shutdown::Write).unwrap();
                }
                read_in_pieces(far, seed)
            });
            (socket_end(near.into(), Family::Tcp, None), Sink::Far(far))
        }
    }
}
