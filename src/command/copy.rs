//! `-o`: a copy or a dump of what passes, in a file beside the payload.
//!
//! A regular file is written at once, like standard output: the copy is as complete as the disk lets it be. Anything
//! else (a terminal, a pipe, a FIFO, a device) may be slow or stopped, and the loop must not wait for it: it is written
//! through a bounded queue. A dump that overtakes its reader loses whole lines and says so in their place; a raw copy
//! ends there, because a hole inside would not be noticed.
//!
//! Trouble with a copy never stops the payload. It is told once, and turns a success into status 5.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::late;
use crate::error::{Cause, Error, Op};
use crate::event::{Event, Observer};
use crate::layer::crlf::Crlf;
use crate::plan;
use crate::report::Outlet;
use crate::report::hexdump::{self, Head, WIDTH};
use crate::session::tap::{Tap, Watch};
use crate::sys::{self, Access, Kind};

/// The one file that all sessions copy to. Clones share it.
#[derive(Clone)]
pub(super) struct Copier {
    target: Rc<RefCell<Target>>,
    plan: plan::Copy,
    /// The dump shows what `-C` makes of the bytes.
    crlf: bool,
    /// Lines of the dump carry the session's number.
    many: bool,
}

impl Copier {
    /// Opens what `transfer` asks for; `many` where several sessions may write to it.
    ///
    /// # Errors
    /// It cannot be opened for writing, or is standard output.
    pub(super) fn open(transfer: &plan::Transfer, many: bool, tell: Rc<dyn Observer>) -> Result<Option<Self>, Error> {
        let Some(plan) = transfer.copy.clone() else { return Ok(None) };
        let sink = open(&plan.path)?;
        let target = Target { path: plan.path.clone(), sink, text: Vec::new(), cut: false, told: false, tell };
        Ok(Some(Copier { target: Rc::new(RefCell::new(target)), plan, crlf: transfer.crlf, many }))
    }

    /// A tap for one session: on both directions for a dump, else on what is received.
    pub(super) fn tap(&self, session: u64) -> Tap {
        Tap::new(self.recorder(session), [self.plan.hex, true])
    }

    /// A tap that copies each direction of one session to a file of its own: 0 to the peer, 1 from it.
    ///
    /// # Errors
    /// One of the files cannot be opened for writing.
    pub(super) fn both_ways(plans: [plan::Copy; 2], tell: &Rc<dyn Observer>) -> Result<Tap, Error> {
        let [to, from] = plans.map(|plan| {
            let sink = open(&plan.path)?;
            let tell = Rc::clone(tell);
            let target = Target { path: plan.path.clone(), sink, text: Vec::new(), cut: false, told: false, tell };
            Ok(Copier { target: Rc::new(RefCell::new(target)), plan, crlf: false, many: false }.recorder(0))
        });
        Ok(Tap::new(Apart([to?, from?]), [true, true]))
    }

    fn recorder(&self, session: u64) -> Recorder {
        Recorder {
            target: Rc::clone(&self.target),
            hex: self.plan.hex,
            timestamps: self.plan.timestamps,
            session: self.many.then_some(session),
            offsets: [0, 0],
            crlf: self.crlf.then(Crlf::new),
        }
    }

    /// Lets out what is queued, at most for `wait`; false if the copy is not complete, which is told by then.
    pub(super) fn finish(&self, wait: Duration) -> bool {
        self.target.borrow_mut().finish(wait)
    }
}

/// Where the bytes go, and whether they all got there.
struct Target {
    path: PathBuf,
    sink: Sink,
    /// Lines on their way to a file; empty between calls, and shared so that idle sessions hold none.
    text: Vec<u8>,
    /// Nothing more is written: what has gone out is a prefix.
    cut: bool,
    told: bool,
    tell: Rc<dyn Observer>,
}

enum Sink {
    /// Never makes anybody wait.
    File(File),
    /// May do so, but not us.
    Queue(Outlet),
}

impl Target {
    /// Writes bytes as they are.
    fn copy(&mut self, bytes: &[u8]) {
        match &self.sink {
            _ if self.cut => {}
            Sink::File(_) => self.write(bytes),
            Sink::Queue(outlet) => {
                for piece in bytes.chunks(PIECE) {
                    let mut queued = false;
                    outlet.line(|_| {
                        queued = true;
                        piece.to_vec()
                    });
                    if !queued {
                        self.cut = true; // why is known at the end
                        return;
                    }
                }
            }
        }
    }

    /// Writes lines of a dump: one by one to a queue, where each may be dropped before it is even made.
    fn dump<'a>(&mut self, lines: impl Iterator<Item = (Head<'a>, &'a [u8])>) {
        if let Sink::Queue(outlet) = &self.sink {
            for (head, bytes) in lines {
                outlet.line(|dropped| {
                    let mut line = gap(dropped);
                    hexdump::append(head, bytes, &mut line);
                    line
                });
            }
            return;
        }
        let mut text = std::mem::take(&mut self.text);
        for (head, bytes) in lines {
            hexdump::append(head, bytes, &mut text);
            if text.len() >= PIECE {
                self.write(&text);
                text.clear();
            }
        }
        self.write(&text);
        text.clear();
        self.text = text;
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.cut {
            return;
        }
        let Sink::File(file) = &mut self.sink else { return };
        if let Err(error) = file.write_all(bytes) {
            self.cut = true;
            self.complain(error);
        }
    }

    /// Tells the first trouble. That the payload goes on need not be said: it is not what the line is about.
    fn complain(&mut self, cause: impl Into<Cause>) {
        if !std::mem::replace(&mut self.told, true) {
            let reason = Error::new(Op::Write, self.path.as_os_str().as_encoded_bytes(), cause).line();
            self.tell.observe(&Event::Error { session: None, reason });
        }
    }

    fn finish(&mut self, wait: Duration) -> bool {
        if let Sink::Queue(outlet) = &self.sink {
            let loss = outlet.finish(wait, gap);
            match loss.failure {
                Some(error) => self.complain(error),
                None if self.cut => self.complain(Cause::Said("it is not read fast enough; the copy is cut".into())),
                None if loss.lines > 0 => {
                    self.complain(Cause::Said(format!("{} not read fast enough", amount(loss.lines))));
                }
                None => {}
            }
        }
        !self.told
    }
}

/// A line of the dump that stands for those that its reader was too slow for; empty if there are none.
fn gap(dropped: u64) -> Vec<u8> {
    if dropped == 0 { Vec::new() } else { format!("* {} not read fast enough\n", amount(dropped)).into_bytes() }
}

fn amount(lines: u64) -> String {
    if lines == 1 { "1 line was".into() } else { format!("{lines} lines were") }
}

/// Writes down what one session's tap sees.
struct Recorder {
    target: Rc<RefCell<Target>>,
    hex: bool,
    timestamps: bool,
    session: Option<u64>,
    /// Bytes seen in each direction.
    offsets: [u64; 2],
    crlf: Option<Crlf>,
}

impl Watch for Recorder {
    fn seen(&mut self, direction: usize, bytes: &[u8]) {
        let mut target = self.target.borrow_mut();
        if !self.hex {
            return target.copy(bytes);
        }
        let mut converted = Vec::new();
        let bytes = match &mut self.crlf {
            Some(crlf) if direction == 0 => {
                crlf.append(bytes, &mut converted);
                &converted
            }
            _ => bytes,
        };
        // once a chunk, and only where it is asked for: the reactor's clock is not that of the calendar
        let time = self.timestamps.then(|| hexdump::utc(SystemTime::now()));
        let (time, session, mark) = (time.as_deref(), self.session, ['>', '<'][direction]);
        let offset = &mut self.offsets[direction];
        let lines = bytes.chunks(WIDTH).map(|bytes| {
            let head = Head { time, session, mark, offset: *offset };
            *offset += bytes.len() as u64;
            (head, bytes)
        });
        target.dump(lines);
    }
}

/// A recorder for each direction.
struct Apart([Recorder; 2]);

impl Watch for Apart {
    fn seen(&mut self, direction: usize, bytes: &[u8]) {
        self.0[direction].seen(direction, bytes);
    }
}

/// Opens a path for a copy; a name of an inherited descriptor means that descriptor, where it stands.
fn open(path: &Path) -> Result<Sink, Error> {
    let name = path.as_os_str().as_encoded_bytes();
    let failed = |error| Error::new(Op::Open, name, error);
    match inherited(path) {
        Some(STDOUT) => {
            let no = Error::said(Op::Use, [b"-o ", name].concat(), "standard output carries the payload");
            Err(no.with_advice("-o /dev/stderr"))
        }
        Some(number) => {
            let fd = sys::duplicate(number).map_err(failed)?;
            match sys::allows(fd.as_fd(), Access::Write) {
                true => sort(File::from(fd)).map_err(failed),
                false => Err(Error::said(Op::Open, name, "it is not open for writing")),
            }
        }
        None => match late::fifo(path) {
            Some(outlet) => Ok(Sink::Queue(outlet)),
            None => create(path).and_then(sort).map_err(failed),
        },
    }
}

/// The number of the descriptor that a path stands for.
pub(super) fn inherited(path: &Path) -> Option<i32> {
    match path.to_str()? {
        "/dev/stdout" => Some(STDOUT),
        "/dev/stderr" => Some(2),
        path => {
            let number = path.strip_prefix("/dev/fd/").or_else(|| path.strip_prefix("/proc/self/fd/"))?;
            number.parse().ok()
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    // a terminal must not become ours
    OpenOptions::new().write(true).create(true).truncate(true).custom_flags(libc::O_NOCTTY).open(path)
}

fn sort(file: File) -> io::Result<Sink> {
    Ok(match sys::kind(file.as_fd())? {
        Kind::File | Kind::Null => Sink::File(file),
        Kind::Directory => return Err(io::ErrorKind::IsADirectory.into()),
        Kind::Pipe | Kind::Socket | Kind::Terminal | Kind::Device => Sink::Queue(Outlet::new(file)),
    })
}

pub(super) const STDOUT: i32 = 1;

/// Bytes handed on at once.
const PIECE: usize = 64 * 1024;
