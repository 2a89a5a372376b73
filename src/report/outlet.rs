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

/// What did not get through, and why.
#[derive(Debug, Default)]
pub struct Loss {
    /// Lines that were never written, those announced to the reader included.
    pub lines: u64,
    /// The error that ended the writing, if one did; lines after it are not even queued.
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
    /// The failure was told to whoever asked for it.
    told: bool,
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

    /// Lines go to standard error.
    pub fn stderr() -> Self {
        Outlet::new(io::stderr())
    }

    /// Queues the line that `build` makes, its newline included; `build` is told how many lines were dropped just
    /// before this one. When there is no room, `build` is not called and the line counts as dropped.
    pub fn line(&self, build: impl FnOnce(u64) -> Vec<u8>) {
        let mut queue = self.shared.lock();
        if queue.closed || queue.loss.failure.is_some() {
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
            (queue.loss.failure, queue.told) = (None, false);
            queue.push(Piece::Elsewhere(Box::new(out)));
            self.shared.wake(queue);
        }
    }

    /// The error that ended the writing, once: lines are lost from then on, until they [go elsewhere](Outlet::continue_at).
    pub fn trouble(&self) -> Option<io::Error> {
        let mut queue = self.shared.lock();
        let failure = queue.loss.failure.as_ref().filter(|_| !queue.told)?;
        let copy = failure.raw_os_error().map_or_else(|| failure.kind().into(), io::Error::from_raw_os_error);
        queue.told = true;
        Some(copy)
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

    /// Writes one piece; after an error that stays, nothing more is tried.
    fn put(&self, piece: Piece) {
        let is_line = piece.is_line();
        let written = self.sink.lock().unwrap_or_else(PoisonError::into_inner).put(piece);
        if let Err(error) = written {
            let mut queue = self.lock();
            queue.loss.lines += u64::from(is_line);
            queue.loss.failure.get_or_insert(error);
            queue.abandon();
        }
    }
}

/// Some thousand lines: enough for a burst, little enough to be forgotten.
pub const QUEUE_BYTES: usize = 256 * 1024;
const STACK_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::super::testing::{Recorder, WAIT};
    use super::*;
    use std::io::{BufRead, BufReader, ErrorKind};

    fn numbered(out: &Outlet, number: u64) {
        out.line(|dropped| format!("{number:01000} after {dropped}\n").into_bytes());
    }

    #[test]
    fn an_outlet_that_nobody_uses_starts_no_thread() {
        let out = Outlet::new(Recorder::default());
        out.clear_footer();
        assert!(out.flush(Duration::ZERO));
        assert!(!out.shared.lock().started);
        assert_eq!(out.finish(WAIT, |_| Vec::new()).lines, 0);
    }

    #[test]
    fn a_pipe_that_nobody_reads_costs_lines_and_never_time() {
        // far more than queue and pipe hold, from one thread: a call that waited would never come back
        let (reader, writer) = io::pipe().unwrap();
        let out = Outlet::new(writer);
        for number in 0..2000 {
            numbered(&out, number);
        }
        let reader = thread::spawn(move || BufReader::new(reader).lines().map(Result::unwrap).collect::<Vec<_>>());
        let loss = out.finish(WAIT, |dropped| format!("{dropped} at the end\n").into_bytes());
        assert!(loss.lines > 1000, "{}", loss.lines);
        assert!(loss.failure.is_none());
        drop(out);
        let lines = reader.join().unwrap();
        let (last, whole) = lines.split_last().unwrap();
        assert_eq!(whole.len() as u64 + loss.lines, 2000);
        let mut told: u64 = last.strip_suffix(" at the end").unwrap().parse().unwrap();
        for line in whole {
            // the digits, then how many are missing just before: room may come and go while the writer starts
            let (digits, dropped) = line.split_once(" after ").unwrap();
            assert!(digits.len() == 1000, "every line is whole");
            told += dropped.parse::<u64>().unwrap();
        }
        assert_eq!(told, loss.lines, "every missing line is told of");
    }

    #[test]
    fn the_next_line_that_gets_through_knows_what_was_dropped() {
        let (reader, writer) = io::pipe().unwrap();
        let out = Outlet::new(writer);
        for number in 0..1000 {
            numbered(&out, number);
        }
        let (dropped, lost) = {
            let queue = out.shared.lock();
            (queue.dropped, queue.loss.lines)
        };
        assert!(dropped > 0);
        let mut reader = BufReader::new(reader);
        let mut line = String::new();
        for _ in 0..1000 - lost {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        assert!(out.flush(WAIT));
        numbered(&out, 1000);
        line.clear();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end().rsplit_once(' ').unwrap().1, dropped.to_string());
        assert_eq!(out.finish(WAIT, |_| Vec::new()).lines, lost);
    }

    #[test]
    fn a_deadline_ends_the_wait_for_a_reader_that_never_reads() {
        let (reader, writer) = io::pipe().unwrap();
        let out = Outlet::new(writer);
        for number in 0..100 {
            numbered(&out, number);
        }
        let loss = out.finish(Duration::from_millis(1), |_| Vec::new());
        assert!(loss.lines > 0 && loss.lines <= 100);
        drop(reader);
    }

    #[test]
    fn a_reader_that_is_gone_is_told_of_once_and_costs_nothing_more() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let out = Outlet::new(writer);
        numbered(&out, 1);
        assert!(out.flush(WAIT));
        numbered(&out, 2);
        let loss = out.finish(WAIT, |_| Vec::new());
        assert_eq!(loss.failure.unwrap().kind(), ErrorKind::BrokenPipe);
        assert_eq!(loss.lines, 2);
    }

    // The hook belongs to the whole process, so the panic happens in a child: this same test, told to by its
    // environment.
    #[test]
    fn a_panic_takes_the_bar_off_the_screen_before_it_is_told() {
        const CHILD: &str = "HAUL_TEST_PANIC_WITH_A_BAR";
        if std::env::var_os(CHILD).is_some() {
            let out = Outlet::stderr();
            out.clear_footer_on_panic();
            out.offer_footer(b"\r50%".to_vec());
            assert!(out.flush(WAIT));
            panic!("by intent");
        }
        let name = "report::outlet::tests::a_panic_takes_the_bar_off_the_screen_before_it_is_told";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let told = String::from_utf8(child.stderr).unwrap();
        assert!(!child.status.success());
        let (before, _) = told.split_once("panicked at").unwrap();
        assert!(before.starts_with("\r50%\r\x1b[K"), "{told:?}");
    }

    #[test]
    fn a_line_replaces_the_footer_and_puts_it_back_in_one_write() {
        let seen = Recorder::default();
        let out = Outlet::new(seen.clone());
        out.offer_footer(b"\r50%".to_vec());
        assert!(out.flush(WAIT));
        out.line(|_| b"hello\n".to_vec());
        out.clear_footer();
        out.line(|_| b"bye\n".to_vec());
        out.finish(WAIT, |_| Vec::new());
        assert_eq!(seen.writes(), ["\r50%", "\r\x1b[Khello\n\r50%", "\r\x1b[K", "bye\n"]);
    }
}
