//! `relay` to targets whose names come to mean other addresses, in a mount namespace with hosts of its own.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::harness::{DEADLINE, Peer, Program, Running, fifo, file_with, haul, poll_until, require, scratch};
use crate::listen_udp::{address, peer};
use crate::relay::stop;
use crate::relay_udp::heard;

/// A name, and the file that says what it means.
pub(crate) struct Names {
    _home: tempfile::TempDir,
    hosts: PathBuf,
}

impl Names {
    /// `None` where this user cannot have a file of hosts of his own.
    pub(crate) fn new() -> Option<Self> {
        let unshare = require("unshare")?;
        let home = scratch();
        let hosts = file_with(home.path(), "hosts", b"127.0.0.2 db.test\n");
        let names = Names { _home: home, hosts };
        let probe = Command::new(unshare).args(names.wrapped()).args(["getent", "hosts", "db.test"]).output();
        if !probe.is_ok_and(|probe| probe.status.success() && probe.stdout.starts_with(b"127.0.0.2")) {
            eprintln!("SKIPPED: this user cannot have hosts of its own");
            return None;
        }
        Some(names)
    }

    fn wrapped(&self) -> [String; 5] {
        let script = format!("mount --bind '{}' /etc/hosts && exec \"$@\"", self.hosts.display());
        ["-rm".into(), "sh".into(), "-c".into(), script, "sh".into()]
    }

    fn mean(&self, address: &str) {
        std::fs::write(&self.hosts, format!("{address} db.test\n")).unwrap();
    }

    /// The same, where a look-up never ends: nobody writes to the FIFO that the file of hosts is.
    pub(crate) fn endless() -> Option<Self> {
        Names::new()?;
        let (home, hosts) = fifo();
        Some(Names { _home: home, hosts })
    }

    fn relay(&self, words: &[&str]) -> Running {
        self.spawn(haul([&["relay", "-v"], words].concat()))
    }

    pub(crate) fn spawn(&self, program: Program) -> Running {
        let wrapper = [&["unshare".to_string()][..], &self.wrapped()].concat();
        program.by(&wrapper).spawn()
    }
}

/// Listeners on two addresses with one port.
fn two() -> (TcpListener, TcpListener, u16) {
    poll_until("a port that is free on both", || {
        let first = TcpListener::bind("127.0.0.2:0").ok()?;
        let port = first.local_addr().ok()?.port();
        let second = TcpListener::bind(("127.0.0.3", port)).ok()?;
        first.set_nonblocking(true).ok()?;
        second.set_nonblocking(true).ok()?;
        Some((first, second, port))
    })
}

#[test]
fn a_name_is_looked_up_again_from_time_to_time_and_after_a_failure() {
    let Some(names) = Names::new() else { return };
    for every in ["100ms", "1h"] {
        let (first, second, port) = two();
        names.mean("127.0.0.2");
        let target = format!("db.test:{port}");
        let relay = names.relay(&["--resolve-every", every, "127.0.0.1:0", &target]);
        let client = Peer::connect(relay.address());
        poll_until("the first", || first.accept().ok());
        names.mean("127.0.0.3");
        drop(client);
        if every == "1h" {
            drop(first); // which is noticed by the next client alone
        }
        let mut clients = Vec::new();
        poll_until("the second", || {
            // one that is reset may learn that before it has its connection
            clients.extend(TcpStream::connect(relay.address()));
            second.accept().ok()
        });
        drop(clients);
        stop(relay);
    }
}

// A flow that was never answered goes where the name leads now; one that was stays.
#[test]
fn flows_without_answers_follow_the_name_of_their_target() {
    let Some(names) = Names::new() else { return };
    let (first, second, port) = poll_until("a port that is free on both", || {
        let first = UdpSocket::bind("127.0.0.2:0").ok()?;
        let port = first.local_addr().ok()?.port();
        Some((first, UdpSocket::bind(("127.0.0.3", port)).ok()?, port))
    });
    first.set_read_timeout(Some(DEADLINE)).unwrap();
    let target = format!("udp:db.test:{port}");
    let relay = names.relay(&["--resolve-every", "100ms", "udp:127.0.0.1:0", &target]);
    let at = address(&relay);
    let (silent, answered) = (peer(at), peer(at));
    silent.send(b"log").unwrap();
    heard(&first);
    answered.send(b"question").unwrap();
    let (_, from) = heard(&first);
    first.send_to(b"answer", from).unwrap();
    assert_eq!(crate::listen_udp::receive(&answered), b"answer");
    names.mean("127.0.0.3");
    second.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    poll_until("the other address", || {
        silent.send(b"log").unwrap();
        second.recv(&mut [0; 10]).ok()
    });
    answered.send(b"more").unwrap();
    poll_until("what the answered client says", || (heard(&first).0 == b"more").then_some(()));
    stop(relay);
}
