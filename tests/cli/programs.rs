//! Programs joined to connections: what reaches them, what they leave behind, how their end and the peer's meet.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
#[cfg(not(feature = "portable"))]
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::data::{assert_same, bytes};
use crate::harness::{
    Ending, Input, Listener, Peer, Program, Running, file_with, haul, poll_until, proc, require, scratch,
};

/// `listen -k` with these flags and a command of the shell for each connection.
#[track_caller]
fn server(flags: &[&str], command: &str) -> Running {
    haul([&["listen", "-k", "127.0.0.1:0"], flags, &["-c", command]].concat()).spawn()
}

/// Ends a server; it must have had nothing to complain about.
#[track_caller]
fn stop(server: Running) {
    server.signal(Signal::TERM);
    server.wait().ok();
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// A line of what the program says, up to its newline.
#[track_caller]
fn line(peer: &mut Peer) -> String {
    let mut line = Vec::new();
    loop {
        match peer.receive(1)[0] {
            b'\n' => return text(line),
            byte => line.push(byte),
        }
    }
}

/// The processes whose parent this is, dead ones that nobody has asked for included.
fn children(parent: &Running) -> Vec<String> {
    let parent = format!("PPid:\t{}", parent.pid().as_raw_nonzero());
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_child = |id: &String| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        status.lines().any(|line| line == parent)
    };
    processes.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit())).filter(is_child).collect()
}

#[track_caller]
fn wait_for_the_end_of(id: &str) {
    poll_until("the program's end", || (!Path::new(&format!("/proc/{id}")).exists()).then_some(()));
}

// The half-close reaches the program, its answer comes back, for many at once: what ncat's --exec loses.
#[test]
fn twenty_clients_that_half_close_are_answered() {
    let Some(sum) = require("sha256sum") else { return };
    let server = haul(["listen", "-k", "127.0.0.1:0", "-c", "sha256sum"]).spawn();
    let mut peers: Vec<_> = (0..20).map(|_| Peer::connect(server.address())).collect();
    let sent: Vec<_> = (0..20).map(|seed| bytes(seed, 100_000 + seed as usize)).collect();
    let sending: Vec<_> = peers.iter().zip(&sent).map(|(peer, bytes)| peer.send_in_thread(bytes.clone())).collect();
    for ((peer, sending), bytes) in peers.iter_mut().zip(sending).zip(&sent) {
        assert_eq!(sending.join().unwrap(), bytes.len());
        peer.finish();
        let want = crate::harness::Program::new(&sum, [""; 0]).stdin(Input::Bytes(bytes.clone())).run();
        assert_eq!(peer.receive_all(), (want.stdout.clone(), Ending::Eof));
    }
    stop(server);
}

// What a program needs to know about its connection is in its environment, by haul's names and by those of UCSPI.
#[test]
fn a_program_is_told_both_ends_of_its_connection() {
    let server = server(&[], "env");
    let mut peer = Peer::connect(server.address());
    let said = text(peer.receive_all().0);
    let variables: HashMap<_, _> = said.lines().filter_map(|line| line.split_once('=')).collect();
    let (here, there) = (server.address().port().to_string(), peer.local_port().to_string());
    for (name, value) in [
        ("HAUL_PROTO", "tcp"),
        ("HAUL_LOCAL_ADDR", "127.0.0.1"),
        ("HAUL_LOCAL_PORT", &here),
        ("HAUL_PEER_ADDR", "127.0.0.1"),
        ("HAUL_PEER_PORT", &there),
        ("PROTO", "TCP"),
        ("TCPLOCALIP", "127.0.0.1"),
        ("TCPLOCALPORT", &here),
        ("TCPREMOTEIP", "127.0.0.1"),
        ("TCPREMOTEPORT", &there),
    ] {
        assert_eq!(variables.get(name).copied(), Some(value), "{name}");
    }
    stop(server);
}

// Neither haul's sockets nor what its parent left open reaches a program: it sees 0, 1, 2 (and 3, by which ls looks).
#[test]
fn only_three_descriptors_reach_a_program() {
    let words = ["listen", "-k", "127.0.0.1:0", "--", "ls", "/proc/self/fd"];
    let server = haul(words).after("exec 7</dev/null 9</dev/null").spawn();
    let _idle = Peer::connect(server.address());
    assert_eq!(text(Peer::connect(server.address()).receive_all().0), "0\n1\n2\n3\n");
    stop(server);
}

// A program finds its signals at their defaults and none blocked, whatever haul does with its own or was started with.
#[test]
fn the_signals_of_a_program_are_at_their_defaults() {
    let server = haul(["listen", "-k", "127.0.0.1:0", "-e", "cat /proc/self/status"]);
    let server = server.after("trap '' HUP INT QUIT PIPE USR2").spawn();
    let status = text(Peer::connect(server.address()).receive_all().0);
    // 32 and 33 belong to the C library, which lets nobody else change them
    let own = 0b11 << 31;
    for name in ["SigBlk:\t", "SigIgn:\t", "SigCgt:\t"] {
        let mask = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!(u64::from_str_radix(mask, 16).unwrap() & !own, 0, "{name}{mask}");
    }
    stop(server);
}

// No program that has ended stays as a zombie.
#[test]
fn every_program_is_reaped() {
    let server = server(&[], "echo done");
    for _ in 0..20 {
        assert_eq!(Peer::connect(server.address()).receive_all(), (b"done\n".to_vec(), Ending::Eof));
    }
    poll_until("the last program to be reaped", || children(&server).is_empty().then_some(()));
    stop(server);
}

// What a program wrote just before it ended arrives as a whole.
#[test]
fn the_last_output_of_a_program_is_complete() {
    let home = scratch();
    let said = bytes(31, 1 << 20);
    let file = file_with(home.path(), "said", &said);
    let server = server(&[], &format!("cat '{}'", file.display()));
    for _ in 0..50 {
        let (got, ending) = Peer::connect(server.address()).receive_all();
        assert_same("what the program said", &got, &said);
        assert_eq!(ending, Ending::Eof);
    }
    stop(server);
}

// Nor is that lost which a program left in its pipe for a client that reads nothing for longer than a dead program's
// silence is waited for. The portable build does not widen pipes, so that the program cannot leave that much.
#[cfg(not(feature = "portable"))]
#[test]
fn a_client_that_stops_reading_gets_what_a_program_left() {
    const MANY: usize = 900_000;
    // neither socket may hold it all
    let words = ["listen", "--sndbuf", "4096", "127.0.0.1:0", "-c", &format!("head -c {MANY} /dev/zero")];
    let server = haul(words).spawn();
    let mut peer = Peer::connect_with(server.address(), Some(4096));
    peer.receive(1);
    poll_until("the program's end", || children(&server).is_empty().then_some(()));
    let ended = Instant::now();
    poll_until("more than a second of silence", || (ended.elapsed() > Duration::from_millis(1500)).then_some(()));
    let (rest, ending) = peer.receive_all();
    assert_eq!((1 + rest.len(), ending), (MANY, Ending::Eof));
    server.wait().ok();
}

// A process that outlives the program with its output in hand does not keep the client waiting.
#[test]
fn a_grandchild_that_holds_the_pipe_does_not_hang_it() {
    let server = server(&[], "sleep 1000 & echo $!");
    let (got, ending) = Peer::connect(server.address()).receive_all();
    assert_eq!(ending, Ending::Eof);
    let grandchild = text(got);
    let id = rustix::process::Pid::from_raw(grandchild.trim().parse().unwrap()).unwrap();
    let _ = rustix::process::kill_process(id, Signal::KILL);
    stop(server);
}

// A client that resets takes its program with it, by SIGHUP.
#[test]
fn a_reset_ends_the_program() {
    let server = server(&[], "exec 2> /dev/null; trap 'exit 0' HUP; echo $$; while :; do sleep 0.1; done");
    let mut peer = Peer::connect(server.address());
    let id = line(&mut peer);
    peer.reset();
    wait_for_the_end_of(&id);
    stop(server);
}

// One that heeds neither SIGHUP nor SIGTERM is killed when --grace has passed.
#[test]
fn a_program_that_will_not_end_is_killed() {
    let server = server(&["--grace", "100ms"], "trap '' HUP TERM; echo $$; while :; do sleep 0.1; done");
    let mut peer = Peer::connect(server.address());
    let id = line(&mut peer);
    peer.reset();
    wait_for_the_end_of(&id);
    poll_until("it to be reaped", || children(&server).is_empty().then_some(()));
    stop(server);
}

// One client's failure is its own.
#[test]
fn a_client_that_resets_leaves_the_others_alone() {
    let server = server(&[], "cat");
    let (mut one, mut two) = (Peer::connect(server.address()), Peer::connect(server.address()));
    one.send(b"one");
    two.send(b"two");
    assert_eq!((one.receive(3), two.receive(3)), (b"one".to_vec(), b"two".to_vec()));
    one.reset();
    poll_until("one program to end", || (children(&server).len() == 1).then_some(()));
    two.send(b"still here");
    assert_eq!(two.receive(10), b"still here");
    two.finish();
    assert_eq!(two.receive_all(), (Vec::new(), Ending::Eof));
    server.signal(Signal::TERM);
    server.wait().code(0);
}

// A client that reads nothing of an endless answer costs a bounded amount of memory, and the others nothing.
#[test]
fn a_client_that_never_reads_holds_up_nobody() {
    let server = server(&["--grace", "0"], "if read x; then echo \"$x\"; else cat /dev/zero; fi");
    let stuck = Peer::connect_with(server.address(), Some(4096));
    stuck.finish();
    for _ in 0..20 {
        let mut peer = Peer::connect(server.address());
        peer.send(b"quick\n");
        assert_eq!(peer.receive_all(), (b"quick\n".to_vec(), Ending::Eof));
    }
    proc::wait_until_idle(server.pid());
    assert!(proc::peak_memory(server.pid()) < 32 << 10, "{} KiB", proc::peak_memory(server.pid()));
    server.signal(Signal::TERM);
    server.wait().code(0);
}

// One connection: the program's status is haul's, and a signal that ended it is 128 and its number.
#[test]
fn the_status_of_one_program_is_that_of_haul() {
    for (command, status) in [("exit 0", 0), ("exit 42", 42), ("kill -KILL $$", 137)] {
        let listening = haul(["listen", "127.0.0.1:0", "-c", command]).spawn();
        let connecting = haul(["connect", &listening.address().to_string(), "-c", command]).run();
        assert_eq!(connecting.status.code(), Some(status), "connect -c {command:?}: {}", connecting.stderr);
        assert_eq!(listening.wait().status.code(), Some(status), "listen -c {command:?}");
    }
}

// With -k it is a line of -v, and no failure of the server.
#[test]
fn the_status_of_a_program_of_many_is_a_line() {
    let server = server(&["-v"], "exit 42");
    assert_eq!(Peer::connect(server.address()).receive_all().0, b"");
    server.stderr_line_where(|line| line.contains("42"));
    server.signal(Signal::TERM);
    server.wait().code(0);
}

// What can never be started is found before anything is bound; what dies at once does not end the server.
#[test]
fn a_program_that_cannot_run_is_status_2() {
    let home = scratch();
    let plain = file_with(home.path(), "plain", b"text");
    for (program, cause) in [("/nonexistent/x", "no such file"), (plain.to_str().unwrap(), "permission denied")] {
        for words in [&["listen", "-k", "127.0.0.1:0"][..], &["listen", "127.0.0.1:0"], &["connect", "127.0.0.1:1"]] {
            let ended = haul([words, &["--", program]].concat()).run();
            ended.code(2).no_stdout();
            let line = ended.one_error();
            assert!(line.contains(program) && line.contains(cause), "{line}");
            assert!(!ended.stderr.contains("listening"), "{}", ended.stderr);
        }
    }
    let server = server(&[], "exit 1");
    for _ in 0..3 {
        Peer::connect(server.address()).receive_all();
    }
    server.signal(Signal::TERM);
    server.wait().code(0);
}

// curl asks a shell for a page, twenty times at once.
#[test]
fn curl_is_served_by_a_shell() {
    let Some(curl) = require("curl") else { return };
    // the request's end is its empty line: curl does not half-close
    let answer = "while read -r line && [ \"$line\" != \"$(printf '\\r')\" ]; do :; done; \
        printf 'HTTP/1.0 200 OK\\r\\n\\r\\nhello %s\\n' \"$HAUL_PEER_ADDR\"";
    let server = server(&[], answer);
    let url = format!("http://{}/", server.address());
    let words = ["-sS", "--noproxy", "*", "--max-time", "20", &url];
    let clients: Vec<_> = (0..20).map(|_| crate::harness::Program::new(&curl, words).spawn()).collect();
    for client in clients {
        let client = client.wait();
        client.code(0);
        assert_eq!(text(client.stdout.clone()), "hello 127.0.0.1\n");
    }
    stop(server);
}

// What haul's own environment says of some other connection does not reach a program as if it were about this one.
#[test]
fn stale_variables_of_another_connection_are_not_passed_on() {
    let home = scratch();
    let path = home.path().join("s");
    let words = ["listen", "-U", path.to_str().unwrap(), "-v", "-c", "env | grep -c 6.6.6.6"];
    let stale = ["TCPREMOTEIP=6.6.6.6", "TCPREMOTEHOST=6.6.6.6", "HAUL_PEER_PORT=6.6.6.6"];
    let haul = haul(words).by(&[&["env"], &stale[..]].concat()).spawn();
    haul.stderr_line("haul: listening on unix");
    let mut peer = Peer::connect_unix(&path);
    assert_eq!(peer.receive_all().0, b"0\n");
}

// A program that has been asked and still works on its answer is busy: a signal gives it the grace.
#[test]
fn an_answer_that_is_being_made_is_given_its_grace() {
    let home = scratch();
    let go = home.path().join("go");
    Program::new("mkfifo", [&go]).run().code(0);
    let server = server(&["--grace", "1h"], &format!("read question; cat '{}'; echo answer", go.display()));
    let mut peer = Peer::connect(server.address());
    peer.send(b"question\n");
    // the program has the question once it waits at the FIFO, and only then can it be opened for writing at once
    let opened = poll_until("the program to wait for its word", || {
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
        rustix::fs::open(&go, flags, rustix::fs::Mode::empty()).ok()
    });
    server.signal(Signal::TERM);
    let there = server.address().to_string();
    poll_until("the port to be closed", || {
        (haul(["connect", "-z", &there]).run().status.code() == Some(1)).then_some(())
    });
    drop(opened);
    assert_eq!(peer.receive_all().0, b"answer\n");
    server.wait().code(0);
}

// Started with SIGCHLD ignored, as some daemons start their children: a program's status is still told.
#[test]
fn an_ignored_sigchld_loses_no_status() {
    let ended =
        haul(["connect", "sh:exit 6"]).stdin(Input::Null).by(&["sh", "-c", "trap '' CHLD; exec \"$@\"", "sh"]).run();
    ended.code(6);
}

// haul's logins are its own: no program gets them, in whatever way it is started.
#[test]
fn logins_of_the_environment_are_not_passed_on() {
    let logins = ["env", "HAUL_PROXY_AUTH=me:s3cr3t", "HAUL_WS_AUTH=me:s3cr3t"];
    for program in [&["-e", "env"][..], &["-c", "env"], &["--", "env"]] {
        let (flags, rest) = if program[0] == "--" { (&[][..], program) } else { (program, &[][..]) };
        let server = haul([&["listen"], flags, &["127.0.0.1:0"], rest].concat()).by(&logins).spawn();
        let mut peer = Peer::connect(server.address());
        let told = text(peer.receive_all().0);
        assert!(told.contains("HAUL_PEER_ADDR=127.0.0.1") && !told.contains("s3cr3t"), "{program:?}: {told}");
        server.wait().code(0);

        let listener = Listener::tcp();
        let endpoint = listener.endpoint();
        let words = [&["connect"], flags, &[&endpoint], rest].concat();
        let client = haul(words).by(&logins).spawn();
        let mut peer = listener.accept();
        peer.finish();
        let told = text(peer.receive_all().0);
        assert!(told.contains("HAUL_PEER_ADDR=127.0.0.1") && !told.contains("s3cr3t"), "{program:?}: {told}");
        client.wait().code(0);
    }
}
