//! Opening things: each file owns one kind, and all of them end in a [`Transport`].

pub mod accept;
pub mod access;
mod attempt;
mod bind;
pub mod credentials;
pub mod descriptor;
pub mod dial;
pub mod fifo;
pub mod file;
pub mod identity;
pub mod knock;
pub mod open;
pub mod options;
pub mod printed;
pub mod process;
mod records;
pub mod rehearsal;
pub mod resolve;
#[cfg(test)]
pub mod script;
pub(crate) mod settle;
pub mod socket;
pub mod stdio;
pub mod synthetic;
#[cfg(test)]
pub(crate) mod testing;
pub mod udp;
pub mod unix_path;
pub mod whole;

use std::io;
use std::os::fd::BorrowedFd;

use crate::reactor::{Slot, Turn};
use crate::sys::{Access, Kind};
use descriptor::Descriptor;
use socket::{Family, Socket};
use synthetic::Synthetic;

/// One pollable thing of the operating system, or a stand-in for one. A closed set, so that every use is exhaustive.
///
/// Reads and writes answer `WouldBlock` without a system call while the latch says so.
#[derive(Debug)]
pub enum Transport {
    /// One descriptor for both directions.
    Socket(Socket),
    /// A descriptor a direction: standard input and output, files, FIFOs.
    Descriptors(Box<Descriptors>),
    /// Made of nothing: `echo:`, `zero:`, ….
    Synthetic(Box<Synthetic>),
    /// What a test says it does.
    #[cfg(test)]
    Script(script::Script),
}

/// A reader and a writer; a missing reader is at its end, a missing writer drops nothing: it is an error to write to.
#[derive(Debug, Default)]
pub struct Descriptors {
    /// Where bytes come from.
    pub reader: Option<Descriptor>,
    /// Where bytes go.
    pub writer: Option<Descriptor>,
}

impl From<Synthetic> for Transport {
    fn from(synthetic: Synthetic) -> Self {
        Transport::Synthetic(Box::new(synthetic))
    }
}

impl From<Descriptors> for Transport {
    fn from(both: Descriptors) -> Self {
        Transport::Descriptors(Box::new(both))
    }
}

/// A descriptor that splice(2) may be tried on.
pub struct Spliceable<'a> {
    /// It.
    pub fd: BorrowedFd<'a>,
    /// It is a pipe: no pipe of our own is needed.
    pub is_pipe: bool,
    /// It is a regular file: between two of them copy_file_range(2) may be tried.
    pub is_file: bool,
    /// It never makes a call wait: WouldBlock is about the other end.
    pub is_always_ready: bool,
}

impl Transport {
    /// Registers everything with the reactor.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub fn start(&mut self, turn: &mut Turn) -> io::Result<()> {
        match self {
            Transport::Socket(socket) => socket.start(turn),
            Transport::Descriptors(both) => {
                both.reader.as_mut().map_or(Ok(()), |fd| fd.start(turn))?;
                both.writer.as_mut().map_or(Ok(()), |fd| fd.start(turn))
            }
            Transport::Synthetic(_) => Ok(()),
            #[cfg(test)]
            Transport::Script(script) => script.start(turn),
        }
    }

    /// What the reactor names it by once it is started: for a task with many transports that learns which had events.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        let slots = match self {
            Transport::Socket(socket) => [socket.slot(), None],
            Transport::Descriptors(both) => {
                [&both.reader, &both.writer].map(|fd| fd.as_ref().and_then(Descriptor::slot))
            }
            Transport::Synthetic(_) => [None, None],
            #[cfg(test)]
            Transport::Script(script) => [script.slot(), None],
        };
        slots.into_iter().flatten()
    }

    /// Reads what there is, at most `buffer`. `Ok(0)` is end of file.
    ///
    /// # Errors
    /// WouldBlock when nothing is there yet; what the system says.
    pub fn read(&mut self, turn: &mut Turn, buffer: &mut [u8]) -> io::Result<usize> {
        retry_interrupted(|| match self {
            Transport::Socket(socket) => socket.read(turn, buffer),
            Transport::Descriptors(both) => both.reader.as_mut().map_or(Ok(0), |fd| fd.read(turn, buffer)),
            Transport::Synthetic(synthetic) => synthetic.read(buffer),
            #[cfg(test)]
            Transport::Script(script) => script.read(turn, buffer),
        })
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// WouldBlock when there is none; EPIPE when nobody reads any more; what the system says.
    pub fn write(&mut self, turn: &mut Turn, bytes: &[u8]) -> io::Result<usize> {
        retry_interrupted(|| match self {
            Transport::Socket(socket) => socket.write(turn, bytes),
            Transport::Descriptors(both) => match &mut both.writer {
                Some(fd) => fd.write(turn, bytes),
                None => Err(io::ErrorKind::BrokenPipe.into()),
            },
            Transport::Synthetic(synthetic) => synthetic.write(bytes),
            #[cfg(test)]
            Transport::Script(script) => script.write(turn, bytes),
        })
    }

    /// Over TCP, what one write gives is sent at once, in a segment of its own.
    pub fn send_apart(&mut self) {
        if let Transport::Socket(socket) = self {
            socket.send_apart();
        }
    }

    /// Drops received bytes without looking at them, at most `most`. `Ok(0)` is end of file.
    ///
    /// # Errors
    /// WouldBlock; Unsupported or EFAULT where only a real read works: nothing was dropped then.
    pub fn discard(&mut self, turn: &mut Turn, most: usize) -> io::Result<usize> {
        retry_interrupted(|| match self {
            Transport::Socket(socket) => socket.discard(turn, most),
            _ => Err(io::ErrorKind::Unsupported.into()),
        })
    }

    /// True when a read is worth a try.
    pub fn can_read(&self, turn: &Turn) -> bool {
        match self {
            Transport::Socket(socket) => socket.can_read(turn),
            Transport::Descriptors(both) => both.reader.as_ref().is_none_or(|fd| fd.is_ready(turn)),
            Transport::Synthetic(_) => true,
            #[cfg(test)]
            Transport::Script(script) => script.can_read(turn),
        }
    }

    /// True when a write is worth a try.
    pub fn can_write(&self, turn: &Turn) -> bool {
        match self {
            Transport::Socket(socket) => socket.can_write(turn),
            Transport::Descriptors(both) => both.writer.as_ref().is_none_or(|fd| fd.is_ready(turn)),
            Transport::Synthetic(_) => true,
            #[cfg(test)]
            Transport::Script(script) => script.can_write(turn),
        }
    }

    /// Clears the latch of one direction: only after this transport said WouldBlock in it.
    pub fn would_block(&self, turn: &mut Turn, access: Access) {
        match (self, access) {
            (Transport::Socket(socket), Access::Read) => socket.read_would_block(turn),
            (Transport::Socket(socket), Access::Write) => socket.write_would_block(turn),
            (Transport::Descriptors(both), _) => {
                if let Some(fd) = both.side(access) {
                    fd.would_block(turn);
                }
            }
            (Transport::Synthetic(_), _) => {}
            #[cfg(test)]
            (Transport::Script(script), access) => script.would_block(turn, access),
        }
    }

    /// Widens the pipes that it reads and writes.
    pub fn widen_pipes(&self) {
        if let Transport::Descriptors(both) = self {
            both.reader.iter().chain(&both.writer).for_each(Descriptor::widen);
        }
    }

    /// True if an event told of more than plain readiness: a hang-up, an error, an urgent byte.
    pub fn is_odd(&self, turn: &Turn) -> bool {
        matches!(self, Transport::Socket(socket) if socket.is_odd(turn))
    }

    /// True for a socket whose other side is known to be gone altogether: a Unix peer that closed, a TCP peer that reset.
    /// A TCP peer that closed looks like one that only half-closed.
    pub fn is_hung_up(&self) -> bool {
        matches!(self, Transport::Socket(socket) if crate::sys::poll_now(socket.fd()).hung_up)
    }

    /// Has the kernel ask from time to time whether a TCP peer is still there; anything else tells by itself.
    pub fn probe(&self) {
        if let Transport::Socket(socket) = self {
            socket.probe();
        }
    }

    /// What poll(2) says of one direction at this moment; asked when splice does not say which end was not ready.
    pub fn polls_ready(&self, access: Access) -> bool {
        match self {
            Transport::Socket(socket) => {
                let polled = crate::sys::poll_now(socket.fd());
                if access == Access::Read { polled.readable } else { polled.writable }
            }
            Transport::Descriptors(both) => both.side(access).is_none_or(Descriptor::polls_ready),
            Transport::Synthetic(_) => true,
            #[cfg(test)]
            Transport::Script(_) => true,
        }
    }

    /// The descriptor of one direction for splice(2), if it may be tried.
    pub fn spliceable(&self, access: Access) -> Option<Spliceable<'_>> {
        match self {
            Transport::Socket(socket) => {
                socket.spliceable().map(|fd| Spliceable { fd, is_pipe: false, is_file: false, is_always_ready: false })
            }
            Transport::Descriptors(both) => both.side(access)?.spliceable(),
            Transport::Synthetic(_) => None,
            #[cfg(test)]
            Transport::Script(_) => None,
        }
    }

    /// What everything written to it is dropped by: the null device, `discard:`.
    pub fn drops_everything(&self) -> bool {
        match self {
            Transport::Descriptors(both) => both.writer.as_ref().is_some_and(|fd| fd.kind() == Kind::Null),
            Transport::Synthetic(synthetic) => !synthetic.echoes(),
            _ => false,
        }
    }

    /// It keeps the bounds of records: a read gives one as a whole if the buffer has room for it.
    pub fn keeps_records(&self, access: Access) -> bool {
        match self {
            Transport::Socket(socket) => socket.family() == Family::Seqpacket,
            Transport::Descriptors(both) => both.side(access).is_some_and(Descriptor::keeps_records),
            _ => false,
        }
    }

    /// Another program is at the other side, over a socket.
    pub fn is_remote(&self) -> bool {
        match self {
            Transport::Socket(_) => true,
            #[cfg(test)]
            Transport::Script(_) => true,
            Transport::Descriptors(_) | Transport::Synthetic(_) => false,
        }
    }

    /// Bytes come from a terminal.
    pub fn reads_terminal(&self) -> bool {
        match self {
            Transport::Descriptors(both) => both.reader.as_ref().is_some_and(|fd| fd.kind() == Kind::Terminal),
            #[cfg(test)]
            Transport::Script(script) => script.terminal,
            _ => false,
        }
    }

    /// Bytes come from a regular file with much in it: splicing pays from the first byte.
    pub fn reads_long_file(&self) -> bool {
        matches!(self, Transport::Descriptors(both) if both.reader.as_ref().is_some_and(Descriptor::is_long_file))
    }

    /// Bytes that are still to be read, where that is known.
    pub fn bytes_left(&self) -> Option<u64> {
        match self {
            Transport::Descriptors(both) => both.reader.as_ref()?.bytes_left(),
            _ => None,
        }
    }

    /// Passes the end of file on: FIN on a socket, closing the descriptor otherwise, once it is settled.
    ///
    /// # Errors
    /// WouldBlock while it is not ([`Transport::settle`]): call it again then; ENOTCONN when the peer has reset the connection; what closing a file says of data that could not be written.
    pub fn close_write(&mut self, turn: &mut Turn) -> io::Result<()> {
        match self {
            Transport::Socket(socket) => socket.shut_write(),
            Transport::Descriptors(both) => {
                both.writer.as_mut().map_or(Ok(()), |fd| fd.settle(turn))?;
                both.writer.take().map_or(Ok(()), |fd| fd.close(turn))
            }
            Transport::Synthetic(synthetic) => {
                synthetic.close_write();
                Ok(())
            }
            #[cfg(test)]
            Transport::Script(script) => script.close_write(),
        }
    }

    /// Nothing will be read any more: whoever writes there may as well learn it.
    pub fn close_read(&mut self, turn: &mut Turn) {
        match self {
            Transport::Descriptors(both) => {
                if let Some(fd) = both.reader.take() {
                    // a reader has nothing to flush
                    let _ = fd.close(turn);
                }
            }
            #[cfg(test)]
            Transport::Script(script) => script.close_read(),
            Transport::Socket(_) | Transport::Synthetic(_) => {}
        }
    }

    /// Bytes accepted for sending that the peer has not taken yet; 0 for what is not a socket.
    pub fn unsent(&self) -> usize {
        match self {
            Transport::Socket(socket) => socket.unsent(),
            #[cfg(test)]
            Transport::Script(script) => script.unsent(),
            _ => 0,
        }
    }

    /// The error that a socket keeps and that no read would tell.
    pub fn take_error(&mut self) -> Option<io::Error> {
        match self {
            Transport::Socket(socket) => socket.take_error(),
            #[cfg(test)]
            Transport::Script(script) => script.take_error(),
            _ => None,
        }
    }

    /// Closes everything; with `reset` a socket's peer is told that this was no orderly end.
    ///
    /// # Errors
    /// What closing a file says of data that could not be written.
    pub fn close(self, turn: &mut Turn, reset: bool) -> io::Result<()> {
        match self {
            Transport::Socket(socket) => {
                socket.close(turn, reset);
                Ok(())
            }
            Transport::Descriptors(both) => {
                let read = both.reader.map_or(Ok(()), |fd| fd.close(turn));
                both.writer.map_or(Ok(()), |fd| fd.close(turn)).and(read)
            }
            Transport::Synthetic(_) => Ok(()),
            #[cfg(test)]
            Transport::Script(script) => {
                script.close(reset);
                Ok(())
            }
        }
    }
}

impl Descriptors {
    fn side(&self, access: Access) -> Option<&Descriptor> {
        match access {
            Access::Read => self.reader.as_ref(),
            Access::Write => self.writer.as_ref(),
        }
    }
}

/// A number that is another one in each call.
pub fn any_number() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

/// Repeats a call that a signal interrupted before anything happened.
fn retry_interrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
