//! Results that the kernel gives seldom, forced by strace: interrupted calls, refused splices, a full disk, a failed
//! accept. Bytes stay intact, or the failure has its status.

use std::fs;
use std::path::PathBuf;

use crate::data::{assert_same, bytes};
use crate::harness::{
    Ending, Input, Net, Peer, Program, Role, Sink, Way, create, file_with, haul, open, require, scratch,
};

const CONNECTS: Way = Way { role: Role::Connects, net: Net::Tcp };

/// All that moves bytes, and all that waits; a question mark is for names that an architecture may lack.
const MOVES: &str = "?read,readv,?recv,recvfrom,recvmsg,?write,writev,?send,sendto,sendmsg,splice,?sendfile,?tee";
const WAITS: &str = "?epoll_wait,?epoll_pwait,?epoll_pwait2,?poll,?ppoll";

/// strace with these injections; its own output goes to the null device.
fn strace(injections: &[String]) -> Option<Vec<String>> {
    let strace: PathBuf = require("strace")?;
    let mut words = vec![strace.to_str()?.to_string(), "-f".into(), "-qq".into(), "-o".into(), "/dev/null".into()];
    for injection in injections {
        let calls = injection.split(':').next()?;
        words.extend(["-e".into(), format!("trace={calls}"), "-e".into(), format!("inject={injection}")]);
    }
    Some(words)
}

/// Sends and receives a megabyte each way, from and to pipes and then files, under the injection.
#[track_caller]
fn bytes_stay_intact(flags: &[&str], injections: &[String]) {
    let Some(wrapper) = strace(injections) else { return };
    let (ours, theirs) = (bytes(121, (1 << 20) + 1), bytes(122, (1 << 20) + 1));

    let (haul, mut peer) = CONNECTS.join_with(flags, |haul| haul.under(&wrapper).stdin(Input::Bytes(ours.clone())));
    let sending = peer.send_in_thread(theirs.clone());
    assert_same("what was sent from a pipe", &peer.receive_all().0, &ours);
    assert_eq!(sending.join().unwrap(), theirs.len());
    drop(peer);
    let haul = haul.wait();
    haul.ok();
    assert_same("what was received into a pipe", &haul.stdout, &theirs);

    let home = scratch();
    let from = open(&file_with(home.path(), "from", &ours));
    let to = home.path().join("to");
    let (haul, mut peer) =
        CONNECTS.join_with(flags, |haul| haul.under(&wrapper).stdin(Input::Fd(from)).stdout(Sink::Fd(create(&to))));
    let sending = peer.send_in_thread(theirs.clone());
    assert_same("what was sent from a file", &peer.receive_all().0, &ours);
    assert_eq!(sending.join().unwrap(), theirs.len());
    drop(peer);
    haul.wait().ok();
    assert_same("what was received into a file", &fs::read(&to).unwrap(), &theirs);
}

// Calls that move bytes are interrupted again and again: repeated, nothing lost, nothing twice.
#[test]
fn interrupted_reads_and_writes_are_repeated() {
    // the first calls are the loader's, which is not under test
    let injection = format!("{MOVES}:error=EINTR:when=12+3");
    bytes_stay_intact(&[], std::slice::from_ref(&injection));
    bytes_stay_intact(&["--splice", "never"], &[injection]);
}

// Waiting is interrupted.
#[test]
fn interrupted_waits_are_repeated() {
    bytes_stay_intact(&[], &[format!("{WAITS}:error=EINTR:when=2+2")]);
}

// splice refuses from the start, as some kernels and file systems do.
#[test]
fn splice_refused_from_the_start_falls_back() {
    for error in ["EINVAL", "ENOSYS"] {
        bytes_stay_intact(&[], &[format!("splice:error={error}")]);
    }
}

// splice and sendfile both refuse.
#[test]
fn splice_and_sendfile_refused_fall_back() {
    bytes_stay_intact(&[], &["splice,sendfile:error=EINVAL".to_string()]);
    bytes_stay_intact(&[], &["splice,sendfile:error=ENOSYS".to_string()]);
}

// splice refuses in the middle, while bytes may be inside a kernel pipe: they come first, then the rest.
#[test]
fn splice_refused_in_the_middle_falls_back() {
    for error in ["EINVAL", "ENOSYS"] {
        for when in ["2+", "3+", "4+", "5+", "8+", "5"] {
            bytes_stay_intact(&[], &[format!("splice:error={error}:when={when}")]);
        }
    }
}

// No kernel pipe is to be had: buffers do.
#[test]
fn a_refused_pipe_falls_back() {
    for error in ["EMFILE", "ENFILE"] {
        // the first pipe may be the signals' or the runtime's
        bytes_stay_intact(&[], &[format!("pipe2:error={error}:when=2+")]);
    }
}

// A disk that fills up under stdout, at once or later, is status 5.
#[test]
fn a_disk_that_fills_up_is_status_5() {
    for (flags, when) in [(&[][..], "1+"), (&[], "3+"), (&["--splice", "never"], "1+"), (&["--splice", "never"], "3+")]
    {
        let home = scratch();
        let to = home.path().join("to");
        let Some(mut wrapper) = strace(&[]) else { return };
        wrapper.extend(
            ["-P", to.to_str().unwrap(), "-e", "trace=write,writev,splice,?sendfile,?pwrite64"].map(String::from),
        );
        wrapper
            .extend(["-e".into(), format!("inject=write,writev,splice,?sendfile,?pwrite64:error=ENOSPC:when={when}")]);
        let file = create(&to);
        let (haul, peer) = CONNECTS.join_with(flags, |haul| haul.under(&wrapper).stdout(Sink::Fd(file)));
        let sending = peer.send_in_thread(bytes(123, 4 << 20));
        let haul = haul.wait();
        haul.code(5);
        let line = haul.one_error();
        assert!(line.contains("no space left on device"), "{line}");
        sending.join().unwrap();
    }
}

// A read error in the middle of stdin is status 5, and the peer sees a reset and not an end.
#[test]
fn a_read_error_in_the_middle_is_status_5_and_a_reset() {
    let home = scratch();
    let path = file_with(home.path(), "from", &bytes(124, 8 << 20));
    for flags in [&[][..], &["--splice", "never"]] {
        let Some(mut wrapper) = strace(&[]) else { return };
        wrapper.extend(
            ["-P", path.to_str().unwrap(), "-e", "trace=read,?pread64,readv,splice,?sendfile"].map(String::from),
        );
        wrapper.extend(["-e", "inject=read,?pread64,readv,splice,?sendfile:error=EIO:when=3+"].map(String::from));
        let from = open(&path);
        let (haul, mut peer) = CONNECTS.join_with(flags, |haul| haul.under(&wrapper).stdin(Input::Fd(from)));
        assert_eq!(peer.receive_all().1, Ending::Reset);
        let haul = haul.wait();
        haul.code(5);
        let line = haul.one_error();
        assert!(line.contains("input/output error"), "{line}");
    }
}

/// A listener whose first accepts fail still serves the connection behind them.
#[track_caller]
fn listener_survives(injection: &str) {
    let Some(wrapper) = strace(&[injection.to_string()]) else { return };
    let haul: Program = haul(["listen", "127.0.0.1:0"]).under(&wrapper).stdin(Input::Bytes(b"welcome".to_vec()));
    let haul = haul.spawn();
    let mut peer = Peer::connect(haul.address());
    assert_eq!(peer.receive_all(), (b"welcome".to_vec(), Ending::Eof));
    peer.send(b"thanks");
    drop(peer);
    let haul = haul.wait();
    haul.code(0);
    assert_eq!(haul.stdout, b"thanks");
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
    let Some(wrapper) = strace(&["socket:error=EMFILE".to_string()]) else { return };
    for (subcommand, code) in [("listen", 2), ("connect", 1)] {
        let ended = haul([subcommand, "127.0.0.1:1"]).under(&wrapper).run();
        ended.code(code).no_stdout();
        let line = ended.one_error();
        assert!(line.contains("too many open files"), "{line}");
    }
}
