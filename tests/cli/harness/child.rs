//! A child process: what it is given, what it says, how it ends. Every wait has a deadline, nothing outlives the test.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};

use super::captured::Captured;
use super::ended::{Ended, tell};
use super::{DEADLINE, proc};

/// What a child reads.
pub enum Input {
    /// The null device.
    Null,
    /// A pipe whose other end the test holds, in [`Running::stdin`].
    Piped,
    /// A pipe into which these bytes are written by a thread, then closed.
    Bytes(Vec<u8>),
    /// Something the test has opened.
    Fd(OwnedFd),
}

/// Where a child writes.
pub enum Sink {
    /// A pipe that is read at once and kept, for [`Ended::stdout`].
    Captured,
    /// A pipe that nobody reads, in [`Running::held`].
    Held,
    /// The null device.
    Null,
    /// Something the test has opened.
    Fd(OwnedFd),
}

/// A program to start.
pub struct Program {
    argv: Vec<OsString>,
    stdin: Input,
    stdout: Sink,
    own_group: bool,
}

/// The program under test, with the null device as its input and a captured output.
pub fn haul<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Program {
    Program::new(env!("CARGO_BIN_EXE_haul"), args)
}

impl Program {
    pub fn new<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = S>) -> Program {
        let mut argv = vec![program.as_ref().to_owned()];
        argv.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        Program { argv, stdin: Input::Null, stdout: Sink::Captured, own_group: false }
    }

    pub fn stdin(mut self, stdin: Input) -> Program {
        self.stdin = stdin;
        self
    }

    pub fn stdout(mut self, stdout: Sink) -> Program {
        self.stdout = stdout;
        self
    }

    /// Starts it by a shell that first runs `prepare`: redirections (`exec 3>&1`), `ulimit`, `trap`. Same process id.
    pub fn after(mut self, prepare: &str) -> Program {
        let script = format!("{prepare}\nexec \"$@\"");
        let shell = ["sh", "-c", &script, "sh"].map(OsString::from);
        self.argv.splice(0..0, shell);
        self
    }

    /// Starts it by another program that replaces itself with it. Same process id.
    pub fn by<S: AsRef<OsStr>>(mut self, wrapper: &[S]) -> Program {
        self.argv.splice(0..0, wrapper.iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Starts it below another program that stays, in a process group that is killed as a whole.
    pub fn under<S: AsRef<OsStr>>(mut self, wrapper: &[S]) -> Program {
        self.own_group = true;
        self.by(wrapper)
    }

    #[track_caller]
    pub fn run(self) -> Ended {
        self.spawn().wait()
    }

    #[track_caller]
    pub fn spawn(self) -> Running {
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]).stderr(Stdio::piped()).env_remove("NO_COLOR").env("LC_ALL", "C");
        if self.own_group {
            command.process_group(0);
        }
        let mut bytes = None;
        command.stdin(match self.stdin {
            Input::Null => Stdio::null(),
            Input::Piped => Stdio::piped(),
            Input::Bytes(given) => {
                bytes = Some(given);
                Stdio::piped()
            }
            Input::Fd(fd) => Stdio::from(fd),
        });
        let capture = matches!(self.stdout, Sink::Captured);
        command.stdout(match self.stdout {
            Sink::Captured | Sink::Held => Stdio::piped(),
            Sink::Null => Stdio::null(),
            Sink::Fd(fd) => Stdio::from(fd),
        });
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {:?}: {e}", self.argv));
        // The command still owns the descriptors it passed on: a pipe would never end while it lives.
        drop(command);
        let stderr = Captured::of(child.stderr.take());
        let mut held = child.stdout.take();
        let stdout = Captured::of(if capture { held.take() } else { None });
        let mut running = Running {
            stdin: child.stdin.take(),
            held,
            argv: self.argv,
            child,
            own_group: self.own_group,
            stdout,
            stderr,
            keeps: None,
        };
        if let Some(bytes) = bytes {
            running.feed(bytes);
        }
        running
    }
}

/// A child that was started. Killed when it is dropped.
pub struct Running {
    /// The test's end of [`Input::Piped`].
    pub stdin: Option<ChildStdin>,
    /// The test's end of [`Sink::Held`].
    pub held: Option<ChildStdout>,
    /// A directory that has to stay as long as the child.
    pub keeps: Option<tempfile::TempDir>,
    argv: Vec<OsString>,
    child: Child,
    own_group: bool,
    stdout: Captured,
    stderr: Captured,
}

impl Running {
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Writes to the child's input; for a few bytes only, as it would block on a full pipe.
    #[track_caller]
    pub fn say(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().expect("no pipe on stdin").write_all(bytes).unwrap();
    }

    /// Writes all `bytes` to the child's input from a thread, then closes it. A child that stops reading is no error.
    pub fn feed(&mut self, bytes: Vec<u8>) {
        let mut stdin = self.stdin.take().expect("no pipe on stdin");
        thread::spawn(move || stdin.write_all(&bytes));
    }

    /// Ends the child's input.
    pub fn end_stdin(&mut self) {
        self.stdin = None;
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Stops the child and returns when the kernel has done so.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        proc::poll_until("the child to stop", || (proc::state(self.pid()) == 'T').then_some(()));
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// The address in haul's `listening on` line.
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        let line = self.stderr_line_where(|line| {
            let on = |protocol: &&str| line.starts_with(&format!("haul: listening on {protocol} "));
            ["tcp", "tls", "ws", "wss"].iter().any(on)
        });
        let text = line.rsplit(' ').next().unwrap_or_default().replace("*:", "127.0.0.1:");
        text.parse().unwrap_or_else(|_| panic!("no address in the line {line:?}"))
    }

    /// Waits for a whole line on stderr that starts with `prefix`; gives it without its newline.
    #[track_caller]
    pub fn stderr_line(&self, prefix: &str) -> String {
        self.stderr_line_where(|line| line.starts_with(prefix))
    }

    /// Waits for a whole line on stderr that `wanted` accepts; gives it without its newline.
    #[track_caller]
    pub fn stderr_line_where(&self, wanted: impl Fn(&str) -> bool) -> String {
        let found = self.stderr.wait(|bytes, _| {
            let text = String::from_utf8_lossy(bytes);
            let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            whole.lines().find(|line| wanted(line)).map(str::to_owned)
        });
        found.unwrap_or_else(|| panic!("the line that was waited for is not on stderr"))
    }

    /// Waits until stdout has given exactly the bytes that are expected so far, or more.
    #[track_caller]
    pub fn stdout_reaches(&self, len: usize) -> Vec<u8> {
        let found = self.stdout.wait(|bytes, _| (bytes.len() >= len).then(|| bytes.to_vec()));
        found.unwrap_or_else(|| panic!("stdout did not reach {len} bytes"))
    }

    /// Waits until the child (not only its exit) has closed its stdout; gives all that came.
    #[track_caller]
    pub fn stdout_end(&self) -> Vec<u8> {
        let found = self.stdout.wait(|bytes, ended| ended.then(|| bytes.to_vec()));
        found.unwrap_or_else(|| panic!("stdout was not closed"))
    }

    /// Waits for the end of the child and of its pipes; its stdin is left as it is until then.
    #[track_caller]
    pub fn wait(mut self) -> Ended {
        let status = match self.exit() {
            Some(status) => status,
            None => panic!("the child did not end within {DEADLINE:?}"),
        };
        let stdout = self.stdout_end();
        let stderr = self.stderr.wait(|bytes, ended| ended.then(|| bytes.to_vec())).expect("stderr was not closed");
        let stderr = String::from_utf8(stderr).expect("stderr is not UTF-8");
        Ended { argv: std::mem::take(&mut self.argv), status, stdout, stderr }
    }

    fn exit(&mut self) -> Option<ExitStatus> {
        let pidfd = pidfd_open(self.pid(), PidfdFlags::empty()).unwrap();
        let timeout = Timespec { tv_sec: DEADLINE.as_secs() as i64, tv_nsec: 0 };
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)).unwrap();
        self.child.try_wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An empty argv has moved on into an `Ended`, which tells the story itself.
        if thread::panicking() && !self.argv.is_empty() {
            let status = self.child.try_wait().ok().flatten();
            let status = status.map_or("still running".to_string(), |status| status.to_string());
            let stderr = self.stderr.now();
            tell(&self.argv, &status, &self.stdout.now(), &String::from_utf8_lossy(&stderr));
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            if self.own_group {
                let _ = kill_process_group(self.pid(), Signal::KILL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
