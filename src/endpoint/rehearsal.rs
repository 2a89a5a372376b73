//! Whether opening would work, found out without touching anything: before the first file is emptied and the first
//! program runs, everything that can be known to fail has been told.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::Access as Rights;

use super::file::{self, Found};
use super::identity::parent;
use super::{open, process};
use crate::error::{Error, Op};
use crate::plan::address::{Address, Kind};

/// Looks whether an address could be opened to be read, written, or both.
///
/// # Errors
/// What opening it would say: a file that is missing, a directory, ours neither to read nor to write, a program that is
/// not there. What only opening tells is not an error here.
pub fn rehearse(address: &Address, reads: bool, writes: bool) -> Result<(), Error> {
    if let Some(program) = open::program(address) {
        return process::check(&program);
    }
    let Kind::File(path) = &address.kind else { return Ok(()) };
    let name = path.as_os_str().as_bytes();
    let failed = |error| Error::new(Op::Open, name, error);
    let found = file::find(path).map_err(failed)?;
    if reads && writes && found != Found::Device {
        let error = Error::said(Op::Use, name, "a file is either read or written");
        return Err(error.with_advice("one way, without -2"));
    }
    match found {
        Found::Directory => return Err(failed(io::Error::from_raw_os_error(libc::EISDIR))),
        Found::Nothing if reads => return Err(failed(io::Error::from_raw_os_error(libc::ENOENT))),
        // a link that leads to nothing: where the file would be made is the system's to say
        Found::Nothing if path.is_symlink() => return Ok(()),
        Found::Nothing => return may(parent(path), Rights::WRITE_OK | Rights::EXEC_OK).map_err(failed),
        Found::File | Found::Fifo | Found::Socket | Found::Device => {}
    }
    if reads {
        may(path, Rights::READ_OK).map_err(failed)?;
    }
    if writes {
        may(path, Rights::WRITE_OK).map_err(failed)?;
        if address.options.atomic {
            may(parent(path), Rights::WRITE_OK | Rights::EXEC_OK).map_err(failed)?;
        }
    }
    Ok(())
}

fn may(path: &Path, rights: Rights) -> io::Result<()> {
    Ok(rustix::fs::access(path, rights)?)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;

    use super::*;

    fn address(path: &Path) -> Address {
        Address::from(Kind::File(path.to_path_buf()))
    }

    #[test]
    fn what_cannot_be_opened_is_told_and_nothing_is_made_or_emptied() {
        let home = tempfile::tempdir().unwrap();
        let (there, missing) = (home.path().join("there"), home.path().join("missing"));
        fs::write(&there, "kept").unwrap();
        for (path, reads, writes, cause) in [
            (home.path().to_path_buf(), true, false, Some("is a directory")),
            (home.path().to_path_buf(), false, true, Some("is a directory")),
            (missing.clone(), true, false, Some("no such file or directory")),
            (missing.clone(), false, true, None),
            (missing.join("deeper"), false, true, Some("no such file or directory")),
            (there.join("deeper"), false, true, Some("not a directory")),
            (there.clone(), true, true, Some("a file is either read or written")),
            (there.clone(), true, false, None),
            (there.clone(), false, true, None),
        ] {
            let told = rehearse(&address(&path), reads, writes).err();
            assert_eq!(told.as_ref().map(|error| error.cause().to_string()).as_deref(), cause, "{}", path.display());
            assert!(told.is_none_or(|error| error.status().code() == 2));
        }
        assert!(!missing.exists());
        assert_eq!(fs::read(&there).unwrap(), b"kept");
        let program = Address::parse(OsStr::new("exec:no-such-program-anywhere x")).unwrap();
        assert!(rehearse(&program, true, false).unwrap_err().line().ends_with("no such file or directory"));
    }
}
