//! One side of a session: a transport with its layers, seen as plain bytes.

mod closing;
mod layered;
pub(super) mod receipts;

use std::io;
use std::rc::Rc;
use std::time::Instant;

use super::program::Program;
use crate::buffer::{Buffer, Pool, Portion};
use crate::endpoint::process::Child;
use crate::endpoint::{Spliceable, Transport};
use crate::error::{Cause, Error};
use crate::layer::stack::Stack;
use crate::reactor::Turn;
use crate::sys::Access;
use layered::Pace;

/// Who is at the other side of an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// Files, pipes and terminals of this machine, with the names that messages use for reading and writing.
    Local {
        /// Say `standard input`.
        reading: Box<str>,
        /// Say `standard output`.
        writing: Box<str>,
    },
    /// A program that haul started, by its name.
    Program(Box<str>),
    /// Another program, over a socket; as printed.
    Peer(Box<str>),
}

/// What went wrong in one system call or one layer.
#[derive(Debug)]
pub enum Fault {
    /// The system said so.
    Io(io::Error),
    /// A layer said so.
    Layer(Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Io(error)
    }
}

/// What one step of a pump did at an end.
#[derive(Debug)]
pub enum Step {
    /// Moved this many bytes, at least one.
    Moved(usize),
    /// Nothing can be done before an event.
    Blocked,
    /// No more bytes come.
    Eof,
    /// This direction is over.
    Failed(Fault),
}

impl Step {
    fn of(result: io::Result<usize>) -> Self {
        match result {
            Ok(0) => Step::Eof,
            Ok(count) => Step::Moved(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Step::Blocked,
            Err(error) => Step::Failed(error.into()),
        }
    }
}

/// A transport with the layers on it.
pub struct End {
    transport: Transport,
    /// `None` when the transport is bare, so that its bytes may be spliced.
    stack: Option<Box<Stack>>,
    side: Side,
    /// Some call was told that the peer is gone. The kernel says so once, to whoever asks first; from then on an end
    /// of file here is no end of file.
    cut: bool,
    /// The end of our bytes was passed on, or nothing was to be.
    write_closed: bool,
    /// Writing what the layers had to say failed; what they say from now on is dropped, so that reading can go on.
    mute: bool,
    /// The transport gave an end of file to the stack.
    wire_ended: bool,
    /// The end of file was read.
    read_ended: bool,
    /// It is registered.
    started: bool,
    /// The program behind the transport, until it is handed over.
    program: Option<Box<Program>>,
    /// A layer was given bytes or an end from the wire: it may have something to say, or take what it refused before,
    /// although no payload came of it.
    stirred: bool,
    /// Nothing will be asked of this end after its close: a protocol that cannot half-close says its end as well.
    parting: bool,
    /// The end of our bytes could not be said without ending the other direction.
    held_close: bool,
    /// Nothing more may be sent.
    is_shut: bool,
    pace: Pace,
    /// Proxies lead to the peer.
    is_led: bool,
    /// The end of our bytes was said by the layers, and the transport's is kept back.
    keeps_wire: bool,
    /// Bytes that the layers have said since our end, which are no payload; below 0 while payload waits in front of them.
    behind_payload: Option<isize>,
}

impl End {
    /// An end over a transport, with the layers that stand on it (outermost first).
    pub fn new(transport: Transport, side: Side, stack: Option<Stack>) -> Self {
        End {
            transport,
            stack: stack.map(Box::new),
            side,
            cut: false,
            write_closed: false,
            mute: false,
            wire_ended: false,
            read_ended: false,
            started: false,
            program: None,
            stirred: false,
            parting: false,
            held_close: false,
            is_shut: false,
            pace: Pace::default(),
            is_led: false,
            keeps_wire: false,
            behind_payload: None,
        }
    }

    /// Takes it apart for whoever drives it in another way: the transport as it stands, and the layers on it. For an end
    /// without a program, which would be lost.
    pub fn into_parts(self) -> (Transport, Option<Box<Stack>>) {
        (self.transport, self.stack)
    }

    /// The same, with the program whose input and output the transport is.
    pub fn with_program(mut self, child: Child) -> Self {
        self.program = Some(Box::new(Program::new(child)));
        self
    }

    /// The same, where proxies lead to the peer if `led`: some of them take the end of the transport for that of both
    /// directions, and what comes back is lost.
    pub fn led(self, led: bool) -> Self {
        End { is_led: led, ..self }
    }

    /// Has its layers borrow from a pool what memory they need while there is something in transit.
    pub fn borrow_from(&mut self, pool: &Rc<Pool>) {
        if let Some(stack) = &mut self.stack {
            stack.borrow_from(pool);
        }
    }

    /// The program behind this end, if there is one.
    pub fn program(&mut self) -> Option<&mut Program> {
        self.program.as_deref_mut()
    }

    /// Takes the program out, to be waited for elsewhere.
    pub fn take_program(&mut self) -> Option<Program> {
        self.program.take().map(|program| *program)
    }

    /// Declares that the peer was found to be gone before the session began; what it sent may still be read.
    pub fn mark_cut(&mut self) {
        self.cut = true;
    }

    /// Asks the kernel whether the peer has cut the connection since its end of file, which no read would tell.
    pub fn look_for_cut(&mut self) {
        if let Some(error) = self.transport.take_error() {
            self.failed(error);
        }
    }

    /// The next read is tried, whether an event has told of something to read or not.
    pub(super) fn arm(&self, turn: &mut Turn) {
        self.transport.slots().for_each(|slot| turn.arm(slot));
    }

    /// From now on the kernel asks whether the peer is still there.
    pub fn probe(&self) {
        self.transport.probe();
    }

    /// True once the peer is known to have cut the connection.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// True once the end of file was read: nothing is left to be discarded.
    pub fn is_read_ended(&self) -> bool {
        self.read_ended
    }

    /// True once what the layers held could not be written.
    pub fn is_mute(&self) -> bool {
        self.mute
    }

    /// Who is there.
    pub fn side(&self) -> &Side {
        &self.side
    }

    /// True for another program over a socket.
    pub fn is_peer(&self) -> bool {
        matches!(self.side, Side::Peer(_))
    }

    /// True for a program that haul started.
    pub fn is_program(&self) -> bool {
        matches!(self.side, Side::Program(_))
    }

    /// True if a read would find nothing, since no event has told of more: not known where layers may hold something.
    pub(super) fn is_dry(&self, turn: &Turn) -> bool {
        !self.has_layers() && !self.transport.can_read(turn)
    }

    /// The transport below the layers.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    pub(super) fn transport_mut(&mut self) -> &mut Transport {
        &mut self.transport
    }

    /// Registers the transport, unless whoever had this end before has done that.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub fn start(&mut self, turn: &mut Turn) -> io::Result<()> {
        if std::mem::replace(&mut self.started, true) {
            return Ok(());
        }
        self.program.as_mut().map_or(Ok(()), |program| program.start(turn))?;
        self.transport.start(turn)
    }

    /// Reads plain bytes into `buffer`, at most `most`.
    pub fn read(&mut self, turn: &mut Turn, buffer: &mut Buffer, most: usize) -> Step {
        let step = match self.stack {
            None => self.read_bare(turn, buffer, most),
            Some(_) => self.read_through_layers(turn, buffer, most),
        };
        let step = unless_told_to_end(turn, step);
        self.read_ended |= matches!(step, Step::Eof);
        self.judge(step)
    }

    fn read_bare(&mut self, turn: &mut Turn, buffer: &mut Buffer, most: usize) -> Step {
        let step = Step::of(self.transport.read(turn, buffer.spare(most)));
        if let Step::Moved(count) = step {
            buffer.fill(count);
        }
        step
    }

    /// Drops received bytes without looking at them.
    pub fn discard(&mut self, turn: &mut Turn, most: usize) -> Step {
        let step = Step::of(self.transport.discard(turn, most));
        let step = unless_told_to_end(turn, step);
        self.judge(step)
    }

    /// The peer has ended both directions: what is still to be sent to it fails.
    pub fn shut(&mut self) {
        self.is_shut = true;
    }

    /// True once nothing more may be sent.
    pub fn is_shut(&self) -> bool {
        self.is_shut
    }

    /// Writes plain bytes.
    pub fn write(&mut self, turn: &mut Turn, bytes: &[u8]) -> Step {
        self.write_portion(turn, bytes.into())
    }

    /// The same, where the layers may keep what they want to look at.
    pub fn write_portion(&mut self, turn: &mut Turn, portion: Portion<'_>) -> Step {
        let bytes = portion.bytes();
        if self.is_shut {
            return Step::Failed(Fault::Layer(Error::begun("sending failed", closed_by(&self.name(false)))));
        }
        let step = loop {
            if !self.stack.as_ref().is_some_and(|stack| stack.has_layers()) {
                break match self.transport.write(turn, bytes) {
                    Ok(0) => Step::Blocked,
                    result => Step::of(result),
                };
            }
            if self.mute {
                break Step::Failed(Fault::Io(io::ErrorKind::BrokenPipe.into()));
            }
            if let Some(step) = self.write_raw(turn, portion) {
                break step;
            }
            let Some(stack) = &mut self.stack else { continue };
            let taken = match stack.encode(bytes) {
                Ok(taken) => taken,
                Err(error) => break Step::Failed(Fault::Layer(error)),
            };
            match self.flush(turn) {
                Step::Failed(fault) => break Step::Failed(fault),
                // what went made room
                Step::Moved(_) if taken == 0 => {}
                _ if taken == 0 => break Step::Blocked,
                _ => break Step::Moved(taken),
            }
        };
        self.judge(step)
    }

    /// Remembers a cut, and turns an end of file on a cut connection into the reset that it is.
    fn judge(&mut self, step: Step) -> Step {
        match step {
            Step::Failed(Fault::Io(error)) => {
                self.cut |= self.is_peer() && is_cut(&error);
                Step::Failed(Fault::Io(error))
            }
            Step::Failed(Fault::Layer(error)) => {
                self.cut |= self.is_peer() && matches!(error.cause(), Cause::Io(error) if is_cut(error));
                Step::Failed(Fault::Layer(error))
            }
            // an end that a protocol vouches for is one, whatever became of the connection
            Step::Eof if self.cut && self.is_peer() && !self.has_heard_end() => {
                Step::Failed(Fault::Io(io::ErrorKind::ConnectionReset.into()))
            }
            step => step,
        }
    }

    /// The descriptor of one direction for splice(2); `None` while a layer must see the bytes.
    pub fn spliceable(&self, access: Access) -> Option<Spliceable<'_>> {
        if self.stack.is_some() { None } else { self.transport.spliceable(access) }
    }

    /// Takes note of a system call made on [`End::spliceable`] that failed.
    pub fn failed(&mut self, error: io::Error) -> Fault {
        self.cut |= self.is_peer() && is_cut(&error);
        Fault::Io(error)
    }

    /// True while a layer must see the bytes.
    pub fn has_layers(&self) -> bool {
        self.stack.is_some()
    }

    /// Bytes that our side accepted and the peer's kernel has not acknowledged.
    pub fn unsent(&self) -> usize {
        if self.cut { 0 } else { self.unflushed() + self.transport.unsent() }
    }

    /// Bytes that its layers have made and the transport has not taken.
    pub fn unflushed(&self) -> usize {
        self.stack.as_ref().map_or(0, |stack| stack.unflushed())
    }

    /// True once a layer has failed and what was decoded before that was read: no event brings more.
    pub fn gives_nothing(&mut self) -> bool {
        let Some(stack) = self.stack.as_mut().filter(|stack| stack.is_failed()) else { return false };
        stack.decode();
        stack.plain().is_empty()
    }

    /// When a layer wants to be told the time.
    pub fn deadline(&self) -> Option<Instant> {
        self.stack.as_ref().and_then(|stack| stack.deadline())
    }

    /// Closes everything; with `reset` the peer is told that this was no orderly end, unless a layer has done that: then
    /// the connection ends cleanly, as RFC 6455, 7.1.1 asks for.
    ///
    /// # Errors
    /// What closing a file says of data that could not be written.
    pub fn close(mut self, turn: &mut Turn, reset: bool) -> io::Result<()> {
        if reset && self.stack.as_ref().is_some_and(|stack| stack.is_failed()) {
            // what it has to say of that goes first, if there is room; a reset says the rest
            self.flush(turn);
        }
        let is_said = self.stack.as_ref().is_some_and(|stack| stack.is_failure_told());
        self.transport.close(turn, reset && !is_said)
    }
}

/// An end of file that is read after a signal is none: whoever interrupts a pipeline ends its first program, too, and the
/// poll may tell of that before it tells of the signal. Nobody may be told that the source has ended.
fn unless_told_to_end(turn: &mut Turn, step: Step) -> Step {
    match step {
        Step::Eof if turn.is_told_to_end() => Step::Blocked,
        step => step,
    }
}

/// It has ended both directions.
pub(super) fn closed_by(name: &str) -> Cause {
    Cause::Said(format!("{name} has closed the connection"))
}

/// Errors that mean that the peer, or the way to it, is gone for good.
fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable, NotConnected,
        TimedOut,
    };
    matches!(
        error.kind(),
        BrokenPipe
            | ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | NetworkDown
            | NetworkUnreachable
            | NotConnected
            | TimedOut
    )
}
