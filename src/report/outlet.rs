//! Whole lines on their way to a descriptor that may be slow, stopped or gone, without ever making a caller wait.
//!
//! A thread that the first line starts does the writing; descriptors that were inherited are never made non-blocking,
//! so a queue is the only way not to wait for their readers. The queue is bounded by [`QUEUE_BYTES`]: what comes
//! beyond is dropped by whole lines, and the next line that gets through is told how many. Each line is one `write`,
//! so that a line of at most PIPE_BUF bytes reaches a pipe whole or not at all (pipe(7)).
//!
//! An outlet to a terminal can carry a **footer**, the progress line, which stays below the lines: every line erases
//! it, and puts it back, in one write. A frame of the footer is offered, not queued: while anything else is waiting it
//! is skipped, because the next one replaces it anyway.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::sink::{ERASE, FooterState, Piece, Sink};

/// A bounded queue of lines and the thread that writes them. Clones share both.
#[derive(Clone)]
pub struct Outlet {
    shared: Arc<Shared>,
}

/// What became of the writing.
#[derive(Debug)]
pub enum News {
    /// It failed: lines are lost from then on.
    Failed(io::Error),
    /// It goes on, and so many lines are lost.
    GoesOn(u64),
}

/// What did not get through, and why.
#[derive(Debug, Default)]
pub struct Loss {
    /// Lines that were never written, those announced to the reader included.
    pub lines: u64,
    /// The error that ended the writing, if one did; lines after it are not even queued, unless they are
    /// [tried again](Outlet::that_retries).
    pub failure: Option<io::Error>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Told to the writer: there is something to do.
    work: Condvar,
    /// Told to whoever flushes: nothing is left.
    idle: Condvar,
    sink: Mutex<Sink>,
    footer: Arc<FooterState>,
}

#[derive(Default)]
struct Queue {
    pending: VecDeque<Piece>,
    /// Invariant: the bytes in `pending`.
    bytes: usize,
    /// True while the writer has a piece in hand.
    writing: bool,
    /// True while that piece is a line.
    writing_line: bool,
    started: bool,
    closed: bool,
    /// Lines dropped since the last one that got through.
    dropped: u64,
    loss: Loss,
    /// A failure is not the end: the next line is tried.
    retries: bool,
    /// Lines lost before the failure.
    lost_before: u64,
    /// What whoever asks is to be told.
    failed: Option<io::Error>,
    goes_on: Option<u64>,
}

impl Outlet {
    /// Lines go to `out`, which may block: only the outlet's own thread calls it.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        let footer = Arc::new(FooterState::default());
        Outlet {
            shared: Arc::new(Shared {
                queue: Mutex::default(),
                work: Condvar::new(),
                idle: Condvar::new(),
                sink: Mutex::new(Sink::new(Box::new(out), Arc::clone(&footer))),
                footer,
            }),
        }
    }

    /// The same, but after a failure the next line is tried all the same: a disk that is full need not stay so.
    pub fn that_retries(self) -> Self {
        self.shared.lock().retries = true;
        self
    }

    /// Lines go to standard error.
    pub fn stderr() -> Self {
        Outlet::new(io::stderr())
    }

    /// Queues the line that `build` makes, its newline included; `build` is told how many lines were dropped just
    /// before this one. When there is no room, `build` is not called and the line counts as dropped.
    pub fn line(&self, build: impl FnOnce(u64) -> Vec<u8>) {
        let mut queue = self.shared.lock();
        if queue.closed || queue.loss.failure.is_some() && !queue.retries {
            queue.loss.lines += 1;
            return;
        }
        if queue.bytes >= QUEUE_BYTES {
            queue.loss.lines += 1;
            queue.dropped += 1;
            return;
        }
        let dropped = std::mem::take(&mut queue.dropped);
        queue.push(Piece::Line(build(dropped)));
        self.shared.wake(queue);
    }

    /// Shows `text`, which starts with a carriage return and has no newline, below the lines; skipped when anything
    /// is waiting to be written.
    pub fn offer_footer(&self, text: Vec<u8>) {
        let mut queue = self.shared.lock();
        let busy = queue.writing || !queue.pending.is_empty();
        if busy || queue.closed || queue.loss.failure.is_some() || self.shared.footer.is_banned() {
            return;
        }
        queue.push(Piece::Footer(text));
        self.shared.wake(queue);
    }

    /// Takes the footer off the screen.
    pub fn clear_footer(&self) {
        let mut queue = self.shared.lock();
        if queue.started && !queue.closed {
            queue.push(Piece::ClearFooter);
            self.shared.wake(queue);
        }
    }

    /// Lines from now on go to `out`; those that are queued still go where they were to go. A failure of the old place is
    /// forgotten.
    pub fn continue_at(&self, out: impl Write + Send + 'static) {
        let mut queue = self.shared.lock();
        if !queue.closed {
            queue.loss.failure = None;
            queue.push(Piece::Elsewhere(Box::new(out)));
            self.shared.wake(queue);
        }
    }

    /// What became of the writing since it was last asked: each failure and each recovery once.
    pub fn news(&self) -> Option<News> {
        let mut queue = self.shared.lock();
        let failed = queue.failed.take().map(News::Failed);
        failed.or_else(|| queue.goes_on.take().map(News::GoesOn))
    }

    /// Waits until everything queued so far is written, at most `wait`; true if it was.
    pub fn flush(&self, wait: Duration) -> bool {
        !self.shared.drained(self.shared.lock(), wait).has_work()
    }

    /// Takes no more lines and waits until those queued are written, at most `wait`. If lines were dropped since the
    /// last one, `notice` makes a line that says how many. A second call does nothing.
    pub fn finish(&self, wait: Duration, notice: impl FnOnce(u64) -> Vec<u8>) -> Loss {
        let mut queue = self.shared.lock();
        if queue.closed {
            return Loss::default();
        }
        let dropped = std::mem::take(&mut queue.dropped);
        if dropped > 0 && queue.loss.failure.is_none() {
            queue.push(Piece::Line(notice(dropped)));
        }
        queue.closed = true;
        self.shared.work.notify_all();
        let mut queue = self.shared.drained(queue, wait);
        // the piece in the writer's hand is lost too if the process ends before its reader reads
        queue.loss.lines += u64::from(queue.writing_line);
        queue.abandon();
        std::mem::take(&mut queue.loss)
    }

    /// Makes a panic take the footer off the screen first, so that its message stands on a line of its own.
    ///
    /// The hook writes to standard error by itself: the thread that panics may not wait for the outlet's.
    pub fn clear_footer_on_panic(&self) {
        let footer = Arc::clone(&self.shared.footer);
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if footer.ban() {
                // a panic is being told: an error here has nobody to go to
                let _ = io::stderr().write_all(ERASE);
            }
            next(info);
        }));
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outlet")
    }
}

impl Queue {
    fn push(&mut self, piece: Piece) {
        self.bytes += piece.len();
        self.pending.push_back(piece);
    }

    fn has_work(&self) -> bool {
        self.writing || !self.pending.is_empty()
    }

    /// A line could not be written; `is_line`: it is missed.
    fn fail(&mut self, error: io::Error, is_line: bool) {
        if self.loss.failure.is_none() {
            self.lost_before = self.loss.lines;
            self.failed = Some(error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error));
            self.goes_on = None;
            self.loss.failure = Some(error);
        }
        self.loss.lines += u64::from(is_line);
        if !self.retries {
            self.abandon();
        }
    }

    /// A line was written.
    fn recover(&mut self) {
        if self.loss.failure.take().is_some() {
            self.goes_on = Some(self.loss.lines - self.lost_before);
        }
    }

    /// Forgets what is pending and counts its lines.
    fn abandon(&mut self) {
        let lines = self.pending.drain(..).filter(Piece::is_line).count();
        self.loss.lines += lines as u64;
        self.bytes = 0;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drained<'a>(&self, queue: MutexGuard<'a, Queue>, wait: Duration) -> MutexGuard<'a, Queue> {
        let waited = self.idle.wait_timeout_while(queue, wait, |queue| queue.has_work());
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Has the thread write what was pushed; starts it the first time.
    fn wake(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>) {
        if queue.started {
            drop(queue);
            self.work.notify_one();
            return;
        }
        let shared = Arc::clone(self);
        let writer = thread::Builder::new().name("outlet".into()).stack_size(STACK_BYTES);
        if writer.spawn(move || shared.serve()).is_ok() {
            queue.started = true;
            return;
        }
        // no thread to be had (RLIMIT_NPROC): a line that may block is better than a run without a word
        drop(queue);
        while let Some(piece) = self.take_piece() {
            self.put(piece);
        }
    }

    fn serve(&self) {
        loop {
            while let Some(piece) = self.take_piece() {
                self.put(piece);
            }
            let queue = self.lock();
            let waited = self.work.wait_while(queue, |queue| queue.pending.is_empty() && !queue.closed);
            let queue = waited.unwrap_or_else(PoisonError::into_inner);
            if queue.closed && queue.pending.is_empty() {
                return;
            }
        }
    }

    fn take_piece(&self) -> Option<Piece> {
        let mut queue = self.lock();
        let piece = queue.pending.pop_front();
        queue.bytes -= piece.as_ref().map_or(0, Piece::len);
        queue.writing = piece.is_some();
        queue.writing_line = piece.as_ref().is_some_and(Piece::is_line);
        if piece.is_none() {
            self.idle.notify_all();
        }
        piece
    }

    /// Writes one piece; after an error that stays, nothing more is tried unless that was asked for.
    fn put(&self, piece: Piece) {
        let is_line = piece.is_line();
        let written = self.sink.lock().unwrap_or_else(PoisonError::into_inner).put(piece);
        match written {
            Err(error) => self.lock().fail(error, is_line),
            Ok(()) if is_line => self.lock().recover(),
            Ok(()) => {}
        }
    }
}

/// Some thousand lines: enough for a burst, little enough to be forgotten.
pub const QUEUE_BYTES: usize = 256 * 1024;
const STACK_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests;
