//! A terminal: what the test types at its master side, haul reads at the other.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use super::DEADLINE;

/// Both sides of a pseudo-terminal; the terminal side stays open so that the master never reads an error.
pub struct Terminal {
    master: File,
    terminal: File,
}

impl Terminal {
    pub fn open() -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(rustix::fs::OFlags::NOCTTY.bits() as i32);
        let terminal = options.open(PathBuf::from(name)).unwrap();
        let mut modes = tcgetattr(&terminal).unwrap();
        modes.output_modes.remove(rustix::termios::OutputModes::OPOST);
        tcsetattr(&terminal, OptionalActions::Now, &modes).unwrap();
        Terminal { master: master.into(), terminal }
    }

    /// The side that a program is given.
    pub fn side(&self) -> OwnedFd {
        self.terminal.try_clone().unwrap().into()
    }

    /// Types; `\x04` at the start of a line is the end of input.
    pub fn type_in(&self, keys: &[u8]) {
        (&self.master).write_all(keys).unwrap();
    }

    /// Reads what the program has shown, `len` bytes of it (an echo of what was typed included).
    #[track_caller]
    pub fn shown(&self, len: usize) -> Vec<u8> {
        self.shown_until(|bytes| bytes.len() >= len)
    }

    /// Reads what the program shows until that is `enough`.
    #[track_caller]
    pub fn shown_until(&self, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while !enough(&bytes) {
            let deadline = Timespec { tv_sec: DEADLINE.as_secs() as i64, tv_nsec: 0 };
            let ready = poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&deadline)).unwrap();
            assert!(ready > 0, "the terminal shows only {}", bytes.escape_ascii());
            let got = (&self.master).read(&mut buffer).unwrap();
            bytes.extend_from_slice(&buffer[..got]);
        }
        bytes
    }
}
