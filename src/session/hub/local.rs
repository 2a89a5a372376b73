//! The side of a hub that all clients share: standard input and output.

use std::io::ErrorKind;

use super::client::Outlet;
use super::{Hub, Standing};
use crate::error::{Error, Op};
use crate::event::Event;
use crate::outcome::{Ended, ExitStatus};
use crate::reactor::Turn;
use crate::session::end::{Fault, Step};

impl Hub {
    /// Writes what passed to standard output; true if that made room.
    pub(super) fn drain(&mut self, turn: &mut Turn) -> Result<bool, Ended> {
        let Some(local) = self.local.as_mut().filter(|_| !self.output.is_empty()) else { return Ok(false) };
        let written = match self.output.drain(turn, local, self.context.policy.block) {
            Ok(written) => written,
            Err(Fault::Io(error)) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                return Err(Ended::ReaderGone);
            }
            Err(Fault::Io(error)) => return Err(Ended::Failed(Error::new(Op::Write, local.name(false), error))),
            Err(Fault::Layer(error)) => return Err(Ended::Failed(error)),
        };
        self.context.meter.add(1, written);
        let done = self.output.written();
        while let Some((_, key)) = self.ending.pop_front_if(|(position, _)| *position <= done) {
            self.make_ready(key);
        }
        Ok(written > 0)
    }

    /// Takes something from standard input for the clients; true if there was something, or its end.
    pub(super) fn feed(&mut self, turn: &mut Turn) -> bool {
        if !self.is_source_open || self.backlog.sinks() == 0 || !self.backlog.has_room() {
            return false;
        }
        let by_rate = self.bucket.as_mut().map_or(u64::MAX, |bucket| bucket.allowance(turn.now()).unwrap_or(0));
        let most = usize::try_from(by_rate).unwrap_or(usize::MAX).min(self.context.policy.block);
        let Some(local) = self.local.as_mut().filter(|_| most > 0) else { return false };
        self.scratch.clear();
        match local.read(turn, &mut self.scratch, most) {
            Step::Moved(count) => {
                if let Some(bucket) = &mut self.bucket {
                    bucket.take(count as u64);
                }
                self.backlog.push(None, self.scratch.filled());
                self.is_within_line = self.context.lines && self.scratch.filled().last() != Some(&b'\n');
                self.has_news = true;
                true
            }
            Step::Blocked => false,
            Step::Eof => {
                self.end_source(turn);
                true
            }
            Step::Failed(fault) => {
                let error = match fault {
                    Fault::Io(error) => Error::new(Op::Read, local.name(true), error),
                    Fault::Layer(error) => error,
                };
                self.stop(Ended::Failed(error), turn.now());
                true
            }
        }
    }

    /// Standard input has ended: every client is told once it has got everything.
    fn end_source(&mut self, turn: &mut Turn) {
        self.is_source_open = false;
        if let Some(local) = &mut self.local {
            local.close_read(turn);
        }
        self.end_outlets();
    }

    /// Nothing more will be said to anybody; true if somebody did not know.
    pub(super) fn end_outlets(&mut self) -> bool {
        let mut told = false;
        for (key, client) in self.clients.iter_mut().filter(|(_, client)| client.outlet == Outlet::Open) {
            client.outlet = Outlet::Ending;
            told = true;
            if !std::mem::replace(&mut client.is_ready, true) {
                self.ready.push_back(key);
            }
        }
        told
    }

    /// Gives a turn to everybody who may take what is new; true if there was anything.
    pub(super) fn spread(&mut self, turn: &Turn) -> bool {
        if !self.has_news || !self.ready.is_empty() {
            return false;
        }
        self.has_news = false;
        for (key, client) in &mut self.clients {
            let concerned = client.cursor.is_some() && client.end.transport().can_write(turn);
            if concerned && !std::mem::replace(&mut client.is_ready, true) {
                self.ready.push_back(key);
            }
        }
        true
    }

    /// Settles and closes standard output, and says how it all ended.
    pub(super) fn end(&mut self, turn: &mut Turn) -> Standing {
        let whole = self.stopping.is_none() && self.output.is_empty();
        if let Some(local) = &mut self.local {
            if local.transport().is_whole() && !whole {
                local.give_up_settling();
            }
            match local.settle(turn) {
                Step::Blocked => return Standing::Waiting,
                Step::Failed(Fault::Io(error)) => return self.end_unsettled(turn, error),
                _ => {}
            }
        }
        let ended = self.stopping.take().map_or(Ended::Clean, |stopping| stopping.ended);
        let Some(local) = self.local.take() else { return Standing::Over(ended) };
        let name = local.name(false);
        Standing::Over(match (local.close(turn, false), ended) {
            (Err(error), Ended::Clean | Ended::Signal(_)) => Ended::Failed(Error::new(Op::Write, name, error)),
            (_, ended) => ended,
        })
    }

    /// What was written is not on the disk: told at once, since a server that is asked to end has no failure else.
    fn end_unsettled(&mut self, turn: &mut Turn, error: std::io::Error) -> Standing {
        if let Some(local) = self.local.take() {
            let reason = Error::new(Op::Write, local.name(false), error).line();
            self.context.observer.observe(&Event::Error { session: None, reason });
            // what closing says is no news any more
            let _ = local.close(turn, false);
        }
        Standing::Over(Ended::Told(ExitStatus::LocalIo))
    }
}
