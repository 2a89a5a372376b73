//! `relay` for datagrams and other people's programs, sockets of other kinds, and faults.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::data;
use crate::harness::{DEADLINE, Input, Program, haul, poll_until, proc, require, scratch};
use crate::listen_udp::{address, peer, receive};
use crate::relay_udp::{Responder, between, heard, target};

// nc, socat and ncat as clients.
#[test]
fn nc_socat_and_ncat_are_clients() {
    let responder = Responder::new();
    let (_relay, at) = between(&[], &[responder.at]);
    for (tool, args) in [
        ("nc", &["-u", "-W", "1", "-w", "10", "{host}", "{port}"][..]),
        ("ncat", &["-u", "-i", "1s", "{host}", "{port}"]),
        ("socat", &["-t1", "-", "UDP:{host}:{port}"]),
    ] {
        let Some(path) = require(tool) else { continue };
        let fill = |arg: &&str| arg.replace("{host}", "127.0.0.1").replace("{port}", &at.port().to_string());
        let mut client = Program::new(path, args.iter().map(fill)).stdin(Input::Piped).spawn();
        client.say(b"hello\n");
        assert_eq!(client.stdout_reaches(9), b"re:hello\n", "{tool}");
    }
}

// socat as the target, with a process for each client.
#[test]
fn socat_is_a_target() {
    let Some(socat) = require("socat") else { return };
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = format!("UDP4-RECVFROM:{},bind=127.0.0.1,fork", port.port());
    let _there = Program::new(socat, [&*listen, "EXEC:cat"]).under(&["env"]).spawn();
    let (_relay, at) = between(&[], &[port]);
    let client = peer(at);
    poll_until("socat to answer", || {
        client.send(b"hello").unwrap();
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        client.recv(&mut [0; 10]).ok()
    });
}

// iperf3 -u both ways: its control connection by one pair, its datagrams by the other.
#[test]
fn iperf3_measures_through_it() {
    let Some(iperf3) = require("iperf3") else { return };
    let free = || {
        poll_until("a port that is free for both", || {
            let tcp = std::net::TcpListener::bind("127.0.0.1:0").ok()?;
            let port = tcp.local_addr().ok()?.port();
            UdpSocket::bind(("127.0.0.1", port)).ok().map(|_| port)
        })
    };
    let (server_port, port) = (free(), free());
    let server =
        Program::new(iperf3.clone(), ["-s", "-1", "-B", "127.0.0.1", "-p", &server_port.to_string(), "--forceflush"])
            .spawn();
    server.stdout_reaches(1);
    let halves = [
        format!("127.0.0.1:{port}"),
        format!("127.0.0.1:{server_port}"),
        format!("udp:127.0.0.1:{port}"),
        format!("udp:127.0.0.1:{server_port}"),
    ];
    let relay = haul(["relay", "-v"].map(String::from).into_iter().chain(halves)).spawn();
    relay.stderr_line("haul: listening on udp ");
    let arguments = ["-c", "127.0.0.1", "-u", "-b", "20M", "-P", "3", "--bidir", "-t", "1", "-J", "-p"];
    let measured = Program::new(iperf3, arguments.into_iter().map(String::from).chain([port.to_string()])).run();
    measured.code(0);
    let told: serde_json::Value = serde_json::from_slice(&measured.stdout).unwrap();
    for sum in ["sum", "sum_bidir_reverse"] {
        let packets = told["end"][sum]["packets"].as_u64().unwrap();
        let lost = told["end"][sum]["lost_packets"].as_u64().unwrap();
        assert!(packets > 100 && lost * 20 < packets, "{sum}: {lost} of {packets} lost");
    }
}

// Unix datagrams on either half, whose clients are answered by name.
#[test]
fn unix_datagrams_are_relayed() {
    let home = scratch();
    let path = |name: &str| home.path().join(name);
    let responder = Responder::new();
    let (inner, outer) = (path("inner"), path("outer"));
    // Unix to UDP
    let words = [format!("unix,dgram:{}", outer.display()), format!("udp:{}", responder.at)];
    let relay = haul(["relay", "-v"].map(String::from).into_iter().chain(words)).spawn();
    relay.stderr_line("haul: listening on unix-dgram ");
    let named = |name: &str| {
        let socket = UnixDatagram::bind(path(name)).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    };
    for name in ["a", "b"] {
        let client = named(name);
        client.send_to(name.as_bytes(), &outer).unwrap();
        let mut buffer = [0; 100];
        let count = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], format!("re:{name}").as_bytes());
    }
    // nobody can answer this one, and nobody else minds
    UnixDatagram::unbound().unwrap().send_to(b"x", &outer).unwrap();
    relay.stderr_line("haul: session 3: cannot answer a client of a Unix socket that has no name of its own");
    drop(relay);
    // UDP to Unix: neighbours of one length stay datagrams of their own
    let there = named("inner");
    let words = ["udp:127.0.0.1:0".to_string(), format!("unix,dgram:{}", inner.display())];
    let relay = haul(["relay", "-v"].map(String::from).into_iter().chain(words)).spawn();
    let client = peer(address(&relay));
    relay.freeze();
    client.send(b"question").unwrap();
    client.send(b"question").unwrap();
    relay.thaw();
    let mut buffer = [0; 100];
    let count = there.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"question");
    let (count, from) = there.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"question");
    let name = from.as_pathname().map(std::path::Path::to_path_buf);
    match name {
        Some(name) => there.send_to(b"answer", name).unwrap(),
        None => {
            let fd = socket2::SockRef::from(&there);
            let raw = rustix_name(&from);
            fd.send_to(b"answer", &raw).unwrap()
        }
    };
    assert_eq!(receive(&client), b"answer");
}

/// An abstract name as an address.
pub fn rustix_name(from: &std::os::unix::net::SocketAddr) -> socket2::SockAddr {
    use std::os::linux::net::SocketAddrExt;
    let name = from.as_abstract_name().unwrap();
    let bytes = [&[0][..], name].concat();
    socket2::SockAddr::unix(std::ffi::OsStr::new(std::str::from_utf8(&bytes).unwrap())).unwrap()
}

// Bound to every address, it answers from the one that was asked.
#[cfg(not(feature = "portable"))]
#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    let responder = Responder::new();
    for threads in ["1", "2"] {
        let target = format!("udp:{}", responder.at);
        let relay = haul(["relay", "-v", "--threads", threads, "udp:0", &target]).spawn();
        let port = address(&relay).port();
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        // the same client by two addresses: two flows
        for to in ["127.0.0.5", "127.0.0.1"] {
            socket.send_to(to.as_bytes(), (to, port)).unwrap();
            let (got, from) = heard(&socket);
            assert_eq!((got, from.ip().to_string()), (format!("re:{to}").into_bytes(), to.to_string()));
        }
    }
}

// The source of the flows' sockets is the user's choice.
#[test]
fn flows_leave_from_the_source_that_was_asked_for() {
    let (there, to) = target();
    let target = format!("udp:{to}");
    let relay = haul(["relay", "-v", "-s", "127.0.0.7", "udp:127.0.0.1:0", &target]).spawn();
    peer(address(&relay)).send(b"x").unwrap();
    assert_eq!(heard(&there).1.ip().to_string(), "127.0.0.7");
}

/// Numbered datagrams through a relay with these faults; what came, in order.
fn through(flags: &[&str], count: u32) -> Vec<u32> {
    let (there, to) = target();
    let (relay, at) = between(flags, &[to]);
    let client = peer(at);
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        loop {
            let (payload, _) = heard(&there);
            match payload.as_slice() {
                b"end" => return got,
                number => got.push(u32::from_be_bytes(number.try_into().unwrap())),
            }
        }
    });
    for number in 0..count {
        client.send(&number.to_be_bytes()).unwrap();
        if number % 64 == 63 {
            // more would not fit into anybody's buffers
            proc::wait_until_idle(relay.pid());
        }
    }
    proc::wait_until_idle(relay.pid());
    poll_until("the end to get through", || {
        client.send(b"end").unwrap();
        proc::wait_until_idle(relay.pid());
        reader.is_finished().then_some(())
    });
    let got = reader.join().unwrap();
    crate::relay::stop(relay);
    got
}

#[test]
fn as_many_are_lost_doubled_and_reordered_as_was_asked_for_and_always_the_same() {
    let flags = ["--loss", "20%:up", "--dup", "10%:up", "--reorder", "10%:up", "--seed"];
    let run = |seed: &str| through(&[&flags[..], &[seed]].concat(), 512);
    let (one, again, other) = (run("1"), run("1"), run("2"));
    assert_eq!(one, again);
    assert_ne!(one, other);
    let mut different = one.clone();
    different.sort_unstable();
    different.dedup();
    assert!(different.len().abs_diff(410) < 50, "{} of 512 came", different.len());
    assert!((one.len() - different.len()).abs_diff(41) < 30, "{} came twice", one.len() - different.len());
    assert!(!one.is_sorted());
}

#[test]
fn a_delay_holds_back_datagrams_of_its_direction_and_corruption_changes_them() {
    let responder = Responder::new();
    let (relay, at) = between(&["--delay", "80ms:up", "--delay", "40ms:down", "--jitter", "5ms"], &[responder.at]);
    let client = peer(at);
    let asked = Instant::now();
    client.send(b"x").unwrap();
    assert_eq!(receive(&client), b"re:x");
    assert!(asked.elapsed() >= Duration::from_millis(110), "{:?}", asked.elapsed());
    // what is held back is delivered before haul ends
    client.send(b"last").unwrap();
    proc::wait_until_idle(relay.pid());
    crate::relay::stop(relay);

    let changed = |seed: &str| {
        let (relay, at) = between(&["--corrupt", "5%:down", "--seed", seed], &[responder.at]);
        let client = peer(at);
        client.send(&[0; 2000]).unwrap();
        let got = receive(&client);
        crate::relay::stop(relay);
        got
    };
    let (one, again, other) = (changed("1"), changed("1"), changed("2"));
    assert!(one == again && one != other);
    let flipped = one.iter().skip(3).filter(|byte| **byte != 0).count();
    assert!(flipped.abs_diff(100) < 50, "{flipped} of 2000");
}

// A line of two bad networks, one behind the other: the same seeds, the same bytes at its end.
#[test]
fn a_chain_of_two_bad_networks_is_repeatable() {
    let digest = || {
        let (there, to) = target();
        let faults = ["--loss", "5%", "--dup", "5%", "--reorder", "5%", "--corrupt", "0.1%", "--seed"];
        let (second, at_second) = between(&[&faults[..], &["22"]].concat(), &[to]);
        let (first, at) = between(&[&faults[..], &["11"]].concat(), &[at_second]);
        let client = peer(at);
        there.set_nonblocking(true).unwrap();
        let mut got = Vec::new();
        let mut take = || {
            let mut buffer = [0; 2000];
            while let Ok(count) = there.recv(&mut buffer) {
                got.extend_from_slice(&(count as u32).to_be_bytes());
                got.extend_from_slice(&buffer[..count]);
            }
        };
        for number in 0..400u64 {
            client.send(&data::bytes(number, 1 + number as usize * 3)).unwrap();
            if number % 32 == 31 {
                proc::wait_until_idle(first.pid());
                proc::wait_until_idle(second.pid());
                take();
            }
        }
        // the last one may wait to be overtaken
        proc::wait_until_idle(first.pid());
        proc::wait_until_idle(second.pid());
        take();
        crate::relay::stop(first);
        crate::relay::stop(second);
        got
    };
    let (one, again) = (digest(), digest());
    assert!(one.len() > 100_000, "{}", one.len());
    assert!(one == again, "the same seeds gave {} and {} bytes", one.len(), again.len());
}
