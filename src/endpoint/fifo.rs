//! FIFOs by name. Opening one sleeps until the other side is there, so a helper thread does it and wakes the task.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::file::{self, Found};
use super::{Descriptors, descriptor::Descriptor};
use crate::error::{Error, Op};
use crate::reactor::Turn;
use crate::sys::Access;

/// A FIFO that waits for its other side. Dropping it leaves the helper thread asleep, whose descriptor, if it ever gets
/// one, is closed.
#[derive(Debug)]
pub struct Fifo {
    path: PathBuf,
    access: Access,
    answer: Option<Receiver<io::Result<OwnedFd>>>,
}

impl Fifo {
    /// Prepares to open one end.
    pub fn new(path: &Path, access: Access) -> Self {
        Fifo { path: path.to_path_buf(), access, answer: None }
    }

    /// Makes the FIFO if it is missing (0666 and the umask), and begins to open it.
    ///
    /// # Errors
    /// Something else stands there, or it cannot be made.
    pub fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.make()?;
        let failed = |error| Error::new(Op::Open, self.path.as_os_str().as_bytes(), error);
        let (remote, task) = (turn.remote().map_err(failed)?, turn.id());
        let (sender, receiver) = channel();
        let (path, access) = (self.path.clone(), self.access);
        let helper = std::thread::Builder::new().name("fifo".into());
        let spawned = helper.spawn(move || {
            // nobody waits any more: the descriptor is closed again
            let _ = sender.send(open(&path, access));
            remote.wake(task);
        });
        spawned.map_err(failed)?;
        self.answer = Some(receiver);
        Ok(())
    }

    /// The open end, once the other side is there.
    ///
    /// # Errors
    /// What open(2) says.
    pub fn turn(&mut self) -> Result<Option<Descriptors>, Error> {
        let failed = |error| Error::new(Op::Open, self.path.as_os_str().as_bytes(), error);
        let Some(answer) = &self.answer else { return Ok(None) };
        let fd = match answer.try_recv() {
            Ok(opened) => opened.map_err(failed)?,
            Err(TryRecvError::Empty) => return Ok(None),
            Err(TryRecvError::Disconnected) => return Err(failed(io::ErrorKind::BrokenPipe.into())),
        };
        self.answer = None;
        // a description of our own, which nobody shares: what other processes opened keeps its flags
        let flags = rustix::fs::fcntl_getfl(&fd).map_err(|error| failed(error.into()))?;
        rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK).map_err(|error| failed(error.into()))?;
        let descriptor = Descriptor::own(fd, self.access).map_err(failed)?;
        Ok(Some(match self.access {
            Access::Read => Descriptors { reader: Some(descriptor), writer: None },
            Access::Write => Descriptors { reader: None, writer: Some(descriptor) },
        }))
    }

    fn make(&self) -> Result<(), Error> {
        let name = self.path.as_os_str().as_bytes();
        let failed = |error| Error::new(Op::Open, name, error);
        loop {
            match file::find(&self.path).map_err(failed)? {
                Found::Fifo => return Ok(()),
                Found::Nothing => {}
                _ => return Err(Error::said(Op::Open, name, "it is there, and no FIFO")),
            }
            match rustix::fs::mknodat(CWD, &self.path, FileType::Fifo, Mode::from_raw_mode(0o666), 0) {
                Ok(()) => return Ok(()),
                // somebody was quicker, or a symbolic link leads to nothing
                Err(rustix::io::Errno::EXIST) if self.path.exists() => {}
                Err(error) => return Err(failed(error.into())),
            }
        }
    }
}

/// The open(2) that sleeps.
fn open(path: &Path, access: Access) -> io::Result<OwnedFd> {
    let flags = match access {
        Access::Read => OFlags::RDONLY,
        Access::Write => OFlags::WRONLY,
    };
    loop {
        match rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileTypeExt;

    use super::*;
    use crate::endpoint::Transport;
    use crate::endpoint::testing::drive;

    #[test]
    fn a_missing_fifo_is_made_and_both_ends_find_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        let (mut reader, mut writer) = (Fifo::new(&path, Access::Read), Fifo::new(&path, Access::Write));
        let made = path.clone();
        let (mut started, mut ends) = (false, (None, None));
        let bytes = drive(move |turn| {
            if !std::mem::replace(&mut started, true) {
                reader.start(turn).unwrap();
                assert!(fs::metadata(&made).unwrap().file_type().is_fifo());
                assert!(reader.turn().unwrap().is_none());
                writer.start(turn).unwrap();
            }
            for (fifo, end) in [(&mut reader, &mut ends.0), (&mut writer, &mut ends.1)] {
                if let Some(opened) = fifo.turn().unwrap() {
                    let mut transport = Transport::from(opened);
                    transport.start(turn).unwrap();
                    *end = Some(transport);
                }
            }
            let (Some(from), Some(to)) = (&mut ends.0, &mut ends.1) else { return Err(None) };
            if to.can_write(turn) {
                let _ = to.write(turn, b"through");
                let _ = to.close_write(turn);
            }
            let mut bytes = [0; 20];
            match from.read(turn, &mut bytes) {
                Ok(count) => Ok(bytes[..count].to_vec()),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    Err(None)
                }
            }
        });
        assert_eq!(bytes, b"through");
    }

    #[test]
    fn what_is_not_a_fifo_is_refused_and_left_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_path_buf();
        let error = drive(move |turn| Ok(Fifo::new(&path, Access::Read).start(turn).unwrap_err()));
        assert!(error.line().ends_with(": it is there, and no FIFO"), "{error}");
        assert_eq!(error.status().code(), 2);
    }
}
