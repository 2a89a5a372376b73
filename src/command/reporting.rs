//! Who hears of a run: standard error, the events, the progress display.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::copy::Copier;
use super::late;
use crate::error::{Cause, Error, Op};
use crate::event::{Event, Observer};
use crate::outcome::{Ended, ExitStatus, Outcome};
use crate::plan::{EventSink, Progress, Report, Transfer};
use crate::report::progress::panic_guard;
use crate::report::{Console, EventWriter, Loss, Observers, Outlet, ProgressView, Show, Style};
use crate::sys;

/// The observers of one run.
pub(super) struct Reporting {
    console: Console,
    events: Option<EventWriter>,
    observers: Arc<Observers>,
    stderr: Outlet,
    progress: Option<fn() -> Style>,
    copier: Option<Copier>,
    log: Option<Outlet>,
}

impl Reporting {
    /// Opens the sinks that the plan names. `announce`: a listener's address is told also without `-v`.
    ///
    /// # Errors
    /// The file or descriptor for the events cannot be opened.
    pub(super) fn open(report: &Report, announce: bool) -> Result<Self, Error> {
        let stderr = Outlet::stderr();
        let Report { quiet, verbosity, stats, .. } = *report;
        let show = Show { quiet, verbosity, announce, stats, intervals: report.progress == Progress::Line };
        let console = Console::new(stderr.clone(), show);
        let events = report.events.as_ref().map(open_events).transpose()?;
        let mut observers = Observers::new().with(console.clone());
        if let Some(events) = &events {
            observers = observers.with(events.clone());
        }
        let observers = Arc::new(observers);
        for advice in &report.advice {
            observers.observe(&Event::Note { verbosity: 1, text: advice.to_string() });
        }
        let progress = style(report.progress);
        if progress.is_some() {
            panic_guard(&stderr);
        }
        Ok(Reporting { console, events, observers, stderr, progress, copier: None, log: None })
    }

    /// The same, where payload may go to standard output: a terminal that shows it has no place for a bar, unless that
    /// was asked for by name.
    pub(super) fn with_payload(mut self, report: &Report, written: bool) -> Self {
        if written && report.progress == Progress::Auto && io::stdout().is_terminal() {
            self.progress = None;
        }
        self
    }

    /// Opens the copy that the plan asks for (`-o`); `many`: several sessions may write to it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn with_copy(mut self, transfer: &Transfer, many: bool) -> Result<Self, Error> {
        self.copier = Copier::open(transfer, many, self.observers())?;
        Ok(self)
    }

    /// The same, with a line for each session written to `log`.
    pub(super) fn with_log(mut self, log: Option<Outlet>) -> Self {
        self.log = log;
        self
    }

    /// Where the lines about sessions go, if anywhere.
    pub(super) fn log(&self) -> Option<Outlet> {
        self.log.clone()
    }

    /// Who copies what passes, if anybody does.
    pub(super) fn copier(&self) -> Option<Copier> {
        self.copier.clone()
    }

    /// Everybody who listens.
    pub(super) fn observers(&self) -> Rc<dyn Observer> {
        Rc::new(Everybody(self.shared_observers()))
    }

    /// The same for other threads.
    pub(super) fn shared_observers(&self) -> Arc<Observers> {
        Arc::clone(&self.observers)
    }

    /// The console, for totals that a signal asks for.
    pub(super) fn console(&self) -> Console {
        self.console.clone()
    }

    /// The progress display, where one is wanted, for a transfer of `size` bytes.
    pub(super) fn progress(&self, size: Option<u64>) -> Option<ProgressView> {
        let style = self.progress?;
        Some(ProgressView::new(style(), size, Instant::now(), self.stderr.clone()))
    }

    /// Lets everything out, and gives the outcome of it all: a success that lost a part of its copy or of its events is
    /// none. What standard error loses has nowhere to be told, but a result that was to stand there is missed.
    pub(super) fn finish(self, mut outcome: anyhow::Result<Outcome>) -> anyhow::Result<Outcome> {
        let reason = match &outcome {
            Err(error) => Some(error.downcast_ref::<Error>().map_or_else(|| format!("{error:#}"), Error::line)),
            Ok(Outcome { ended: Ended::Failed(error), .. }) => Some(error.line()),
            Ok(_) => None,
        };
        // standard error gets the whole message at the very end, from main
        if let (Some(reason), Some(events)) = (reason, &self.events) {
            events.observe(&Event::Error { session: None, reason });
        }
        let copied = self.copier.is_none_or(|copier| copier.finish(FINISH));
        if let Ok(outcome) = &mut outcome
            && !copied
            && outcome.status() == ExitStatus::Success
        {
            outcome.ended = Ended::Told(ExitStatus::LocalIo);
        }
        let logged = self.log.map_or_else(Loss::default, |log| log.finish(FINISH, log_gap));
        let told = match self.console.finish(FINISH) {
            Ok(_) if self.console.has_result() && sys::was_closed_at_start(2) => {
                Err(Cause::Said("it is closed".into()))
            }
            told => told,
        };
        if let (Ok(outcome), Err(cause)) = (&mut outcome, told)
            && outcome.status() == ExitStatus::Success
        {
            // where it should stand there is nobody to hear it
            if let Some(events) = &self.events {
                let reason = Error::new(Op::Write, "standard error", cause).line();
                events.observe(&Event::Error { session: None, reason });
            }
            outcome.ended = Ended::Told(ExitStatus::LocalIo);
        }
        if let (Some(error), Ok(_)) = (logged.failure, &outcome) {
            return Err(Error::new(Op::Write, "the log", error).into());
        }
        if logged.lines > 0 && outcome.as_ref().is_ok_and(|outcome| outcome.status() == ExitStatus::Success) {
            let lines = if logged.lines == 1 { "line is" } else { "lines are" };
            return Err(Error::said(Op::Write, "the log", format!("{} {lines} lost", logged.lines)).into());
        }
        match self.events.and_then(|events| events.finish(FINISH).failure) {
            Some(error) if outcome.is_ok() => Err(Error::new(Op::Write, "the events", error).into()),
            _ => outcome,
        }
    }
}

/// A line of a log that stands for those that its reader was too slow for; empty if there are none.
pub(super) fn log_gap(dropped: u64) -> Vec<u8> {
    match dropped {
        0 => Vec::new(),
        1 => b"# 1 line is missing here: the log was not read fast enough\n".to_vec(),
        _ => format!("# {dropped} lines are missing here: the log was not read fast enough\n").into_bytes(),
    }
}

fn open_events(sink: &EventSink) -> Result<EventWriter, Error> {
    let outlet = match sink {
        EventSink::Fd(number) => {
            let fd = sys::adopt(*number).map_err(|error| Error::new(Op::Open, format!("fd:{number}"), error))?;
            Outlet::new(std::fs::File::from(fd))
        }
        EventSink::File(path) => appended(path)?,
    };
    Ok(EventWriter::new(outlet))
}

/// Observers that threads share.
pub(super) struct Everybody(pub(super) Arc<Observers>);

impl Observer for Everybody {
    fn observe(&self, event: &Event) {
        self.0.observe(event);
    }

    fn wants_details(&self) -> bool {
        self.0.wants_details()
    }
}

/// Lines at the end of a file, or into a FIFO.
///
/// # Errors
/// It cannot be opened for writing.
pub(super) fn appended(path: &Path) -> Result<Outlet, Error> {
    if let Some(outlet) = late::fifo(path) {
        return Ok(outlet);
    }
    appended_to(path).map(Outlet::new)
}

/// A file to whose end is written, made if it is missing. It never waits: a FIFO that has no reader is an error.
///
/// # Errors
/// It cannot be opened for writing.
pub(super) fn appended_to(path: &Path) -> Result<File, Error> {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
    let file = OpenOptions::new().append(true).create(true).custom_flags(flags).open(path);
    file.map_err(|error| Error::new(Op::Open, path.as_os_str().as_encoded_bytes(), error))
}

fn style(progress: Progress) -> Option<fn() -> Style> {
    let bar: fn() -> Style = || Style::Bar(sys::stderr_columns);
    match progress {
        Progress::Off => None,
        Progress::Auto => (sys::stderr_columns().is_some() && !is_dumb()).then_some(bar),
        Progress::Bar => Some(bar),
        Progress::Line => Some(|| Style::Line),
        Progress::Json => Some(|| Style::Json),
    }
}

/// A terminal that cannot move its cursor shows no bar.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Longest wait for a slow reader of reports at the end.
const FINISH: Duration = Duration::from_secs(1);
