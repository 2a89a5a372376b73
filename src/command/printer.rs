//! Standard output for a few lines of a command's own: queued, and written without ever holding up the loop.

use std::io::ErrorKind;

use crate::endpoint::{Transport, stdio};
use crate::error::{Error, Op};
use crate::outcome::Ended;
use crate::reactor::Turn;

/// Writes whole lines to standard output.
pub(super) struct Printer {
    /// `None` once it is closed.
    out: Option<Transport>,
    /// What is to be written; as large as it has to be, so callers ask [`Printer::is_full`] first.
    pending: Vec<u8>,
}

impl Printer {
    /// Opens standard output. One that is closed is an error only once there is something to write.
    ///
    /// # Errors
    /// What the system says of it.
    pub(super) fn open() -> Result<Self, Error> {
        Ok(Printer::to(stdio::open(false, true)?))
    }

    /// Has what is written to a file synced before it counts as written (`--fsync`).
    pub(super) fn synced(mut self, fsync: bool) -> Self {
        if let Some(out) = self.out.as_mut().filter(|_| fsync) {
            out.sync_before_close();
        }
        self
    }

    fn to(out: Transport) -> Self {
        Printer { out: Some(out), pending: Vec::new() }
    }

    /// Registers it with the reactor.
    ///
    /// # Errors
    /// What epoll says.
    pub(super) fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let started = self.out.as_mut().map_or(Ok(()), |out| out.start(turn));
        started.map_err(failed)
    }

    /// Queues these bytes and a newline.
    pub(super) fn line(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        self.pending.push(b'\n');
    }

    /// Queues these bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// True while so much is queued that nothing should be added.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= ENOUGH
    }

    /// Writes what there is room for; true once everything is out.
    ///
    /// # Errors
    /// The run is over: nobody reads any more, or the output failed.
    pub(super) fn flush(&mut self, turn: &mut Turn) -> Result<bool, Ended> {
        let mut written = 0;
        let result = loop {
            if written == self.pending.len() {
                break Ok(true);
            }
            let Some(out) = &mut self.out else { break Ok(true) };
            match out.write(turn, &self.pending[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(false),
                Err(error) => break Err(ended(error)),
            }
        };
        self.pending.drain(..written);
        result
    }

    /// Forgets what was not written yet, and leaves what was to the system.
    pub(super) fn drop_rest(&mut self) {
        self.pending.clear();
        self.out.iter_mut().for_each(Transport::give_up_settling);
    }

    /// Writes the rest, and closes it once everything is out and, where that was asked for, on the disk: true then.
    ///
    /// # Errors
    /// As [`Printer::flush`]; what a file says of data that could not be written.
    pub(super) fn finish(&mut self, turn: &mut Turn) -> Result<bool, Ended> {
        if !self.flush(turn)? {
            return Ok(false);
        }
        match self.out.as_mut().map_or(Ok(()), |out| out.settle(turn)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            result => result.map_err(ended)?,
        }
        match self.out.take() {
            Some(out) => out.close(turn, false).map(|()| true).map_err(ended),
            None => Ok(true),
        }
    }
}

fn ended(error: std::io::Error) -> Ended {
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Ended::ReaderGone,
        _ => Ended::Failed(failed(error)),
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::new(Op::Write, "standard output", error)
}

/// Bytes in the queue beyond which nothing should be added.
const ENOUGH: usize = 64 * 1024;
