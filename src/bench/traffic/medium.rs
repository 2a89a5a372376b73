//! What a stream of bytes goes through: a transport that the kernel moves them through as fast as it can, or an end whose
//! layers have to see each of them.

use std::io;
use std::os::fd::BorrowedFd;

use crate::buffer::Buffer;
use crate::endpoint::Transport;
use crate::reactor::Turn;
use crate::session::end::{End, Fault, Step};

/// One or the other.
pub enum Medium {
    /// Bytes are as they are on the wire.
    Bare(Transport),
    /// They go through layers.
    Layered(Box<End>),
}

impl Medium {
    /// Registers it.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub fn start(&mut self, turn: &mut Turn) -> io::Result<()> {
        match self {
            Medium::Bare(transport) => transport.start(turn),
            Medium::Layered(end) => end.start(turn),
        }
    }

    /// True if what comes can only be read: the kernel cannot drop it.
    pub fn has_to_read(&self) -> bool {
        !matches!(self, Medium::Bare(Transport::Socket(_)))
    }

    /// True when a write is worth a try.
    pub fn can_write(&self, turn: &Turn) -> bool {
        match self {
            Medium::Bare(transport) => transport.can_write(turn),
            Medium::Layered(end) => end.transport().can_write(turn),
        }
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// WouldBlock; what the system or a layer says.
    pub fn write(&mut self, turn: &mut Turn, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Medium::Bare(transport) => transport.write(turn, bytes),
            Medium::Layered(end) => moved(end.write(turn, bytes)),
        }
    }

    /// Has the kernel send a part of a file.
    ///
    /// # Errors
    /// As [`Medium::write`]; Unsupported where layers have to see it.
    pub fn send_file(&mut self, turn: &mut Turn, file: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        match self {
            Medium::Bare(Transport::Socket(socket)) => socket.send_file(turn, file, 0, most),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Reads into an empty buffer, at most `most`. `Ok(0)` is the end.
    ///
    /// # Errors
    /// As [`Medium::write`].
    pub fn read(&mut self, turn: &mut Turn, buffer: &mut Buffer, most: usize) -> io::Result<usize> {
        match self {
            Medium::Bare(transport) => {
                let count = transport.read(turn, buffer.spare(most))?;
                buffer.fill(count);
                Ok(count)
            }
            Medium::Layered(end) => {
                let step = end.read(turn, buffer, most);
                // an answer to what came has room, or goes out in a later turn
                end.flush(turn);
                moved(step)
            }
        }
    }

    /// Drops what came in the kernel. `Ok(0)` is the end.
    ///
    /// # Errors
    /// WouldBlock; Unsupported where that cannot be.
    pub fn discard(&mut self, turn: &mut Turn, most: usize) -> io::Result<usize> {
        match self {
            Medium::Bare(transport) => transport.discard(turn, most),
            Medium::Layered(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Carries on what layers have made and found no room for; false while some of it waits.
    pub fn flush(&mut self, turn: &mut Turn) -> bool {
        match self {
            Medium::Bare(_) => true,
            Medium::Layered(end) => {
                // the next write tells what failed
                end.flush(turn);
                end.unflushed() == 0 || end.is_mute()
            }
        }
    }

    /// Tells the peer that everything was sent, where that can be said without ending the other direction.
    pub fn finish(&mut self, turn: &mut Turn) {
        match self {
            // a peer that is gone learns nothing from it, and the other one of the two connections tells
            Medium::Bare(Transport::Socket(socket)) => drop(socket.shut_write()),
            Medium::Bare(_) => {}
            Medium::Layered(end) => drop(end.close_write(turn)),
        }
    }

    /// Closes it.
    pub fn close(self, turn: &mut Turn) {
        // a socket has nothing to tell at its end that anybody waits for
        let _ = match self {
            Medium::Bare(transport) => transport.close(turn, false),
            Medium::Layered(end) => end.close(turn, false),
        };
    }
}

/// What a step of an end came to, as a transport would say it.
///
/// # Errors
/// WouldBlock; what the system or a layer said.
pub fn moved(step: Step) -> io::Result<usize> {
    match step {
        Step::Moved(count) => Ok(count),
        Step::Blocked => Err(io::ErrorKind::WouldBlock.into()),
        Step::Eof => Ok(0),
        Step::Failed(Fault::Io(error)) => Err(error),
        Step::Failed(Fault::Layer(error)) => Err(error.as_io()),
    }
}
