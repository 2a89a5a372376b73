//! The one-liners of the manual, `EXAMPLES` in `man/`, for what ncat and socat are used for as servers: each is typed as
//! it stands there, but for the port and the network, and does what it says.

use std::path::Path;

use rustix::process::Signal;

use crate::data::bytes;
use crate::harness::{Ending, Input, Peer, Program, Running, haul, proc, scratch};

/// The example of the manual that begins with these words, without what it is said to do.
#[track_caller]
fn example(page: &str, words: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man").join(page);
    let page = std::fs::read_to_string(path).unwrap().replace("\\-", "-").replace("\\*(Aq", "'");
    let examples = page.split(".SH EXAMPLES").nth(1).expect("no examples");
    let line = examples.lines().find(|line| line.trim_start().starts_with(words));
    let line = line.unwrap_or_else(|| panic!("the manual has no example {words:?}")).trim_start();
    line.split("   ").next().unwrap().to_owned()
}

/// A shell that becomes `line`, with this haul first in `PATH`.
fn typed(line: &str) -> Program {
    let bin = Path::new(env!("CARGO_BIN_EXE_haul")).parent().unwrap().display().to_string();
    let path = format!("PATH={bin}:{}", std::env::var("PATH").unwrap_or_default());
    Program::new("sh", ["-c", &format!("exec {line}")]).by(&["env", &path])
}

/// The server of an example, on a free port.
#[track_caller]
fn server(words: &str) -> Running {
    let line = example("haul-listen.1", words);
    assert!(line.contains(" 9000"), "{line}");
    typed(&line.replace(" 9000", " 0 -v")).spawn()
}

#[track_caller]
fn stop(server: Running) {
    server.signal(Signal::TERM);
    server.wait().code(0);
}

#[test]
fn the_echo_server_echoes_to_many_at_once() {
    let server = server("haul listen -k 127.0.0.1 9000 -- cat");
    let mut peers: Vec<_> = (0..10).map(|_| Peer::connect(server.address())).collect();
    for (at, peer) in peers.iter_mut().enumerate() {
        peer.send(format!("hello {at}").as_bytes());
    }
    for (at, peer) in peers.iter_mut().enumerate() {
        assert_eq!(peer.receive(7), format!("hello {at}").as_bytes());
        peer.finish();
        assert_eq!(peer.receive_all(), (Vec::new(), Ending::Eof));
    }
    stop(server);
}

#[test]
fn in_the_chat_every_client_hears_the_others() {
    let server = server("haul listen -k --broker 9000");
    let mut peers: Vec<_> = (0..3).map(|_| Peer::connect(server.address())).collect();
    for peer in &peers {
        let port = format!(":{}", peer.local_port());
        server.stderr_line_where(|line| line.contains("accepted") && line.ends_with(&port));
    }
    proc::wait_until_idle(server.pid());
    peers[0].send(b"hello");
    assert_eq!((peers[1].receive(5), peers[2].receive(5)), (b"hello".to_vec(), b"hello".to_vec()));
    stop(server);
}

// The list of the example lets nobody in from here, so the network is changed for those who are to be answered.
#[test]
fn the_digest_server_answers_whom_it_allows() {
    let line = example("haul-listen.1", "haul listen -k -c sha256sum --allow").replace(" 9000", " 0");
    assert!(line.contains("--allow 10.0.0.0/8"), "{line}");
    let closed = typed(&line).spawn();
    assert_eq!(Peer::connect(closed.address()).receive_all().0, b"");
    stop(closed);

    let open = typed(&line.replace("10.0.0.0/8", "127.0.0.0/8")).spawn();
    let payload = bytes(51, 1 << 20);
    let want = Program::new("sha256sum", [""; 0]).stdin(Input::Bytes(payload.clone())).run();
    let mut peer = Peer::connect(open.address());
    peer.send(&payload);
    peer.finish();
    assert_eq!(peer.receive_all(), (want.stdout.clone(), Ending::Eof));
    stop(open);
}

#[test]
fn tests_with_their_server_end_with_their_status() {
    let line = example("haul-listen.1", "haul listen 127.0.0.1 0 --then 'run-tests --port {port}'");
    let tests = "haul connect --send \"x\\n\" --expect \"^you said: x\" 127.0.0.1 {port} && exit 42";
    let line = line.replace("run-tests --port {port}", tests).replace("./server", "sed -u \"s/^/you said: /\"");
    let ended = typed(&line).run();
    ended.code(42);
    assert_eq!(ended.stdout, b"you said: x\n");
}

#[test]
fn what_waits_for_ports_goes_on_when_all_are_open() {
    let line = example("haul-connect.1", "haul connect -z --wait 30s db:5432 redis:6379 && run-tests");
    let home = scratch();
    let open = haul(["listen", "-k", "127.0.0.1:0"]).spawn();
    let late = home.path().join("late");
    let line = line
        .replace("db:5432", &open.address().to_string())
        .replace("redis:6379", late.to_str().unwrap())
        .replace("run-tests", "echo both are open");
    let waiting = typed(&format!("sh -c '{line}'")).spawn();
    let second = haul(["listen", "-k", "-U", late.to_str().unwrap()]).spawn();
    let ended = waiting.wait();
    ended.code(0);
    assert_eq!(ended.stdout, b"both are open\n");
    stop(open);
    stop(second);
}
