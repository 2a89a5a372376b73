//! `connect -z` and `--wait`: what is open, what is not, and what is waited for.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::harness::peer::refusing_address;
use crate::harness::{Ended, Listener, haul, scratch};

/// Listens on an address that was refused until now: by the socket that held it.
fn open_up(bound: &socket2::Socket) {
    bound.listen(16).unwrap();
}

/// A UDP port that nobody has.
fn closed_udp() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn stdout(ended: &Ended) -> &str {
    std::str::from_utf8(&ended.stdout).unwrap()
}

// Open is status 0 and silence.
#[test]
fn an_open_port_is_status_0_without_a_word() {
    let listener = Listener::tcp();
    haul(["connect", "-z", &listener.endpoint()]).run().ok().no_stdout();
}

// -v reports on stdout, in the order given, and nothing but that.
#[test]
fn open_targets_are_reported_on_stdout_in_the_order_given() {
    let home = scratch();
    let (a, b) = (Listener::tcp(), Listener::tcp());
    let path = home.path().join("s");
    let _unix = Listener::unix(&path);
    // the datagram socket takes a second to count as open, and still comes first
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = (format!("udp:{}", udp.local_addr().unwrap()), udp);
    let unix = format!("unix:{}", path.display());
    let ended = haul(["connect", "-z", "-v", &udp.0, &b.endpoint(), &unix, &a.endpoint()]).run();
    ended.ok();
    let expected = format!("open {}\nopen {}\nopen {}\nopen {}\n", udp.0, b.endpoint(), path.display(), a.endpoint());
    assert_eq!(stdout(&ended), expected);
}

// A refused port is status 1 and the same line that connect would give.
#[test]
fn a_refused_port_is_status_1_and_one_line() {
    let (_bound, address) = refusing_address();
    let ended = haul(["connect", "-z", &address.to_string()]).run();
    ended.code(1).no_stdout();
    assert_eq!(ended.one_error(), format!("haul: cannot connect to {address}: connection refused"));
}

// One of several that is not open fails all, and is the only one told.
#[test]
fn all_targets_must_be_open() {
    let (_bound, address) = refusing_address();
    let listener = Listener::tcp();
    let ended = haul(["connect", "-z", "-v", &listener.endpoint(), &address.to_string()]).run();
    ended.code(1);
    assert_eq!(stdout(&ended), format!("open {}\n", listener.endpoint()));
    assert_eq!(ended.one_error(), format!("haul: cannot connect to {address}: connection refused"));
}

// Several that are not open: how many, and a line each.
#[test]
fn several_that_are_not_open_are_counted_and_listed() {
    let home = scratch();
    let (_bound, address) = refusing_address();
    let missing = home.path().join("missing");
    let listener = Listener::tcp();
    let unix = format!("unix:{}", missing.display());
    let ended = haul(["connect", "-z", &address.to_string(), &listener.endpoint(), &unix]).run();
    ended.code(1).no_stdout();
    assert_eq!(ended.one_error(), "haul: 2 of 3 are not open: each for its own reason");
    let lines: Vec<_> =
        ended.stderr.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[0], format!("{address} connection refused"));
    assert_eq!(lines[1], format!("{} no such file or directory", missing.display()));
}

// With --any one is enough, and the others are not waited for.
#[test]
fn any_is_satisfied_by_one() {
    let (_bound, address) = refusing_address();
    let full = Listener::tcp_with(None, 0);
    let _queued = full.fill_queue();
    let listener = Listener::tcp();
    let words = ["connect", "-z", "-v", "--any", &address.to_string(), &full.endpoint(), &listener.endpoint()];
    let ended = haul(words).run();
    ended.ok();
    assert_eq!(stdout(&ended), format!("open {}\n", listener.endpoint()));
    let (_second, other) = refusing_address();
    let ended = haul(["connect", "-z", "--any", &address.to_string(), &other.to_string()]).run();
    ended.code(1);
    assert_eq!(ended.one_error(), "haul: 2 of 2 are not open: connection refused");
}

// A port range is its ports, and a name is looked up for all of them.
#[test]
fn a_range_of_ports_is_tested_as_a_whole() {
    let listener = Listener::tcp();
    let port = listener.address().port();
    for words in [vec!["connect", "-z", "-v", "--any", "127.0.0.1"], vec!["connect", "-z", "-v", "--any", "localhost"]]
    {
        let range = format!("{}-{}", port.saturating_sub(600), port.saturating_add(5));
        let ended = haul(words.iter().map(|word| word.to_string()).chain([range])).run();
        ended.ok();
        assert!(stdout(&ended).contains("open "), "{}", stdout(&ended));
    }
    let both = format!("127.0.0.1:{port}-{port}");
    let ended = haul(["connect", "-z", "-v", &both]).run();
    ended.ok();
    assert_eq!(stdout(&ended), format!("open 127.0.0.1:{port}\n"));
}

// Thousands of ports need few descriptors, and what is refused is refused, not out of descriptors.
#[test]
fn many_ports_are_tested_with_few_descriptors() {
    let ended = haul(["connect", "-z", "127.0.0.2", "1-3000"]).after("ulimit -n 40").run();
    ended.code(1);
    assert!(ended.one_error().ends_with(" of 3000 are not open: connection refused"), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 102, "the list is bounded");
}

// UDP: an ICMP message is a refusal, silence and an answer are open.
#[test]
fn udp_is_refused_by_icmp_and_open_when_silent() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    haul(["connect", "-z", "-u", "127.0.0.1", &address.port().to_string()]).run().ok();
    let closed = closed_udp();
    let ended = haul(["connect", "-z", &format!("udp:{closed}")]).run();
    ended.code(1);
    assert_eq!(ended.one_error(), format!("haul: cannot connect to udp:{closed}: connection refused"));
}

// A peer that drops the connection at once was open.
#[test]
fn a_listener_that_resets_is_open() {
    let listener = Listener::tcp();
    let endpoint = listener.endpoint();
    let resetting = std::thread::spawn(move || listener.accept().reset());
    haul(["connect", "-z", &endpoint]).run().ok();
    resetting.join().unwrap();
}

// No answer within -w is status 3.
#[test]
fn no_answer_in_time_is_status_3() {
    let full = Listener::tcp_with(None, 0);
    let _queued = full.fill_queue();
    for flag in ["-w", "--connect-timeout", "--max-time"] {
        let ended = haul(["connect", "-z", flag, "200ms", &full.endpoint()]).run();
        ended.code(3);
        assert_eq!(ended.one_error(), format!("haul: cannot connect to {}: timed out after 200ms", full.endpoint()));
    }
    let (_bound, refused) = refusing_address();
    let ended = haul(["connect", "-z", "-w", "200ms", &full.endpoint(), &refused.to_string()]).run();
    ended.code(1);
}

// A regular file is no target: a mistake, not something to wait for.
#[test]
fn what_can_never_be_open_is_not_waited_for() {
    let home = scratch();
    let file = crate::harness::file_with(home.path(), "file", b"");
    let (_bound, address) = refusing_address();
    let start = Instant::now();
    let ended = haul(["connect", "-z", "--wait", "1h", file.to_str().unwrap(), &address.to_string()]).run();
    ended.code(1);
    assert!(ended.stderr.contains("it is not a socket"), "{}", ended.stderr);
    let alone = haul(["connect", "-z", "--wait", "1h", file.to_str().unwrap()]).run();
    alone.code(2);
    assert!(start.elapsed() < Duration::from_secs(20));
}

// --wait with -z: what opens late is found; -v says what is waited for, once.
#[test]
fn wait_finds_what_opens_late() {
    let home = scratch();
    let path = home.path().join("late");
    let (bound, address) = refusing_address();
    let unix = format!("unix:{}", path.display());
    let child = haul(["connect", "-z", "-v", "--wait", "20s", &address.to_string(), &unix]).spawn();
    child.stderr_line(&format!("haul: waiting for {address}: connection refused"));
    child.stderr_line(&format!("haul: waiting for {}: no such file or directory", path.display()));
    let _late = Listener::unix(&path);
    open_up(&bound);
    let ended = child.wait();
    ended.code(0);
    assert_eq!(stdout(&ended), format!("open {address}\nopen {}\n", path.display()));
    assert_eq!(ended.stderr.matches("waiting for").count(), 2, "{}", ended.stderr);
}

// When the wait is over: status 3, what is missing, and why.
#[test]
fn a_wait_in_vain_is_status_3_and_names_what_is_missing() {
    let (_bound, address) = refusing_address();
    let listener = Listener::tcp();
    let start = Instant::now();
    let ended = haul(["connect", "-z", "--wait", "300ms", &listener.endpoint(), &address.to_string()]).run();
    ended.code(3).no_stdout();
    assert!(start.elapsed() >= Duration::from_millis(300), "it gave up early");
    let line = format!("haul: cannot connect to {address}: not open within 300ms: connection refused");
    assert_eq!(ended.one_error(), line);
    let ended = haul(["connect", "-z", "--wait", "200ms", "nonexistent.invalid:80", &address.to_string()]).run();
    ended.code(3);
    assert!(ended.one_error().starts_with("haul: 2 of 2 are not open within 200ms: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("nonexistent.invalid:80  name not found"), "{}", ended.stderr);
}

// --wait for a bridge: it connects late, stdin is complete, stdout is only what came.
#[test]
fn a_bridge_waits_and_loses_nothing_of_its_input() {
    let (bound, address) = refusing_address();
    let mut child =
        haul(["connect", "-v", "--wait", "20s", &address.to_string()]).stdin(crate::harness::Input::Piped).spawn();
    child.say(b"first ");
    child.stderr_line(&format!("haul: waiting for {address}: connection refused"));
    child.say(b"second");
    child.end_stdin();
    open_up(&bound);
    let (stream, _) = bound.accept().unwrap();
    let mut stream = std::net::TcpStream::from(stream);
    let mut got = String::new();
    std::io::Read::read_to_string(&mut stream, &mut got).unwrap();
    assert_eq!(got, "first second");
    drop(stream);
    child.wait().code(0).no_stdout();
}

// The wait for a bridge ends with status 3, and a socket path that never comes is named.
#[test]
fn a_bridge_that_waits_in_vain_is_status_3() {
    let home = scratch();
    let path = home.path().join("never");
    let ended = haul(["connect", "--wait", "200ms", path.to_str().unwrap()]).run();
    ended.code(3).no_stdout();
    let line = format!("haul: cannot connect to {}: not open within 200ms: no such file or directory", path.display());
    assert_eq!(ended.one_error(), line);
}

// Nobody reads the report: the end of a pipe, not an error.
#[test]
fn a_report_that_nobody_reads_ends_quietly() {
    let listener = Listener::tcp();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended =
        haul(["connect", "-z", "-v", &listener.endpoint()]).stdout(crate::harness::Sink::Fd(writer.into())).run();
    ended.killed_by(rustix::process::Signal::PIPE);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = haul(["connect", "-z", "-v", &listener.endpoint()]).stdout(crate::harness::Sink::Fd(full.into())).run();
    ended.code(5);
    assert_eq!(ended.one_error(), "haul: cannot write standard output: no space left on device");
}
