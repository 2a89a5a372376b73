//! What the README tells people to type is typed here, and does what it says.
//!
//! A comment before each `sh` block says how it is tested: `<!-- run with PROGRAMS; then CHECK -->`, or
//! `<!-- not run: WHY -->`. Each line of a block is a terminal of its own; the next one begins when the one before
//! listens or, with --expect, is connected. A server (`-k`, `relay`) is told to end when all others have. CHECK is a shell command
//! that runs when all have ended with status 0, beside the files that the lines made and what they printed, `stdout.1`,
//! `stdout.2` and so on. The port, the socket's names and the host are replaced by some of this run.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;

use crate::data::bytes;
use crate::harness::{Input, Program, Running, file_with, poll_until, require, scratch};

const README: &str = include_str!("../../README.md");

/// A fenced `sh` block: what the comment before it says, and its lines.
struct Example {
    mark: String,
    lines: Vec<String>,
}

impl Example {
    fn is_run(&self) -> bool {
        !self.mark.starts_with("not run: ")
    }

    /// The programs it needs, and the check.
    fn parts(&self) -> (Vec<&str>, &str) {
        let (run, check) = self.mark.split_once("; then ").expect("a mark without a check");
        let needs = run.strip_prefix("run").expect("a mark that is neither 'run' nor 'not run'");
        (needs.trim_start().trim_start_matches("with ").split_whitespace().collect(), check)
    }
}

fn examples() -> Vec<Example> {
    let mut found = Vec::new();
    let mut lines = README.lines();
    let mut above = "";
    while let Some(line) = lines.next() {
        if line == "```sh" {
            let mark = above.strip_prefix("<!-- ").and_then(|mark| mark.strip_suffix(" -->"));
            let mark = mark.unwrap_or_else(|| panic!("an sh block without a mark, below {above:?}")).to_string();
            let lines = lines.by_ref().take_while(|line| *line != "```").map(str::to_owned).collect();
            found.push(Example { mark, lines });
        }
        above = line;
    }
    found
}

/// What an example needs beside haul; skipped where it is missing.
fn has(need: &str) -> bool {
    match need {
        "::1" => {
            let has = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
            if !has {
                println!("skipped: an example of the README: this machine has no IPv6");
            }
            has
        }
        program => require(program).is_some(),
    }
}

/// A port on which nothing listens, below those that the kernel hands out by itself, so that no other test gets it.
fn free_port() -> u16 {
    let first = 20_000 + std::process::id() % 10_000;
    let mut candidates = (first..32_000).filter_map(|port| u16::try_from(port).ok());
    let everywhere = |port: &u16| (Ipv4Addr::UNSPECIFIED, *port);
    let is_free = |port: &u16| TcpListener::bind(everywhere(port)).is_ok() && UdpSocket::bind(everywhere(port)).is_ok();
    candidates.find(is_free).expect("no port is free")
}

/// What stands in the README, and what is typed in its place.
struct Names {
    port: u16,
    home: String,
}

impl Names {
    fn socket(&self) -> String {
        format!("{}/app.sock", self.home)
    }

    fn name(&self) -> String {
        format!("@jobs-{}", self.home.replace('/', "-"))
    }

    fn replace(&self, line: &str) -> String {
        let line = if is_server(line) { format!("exec {line}") } else { line.to_owned() };
        line.replace("9000", &self.port.to_string())
            .replace("6379", &self.port.to_string())
            .replace("/tmp/app.sock", &self.socket())
            .replace("@jobs", &self.name())
            .replace(" host ", " localhost ")
            .replace(" redis ", " localhost ")
            .replace(" host:", " localhost:")
    }

    /// Waits until the line (as it stands in the README) has made its listener, or its connection.
    fn wait_for(&self, line: &str) {
        if line.contains("haul connect") && !line.contains("--expect") {
            return;
        }
        let port = format!(":{:04X} ", self.port);
        let listening_at = |table: &str, wanted: &dyn Fn(&str) -> bool| {
            std::fs::read_to_string(table).is_ok_and(|text| text.lines().any(wanted))
        };
        poll_until(&format!("{line:?} to listen or to be connected"), || {
            let listens = if line.contains(" -u ") && line.contains("/tmp/app.sock") {
                // 0002 is a socket for datagrams
                listening_at("/proc/net/unix", &|row| row.contains(" 0002 ") && row.ends_with(&self.socket()))
            } else if line.contains(" -u ") || line.contains("relay") && line.contains(" udp:") {
                // local address, remote address, and state 07 is that of every UDP socket that is not connected
                let wanted = |row: &str| row.contains(&port) && row.contains(":0000 07 ");
                listening_at("/proc/net/udp", &wanted) || listening_at("/proc/net/udp6", &wanted)
            } else if line.contains("--expect") {
                // as the server sees it; 01 is ESTABLISHED
                let wanted = |row: &str| row.split(port.as_str()).nth(1).is_some_and(|rest| rest.contains(" 01 "));
                listening_at("/proc/net/tcp", &wanted) || listening_at("/proc/net/tcp6", &wanted)
            } else if line.contains("9000") || line.contains("6379") {
                // local address, remote address, and state 0A is LISTEN
                let wanted = |row: &str| row.contains(&port) && row.contains(":0000 0A ");
                listening_at("/proc/net/tcp", &wanted) || listening_at("/proc/net/tcp6", &wanted)
            } else if line.contains("--port-file port") {
                let file = std::fs::read_to_string(format!("{}/port", self.home));
                file.is_ok_and(|text| text.ends_with('\n'))
            } else {
                let name = if line.contains('@') { self.name() } else { self.socket() };
                // the flags of a Unix socket that listens: __SO_ACCEPTCON
                listening_at("/proc/net/unix", &|row| row.contains(" 00010000 ") && row.ends_with(&name))
            };
            listens.then_some(())
        });
    }
}

/// True for a line that does not end by itself.
fn is_server(line: &str) -> bool {
    line.starts_with("haul listen -k ") || line.starts_with("haul relay ")
}

/// What a user of the README has: something to test with, and something to stand in for a server.
fn stand_ins(home: &Path) {
    let server = "#!/bin/sh\nread -r line && echo \"you said: $line\"\n";
    let tests = "#!/bin/sh\nanswer=$(echo hello | haul connect 127.0.0.1 \"$2\") || exit\n\
        [ \"$answer\" = 'you said: hello' ] && echo passed\n";
    for (name, text) in [("fake-server", server), ("run-tests", tests)] {
        let path = file_with(home, name, text.as_bytes());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// A shell that runs `line` in `home`, with this haul first in `PATH`.
fn shell(home: &Path, line: &str) -> Program {
    let bin = Path::new(env!("CARGO_BIN_EXE_haul")).parent().unwrap();
    let path = format!("PATH={}:{}:{}", bin.display(), home.display(), std::env::var("PATH").unwrap_or_default());
    let script = format!("cd '{}'\n{line}", home.display());
    Program::new("sh", ["-c", &script]).stdin(Input::Null).under(&["env", &path])
}

fn run(example: &Example) {
    let (needs, check) = example.parts();
    if !needs.into_iter().all(has) {
        return;
    }
    let home = scratch();
    file_with(home.path(), "out.tar", &bytes(7, (3 << 20) + 5));
    std::fs::create_dir(home.path().join("photos")).unwrap();
    file_with(&home.path().join("photos"), "1.jpg", &bytes(8, 100_000));
    stand_ins(home.path());
    let names = Names { port: free_port(), home: home.path().to_str().unwrap().to_string() };

    let mut terminals: Vec<Running> = Vec::new();
    for (at, line) in example.lines.iter().enumerate() {
        terminals.push(shell(home.path(), &names.replace(line)).spawn());
        if at + 1 < example.lines.len() {
            names.wait_for(line);
        }
    }
    // the servers last
    let mut terminals: Vec<_> = terminals.into_iter().enumerate().collect();
    terminals.sort_by_key(|(at, _)| is_server(&example.lines[*at]));
    for (at, terminal) in terminals {
        if is_server(&example.lines[at]) {
            terminal.signal(Signal::TERM);
        }
        let ended = terminal.wait();
        ended.code(0);
        file_with(home.path(), &format!("stdout.{}", at + 1), &ended.stdout);
    }
    shell(home.path(), &format!("set -e\n{check}")).run().code(0);
}

// Each example ends by itself with status 0 and has done what its check says.
#[test]
fn every_example_of_the_readme_does_what_it_says() {
    let examples = examples();
    assert!(examples.iter().filter(|example| example.is_run()).count() >= 10, "ten one-liners are promised");
    for example in examples.iter().filter(|example| example.is_run()) {
        let text = example.lines.join("\n");
        // the portable build cannot choose the interface of a group
        if cfg!(feature = "portable") && text.contains("--iface") {
            println!("not run by this build:\n{text}");
            continue;
        }
        println!("{text}");
        run(example);
    }
}

// A block that is not run says why, and what it calls is there.
#[test]
fn what_the_readme_does_not_run_here_says_why() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for example in examples().iter().filter(|example| !example.is_run()) {
        assert!(example.mark.len() > "not run: ".len(), "{:?}", example.lines);
        for word in example.lines.iter().flat_map(|line| line.split_whitespace()) {
            let is_ours = word.contains('/') && !word.starts_with('/') && !word.contains(':');
            assert!(!is_ours || root.join(word).exists(), "the README calls {word}, which is not there");
        }
    }
}

// The README's first command ends with this script; here it runs with the haul under test.
#[test]
fn the_loopback_example_compares_the_digests() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/loopback.sh");
    let home = scratch();
    let ended = shell(home.path(), &format!("'{}' 3", script.display())).run();
    ended.code(0);
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(said.contains("3 MiB sent to 127.0.0.1:") && said.contains("the digest matched"), "{said}");
}

// The README's table of exit statuses has the rows of `haul help exit`.
#[test]
fn the_readme_has_every_exit_status() {
    let topic = Program::new(env!("CARGO_BIN_EXE_haul"), ["help", "exit"]).run();
    let text = String::from_utf8_lossy(&topic.stdout).into_owned();
    let starts = text.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let of_help: Vec<_> = starts.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    let table = README.split("## Exit status").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let of_readme: Vec<_> = rows.map(|(status, _)| status.to_string()).skip(2).collect();
    assert_eq!(of_readme, of_help);
}
