//! `file,atomic:`: a file is replaced as a whole at a clean end, and any other end leaves everything as it was.

use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::data::bytes;
use crate::harness::{Ended, Input, Listener, Peer, Program, Running, file_with, haul, poll_until, proc, scratch};

/// A directory with one file that haul is to replace.
fn home() -> (TempDir, PathBuf) {
    let home = scratch();
    let path = file_with(home.path(), "out", b"old");
    (home, path)
}

fn atomic(path: &Path) -> Program {
    haul(["connect".to_string(), format!("file,atomic:{}", path.display())])
}

fn listing(directory: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// The old file is there, and nothing else.
#[track_caller]
fn assert_untouched(home: &TempDir, path: &Path) {
    assert_eq!(fs::read(path).unwrap(), b"old");
    assert_eq!(listing(home.path()), ["out"]);
}

/// haul in the middle of a transfer: something has been said, and what came of it has been written.
fn in_the_middle(path: &Path) -> Running {
    let mut running = atomic(path).stdin(Input::Piped).spawn();
    running.say(b"half");
    // the pipe is empty, and so what was in it is with haul, which sleeps
    proc::wait_until_idle(running.pid());
    running
}

#[test]
fn a_clean_end_replaces_the_file() {
    let (home, path) = home();
    let content = bytes(1, 3_000_000);
    atomic(&path).stdin(Input::Bytes(content.clone())).run().ok().no_stdout();
    assert!(fs::read(&path).unwrap() == content);
    assert_eq!(listing(home.path()), ["out"]);
    let fresh = home.path().join("fresh");
    atomic(&fresh).stdin(Input::Bytes(b"new".to_vec())).run().ok();
    assert_eq!(fs::read(&fresh).unwrap(), b"new");
    assert_eq!(listing(home.path()), ["fresh", "out"]);
}

#[test]
fn a_signal_leaves_the_old_file_and_nothing_beside_it() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let (home, path) = home();
        let running = in_the_middle(&path);
        running.signal(signal);
        running.wait().killed_by(signal);
        assert_untouched(&home, &path);
    }
}

// Where there are no files without names, nobody is there to remove what has one.
#[cfg(all(target_os = "linux", not(feature = "portable")))]
#[test]
fn not_even_being_killed_leaves_anything() {
    for signal in [Signal::KILL, Signal::ABORT] {
        let (home, path) = home();
        let running = in_the_middle(&path);
        assert_untouched(&home, &path);
        running.signal(signal);
        running.wait().killed_by(signal);
        assert_untouched(&home, &path);
    }
}

/// haul that reads a socket and writes the file, once it is in the middle of it.
fn reading_a_peer(path: &Path) -> (Running, Peer) {
    let listener = Listener::tcp();
    let near = std::net::TcpStream::connect(listener.address()).unwrap();
    let mut peer = listener.accept();
    let running = atomic(path).stdin(Input::Fd(OwnedFd::from(near))).spawn();
    peer.send(b"half");
    proc::wait_until_idle(running.pid());
    (running, peer)
}

#[test]
fn a_reset_leaves_the_old_file() {
    let (home, path) = home();
    let (running, peer) = reading_a_peer(&path);
    peer.reset();
    let ended = running.wait();
    ended.code(5);
    assert!(ended.one_error().contains("connection reset"), "{}", ended.stderr);
    assert_untouched(&home, &path);

    let (running, peer) = reading_a_peer(&path);
    peer.finish();
    running.wait().ok();
    assert_eq!(fs::read(&path).unwrap(), b"half");
}

#[test]
fn a_time_limit_leaves_the_old_file() {
    let (home, path) = home();
    let to = format!("file,atomic:{}", path.display());
    let mut running = haul(["connect", "--max-time", "200ms", &to]).stdin(Input::Piped).spawn();
    running.say(b"half");
    running.wait().code(3);
    assert_untouched(&home, &path);
}

#[test]
fn a_disk_that_takes_no_more_leaves_the_old_file() {
    let (home, path) = home();
    // a limit of 8 blocks (of 512 or 1024 bytes) on every file that is written, without its signal
    let limited = |program: Program| program.after("trap '' XFSZ; ulimit -f 8");
    let ended = limited(atomic(&path).stdin(Input::Bytes(bytes(2, 100_000)))).run();
    ended.code(5);
    assert!(ended.one_error().ends_with("file too large"), "{}", ended.stderr);
    assert_untouched(&home, &path);
}

#[test]
fn the_mode_is_kept_and_a_link_stays() {
    let (home, path) = home();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    let link = home.path().join("link");
    symlink("out", &link).unwrap();
    atomic(&link).stdin(Input::Bytes(b"new".to_vec())).run().ok();
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("out"));
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o604);
    assert_eq!(listing(home.path()), ["link", "out"]);
    let fresh = home.path().join("fresh");
    atomic(&fresh).after("umask 027").run().ok();
    assert_eq!(fs::metadata(&fresh).unwrap().mode() & 0o7777, 0o640);
}

#[track_caller]
fn assert_refused(ended: &Ended, cause: &str) {
    ended.code(2);
    assert!(ended.one_error().ends_with(cause), "{}", ended.stderr);
}

#[test]
fn what_is_no_file_is_refused() {
    let home = scratch();
    assert_refused(&atomic(home.path()).run(), ": is a directory");
    assert_refused(&atomic(&home.path().join("none/f")).run(), ": no such file or directory");
    assert_refused(&atomic(Path::new("/dev/null")).run(), ": only a regular file can be replaced as a whole");
    let fifo = home.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert_refused(&atomic(&fifo).run(), ": only a regular file can be replaced as a whole");
    assert_eq!(listing(home.path()), ["fifo"]);
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    let (home, path) = home();
    for (word, flags, cause) in [
        ("atomic,offset=1", &[][..], ": atomic writes a new file, which has no offset"),
        ("atomic", &["--recv-only"], ": atomic is for writing"),
    ] {
        let to = format!("file,{word}:{}", path.display());
        let words = ["connect"].iter().chain(flags).map(ToString::to_string).chain([to]);
        assert_refused(&haul(words).run(), cause);
    }
    assert_untouched(&home, &path);
}

#[test]
fn a_reader_sees_the_old_file_until_the_new_one_is_whole() {
    let (_home, path) = home();
    let mut running = in_the_middle(&path);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    running.end_stdin();
    let seen = poll_until("the new file", || Some(fs::read(&path).unwrap()).filter(|seen| seen != b"old"));
    assert_eq!(seen, b"half");
    running.wait().ok();
}
