//! Telling others where a listener listens: `--ready-fd`, `--port-file`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::copy::{STDOUT, inherited};
use crate::endpoint::accept::Acceptor;
use crate::endpoint::rehearsal::rehearse;
use crate::endpoint::udp::Bound;
use crate::endpoint::{printed, whole};
use crate::error::{Error, Op};
use crate::outcome::ExitStatus;
use crate::plan::Announce;
use crate::plan::address::{Address, Kind, Options};
use crate::sys;

/// Where something was really bound, as a client on this machine can use it.
pub(super) struct Place<'a> {
    /// `None` for Unix sockets.
    pub(super) port: Option<u16>,
    /// The host, a Unix socket's path or its name.
    pub(super) host: String,
    /// The path of a Unix socket as its raw bytes say.
    pub(super) path: Option<&'a Path>,
}

impl<'a> From<&'a Acceptor> for Place<'a> {
    fn from(acceptor: &'a Acceptor) -> Self {
        Place { port: acceptor.port(), host: acceptor.hint_address(), path: acceptor.path() }
    }
}

impl<'a> From<&'a Bound> for Place<'a> {
    fn from(bound: &'a Bound) -> Self {
        let address = bound.reachable();
        let host = address.map_or_else(|| bound.printed.clone(), |address| printed::host(&address));
        Place { port: address.map(|address| address.port()), host, path: bound.path() }
    }
}

/// Tells the bound address to whoever the plan names.
///
/// # Errors
/// The descriptor or the file cannot be written; the listener should not go on unannounced.
pub(super) fn announce<'a>(plan: &Announce, place: impl Into<Place<'a>>) -> Result<(), Error> {
    let place = place.into();
    if let Some(path) = &plan.port_file {
        let text = place.port.map_or_else(|| reachable(&place), |port| port.to_string());
        write_note("--port-file", path, format!("{text}\n").as_bytes())?;
    }
    // last of all: whoever reads it may rely on everything else
    if let Some(number) = plan.ready_fd {
        let object = format!("the ready descriptor fd:{number}");
        let mut line = reachable(&place).into_bytes();
        line.push(b'\n');
        let fd = sys::adopt(number).map_err(|error| Error::new(Op::Open, &object, error))?;
        File::from(fd).write_all(&line).map_err(|error| Error::new(Op::Write, &object, error))?;
    }
    Ok(())
}

/// An address that a client on this machine can use as it stands.
fn reachable(place: &Place<'_>) -> String {
    let host = &place.host;
    match place.port {
        Some(port) if host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
        None => place.path.map_or_else(|| host.clone(), |path| path.display().to_string()),
    }
}

/// Writes what `flag` asks for to a regular file as a whole, and to anything else (a FIFO, a device, a descriptor's name) as it stands there.
///
/// # Errors
/// It cannot be written, or is standard output.
pub(super) fn write_note(flag: &str, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let name = path.as_os_str().as_encoded_bytes();
    let written = match inherited(path) {
        Some(STDOUT) => return Err(refuse_stdout(flag, path)),
        Some(number) => duplicate(number).and_then(|mut file| file.write_all(bytes)),
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

/// Looks whether [`write_note`] could write there, without touching anything.
///
/// # Errors
/// What it would say, as far as that can be known beforehand.
pub(super) fn rehearse_note(flag: &str, path: &Path) -> Result<(), Error> {
    match inherited(path) {
        Some(STDOUT) => Err(refuse_stdout(flag, path)),
        Some(number) => {
            let open = duplicate(number);
            open.map(drop).map_err(|error| Error::new(Op::Open, path.as_os_str().as_encoded_bytes(), error))
        }
        None => {
            // a regular file is made beside its target, as a whole one is
            let options = Options { atomic: path.is_file(), ..Options::default() };
            let target = whole::resolved(path).unwrap_or_else(|_| path.to_path_buf());
            let failed = rehearse(&Address { options, ..Address::from(Kind::File(target.clone())) }, false, true);
            failed.map_err(|error| error.with_spelling(&target.to_string_lossy(), path.as_os_str().as_encoded_bytes()))
        }
    }
}

/// What the runtime has put in the place of a descriptor that was closed is none to write to.
fn duplicate(number: i32) -> io::Result<File> {
    match sys::was_closed_at_start(number) {
        true => Err(io::Error::from_raw_os_error(libc::EBADF)),
        false => sys::duplicate(number).map(File::from),
    }
}

fn refuse_stdout(flag: &str, path: &Path) -> Error {
    let object = [flag.as_bytes(), b" ", path.as_os_str().as_encoded_bytes()].concat();
    let no = Error::said(Op::Use, object, "standard output carries the payload");
    no.with_advice(if flag == "--port-file" { "--ready-fd N, with another descriptor" } else { "a file" })
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
