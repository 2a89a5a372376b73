//! `haul pipe`: one source, one sink, whatever they are; what is learnt on the way, and what the end says.

use std::fs;
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::data::{FEW_SIZES, assert_same, bytes};
use crate::harness::{
    Ended, Ending, Input, Listener, Peer, Program, Running, Sink, create, fifo, file_with, haul, open, require, scratch,
};

fn pipe<S: AsRef<str>>(words: &[S]) -> Program {
    haul(std::iter::once("pipe").chain(words.iter().map(AsRef::as_ref)))
}

fn word(path: &Path) -> String {
    path.display().to_string()
}

/// What is left to be read where a shared description stands.
fn rest(mut file: fs::File) -> Vec<u8> {
    let mut left = Vec::new();
    file.read_to_end(&mut left).unwrap();
    left
}

#[test]
fn it_stands_between_two_programs_whatever_its_ends_are() {
    for size in FEW_SIZES {
        let home = scratch();
        let content = bytes(3, size);
        let path = file_with(home.path(), "in", &content);
        let inputs = [Input::Bytes(content.clone()), Input::Fd(open(&path))];
        for input in inputs {
            let ended = pipe(&[""; 0]).stdin(input).run();
            ended.ok();
            assert_same("captured", &ended.stdout, &content);
        }
        let out = home.path().join("out");
        pipe(&["-", "-"]).stdin(Input::Fd(open(&path))).stdout(Sink::Fd(create(&out))).run().ok();
        assert_same("file to file", &fs::read(&out).unwrap(), &content);
        let copy = home.path().join("copy");
        pipe(&[word(&path), word(&copy)]).run().ok().no_stdout();
        assert_same("by name", &fs::read(&copy).unwrap(), &content);
    }
}

// The same inputs through the tools that it replaces give the same output and digest.
#[test]
fn what_comes_out_is_what_pv_mbuffer_and_sha256sum_say() {
    let content = bytes(11, 1_234_567);
    let home = scratch();
    let path = file_with(home.path(), "in", &content);
    let ours = pipe(&["--hash", "sha256", &word(&path)]).run();
    ours.code(0);
    for (tool, flags) in [("pv", "-q"), ("mbuffer", "-q"), ("cat", "-u")] {
        let Some(tool) = require(tool) else { continue };
        let theirs = Program::new(tool, [flags]).stdin(Input::Fd(open(&path))).run();
        assert_same("theirs", &ours.stdout, &theirs.stdout);
    }
    if let Some(sum) = require("sha256sum") {
        let theirs = Program::new(sum, [""; 0]).stdin(Input::Fd(open(&path))).run();
        assert_eq!(ours.stderr.as_bytes(), theirs.stdout);
    }
}

#[test]
fn network_ends_are_dialled_and_listened_for() {
    let content = bytes(5, 3_000_000);
    let home = scratch();
    let (from, to) = (file_with(home.path(), "in", &content), home.path().join("out"));
    let receiving = pipe(&["tcp,listen:127.0.0.1:0", &word(&to)]).spawn();
    let sending = pipe(&[word(&from), format!("tcp:{}", receiving.address())]).spawn();
    sending.wait().ok();
    receiving.wait().ok();
    assert_same("tcp", &fs::read(&to).unwrap(), &content);

    let socket = home.path().join("s");
    let at = format!("unix,listen:{}", socket.display());
    let receiving = pipe(&["-v", &at]).spawn();
    receiving.stderr_line("haul: listening on unix ");
    pipe(&["-", &word(&socket)]).stdin(Input::Bytes(content.clone())).run().ok();
    let ended = receiving.wait();
    ended.code(0);
    assert_same("unix, by its path", &ended.stdout, &content);
    assert!(!socket.exists());
}

#[test]
fn a_network_source_is_read_and_not_answered() {
    let listener = Listener::tcp();
    let running = pipe(&[format!("tcp:{}", listener.address())]).stdin(Input::Null).spawn();
    let mut peer = listener.accept();
    peer.send(b"one");
    assert_eq!(running.stdout_reaches(3), b"one");
    assert!(peer.hears_nothing(), "no end of file before the source's own");
    peer.finish();
    let ended = running.wait();
    ended.ok();
    assert_eq!(peer.receive_all(), (vec![], Ending::Eof));
}

#[test]
fn a_source_that_is_cut_is_no_end() {
    let home = scratch();
    let out = home.path().join("out");
    let listener = Listener::tcp();
    let running = pipe(&[format!("tcp:{}", listener.address()), word(&out)]).spawn();
    let mut peer = listener.accept();
    peer.send(b"half");
    crate::harness::poll_until("the first bytes", || (fs::read(&out).unwrap_or_default() == b"half").then_some(()));
    peer.reset();
    let ended = running.wait();
    ended.code(1);
    let line = ended.one_error();
    assert!(line.starts_with("haul: transfer stopped after 4 B: 127.0.0.1:"), "{line}");
    assert!(line.ends_with(" reset the connection"), "{line}");
}

#[test]
fn both_ways_is_asked_for() {
    let listener = Listener::tcp();
    let running = pipe(&["-2".to_string(), "-".into(), format!("tcp:{}", listener.address())]);
    let running = running.stdin(Input::Bytes(b"question".to_vec())).spawn();
    let mut peer = listener.accept();
    assert_eq!(peer.receive_all(), (b"question".to_vec(), Ending::Eof));
    peer.send(b"answer");
    peer.finish();
    let ended = running.wait();
    ended.ok();
    assert_eq!(ended.stdout, b"answer");
}

// Nothing is emptied, made or run when anything is wrong that can be known beforehand, or a connection fails.
#[test]
fn what_is_wrong_is_one_line_and_nothing_is_touched() {
    let home = scratch();
    let (there, new) = (file_with(home.path(), "there", b"precious"), home.path().join("new"));
    let (there_word, new_word) = (word(&there), word(&new));
    let missing = word(&home.path().join("missing"));
    let nowhere = word(&home.path().join("no/such"));
    let (_guard, refusing) = crate::harness::peer::refusing_address();
    let refusing = format!("tcp:{refusing}");
    let directory = word(home.path());
    let touch = format!("sh:touch {new_word}");
    let link = home.path().join("link");
    std::os::unix::fs::symlink(&there, &link).unwrap();
    let link = word(&link);
    let table: [(&[&str], i32, &str); 11] = [
        (&[&missing, &there_word], 2, "missing: no such file or directory"),
        (&[&missing, &new_word], 2, "missing: no such file or directory"),
        (&[&directory, &there_word], 2, ": is a directory"),
        (&[&there_word, &directory], 2, ": is a directory"),
        (&["-", &nowhere], 2, "no/such: no such file or directory"),
        (&[&there_word, &there_word], 2, "there: the input file is the output file"),
        (&[&there_word, &link], 2, "there: the input file is the output file"),
        (&[&refusing, &there_word], 1, ": connection refused"),
        (&[&refusing, &touch], 1, ": connection refused"),
        (&[&touch, &refusing], 1, ": connection refused"),
        (&["exec:no-such-program-at-all", &there_word], 2, "no-such-program-at-all: no such file or directory"),
    ];
    for (words, status, cause) in table {
        let ended = pipe(words).run();
        ended.code(status).no_stdout();
        let line = ended.one_error();
        assert!(line.starts_with("haul: cannot ") && line.ends_with(cause), "{words:?}: {line}");
        assert_eq!(fs::read(&there).unwrap(), b"precious", "{words:?}");
        assert!(!new.exists(), "{words:?}");
    }
    let ended = pipe(&["-", &there_word]).stdin(Input::Fd(open(&there))).run();
    assert!(ended.code(2).one_error().ends_with("there: the input file is the output file"));
    let appended = fs::OpenOptions::new().append(true).open(&there).unwrap();
    let ended = pipe(&["-"]).stdin(Input::Fd(open(&there))).stdout(Sink::Fd(appended.into())).run();
    assert!(ended.code(2).one_error().ends_with("standard output: the input file is the output file"));
    let ended = pipe(&["-"]).stdin(Input::Fd(open(home.path()))).run();
    assert!(ended.code(5).one_error().ends_with("standard input: is a directory"));
    assert_eq!(fs::read(&there).unwrap(), b"precious");
}

#[test]
fn an_endpoint_has_its_time_to_open() {
    let home = scratch();
    let there = file_with(home.path(), "there", b"precious");
    let ended = pipe(&["--connect-timeout", "50ms", "tcp,listen:127.0.0.1:0", &word(&there)]).run();
    ended.code(3);
    assert!(ended.one_error().ends_with(": timed out after 50ms"), "{}", ended.stderr);
    assert_eq!(fs::read(&there).unwrap(), b"precious");
    let (_home, path) = fifo();
    let ended = pipe(&["--connect-timeout", "50ms", &word(&path), "-"]).run();
    assert!(ended.code(3).one_error().ends_with("fifo: timed out after 50ms"), "{}", ended.stderr);
}

#[test]
fn a_signal_while_it_opens_ends_it_and_leaves_no_socket() {
    let home = scratch();
    let socket = home.path().join("s");
    let running = pipe(&["-v", &format!("unix,listen:{}", socket.display())]).spawn();
    running.stderr_line("haul: listening on unix ");
    running.signal(Signal::TERM);
    running.wait().killed_by(Signal::TERM);
    assert!(!socket.exists());
}

#[test]
fn a_signal_resets_a_network_sink() {
    let listener = Listener::tcp();
    let mut running = pipe(&["-".to_string(), format!("tcp:{}", listener.address())]).stdin(Input::Piped).spawn();
    let mut peer = listener.accept();
    running.say(b"half");
    assert_eq!(peer.receive(4), b"half");
    running.signal(Signal::TERM);
    running.wait().killed_by(Signal::TERM);
    assert_eq!(peer.receive_all(), (vec![], Ending::Reset));
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
fn programs_stand_at_either_side_and_their_status_counts() {
    let home = scratch();
    let path = file_with(home.path(), "in", b"one\ntwo\n");
    let out = home.path().join("out");
    let ended = pipe(&[word(&path), "exec:tr a-z A-Z".into()]).run();
    assert_eq!(ended.ok().stdout, b"ONE\nTWO\n", "what a sink prints goes where haul's output goes");
    let ended = pipe(&["exec:tr a-z A-Z", "-"]).stdin(Input::Fd(open(&path))).run();
    assert_eq!(ended.ok().stdout, b"ONE\nTWO\n", "a source reads what haul could have read");
    assert_eq!(pipe(&["sh:echo some; exit 7", "-"]).run().code(7).stdout, b"some\n");
    pipe(&["-", "sh:cat >/dev/null; exit 9"]).stdin(Input::Bytes(b"x".to_vec())).run().code(9);
    pipe(&["sh:echo x", "sh:cat >/dev/null; exit 9"]).run().code(9);
    pipe(&["sh:echo x; exit 7", &word(&out)]).run().code(7);
    // a sink that has read enough is no failure, and neither is what its source makes of that
    let ended = pipe(&["exec:yes", "exec:head -n 1"]).run();
    assert_eq!(ended.ok().stdout, b"y\n");
}

// As a shell would without pipefail: a dump that failed half-way would look whole to whoever receives it.
#[test]
fn the_end_of_a_program_that_failed_is_not_passed_on_as_the_end_of_its_data() {
    let listener = Listener::tcp();
    let to = format!("tcp:{}", listener.address());
    let running = pipe(&["sh:echo half; exec >&-; read line; exit 3", &to]).stdin(Input::Piped).spawn();
    let mut peer = listener.accept();
    assert_eq!(peer.receive(5), b"half\n");
    assert!(peer.hears_nothing(), "its status is not known yet");
    let mut running = running;
    running.say(b"\n");
    running.wait().code(3);
    assert_eq!(peer.receive_all(), (vec![], Ending::Reset));
}

// A slow sink is no silence: what a program has written before it ended is delivered however long that takes.
#[test]
fn the_output_of_an_ended_program_waits_for_a_slow_sink() {
    let listener = Listener::tcp_with(Some(4096), 1);
    let to = format!("tcp,sndbuf=4096:{}", listener.address());
    let running = pipe(&["-v", "sh:head -c 900000 /dev/zero", &to]).spawn();
    let mut peer = listener.accept();
    // longer than the second after which an ended program's pipe would count as silent: its last bytes are still there
    let ended_at = Instant::now();
    crate::harness::poll_until("a second", || (ended_at.elapsed() > Duration::from_millis(1500)).then_some(()));
    let (got, ending) = peer.receive_all();
    assert_eq!((got.len(), ending), (900_000, Ending::Eof));
    running.wait().code(0);
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

// The reader of standard output that goes away ends it as it ends cat: silently.
#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let mut running: Running = pipe(&["zero:"]).stdout(Sink::Held).spawn();
    drop(running.held.take());
    let ended = running.wait();
    assert_eq!(ended.killed_by(Signal::PIPE).stderr, "");
}

#[test]
fn a_fifo_brings_two_of_them_together() {
    let (_home, path) = fifo();
    let content = bytes(17, 400_000);
    let reading = pipe(&[word(&path)]).spawn();
    let writing = pipe(&["-".to_string(), word(&path)]).stdin(Input::Bytes(content.clone())).run();
    writing.ok();
    let ended = reading.wait();
    ended.ok();
    assert_same("through the fifo", &ended.stdout, &content);
}

#[test]
fn a_full_disk_is_status_5_and_names_the_file() {
    let ended = pipe(&["zero:", "/dev/full"]).run();
    let line = ended.code(5).one_error();
    assert_eq!(line, "haul: cannot write /dev/full: no space left on device");
}

// The accept list of a listening endpoint is kept: who is not on it does not count.
#[test]
fn only_those_who_may_connect_do() {
    let running = pipe(&["-v", "--deny", "127.0.0.1", "tcp,listen:127.0.0.1:0"]).spawn();
    let mut peer = Peer::connect(running.address());
    let (got, _) = peer.receive_all();
    assert!(got.is_empty());
    running.stderr_line("haul: refused ");
    running.signal(Signal::TERM);
    running.wait().killed_by(Signal::TERM);
}

#[test]
fn the_children_of_a_group_share_one_input() {
    let home = scratch();
    let out = home.path().join("out");
    let script = format!("{0} pipe --stop-at 4 - {1}; cat", env!("CARGO_BIN_EXE_haul"), out.display());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).stdin(Stdio::from(open(&file_with(home.path(), "in", b"headtail"))));
    assert_eq!(shell.output().unwrap().stdout, b"tail");
    assert_eq!(fs::read(out).unwrap(), b"head");
}

// A whole file takes its name only when everything went well; until then, and after anything else, the old one stands.
#[test]
fn a_file_that_is_written_whole_is_there_or_the_old_one_is() {
    let home = scratch();
    let out = file_with(home.path(), "out", b"old");
    let whole = format!("file,atomic:{}", out.display());
    for (source, status) in [("sh:echo half; exit 3", 3), ("sh:echo half; kill -9 $$", 137)] {
        pipe(&[source, &whole]).run().code(status);
        assert_eq!(fs::read(&out).unwrap(), b"old");
    }
    let running = pipe(&["sh:echo half; exec sleep 1000", &whole]).spawn();
    running.signal(Signal::TERM);
    running.wait().killed_by(Signal::TERM);
    assert_eq!(fs::read(&out).unwrap(), b"old");
    pipe(&["sh:echo all", &whole]).run().ok();
    assert_eq!(fs::read(&out).unwrap(), b"all\n");
    pipe(&["--fsync", "--stop-at", "6", "sh:echo hello; exec sleep 1000", &whole]).run().ok();
    assert_eq!(fs::read(&out).unwrap(), b"hello\n");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn every_sink_gets_every_byte() {
    let home = scratch();
    let content = bytes(23, 5_000_000);
    let from = file_with(home.path(), "in", &content);
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    let listener = Listener::tcp();
    let words = [
        word(&from),
        word(&a),
        "-".into(),
        format!("tcp:{}", listener.address()),
        format!("file,atomic:{}", b.display()),
    ];
    let running = pipe(&[&["--hash".to_string(), "sha256".into(), "--fsync".into()][..], &words].concat()).spawn();
    let mut peer = listener.accept();
    let (got, ending) = peer.receive_all();
    assert_eq!(ending, Ending::Eof);
    assert_same("by tcp", &got, &content);
    let ended = running.wait();
    ended.code(0);
    assert_same("standard output", &ended.stdout, &content);
    for path in [&a, &b] {
        assert_same("a file", &fs::read(path).unwrap(), &content);
    }
    let names: Vec<_> = ended.stderr.lines().map(|line| line[66..].to_string()).collect();
    assert_eq!(names, [word(&a), word(&b)]);
}

#[test]
fn a_dead_sink_ends_only_itself() {
    let home = scratch();
    let content = bytes(29, 3_000_000);
    let out = home.path().join("out");
    let listener = Listener::tcp();
    let words = ["-".to_string(), word(&out), format!("tcp:{}", listener.address())];
    let running = pipe(&words).stdin(Input::Bytes(content.clone())).spawn();
    let peer = listener.accept();
    peer.reset();
    let ended = running.wait();
    let line = ended.code(1).one_error();
    assert!(line.starts_with(&format!("haul: {} stopped after ", listener.address())), "{line}");
    assert_same("the other one", &fs::read(&out).unwrap(), &content);
    let ended = pipe(&["text:all", "/dev/full", "sh:cat; exit 0", &word(&out)]).run();
    assert!(ended.code(5).one_error().starts_with("haul: /dev/full stopped after 0 B"), "{}", ended.stderr);
    assert_eq!((&ended.stdout[..], &fs::read(&out).unwrap()[..]), (&b"all"[..], &b"all"[..]));
}

#[test]
fn two_sinks_that_are_one_file_are_refused() {
    let home = scratch();
    let (a, b) = (file_with(home.path(), "a", b"old"), home.path().join("b"));
    std::os::unix::fs::symlink(&a, &b).unwrap();
    let ended = pipe(&["text:new", &word(&a), &word(&b)]).run();
    assert!(ended.code(2).one_error().ends_with("b: two sinks are this one file"), "{}", ended.stderr);
    assert_eq!(fs::read(&a).unwrap(), b"old");
}

// A tape goes on while the other end is not there yet: the ring takes what it can, and the sink gets it all later.
#[test]
fn a_ring_is_filled_before_its_sink_is_open() {
    let (_home, path) = fifo();
    let mut running = pipe(&["--buffer", "1M", "-", &word(&path)]).stdin(Input::Piped).spawn();
    let content = bytes(31, 900_000);
    // far more than a pipe holds: this comes back only because haul reads
    running.say(&content);
    let mut reader = fs::File::open(&path).unwrap();
    running.end_stdin();
    let mut got = Vec::new();
    reader.read_to_end(&mut got).unwrap();
    assert_same("through the ring", &got, &content);
    running.wait().ok();
}

#[test]
fn a_sink_that_cannot_be_opened_ends_only_itself_where_there_is_a_ring() {
    let home = scratch();
    let out = home.path().join("out");
    let (_guard, refusing) = crate::harness::peer::refusing_address();
    let refusing = format!("tcp:{refusing}");
    let ended = pipe(&["--buffer", "1M", "text:all", &refusing, &word(&out)]).run();
    assert!(ended.code(1).one_error().ends_with(": connection refused"), "{}", ended.stderr);
    assert_eq!(fs::read(&out).unwrap(), b"all");
    let ended = pipe(&["text:all", &refusing, &word(&home.path().join("new"))]).run();
    assert!(ended.code(1).one_error().ends_with(": connection refused"), "{}", ended.stderr);
    assert!(!home.path().join("new").exists());
}

#[test]
fn a_signal_while_a_sink_is_still_opening_ends_it() {
    let (_home, path) = fifo();
    let mut running = pipe(&["--buffer", "1M", "-v", "--lines", "-", &word(&path)]).stdin(Input::Piped).spawn();
    running.say(&bytes(1, 900_000));
    running.signal(Signal::TERM);
    running.wait().killed_by(Signal::TERM);
}

// Under --verify the sender's success means that the receiver has it all: with one sink, with several, and with a ring.
#[test]
fn verified_pipes_say_so_to_each_other() {
    let home = scratch();
    let content = bytes(37, 3_000_000);
    let from = file_with(home.path(), "in", &content);
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    for sinks in [vec![word(&a)], vec!["--buffer".into(), "1M".into(), word(&a)], vec![word(&a), word(&b)]] {
        let words = [&["--verify".to_string(), "--fsync".into(), "tcp,listen:127.0.0.1:0".into()][..], &sinks].concat();
        let receiving = pipe(&words).spawn();
        let to = format!("tcp:{}", receiving.address());
        pipe(&["--verify".to_string(), word(&from), to]).run().ok();
        receiving.wait().ok();
        assert_same("verified", &fs::read(&a).unwrap(), &content);
    }
    let receivers = [&a, &b].map(|out| pipe(&["--verify", "tcp,listen:127.0.0.1:0", &word(out)]).spawn());
    let to = receivers.each_ref().map(|receiver| format!("tcp:{}", receiver.address()));
    pipe(&["--verify", &word(&from), &to[0], &to[1]]).run().ok();
    for (receiver, out) in receivers.into_iter().zip([&a, &b]) {
        receiver.wait().ok();
        assert_same("to both", &fs::read(out).unwrap(), &content);
    }
}

// Who may connect cannot be told of a Unix socket that is handed over: that shows only once it is open.
#[test]
fn lists_mean_nothing_on_an_inherited_unix_listener() {
    let home = scratch();
    let socket = std::os::unix::net::UnixListener::bind(home.path().join("s")).unwrap();
    let words = ["--allow", "127.0.0.1", "fd,listen:0", "null:"];
    let ended = pipe(&words).stdin(Input::Fd(socket.into())).run();
    ended.code(2);
    assert!(ended.one_error().contains("has no address"), "{}", ended.stderr);
}
