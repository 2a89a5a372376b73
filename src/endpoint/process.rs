//! Programs as ends: a child whose standard input and output are pipes to us, and the wait for its end.
//!
//! Only descriptors 0, 1 and 2 reach a child; its signals are at their defaults, its descriptor limit is the one that
//! haul was started with, and it leads a process group of its own, so that what it starts can be ended with it.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use mio::unix::SourceFd;
use signal_hook::consts::{SIGCHLD, SIGKILL};

use super::Descriptors;
use super::descriptor::Descriptor;
use crate::error::{Error, Op};
use crate::plan::address::Program;
use crate::reactor::{Slot, Turn};
use crate::sys::{self, Access};

/// How messages call a program.
pub fn name(program: &Program) -> Vec<u8> {
    let name = match program {
        Program::Words(words) => words.first().map_or(OsStr::new(""), OsString::as_os_str),
        Program::Shell(text) => text,
    };
    name.as_encoded_bytes().to_vec()
}

/// Makes sure that a program can be started at all, before anything else is opened.
///
/// # Errors
/// It is not there, or not executable. Text for the shell is the shell's to judge.
pub fn check(program: &Program) -> Result<(), Error> {
    let Program::Words(words) = program else { return Ok(()) };
    let Some(first) = words.first() else { return Ok(()) };
    sys::find_program(first).map(drop).map_err(|error| failed(program, error))
}

fn failed(program: &Program, error: io::Error) -> Error {
    Error::new(Op::Start, name(program), error)
}

/// Starts a program, with these variables added to its environment.
///
/// # Errors
/// What fork(2) and execve(2) say.
pub fn start(program: &Program, variables: &[(&'static str, String)]) -> Result<(Descriptors, Child), Error> {
    let mut command = command(program);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    spawn(program, command, None)
}

/// The same for a program whose writes are messages: each read gives one write, or a page of it if that was longer. Where
/// pipes keep no bounds, writes in quick succession come as one.
///
/// # Errors
/// What pipe(2), fork(2) and execve(2) say.
pub fn start_for_messages(
    program: &Program,
    variables: &[(&'static str, String)],
) -> Result<(Descriptors, Child), Error> {
    let (ours, theirs) = io::pipe().map_err(|error| failed(program, error))?;
    // without it, it is a pipe like any other
    let _ = sys::keep_writes_apart(theirs.as_fd());
    let mut command = command(program);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::from(OwnedFd::from(theirs)));
    spawn(program, command, Some(ours.into()))
}

/// Starts a program whose output is read, or whose input is written, as one side of a pipe. Its other stream is ours, as
/// in a shell's pipeline; but a terminal that it reads would stop it, since it is not in the foreground.
///
/// # Errors
/// What fork(2) and execve(2) say.
pub fn start_one_way(program: &Program, access: Access) -> Result<(Descriptors, Child), Error> {
    let mut command = command(program);
    match access {
        Access::Read if io::stdin().is_terminal() => command.stdin(Stdio::null()).stdout(Stdio::piped()),
        Access::Read => command.stdin(Stdio::inherit()).stdout(Stdio::piped()),
        Access::Write => command.stdin(Stdio::piped()).stdout(Stdio::inherit()),
    };
    spawn(program, command, None)
}

fn command(program: &Program) -> Command {
    let mut command = match program {
        Program::Words(words) => {
            let mut command = Command::new(words.first().map_or(OsStr::new(""), OsString::as_os_str));
            command.args(words.iter().skip(1));
            command
        }
        Program::Shell(text) => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(text);
            command
        }
    };
    // what another server said of another connection would be taken for the truth about this one
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    command
}

/// `output`: our end of the pipe for its output, if that is not one like any other.
fn spawn(program: &Program, mut command: Command, output: Option<OwnedFd>) -> Result<(Descriptors, Child), Error> {
    command.process_group(0);
    sys::shed_descriptors(&mut command);
    let mut child = command.spawn().map_err(|error| failed(program, error))?;
    let end = |fd: Option<OwnedFd>, access| -> io::Result<Option<Descriptor>> {
        let Some(fd) = fd else { return Ok(None) };
        sys::set_nonblocking(&fd)?;
        Descriptor::own(fd, access).map(Some)
    };
    let reader = end(output.or(child.stdout.take().map(OwnedFd::from)), Access::Read);
    let writer = end(child.stdin.take().map(OwnedFd::from), Access::Write);
    let reader = reader.map_err(|error| failed(program, error))?;
    let writer = writer.map_err(|error| failed(program, error))?;
    Ok((Descriptors { reader, writer }, Child::new(child, name(program))))
}

/// Variables that describe a connection, or are a secret of haul's own.
const NOT_INHERITED: [&str; 19] = [
    "HAUL_LOCAL_ADDR",
    "HAUL_LOCAL_PORT",
    "HAUL_PEER_ADDR",
    "HAUL_PEER_PORT",
    "HAUL_PROTO",
    "HAUL_PROXY_AUTH",
    "HAUL_WS_AUTH",
    "PROTO",
    "TCPLOCALHOST",
    "TCPLOCALIP",
    "TCPLOCALPORT",
    "TCPREMOTEHOST",
    "TCPREMOTEINFO",
    "TCPREMOTEIP",
    "TCPREMOTEPORT",
    "UDPLOCALIP",
    "UDPLOCALPORT",
    "UDPREMOTEIP",
    "UDPREMOTEPORT",
];

/// Where the output of [`run_shell`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Where ours goes.
    Inherited,
    /// To standard error, since standard output carries payload.
    StandardError,
}

/// Starts text for the shell beside everything else: its standard input is the null device, nothing of it passes
/// through us.
///
/// # Errors
/// What fork(2) and execve(2) say.
pub fn run_shell(text: &[u8], output: Output) -> Result<Child, Error> {
    let failed = |error| Error::new(Op::Start, text, error);
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(OsStr::from_bytes(text)).stdin(Stdio::null()).process_group(0);
    if output == Output::StandardError {
        let copy = std::io::stderr().as_fd().try_clone_to_owned().map_err(failed)?;
        command.stdout(Stdio::from(copy));
    }
    sys::shed_descriptors(&mut command);
    let child = command.spawn().map_err(failed)?;
    Ok(Child::new(child, text.to_vec()))
}

/// A program that was started. Dropping it does not end it: see [`Child::signal`].
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    /// Readable once the child has ended; `None` where the system has no such thing: then SIGCHLD tells.
    pidfd: Option<OwnedFd>,
    slot: Option<Slot>,
    name: Vec<u8>,
    ended: Option<u8>,
}

impl Child {
    fn new(child: std::process::Child, name: Vec<u8>) -> Self {
        let pidfd = sys::pidfd(child.id()).ok();
        Child { child, pidfd, slot: None, name, ended: None }
    }

    /// How messages call it.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The registration that tells of its end, where there is one.
    pub fn slot(&self) -> Option<Slot> {
        self.slot
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks for a turn when it ends.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub fn watch(&mut self, turn: &mut Turn) -> io::Result<()> {
        match &self.pidfd {
            Some(fd) => {
                self.slot = Some(turn.register(&mut SourceFd(&fd.as_raw_fd()))?);
                Ok(())
            }
            None => turn.listen_for(&[SIGCHLD]),
        }
    }

    /// Its exit status once it has ended, 128+n for a signal, as a shell tells it. Never waits.
    pub fn status(&mut self, turn: &mut Turn) -> Option<u8> {
        if self.ended.is_some() || self.slot.is_some_and(|slot| !turn.latch(slot).read) {
            return self.ended;
        }
        match self.child.try_wait() {
            Ok(Some(status)) => {
                let code = status.code().or_else(|| status.signal().map(|number| 128 + number));
                self.ended = Some(u8::try_from(code.unwrap_or(255)).unwrap_or(255));
                self.forget(turn);
            }
            Ok(None) => {
                if let Some(slot) = self.slot {
                    turn.read_would_block(slot);
                }
            }
            // somebody else has reaped it: there is no status any more
            Err(_) => self.ended = Some(255),
        }
        self.ended
    }

    /// Ends it and everything in its group at once, and waits for the little that takes.
    pub fn kill(&mut self) {
        self.signal(SIGKILL);
        // it cannot refuse, and there is nobody to tell
        let _ = self.child.wait();
    }

    /// Takes it out of the poll, so that another task may watch it.
    pub fn forget(&mut self, turn: &mut Turn) {
        if let (Some(fd), Some(slot)) = (&self.pidfd, self.slot.take()) {
            turn.deregister(&mut SourceFd(&fd.as_raw_fd()), slot);
        }
    }

    /// Sends a signal to it and to everything in its group; nothing once it has been reaped.
    pub fn signal(&self, number: i32) {
        if self.ended.is_none() {
            sys::signal_group(self.child.id(), number);
        }
    }
}
