//! haul against nc.openbsd, ncat and socat: in both roles, in both directions, sizes that straddle buffer edges.

use std::fs;
use std::path::{Path, PathBuf};

use crate::data::{assert_same, bytes};
use crate::harness::{Ended, Input, Program, Running, Sink, create, file_with, haul, open, proc, require, scratch};

const SIZES: [usize; 6] = [0, 1, 65_535, 65_537, (256 << 10) + 1, (5 << 20) + 3];

/// Who has the file.
#[derive(Clone, Copy)]
enum Sender {
    Haul,
    Tool,
}

/// Starts a tool and waits until it listens on the TCP port of its choice.
#[track_caller]
fn tool_listening(tool: Program) -> (Running, String) {
    let running = tool.spawn();
    let port = proc::listening_port(running.pid());
    (running, format!("127.0.0.1:{port}"))
}

/// haul connects to a tool that listens; one of them sends a file.
#[track_caller]
fn haul_connects(tool: &Path, words: &[&str], sender: Sender, haul_flags: &[&str]) {
    for size in SIZES {
        run_pair(size, sender, |tool_gets, haul_gets| {
            let (tool, endpoint) = tool_listening(tool_gets(Program::new(tool, words)));
            let mut line = vec!["connect"];
            line.extend(haul_flags);
            line.push(&endpoint);
            (tool, haul_gets(haul(line)).spawn())
        });
    }
}

/// haul listens and a tool connects; `words` are given with the port as `PORT`.
#[track_caller]
fn haul_listens(tool: &Path, words: &[&str], sender: Sender) {
    for size in SIZES {
        run_pair(size, sender, |tool_gets, haul_gets| {
            let haul = haul_gets(haul(["listen", "127.0.0.1:0"])).spawn();
            let port = haul.address().port().to_string();
            let words: Vec<_> = words.iter().map(|word| word.replace("PORT", &port)).collect();
            (tool_gets(Program::new(tool, words)).spawn(), haul)
        });
    }
}

type Gets<'a> = &'a mut dyn FnMut(Program) -> Program;

/// Gives the sender a file and the receiver a place for it; both must end with status 0 and the same bytes.
#[track_caller]
fn run_pair(size: usize, sender: Sender, start: impl FnOnce(Gets, Gets) -> (Running, Running)) {
    let home = scratch();
    let content = bytes(size as u64, size);
    let from = file_with(home.path(), "from", &content);
    let to = home.path().join("to");
    let mut sends = |program: Program| program.stdin(Input::Fd(open(&from)));
    let mut receives = |program: Program| program.stdout(Sink::Fd(create(&to)));
    let (tool, haul): (Running, Running) = match sender {
        Sender::Haul => start(&mut receives, &mut sends),
        Sender::Tool => start(&mut sends, &mut receives),
    };
    let haul: Ended = haul.wait();
    let tool: Ended = tool.wait();
    haul.ok();
    tool.code(0);
    assert_same(&format!("the file of {size} bytes"), &fs::read(&to).unwrap(), &content);
}

// haul sends to a listening nc.
#[test]
fn haul_connects_and_sends_to_nc() {
    let Some(nc) = require("nc") else { return };
    haul_connects(&nc, &["-l", "127.0.0.1", "0"], Sender::Haul, &[]);
}

// A listening nc sends: it stops at the first FIN, so haul is told to send none.
#[test]
fn haul_connects_and_receives_from_nc() {
    let Some(nc) = require("nc") else { return };
    haul_connects(&nc, &["-l", "-N", "127.0.0.1", "0"], Sender::Tool, &["-d"]);
}

// nc connects and sends, with -N as its users type it.
#[test]
fn haul_listens_and_receives_from_nc() {
    let Some(nc) = require("nc") else { return };
    haul_listens(&nc, &["-N", "127.0.0.1", "PORT"], Sender::Tool);
}

// nc connects and receives.
#[test]
fn haul_listens_and_sends_to_nc() {
    let Some(nc) = require("nc") else { return };
    haul_listens(&nc, &["127.0.0.1", "PORT"], Sender::Haul);
}

// haul sends to a listening ncat.
#[test]
fn haul_connects_and_sends_to_ncat() {
    let Some(ncat) = require("ncat") else { return };
    haul_connects(&ncat, &["-l", "127.0.0.1", "0"], Sender::Haul, &[]);
    haul_connects(&ncat, &["-l", "--recv-only", "127.0.0.1", "0"], Sender::Haul, &[]);
}

// A listening ncat sends.
#[test]
fn haul_connects_and_receives_from_ncat() {
    let Some(ncat) = require("ncat") else { return };
    haul_connects(&ncat, &["-l", "--send-only", "127.0.0.1", "0"], Sender::Tool, &["-d"]);
}

// ncat connects and sends.
#[test]
fn haul_listens_and_receives_from_ncat() {
    let Some(ncat) = require("ncat") else { return };
    haul_listens(&ncat, &["--send-only", "127.0.0.1", "PORT"], Sender::Tool);
    haul_listens(&ncat, &["127.0.0.1", "PORT"], Sender::Tool);
}

// ncat connects and receives.
#[test]
fn haul_listens_and_sends_to_ncat() {
    let Some(ncat) = require("ncat") else { return };
    haul_listens(&ncat, &["--recv-only", "127.0.0.1", "PORT"], Sender::Haul);
    haul_listens(&ncat, &["127.0.0.1", "PORT"], Sender::Haul);
}

// haul sends to a listening socat.
#[test]
fn haul_connects_and_sends_to_socat() {
    let Some(socat) = require("socat") else { return };
    haul_connects(&socat, &["-u", "TCP-LISTEN:0,bind=127.0.0.1", "-"], Sender::Haul, &[]);
    haul_connects(&socat, &["-t30", "TCP-LISTEN:0,bind=127.0.0.1", "-"], Sender::Haul, &[]);
}

// A listening socat sends.
#[test]
fn haul_connects_and_receives_from_socat() {
    let Some(socat) = require("socat") else { return };
    haul_connects(&socat, &["-u", "-", "TCP-LISTEN:0,bind=127.0.0.1"], Sender::Tool, &[]);
    haul_connects(&socat, &["-t30", "-", "TCP-LISTEN:0,bind=127.0.0.1"], Sender::Tool, &[]);
}

// socat connects and sends.
#[test]
fn haul_listens_and_receives_from_socat() {
    let Some(socat) = require("socat") else { return };
    haul_listens(&socat, &["-u", "-", "TCP:127.0.0.1:PORT"], Sender::Tool);
    haul_listens(&socat, &["-t30", "-", "TCP:127.0.0.1:PORT"], Sender::Tool);
}

// socat connects and receives.
#[test]
fn haul_listens_and_sends_to_socat() {
    let Some(socat) = require("socat") else { return };
    haul_listens(&socat, &["-u", "TCP:127.0.0.1:PORT", "-"], Sender::Haul);
    haul_listens(&socat, &["-t30", "TCP:127.0.0.1:PORT", "-"], Sender::Haul);
}

/// haul listens on a Unix socket, `tool` connects to it, and both send a file at once.
#[track_caller]
fn files_cross_over_unix(haul_endpoint: &str, listens_on: &Path, tool: impl Fn() -> Program) {
    for size in SIZES {
        let home = scratch();
        let (ours, theirs) = (bytes(81, size), bytes(82, size));
        let from = open(&file_with(home.path(), "from", &ours));
        let haul = haul(["listen", haul_endpoint]).stdin(Input::Fd(from)).spawn();
        proc::wait_for_unix_listener(listens_on);
        let their_file = open(&file_with(home.path(), "theirs", &theirs));
        let tool = tool().stdin(Input::Fd(their_file)).spawn().wait();
        let haul = haul.wait();
        haul.ok();
        tool.code(0);
        assert_same("what haul received", &haul.stdout, &theirs);
        assert_same("what the tool received", &tool.stdout, &ours);
    }
}

// Over a Unix socket with nc: files cross.
#[test]
fn files_cross_with_nc_over_unix() {
    let Some(nc) = require("nc") else { return };
    let home = scratch();
    let path = home.path().join("s");
    let endpoint = format!("unix:{}", path.display());
    files_cross_over_unix(&endpoint, &path, || Program::new(&nc, ["-N".as_ref(), "-U".as_ref(), path.as_os_str()]));
}

// Over a Unix socket, an abstract name and a seqpacket socket with socat: files cross.
#[test]
fn files_cross_with_socat_over_unix() {
    let Some(socat) = require("socat") else { return };
    let home = scratch();
    let path = home.path().join("s");
    let name = home.path().file_name().unwrap().to_str().unwrap();
    for (endpoint, listens_on, address) in [
        (format!("unix:{}", path.display()), path.clone(), format!("UNIX-CONNECT:{}", path.display())),
        (format!("@{name}"), PathBuf::from(format!("@{name}")), format!("ABSTRACT-CONNECT:{name}")),
    ] {
        files_cross_over_unix(&endpoint, &listens_on, || Program::new(&socat, ["-t30", "-", &address]));
    }
}

// Over seqpacket socat's messages arrive, each whole.
#[test]
fn seqpacket_messages_of_socat_arrive() {
    let Some(socat) = require("socat") else { return };
    let home = scratch();
    let path = home.path().join("s");
    let content = bytes(83, 100_001);
    let haul = haul(["listen", &format!("unix,seqpacket:{}", path.display())]).spawn();
    proc::wait_for_unix_listener(&path);
    let address = format!("UNIX-CONNECT:{},type=5", path.display());
    let tool = Program::new(&socat, ["-u", "-", &address]).stdin(Input::Bytes(content.clone())).run();
    tool.code(0);
    let haul = haul.wait();
    haul.ok();
    assert_same("what haul received", &haul.stdout, &content);
}

// A tool that is killed in the middle leaves haul with what came; the network cannot tell it from an end.
#[test]
fn a_killed_nc_leaves_what_it_sent() {
    let Some(nc) = require("nc") else { return };
    let haul = haul(["listen", "127.0.0.1:0"]).spawn();
    let port = haul.address().port().to_string();
    let mut nc = Program::new(nc, ["127.0.0.1", &port]).stdin(Input::Piped).spawn();
    nc.say(b"half of it");
    haul.stdout_reaches(10);
    nc.signal(rustix::process::Signal::KILL);
    let haul = haul.wait();
    haul.code(0);
    assert_eq!(haul.stdout, b"half of it");
}
