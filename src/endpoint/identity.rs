//! Which file a name stands for: names that must be different files are compared by this.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::whole;
use crate::plan::address::{Address, Kind};
use crate::sys::{self, Access};

/// A file whose content could be lost, by whatever name it was found: a regular file, a FIFO, a block device, or the
/// place where a file would be made. Other devices and sockets have nothing of their own, and many may use them at once.
#[derive(Clone, Debug)]
pub struct Identity {
    node: Node,
    /// Bytes in it; 0 for anything but a regular file.
    length: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    /// It is there.
    There { device: u64, inode: u64 },
    /// Its directory is.
    Absent { device: u64, inode: u64, name: OsString },
}

impl Identity {
    /// What a path leads to, through symbolic links; also where nothing is there yet.
    pub fn of_path(path: &Path) -> Option<Self> {
        if let Ok(there) = path.metadata() {
            return of(&there, true);
        }
        let path = whole::resolved(path).ok()?;
        let name = path.file_name()?.to_os_string();
        let directory = parent(&path).metadata().ok()?;
        let node = Node::Absent { device: directory.dev(), inode: directory.ino(), name };
        Some(Identity { node, length: 0 })
    }

    /// What an open descriptor is. Pipes are left out: that several descriptors are one pipe is what a shell does.
    pub fn of_descriptor(number: i32) -> Option<Self> {
        let there = File::from(sys::duplicate(number).ok()?).metadata().ok()?;
        of(&there, false)
    }

    /// What an endpoint is that is used in this way.
    pub fn of_address(address: &Address, access: Access) -> Option<Self> {
        match &address.kind {
            _ if address.options.listen => None,
            Kind::File(path) | Kind::Path(path) | Kind::Fifo(path) => Identity::of_path(path),
            Kind::Stdio => Identity::of_descriptor(i32::from(access == Access::Write)),
            Kind::Fd { read, write } => Identity::of_descriptor(if access == Access::Read { *read } else { *write }),
            _ => None,
        }
    }

    /// True for two names of one file.
    pub fn is_same(&self, other: &Identity) -> bool {
        self.node == other.node
    }

    /// True if there is nothing in it that could be lost.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

fn of(there: &Metadata, pipes: bool) -> Option<Identity> {
    let kind = there.file_type();
    let counts = kind.is_file() || kind.is_block_device() || pipes && kind.is_fifo();
    let node = Node::There { device: there.dev(), inode: there.ino() };
    counts.then(|| Identity { node, length: if kind.is_file() { there.len() } else { 0 } })
}

/// The directory that a path is in.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn one_file_by_several_names_is_one_file_also_before_it_is_made() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::write(at("there"), "x").unwrap();
        fs::write(at("other"), "x").unwrap();
        fs::hard_link(at("there"), at("hard")).unwrap();
        fs::create_dir(at("sub")).unwrap();
        symlink("there", at("soft")).unwrap();
        symlink("../absent", at("sub/dangling")).unwrap();
        let same = |a: &str, b: &str| {
            let (a, b) = (Identity::of_path(&at(a)).unwrap(), Identity::of_path(&at(b)).unwrap());
            a.is_same(&b)
        };
        assert!(same("there", "hard") && same("there", "soft") && same("there", "sub/../there"));
        assert!(same("absent", "sub/dangling") && same("absent", "sub/../absent"));
        assert!(!same("there", "other") && !same("absent", "missing") && !same("absent", "sub/absent"));
        assert!(Identity::of_path(&at("no/such")).is_none() && Identity::of_path(home.path()).is_none());
        assert!(Identity::of_path(Path::new("/dev/null")).is_none());
    }
}
