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
mod tests {
    use super::super::testing::{Recorder, WAIT};
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Ticks every 100 ms of virtual time, 10 MiB/s, and returns what was written.
    fn watch(style: Style, size: Option<u64>, ticks: u64) -> Vec<String> {
        let seen = Recorder::default();
        let out = Outlet::new(seen.clone());
        let start = Instant::now();
        let mut view = ProgressView::new(style, size, start, out.clone());
        for tick in 1..=ticks {
            view.tick(start + ms(100 * tick), tick << 20);
            assert!(out.flush(WAIT));
        }
        view.finish(start + ms(100 * ticks + 50), ticks << 20);
        out.finish(WAIT, |_| Vec::new());
        seen.writes()
    }

    #[test]
    fn a_bar_is_redrawn_in_place_and_never_erased_before_the_end() {
        let writes = watch(Style::Bar(|| Some(80)), Some(40 << 20), 30);
        let (last, frames) = writes.split_last().unwrap();
        assert_eq!(last, "\r\x1b[K");
        assert_eq!(frames.len(), 30);
        for frame in frames {
            assert!(frame.starts_with('\r') && frame.len() == 78, "{frame:?}");
            assert!(!frame[1..].contains(|c: char| c.is_control()), "{frame:?}");
        }
        assert_eq!(frames[19], "\r 50% [=============>             ] 20.0 MiB / 40.0 MiB  10.0 MiB/s  ETA  0:02");
    }

    #[test]
    fn an_unknown_size_is_shown_with_a_spinner_and_both_rates() {
        let writes = watch(Style::Bar(|| None), None, 11);
        assert_eq!(writes[10].trim_end(), "\r\\ 11.0 MiB  0:01  10.0 MiB/s  10.0 MiB/s average");
        assert_eq!(writes[10].len(), 78);
    }

    #[test]
    fn no_frame_is_wider_than_the_terminal_whatever_its_width() {
        static COLUMNS: AtomicU16 = AtomicU16::new(0);
        for size in [None, Some(0), Some(5 << 20), Some(u64::MAX)] {
            let seen = Recorder::default();
            let out = Outlet::new(seen.clone());
            let start = Instant::now();
            let columns: fn() -> Option<u16> = || Some(COLUMNS.load(Relaxed));
            let mut view = ProgressView::new(Style::Bar(columns), size, start, out.clone());
            // the terminal changes its width between any two frames
            for tick in 1..=200 {
                COLUMNS.store(1 + (tick * 37 % 200) as u16, Relaxed);
                view.tick(start + ms(100 * tick), tick << 30);
                assert!(out.flush(WAIT));
                let frame = seen.writes().pop().unwrap();
                let limit = usize::from(COLUMNS.load(Relaxed).max(4)) - 3;
                assert_eq!(frame.len() - 1, limit, "{frame:?}");
            }
            assert_eq!(seen.writes().len(), 200);
        }
    }

    #[test]
    fn frames_come_at_most_ten_times_a_second_however_often_the_loop_ticks() {
        let seen = Recorder::default();
        let out = Outlet::new(seen.clone());
        let start = Instant::now();
        let mut view = ProgressView::new(Style::Bar(|| Some(80)), None, start, out.clone());
        for milli in 0..1000 {
            view.tick(start + ms(milli), milli);
            assert!(out.flush(WAIT));
        }
        assert!(seen.writes().len() <= 11, "{}", seen.writes().len());
    }

    #[test]
    fn lines_and_objects_come_once_a_second_and_at_the_end() {
        let lines = watch(Style::Line, Some(40 << 20), 20);
        assert_eq!(
            lines,
            [
                "haul: 10.0 MiB of 40.0 MiB (25%) in 0:01, 10.0 MiB/s now, 10.0 MiB/s on average, 0:03 left\n",
                "haul: 20.0 MiB of 40.0 MiB (50%) in 0:02, 10.0 MiB/s now, 10.0 MiB/s on average, 0:02 left\n",
                "haul: 20.0 MiB of 40.0 MiB (50%) in 0:02, 9.76 MiB/s now, 9.76 MiB/s on average, 0:02 left\n",
            ]
        );
        let objects = watch(Style::Json, None, 20);
        assert_eq!(objects.len(), 3);
        for object in objects {
            let json: serde_json::Value = serde_json::from_str(&object).unwrap();
            assert_eq!(json["event"], "progress");
            assert!(object.ends_with('\n'));
        }
    }

    #[test]
    fn a_stopped_program_leaves_a_clean_line_and_redraws_when_it_goes_on() {
        let seen = Recorder::default();
        let out = Outlet::new(seen.clone());
        let start = Instant::now();
        let mut view = ProgressView::new(Style::Bar(|| Some(40)), None, start, out.clone());
        view.tick(start + ms(100), 1);
        assert!(out.flush(WAIT));
        view.clear();
        assert_eq!(seen.writes().pop().unwrap(), "\r\x1b[K");
        view.tick(start + ms(200), 2);
        assert!(out.flush(WAIT));
        assert_eq!(seen.writes().len(), 2, "nothing is drawn while it is hidden");
        view.redraw(start + ms(9000));
        assert!(out.flush(WAIT));
        assert!(seen.writes().pop().unwrap().contains("2 B  0:09"));
    }

    #[test]
    fn a_view_that_is_dropped_or_finished_draws_no_more() {
        let seen = Recorder::default();
        let out = Outlet::new(seen.clone());
        let start = Instant::now();
        let mut view = ProgressView::new(Style::Bar(|| Some(40)), Some(9), start, out.clone());
        view.finish(start, 9);
        view.tick(start + ms(500), 9);
        view.redraw(start + ms(600));
        drop(view);
        out.finish(WAIT, |_| Vec::new());
        assert_eq!(seen.text(), "");
    }
}
