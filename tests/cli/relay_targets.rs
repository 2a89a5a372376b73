//! `relay`: what stands at the target's side, what is written down about sessions, and the threads that run them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use rustix::process::Signal;

use crate::data;
use crate::harness::peer::refusing_address;
use crate::harness::{Ending, Listener, Peer, Running, fifo, file_with, haul, poll_until, proc, scratch};
use crate::relay::{echoes, is_reset_at_once, joined, relay_to, stop};

// A file is opened for each session: one that is read is sent whole to everybody, one that is appended to grows.
#[test]
fn a_file_is_a_target_of_its_own_for_each_session() {
    let home = scratch();
    let page = file_with(home.path(), "page", &data::bytes(5, 300_000));
    let relay = haul(["relay", "127.0.0.1:0", &format!("file:{}", page.display())]).spawn();
    for _ in 0..2 {
        let mut client = Peer::connect(relay.address());
        client.send(b"whatever");
        data::assert_same("the page", &client.receive_all().0, &data::bytes(5, 300_000));
    }
    std::fs::write(&page, "new").unwrap();
    assert_eq!(Peer::connect(relay.address()).receive_all(), (b"new".to_vec(), Ending::Eof));
    stop(relay);

    let list = file_with(home.path(), "list", b"0");
    let relay = haul(["relay", "127.0.0.1:0", &format!("file,append:{}", list.display())]).spawn();
    for text in [b"1", b"2"] {
        let mut client = Peer::connect(relay.address());
        client.send(text);
        client.finish();
        assert_eq!(client.receive_all(), (vec![], Ending::Eof));
    }
    assert_eq!(std::fs::read(&list).unwrap(), b"012");
    stop(relay);
}

// A path as the target is a socket's, or one that is still to come; what else stands there is told before anything is
// bound, not to each session.
#[test]
fn a_path_that_is_no_socket_is_refused_at_the_start() {
    let (home, fifo) = crate::harness::fifo();
    let file = file_with(home.path(), "file", b"x");
    for (path, cause) in [
        (fifo.as_path(), "it is a FIFO: there is one of it, and every session wants its own"),
        (&file, "it is a file, which is sent or appended to"),
        (home.path(), "it is a directory"),
    ] {
        let ended = haul(["relay", "127.0.0.1:0", &path.display().to_string()]).run();
        ended.code(2);
        assert_eq!(ended.one_error(), format!("haul: cannot connect to {}: {cause}", path.display()));
    }
    let later = home.path().join("later");
    let relay = relay_to(&later.display().to_string(), &[]);
    let listener = Listener::unix(&later);
    let mut client = Peer::connect(relay.address());
    echoes(&mut client, &mut listener.accept());
    stop(relay);
}

// --log: a line a session, with the same words in the same places.
#[test]
fn a_log_has_a_line_for_each_session() {
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &["--log", "-"]);
    let (mut first, mut server) = (Peer::connect(relay.address()), target.accept());
    let mut ports = vec![first.local_port()];
    echoes(&mut first, &mut server);
    first.finish();
    server.finish();
    first.receive_all();
    relay.stdout_reaches(1);
    let (mut second, mut server) = (Peer::connect(relay.address()), target.accept());
    ports.push(second.local_port());
    second.send(b"question");
    server.receive(8);
    server.reset();
    second.receive_all();
    relay.signal(Signal::TERM);
    let ended = relay.wait();
    ended.code(0);
    let text = String::from_utf8(ended.stdout.clone()).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.splitn(7, ' ').collect()).collect();
    let to = target.endpoint();
    for (line, (port, bytes)) in lines.iter().zip(ports.iter().zip([["4", "4"], ["8", "0"]])) {
        assert!(line[0].ends_with('Z') && line[5].parse::<f64>().is_ok(), "{line:?}");
        assert_eq!(line[1..5], [&format!("127.0.0.1:{port}"), &to, bytes[0], bytes[1]]);
    }
    assert_eq!(lines[0][6], "clean");
    assert!(lines[1][6].ends_with(&format!("{to} reset the connection")), "{:?}", lines[1][6]);
    assert_eq!(lines.len(), 2);
}

// SIGHUP: a log that was moved away is opened anew, and nothing of it is lost.
#[test]
fn a_log_that_was_rotated_is_opened_anew() {
    let home = scratch();
    let (log, old) = (home.path().join("log"), home.path().join("log.1"));
    let (_keep, nobody) = refusing_address();
    for threads in ["1", "2"] {
        let flags = ["--log", &log.display().to_string(), "--threads", threads];
        let relay = relay_to(&nobody.to_string(), &flags);
        let lines = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
        is_reset_at_once(relay.address());
        poll_until("a line", || (lines(&log) == 1).then_some(()));
        std::fs::rename(&log, &old).unwrap();
        is_reset_at_once(relay.address());
        poll_until("a line in the old file", || (lines(&old) == 2).then_some(()));
        relay.signal(Signal::HUP);
        poll_until("the new file", || log.exists().then_some(()));
        is_reset_at_once(relay.address());
        poll_until("a line in the new file", || (lines(&log) == 1).then_some(()));
        // where it cannot be opened the lines go on to the old one
        std::fs::rename(&log, &old).unwrap();
        std::fs::create_dir(&log).unwrap();
        relay.signal(Signal::HUP);
        let trouble = format!("haul: cannot open {}: is a directory", log.display());
        relay.stderr_line(&trouble);
        is_reset_at_once(relay.address());
        poll_until("one more line in the old file", || (lines(&old) == 2).then_some(()));
        std::fs::remove_dir(&log).unwrap();
        stop(relay);
    }
}

// Where nobody can ever read the log, nobody is served.
#[test]
fn a_log_on_a_closed_stdout_is_refused() {
    let ended = haul(["relay", "--log", "-", "127.0.0.1:0", "127.0.0.1:9"]).after("exec 1>&-").run();
    assert_eq!(ended.code(5).one_error(), "haul: cannot write standard output: bad file descriptor");
}

// A log on a full disk: told while the relay goes on, and the status at the end.
#[test]
fn a_log_that_cannot_be_written_is_told_at_once() {
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &["--log", "/dev/full"]);
    let why = "haul: cannot write the log: no space left on device";
    let (address, over) = (relay.address(), Arc::new(AtomicBool::new(false)));
    let ends = Arc::clone(&over);
    // the lines are written beside the sessions: which of them finds it out is not known
    let sessions = thread::spawn(move || {
        while !ends.load(Relaxed) {
            let (mut client, mut server) = (Peer::connect(address), target.accept());
            echoes(&mut client, &mut server);
        }
    });
    relay.stderr_line(why);
    over.store(true, Relaxed);
    sessions.join().unwrap();
    relay.signal(Signal::TERM);
    assert_eq!(relay.wait().code(5).stderr.matches(why).count(), 2);
}

// A log on a disk that was full for a while: what is lost is told when it goes on, and again at the end.
#[test]
fn a_log_goes_on_when_there_is_room_again() {
    let home = scratch();
    let log = home.path().join("log");
    std::fs::write(&log, [b'#'; 1 << 20]).unwrap();
    let (_keep, nobody) = refusing_address();
    // the shell gives the limit of the length of a file on
    let words = ["relay", "--log", log.to_str().unwrap(), "127.0.0.1:0", &nobody.to_string()];
    let relay = haul(words).after("ulimit -f 100").spawn();
    let address = relay.address();
    let until = |wanted: &str, why: &str| {
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let sessions = thread::spawn(move || {
            while !ends.load(Relaxed) {
                is_reset_at_once(address);
            }
        });
        relay.stderr_line_where(|line| line.contains(wanted));
        over.store(true, Relaxed);
        sessions.join().expect(why);
    };
    until("haul: cannot write the log: file too large", "the failure");
    std::fs::File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    until("haul: the log goes on: ", "the recovery");
    relay.signal(Signal::TERM);
    let ended = relay.wait();
    let last = ended.code(5).stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("haul: cannot write the log: "), "{last}");
    assert!(std::fs::read_to_string(&log).unwrap().lines().next().unwrap().contains(" 127.0.0.1:"));
}

// -o DIR: a session that could not be copied is told of, and haul's status is that of trouble here.
#[test]
fn a_copy_that_could_not_be_made_is_in_the_status() {
    let home = scratch();
    let directory = home.path().join("copies");
    std::fs::create_dir(&directory).unwrap();
    let target = Listener::tcp();
    for once in [&[][..], &["--once"]] {
        let flags = [&["-o", directory.to_str().unwrap()][..], once].concat();
        std::fs::create_dir_all(&directory).unwrap();
        let relay = relay_to(&target.endpoint(), &flags);
        let address = relay.address();
        std::fs::remove_dir_all(&directory).unwrap();
        let (mut client, mut server) = (Peer::connect(address), target.accept());
        echoes(&mut client, &mut server);
        drop((client, server));
        relay.stderr_line_where(|line| line.starts_with("haul: session 1: cannot open "));
        if once.is_empty() {
            relay.signal(Signal::TERM);
        }
        relay.wait().code(5);
    }
}

// What a log has lost is lost, also when it has found a place since.
#[test]
fn lost_lines_of_a_log_are_told_at_the_end() {
    let home = scratch();
    let (log, place) = (home.path().join("log"), home.path().join("place"));
    std::os::unix::fs::symlink("/dev/full", &log).unwrap();
    let (_keep, nobody) = refusing_address();
    let relay = relay_to(&nobody.to_string(), &["--log", &log.display().to_string()]);
    let (address, over) = (relay.address(), Arc::new(AtomicBool::new(false)));
    let ends = Arc::clone(&over);
    let sessions = thread::spawn(move || {
        while !ends.load(Relaxed) {
            is_reset_at_once(address);
        }
    });
    relay.stderr_line("haul: cannot write the log: no space left on device");
    over.store(true, Relaxed);
    sessions.join().unwrap();
    std::fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink(&place, &log).unwrap();
    relay.signal(Signal::HUP);
    poll_until("the new place", || place.exists().then_some(()));
    relay.signal(Signal::TERM);
    let ended = relay.wait();
    let last = ended.code(5).stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("haul: cannot write the log: ") && last.ends_with(" lost"), "{last}");
}

// A line that was written in part stays alone: the next one does not continue it.
#[test]
fn a_torn_line_of_a_log_is_ended_before_it_goes_on() {
    let home = scratch();
    let log = file_with(home.path(), "log", b"torn");
    let (_keep, nobody) = refusing_address();
    let relay = relay_to(&nobody.to_string(), &["--log", &log.display().to_string()]);
    relay.address();
    relay.signal(Signal::HUP);
    proc::wait_until_idle(relay.pid());
    is_reset_at_once(relay.address());
    stop(relay);
    let lines = std::fs::read_to_string(&log).unwrap();
    assert!(lines.starts_with("torn\n") && lines.lines().count() == 2, "{lines}");
}

// A FIFO that nobody reads: without a line for it nothing is lost.
#[test]
fn a_log_that_nobody_reads_has_lost_only_what_there_was() {
    let (_home, log) = fifo();
    let (_keep, nobody) = refusing_address();
    let flags = ["--log", &log.display().to_string()];
    let relay = relay_to(&nobody.to_string(), &flags);
    relay.address();
    stop(relay);
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &[&flags[..], &["--once"]].concat());
    let (client, server) = (Peer::connect(relay.address()), target.accept());
    drop((client, server));
    let ended = relay.wait();
    assert!(ended.code(5).stderr.ends_with("haul: cannot write the log: 1 line is lost\n"), "{}", ended.stderr);
}

// -m is a wish where descriptors are few.
#[test]
fn fewer_places_than_asked_for_are_told() {
    let (_keep, nobody) = refusing_address();
    let relay = haul(["relay", "-v", "-m", "500", "127.0.0.1:0", &nobody.to_string()]).after("ulimit -n 40").spawn();
    relay.stderr_line("haul: descriptors are enough for 10 at once, less than -m says: see ulimit -n");
    relay.address();
    let explained = haul(["relay", "--explain", "-m", "500", "9000", "9001"]).after("ulimit -n 40").run();
    let last = "descriptors are enough for 10 at once, less than -m says: see ulimit -n\n";
    let explained = String::from_utf8_lossy(&explained.code(0).stdout).into_owned();
    assert!(explained.ends_with(last), "{explained}");
    stop(relay);
}

#[test]
fn a_log_file_is_appended_to() {
    let home = scratch();
    let log = file_with(home.path(), "log", b"before\n");
    let (_keep, nobody) = refusing_address();
    let relay = relay_to(&nobody.to_string(), &["--once", "--log", &log.display().to_string()]);
    is_reset_at_once(relay.address());
    relay.wait().code(1);
    let text = std::fs::read_to_string(&log).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("before"));
    let line = lines.next().unwrap();
    assert!(line.ends_with(&format!(" - 0 0 0.000 cannot connect to {nobody}: connection refused")), "{line}");
}

// -o: a file for each session and direction, as it is or as a dump.
#[test]
fn copies_go_to_a_file_for_each_session_and_direction() {
    let home = scratch();
    let directory = home.path().display().to_string();
    for (flags, name, up) in
        [(&["-o", &directory][..], "", "ping"), (&["-o", &directory, "--hex"], ".hex", "< 00000000  70 69 6e 67")]
    {
        let (relay, mut client, mut server) = joined(flags);
        echoes(&mut client, &mut server);
        stop(relay);
        let read = |way: &str| std::fs::read_to_string(home.path().join(format!("1.{way}{name}"))).unwrap();
        assert!(read("up").starts_with(up), "{}", read("up"));
        assert!(read("down").contains(if name.is_empty() { "pong" } else { "70 6f 6e 67" }), "{}", read("down"));
    }
    let ended = haul(["relay", "-o", "/nowhere", "127.0.0.1:0", "127.0.0.1:1"]).run();
    ended.code(2);
    assert_eq!(ended.one_error(), "haul: cannot open /nowhere: no such file or directory");
}

// --events: what each session did, with its number.
#[test]
fn events_tell_of_each_session() {
    let home = scratch();
    let events = home.path().join("events");
    let (relay, mut client, mut server) = joined(&["--events", &events.display().to_string()]);
    echoes(&mut client, &mut server);
    client.finish();
    server.finish();
    client.receive_all();
    stop(relay);
    let text = std::fs::read_to_string(events).unwrap();
    let names: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(names, ["listening", "accepted", "connected", "eof", "eof", "closed", "stats"]);
}

// A session whose target is not reached has its end, and its time, as any other.
#[test]
fn a_session_without_a_target_is_closed_too() {
    let home = scratch();
    let [events, log] = ["events", "log"].map(|name| home.path().join(name).display().to_string());
    let full = Listener::tcp_with(None, 0);
    let _queued = full.fill_queue();
    let flags = ["--events", &events, "--log", &log, "--connect-timeout", "300ms"];
    let relay = relay_to(&full.endpoint(), &flags);
    is_reset_at_once(relay.address());
    stop(relay);
    let text = std::fs::read_to_string(events).unwrap();
    let told: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = told.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["listening", "accepted", "closed", "error", "stats"]);
    assert!(told[2]["secs"].as_f64().is_some_and(|secs| secs >= 0.3), "{}", told[2]);
    let log = std::fs::read_to_string(log).unwrap();
    let secs = log.split(' ').nth(5).and_then(|word| word.parse::<f64>().ok());
    assert!(secs.is_some_and(|secs| secs >= 0.3), "{log}");
}

/// Which of these targets gets the next client, which is echoed to and kept.
#[track_caller]
fn next_of(relay: &Running, targets: &[&Listener]) -> (usize, Peer, Peer) {
    let mut client = Peer::connect(relay.address());
    let (index, mut server) = poll_until("a target to be connected to", || {
        targets.iter().enumerate().find_map(|(index, target)| Some((index, target.accept_now()?)))
    });
    echoes(&mut client, &mut server);
    (index, client, server)
}

// Several targets: the order is the user's choice, and one that cannot be reached is followed by the next.
#[test]
fn several_targets_are_balanced_and_stand_in_for_each_other() {
    let (a, b) = (Listener::tcp(), Listener::tcp());
    for (how, expected) in [("first", [0, 0, 0]), ("rr", [0, 1, 0]), ("least", [0, 1, 0])] {
        let relay = relay_to(&a.endpoint(), &["--target", &b.endpoint(), "--balance", how]);
        let served: Vec<_> = (0..3).map(|_| next_of(&relay, &[&a, &b])).collect();
        assert_eq!(served.iter().map(|(index, ..)| *index).collect::<Vec<_>>(), expected, "{how}");
    }
    let (_keep, nobody) = refusing_address();
    let relay = relay_to(&nobody.to_string(), &["--target", &b.endpoint(), "-v"]);
    assert_eq!(next_of(&relay, &[&a, &b]).0, 1);
    let line = relay.stderr_line("haul: session 1: cannot");
    assert_eq!(
        line,
        format!("haul: session 1: cannot connect to {nobody}: connection refused; going on to the next target")
    );
}

#[test]
fn when_no_target_can_be_reached_all_of_them_are_named() {
    let ((_a, a), (_b, b)) = (refusing_address(), refusing_address());
    let relay = relay_to(&a.to_string(), &["--once", "--target", &b.to_string()]);
    is_reset_at_once(relay.address());
    let ended = relay.wait();
    ended.code(1);
    let each = |at| format!("cannot connect to {at}: connection refused");
    assert_eq!(ended.one_error(), format!("haul: cannot connect to any of 2 targets: {}; {}", each(a), each(b)));
}

// A target with a name: sessions are made while names are looked up; one that is not found is told at the start, and
// its clients are reset, while haul goes on.
#[test]
fn a_name_is_looked_up_without_holding_anybody() {
    let target = Listener::tcp();
    let at = format!("localhost:{}", target.address().port());
    let relay = relay_to(&at, &["--resolve-every", "50ms"]);
    for _ in 0..3 {
        let mut client = Peer::connect(relay.address());
        echoes(&mut client, &mut target.accept());
    }
    stop(relay);

    let relay = relay_to("nonexistent.invalid:1", &[]);
    let line = relay.stderr_line("haul: cannot connect to nonexistent.invalid:1: name not found");
    let mut client = Peer::connect(relay.address());
    assert_eq!(client.receive_all(), (vec![], Ending::Reset));
    assert_eq!(relay.stderr_line("haul: session 1: "), line.replace("haul: ", "haul: session 1: "));
    stop(relay);
}

// --threads: the sessions are shared out, and limits, totals and signals hold for all of them.
#[test]
fn threads_share_the_sessions() {
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &["--threads", "3", "-m", "6", "--log", "-"]);
    let mut pairs: Vec<_> = (0..6).map(|_| (Peer::connect(relay.address()), target.accept())).collect();
    pairs.iter_mut().for_each(|(client, server)| echoes(client, server));
    let threads = std::fs::read_dir(format!("/proc/{}/task", relay.pid().as_raw_nonzero())).unwrap();
    let named = threads.filter(|thread| {
        let name = std::fs::read_to_string(thread.as_ref().unwrap().path().join("comm")).unwrap();
        name.starts_with("relay ")
    });
    assert_eq!(named.count(), 3);
    // a byte is counted a moment after it was delivered, by another thread than the one that tells
    proc::wait_until_idle(relay.pid());
    relay.signal(Signal::USR1);
    relay.stderr_line("haul: received 24 B, sent 24 B in ");
    let mut seventh = Peer::connect(relay.address());
    seventh.send(b"ping");
    proc::wait_until_idle(relay.pid());
    assert!(target.was_left_alone());
    drop(pairs.pop());
    let mut server = target.accept();
    assert_eq!(server.receive(4), b"ping");
    server.finish();
    seventh.finish();
    assert_eq!(seventh.receive_all(), (vec![], Ending::Eof));
    let (busy, mut server) = pairs.pop().unwrap();
    busy.finish();
    assert_eq!(server.receive_all(), (vec![], Ending::Eof));
    relay.signal(Signal::TERM);
    for (client, _) in &mut pairs {
        client.receive_all();
    }
    let ended = relay.wait();
    ended.code(0);
    assert_eq!(ended.stdout.iter().filter(|byte| **byte == b'\n').count(), 7);
}

#[test]
fn one_session_on_another_thread_has_its_status() {
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &["--threads", "2", "--once"]);
    let mut client = Peer::connect(relay.address());
    let mut server = target.accept();
    echoes(&mut client, &mut server);
    server.reset();
    assert_eq!(client.receive_all().1, Ending::Reset);
    relay.wait().code(1);
}

// -s and -p, or the options of the endpoint: where a connection to the target comes from, and not where to listen.
#[test]
fn a_connection_to_the_target_leaves_from_the_source_that_was_asked_for() {
    let free = std::net::TcpListener::bind("127.0.0.7:0").unwrap().local_addr().unwrap().port().to_string();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let on_the_endpoint = format!("tcp,source=127.0.0.7,source-port={free}:{to}");
    for words in [&["-s", "127.0.0.7", "-p", &free, "127.0.0.1:0", &to][..], &["127.0.0.1:0", &on_the_endpoint]] {
        let relay = haul([&["relay"], words].concat()).spawn();
        let client = Peer::connect(relay.address());
        let (_server, from) = listener.accept().unwrap();
        assert_eq!(from.to_string(), format!("127.0.0.7:{free}"));
        client.reset();
        stop(relay);
    }
}
