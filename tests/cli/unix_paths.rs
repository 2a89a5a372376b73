//! Socket files: a stale one is replaced, a live one never, nothing else is ever touched, and our own goes with us.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::process::Signal;

use crate::harness::{Input, Listener, Peer, Running, file_with, haul, poll_until, proc, scratch};

#[track_caller]
fn listening(flags: &[&str], path: &Path) -> Running {
    let mut words = vec!["listen".as_ref()];
    words.extend(flags.iter().map(std::ffi::OsStr::new));
    words.push(path.as_os_str());
    let running = haul(words).stdin(Input::Piped).spawn();
    proc::wait_for_unix_listener(path);
    running
}

// A socket file that nobody listens on is replaced.
#[test]
fn a_stale_socket_file_is_replaced() {
    let home = scratch();
    let path = home.path().join("s");
    drop(Listener::unix(&path));
    assert!(path.exists());
    let mut haul = listening(&[], &path);
    let mut peer = Peer::connect_unix(&path);
    peer.send(b"hello");
    haul.stdout_reaches(5);
    haul.end_stdin();
    drop(peer);
    haul.wait().ok();
}

// A live socket is refused with status 2 and not disturbed: its one connection is not used up.
#[test]
fn a_live_socket_is_refused_and_not_disturbed() {
    let home = scratch();
    let path = home.path().join("s");
    let mut first = listening(&[], &path);
    let second = haul(["listen".as_ref(), path.as_os_str()]).run();
    second.code(2).no_stdout();
    let line = second.one_error();
    assert!(line.starts_with(&format!("haul: cannot listen on {}: ", path.display())), "{line}");
    let mut peer = Peer::connect_unix(&path);
    peer.send(b"for the first");
    assert_eq!(first.stdout_reaches(13), b"for the first");
    first.end_stdin();
    drop(peer);
    first.wait().ok();
}

// A listener of the test's own gets no connection from the question whether it lives.
#[test]
fn asking_whether_a_socket_lives_connects_to_nothing() {
    let home = scratch();
    let path = home.path().join("s");
    let listener = Listener::unix(&path);
    haul(["listen".as_ref(), path.as_os_str()]).run().code(2).one_error();
    assert!(listener.was_left_alone());
    assert!(path.exists());
}

// A live datagram socket is alive too.
#[test]
fn a_live_datagram_socket_is_refused() {
    let home = scratch();
    let path = home.path().join("s");
    let socket = UnixDatagram::bind(&path).unwrap();
    haul(["listen".as_ref(), path.as_os_str()]).run().code(2).one_error();
    assert!(path.exists());
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 10]).is_err(), "the socket was written to");
}

// What is not a socket is never replaced: a file, a directory, a dangling link.
#[test]
fn what_is_not_a_socket_is_never_replaced() {
    let home = scratch();
    let file = file_with(home.path(), "file", b"precious");
    let directory = home.path().join("directory");
    fs::create_dir(&directory).unwrap();
    let link = home.path().join("link");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    for path in [&file, &directory, &link] {
        for endpoint in [path.display().to_string(), format!("unix:{}", path.display())] {
            haul(["listen", &endpoint]).run().code(2).no_stdout().one_error();
        }
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    assert!(directory.is_dir());
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("nowhere"));
}

// One-shot: the path goes at the first connection, while that connection goes on.
#[test]
fn the_path_goes_at_the_first_connection() {
    let home = scratch();
    let path = home.path().join("s");
    let mut haul = listening(&[], &path);
    let mut peer = Peer::connect_unix(&path);
    haul.say(b"x");
    peer.receive(1);
    poll_until("the path to go", || (!path.exists()).then_some(()));
    peer.send(b"still here");
    haul.stdout_reaches(10);
    haul.end_stdin();
    drop(peer);
    haul.wait().ok();
}

// Whatever is at the path by the time haul ends is not haul's to remove.
#[test]
fn a_successors_socket_is_not_removed() {
    let home = scratch();
    let path = home.path().join("s");
    let haul = listening(&[], &path);
    fs::remove_file(&path).unwrap();
    let successor = Listener::unix(&path);
    haul.signal(Signal::TERM);
    haul.wait().killed_by(Signal::TERM);
    assert!(path.exists(), "a successor's socket was removed");
    drop(successor);
}

// --mode and mode= set the permissions of the socket file.
#[test]
fn mode_sets_the_permissions_of_the_socket_file() {
    let home = scratch();
    for (name, flags, option) in [("a", &["--mode", "600"][..], ""), ("b", &[], ",mode=660")] {
        let path = home.path().join(name);
        let mut words = vec!["listen"];
        words.extend(flags);
        let endpoint = format!("unix{option}:{}", path.display());
        words.push(&endpoint);
        let haul = haul(words).spawn();
        proc::wait_for_unix_listener(&path);
        let data = fs::metadata(&path).unwrap();
        assert!(data.file_type().is_socket());
        assert_eq!(data.permissions().mode() & 0o777, if name == "a" { 0o600 } else { 0o660 });
        drop(haul);
    }
}

// -U says that a plain word is a path.
#[test]
fn the_letter_u_makes_a_word_a_path() {
    let home = scratch();
    let path = home.path().join("s");
    let listener = Listener::unix(&path);
    let haul = haul(["connect".as_ref(), "-U".as_ref(), path.as_os_str()]).spawn();
    let mut peer = listener.accept();
    peer.send(b"found");
    drop(peer);
    let haul = haul.wait();
    haul.ok();
    assert_eq!(haul.stdout, b"found");
}

// A name in a directory that does not exist is status 2.
#[test]
fn a_missing_directory_is_status_2() {
    let home = scratch();
    let ended = haul(["listen".as_ref(), home.path().join("none/s").as_os_str()]).run();
    ended.code(2).no_stdout();
    assert!(ended.one_error().ends_with("no such file or directory"));
}
