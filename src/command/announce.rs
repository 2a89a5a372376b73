//! Telling others where a listener listens: `--ready-fd`, `--port-file`.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::endpoint::accept::Acceptor;
use crate::error::{Error, Op};
use crate::plan::Announce;
use crate::sys;

/// Tells the bound address to whoever the plan names.
///
/// # Errors
/// The descriptor or the file cannot be written; the listener should not go on unannounced.
pub(super) fn announce(plan: &Announce, acceptor: &Acceptor) -> Result<(), Error> {
    if let Some(number) = plan.ready_fd {
        let mut line = reachable(acceptor).into_bytes();
        line.push(b'\n');
        let write = |fd| File::from(fd).write_all(&line);
        sys::adopt(number)
            .and_then(write)
            .map_err(|error| Error::new(Op::Write, format!("the ready descriptor fd:{number}"), error))?;
    }
    if let Some(path) = &plan.port_file {
        let text = acceptor.port().map_or_else(|| reachable(acceptor), |port| port.to_string());
        write_whole(path, format!("{text}\n").as_bytes())
            .map_err(|error| Error::new(Op::Write, path.as_os_str().as_encoded_bytes(), error))?;
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

/// Writes a file so that nobody ever sees half of it: beside the target, then renamed over it.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // to rename over a device or a FIFO would replace it for everybody
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = File::create_new(&beside).and_then(|mut file| file.write_all(bytes));
    let done = written.and_then(|()| std::fs::rename(&beside, path));
    if done.is_err() {
        // it may never have been made
        let _ = std::fs::remove_file(&beside);
    }
    done
}
