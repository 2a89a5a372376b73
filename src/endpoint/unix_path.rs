//! Names of Unix sockets: as addresses, and as files that a listener makes and takes away again.
//!
//! A stale socket file is replaced, a live one never, and nothing else ever. Connecting with SOCK_DGRAM tells them apart
//! without using up a one-shot listener's only connection: ECONNREFUSED means that nobody has the socket open,
//! EPROTOTYPE that somebody has one of another type.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::resolve::NoAddress;
use crate::error::{Error, Op};
use crate::plan::address::UnixName;
use crate::sys;

/// The socket address of a name.
///
/// # Errors
/// The name is empty, or longer than the system's structure for it.
pub fn address(name: &UnixName) -> Result<SockAddr, NoAddress> {
    let made = match name {
        UnixName::Path(path) if path.as_os_str().is_empty() => {
            return Err(NoAddress::said("the path is empty"));
        }
        UnixName::Path(path) => SockAddr::unix(path),
        UnixName::Abstract(name) => {
            let bytes = [b"\0", name.as_slice()].concat();
            SockAddr::unix(Path::new(std::ffi::OsStr::from_bytes(&bytes)))
        }
    };
    made.map_err(|_| NoAddress::said("the name of a socket may have at most 107 bytes").with_advice("a relative path"))
}

/// A socket file of ours; dropping it removes the file, if it still is ours.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode. Invariant: only a file with these is ever removed.
    identity: (u64, u64),
}

impl SocketFile {
    /// Binds `socket` to `path` and sets the permissions. Call listen(2) afterwards: until then nobody can connect, so
    /// that the permissions are in force for all.
    ///
    /// # Errors
    /// Somebody listens there, something that is not a socket is there, or the directory is missing or not ours.
    pub fn bind(socket: &Socket, path: &Path, mode: Option<u32>) -> Result<Self, Error> {
        let failed = |error| Error::new(Op::Listen, path.as_os_str().as_bytes(), error);
        let name = address(&UnixName::Path(path.to_path_buf())).map_err(|why| said(path, &why.cause))?;
        match socket.bind(&name) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                clear(path, &name)?;
                socket.bind(&name).map_err(failed)?;
            }
            result => result.map_err(failed)?,
        }
        let made = fs::symlink_metadata(path).map_err(failed)?;
        let file = SocketFile { path: path.to_path_buf(), identity: identity(&made) };
        if let Some(mode) = mode {
            fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
        }
        Ok(file)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity) {
            // a directory that became read-only leaves a stale file, which the next listener replaces
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// True if there is a socket, or something that leads to one.
pub fn is_socket(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.file_type().is_socket())
}

/// Removes a stale socket file.
fn clear(path: &Path, name: &SockAddr) -> Result<(), Error> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        // its listener has just taken it away
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::new(Op::Listen, path.as_os_str().as_bytes(), error)),
    };
    if !found.file_type().is_socket() {
        return Err(said(path, "something that is not a socket is there").with_advice("another path"));
    }
    if !is_stale(name).map_err(|error| Error::new(Op::Listen, path.as_os_str().as_bytes(), error))? {
        return Err(said(path, "address already in use").with_advice("another path: a process has this socket open"));
    }
    // between the question and the answer another listener may have put its own socket there
    match fs::symlink_metadata(path) {
        Ok(now) if identity(&now) == identity(&found) => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::new(Op::Listen, path.as_os_str().as_bytes(), error))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Asks whether anybody has the socket open.
fn is_stale(name: &SockAddr) -> io::Result<bool> {
    let probe = sys::socket(Domain::UNIX, Type::DGRAM, None)?;
    match probe.connect(name) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        _ => Ok(false),
    }
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn said(path: &Path, sentence: &str) -> Error {
    Error::said(Op::Listen, path.as_os_str().as_bytes(), sentence)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    fn socket() -> Socket {
        Socket::new(Domain::UNIX, Type::STREAM, None).unwrap()
    }

    #[test]
    fn a_stale_socket_is_replaced_and_the_own_file_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the standard library leaves its file behind");
        let socket = socket();
        let file = SocketFile::bind(&socket, &path, Some(0o640)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_live_socket_is_left_alone_and_loses_no_connection() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let alive = UnixListener::bind(&path).unwrap();
        let error = SocketFile::bind(&socket(), &path, None).unwrap_err();
        assert!(error.line().ends_with(": address already in use"), "{error}");
        assert_eq!(error.status().code(), 2);
        alive.set_nonblocking(true).unwrap();
        assert_eq!(alive.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "the probe must not connect");
        drop(alive);
        fs::remove_file(&path).unwrap();
        let _datagram = UnixDatagram::bind(&path).unwrap();
        let error = SocketFile::bind(&socket(), &path, None).unwrap_err();
        assert!(error.line().ends_with(": address already in use"), "{error}");
        assert!(path.exists());
    }

    #[test]
    fn what_is_not_a_socket_is_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("f"), directory.path().join("l"));
        fs::write(&file, "precious").unwrap();
        let stale = directory.path().join("s");
        drop(UnixListener::bind(&stale).unwrap());
        std::os::unix::fs::symlink(&stale, &link).unwrap();
        for path in [&file, &link, &directory.path().to_path_buf()] {
            let error = SocketFile::bind(&socket(), path, None).unwrap_err();
            assert!(error.line().ends_with("something that is not a socket is there"), "{error}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    }

    #[test]
    fn a_file_that_is_not_ours_any_more_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let socket = socket();
        let file = SocketFile::bind(&socket, &path, None).unwrap();
        fs::rename(&path, directory.path().join("kept")).unwrap();
        let _successor = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }
}
