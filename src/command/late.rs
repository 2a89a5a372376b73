//! A FIFO to write reports to, opened by whoever writes and not by the loop.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::report::Outlet;

/// A FIFO that is opened when it is written or flushed first. Opening waits for a reader; only an outlet's thread may.
struct Late {
    path: PathBuf,
    file: Option<File>,
}

/// An outlet to the FIFO at `path`, which need not have a reader yet; `None` if something else stands there.
pub(super) fn fifo(path: &Path) -> Option<Outlet> {
    if !is_fifo(path) {
        return None;
    }
    let outlet = Outlet::new(Late { path: path.to_path_buf(), file: None });
    outlet.line(|_| Vec::new()); // opens it: whoever waits at the other side is to see an end, too
    Some(outlet)
}

/// True if a FIFO stands there.
pub(super) fn is_fifo(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.file_type().is_fifo())
}

impl Late {
    fn file(&mut self) -> io::Result<&mut File> {
        match &mut self.file {
            Some(file) => Ok(file),
            missing => {
                let file = OpenOptions::new().write(true).custom_flags(libc::O_NOCTTY).open(&self.path)?;
                Ok(missing.insert(file))
            }
        }
    }
}

impl Write for Late {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file()?.flush()
    }
}
