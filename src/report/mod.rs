//! Numbers and events out: what people and scripts see of a run besides its payload. Knows nothing of sockets.
//!
//! ```text
//! Event ─► Observers ─► Console ─────► Outlet (standard error) ◄─ ProgressView ◄─ the loop's 100 ms timer
//!                    └► EventWriter ─► Outlet (--events)
//! ```
//!
//! Everything leaves through an [`Outlet`]: a bounded queue emptied by a thread of its own, started by the first line.
//! A caller never waits for a terminal stopped with ^S or for a pipe that nobody reads; what does not fit is dropped
//! by whole lines and counted. Call `finish` before the process ends, or the last lines may be missing.

mod amount;
pub mod console;
pub mod events;
pub mod hexdump;
mod layout;
pub mod outlet;
mod pace;
pub mod progress;
mod sink;
pub mod summary;
#[cfg(test)]
mod testing;

use crate::event::{Event, Observer};

pub use console::{Console, Show};
pub use events::EventWriter;
pub use outlet::{Loss, Outlet};
pub use progress::{ProgressView, Style};
pub use summary::Summary;

/// Several observers that all hear every event, in the order in which they were added.
#[derive(Default)]
pub struct Observers {
    all: Vec<Box<dyn Observer + Send + Sync>>,
}

impl Observers {
    /// Nobody listens yet.
    pub fn new() -> Self {
        Observers::default()
    }

    /// Adds one more listener.
    #[must_use]
    pub fn with(mut self, observer: impl Observer + Send + Sync + 'static) -> Self {
        self.all.push(Box::new(observer));
        self
    }
}

impl Observer for Observers {
    fn observe(&self, event: &Event) {
        for observer in &self.all {
            observer.observe(event);
        }
    }

    fn wants_details(&self) -> bool {
        self.all.iter().any(|observer| observer.wants_details())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testing::{Recorder, WAIT};

    #[test]
    fn every_observer_hears_every_event() {
        let (text, json) = (Recorder::default(), Recorder::default());
        let console = Console::new(Outlet::new(text.clone()), Show { verbosity: 1, ..Show::default() });
        let writer = EventWriter::new(Outlet::new(json.clone()));
        let all = Observers::new().with(console.clone()).with(writer.clone());
        all.observe(&Event::Error { session: None, reason: "the net is torn".into() });
        console.finish(WAIT).unwrap();
        writer.finish(WAIT);
        assert_eq!(text.text(), "haul: the net is torn\n");
        assert!(json.text().contains("the net is torn"));
    }
}
