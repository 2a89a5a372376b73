//! What is replaced, what is kept, what is refused, and what is left behind.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use super::*;
use crate::endpoint::testing::drive;
use crate::endpoint::{Descriptors, Transport};

type Make = fn(&Place, Mode) -> io::Result<OwnedFd>;

/// Without a name as far as the system can, and with a temporary one.
const WAYS: [Make; 2] = [Place::unnamed, no_unnamed];

fn no_unnamed(_: &Place, _: Mode) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

fn transport(path: &Path, make: Make) -> Transport {
    Transport::from(Descriptors { reader: None, writer: Some(create_by(path, make).unwrap()) })
}

/// Writes a whole file to its end; `before` happens when everything is written and nothing settled.
#[track_caller]
fn write(path: &Path, make: Make, bytes: &'static [u8], before: impl FnOnce() + 'static) -> io::Result<()> {
    let mut transport = transport(path, make);
    let (mut started, mut before) = (false, Some(before));
    drive(move |turn| {
        if !std::mem::replace(&mut started, true) {
            transport.start(turn).unwrap();
            assert_eq!(transport.write(turn, bytes).unwrap(), bytes.len());
        }
        if let Some(before) = before.take() {
            before();
        }
        match transport.close_write(turn) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(None),
            result => Ok(result),
        }
    })
}

/// Every name in a directory, with what a file there holds.
fn listing(directory: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap_or_default())).collect()
}

fn home_with(name: &str, content: &str) -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(name);
    fs::write(&path, content).unwrap();
    (home, path)
}

#[test]
fn the_old_file_stands_until_the_new_one_is_whole() {
    for make in WAYS {
        let (home, path) = home_with("f", "old");
        let (seen, target) = (path.clone(), path.clone());
        write(&target, make, b"new content", move || assert_eq!(fs::read(&seen).unwrap(), b"old")).unwrap();
        assert_eq!(listing(home.path()), BTreeMap::from([("f".into(), b"new content".to_vec())]));
        let fresh = home.path().join("fresh");
        let seen = fresh.clone();
        write(&fresh, make, b"made", move || assert!(!seen.exists())).unwrap();
        assert_eq!(fs::read(&fresh).unwrap(), b"made");
        assert_eq!(listing(home.path()).len(), 2);
    }
}

#[test]
fn what_is_given_up_leaves_everything_as_it_was() {
    for make in WAYS {
        let (home, path) = home_with("f", "old");
        let before = listing(home.path());
        let mut given_up = transport(&path, make);
        drive(move |turn| {
            given_up.start(turn).unwrap();
            given_up.write(turn, b"half").unwrap();
            let given_up = std::mem::replace(&mut given_up, Transport::from(Descriptors::default()));
            given_up.close(turn, true).unwrap();
            Ok(())
        });
        assert_eq!(listing(home.path()), before);
        drop(transport(&home.path().join("other"), make));
        assert_eq!(listing(home.path()), before);
    }
}

#[test]
fn a_file_without_a_name_is_in_no_listing_while_it_is_written() {
    let (home, path) = home_with("f", "old");
    let place = Place::of(&path).unwrap();
    if place.unnamed(Mode::RUSR).is_err() {
        return; // not every file system, and not every system, can do it
    }
    let before = listing(home.path());
    let writer = transport(&path, Place::unnamed);
    assert_eq!(listing(home.path()), before);
    drop(writer);
}

#[test]
fn a_file_that_was_given_up_in_time_does_not_take_its_name() {
    for make in WAYS {
        let (home, path) = home_with("f", "old");
        let place = Place::of(&path).unwrap();
        let (fd, beside) = place.make(None, make).unwrap();
        let whole = Whole { place, beside, replaces: true, stage: Mutex::new(Stage::Written) };
        whole.abandon();
        whole.publish(fd.as_fd()).unwrap();
        assert_eq!(listing(home.path()), BTreeMap::from([("f".into(), b"old".to_vec())]));
    }
}

#[test]
fn mode_and_owner_are_those_of_what_is_replaced() {
    for make in WAYS {
        let (_home, path) = home_with("f", "old");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o6751)).unwrap();
        let root = rustix::process::geteuid().is_root();
        if root {
            chown(&path, Some(12345), Some(23456)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        }
        let old = fs::metadata(&path).unwrap();
        write(&path, make, b"", || ()).unwrap();
        let new = fs::metadata(&path).unwrap();
        assert_ne!(new.ino(), old.ino());
        assert_eq!((new.mode(), new.uid(), new.gid()), (old.mode(), old.uid(), old.gid()));
    }
}

#[test]
fn a_new_file_has_the_mode_of_any_new_file() {
    for make in WAYS {
        let (home, plain) = home_with("plain", "");
        let path = home.path().join("f");
        write(&path, make, b"", || ()).unwrap();
        assert_eq!(fs::metadata(path).unwrap().mode(), fs::metadata(plain).unwrap().mode());
    }
}

#[test]
fn a_symbolic_link_stays_and_what_it_leads_to_is_replaced() {
    for make in WAYS {
        let (home, path) = home_with("f", "old");
        let below = home.path().join("below");
        fs::create_dir(&below).unwrap();
        symlink("../f", below.join("link")).unwrap();
        symlink("below/link", home.path().join("chain")).unwrap();
        symlink("below/missing", home.path().join("dangling")).unwrap();
        for name in ["below/link", "chain", "dangling"] {
            let link = home.path().join(name);
            let target = fs::read_link(&link).unwrap();
            write(&link, make, b"through", || ()).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), target, "{name}");
            assert_eq!(fs::read(&link).unwrap(), b"through", "{name}");
        }
        assert_eq!(fs::read(path).unwrap(), b"through");
        assert_eq!(listing(&below).len(), 2);
        symlink("loop", home.path().join("loop")).unwrap();
        let error = create(&home.path().join("loop")).unwrap_err();
        assert_eq!(error.status().code(), 2, "{error}");
    }
}

#[test]
fn what_cannot_be_replaced_is_refused_before_anything_is_touched() {
    let (home, path) = home_with("f", "old");
    let fifo = home.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let before = listing_names(home.path());
    let below = |name: &str| home.path().join(name);
    let irregular = "only a regular file can be replaced as a whole";
    for (path, cause) in [
        (home.path().to_path_buf(), "is a directory"),
        (below("new/"), "is a directory"),
        (below("none/."), "is a directory"),
        (below("none/f"), "no such file or directory"),
        (path.join("f"), "not a directory"),
        (fifo.clone(), irregular),
        (PathBuf::from("/dev/null"), irregular),
    ] {
        let error = create(&path).unwrap_err();
        assert!(error.line().ends_with(&format!(": {cause}")), "{error}");
        assert_eq!(error.status().code(), 2, "{error}");
    }
    assert_eq!(listing_names(home.path()), before);
}

/// A FIFO in it must not be opened.
fn listing_names(directory: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn a_file_or_directory_that_may_not_be_written_is_refused() {
    if rustix::process::geteuid().is_root() {
        return; // whom no mode stops
    }
    let (home, path) = home_with("f", "old");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let error = create(&path).unwrap_err();
    assert!(error.line().ends_with(": permission denied"), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let error = create(&path).unwrap_err();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(error.line().contains("nothing may be written to its directory"), "{error}");
    assert_eq!(error.status().code(), 2);
}

#[test]
fn a_file_that_was_made_meanwhile_is_replaced_too() {
    for make in WAYS {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("f");
        let meanwhile = path.clone();
        write(&path, make, b"ours", move || fs::write(meanwhile, "theirs").unwrap()).unwrap();
        assert_eq!(listing(home.path()), BTreeMap::from([("f".into(), b"ours".to_vec())]));
    }
}

#[test]
fn what_cannot_take_its_name_fails_and_leaves_nothing_beside() {
    for make in WAYS {
        let (home, path) = home_with("f", "old");
        let meanwhile = path.clone();
        let error = write(&path, make, b"ours", move || {
            fs::remove_file(&meanwhile).unwrap();
            fs::create_dir(&meanwhile).unwrap();
        });
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(listing(home.path()), BTreeMap::from([("f".into(), Vec::new())]));
    }
}

#[test]
fn the_longest_name_has_room_for_a_temporary_one() {
    for make in WAYS {
        let name = "n".repeat(LONGEST_NAME);
        let (home, path) = home_with(&name, "old");
        write(&path, make, b"new", || ()).unwrap();
        assert_eq!(listing(home.path()), BTreeMap::from([(name.into(), b"new".to_vec())]));
    }
    assert!(beside(OsStr::new("f")).as_bytes().starts_with(b".f.haul-"));
}
