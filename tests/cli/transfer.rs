//! haul to haul: every byte arrives, and both sides end by themselves with status 0.

use std::fs;
use std::path::Path;

use crate::data::{FEW_SIZES, SIZES, assert_same, bytes};
use crate::harness::{Input, Program, Running, Sink, create, file_with, haul, open, proc, scratch};

/// What carries the bytes.
#[derive(Clone, Copy, Debug)]
enum Carrier {
    Tcp4,
    Tcp6,
    Unix,
    Abstract,
    Seqpacket,
}

/// Starts both sides with these flags on each; `prepare` gives them their input and output.
#[track_caller]
fn pair(
    carrier: Carrier,
    home: &Path,
    flags: &[&str],
    listener: impl FnOnce(Program) -> Program,
    connector: impl FnOnce(Program) -> Program,
) -> (Running, Running) {
    let path = home.join("s");
    let unique = home.file_name().unwrap().to_str().unwrap();
    let endpoint = match carrier {
        Carrier::Tcp4 => "127.0.0.1:0".to_string(),
        Carrier::Tcp6 => "::1/0".to_string(),
        Carrier::Unix => format!("unix:{}", path.display()),
        Carrier::Abstract => format!("@{unique}"),
        Carrier::Seqpacket => format!("unix,seqpacket:{}", path.display()),
    };
    let words = |subcommand: &str, endpoint: &str| {
        let mut words = vec![subcommand.to_string()];
        words.extend(flags.iter().map(|flag| flag.to_string()));
        words.push(endpoint.to_string());
        words
    };
    let listening = listener(haul(words("listen", &endpoint))).spawn();
    let endpoint = match carrier {
        Carrier::Tcp4 => listening.address().to_string(),
        Carrier::Tcp6 => format!("::1/{}", listening.address().port()),
        Carrier::Abstract => {
            proc::wait_for_unix_listener(Path::new(&endpoint));
            endpoint
        }
        Carrier::Unix | Carrier::Seqpacket => {
            proc::wait_for_unix_listener(&path);
            endpoint
        }
    };
    let connecting = connector(haul(words("connect", &endpoint))).spawn();
    (listening, connecting)
}

/// One file each way at once, by files; both sides' inputs and outputs differ.
fn files_cross(carrier: Carrier, flags: &[&str], sizes: &[usize]) {
    for &size in sizes {
        let home = scratch();
        let (left, right) = (bytes(1, size), bytes(2, size));
        let from_left = open(&file_with(home.path(), "left", &left));
        let from_right = open(&file_with(home.path(), "right", &right));
        let (to_left, to_right) = (home.path().join("to-left"), home.path().join("to-right"));
        let (listening, connecting) = pair(
            carrier,
            home.path(),
            flags,
            |haul| haul.stdin(Input::Fd(from_left)).stdout(Sink::Fd(create(&to_left))),
            |haul| haul.stdin(Input::Fd(from_right)).stdout(Sink::Fd(create(&to_right))),
        );
        connecting.wait().ok();
        listening.wait().ok();
        assert_same(&format!("{size} bytes to the connector"), &fs::read(&to_right).unwrap(), &left);
        assert_same(&format!("{size} bytes to the listener"), &fs::read(&to_left).unwrap(), &right);
    }
}

/// One stream each way at once, by pipes.
fn pipes_cross(carrier: Carrier, flags: &[&str], sizes: &[usize]) {
    for &size in sizes {
        let home = scratch();
        let (left, right) = (bytes(3, size), bytes(4, size));
        let (listening, connecting) = pair(
            carrier,
            home.path(),
            flags,
            |haul| haul.stdin(Input::Bytes(left.clone())),
            |haul| haul.stdin(Input::Bytes(right.clone())),
        );
        let connecting = connecting.wait();
        let listening = listening.wait();
        connecting.ok();
        listening.ok();
        assert_same(&format!("{size} bytes to the connector"), &connecting.stdout, &left);
        assert_same(&format!("{size} bytes to the listener"), &listening.stdout, &right);
    }
}

// Files of every size cross over IPv4.
#[test]
fn files_cross_over_tcp4() {
    files_cross(Carrier::Tcp4, &[], &SIZES);
}

// Files cross over IPv6.
#[test]
fn files_cross_over_tcp6() {
    files_cross(Carrier::Tcp6, &[], &FEW_SIZES);
}

// Files of every size cross over a Unix stream socket.
#[test]
fn files_cross_over_unix() {
    files_cross(Carrier::Unix, &[], &SIZES);
}

// Files cross over a Unix socket without a file.
#[test]
fn files_cross_over_an_abstract_name() {
    files_cross(Carrier::Abstract, &[], &FEW_SIZES);
}

// Files of every size cross where a read is a message: none may be cut.
#[test]
fn files_cross_over_seqpacket() {
    files_cross(Carrier::Seqpacket, &[], &SIZES);
}

// The same without the kernel's help: every byte through a buffer.
#[test]
fn files_cross_without_splice() {
    files_cross(Carrier::Tcp4, &["--splice", "never"], &SIZES);
    files_cross(Carrier::Unix, &["--splice", "never"], &FEW_SIZES);
}

// Pipes of every size cross over IPv4.
#[test]
fn pipes_cross_over_tcp4() {
    pipes_cross(Carrier::Tcp4, &[], &SIZES);
}

// Pipes cross over IPv6.
#[test]
fn pipes_cross_over_tcp6() {
    pipes_cross(Carrier::Tcp6, &[], &FEW_SIZES);
}

// Pipes of every size cross over a Unix stream socket.
#[test]
fn pipes_cross_over_unix() {
    pipes_cross(Carrier::Unix, &[], &SIZES);
}

// Pipes cross over a Unix socket without a file.
#[test]
fn pipes_cross_over_an_abstract_name() {
    pipes_cross(Carrier::Abstract, &[], &FEW_SIZES);
}

// Pipes cross where a read is a message.
#[test]
fn pipes_cross_over_seqpacket() {
    pipes_cross(Carrier::Seqpacket, &[], &SIZES);
}

// The same without the kernel's help.
#[test]
fn pipes_cross_without_splice() {
    pipes_cross(Carrier::Tcp4, &["--splice", "never"], &SIZES);
    pipes_cross(Carrier::Unix, &["--splice", "never"], &FEW_SIZES);
}

// Small blocks and a small buffer change nothing but the speed.
#[test]
fn odd_block_and_buffer_sizes_lose_nothing() {
    pipes_cross(Carrier::Tcp4, &["--block", "1000", "--buffer", "3000"], &[0, 1, 65_537, 300_001]);
    files_cross(Carrier::Unix, &["--block", "1Ki", "--splice", "never"], &[65_537]);
}

// The file's current offset is where reading begins: what a shell's `read` has taken is not sent again.
#[test]
fn a_file_on_stdin_is_sent_from_its_current_offset() {
    use std::io::{Seek, SeekFrom};
    let home = scratch();
    let all = bytes(5, 100_000);
    let path = file_with(home.path(), "in", &all);
    let mut file = fs::File::open(&path).unwrap();
    file.seek(SeekFrom::Start(33_333)).unwrap();
    let (listening, connecting) =
        pair(Carrier::Tcp4, home.path(), &[], |haul| haul, |haul| haul.stdin(Input::Fd(file.into())));
    connecting.wait().ok();
    let listening = listening.wait();
    listening.ok();
    assert_same("the rest of the file", &listening.stdout, &all[33_333..]);
}

// One side sends, the other only listens: the first line of the manual.
#[test]
fn a_one_way_copy_ends_by_itself_on_both_sides() {
    let home = scratch();
    let content = bytes(6, (5 << 20) + 3);
    let from = open(&file_with(home.path(), "out.tar", &content));
    let to = home.path().join("in.tar");
    let (listening, connecting) = pair(
        Carrier::Tcp4,
        home.path(),
        &[],
        |haul| haul.stdout(Sink::Fd(create(&to))),
        |haul| haul.stdin(Input::Fd(from)),
    );
    connecting.wait().ok().no_stdout();
    listening.wait().ok();
    assert_same("the copy", &fs::read(&to).unwrap(), &content);
}

// A rate limit slows the transfer and loses nothing.
#[test]
fn a_rate_limit_keeps_every_byte() {
    pipes_cross(Carrier::Tcp4, &["-L", "1M"], &[300_001]);
    files_cross(Carrier::Tcp4, &["-L", "1M"], &[300_001]);
}
