//! The writing end of an outlet: lines, and below them at most one footer, which a line erases and puts back.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// What can be written.
pub(super) enum Piece {
    /// A whole line, its newline included.
    Line(Vec<u8>),
    /// What stands below the lines from now on: a carriage return, then text without a newline.
    Footer(Vec<u8>),
    /// Nothing stands there from now on.
    ClearFooter,
    /// What follows goes there.
    Elsewhere(Box<dyn Write + Send>),
}

impl Piece {
    /// True for what a reader would miss: an empty line only opens the way.
    pub(super) fn is_line(&self) -> bool {
        matches!(self, Piece::Line(line) if !line.is_empty())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Piece::Line(bytes) | Piece::Footer(bytes) => bytes.len(),
            Piece::ClearFooter | Piece::Elsewhere(_) => 0,
        }
    }
}

/// What a panic hook must know of the footer without waiting for the writer.
#[derive(Default)]
pub(super) struct FooterState {
    shown: AtomicBool,
    banned: AtomicBool,
}

impl FooterState {
    /// Lets no more footers through; true if one is on the screen.
    pub(super) fn ban(&self) -> bool {
        self.banned.store(true, SeqCst);
        self.shown.swap(false, SeqCst)
    }

    pub(super) fn is_banned(&self) -> bool {
        self.banned.load(SeqCst)
    }
}

/// Writes pieces, each with one `write` where the descriptor takes it whole.
pub(super) struct Sink {
    out: Box<dyn Write + Send>,
    footer: Vec<u8>,
    state: Arc<FooterState>,
    /// A line was written in part: the next one is not to continue it.
    torn: bool,
}

impl Sink {
    pub(super) fn new(out: Box<dyn Write + Send>, state: Arc<FooterState>) -> Self {
        Sink { out, footer: Vec::new(), state, torn: false }
    }

    /// Writes one piece, waiting for the reader as long as it takes.
    ///
    /// # Errors
    /// What the descriptor says, but not EINTR and not EAGAIN; part of the piece may have been written.
    pub(super) fn put(&mut self, piece: Piece) -> io::Result<()> {
        if self.state.is_banned() {
            self.footer.clear();
        }
        match piece {
            Piece::Line(line) if self.torn && !line.is_empty() => self.write_whole(&[b"\n", &line[..]].concat()),
            Piece::Line(line) if self.footer.is_empty() => self.write_whole(&line),
            Piece::Line(line) => self.write_whole(&[ERASE, &line, &self.footer].concat()),
            Piece::Footer(_) if self.state.is_banned() => Ok(()),
            Piece::Footer(text) => {
                // before the write: a panic in between erases a line that is still empty, which does no harm
                self.state.shown.store(true, SeqCst);
                self.write_whole(&text)?;
                self.footer = text;
                Ok(())
            }
            Piece::Elsewhere(out) => {
                (self.out, self.torn) = (out, false);
                Ok(())
            }
            Piece::ClearFooter if self.footer.is_empty() => Ok(()),
            Piece::ClearFooter => {
                self.footer.clear();
                self.state.shown.store(false, SeqCst);
                self.write_whole(ERASE)
            }
        }
    }

    /// `write_all` that also outlasts a descriptor which somebody else has made non-blocking.
    fn write_whole(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let all = bytes.len();
        while !bytes.is_empty() {
            match self.out.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // the writer's thread has nothing else to do, and poll(2) is not for this room
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
                Err(error) => {
                    self.torn |= bytes.len() < all;
                    return Err(error);
                }
            }
        }
        self.torn &= all == 0;
        self.out.flush()
    }
}

const FULL_PAUSE: Duration = Duration::from_millis(20);
/// To the first column, then erase to the end of the line (ECMA-48, EL).
pub(super) const ERASE: &[u8] = b"\r\x1b[K";

#[cfg(test)]
mod tests {
    use super::super::testing::Recorder;
    use super::*;

    /// Takes three bytes at a time, and says EINTR and EAGAIN in between.
    struct Grudging(Recorder, u32);

    impl Write for Grudging {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            match self.1 {
                2 => Err(ErrorKind::Interrupted.into()),
                3 => Err(ErrorKind::WouldBlock.into()),
                _ => self.0.write(&bytes[..bytes.len().min(3)]),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_survives_short_writes_and_refusals() {
        let seen = Recorder::default();
        let mut sink = Sink::new(Box::new(Grudging(seen.clone(), 0)), Arc::default());
        sink.put(Piece::Line(b"0123456789\n".to_vec())).unwrap();
        assert_eq!(seen.text(), "0123456789\n");
    }

    #[test]
    fn after_a_panic_lines_go_on_without_the_footer() {
        let seen = Recorder::default();
        let state = Arc::new(FooterState::default());
        let mut sink = Sink::new(Box::new(seen.clone()), Arc::clone(&state));
        sink.put(Piece::Footer(b"\r1%".to_vec())).unwrap();
        assert!(state.ban(), "a footer is on the screen");
        sink.put(Piece::Line(b"oh\n".to_vec())).unwrap();
        sink.put(Piece::Footer(b"\r2%".to_vec())).unwrap();
        assert_eq!(seen.writes(), ["\r1%", "oh\n"]);
    }
}
