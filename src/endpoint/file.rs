//! Files and devices by name. A file is read or written, never both at once; a device may be both.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, SeekFrom};

use super::Descriptors;
use super::descriptor::Descriptor;
use super::whole;
use crate::error::{Error, Op};
use crate::plan::address::Options;
use crate::sys::{self, Access};

/// What stands at a path, as far as endpoints care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
}

/// Looks at a path, through symbolic links.
///
/// # Errors
/// What stat(2) says, but for a name that does not exist.
pub fn find(path: &Path) -> io::Result<Found> {
    let kind = match std::fs::metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    Ok(match kind {
        kind if kind.is_file() => Found::File,
        kind if kind.is_dir() => Found::Directory,
        kind if kind.is_fifo() => Found::Fifo,
        kind if kind.is_socket() => Found::Socket,
        _ => Found::Device,
    })
}

/// Opens a file or a device; a file that is written is made if it is missing (0666 and the umask), and emptied unless
/// `append` or `offset` says otherwise. With `atomic` it is replaced as a whole at the end ([`whole::create`]).
///
/// # Errors
/// It is missing, a directory, not ours to open, or a file that would be read and written at once; an offset behind its
/// end.
pub fn open(path: &Path, options: &Options, reads: bool, writes: bool) -> Result<Descriptors, Error> {
    let name = path.as_os_str().as_bytes();
    let failed = |error| Error::new(Op::Open, name, error);
    if options.atomic && writes && !reads {
        return Ok(Descriptors { reader: None, writer: Some(whole::create(path)?) });
    }
    let found = find(path).map_err(failed)?;
    let access = match (reads, writes) {
        (true, true) if found == Found::Device => OFlags::RDWR,
        (true, true) => {
            return Err(Error::said(Op::Use, name, "a file is either read or written")
                .with_advice("--send-only to write it, --recv-only to read it"));
        }
        (true, false) => OFlags::RDONLY,
        (false, true) if options.append => OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND,
        (false, true) => OFlags::WRONLY | OFlags::CREATE,
        (false, false) => return Ok(Descriptors::default()),
    };
    if found == Found::Directory {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    // a modem's line would be waited for, and a terminal become ours
    let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = rustix::fs::open(path, flags, Mode::from_raw_mode(0o666)).map_err(|error| failed(error.into()))?;
    if sys::kind(fd.as_fd()).map_err(failed)? == sys::Kind::File {
        if reads != writes && is_other_side(&fd, writes) {
            let error = Error::said(Op::Use, name, "the input file is the output file");
            return Err(error.with_advice("another file"));
        }
        // only now: what was typed by mistake is not emptied
        if writes && !options.append && options.offset.is_none() {
            rustix::fs::ftruncate(&fd, 0).map_err(|error| failed(error.into()))?;
        }
    }
    if let Some(offset) = options.offset {
        seek(&fd, offset, reads, name)?;
    }
    both(fd, reads, writes).map_err(failed)
}

/// True if a file would be read from itself: it is standard input and to be written, or it has something to be read and
/// is standard output.
fn is_other_side(fd: &OwnedFd, writes: bool) -> bool {
    let is_empty = || sys::file_size_and_offset(fd.as_fd()).is_none_or(|(size, _)| size == 0);
    match writes {
        true => sys::is_same_file(fd, io::stdin()),
        false => sys::is_same_file(fd, io::stdout()) && !is_empty(),
    }
}

/// One opened description as reader, writer or both.
pub(super) fn both(fd: OwnedFd, reads: bool, writes: bool) -> io::Result<Descriptors> {
    let copy = if reads && writes { Some(rustix::io::fcntl_dupfd_cloexec(&fd, 3)?) } else { None };
    Ok(match (reads, copy) {
        (true, copy) => Descriptors {
            reader: Some(Descriptor::own(fd, Access::Read)?),
            writer: copy.map(|fd| Descriptor::own(fd, Access::Write)).transpose()?,
        },
        (false, _) => Descriptors { reader: None, writer: Some(Descriptor::own(fd, Access::Write)?) },
    })
}

fn seek(fd: &OwnedFd, offset: u64, reads: bool, name: &[u8]) -> Result<(), Error> {
    if reads
        && let Some((size, _)) = sys::file_size_and_offset(fd.as_fd())
        && offset > size
    {
        let sentence = format!("offset {offset} is behind its end at {size}");
        return Err(Error::said(Op::Open, name, sentence));
    }
    match rustix::fs::seek(fd, SeekFrom::Start(offset)) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::new(Op::Set, format!("offset={offset}"), io::Error::from(error))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::endpoint::Transport;
    use crate::endpoint::testing::drive;

    fn write(path: &Path, options: &Options, bytes: &'static [u8]) {
        let mut transport = Transport::from(open(path, options, false, true).unwrap());
        drive(move |turn| {
            transport.start(turn).unwrap();
            assert_eq!(transport.write(turn, bytes).unwrap(), bytes.len());
            transport.close_write(turn).unwrap();
            Ok(())
        });
    }

    fn read(path: &Path, options: &Options) -> Vec<u8> {
        let mut transport = Transport::from(open(path, options, true, false).unwrap());
        assert!(
            matches!(&transport, Transport::Descriptors(both) if both.reader.as_ref().is_some_and(|fd| fd.kind() == sys::Kind::File))
        );
        drive(move |turn| {
            transport.start(turn).unwrap();
            let mut bytes = vec![0; 100];
            let count = transport.read(turn, &mut bytes).unwrap();
            bytes.truncate(count);
            Ok(bytes)
        })
    }

    #[test]
    fn a_file_is_made_emptied_appended_to_or_written_in_its_middle() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        let plain = Options::default();
        write(&path, &plain, b"0123456789");
        write(&path, &Options { offset: Some(3), ..Options::default() }, b"xyz");
        write(&path, &Options { append: true, ..Options::default() }, b"end");
        assert_eq!(fs::read(&path).unwrap(), b"012xyz6789end");
        assert_eq!(read(&path, &Options { offset: Some(10), ..Options::default() }), b"end");
        write(&path, &plain, b"new");
        assert_eq!(read(&path, &plain), b"new");
    }

    #[test]
    fn what_cannot_be_opened_is_a_usage_error_with_its_cause() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        let error = open(&missing, &Options::default(), true, false).unwrap_err();
        assert!(error.line().ends_with("missing: no such file or directory"), "{error}");
        assert_eq!(error.status().code(), 2);
        let error = open(directory.path(), &Options::default(), false, true).unwrap_err();
        assert!(error.line().ends_with(": is a directory"), "{error}");
        let error = open(&missing, &Options::default(), true, true).unwrap_err();
        assert!(error.line().ends_with(": a file is either read or written"), "{error}");
        assert!(!missing.exists());
        fs::write(&missing, "abc").unwrap();
        let beyond = Options { offset: Some(9), ..Options::default() };
        let error = open(&missing, &beyond, true, false).unwrap_err();
        assert!(error.line().ends_with("offset 9 is behind its end at 3"), "{error}");
    }

    #[test]
    fn a_device_may_be_read_and_written() {
        let both = open(Path::new("/dev/null"), &Options::default(), true, true).unwrap();
        assert!(both.reader.is_some());
        assert!(Transport::from(both).drops_everything());
    }
}
