//! Telling others where a listener listens: `--ready-fd`, `--port-file`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::copy::{STDOUT, inherited};
use crate::endpoint::accept::Acceptor;
use crate::endpoint::whole;
use crate::error::{Error, Op};
use crate::outcome::ExitStatus;
use crate::plan::Announce;
use crate::sys;

/// Tells the bound address to whoever the plan names.
///
/// # Errors
/// The descriptor or the file cannot be written; the listener should not go on unannounced.
pub(super) fn announce(plan: &Announce, acceptor: &Acceptor) -> Result<(), Error> {
    if let Some(path) = &plan.port_file {
        let text = acceptor.port().map_or_else(|| reachable(acceptor), |port| port.to_string());
        write_note("--port-file", path, format!("{text}\n").as_bytes())?;
    }
    // last of all: whoever reads it may rely on everything else
    if let Some(number) = plan.ready_fd {
        let object = format!("the ready descriptor fd:{number}");
        let mut line = reachable(acceptor).into_bytes();
        line.push(b'\n');
        let fd = sys::adopt(number).map_err(|error| Error::new(Op::Open, &object, error))?;
        File::from(fd).write_all(&line).map_err(|error| Error::new(Op::Write, &object, error))?;
    }
    Ok(())
}

/// An address that a client on this machine can use as it stands.
fn reachable(acceptor: &Acceptor) -> String {
    match acceptor.port() {
        Some(port) => {
            let host = acceptor.hint_address();
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
        }
        None => acceptor.path().map_or_else(|| acceptor.address().to_string(), |path| path.display().to_string()),
    }
}

/// Writes what `flag` asks for to a regular file as a whole, and to anything else (a FIFO, a device, a descriptor's name) as it stands there.
///
/// # Errors
/// It cannot be written, or is standard output.
pub(super) fn write_note(flag: &str, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let name = path.as_os_str().as_encoded_bytes();
    let written = match inherited(path) {
        Some(STDOUT) => {
            let object = [flag.as_bytes(), b" ", name].concat();
            let no = Error::said(Op::Use, object, "standard output carries the payload");
            return Err(no.with_advice(if flag == "--port-file" {
                "--ready-fd N, with another descriptor"
            } else {
                "a file"
            }));
        }
        Some(number) => sys::duplicate(number).and_then(|fd| File::from(fd).write_all(bytes)),
        // to rename over a device or a FIFO would replace it for everybody
        None if path.metadata().is_ok_and(|there| !there.is_file()) => write_through(path, bytes),
        None => whole::write(path, bytes),
    };
    written.map_err(|error| {
        let misnamed = matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::EBADF));
        let error = Error::new(Op::Write, name, error);
        if misnamed { error.with_status(ExitStatus::Usage) } else { error }
    })
}

/// A FIFO without a reader is an error: the listener would otherwise wait for one unannounced.
fn write_through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    match OpenOptions::new().write(true).custom_flags(flags).open(path) {
        Ok(mut file) => file.write_all(bytes),
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Err(io::Error::other("nobody reads from it")),
        Err(error) => Err(error),
    }
}
