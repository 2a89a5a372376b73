//! `-o`, `--hex`, `--timestamps`: a copy of what passes, beside a payload that it never changes or delays.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use haul::sys::SPLICE;
use rustix::process::Signal;

use crate::data::{assert_same, bytes};
use crate::harness::{
    Ended, Input, Listener, Net, Peer, Program, Role, Way, fifo, file_with, haul, open, poll_until, require, scratch,
};

const CONNECTS: Way = Way { role: Role::Connects, net: Net::Tcp };

/// The text of one direction of a dump, its offsets checked.
#[track_caller]
fn dumped(dump: &str, mark: char) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in dump.lines().filter(|line| line.starts_with(mark)) {
        let (head, columns) = line.split_at(10);
        assert_eq!(head, format!("{mark} {:08x}", bytes.len()), "an offset is wrong in {line:?}");
        let columns = columns.split('|').next().unwrap();
        bytes.extend(columns.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    bytes
}

/// The one line of a copy that failed, while the payload came whole.
#[track_caller]
fn incomplete(ended: &Ended, payload: &[u8]) -> String {
    ended.code(5);
    assert_same("the payload", &ended.stdout, payload);
    assert_eq!(ended.complaints().lines().count(), 1, "{}", ended.stderr);
    ended.one_error()
}

// -o: the copy has every byte that was received, and only those, exactly.
fn a_copy_is_what_was_received(way: Way) {
    let (received, sent) = (bytes(301, 3 << 20), bytes(302, 700_000));
    let home = scratch();
    let copy = home.path().join("copy");
    fs::write(&copy, "an old copy, longer than nothing").unwrap();
    let flags = ["-o", copy.to_str().unwrap()];
    let (haul, mut peer) = way.join_with(&flags, |haul| haul.stdin(Input::Bytes(sent.clone())));
    let sending = peer.send_in_thread(received.clone());
    assert_same("what was sent", &peer.receive(sent.len()), &sent);
    assert_eq!(sending.join().unwrap(), received.len());
    peer.finish();
    let haul = haul.wait();
    haul.ok();
    assert_same("standard output", &haul.stdout, &received);
    assert_same("the copy", &fs::read(&copy).unwrap(), &received);
}
both_ways!(a_copy_is_what_was_received);

// --hex: both directions, each with its own offsets, every byte.
fn a_dump_has_both_directions(way: Way) {
    let (received, sent) = (bytes(303, 100_003), bytes(304, 70_001));
    let home = scratch();
    let dump = home.path().join("dump");
    let flags = ["--hex", "-o", dump.to_str().unwrap()];
    let (haul, mut peer) = way.join_with(&flags, |haul| haul.stdin(Input::Bytes(sent.clone())));
    let sending = peer.send_in_thread(received.clone());
    assert_same("what was sent", &peer.receive(sent.len()), &sent);
    sending.join().unwrap();
    peer.finish();
    haul.wait().ok();
    let dump = fs::read_to_string(&dump).unwrap();
    assert_same("received", &dumped(&dump, '<'), &received);
    assert_same("sent", &dumped(&dump, '>'), &sent);
}
both_ways!(a_dump_has_both_directions);

// A conversation is dumped in its order, to the letter, and each line is there as soon as its bytes have passed.
#[test]
fn a_dump_shows_a_conversation_as_it_happens() {
    let (mut haul, mut peer) = CONNECTS.join(&["--hex", "-o", "/dev/stderr"]);
    haul.say(b"GET / HTTP/1.0\r\n\r\n");
    peer.receive(18);
    haul.stderr_line("> 00000010");
    peer.send(b"HTTP/1.0 200 OK\r\n");
    haul.stderr_line("< 00000010");
    haul.say(b"bye");
    peer.receive(3);
    haul.stderr_line("> 00000012");
    haul.end_stdin();
    drop(peer);
    let haul = haul.wait();
    haul.code(0);
    assert_eq!(
        haul.stderr,
        "> 00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 30 0d 0a  |GET / HTTP/1.0..|\n\
         > 00000010  0d 0a                                             |..|\n\
         < 00000000  48 54 54 50 2f 31 2e 30  20 32 30 30 20 4f 4b 0d  |HTTP/1.0 200 OK.|\n\
         < 00000010  0a                                                |.|\n\
         > 00000012  62 79 65                                          |bye|\n"
    );
}

// Escape sequences of the peer's stay away from the terminal that shows a dump.
#[test]
fn a_dump_carries_no_control_characters() {
    let (mut haul, mut peer) = CONNECTS.join(&["--hex", "-o", "/dev/stderr"]);
    let all: Vec<u8> = (0..=255).collect();
    peer.send(&all);
    haul.stderr_line("< 000000f0");
    haul.end_stdin();
    drop(peer);
    let haul = haul.wait();
    assert!(haul.stderr.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')));
    assert_eq!(dumped(&haul.stderr, '<'), all);
}

// --timestamps: each line begins with the time in UTC, to the millisecond.
#[test]
fn timestamps_begin_each_line() {
    let before = SystemTime::now();
    let (mut haul, mut peer) = CONNECTS.join(&["--hex", "--timestamps", "-o", "/dev/stderr"]);
    peer.send(b"seventeen bytes !");
    let line = haul.stderr_line_where(|line| line.contains(" < 00000000 "));
    let second = haul.stderr_line_where(|line| line.contains(" < 00000010 "));
    let (time, rest) = line.split_once(' ').unwrap();
    assert_eq!(time.len(), "2025-11-20T07:39:37.042Z".len());
    let time = date(time);
    assert!(time + 0.001 >= seconds(before) && time <= seconds(SystemTime::now()), "{line}");
    assert!(rest.starts_with("< 00000000  73 65 76"));
    assert!(second.split_once(' ').unwrap().1.starts_with("< 00000010  21  "));
    haul.end_stdin();
    drop(peer);
    haul.wait().code(0);
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// The seconds since the epoch of a time written by RFC 3339 in UTC, as date(1) understands it.
fn date(text: &str) -> f64 {
    let output = Command::new("date").args(["-u", "+%s.%3N", "-d", text]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

// The copy is of what was received, also where nobody wanted to see it.
#[test]
fn what_send_only_discards_is_still_copied() {
    let home = scratch();
    let copy = home.path().join("copy");
    let (mut haul, mut peer) = CONNECTS.join(&["--send-only", "-o", copy.to_str().unwrap()]);
    peer.send(b"what the peer says");
    poll_until("the copy", || (fs::read(&copy).ok()?.len() == 18).then_some(()));
    haul.end_stdin();
    let (got, _) = peer.receive_all();
    assert!(got.is_empty());
    haul.wait().ok().no_stdout();
    assert_eq!(fs::read(&copy).unwrap(), b"what the peer says");
}

// --max-bytes ends the copy where it ends the payload.
#[test]
fn a_copy_has_no_byte_over_max_bytes() {
    let home = scratch();
    let copy = home.path().join("copy");
    let content = bytes(305, 4 << 20);
    let flags = ["--max-bytes", "100001", "-o", copy.to_str().unwrap()];
    let (haul, peer) = CONNECTS.join_with(&flags, |haul| haul.stdin(Input::Null));
    let sending = peer.send_in_thread(content.clone());
    haul.wait().ok();
    sending.join().unwrap();
    assert_same("the copy", &fs::read(&copy).unwrap(), &content[..100_001]);
}

// A file that cannot grow costs the copy, not the payload: told at once, status 5, and the copy is a prefix.
#[test]
fn a_full_disk_costs_the_copy_and_not_the_payload() {
    let home = scratch();
    let copy = home.path().join("copy");
    let content = bytes(306, 1 << 20);
    let flags = ["-o", copy.to_str().unwrap()];
    let limited = "trap '' XFSZ; ulimit -f 16";
    let (mut haul, mut peer) = CONNECTS.join_with(&flags, |haul| haul.stdin(Input::Piped).after(limited));
    peer.send(&content[..500_000]);
    haul.stdout_reaches(500_000);
    haul.stderr_line(&format!("haul: cannot write {}: ", copy.display()));
    peer.send(&content[500_000..]);
    drop(peer);
    haul.end_stdin();
    let haul = haul.wait();
    let line = incomplete(&haul, &content);
    assert!(line.contains("file too large"), "{line}");
    let kept = fs::read(&copy).unwrap();
    assert!(!kept.is_empty() && kept.len() < content.len());
    assert_same("the copy", &kept, &content[..kept.len()]);
}

// A device that takes nothing: the same.
#[test]
fn a_copy_that_cannot_be_written_is_status_5() {
    for hex in [&[][..], &["--hex"]] {
        let flags = [hex, &["-o", "/dev/full"]].concat();
        let (haul, mut peer) = CONNECTS.join_with(&flags, |haul| haul.stdin(Input::Null));
        peer.send(b"hello");
        drop(peer);
        let haul = haul.wait();
        let line = incomplete(&haul, b"hello");
        assert_eq!(line, "haul: cannot write /dev/full: no space left on device");
    }
}

// What failed first stays the status; the copy's trouble is told all the same.
#[test]
fn a_failed_copy_does_not_hide_a_reset() {
    let (haul, mut peer) = CONNECTS.join(&["-o", "/dev/full"]);
    peer.send(b"hello");
    haul.stdout_reaches(5);
    peer.reset();
    let haul = haul.wait();
    haul.code(1);
    assert!(haul.stderr.contains("cannot write /dev/full"), "{}", haul.stderr);
    assert!(haul.stderr.contains("reset the connection"), "{}", haul.stderr);
}

// A copy that cannot be opened is told before anything is connected, status 2.
#[test]
fn a_copy_that_cannot_be_opened_is_status_2() {
    let listener = Listener::tcp();
    for path in ["/nonexistent/copy", "/"] {
        let ended = haul(["connect", "-o", path, &listener.endpoint()]).run();
        ended.code(2).no_stdout();
        assert!(ended.one_error().starts_with(&format!("haul: cannot open {path}: ")));
    }
    assert!(listener.was_left_alone());
}

// Standard output is the payload's.
#[test]
fn standard_output_takes_no_copy() {
    for path in ["-", "/dev/stdout", "/dev/fd/1"] {
        let ended = haul(["connect", "-o", path, "127.0.0.1:1"]).run();
        ended.code(2).no_stdout();
        assert!(ended.one_error().contains("standard output carries the payload"));
    }
}

// A descriptor of the parent's: a file is written where it stands, not from its start.
#[test]
fn an_inherited_file_is_written_where_it_stands() {
    let home = scratch();
    let log = home.path().join("log");
    let prepare = format!("exec 3>{}; echo before >&3", log.display());
    let (haul, mut peer) = CONNECTS.join_with(&["-o", "/dev/fd/3"], |haul| haul.stdin(Input::Null).after(&prepare));
    peer.send(b"received");
    drop(peer);
    haul.wait().ok();
    assert_eq!(fs::read(&log).unwrap(), b"before\nreceived");
}

// A pipe that is read gets everything, and its end.
#[test]
fn a_reader_behind_a_pipe_gets_the_copy_and_its_end() {
    let Some(bash) = require("bash") else { return };
    let home = scratch();
    let copy = home.path().join("copy");
    let content = bytes(307, 200_000);
    let listener = Listener::tcp();
    let script = format!(
        "{} connect -d -o >(cat >{2}) {1}; wait $!",
        env!("CARGO_BIN_EXE_haul"),
        listener.endpoint(),
        copy.display()
    );
    let bash = Program::new(bash, ["-c", &script]).spawn();
    let mut peer = listener.accept();
    peer.send(&content);
    drop(peer);
    let ended = bash.wait();
    ended.ok();
    assert_same("the payload", &ended.stdout, &content);
    assert_same("the copy", &fs::read(&copy).unwrap(), &content);
}

// A FIFO is opened without making anybody wait; its reader gets the copy.
#[test]
fn a_fifo_waits_for_its_reader_alone() {
    let (home, fifo) = fifo();
    let (haul, mut peer) = CONNECTS.join_with(&["-o", fifo.to_str().unwrap()], |haul| haul.stdin(Input::Null));
    peer.send(b"early");
    haul.stdout_reaches(5);
    let mut reader = File::open(&fifo).unwrap();
    let mut got = [0; 5];
    reader.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"early");
    drop(peer);
    assert_eq!(reader.read(&mut got).unwrap(), 0, "the reader gets an end");
    haul.wait().ok();
    drop(home);
}

// Nobody reads: the payload is not held up, and the loss is told.
#[test]
fn a_pipe_that_nobody_reads_delays_nothing() {
    let content = bytes(308, 4 << 20);
    for (hex, wanted) in [(&[][..], "the copy is cut"), (&["--hex"], "lines were not read fast enough")] {
        let (home, fifo) = fifo();
        // keeps a reader that never reads
        let prepare = format!("exec 4<>{}", fifo.display());
        let flags = [hex, &["-o", fifo.to_str().unwrap()]].concat();
        let (haul, peer) = CONNECTS.join_with(&flags, |haul| haul.stdin(Input::Null).after(&prepare));
        assert_eq!(peer.send_in_thread(content.clone()).join().unwrap(), content.len());
        drop(peer);
        let line = incomplete(&haul.wait(), &content);
        assert!(line.contains(wanted), "{line}");
        drop(home);
    }
}

// A reader that reads late finds, in place of what it missed, a line that says so; the offsets agree.
#[test]
fn a_dump_tells_of_its_gaps() {
    let content = bytes(309, 4 << 20);
    let (home, fifo) = fifo();
    let (mut haul, peer) = CONNECTS.join(&["--hex", "-o", fifo.to_str().unwrap()]);
    let reader = File::open(&fifo).unwrap();
    assert_eq!(peer.send_in_thread(content.clone()).join().unwrap(), content.len());
    haul.stdout_reaches(content.len());
    drop(peer);
    haul.end_stdin();
    let (mut expected, mut gaps, mut told) = (0, 0, false);
    for line in BufReader::new(reader).lines().map(Result::unwrap) {
        if let Some(gap) = line.strip_prefix("* ") {
            gaps += gap.split(' ').next().unwrap().parse::<u64>().unwrap();
            told = true;
            continue;
        }
        let offset = u64::from_str_radix(line.split(' ').nth(1).unwrap(), 16).unwrap();
        assert_eq!(expected < offset, told, "a gap is told where it is, before {line}");
        let columns = line.split('|').next().unwrap();
        (expected, told) = (offset + columns.split_whitespace().count() as u64 - 2, false);
    }
    assert!(gaps > 0);
    let haul = haul.wait();
    haul.code(5);
    let line = haul.one_error();
    assert!(line.contains(&format!("{gaps} lines were not read fast enough")), "{line}");
    drop(home);
}

// Only a watched direction gives up zero copy: -v tells each one's way.
#[test]
fn only_the_watched_direction_passes_through_memory() {
    if !SPLICE {
        return;
    }
    let home = scratch();
    let content = bytes(310, 4 << 20);
    let (input, copy) = (file_with(home.path(), "in", &content), home.path().join("copy"));
    let to_copy = ["-v", "-o", copy.to_str().unwrap()];
    let hex = [&["--hex"], &to_copy[..]].concat();
    for (flags, sent, received) in [
        (&to_copy[..1], "splice", "splice"),
        (&to_copy, "splice", "read and write"),
        (&hex, "read and write", "read and write"),
    ] {
        let (haul, mut peer) = CONNECTS.join_with(flags, |haul| haul.stdin(Input::Fd(open(&input))));
        let sending = peer.send_in_thread(content.clone());
        peer.receive(content.len());
        sending.join().unwrap();
        drop(peer);
        let haul = haul.wait();
        haul.code(0);
        let way = |from: &str| {
            let told = haul.stderr.lines().filter_map(|line| line.strip_prefix("haul: ")?.strip_prefix(from));
            let last = told.filter_map(|line| line.split_once(": ")).next_back();
            last.unwrap_or_else(|| panic!("no way from {from}")).1.to_string()
        };
        assert!(way("standard input to ").starts_with(sent), "{}", haul.stderr);
        assert!(way("127.0.0.1:").contains(received), "{}", haul.stderr);
    }
}

// Several sessions share one dump: each line names its session, which has offsets of its own.
#[test]
fn a_server_dumps_every_session_under_its_number() {
    let joined: [&[&str]; 2] = [&["--broker"], &["-c", "cat"]];
    for flags in joined {
        let words = [&["listen", "-k", "--hex", "-o", "/dev/stderr"], flags, &["127.0.0.1:0"]].concat();
        let haul = haul(words).spawn();
        let mut first = Peer::connect(haul.address());
        first.send(b"one");
        haul.stderr_line("1 < 00000000  6f 6e 65 ");
        let mut second = Peer::connect(haul.address());
        second.send(b"two");
        haul.stderr_line("2 < 00000000  74 77 6f ");
        let echoes = flags.contains(&"-c");
        // a broker sends to the others, cat back to whom it serves
        let (hears, line) =
            if echoes { (&mut second, "2 > 00000000  74 77 6f ") } else { (&mut first, "1 > 00000000  74 77 6f ") };
        assert_eq!(hears.receive(3), b"two");
        haul.stderr_line(line);
        drop((first, second));
        haul.signal(Signal::TERM);
        haul.wait().code(0);
    }
}

// -k without a program: the copy is what the clients sent, as it came.
#[test]
fn a_server_copies_what_its_clients_send() {
    let home = scratch();
    let copy = home.path().join("copy");
    let haul = haul(["listen", "-k", "--count", "2", "-o", copy.to_str().unwrap(), "127.0.0.1:0"]).spawn();
    for line in [b"one\n", b"two\n"] {
        let mut peer = Peer::connect(haul.address());
        peer.send(line);
        peer.finish();
        peer.receive_all();
    }
    let haul = haul.wait();
    haul.ok();
    assert_eq!(haul.stdout, b"one\ntwo\n");
    assert_eq!(fs::read(&copy).unwrap(), b"one\ntwo\n");
}

// A server whose copy fails goes on serving, says so at once, and ends with status 5.
#[test]
fn a_server_outlives_its_copy() {
    let home = scratch();
    let copy = home.path().join("copy");
    let words = ["listen", "-k", "-c", "cat", "-o", copy.to_str().unwrap(), "127.0.0.1:0"];
    let haul = haul(words).after("trap '' XFSZ; ulimit -f 1").spawn();
    let content = bytes(311, 100_000);
    for _ in 0..2 {
        let mut peer = Peer::connect(haul.address());
        let sending = peer.send_in_thread(content.clone());
        assert_same("the echo", &peer.receive(content.len()), &content);
        sending.join().unwrap();
        haul.stderr_line("haul: cannot write ");
    }
    haul.signal(Signal::TERM);
    let haul = haul.wait();
    haul.code(5);
    assert_eq!(haul.complaints().lines().count(), 1, "{}", haul.stderr);
}

// --send and --expect are dumped as they are said, with -C as the peer hears it.
#[test]
fn a_dialogue_is_dumped() {
    let listener = Listener::tcp();
    let words = ["--send", r"ping\n", "--expect", "pong", "--send", r"bye\n", "--hex", "-o", "/dev/stderr"];
    let haul = haul([&["connect", "-C"], &words[..], &[&listener.endpoint()]].concat()).spawn();
    let mut peer = listener.accept();
    assert_eq!(peer.receive(6), b"ping\r\n");
    peer.send(b"pong\n");
    assert_eq!(peer.receive_all().0, b"bye\r\n");
    drop(peer);
    let haul = haul.wait();
    haul.code(0);
    let lines: Vec<_> = haul.stderr.lines().map(|line| line[..30].trim_end()).collect();
    let said = ["> 00000000  70 69 6e 67 0d 0a", "< 00000000  70 6f 6e 67 0a", "> 00000006  62 79 65 0d 0a"];
    assert_eq!(lines, said);
}
