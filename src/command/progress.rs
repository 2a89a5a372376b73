//! The task that keeps the progress display alive: a clock of its own beside the one that moves bytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCONT, SIGTSTP};

use crate::error::Error;
use crate::meter::Meter;
use crate::reactor::{Park, Task, Turn};
use crate::report::ProgressView;
use crate::sys;

/// Shows a meter until its parent ends.
pub(super) struct Ticker {
    view: ProgressView,
    meter: Arc<Meter>,
    /// The one direction whose size is known, or both together.
    direction: Option<usize>,
    /// Records are counted, too.
    records: bool,
    due: Instant,
}

impl Ticker {
    /// A display of what `meter` counts in one direction, or in both.
    pub(super) fn new(view: ProgressView, meter: Arc<Meter>, direction: Option<usize>) -> Self {
        Ticker { view, meter, direction, records: false, due: Instant::now() }
    }

    /// The same, with the records that the meter counts.
    pub(super) fn with_records(mut self, records: bool) -> Self {
        self.records = records;
        self
    }

    fn moved(&self) -> u64 {
        match self.direction {
            Some(direction) => self.meter.delivered(direction),
            None => self.meter.delivered(0) + self.meter.delivered(1),
        }
    }
}

impl Task for Ticker {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        // without its signals the display still works, only less neatly
        let _ = turn.listen_for(&[SIGTSTP, SIGCONT]);
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let (now, signals) = (turn.now(), turn.signals());
        if signals & (1 << SIGTSTP) != 0 {
            self.view.clear();
            sys::stop_until_continued();
        }
        if signals & (1 << SIGCONT | 1 << SIGTSTP) != 0 {
            self.view.redraw(now);
        }
        if now >= self.due {
            if self.records {
                self.view.count_records(now, self.meter.records());
            }
            self.view.tick(now, self.moved());
            self.due = now + TICK;
        }
        turn.deadline(Some(self.due));
        Park::Wait
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        let moved = self.moved();
        let now = Instant::now();
        if self.records {
            self.view.count_records(now, self.meter.records());
        }
        self.view.finish(now, moved);
    }
}

/// A person sees no more than ten changes a second.
const TICK: Duration = Duration::from_millis(100);
