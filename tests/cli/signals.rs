//! Signals: a real death by the signal, after tidying up; SIGUSR1 asks for numbers.

use rustix::process::Signal;

use crate::harness::{Ending, Input, Listener, Net, Peer, Role, Running, Way, haul, poll_until, proc, scratch};
use crate::relay_names::Names;

// SIGINT and SIGTERM end a connection by that very signal.
fn a_signal_ends_by_the_signal_itself(way: Way) {
    for signal in [Signal::INT, Signal::TERM] {
        let (mut haul, mut peer) = way.join(&[]);
        haul.say(b"x");
        peer.receive(1);
        haul.signal(signal);
        let stdin = haul.stdin.take();
        let haul = haul.wait();
        drop(stdin);
        haul.killed_by(signal);
        assert_eq!(haul.complaints(), "", "a signal needs no error line");
    }
}
both_ways!(a_signal_ends_by_the_signal_itself);

/// Ends haul's input when a signal has come, so that it finds both at once.
#[track_caller]
fn interrupted_at_its_end(mut haul: Running, mut peer: Peer, signal: Signal) {
    interrupt_at_the_end(&mut haul, &mut peer, signal);
    haul.wait().killed_by(signal);
    assert_eq!(peer.receive_all(), (Vec::new(), Ending::Reset));
}

#[track_caller]
fn interrupt_at_the_end(haul: &mut Running, peer: &mut Peer, signal: Signal) {
    haul.say(b"part");
    assert_eq!(peer.receive(4), b"part");
    proc::wait_until_idle(haul.pid());
    haul.freeze();
    haul.signal(signal);
    haul.end_stdin();
    haul.thaw();
}

// getaddrinfo(3) may sleep for a minute; until there is an address there is nothing to tidy up.
#[test]
fn a_signal_ends_a_listener_whose_name_is_still_looked_up() {
    let Some(names) = Names::endless() else { return };
    for words in [&["listen"][..], &["listen", "-k"], &["listen", "-u"], &["bench", "-s"], &["connect", "-u"]] {
        for signal in [Signal::INT, Signal::TERM] {
            let haul = names.spawn(haul([words, &["db.test", "9"]].concat()));
            poll_until("haul itself", || (proc::name(haul.pid()) == "haul").then_some(()));
            proc::wait_until_idle(haul.pid());
            haul.signal(signal);
            haul.wait().killed_by(signal);
        }
    }
}

// ^C ends the program before haul in a pipeline, too: that end of file must not look like the end of the data.
#[test]
fn an_end_of_file_that_comes_after_a_signal_is_none() {
    for (role, signal) in [(Role::Connects, Signal::INT), (Role::Listens, Signal::TERM)] {
        for has_ended in [true, false] {
            let (haul, peer) = Way { role, net: Net::Tcp }.join(&[]);
            if has_ended {
                peer.finish();
            }
            interrupted_at_its_end(haul, peer, signal);
        }
    }
}

#[test]
fn nor_is_it_for_a_pipe_or_a_dialogue() {
    let listener = Listener::tcp();
    let home = scratch();
    let copy = home.path().join("copy").display().to_string();
    let endpoint = listener.endpoint();
    let lines = [
        &["pipe", "-", &endpoint][..],
        &["pipe", "-", &endpoint, &copy],
        &["pipe", "-2", "-", &endpoint],
        &["connect", &endpoint, "--expect", "never"],
    ];
    for words in lines {
        let haul = haul(words).stdin(Input::Piped).spawn();
        interrupted_at_its_end(haul, listener.accept(), Signal::INT);
    }
}

// A server with one input for all ends as it was asked to, and nobody takes what he got for everything.
#[test]
fn nor_is_it_for_the_clients_of_a_hub() {
    let mut haul = haul(["listen", "--fan-out", "127.0.0.1:0"]).stdin(Input::Piped).spawn();
    let mut peer = Peer::connect(haul.address());
    interrupt_at_the_end(&mut haul, &mut peer, Signal::INT);
    haul.wait().code(0);
    assert_eq!(peer.receive_all(), (Vec::new(), Ending::Reset));
}

// An end that came before the signal is one.
#[test]
fn an_end_of_file_that_comes_before_a_signal_is_passed_on() {
    let (mut haul, mut peer) = Way { role: Role::Connects, net: Net::Tcp }.join(&[]);
    haul.say(b"all");
    haul.end_stdin();
    assert_eq!(peer.receive_all(), (b"all".to_vec(), Ending::Eof));
    haul.signal(Signal::INT);
    haul.wait().killed_by(Signal::INT);
}

// A listener that waits dies of it too, and its socket file goes.
#[test]
fn a_waiting_listener_removes_its_socket_file() {
    for signal in [Signal::INT, Signal::TERM] {
        let home = scratch();
        let path = home.path().join("s");
        let haul = haul(["listen".as_ref(), path.as_os_str()]).spawn();
        proc::wait_for_unix_listener(&path);
        haul.signal(signal);
        haul.wait().killed_by(signal);
        assert!(!path.exists(), "the socket file was left behind");
    }
}

// A connect that gets no answer can be interrupted.
#[test]
fn a_waiting_connect_can_be_interrupted() {
    let listener = crate::harness::Listener::tcp_with(None, 0);
    let _queue = listener.fill_queue();
    let haul = haul(["connect", &listener.endpoint()]).spawn();
    proc::wait_until_idle(haul.pid());
    haul.signal(Signal::INT);
    haul.wait().killed_by(Signal::INT);
}

// What had been received is written out before haul dies.
fn bytes_in_transit_are_written_before_dying(way: Way) {
    let (haul, mut peer) = way.join(&[]);
    let content = crate::data::bytes(71, 30_000);
    haul.freeze();
    peer.send(&content);
    haul.thaw();
    haul.stdout_reaches(1);
    haul.signal(Signal::TERM);
    let haul = haul.wait();
    haul.killed_by(Signal::TERM);
    crate::data::assert_prefix("what was received", &haul.stdout, &content);
}
both_ways!(bytes_in_transit_are_written_before_dying);

// A blocked stdout does not keep haul alive: half a second, then it goes.
#[test]
fn a_blocked_stdout_does_not_hold_a_signal_up() {
    let way = Way { role: Role::Connects, net: Net::Tcp };
    let (haul, peer) = way.join_with(&[], |haul| haul.stdin(Input::Piped).stdout(crate::harness::Sink::Held));
    let flood = peer.flood();
    proc::wait_until_idle(haul.pid());
    haul.signal(Signal::TERM);
    haul.wait().killed_by(Signal::TERM);
    flood.join().unwrap();
}

// SIGUSR1 prints the numbers so far on stderr, and the transfer goes on.
fn usr1_prints_statistics_and_goes_on(way: Way) {
    let (mut haul, mut peer) = way.join(&[]);
    peer.send(&[b'x'; 1234]);
    haul.stdout_reaches(1234);
    haul.signal(Signal::USR1);
    let line = haul.stderr_line_where(|line| line.starts_with("haul: ") && !line.contains("listening on"));
    assert!(line.contains("1234") || line.contains("1.2"), "no count of bytes in {line:?}");
    haul.say(b"still here");
    assert_eq!(peer.receive(10), b"still here");
    haul.end_stdin();
    drop(peer);
    haul.wait().code(0);
}
both_ways!(usr1_prints_statistics_and_goes_on);

// SIGINT that was ignored at start (nohup-like wrappers, background jobs of a plain shell) stays ignored.
fn an_interrupt_that_is_ignored_stays_ignored(way: Way) {
    let (mut haul, mut peer) = way.join_with(&[], |haul| haul.after("trap '' INT").stdin(Input::Piped));
    haul.say(b"before");
    assert_eq!(peer.receive(6), b"before");
    haul.signal(Signal::INT);
    haul.say(b"after");
    assert_eq!(peer.receive(5), b"after");
    haul.end_stdin();
    drop(peer);
    haul.wait().ok();
}
both_ways!(an_interrupt_that_is_ignored_stays_ignored);

// SIGPIPE that was ignored at start (some service managers, Python) changes nothing: a gone reader still ends haul.
#[test]
fn an_ignored_sigpipe_still_ends_when_the_reader_is_gone() {
    let way = Way { role: Role::Connects, net: Net::Tcp };
    let prepare = |haul: crate::harness::Program| haul.after("trap '' PIPE").stdout(crate::harness::Sink::Held);
    let (mut haul, peer) = way.join_with(&[], prepare);
    haul.held = None;
    let flood = peer.flood();
    let haul = haul.wait();
    assert!(!haul.status.success(), "ended with {}", haul.status);
    flood.join().unwrap();
}

// Stopped and continued (^Z, fg), haul goes on as if nothing had happened.
fn stop_and_continue_lose_nothing(way: Way) {
    let (mut haul, mut peer) = way.join(&[]);
    let content = crate::data::bytes(72, 1 << 20);
    let sending = peer.send_in_thread(content.clone());
    for _ in 0..5 {
        haul.freeze();
        haul.thaw();
    }
    sending.join().unwrap();
    peer.finish();
    haul.say(b"end");
    haul.end_stdin();
    assert_eq!(peer.receive_all().0, b"end");
    let haul = haul.wait();
    haul.ok();
    crate::data::assert_same("what was received", &haul.stdout, &content);
}
both_ways!(stop_and_continue_lose_nothing);

// A second signal while the first is being honoured ends at once.
#[test]
fn a_second_signal_ends_at_once() {
    let way = Way { role: Role::Connects, net: Net::Tcp };
    let (haul, peer) = way.join_with(&[], |haul| haul.stdin(Input::Piped).stdout(crate::harness::Sink::Held));
    let flood = peer.flood();
    proc::wait_until_idle(haul.pid());
    haul.signal(Signal::TERM);
    haul.signal(Signal::INT);
    let haul = haul.wait();
    assert!(haul.status.code().is_none(), "ended with {}", haul.status);
    flood.join().unwrap();
}

// A connection that ends while a signal is being raised is still a death by signal or a clean end, nothing between.
#[test]
fn a_listener_that_was_interrupted_before_a_connection_accepts_none() {
    let haul = haul(["listen", "127.0.0.1:0"]).spawn();
    let address = haul.address();
    haul.freeze();
    haul.signal(Signal::TERM);
    let mut peer = Peer::connect(address);
    haul.thaw();
    haul.wait().killed_by(Signal::TERM);
    let (got, _) = peer.receive_all();
    assert_eq!(got, b"");
}
