//! What the room's tests write to.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer than any test should take.
pub(super) const WAIT: Duration = Duration::from_secs(20);

/// Keeps every write by itself. Clones share what was kept.
#[derive(Clone, Default)]
pub(super) struct Recorder {
    writes: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    pub(super) fn writes(&self) -> Vec<String> {
        self.writes.lock().unwrap().iter().map(|bytes| String::from_utf8(bytes.clone()).unwrap()).collect()
    }

    pub(super) fn text(&self) -> String {
        self.writes().concat()
    }
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes.lock().unwrap().push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
