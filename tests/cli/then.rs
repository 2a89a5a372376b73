//! `--then`: a command beside its server, from the bound port to the exit status.

use std::path::Path;

use rustix::process::Signal;

use crate::harness::{Peer, haul, poll_until, scratch};

// {port} and {addr} are those of the listener, which already takes connections; the server ends with the command.
#[test]
fn then_runs_against_the_bound_port() {
    let haul_again = env!("CARGO_BIN_EXE_haul");
    let command = format!("echo hello | '{haul_again}' connect --after-peer-eof send {{addr}} {{port}}");
    let ended = haul(["listen", "127.0.0.1", "0", "--then", &command, "--", "cat"]).run();
    ended.ok();
    assert_eq!(ended.stdout, b"hello\n");
}

// {addr} of a listener on every address is one that can be connected to, and that of a Unix socket is its path.
#[test]
fn then_is_given_an_address_that_can_be_connected_to() {
    let ended = haul(["listen", "0", "--then", "echo {addr} >&2"]).run();
    assert_eq!(ended.code(0).complaints(), "127.0.0.1\n");
    let home = scratch();
    let path = home.path().join("s");
    let ended = haul(["listen", "-U", path.to_str().unwrap(), "--then", "echo {addr}"]).run();
    assert_eq!(ended.code(0).complaints(), format!("{}\n", path.display()));
    assert!(!path.exists(), "the socket's file stays");
}

// Its status is haul's, a signal that ended it is 128 and its number, whatever the sessions did.
#[test]
fn the_status_of_then_is_that_of_haul() {
    let open = |port| format!("'{}' connect -z --wait 9s 127.0.0.1 {port}", env!("CARGO_BIN_EXE_haul"));
    for (command, status) in [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("exec /nonexistent/x", 127)] {
        for program in [&[][..], &["-c", "exit 9"]] {
            let then = format!("{} && {command}", open("{port}"));
            let ended = haul([&["listen", "127.0.0.1:0", "--then", &then], program].concat()).run();
            assert_eq!(ended.status.code(), Some(status), "{command}: {}", ended.stderr);
        }
    }
}

// Its standard input is the null device; its output is haul's only where no payload goes there.
#[test]
fn the_output_of_then_does_not_mix_with_payload() {
    let beside_payload = haul(["listen", "127.0.0.1:0", "--then", "cat; echo said"]).run();
    beside_payload.code(0).no_stdout();
    assert_eq!(beside_payload.complaints(), "said\n");
    let beside_programs = haul(["listen", "127.0.0.1:0", "--then", "cat; echo said", "--", "cat"]).run();
    beside_programs.ok();
    assert_eq!(beside_programs.stdout, b"said\n");
}

// What is not bound is not tested: the command does not run.
#[test]
fn then_does_not_run_when_nothing_is_bound() {
    let home = scratch();
    let mark = home.path().join("ran");
    let taken = haul(["listen", "127.0.0.1:0"]).spawn();
    let command = format!("touch '{}'", mark.display());
    let ended = haul(["listen", &taken.address().to_string(), "--then", &command]).run();
    ended.code(2);
    ended.one_error();
    assert!(!mark.exists());
}

// Sessions that go on when the command has ended get --grace, and their programs are killed after it.
#[test]
fn what_outlives_then_is_ended() {
    let home = scratch();
    let mark = home.path().join("id");
    let program = format!("trap '' HUP TERM; echo $$ > '{}'; while :; do sleep 0.1; done", mark.display());
    let then = format!("while ! [ -s '{}' ]; do sleep 0.05; done; exit 5", mark.display());
    let words = ["listen", "127.0.0.1:0", "--grace", "200ms", "--then", &then, "-c", &program];
    let server = haul(words).spawn();
    let mut peer = Peer::connect(server.address());
    server.wait().code(5);
    peer.receive_all();
    let id = std::fs::read_to_string(&mark).unwrap();
    poll_until("the program's end", || (!Path::new(&format!("/proc/{}", id.trim())).exists()).then_some(()));
}

// A server that is told to end ends its command too.
#[test]
fn a_signal_ends_the_command_of_then() {
    let home = scratch();
    let mark = home.path().join("id");
    let then = format!("echo $$ > '{}'; exec sleep 1000", mark.display());
    let server = haul(["listen", "127.0.0.1:0", "--grace", "200ms", "--then", &then]).spawn();
    let id = poll_until("the command", || {
        let text = std::fs::read_to_string(&mark).ok()?;
        text.ends_with('\n').then_some(text)
    });
    server.signal(Signal::TERM);
    let ended = server.wait();
    assert_ne!(ended.status.code(), None, "ended with {}", ended.status);
    poll_until("the command's end", || (!Path::new(&format!("/proc/{}", id.trim())).exists()).then_some(()));
}

// A count that is reached ends the accepting, not the command: its status is still haul's.
#[test]
fn a_count_that_is_reached_leaves_then_its_time() {
    let haul_again = env!("CARGO_BIN_EXE_haul");
    let command = format!("echo x | '{haul_again}' connect {{addr}} {{port}}; echo later >&2; exit 6");
    for flags in [&["--count", "1", "-k"][..], &["--count", "1"], &["--count", "1", "--fan-out"]] {
        let ended = haul([&["listen", "127.0.0.1:0", "--then", &command][..], flags].concat()).run();
        assert_eq!((ended.status.code(), ended.complaints().as_str()), (Some(6), "later\n"), "{flags:?}");
    }
}
