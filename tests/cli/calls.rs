//! How many system calls something short takes, as strace counts them: what it costs, however busy the machine is.

// what is counted is what the other platform file saves
#![cfg(not(feature = "portable"))]

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Ending, Listener, Peer, haul, require, scratch};
use crate::relay::echoes;

/// The calls of each session in strace's log, but for those that wait, whose number is for the scheduler to decide, and
/// the look at a descriptor that the standard library takes before each close where it is built to check itself.
fn sessions(log: &str) -> Vec<Vec<String>> {
    let mut sessions: Vec<Vec<String>> = Vec::new();
    for line in log.lines() {
        let call = line.split_once(' ').map_or("", |(_, call)| call.trim_start());
        // what other threads cut in two counts where it begins
        let (is_rest, name) = (call.starts_with('<'), call.trim_start_matches("<... "));
        if name.starts_with("accept") && !call.contains(" = -1 ") && !call.ends_with("<unfinished ...>") {
            sessions.push(Vec::new());
        }
        let counts = !["epoll_wait", "epoll_pwait", "fcntl"].iter().any(|other| name.starts_with(other));
        if let Some(session) = sessions.last_mut().filter(|_| counts && !is_rest) {
            session.push(call.to_string());
        }
    }
    sessions
}

// A client that asks one thing and goes: accepted, joined, 4 bytes each way, both ends of file, closed.
#[test]
fn a_short_session_of_a_relay_takes_few_system_calls() {
    let Some(strace) = require("strace") else { return };
    let home = scratch();
    let log = home.path().join("log");
    let target = Listener::tcp();
    let under = [strace.as_os_str(), "-f".as_ref(), "-qq".as_ref(), "-o".as_ref(), log.as_os_str()];
    let relay = haul(["relay", "127.0.0.1:0", &target.endpoint()]).under(&under).spawn();
    for _ in 0..SESSIONS {
        let mut client = Peer::connect(relay.address());
        let mut server = target.accept();
        echoes(&mut client, &mut server);
        client.finish();
        assert_eq!(server.receive_all(), (vec![], Ending::Eof));
        drop(server);
        assert_eq!(client.receive_all(), (vec![], Ending::Eof));
    }
    // strace keeps signals to itself
    kill_process(only_child(relay.pid()), Signal::TERM).unwrap();
    relay.wait().code(0);
    let mut sessions = sessions(&fs::read_to_string(&log).unwrap());
    assert_eq!(sessions.len(), SESSIONS);
    // the last one has the end of the relay behind it; others may have had to try again on a busy machine
    sessions.pop();
    let cheapest = sessions.iter().min_by_key(|calls| calls.len()).unwrap();
    assert!(cheapest.len() <= MOST, "{} system calls:\n{}", cheapest.len(), cheapest.join("\n"));
}

/// The one child of a process that has one thread.
fn only_child(pid: Pid) -> Pid {
    let pid = pid.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    Pid::from_raw(children.trim().parse().unwrap()).unwrap()
}

const SESSIONS: usize = 12;

/// Options of the target's socket are five of them.
const MOST: usize = 26;
