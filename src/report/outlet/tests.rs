use super::*;
use crate::report::testing::{Recorder, WAIT};
use std::io::{BufRead, BufReader, ErrorKind};

fn numbered(out: &Outlet, number: u64) {
    out.line(|dropped| format!("{number:01000} after {dropped}\n").into_bytes());
}

#[test]
fn an_outlet_that_nobody_uses_starts_no_thread() {
    let out = Outlet::new(Recorder::default());
    out.clear_footer();
    assert!(out.flush(Duration::ZERO));
    assert!(!out.shared.lock().started);
    assert_eq!(out.finish(WAIT, |_| Vec::new()).lines, 0);
}

#[test]
fn a_pipe_that_nobody_reads_costs_lines_and_never_time() {
    // far more than queue and pipe hold, from one thread: a call that waited would never come back
    let (reader, writer) = io::pipe().unwrap();
    let out = Outlet::new(writer);
    for number in 0..2000 {
        numbered(&out, number);
    }
    let reader = thread::spawn(move || BufReader::new(reader).lines().map(Result::unwrap).collect::<Vec<_>>());
    let loss = out.finish(WAIT, |dropped| format!("{dropped} at the end\n").into_bytes());
    assert!(loss.lines > 1000, "{}", loss.lines);
    assert!(loss.failure.is_none());
    drop(out);
    let lines = reader.join().unwrap();
    let (last, whole) = lines.split_last().unwrap();
    assert_eq!(whole.len() as u64 + loss.lines, 2000);
    let mut told: u64 = last.strip_suffix(" at the end").unwrap().parse().unwrap();
    for line in whole {
        // the digits, then how many are missing just before: room may come and go while the writer starts
        let (digits, dropped) = line.split_once(" after ").unwrap();
        assert!(digits.len() == 1000, "every line is whole");
        told += dropped.parse::<u64>().unwrap();
    }
    assert_eq!(told, loss.lines, "every missing line is told of");
}

#[test]
fn the_next_line_that_gets_through_knows_what_was_dropped() {
    let (reader, writer) = io::pipe().unwrap();
    let out = Outlet::new(writer);
    for number in 0..1000 {
        numbered(&out, number);
    }
    let (dropped, lost) = {
        let queue = out.shared.lock();
        (queue.dropped, queue.loss.lines)
    };
    assert!(dropped > 0);
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    for _ in 0..1000 - lost {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    assert!(out.flush(WAIT));
    numbered(&out, 1000);
    line.clear();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line.trim_end().rsplit_once(' ').unwrap().1, dropped.to_string());
    assert_eq!(out.finish(WAIT, |_| Vec::new()).lines, lost);
}

#[test]
fn a_deadline_ends_the_wait_for_a_reader_that_never_reads() {
    let (reader, writer) = io::pipe().unwrap();
    let out = Outlet::new(writer);
    for number in 0..100 {
        numbered(&out, number);
    }
    let loss = out.finish(Duration::from_millis(1), |_| Vec::new());
    assert!(loss.lines > 0 && loss.lines <= 100);
    drop(reader);
}

#[test]
fn a_reader_that_is_gone_is_told_of_once_and_costs_nothing_more() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let out = Outlet::new(writer);
    numbered(&out, 1);
    assert!(out.flush(WAIT));
    numbered(&out, 2);
    let loss = out.finish(WAIT, |_| Vec::new());
    assert_eq!(loss.failure.unwrap().kind(), ErrorKind::BrokenPipe);
    assert_eq!(loss.lines, 2);
}

// The hook belongs to the whole process, so the panic happens in a child: this same test, told to by its
// environment.
#[test]
fn a_panic_takes_the_bar_off_the_screen_before_it_is_told() {
    const CHILD: &str = "HAUL_TEST_PANIC_WITH_A_BAR";
    if std::env::var_os(CHILD).is_some() {
        let out = Outlet::stderr();
        out.clear_footer_on_panic();
        out.offer_footer(b"\r50%".to_vec());
        assert!(out.flush(WAIT));
        panic!("by intent");
    }
    let name = "report::outlet::tests::a_panic_takes_the_bar_off_the_screen_before_it_is_told";
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let told = String::from_utf8(child.stderr).unwrap();
    assert!(!child.status.success());
    let (before, _) = told.split_once("panicked at").unwrap();
    assert!(before.starts_with("\r50%\r\x1b[K"), "{told:?}");
}

/// Takes `room` bytes, and then nothing until there is more.
#[derive(Clone, Default)]
struct Disk {
    seen: Recorder,
    room: Arc<Mutex<usize>>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut room = self.room.lock().unwrap();
        let count = bytes.len().min(*room);
        if count == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        *room -= count;
        self.seen.write(&bytes[..count])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_go_on_when_a_disk_has_room_again_and_both_is_told_once() {
    let disk = Disk::default();
    let out = Outlet::new(disk.clone()).that_retries();
    let say = |line: &str, room: usize| {
        *disk.room.lock().unwrap() = room;
        out.line(|_| line.as_bytes().to_vec());
        assert!(out.flush(WAIT));
        std::iter::from_fn(|| out.news()).map(|news| format!("{news:?}")).collect::<Vec<_>>()
    };
    assert_eq!(say("one\n", 100), [""; 0]);
    assert_eq!(say("two\n", 2), ["Failed(Kind(StorageFull))"]);
    assert_eq!(say("three\n", 0), [""; 0]);
    assert_eq!(say("four\n", 100), ["GoesOn(2)"]);
    assert_eq!(say("five\n", 100), [""; 0]);
    assert_eq!(say("six\n", 0), ["Failed(Kind(StorageFull))"]);
    assert_eq!(disk.seen.text(), "one\ntw\nfour\nfive\n");
    let loss = out.finish(WAIT, |_| Vec::new());
    assert_eq!((loss.lines, loss.failure.unwrap().kind()), (3, ErrorKind::StorageFull));
}

#[test]
fn a_line_replaces_the_footer_and_puts_it_back_in_one_write() {
    let seen = Recorder::default();
    let out = Outlet::new(seen.clone());
    out.offer_footer(b"\r50%".to_vec());
    assert!(out.flush(WAIT));
    out.line(|_| b"hello\n".to_vec());
    out.clear_footer();
    out.line(|_| b"bye\n".to_vec());
    out.finish(WAIT, |_| Vec::new());
    assert_eq!(seen.writes(), ["\r50%", "\r\x1b[Khello\n\r50%", "\r\x1b[K", "bye\n"]);
}
