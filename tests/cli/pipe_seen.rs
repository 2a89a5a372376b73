//! `haul pipe`: limits, and what is learnt on the way: digests, records, totals, progress.

use std::fs;
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::data::{assert_same, bytes};
use crate::harness::{Ended, Ending, Input, Listener, Program, file_with, open, require, scratch};
use crate::pipe::{pipe, word};

/// What is left to be read where a shared description stands.
fn rest(mut file: fs::File) -> Vec<u8> {
    let mut left = Vec::new();
    file.read_to_end(&mut left).unwrap();
    left
}

// The group's next reader finds what pipe has left: exactly the rest, in a file and in a pipe.
#[test]
fn stop_at_takes_not_one_byte_more() {
    let home = scratch();
    let content = bytes(7, 300_000);
    for n in [1, 4096, 70_000, 299_999, 300_000] {
        let file: OwnedFd = open(&file_with(home.path(), "in", &content));
        let ended = pipe(&["--stop-at", &n.to_string()]).stdin(Input::Fd(file.try_clone().unwrap())).run();
        ended.ok();
        assert_same("the head", &ended.stdout, &content[..n]);
        assert_same("the rest", &rest(file.into()), &content[n..]);

        let file: OwnedFd = open(&file_with(home.path(), "in", &content));
        let out = home.path().join("out");
        let counted = pipe(&["--stop-at", &n.to_string(), "--lines", "-", &word(&out)]);
        counted.stdin(Input::Fd(file.try_clone().unwrap())).run().ok();
        assert_same("the head, seen", &fs::read(&out).unwrap(), &content[..n]);
        assert_same("the rest, seen", &rest(file.into()), &content[n..]);
    }
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"headtail").unwrap();
    drop(writer);
    let ended = pipe(&["--stop-at", "4"]).stdin(Input::Fd(reader.try_clone().unwrap().into())).run();
    assert_eq!(ended.ok().stdout, b"head");
    let mut tail = Vec::new();
    reader.read_to_end(&mut tail).unwrap();
    assert_eq!(tail, b"tail");
}

#[test]
fn stop_at_gives_a_network_sink_its_normal_end_and_outlives_an_endless_source() {
    let listener = Listener::tcp();
    let running =
        pipe(&["--stop-at".into(), "1M".into(), "zero:".into(), format!("tcp:{}", listener.address())]).spawn();
    let mut peer = listener.accept();
    assert_eq!(peer.receive_all(), (vec![0; 1_000_000], Ending::Eof));
    running.wait().ok();
    // a program that would go on for ever is told to end, and how it takes that says nothing
    let ended = pipe(&["--stop-at", "6", "sh:echo hello; exec sleep 1000"]).run();
    assert_eq!(ended.ok().stdout, b"hello\n");
}

#[test]
fn the_watchdog_bites_when_nothing_moves_and_only_then() {
    let listener = Listener::tcp();
    let words = ["--watchdog".into(), "300ms".into(), "-".into(), format!("tcp:{}", listener.address())];
    let mut running = pipe(&words).stdin(Input::Piped).spawn();
    let mut peer = listener.accept();
    running.say(b"x");
    assert_eq!(peer.receive(1), b"x");
    let ended = running.wait();
    assert_eq!(ended.code(3).one_error(), "haul: transfer stopped after 1 B: nothing moved for 300ms");
    assert_eq!(peer.receive_all(), (vec![], Ending::Reset), "an end of file would be a lie");
}

#[test]
fn the_rate_is_kept() {
    let started = Instant::now();
    pipe(&["-L", "1M", "--stop-at", "700k", "zero:", "null:"]).run().ok();
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(640), "{took:?}");
}

#[test]
fn a_digest_is_printed_of_what_came_through_whole_and_of_nothing_else() {
    let Some(sum) = require("sha256sum") else { return };
    let home = scratch();
    let content = bytes(13, 2_000_001);
    let from = file_with(home.path(), "in", &content);
    let odd = home.path().join("odd\nname\\");
    let ended = pipe(&["--quiet", "--hash", "sha256", &word(&from), odd.to_str().unwrap()]).run();
    ended.code(0);
    let theirs = Program::new(&sum, [&odd]).run();
    assert_eq!(ended.stderr.as_bytes(), theirs.stdout, "in a form that sha256sum -c reads");
    let note = file_with(home.path(), "sums", b"old");
    let words = ["--hash", "sha256", "--hash-file", &word(&note), &word(&from), "null:"];
    pipe(&words).run().ok();
    let line = fs::read(&note).unwrap();
    assert!(line.ends_with(b"  -\n") && line[..64] == theirs.stdout[1..65]);
    fs::write(&note, "old").unwrap();
    let failing = ["--hash", "sha256", "--hash-file", &word(&note), "sh:echo x; exit 3", "null:"];
    pipe(&failing).run().code(3);
    assert_eq!(fs::read(&note).unwrap(), b"old", "no digest of what failed");
    let ended = pipe(&["--hash", "blake3", "sh:echo x; exit 3", "null:"]).run();
    assert_eq!(ended.code(3).stderr, "");
    let ended = pipe(&["--hash", "blake3", "text:", "null:"]).run();
    assert_eq!(ended.stderr, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262  -\n");
    let ended = pipe(&["--hash", "blake3", "--hash-file", "/dev/full", "text:", "null:"]).run();
    ended.code(5).one_error();
}

fn events(ended: &Ended, path: &Path) -> String {
    ended.code(0);
    fs::read_to_string(path).unwrap()
}

#[test]
fn records_are_counted_beside_bytes() {
    let home = scratch();
    let lines = file_with(home.path(), "in", "line\n".repeat(1000).as_bytes());
    let log = home.path().join("events");
    let ended = pipe(&["--lines", "--stats", "--events", &word(&log), &word(&lines), "null:"]).run();
    assert!(
        ended.stderr.contains("haul: 4.88 KiB in ") && ended.stderr.contains(", 1000 records ("),
        "{}",
        ended.stderr
    );
    let events = events(&ended, &log);
    let stats = events.lines().find(|line| line.contains("\"stats\"")).unwrap();
    for field in ["\"bytes_in\":5000,", "\"bytes_out\":5000,", "\"records\":1000,", "\"records_per_sec\":"] {
        assert!(stats.contains(field), "{field} in {stats}");
    }
    let nul = pipe(&["-0", "--stats"]).stdin(Input::Bytes(b"a\0b\0c\n".to_vec())).run();
    assert!(nul.stderr.contains(", 2 records ("), "{}", nul.stderr);
    let plain = pipe(&["--stats"]).stdin(Input::Bytes(b"a\n".to_vec())).run();
    assert!(plain.stderr.starts_with("haul: 2 B in ") && !plain.stderr.contains("record"), "{}", plain.stderr);
}

#[test]
fn a_signal_asks_for_the_totals_so_far() {
    let mut running = pipe(&["--lines"]).stdin(Input::Piped).spawn();
    running.say(b"one\ntwo\n");
    running.stdout_reaches(8);
    running.signal(Signal::USR1);
    let line = running.stderr_line("haul: 8 B in ");
    assert!(line.contains(", 2 records ("), "{line}");
    running.end_stdin();
    running.wait().code(0);
}

#[test]
fn progress_knows_the_size_of_a_file_from_where_it_stands() {
    let home = scratch();
    let path = file_with(home.path(), "in", &vec![b'\n'; 3_000_000]);
    let last = |ended: Ended| {
        ended.code(0);
        ended.stderr.lines().last().unwrap_or_default().to_string()
    };
    let json = ["--progress=json", "--lines", &word(&path), "null:"];
    let object = last(pipe(&json).run());
    for field in ["\"bytes\":3000000,", "\"records\":3000000,", "\"total_bytes\":3000000,", "\"percent\":100.0"] {
        assert!(object.contains(field), "{field} in {object}");
    }
    let mut file = fs::File::open(&path).unwrap();
    file.seek(std::io::SeekFrom::Start(1_000_000)).unwrap();
    let object = last(pipe(&["--progress=json", "-", "null:"]).stdin(Input::Fd(file.into())).run());
    assert!(object.contains("\"total_bytes\":2000000,"), "{object}");
    let at = format!("file,offset=2M:{}", path.display());
    let object = last(pipe(&["--progress=json", &at, "null:"]).run());
    assert!(object.contains("\"total_bytes\":1000000,"), "{object}");
    let object = last(pipe(&["--progress=json", "--stop-at", "5", &word(&path), "null:"]).run());
    assert!(object.contains("\"total_bytes\":5,"), "{object}");
    let sized = ["--progress=json", "--size", "20", "text:0123456789", "null:"];
    let object = last(pipe(&sized).run());
    assert!(object.contains("\"total_bytes\":20,") && object.contains("\"percent\":50.0"), "{object}");
}

// The portable build has one way.
#[cfg(not(feature = "portable"))]
#[test]
fn the_path_that_the_bytes_take_is_told() {
    let home = scratch();
    let path = file_with(home.path(), "in", &bytes(1, 500_000));
    let out = home.path().join("out");
    let told = |program: Program| program.run().code(0).stderr.clone();
    assert!(told(pipe(&["-v", &word(&path), &word(&out)])).contains(": copy_file_range\n"));
    assert!(told(pipe(&["-v", "--lines", &word(&path), &word(&out)])).contains(": read and write\n"));
    let appended = format!("file,append:{}", out.display());
    assert!(told(pipe(&["-v", &word(&path), &appended])).contains(": read and write\n"));
    assert_eq!(fs::read(&out).unwrap().len(), 1_000_000);
    assert!(told(pipe(&["-v"]).stdin(Input::Bytes(bytes(1, 500_000)))).contains(": splice, straight\n"));
}

// The sinks that got everything have it, whatever became of the others; the line of a broken file would be a lie.
#[test]
fn sinks_that_survive_another_one_have_their_digest() {
    let home = scratch();
    let content = bytes(61, 5_000_000);
    let (from, out) = (file_with(home.path(), "in", &content), home.path().join("out"));
    let digest = blake3::hash(&content).to_hex();
    let run = |sinks: &[&str]| {
        let ended = pipe(&[&["--hash", "blake3", &word(&from)], sinks].concat()).run();
        ended.code(5);
        let lines: Vec<String> = ended.stderr.lines().map(String::from).collect();
        assert!(lines[0].starts_with("haul: /dev/full stopped after "), "{lines:?}");
        lines[1..].to_vec()
    };
    assert_eq!(run(&["/dev/full", &word(&out)]), [format!("{digest}  {}", out.display())]);
    assert_same("the other", &fs::read(&out).unwrap(), &content);
    assert_eq!(run(&["/dev/full", "null:"]), [format!("{digest}  -")]);
    assert!(run(&["/dev/full", "/dev/full"]).iter().all(|line| line.starts_with("haul: ")), "nobody has it");
}

// Long streams are hashed by two threads, in whatever pieces they come.
#[test]
fn the_digest_of_a_long_stream_is_right_however_it_comes_and_goes() {
    let content = bytes(67, 20_000_001);
    let digest = blake3::hash(&content).to_hex();
    for more in [&["-", "-"][..], &["-", "-", "null:"], &["--buffer", "300k", "-", "-"], &["--block", "70k", "-", "-"]]
    {
        let ended = pipe(&[&["--hash", "blake3"], more].concat()).stdin(Input::Bytes(content.clone())).run();
        assert_same("what came through", &ended.code(0).stdout, &content);
        assert_eq!(ended.stderr, format!("{digest}  -\n"), "{more:?}");
    }
}
