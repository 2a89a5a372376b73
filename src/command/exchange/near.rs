//! Where received datagrams go: to standard output, one behind the other or framed, or into a program, a write each.

use std::collections::VecDeque;
use std::io::ErrorKind;

use crate::command::printer::Printer;
use crate::datagram::split::Framing;
use crate::endpoint::Transport;
use crate::error::{Error, Op};
use crate::outcome::Ended;
use crate::reactor::Turn;

/// The near side of an exchange.
pub(in crate::command) enum Near {
    /// Standard output.
    Output(Printer, Framing),
    /// The standard input of a program.
    Program(Input),
    /// Closed, or not there yet.
    Nothing,
}

/// The standard input of a program, and what waits for it.
pub(in crate::command) struct Input {
    /// `None` once the program reads no more: what comes is dropped.
    to: Option<Transport>,
    name: String,
    waiting: Vec<u8>,
    /// How long each waiting datagram is, but for what was written of the first. Invariant: they add up to `waiting`.
    lengths: VecDeque<usize>,
}

impl Near {
    /// The standard input of a program called `name`.
    pub(super) fn program(to: Transport, name: String) -> Self {
        Near::Program(Input { to: Some(to), name, waiting: Vec::new(), lengths: VecDeque::new() })
    }

    /// Registers it with the reactor.
    ///
    /// # Errors
    /// What epoll says.
    pub(super) fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        match self {
            Near::Output(printer, _) => printer.start(turn),
            Near::Program(Input { to: Some(to), name, .. }) => {
                to.start(turn).map_err(|error| Error::new(Op::Write, name, error))
            }
            Near::Program(_) | Near::Nothing => Ok(()),
        }
    }

    /// Takes a datagram.
    ///
    /// # Errors
    /// It is longer than its frame can say.
    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(), Ended> {
        match self {
            Near::Output(printer, framing) => {
                let Some(head) = framing.before(payload.len()) else {
                    let why = format!("two bytes cannot tell the length of a datagram of {} bytes", payload.len());
                    return Err(Ended::Failed(Error::said(Op::Write, "standard output", why)));
                };
                printer.bytes(head.as_bytes());
                printer.bytes(payload);
                printer.bytes(framing.after());
            }
            // a write of nothing would be none
            Near::Program(input) if input.to.is_some() && !payload.is_empty() => {
                input.waiting.extend_from_slice(payload);
                input.lengths.push_back(payload.len());
            }
            Near::Program(_) | Near::Nothing => {}
        }
        Ok(())
    }

    /// True while so much waits that nothing should be added.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Near::Output(printer, _) => printer.is_full(),
            Near::Program(input) => !input.lengths.is_empty(),
            Near::Nothing => false,
        }
    }

    /// Writes what there is room for; true once everything is out.
    ///
    /// # Errors
    /// Nobody reads standard output any more, or writing failed.
    pub(super) fn flush(&mut self, turn: &mut Turn) -> Result<bool, Ended> {
        match self {
            Near::Output(printer, _) => printer.flush(turn),
            Near::Program(input) => input.flush(turn),
            Near::Nothing => Ok(true),
        }
    }

    /// Closes it; what waits is dropped.
    ///
    /// # Errors
    /// What a file says of data that could not be written.
    pub(super) fn close(&mut self, turn: &mut Turn) -> Result<(), Ended> {
        match std::mem::replace(self, Near::Nothing) {
            Near::Output(mut printer, _) => {
                // a datagram's output is never synced, so this is no wait
                printer.drop_rest();
                printer.finish(turn).map(|_| ())
            }
            Near::Program(Input { to: Some(to), .. }) => {
                // a pipe has nothing to tell when it is closed
                let _ = to.close(turn, false);
                Ok(())
            }
            Near::Program(_) | Near::Nothing => Ok(()),
        }
    }
}

impl Input {
    /// One write for each datagram, as far as the pipe takes it whole.
    fn flush(&mut self, turn: &mut Turn) -> Result<bool, Ended> {
        let mut written = 0;
        let result = loop {
            let (Some(length), Some(to)) = (self.lengths.front_mut(), &mut self.to) else { break Ok(true) };
            match to.write(turn, &self.waiting[written..written + *length]) {
                Ok(count) => {
                    written += count;
                    *length -= count;
                    if *length == 0 {
                        self.lengths.pop_front();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(false),
                // it has read enough; what it writes is sent nevertheless
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    if let Some(to) = self.to.take() {
                        let _ = to.close(turn, false);
                    }
                    self.waiting.clear();
                    self.lengths.clear();
                    return Ok(true);
                }
                Err(error) => break Err(Ended::Failed(Error::new(Op::Write, &self.name, error))),
            }
        };
        self.waiting.drain(..written);
        result
    }
}
