//! `haul listen -u` and other people's programs, and groups of receivers.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::harness::require;
#[cfg(not(feature = "portable"))]
use crate::harness::{haul, scratch};

#[cfg(not(feature = "portable"))]
use crate::listen_udp::address;
use crate::listen_udp::{program, start};

/// Sends a line by somebody else's program and gives what it printed: `{host}` and `{port}` are replaced.
fn exchange(tool: &str, args: &[&str], at: SocketAddr) -> Option<Vec<u8>> {
    let path = require(tool)?;
    let fill = |arg: &&str| arg.replace("{host}", &at.ip().to_string()).replace("{port}", &at.port().to_string());
    let mut child = Command::new(path);
    child.args(args.iter().map(fill)).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"hello\n").unwrap();
    let mut answer = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
    drop(stdin);
    let _ = child.kill();
    child.wait().unwrap();
    Some(answer.to_vec())
}

#[test]
fn nc_socat_and_ncat_are_peers() {
    let (_running, at) = start(program(&[], &["cat"]));
    for (tool, args) in [
        ("nc", &["-u", "{host}", "{port}"][..]),
        ("ncat", &["-u", "{host}", "{port}"]),
        ("socat", &["-t5", "-", "UDP:{host}:{port}"]),
    ] {
        if let Some(answer) = exchange(tool, args, at) {
            assert_eq!(answer, b"hello\n", "{tool}");
        }
    }
}

// The portable build cannot choose the interface of a group.
#[cfg(not(feature = "portable"))]
#[test]
fn a_group_on_the_loopback_is_joined() {
    let listener = haul(["listen", "-u", "-W", "1", "--iface", "lo", "239.255.77.3:0"]);
    let running = listener.spawn();
    let at = address(&running);
    let sent = haul(["send-udp", "-w", "0", "--iface", "lo", "--loop", &at.to_string(), "to the group"]).run();
    sent.ok();
    assert_eq!(running.wait().ok().stdout, b"to the group");
}

// The portable build cannot choose the interface of a group.
#[cfg(not(feature = "portable"))]
#[test]
fn a_group_is_heard_over_a_link_in_a_namespace_of_its_own() {
    let Some(unshare) = require("unshare") else { return };
    if require("ip").is_none() {
        return;
    }
    // the receiver in a namespace of its own again: a host takes nothing from the link that it has sent itself
    let script = r#"
        set -e
        cd "$DIR"
        mkfifo inside linked ready
        unshare -n sh -c '
            echo >inside
            read line <linked
            ip link set lo up
            ip addr add 192.0.2.2/24 dev vb
            ip link set vb up
            exec "$HAUL" listen -u -W 1 --iface vb --port-file port --ready-fd 3 239.255.77.4:0 3>ready >out
        ' &
        receiver=$!
        read line <inside
        ip link add va type veth peer name vb netns $receiver
        ip addr add 192.0.2.1/24 dev va
        ip link set va up
        echo >linked
        read line <ready
        # the first may be lost while the link comes up
        "$HAUL" send-udp -w 0 --ttl 1 --iface va -i 100ms --count 50 "239.255.77.4:$(cat port)" "over the link" &
        wait $receiver
        kill $! 2>/dev/null || true
        cat out
    "#;
    let home = scratch();
    let probe =
        Command::new(&unshare).args(["-rn", "ip", "link", "add", "va", "type", "veth", "peer", "name", "vb"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        eprintln!("SKIPPED: this user cannot make a network namespace with a veth pair");
        return;
    }
    let output = Command::new(unshare)
        .args(["-rn", "timeout", "15", "sh", "-c", script])
        .env("HAUL", env!("CARGO_BIN_EXE_haul"))
        .env("DIR", home.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "over the link", "{}", String::from_utf8_lossy(&output.stderr));
}
