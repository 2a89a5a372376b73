//! Progress while it runs: a bar or spinner on a terminal, a line a second for logs, or a JSON object a second.
//!
//! The event loop calls [`ProgressView::tick`] from a timer of its own, about every 100 ms, with its own idea of the
//! time; there is no thread here and no clock. The bar is drawn by indicatif into memory and offered to the
//! [`Outlet`] as one frame: a carriage return, then text padded to the width. Nothing is erased between two frames, so
//! nothing flickers; a frame that cannot be written at once is skipped. The text is ASCII without colours, which is
//! legible in every locale and honours NO_COLOR. It stays one column short of the width, where terminals disagree
//! about when to wrap, and the width is asked for anew before each frame.
//!
//! Whether standard error is a terminal is the caller's business: a bar may be forced into a pipe.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};

use super::console::gap;
use super::layout::{FRAME_EVERY, Texts};
use super::outlet::Outlet;
use super::pace::{Pace, RateWindow};

/// How progress is shown.
#[derive(Clone, Copy, Debug)]
pub enum Style {
    /// One line of a terminal, redrawn in place: a bar with ETA when the size is known, else a spinner.
    /// The function gives the terminal's width in columns, `None` where there is no terminal (80 is assumed).
    Bar(fn() -> Option<u16>),
    /// One line a second, for logs.
    Line,
    /// One JSON object a second.
    Json,
}

/// Shows how far one transfer is.
pub struct ProgressView {
    out: Outlet,
    started: Instant,
    rate: RateWindow,
    size: Option<u64>,
    moved: u64,
    /// Where records are counted.
    records: Option<(RateWindow, u64)>,
    /// The next frame or line is not due before.
    due: Instant,
    face: Face,
}

enum Face {
    Bar(Bar),
    Text(fn(&Pace) -> Vec<u8>),
    /// Cleared by [`ProgressView::clear`], to come back with `redraw`.
    Hidden(Bar),
    Finished,
}

impl ProgressView {
    /// A view of a transfer that starts at `started`, of `size` bytes if that is known. Shows nothing yet: the first
    /// frame comes with the first tick, the first line after a second.
    pub fn new(style: Style, size: Option<u64>, started: Instant, out: Outlet) -> Self {
        let (face, due) = match style {
            Style::Bar(columns) => (Face::Bar(Bar::new(size, columns, out.clone())), started),
            Style::Line => (Face::Text(|pace| pace.line().into_bytes()), started + TEXT_EVERY),
            Style::Json => (Face::Text(Pace::json), started + TEXT_EVERY),
        };
        ProgressView { out, started, rate: RateWindow::new(started, 0), size, moved: 0, records: None, due, face }
    }

    /// The transfer begins only now, and will be of `size` bytes if that is known by now. Nothing was shown yet.
    pub fn begin(&mut self, now: Instant, size: Option<u64>) {
        (self.started, self.size, self.rate) = (now, size, RateWindow::new(now, 0));
        match &mut self.face {
            Face::Bar(bar) => {
                self.due = now;
                if let Some(size) = size {
                    bar.bar.set_length(size);
                }
            }
            _ => self.due = now + TEXT_EVERY,
        }
    }

    /// `records` had passed at `now`: from the first call on they are shown beside the bytes.
    pub fn count_records(&mut self, now: Instant, records: u64) {
        let (rate, total) = self.records.get_or_insert_with(|| (RateWindow::new(self.started, 0), 0));
        *total = records;
        rate.record(now, records);
    }

    /// `moved` bytes had been delivered at `now`. To be called about every 100 ms; calls that come early only cost a
    /// comparison.
    pub fn tick(&mut self, now: Instant, moved: u64) {
        self.moved = moved;
        self.rate.record(now, moved);
        if now < self.due {
            return;
        }
        let every = match self.face {
            Face::Bar(_) => FRAME_EVERY,
            _ => TEXT_EVERY,
        };
        // counted from the last due time, so that lines do not drift; never in the past, so that they do not bunch
        self.due = (self.due + every).max(now + every / 2);
        self.show(now);
    }

    /// Takes the bar off the screen and waits for that, but no longer than a moment: to be called before the process
    /// stops (SIGTSTP). Ticks draw nothing until [`ProgressView::redraw`].
    pub fn clear(&mut self) {
        self.face = match std::mem::replace(&mut self.face, Face::Finished) {
            Face::Bar(bar) => Face::Hidden(bar),
            other => other,
        };
        self.out.clear_footer();
        self.out.flush(CLEAR_WAIT);
    }

    /// Draws again after [`ProgressView::clear`] (SIGCONT). The current rate starts afresh, as the pause was nobody's.
    pub fn redraw(&mut self, now: Instant) {
        self.rate = RateWindow::new(now, self.moved);
        if let Some((rate, total)) = &mut self.records {
            *rate = RateWindow::new(now, *total);
        }
        self.face = match std::mem::replace(&mut self.face, Face::Finished) {
            Face::Hidden(bar) => Face::Bar(bar),
            other => other,
        };
        if let Face::Bar(_) = self.face {
            self.show(now);
        }
    }

    /// The end: the bar disappears for good (totals are `--stats`), lines and objects get a last one.
    pub fn finish(&mut self, now: Instant, moved: u64) {
        self.moved = moved;
        self.rate.record(now, moved);
        if let Face::Text(_) = self.face {
            self.show(now);
        }
        if let Face::Bar(_) | Face::Hidden(_) = self.face {
            self.clear();
        }
        self.face = Face::Finished;
    }

    fn show(&mut self, now: Instant) {
        let pace = Pace {
            moved: self.moved,
            size: self.size,
            elapsed: now.saturating_duration_since(self.started),
            current: self.rate.per_sec(),
            records: self.records.as_ref().map(|(rate, total)| (*total, rate.per_sec())),
        };
        match &mut self.face {
            Face::Bar(bar) => bar.draw(&pace),
            Face::Text(render) => {
                self.out.line(|dropped| [gap(dropped), render(&pace), vec![b'\n']].concat());
            }
            Face::Hidden(_) | Face::Finished => {}
        }
    }
}

/// Makes a panic take the bar off the screen before its message is written; to be called once, by a program that
/// shows a bar.
pub fn panic_guard(out: &Outlet) {
    out.clear_footer_on_panic();
}

/// The bar or spinner, without its clock.
struct Bar {
    bar: ProgressBar,
    columns: fn() -> Option<u16>,
    screen: Arc<Screen>,
    texts: Arc<Mutex<Texts>>,
    /// Whether the style with a bar is set.
    wide: bool,
}

impl Bar {
    fn new(size: Option<u64>, columns: fn() -> Option<u16>, out: Outlet) -> Self {
        let screen = Arc::new(Screen { width: AtomicU16::new(1), frame: Mutex::default(), out });
        let texts = Arc::default();
        // no rate limit of indicatif's: it allows bursts, `tick` does not
        let target = ProgressDrawTarget::term_like(Box::new(SharedScreen(Arc::clone(&screen))));
        let bar = ProgressBar::with_draw_target(size, target);
        bar.set_style(style(NARROW, &texts));
        Bar { bar, columns, screen, texts, wide: false }
    }

    fn draw(&mut self, pace: &Pace) {
        let columns = (self.columns)().filter(|columns| *columns > 0).unwrap_or(ASSUMED_COLUMNS);
        // room for the ^C or ^Z that the terminal echoes behind the bar: wrapped, it could not be erased
        let width = columns.saturating_sub(3).max(1);
        self.screen.width.store(width, Relaxed);
        let texts = Texts::fit(pace, usize::from(width));
        let wide = !texts.right.is_empty();
        if wide != self.wide {
            self.wide = wide;
            self.bar.set_style(style(if wide { WIDE } else { NARROW }, &self.texts));
        }
        *locked(&self.texts) = texts;
        self.bar.update(|state| state.set_pos(pace.moved));
    }
}

fn style(template: &str, texts: &Arc<Mutex<Texts>>) -> ProgressStyle {
    let (left, right) = (Arc::clone(texts), Arc::clone(texts));
    // the templates are constants, and a test draws each
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    // a formatter that writes to a string does not fail
    style
        .with_key("left", move |_: &ProgressState, f: &mut dyn std::fmt::Write| {
            let _ = f.write_str(&locked(&left).left);
        })
        .with_key("right", move |_: &ProgressState, f: &mut dyn std::fmt::Write| {
            let _ = f.write_str(&locked(&right).right);
        })
        .progress_chars("=> ")
}

/// A terminal of one line, in memory: indicatif writes, `flush` hands the frame over.
struct Screen {
    width: AtomicU16,
    frame: Mutex<String>,
    out: Outlet,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Screen")
    }
}

/// indicatif owns its terminal; the bar keeps the other handle, to set the width.
#[derive(Debug)]
struct SharedScreen(Arc<Screen>);

impl TermLike for SharedScreen {
    fn width(&self) -> u16 {
        self.0.width.load(Relaxed)
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        locked(&self.0.frame).push_str(text);
        Ok(())
    }

    /// Nothing: the next frame covers all of this one.
    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let text = std::mem::take(&mut *locked(&self.0.frame));
        // indicatif draws an empty frame when it is dropped; taking the bar away is the outlet's work
        if !text.is_empty() {
            self.0.out.offer_footer(format!("\r{text}").into_bytes());
        }
        Ok(())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const TEXT_EVERY: Duration = Duration::from_secs(1);
/// A stop by ^Z should not seem to hang because the terminal is stopped with ^S.
const CLEAR_WAIT: Duration = Duration::from_millis(100);
const ASSUMED_COLUMNS: u16 = 80;
/// Agrees with what [`Texts::fit`] leaves for the bar.
const WIDE: &str = "{left} [{wide_bar}] {right}";
const NARROW: &str = "{left}";

#[cfg(test)]
mod tests;
