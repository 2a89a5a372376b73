//! Files that are written whole or not at all (`file,atomic:`, `--out`).
//!
//! The bytes go to a file beside the target that has no name at all, so that whatever ends the process leaves nothing
//! behind (O_TMPFILE, open(2)). Once they are on the disk the file takes the target's name in one step, rename(2), and
//! the directory is made to remember it. No call puts a file without a name in another's place, so where there is one
//! already it is called `.NAME.haul-1a2b3c` between two system calls; where the file system knows no files without names
//! it is called that from the beginning, and only SIGKILL or a crash leaves it there.
//!
//! As for a plain open, a symbolic link stays and its target is replaced, and a file that may not be written is refused.
//! The mode of what is replaced is kept, its owner and group as far as we may give files away; other hard links to it
//! go on naming the old content, and extended attributes are not taken over.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use super::descriptor::Descriptor;
use super::file::{self, Found};
use super::settle::Settle;
use crate::error::{Error, Op};
use crate::outcome::ExitStatus;
use crate::sys::{self, Access};

/// Makes the file that will take the place of `path`, which stays as it is until the writer is settled
/// ([`Descriptor::settle`]). A writer that is closed or dropped before that leaves no trace.
///
/// # Errors
/// Something stands there that is no regular file, or that may not be written; its directory is missing, or not ours to
/// write (status 2). No room for another file (status 5).
pub fn create(path: &Path) -> Result<Descriptor, Error> {
    create_by(path, Place::unnamed)
}

/// Writes a few bytes as a whole file at once, without waiting for the disk: nobody ever sees half of them.
///
/// # Errors
/// What stands there may not be written, or its directory; whatever writing says. Nothing is left then.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let place = Place::of(path)?;
    let old = place.writable()?;
    let (fd, beside) = place.make(old.as_ref(), Place::unnamed)?;
    let whole = Whole { place, beside, replaces: old.is_some(), stage: Mutex::new(Stage::Written) };
    let kept = old.map_or(Ok(()), |old| keep(&fd, &old));
    let written = kept.and_then(|()| File::from(fd.try_clone()?).write_all(bytes));
    let done = written.and_then(|()| whole.publish(fd.as_fd()));
    if done.is_err() {
        whole.abandon();
    }
    done
}

/// As [`create`]; where `unnamed` makes no file, one with a name beside the target is made.
fn create_by(path: &Path, unnamed: fn(&Place, Mode) -> io::Result<OwnedFd>) -> Result<Descriptor, Error> {
    let name = path.as_os_str().as_bytes();
    let failed = |error: io::Error| {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let error = Error::new(Op::Open, name, error);
        if full { error.with_status(ExitStatus::LocalIo) } else { error }
    };
    let refused = || Error::said(Op::Use, name, "only a regular file can be replaced as a whole");
    match file::find(path).map_err(failed)? {
        Found::File | Found::Nothing => {}
        Found::Directory => return Err(failed(io::ErrorKind::IsADirectory.into())),
        Found::Fifo | Found::Socket | Found::Device => return Err(refused()),
    }
    let place = Place::of(path).map_err(failed)?;
    let old = place.writable().map_err(failed)?;
    match &old {
        Some(old) if FileType::from_raw_mode(old.st_mode) != FileType::RegularFile => return Err(refused()),
        // a name of /proc that leads to a file which has lost its own
        None if path.exists() => return Err(failed(io::ErrorKind::NotFound.into())),
        _ => {}
    }
    let (fd, beside) =
        place.make(old.as_ref(), unnamed).map_err(|error| no_room_beside(&error, name).unwrap_or(failed(error)))?;
    let whole = Whole { place, beside, replaces: old.is_some(), stage: Mutex::new(Stage::Written) };
    if let Some(old) = &old {
        keep(&fd, old).map_err(failed)?;
    }
    let writer = Descriptor::own(fd, Access::Write).map_err(failed)?;
    Ok(writer.with_settle(Settle::publishing(whole)))
}

/// The file itself may be ours to write where nothing new may be made beside it.
fn no_room_beside(error: &io::Error, name: &[u8]) -> Option<Error> {
    (error.kind() == io::ErrorKind::PermissionDenied).then(|| {
        let sentence = "nothing may be written to its directory, and a whole file is made there first";
        Error::said(Op::Open, name, sentence).with_advice("a directory that you may write to")
    })
}

/// A file that has yet to take its name.
#[derive(Debug)]
pub(super) struct Whole {
    place: Place,
    /// The name that it has meanwhile; `None` where it has none.
    beside: Option<OsString>,
    /// Something had the name when it was made.
    replaces: bool,
    stage: Mutex<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Still without its name.
    Written,
    /// It must not take it any more.
    Abandoned,
    /// It has it.
    Published,
}

impl Whole {
    /// Puts the file in its place, unless it was abandoned before; then nothing happens, and nobody waits for the answer.
    ///
    /// # Errors
    /// What linkat(2) and renameat(2) say; the old file is untouched then.
    pub(super) fn publish(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let mut stage = self.stage();
        if *stage != Stage::Written {
            return Ok(());
        }
        let linked = match &self.beside {
            Some(_) => None,
            None => match self.link(fd)? {
                Linked::InPlace => {
                    *stage = Stage::Published;
                    return Ok(());
                }
                Linked::Beside(name) => Some(name),
            },
        };
        let Some(from) = linked.as_ref().or(self.beside.as_ref()) else { return Ok(()) };
        let directory = &self.place.directory;
        if let Err(error) = rustix::fs::renameat(directory, from, directory, &self.place.name) {
            if linked.is_some() {
                self.place.remove(from);
            }
            return Err(error.into());
        }
        *stage = Stage::Published;
        Ok(())
    }

    /// Has the directory remember the name that was given (fsync(2)).
    ///
    /// # Errors
    /// What fsync(2) says, where directories can be synced at all.
    pub(super) fn sync_name(&self) -> io::Result<()> {
        match File::from(self.place.directory.try_clone()?).sync_all() {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            result => result,
        }
    }

    /// The file will not take its name any more, if it has not yet.
    pub(super) fn abandon(&self) {
        let mut stage = self.stage();
        if *stage == Stage::Written {
            *stage = Stage::Abandoned;
            if let Some(name) = &self.beside {
                self.place.remove(name);
            }
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self, fd: BorrowedFd<'_>) -> io::Result<Linked> {
        let directory = self.place.directory.as_fd();
        if !self.replaces {
            match sys::give_name(fd, directory, &self.place.name) {
                Ok(()) => return Ok(Linked::InPlace),
                // somebody was quicker
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        let ((), name) = self.place.with_free_name(|name| sys::give_name(fd, directory, name))?;
        Ok(Linked::Beside(name))
    }
}

enum Linked {
    /// Under its own name.
    InPlace,
    /// Under this one, to be renamed.
    Beside(OsString),
}

/// A name in a directory.
#[derive(Debug)]
struct Place {
    directory: OwnedFd,
    name: OsString,
}

impl Place {
    /// Where a path leads to through its symbolic links, whether anything is there or not.
    fn of(path: &Path) -> io::Result<Self> {
        let path = resolved(path)?;
        // what open(2) says of a name that can only be a directory's
        let last = path.as_os_str().as_bytes().rsplit(|byte| *byte == b'/').next();
        let (Some(name), false) = (path.file_name(), matches!(last, Some(b"" | b"." | b".."))) else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(parent, flags, Mode::empty())?;
        Ok(Place { directory, name: name.to_owned() })
    }

    /// What has the name now, `None` if nothing has; opened as for writing, since the mode alone does not tell whether
    /// that is allowed.
    fn writable(&self) -> io::Result<Option<Stat>> {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.directory, &self.name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(rustix::fs::fstat(fd)?)),
            Err(Errno::NOENT) => Ok(None),
            // a running program cannot be written to, but replaced
            Err(Errno::TXTBSY) => Ok(Some(rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW)?)),
            Err(error) => Err(error.into()),
        }
    }

    /// A new file in the directory, and the name that it had to be given. One that replaces another is nobody else's to
    /// read before it is as that one was.
    fn make(
        &self,
        replaced: Option<&Stat>,
        unnamed: fn(&Place, Mode) -> io::Result<OwnedFd>,
    ) -> io::Result<(OwnedFd, Option<OsString>)> {
        let mode = Mode::from_raw_mode(if replaced.is_some() { 0o600 } else { 0o666 });
        if let Ok(fd) = unnamed(self, mode) {
            return Ok((fd, None));
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (fd, name) = self.with_free_name(|name| Ok(rustix::fs::openat(&self.directory, name, flags, mode)?))?;
        Ok((fd, Some(name)))
    }

    fn unnamed(&self, mode: Mode) -> io::Result<OwnedFd> {
        sys::unnamed_file(self.directory.as_fd(), mode)
    }

    /// Tries names beside this one until `take` finds one that is free.
    fn with_free_name<T>(&self, mut take: impl FnMut(&OsStr) -> io::Result<T>) -> io::Result<(T, OsString)> {
        let mut tries = TRIES;
        loop {
            let name = beside(&self.name);
            match take(&name) {
                Ok(taken) => return Ok((taken, name)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries > 0 => tries -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn remove(&self, name: &OsStr) {
        // gone already, or not ours to remove any more
        let _ = rustix::fs::unlinkat(&self.directory, name, AtFlags::empty());
    }
}

/// Follows symbolic links, also where nothing is at their end: what is replaced is their target.
///
/// # Errors
/// ELOOP.
pub fn resolved(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        match std::fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            // no link: EINVAL; or nothing at all
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

/// `.NAME.haul-1a2b3c`, cut to what a directory takes.
fn beside(name: &OsStr) -> OsString {
    let suffix = format!(".haul-{:06x}", super::any_number() & 0x00ff_ffff);
    let name = name.as_bytes();
    let kept = &name[..name.len().min(LONGEST_NAME - 1 - suffix.len())];
    OsString::from_vec([b".", kept, suffix.as_bytes()].concat())
}

/// Gives a new file the mode of the one that it replaces, and its owner and group where that is allowed. Where it is
/// not, nobody is allowed more than before: the bits for the group are what everybody had, and nothing runs as its owner.
fn keep(fd: &OwnedFd, old: &Stat) -> io::Result<()> {
    let new = rustix::fs::fstat(fd)?;
    let mut mode = Mode::from_raw_mode(old.st_mode);
    if new.st_gid != old.st_gid && rustix::fs::fchown(fd, None, Some(Gid::from_raw(old.st_gid))).is_err() {
        let everybody = Mode::from_raw_mode((old.st_mode & 0o7) << 3);
        mode = mode.difference(Mode::RWXG | Mode::SGID) | (mode & everybody);
    }
    if new.st_uid != old.st_uid && rustix::fs::fchown(fd, Some(Uid::from_raw(old.st_uid)), None).is_err() {
        mode = mode.difference(Mode::SUID);
    }
    Ok(rustix::fs::fchmod(fd, mode)?)
}

/// Bytes in a name (NAME_MAX).
const LONGEST_NAME: usize = 255;

/// Names that are tried, each one of sixteen million.
const TRIES: usize = 16;

/// Links that the kernel follows in one name (path_resolution(7)).
const LINKS: usize = 40;

#[cfg(test)]
mod tests;
