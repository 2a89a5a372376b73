//! `relay` under load: sessions that misbehave in every way at once, many one after the other, signals in the middle.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::data;
use crate::harness::{Ending, Input, Listener, Peer, Program, file_with, haul, poll_until, proc, require, scratch};
use crate::relay::{echoes, relay_to, stop};

/// A generator of decisions: the same seed decides the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// How a side ends.
#[derive(Clone, Copy, PartialEq)]
enum Exit {
    Finish,
    Reset,
}

/// Sends in pieces of any size, resting between some of them, then ends.
fn send_in_pieces(mut socket: TcpStream, bytes: &[u8], seed: u64) {
    let mut dice = Dice(seed * 2 + 1);
    let mut left = bytes;
    while !left.is_empty() {
        let most = [1, 100, 5_000, 60_000][dice.roll(4) as usize];
        let (piece, rest) = left.split_at(left.len().min(1 + dice.roll(most) as usize));
        socket.write_all(piece).unwrap();
        left = rest;
        if dice.roll(8) == 0 {
            // whoever else wants to may go first
            (0..dice.roll(20)).for_each(|_| thread::yield_now());
        }
    }
    socket.shutdown(std::net::Shutdown::Write).unwrap();
}

/// Reads to the end in pieces of any size.
fn read_in_pieces(socket: &mut TcpStream, seed: u64) -> (Vec<u8>, Ending) {
    let mut dice = Dice(seed * 2 + 1);
    let (mut got, mut piece) = (Vec::new(), vec![0; 70_000]);
    loop {
        let most = 1 + dice.roll(70_000) as usize;
        match socket.read(&mut piece[..most]) {
            Ok(0) => return (got, Ending::Eof),
            Ok(count) => got.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (got, Ending::Reset),
            Err(error) => panic!("{error} after {} bytes", got.len()),
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

/// One session: its number goes first, so that the target knows what to expect. The server answers while the client
/// still sends; one of them may reset at the end, after everything it has sent was taken.
fn client(address: SocketAddr, seed: u64) {
    let mut socket = connect(address);
    socket.write_all(&seed.to_be_bytes()).unwrap();
    let (up, down, exit) = script(seed);
    let (sender, bytes) = (socket.try_clone().unwrap(), up);
    let sending = thread::spawn(move || send_in_pieces(sender, &bytes, seed));
    let (got, ending) = read_in_pieces(&mut socket, seed + 1);
    data::assert_same("the way down", &got, &down);
    assert_eq!(ending, if exit == Exit::Reset { Ending::Reset } else { Ending::Eof }, "session {seed}");
    sending.join().unwrap();
}

fn server(mut socket: TcpStream) {
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut number = [0; 8];
    socket.read_exact(&mut number).unwrap();
    let seed = u64::from_be_bytes(number);
    let (up, down, exit) = script(seed);
    let sender = socket.try_clone().unwrap();
    let sending = thread::spawn(move || match exit {
        Exit::Finish => send_in_pieces(sender, &down, seed + 2),
        Exit::Reset => (&sender).write_all(&down).unwrap(),
    });
    let (got, ending) = read_in_pieces(&mut socket, seed + 3);
    data::assert_same("the way up", &got, &up);
    assert_eq!(ending, Ending::Eof, "session {seed}");
    sending.join().unwrap();
    if exit == Exit::Reset {
        // what a reset overtakes is lost by right: it goes out once everything was taken
        let socket = socket2::Socket::from(socket);
        poll_until("the send queue to be empty", || (unsent(&socket) == 0).then_some(()));
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

fn unsent(socket: &socket2::Socket) -> usize {
    haul::sys::unsent(std::os::fd::AsFd::as_fd(socket)).unwrap()
}

fn script(seed: u64) -> (Vec<u8>, Vec<u8>, Exit) {
    let mut dice = Dice(seed * 2 + 77);
    let mut len = || [0, 1, 3_000, 200_000][dice.roll(4) as usize] + dice.roll(3_000) as usize;
    let (up, down) = (data::bytes(seed, len()), data::bytes(!seed, len()));
    (up, down, if seed.is_multiple_of(5) { Exit::Reset } else { Exit::Finish })
}

/// So many sessions at once between there and the target, each of which has to come to the end that its number says.
#[track_caller]
pub fn sessions(address: SocketAddr, target: std::net::TcpListener, count: u64) {
    let serving = thread::spawn(move || {
        let accept = |_| {
            thread::spawn({
                let socket = target.accept().unwrap().0;
                move || server(socket)
            })
        };
        (0..count).map(accept).collect::<Vec<_>>().into_iter().for_each(|session| session.join().unwrap());
    });
    let clients: Vec<_> = (1..=count).map(|seed| thread::spawn(move || client(address, seed))).collect();
    clients.into_iter().for_each(|session| session.join().unwrap());
    serving.join().unwrap();
}

// Three hundred at once, each in pieces of its own with pauses of its own, half-closed or reset: every byte arrives
// before the end that its sender chose, and that end does.
#[test]
fn chaos_stays_within_its_sessions() {
    for flags in [&[][..], &["--threads", "2", "--splice", "never"]] {
        let target = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = relay_to(&target.local_addr().unwrap().to_string(), flags);
        let before = proc::open_descriptors(relay.pid());
        sessions(relay.address(), target, 300);
        // up to 16 kernel pipes of each size are kept by each thread
        poll_until("the descriptors to be closed", || {
            (proc::open_descriptors(relay.pid()) <= before + 2 * 2 * 32).then_some(())
        });
        stop(relay);
    }
}

// Ten thousand sessions leave no descriptor and no memory behind.
#[test]
fn ten_thousand_sessions_leave_nothing_behind() {
    let target = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = relay_to(&target.local_addr().unwrap().to_string(), &[]);
    let address = relay.address();
    let serving = thread::spawn(move || {
        for _ in 0..10_000 {
            let (mut socket, _) = target.accept().unwrap();
            let mut ping = [0; 4];
            socket.read_exact(&mut ping).unwrap();
            socket.write_all(&ping).unwrap();
        }
    });
    let mut measured = None;
    for number in 0..10_000 {
        let mut socket = connect(address);
        socket.write_all(b"ping").unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"ping");
        if number == 1000 {
            measured = Some((proc::open_descriptors(relay.pid()), proc::peak_memory(relay.pid())));
        }
    }
    serving.join().unwrap();
    let (descriptors, memory) = measured.unwrap();
    poll_until("the descriptors to be closed", || (proc::open_descriptors(relay.pid()) <= descriptors).then_some(()));
    let grown = proc::peak_memory(relay.pid()) - memory;
    assert!(grown < 512, "memory grew by {grown} KiB");
    stop(relay);
}

// SIGHUP again and again while sessions come, go and move: none of them notices. SIGTERM in the middle of a transfer:
// what is busy finishes, what is idle is closed, and that is success.
#[test]
fn signals_under_load_cut_nothing_short() {
    let home = scratch();
    let list = file_with(home.path(), "list", b"127.0.0.0/8\n");
    let target = Listener::tcp_with(None, 512);
    let relay = relay_to(&target.endpoint(), &["--allow", &format!("@{}", list.display()), "--grace", "1h"]);
    let address = relay.address();
    let over = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let (mut steady, mut steady_server) = (Peer::connect(address), target.accept());
    let (mut idle, mut idle_server) = (Peer::connect(address), target.accept());
    echoes(&mut idle, &mut idle_server);
    let loading = thread::spawn({
        let (over, served) = (Arc::clone(&over), Arc::clone(&served));
        move || {
            while !over.load(Relaxed) {
                let mut pair = (Peer::connect(address), target.accept());
                echoes(&mut pair.0, &mut pair.1);
                served.fetch_add(1, Relaxed);
            }
        }
    });
    let stream = data::bytes(9, 30_000_000);
    let sending = steady.send_in_thread(stream.clone());
    let mut got = steady_server.receive(10_000_000);
    for _ in 0..100 {
        relay.signal(Signal::HUP);
        let before = served.load(Relaxed);
        poll_until("a session after SIGHUP", || (served.load(Relaxed) > before).then_some(()));
    }
    over.store(true, Relaxed);
    loading.join().unwrap();
    relay.signal(Signal::TERM);
    idle.receive_all();
    got.extend(steady_server.receive(20_000_000));
    data::assert_same("the stream", &got, &stream);
    sending.join().unwrap();
    steady.finish();
    steady_server.finish();
    assert_eq!(steady.receive_all(), (vec![], Ending::Eof));
    relay.wait().code(0);
}

// A download, as people do it.
#[test]
fn curl_through_a_relay() {
    let Some(curl) = require("curl") else { return };
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &[]);
    let url = format!("http://{}/file", relay.address());
    let client = Program::new(curl, ["-sS", "--noproxy", "*", "-d", "@-", &url]);
    let client = client.stdin(Input::Bytes(vec![b'x'; 500_000])).spawn();
    let mut server = target.accept();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.extend(server.receive(1));
    }
    assert!(String::from_utf8_lossy(&request).contains("Content-Length: 500000"));
    server.receive(500_000);
    let body = data::bytes(4, 3_000_000);
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\nConnection: close\r\n\r\n");
    let sending = server.send_in_thread(body.clone());
    let ended = client.wait();
    ended.code(0);
    sending.join().unwrap();
    data::assert_same("the body", &ended.stdout, &body);
}

// A measurement, in each direction: a control connection and streams beside it.
#[test]
fn iperf3_through_a_relay() {
    let Some(iperf3) = require("iperf3") else { return };
    let port = Listener::tcp().address().port().to_string();
    let server = Program::new(&iperf3, ["-s", "-B", "127.0.0.1", "-p", &port]).spawn();
    poll_until("iperf3 to listen", || {
        let tested = haul(["connect", "-z", &format!("127.0.0.1:{port}")]).run();
        (tested.status.code() == Some(0)).then_some(())
    });
    let relay = relay_to(&format!("127.0.0.1:{port}"), &[]);
    let at = relay.address().port().to_string();
    for way in [&["-P", "4"][..], &["-R"]] {
        let words = [&["-c", "127.0.0.1", "-p", &at, "-n", "50M"], way].concat();
        // its server is busy for a moment after each test
        let done = poll_until("iperf3 to be done", || {
            let ended = Program::new(&iperf3, &words).run();
            (ended.status.code() == Some(0)).then_some(ended)
        });
        assert!(String::from_utf8_lossy(&done.stdout).contains("receiver"));
    }
    stop(relay);
    drop(server);
}
