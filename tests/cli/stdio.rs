//! Every kind of standard input and output, and that haul leaves the descriptors it was given as they were.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fcntl_getfl};
use rustix::process::Signal;

use crate::data::{assert_same, bytes};
use crate::harness::{DEADLINE, Ending, Input, Net, Role, Sink, Way, create, file_with, open, scratch};

const WAY: Way = Way { role: Role::Connects, net: Net::Tcp };

/// Options that choose how bytes are moved.
pub const CARRIERS: [&[&str]; 2] = [&[], &["--splice", "never"]];

/// Both ends of a pipe.
fn pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader.into(), writer.into())
}

/// Makes a FIFO and opens both its ends.
pub fn fifo(directory: &Path) -> (OwnedFd, OwnedFd) {
    let path = directory.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let reader = rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let writer = OpenOptions::new().write(true).open(&path).unwrap();
    rustix::fs::fcntl_setfl(&reader, OFlags::empty()).unwrap();
    (reader, writer.into())
}

/// Sends all that stdin gives; the peer must get it whole, then FIN.
#[track_caller]
fn stdin_is_sent(stdin: OwnedFd, flags: &[&str], want: &[u8], write: impl FnOnce()) {
    let before = fcntl_getfl(&stdin).unwrap();
    let kept = stdin.try_clone().unwrap();
    let (haul, mut peer) = WAY.join_with(flags, |haul| haul.stdin(Input::Fd(stdin)));
    write();
    let (got, ending) = peer.receive_all();
    assert_same("what stdin gave", &got, want);
    assert_eq!(ending, Ending::Eof);
    drop(peer);
    haul.wait().ok();
    assert_eq!(fcntl_getfl(&kept).unwrap(), before, "the flags of stdin were changed");
}

// A pipe on stdin.
#[test]
fn a_pipe_on_stdin_is_sent() {
    for flags in CARRIERS {
        let content = bytes(51, 300_001);
        let (reader, writer) = pipe();
        stdin_is_sent(reader, flags, &content, || File::from(writer).write_all(&content).unwrap());
    }
}

// A FIFO with a name on stdin.
#[test]
fn a_fifo_on_stdin_is_sent() {
    for flags in CARRIERS {
        let home = scratch();
        let content = bytes(52, 300_001);
        let (reader, writer) = fifo(home.path());
        stdin_is_sent(reader, flags, &content, || File::from(writer).write_all(&content).unwrap());
    }
}

// A socket on stdin.
#[test]
fn a_socket_on_stdin_is_sent() {
    for flags in CARRIERS {
        let content = bytes(53, 300_001);
        let (reader, mut writer) = UnixStream::pair().unwrap();
        stdin_is_sent(reader.into(), flags, &content, || {
            writer.write_all(&content).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
    }
}

// A file on stdin.
#[test]
fn a_file_on_stdin_is_sent() {
    for flags in CARRIERS {
        let home = scratch();
        let content = bytes(54, 300_001);
        let file = open(&file_with(home.path(), "in", &content));
        stdin_is_sent(file, flags, &content, || ());
    }
}

// A file without a size in /proc: it looks empty and is not.
#[test]
fn a_file_that_reports_no_size_is_sent() {
    for flags in CARRIERS {
        let path = Path::new("/proc/self/cmdline");
        let content = fs::read(path).unwrap();
        stdin_is_sent(open(path), flags, &content, || ());
    }
}

/// Receives `want` into stdout and ends.
#[track_caller]
pub fn stdout_receives(stdout: OwnedFd, flags: &[&str], want: &[u8], read: impl FnOnce()) {
    let before = fcntl_getfl(&stdout).unwrap();
    let kept = stdout.try_clone().unwrap();
    let (haul, peer) = WAY.join_with(flags, |haul| haul.stdout(Sink::Fd(stdout)));
    let sending = peer.send_in_thread(want.to_vec());
    read();
    assert_eq!(sending.join().unwrap(), want.len());
    drop(peer);
    haul.wait().ok();
    assert_eq!(fcntl_getfl(&kept).unwrap(), before, "the flags of stdout were changed");
}

/// Reads as many bytes as `want` has and compares them; the other end may be held open by the test itself.
#[track_caller]
fn read_back(mut from: impl Read, want: &[u8]) {
    let mut got = vec![0; want.len()];
    from.read_exact(&mut got).unwrap();
    assert_same("stdout", &got, want);
}

// A pipe on stdout.
#[test]
fn a_pipe_on_stdout_is_written() {
    for flags in CARRIERS {
        let content = bytes(61, 300_001);
        let (reader, writer) = pipe();
        stdout_receives(writer, flags, &content, || read_back(File::from(reader), &content));
    }
}

// A FIFO with a name on stdout.
#[test]
fn a_fifo_on_stdout_is_written() {
    for flags in CARRIERS {
        let home = scratch();
        let content = bytes(62, 300_001);
        let (reader, writer) = fifo(home.path());
        stdout_receives(writer, flags, &content, || read_back(File::from(reader), &content));
    }
}

// A socket on stdout.
#[test]
fn a_socket_on_stdout_is_written() {
    for flags in CARRIERS {
        let content = bytes(63, 300_001);
        let (reader, writer) = UnixStream::pair().unwrap();
        reader.set_read_timeout(Some(DEADLINE)).unwrap();
        stdout_receives(writer.into(), flags, &content, || read_back(&reader, &content));
    }
}

// One socket as both stdin and stdout, as under inetd: it is read, written, and ends each way by itself.
#[test]
fn one_socket_on_stdin_and_stdout_carries_both_directions() {
    for flags in CARRIERS {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(DEADLINE)).unwrap();
        let (stdin, stdout) = (OwnedFd::from(theirs.try_clone().unwrap()), OwnedFd::from(theirs));
        let (haul, mut peer) = WAY.join_with(flags, |haul| haul.stdin(Input::Fd(stdin)).stdout(Sink::Fd(stdout)));
        ours.write_all(b"question").unwrap();
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(peer.receive_all(), (b"question".to_vec(), Ending::Eof));
        let answer = bytes(64, 300_001);
        peer.send(&answer);
        drop(peer);
        let mut got = Vec::new();
        ours.read_to_end(&mut got).unwrap();
        assert_same("the answer", &got, &answer);
        haul.wait().ok();
    }
}

// A file on stdout: written at its current offset, as a shell's redirections in a group expect.
#[test]
fn a_file_on_stdout_is_written_at_its_offset() {
    for flags in CARRIERS {
        let home = scratch();
        let path = home.path().join("out");
        let content = bytes(65, 300_001);
        let mut file = File::create(&path).unwrap();
        file.write_all(b"before ").unwrap();
        let mut kept = file.try_clone().unwrap();
        stdout_receives(file.into(), flags, &content, || ());
        kept.write_all(b" after").unwrap();
        let want = [&b"before "[..], &content, b" after"].concat();
        assert_same("the file", &fs::read(&path).unwrap(), &want);
    }
}

// A file opened for appending (>>): splice refuses it, and nothing is lost or overwritten.
#[test]
fn a_file_opened_for_appending_is_appended_to() {
    for flags in CARRIERS {
        let home = scratch();
        let path = file_with(home.path(), "log", b"earlier ");
        let content = bytes(66, 300_001);
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        stdout_receives(file.into(), flags, &content, || ());
        assert_same("the log", &fs::read(&path).unwrap(), &[&b"earlier "[..], &content].concat());
    }
}

// The null device on stdout takes everything.
#[test]
fn a_null_stdout_takes_everything() {
    for flags in CARRIERS {
        let null = OwnedFd::from(OpenOptions::new().write(true).open("/dev/null").unwrap());
        stdout_receives(null, flags, &bytes(68, 300_001), || ());
    }
}

// A closed stdout: the bytes have nowhere to go, which is not a success, and never go into a socket with number 1.
#[test]
fn bytes_for_a_closed_stdout_are_not_a_success() {
    let (haul, mut peer) = WAY.join_with(&[], |haul| haul.after("exec 1>&-"));
    peer.send(b"lost");
    peer.finish();
    assert_same("what came back", &peer.receive_all().0, b"");
    haul.wait().code(5).one_error();
}

// A closed stdout that is never needed is no failure.
#[test]
fn a_closed_stdout_that_is_not_needed_is_no_failure() {
    let (haul, mut peer) =
        WAY.join_with(&["--send-only"], |haul| haul.after("exec 1>&-").stdin(Input::Bytes(b"sent".to_vec())));
    assert_eq!(peer.receive_all(), (b"sent".to_vec(), Ending::Eof));
    drop(peer);
    haul.wait().ok();
}

/// Flags of a shared description while haul uses it, and after it was killed without a chance to clean up.
#[track_caller]
pub fn flags_survive_a_kill(stdin: OwnedFd, stdout: OwnedFd, speak: impl FnOnce(), hear: impl FnOnce(&[u8])) {
    let (in_kept, out_kept) = (stdin.try_clone().unwrap(), stdout.try_clone().unwrap());
    let flags = |what: &OwnedFd| fcntl_getfl(what.as_fd()).unwrap();
    let before = (flags(&in_kept), flags(&out_kept));
    let (haul, mut peer) = WAY.join_with(&[], |haul| haul.stdin(Input::Fd(stdin)).stdout(Sink::Fd(stdout)));
    speak();
    assert_eq!(peer.receive(6), b"spoken");
    peer.send(b"heard\n");
    hear(b"heard\n");
    assert_eq!((flags(&in_kept), flags(&out_kept)), before, "flags changed while haul runs");
    haul.signal(Signal::KILL);
    haul.wait().killed_by(Signal::KILL);
    assert_eq!((flags(&in_kept), flags(&out_kept)), before, "flags changed after haul was killed");
}

// Pipes shared with others are never made non-blocking.
#[test]
fn flags_of_pipes_are_never_touched() {
    let (reader, writer) = pipe();
    let (out_reader, out_writer) = pipe();
    flags_survive_a_kill(
        reader,
        out_writer,
        || File::from(writer.try_clone().unwrap()).write_all(b"spoken").unwrap(),
        |want| read_back(File::from(out_reader), want),
    );
    drop(writer);
}

// Sockets shared with others are never made non-blocking.
#[test]
fn flags_of_sockets_are_never_touched() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    flags_survive_a_kill(
        theirs.try_clone().unwrap().into(),
        theirs.into(),
        || (&ours).write_all(b"spoken").unwrap(),
        |want| read_back(&ours, want),
    );
}

// Files shared with others keep their flags.
#[test]
fn flags_of_files_are_never_touched() {
    let home = scratch();
    let (input, output) = (file_with(home.path(), "in", b"spoken"), home.path().join("out"));
    flags_survive_a_kill(
        open(&input),
        create(&output),
        || (),
        |want| {
            crate::harness::poll_until("the file", || (fs::read(&output).unwrap() == want).then_some(()));
        },
    );
}
