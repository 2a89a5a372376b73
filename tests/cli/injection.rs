//! Results that the kernel gives seldom, forced by strace: interrupted calls, refused splices, a full disk, a failed
//! accept. Bytes stay intact, or the failure has its status.

use std::fs;
use std::path::Path;

use crate::data::{assert_same, bytes};
use crate::harness::{
    Ending, Input, Net, Peer, Program, Role, Sink, Way, create, file_with, haul, open, require, scratch,
};

const CONNECTS: Way = Way { role: Role::Connects, net: Net::Tcp };

/// What waits; a question mark is for names that an architecture may lack.
const WAITS: &str = "?epoll_wait,?epoll_pwait,?epoll_pwait2";

/// More than a few fills of the largest pipe, so that there is a middle.
const LENGTH: usize = (6 << 20) + 1;

/// strace and its log, which tells whether what was to be forced was met at all.
struct Strace {
    home: tempfile::TempDir,
    words: Vec<String>,
}

impl Strace {
    /// strace with injections, each `calls:error=…:when=…` (counted for each call alone); with `path`, only for calls
    /// that concern that file.
    fn new(injections: &[&str], path: Option<&Path>) -> Option<Strace> {
        let strace = require("strace")?;
        let home = scratch();
        let mut words: Vec<_> = [strace.to_str()?, "-f", "-qq", "-o"].map(String::from).into();
        words.push(home.path().join("log").to_str()?.to_string());
        let calls: Vec<_> = injections.iter().filter_map(|injection| injection.split(':').next()).collect();
        words.extend(["-e".into(), format!("trace={}", calls.join(","))]);
        for injection in injections {
            words.extend(["-e".into(), format!("inject={injection}")]);
        }
        if let Some(path) = path {
            words.extend(["-P".into(), path.to_str()?.to_string()]);
        }
        Some(Strace { home, words })
    }

    /// The log is not empty of what was to be forced.
    fn has_injected(&self) -> bool {
        fs::read_to_string(self.home.path().join("log")).unwrap().contains("(INJECTED)")
    }
}

/// Sends and receives megabytes each way, from and to pipes and then files, under the injections.
#[track_caller]
fn bytes_stay_intact(flags: &[&str], injections: &[&str]) {
    let (ours, theirs) = (bytes(121, LENGTH), bytes(122, LENGTH));

    let Some(strace) = Strace::new(injections, None) else { return };
    let (haul, mut peer) =
        CONNECTS.join_with(flags, |haul| haul.under(&strace.words).stdin(Input::Bytes(ours.clone())));
    let sending = peer.send_in_thread(theirs.clone());
    assert_same("what was sent from a pipe", &peer.receive_all().0, &ours);
    assert_eq!(sending.join().unwrap(), theirs.len());
    drop(peer);
    let haul = haul.wait();
    haul.ok();
    assert_same("what was received into a pipe", &haul.stdout, &theirs);
    let pipes_met_it = strace.has_injected();

    let Some(strace) = Strace::new(injections, None) else { return };
    let home = scratch();
    let from = open(&file_with(home.path(), "from", &ours));
    let to = home.path().join("to");
    let (haul, mut peer) = CONNECTS
        .join_with(flags, |haul| haul.under(&strace.words).stdin(Input::Fd(from)).stdout(Sink::Fd(create(&to))));
    let sending = peer.send_in_thread(theirs.clone());
    assert_same("what was sent from a file", &peer.receive_all().0, &ours);
    assert_eq!(sending.join().unwrap(), theirs.len());
    drop(peer);
    haul.wait().ok();
    assert_same("what was received into a file", &fs::read(&to).unwrap(), &theirs);
    assert!(pipes_met_it || strace.has_injected(), "nothing was injected");
}

// Calls that move bytes are interrupted again and again: repeated, nothing lost, nothing twice.
#[test]
fn interrupted_reads_and_writes_are_repeated() {
    let moves = "recvfrom,recvmsg,readv,?write,writev,sendto,sendmsg,splice,?sendfile:error=EINTR:when=1+2";
    // the first reads are the loader's, which is not under test
    let reads = "?read:error=EINTR:when=12+2";
    bytes_stay_intact(&[], &[moves, reads]);
    bytes_stay_intact(&["--splice", "never"], &[moves, reads]);
    bytes_stay_intact(&["--splice", "never", "--block", "4Ki"], &[moves, reads]);
}

// Waiting is interrupted.
#[test]
fn interrupted_waits_are_repeated() {
    bytes_stay_intact(&[], &[&format!("{WAITS}:error=EINTR:when=2+2")]);
}

// splice refuses from the start, as some kernels and file systems do.
#[test]
#[cfg(not(feature = "portable"))]
fn splice_refused_from_the_start_falls_back() {
    for error in ["EINVAL", "ENOSYS"] {
        bytes_stay_intact(&[], &[&format!("splice:error={error}")]);
    }
}

// splice and sendfile both refuse.
#[test]
#[cfg(not(feature = "portable"))]
fn splice_and_sendfile_refused_fall_back() {
    bytes_stay_intact(&[], &["splice,sendfile:error=EINVAL"]);
    bytes_stay_intact(&[], &["splice,sendfile:error=ENOSYS"]);
}

// splice refuses in the middle, while bytes may be inside a kernel pipe: they come first, then the rest.
#[test]
#[cfg(not(feature = "portable"))]
fn splice_refused_in_the_middle_falls_back() {
    for error in ["EINVAL", "ENOSYS"] {
        for when in ["2+", "3+", "4+", "5+", "8+", "5"] {
            bytes_stay_intact(&[], &[&format!("splice:error={error}:when={when}")]);
        }
    }
}

// No kernel pipe is to be had: buffers do.
#[test]
#[cfg(not(feature = "portable"))]
fn a_refused_pipe_falls_back() {
    for error in ["EMFILE", "ENFILE"] {
        bytes_stay_intact(&[], &[&format!("pipe2:error={error}")]);
    }
}

// A disk that fills up under stdout, at once or later, is status 5.
#[test]
fn a_disk_that_fills_up_is_status_5() {
    for flags in [&[][..], &["--splice", "never"]] {
        for when in ["1+", "3+"] {
            let home = scratch();
            let to = home.path().join("to");
            let injection = format!("write,writev,splice,?sendfile,?pwrite64:error=ENOSPC:when={when}");
            let Some(strace) = Strace::new(&[&injection], Some(&to)) else { return };
            let file = create(&to);
            let (haul, peer) = CONNECTS.join_with(flags, |haul| haul.under(&strace.words).stdout(Sink::Fd(file)));
            let sending = peer.send_in_thread(bytes(123, 4 << 20));
            let haul = haul.wait();
            assert!(strace.has_injected());
            haul.code(5);
            let line = haul.one_error();
            assert!(line.contains("no space left on device"), "{line}");
            sending.join().unwrap();
        }
    }
}

// A read error in the middle of stdin is status 5, and the peer sees a reset and not an end.
#[test]
fn a_read_error_in_the_middle_is_status_5_and_a_reset() {
    let home = scratch();
    let path = file_with(home.path(), "from", &bytes(124, 8 << 20));
    for flags in [&[][..], &["--splice", "never"]] {
        let injection = "read,?pread64,readv,splice,?sendfile:error=EIO:when=3+";
        let Some(strace) = Strace::new(&[injection], Some(&path)) else { return };
        let from = open(&path);
        let (haul, mut peer) = CONNECTS.join_with(flags, |haul| haul.under(&strace.words).stdin(Input::Fd(from)));
        assert_eq!(peer.receive_all().1, Ending::Reset);
        let haul = haul.wait();
        assert!(strace.has_injected());
        haul.code(5);
        let line = haul.one_error();
        assert!(line.contains("input/output error"), "{line}");
    }
}

/// A listener whose first accepts fail still serves the connection behind them.
#[track_caller]
fn listener_survives(injection: &str) {
    let Some(strace) = Strace::new(&[injection], None) else { return };
    let haul: Program = haul(["listen", "127.0.0.1:0"]).under(&strace.words).stdin(Input::Bytes(b"welcome".to_vec()));
    let haul = haul.spawn();
    let mut peer = Peer::connect(haul.address());
    assert_eq!(peer.receive_all(), (b"welcome".to_vec(), Ending::Eof));
    peer.send(b"thanks");
    drop(peer);
    let haul = haul.wait();
    haul.code(0);
    assert_eq!(haul.stdout, b"thanks");
    assert!(strace.has_injected());
}

// A connection that was gone before it was accepted is not the listener's end.
#[test]
fn an_aborted_connection_does_not_end_the_listener() {
    for error in ["ECONNABORTED", "EPROTO", "EINTR", "ENETDOWN"] {
        listener_survives(&format!("accept4,?accept:error={error}:when=1"));
    }
}

// Descriptors that have run out come back; the listener waits and goes on.
#[test]
fn a_listener_out_of_descriptors_goes_on() {
    for error in ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] {
        listener_survives(&format!("accept4,?accept:error={error}:when=1..2"));
    }
}

// A socket that cannot be made is told with its cause, and is nobody's crash.
#[test]
fn a_socket_that_cannot_be_made_is_told() {
    let Some(strace) = Strace::new(&["socket:error=EMFILE"], None) else { return };
    for subcommand in ["listen", "connect"] {
        let ended = haul([subcommand, "127.0.0.1:1"]).under(&strace.words).run();
        ended.code(5).no_stdout();
        let line = ended.one_error();
        assert!(line.contains("too many open files"), "{line}");
    }
}
