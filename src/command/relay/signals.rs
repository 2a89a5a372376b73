//! What signals ask of a relay: lists, certificates and the log anew, totals, and the end.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Instant;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::Forwarder;
use super::lobby::Lobby;
use crate::command::late;
use crate::command::reporting::appended_to;
use crate::event::Event;
use crate::plan::relay::LogSink;
use crate::reactor::Turn;
use crate::report::Summary;

impl Forwarder {
    /// Does what signals have asked for since the last turn.
    pub(super) fn obey(&mut self, turn: &mut Turn) {
        let signals = turn.signals();
        if signals & 1 << SIGUSR1 != 0 {
            for event in self.totals(turn.now()) {
                self.console.tell(&event);
            }
        }
        if signals & 1 << SIGHUP != 0 {
            let lists = [self.gate.reload(), self.lobby.as_mut().map_or(Ok(()), Lobby::reload)];
            let certificates = (0..self.plan.pairs.len()).map(|pair| self.blueprint.layering(pair).reload());
            for error in lists.into_iter().chain(certificates).filter_map(Result::err) {
                self.observer.observe(&Event::Error { session: None, reason: error.line() });
            }
            if let Some(crew) = &mut self.crew {
                crew.reload(turn);
            }
            self.reopen_log();
        }
        if signals & (1 << SIGINT | 1 << SIGTERM) != 0 {
            self.wind_up(turn);
        }
    }

    /// Goes on with the log where its name leads now: somebody may have moved it away, to be kept.
    fn reopen_log(&self) {
        let (Some(LogSink::File(path)), Some(journal)) = (&self.plan.log, &self.journal) else { return };
        if late::is_fifo(path) {
            return; // whoever reads it has it already
        }
        match appended_to(path) {
            Ok(file) => {
                journal.continue_at(file, is_torn(path));
            }
            Err(error) => self.observer.observe(&Event::Error { session: None, reason: error.line() }),
        }
    }

    pub(super) fn summary(&self, now: Instant) -> Summary {
        let [bytes_out, bytes_in] = self.blueprint.moved();
        Summary { bytes_in, bytes_out, elapsed: now.saturating_duration_since(self.started), reason: None }
    }

    /// What moved: of streams, and of datagrams, as far as there are listeners for them.
    pub(super) fn totals(&self, now: Instant) -> Vec<Event> {
        let Summary { bytes_in, bytes_out, elapsed, .. } = self.summary(now);
        let (datagrams, streams): (Vec<_>, Vec<_>) = self.plan.pairs.iter().partition(|pair| pair.is_datagram());
        let mut totals = Vec::new();
        if !streams.is_empty() {
            totals.push(Event::Stats { bytes_in, bytes_out, elapsed });
        }
        if !datagrams.is_empty() {
            totals.push(Event::Datagrams { traffic: self.blueprint.hall.traffic(), elapsed });
        }
        totals
    }
}

/// True if a file ends in the middle of a line: a disk was full, and the next line is not to be taken for its end.
fn is_torn(path: &Path) -> bool {
    let last = |mut file: File| -> io::Result<u8> {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last).map(|()| last[0])
    };
    // an empty file has no last byte, and what cannot be read is not known to be torn
    let is_file = path.metadata().is_ok_and(|found| found.is_file());
    is_file && File::open(path).and_then(last).is_ok_and(|last| last != b'\n')
}
