//! SSLKEYLOGFILE: the keys of each connection, for those who look at packets.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::OFlags;
use rustls::{KeyLog, NoKeyLog};

use crate::error::{Error, Op};

/// The file, opened once: whoever reads a pipe takes it for ended when it is closed.
#[derive(Debug)]
pub(super) struct KeyFile {
    /// As it is called in the environment.
    name: OsString,
    writing: Mutex<Writing>,
}

#[derive(Debug)]
struct Writing {
    /// `None` once nothing more is written: what follows a line that is not whole would be misread.
    file: Option<File>,
    /// Why, until somebody was told.
    failed: Option<io::Error>,
}

impl KeyFile {
    /// What the environment names, if it names anything. One that cannot be opened is as one that is full from the start:
    /// [`check`] tells, or, of what it does not look at, the first connection.
    pub(super) fn open() -> Option<Arc<KeyFile>> {
        let name = name()?;
        let (file, failed) = match opened(&name) {
            Ok(file) => (Some(file), None),
            Err(error) => (None, is_special(&name).then_some(error)),
        };
        Some(Arc::new(KeyFile { name, writing: Mutex::new(Writing { file, failed }) }))
    }

    /// Why no more keys are written, once.
    pub(super) fn take_failure(&self) -> Option<Error> {
        let failed = self.writing().failed.take()?;
        Some(Error::new(Op::Write, self.name.as_encoded_bytes(), failed))
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyLog for KeyFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
                let _ = write!(text, "{byte:02x}"); // a string takes everything
                text
            })
        };
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let mut writing = self.writing();
        if let Some(file) = &mut writing.file
            && let Err(error) = file.write_all(line.as_bytes())
        {
            (writing.file, writing.failed) = (None, Some(error));
        }
    }
}

/// What rustls is to do with keys.
pub(super) fn logging(file: Option<&Arc<KeyFile>>) -> Arc<dyn KeyLog> {
    match file {
        Some(file) => Arc::<KeyFile>::clone(file),
        None => Arc::new(NoKeyLog),
    }
}

/// Looks whether keys can be logged where SSLKEYLOGFILE wants them, if it does; the file is there then, and a new one is
/// its owner's alone. A pipe is not looked at: whoever reads it would take that for the end.
///
/// # Errors
/// It cannot be created or appended to: connections go on, and no keys are logged.
pub fn check() -> Result<(), Error> {
    let Some(file) = name() else { return Ok(()) };
    if is_special(&file) {
        return Ok(());
    }
    opened(&file).map(drop).map_err(|error| Error::new(Op::Write, file.as_encoded_bytes(), error))
}

/// A pipe or the like.
fn is_special(name: &OsString) -> bool {
    std::fs::metadata(name).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// The reader of a pipe is not waited for, neither now nor when it is full.
fn opened(name: &OsString) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().append(true).create(true).mode(OWNER_ONLY).custom_flags(flags).open(name)
}

fn name() -> Option<OsString> {
    std::env::var_os("SSLKEYLOGFILE").filter(|name| !name.is_empty())
}

/// Whoever reads the keys reads what they protect.
const OWNER_ONLY: u32 = 0o600;
