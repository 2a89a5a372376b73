//! A child that has ended, and what a test may expect of it.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread;

use rustix::process::Signal;

/// A child that has ended.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub(super) argv: Vec<OsString>,
}

impl Ended {
    /// Exit status 0 and nothing on stderr but the address of a listener.
    #[track_caller]
    pub fn ok(&self) -> &Ended {
        self.code(0);
        assert_eq!(self.complaints(), "", "success has nothing to say");
        self
    }

    #[track_caller]
    pub fn code(&self, code: i32) -> &Ended {
        assert_eq!(self.status.code(), Some(code), "ended with {}, and said: {}", self.status, self.stderr);
        self
    }

    /// Died of this signal itself, not of an exit status that looks like it.
    #[track_caller]
    pub fn killed_by(&self, signal: Signal) -> &Ended {
        let said = &self.stderr;
        assert_eq!(self.status.signal(), Some(signal.as_raw()), "ended with {}, and said: {said}", self.status);
        self
    }

    /// What stderr says apart from the listener's address.
    pub fn complaints(&self) -> String {
        let mut rest = String::new();
        for line in self.stderr.lines().filter(|line| !line.starts_with("haul: listening on ")) {
            writeln!(rest, "{line}").unwrap();
        }
        rest
    }

    /// The complaint is one error in the shape of the manual: `haul: …`, facts, at most one `try:`. Gives its first line.
    #[track_caller]
    pub fn one_error(&self) -> String {
        let text = self.complaints();
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_else(|| panic!("no error on stderr")).to_string();
        assert!(first.starts_with("haul: "), "first line {first:?}");
        assert!(!first["haul: ".len()..].starts_with(char::is_uppercase), "capital in {first:?}");
        for line in text.lines() {
            assert!(!line.ends_with('.'), "full stop in {line:?}");
            assert!(!line.contains("os error") && !line.contains("Os {"), "an errno in {line:?}");
            assert!(!line.contains(char::is_control), "control character in {line:?}");
        }
        let (tries, facts): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("  try: "));
        assert!(tries.len() <= 1, "{} hints", tries.len());
        assert!(facts.iter().all(|line| line.starts_with("  ")), "more than one error in {text:?}");
        first
    }

    /// Nothing reached stdout.
    #[track_caller]
    pub fn no_stdout(&self) -> &Ended {
        assert!(self.stdout.is_empty(), "{} bytes on stdout", self.stdout.len());
        self
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if thread::panicking() {
            tell(&self.argv, &self.status.to_string(), &self.stdout, &self.stderr);
        }
    }
}

/// All that is known about a child, for the person who reads a failed test.
pub fn tell(argv: &[OsString], status: &str, stdout: &[u8], stderr: &str) {
    let words: Vec<_> = argv.iter().map(|word| word.to_string_lossy()).collect();
    eprintln!("---- {}", words.join(" "));
    eprintln!("status: {status}");
    eprintln!("stdout: {} bytes: {}", stdout.len(), excerpt(stdout).escape_ascii());
    eprintln!("stderr: {}", excerpt(stderr.as_bytes()).escape_ascii().to_string().replace("\\n", "\n        "));
}

fn excerpt(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(2000)]
}
