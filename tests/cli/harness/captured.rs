//! What a child writes into a pipe, kept as it comes, with waits for what is expected in it.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use super::DEADLINE;

/// Bytes of a pipe as a thread reads them.
pub struct Captured(Arc<Shared>);

struct Shared {
    so_far: Mutex<SoFar>,
    more: Condvar,
}

struct SoFar {
    bytes: Vec<u8>,
    ended: bool,
}

impl Captured {
    /// Reads `pipe` to its end; without one there is nothing to come.
    pub fn of(pipe: Option<impl Read + Send + 'static>) -> Captured {
        let so_far = Mutex::new(SoFar { bytes: Vec::new(), ended: pipe.is_none() });
        let shared = Arc::new(Shared { so_far, more: Condvar::new() });
        if let Some(pipe) = pipe {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.fill(pipe));
        }
        Captured(shared)
    }

    /// Waits until `look(bytes so far, ended)` finds something; `None` at the end of the pipe or at the deadline.
    pub fn wait<T>(&self, mut look: impl FnMut(&[u8], bool) -> Option<T>) -> Option<T> {
        let until = Instant::now() + DEADLINE;
        let mut so_far = self.0.so_far.lock().unwrap();
        loop {
            if let Some(found) = look(&so_far.bytes, so_far.ended) {
                return Some(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if so_far.ended || left.is_zero() {
                return None;
            }
            so_far = self.0.more.wait_timeout(so_far, left).unwrap().0;
        }
    }

    /// What has come so far.
    pub fn now(&self) -> Vec<u8> {
        self.0.so_far.lock().unwrap().bytes.clone()
    }
}

impl Shared {
    fn fill(&self, mut pipe: impl Read) {
        let mut buffer = vec![0; 65536];
        loop {
            let got = pipe.read(&mut buffer).unwrap_or(0);
            let mut so_far = self.so_far.lock().unwrap();
            so_far.bytes.extend_from_slice(&buffer[..got]);
            so_far.ended = got == 0;
            self.more.notify_all();
            if got == 0 {
                return;
            }
        }
    }
}
