//! Faults between real sockets, in a reactor.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::descriptors::{Alone, Far, bytes, drop_nothing, read_in_pieces, socket_end, write_in_pieces};
use super::super::driver::Log;
use super::{late, ms, ways};
use crate::endpoint::socket::Family;
use crate::endpoint::testing::tcp_pair;
use crate::event::Event;
use crate::meter::Meter;
use crate::outcome::Outcome;
use crate::plan::faults::Way;
use crate::reactor::Reactor;
use crate::session::carrier::Pools;
use crate::session::policy::Policy;
use crate::session::{Context, Session};
use crate::sys;

/// Relays between two TCP connections, whose far sides are given to `client` and `target`; the notes that were told.
fn relayed(
    up: &Way,
    down: &Way,
    client: impl FnOnce(&mut TcpStream) -> Vec<u8> + Send + 'static,
    target: impl FnOnce(&mut TcpStream) -> Vec<u8> + Send + 'static,
) -> (Outcome, Vec<u8>, Vec<u8>, Vec<String>) {
    let ((near, far), (to, at)) = (tcp_pair(None), tcp_pair(None));
    let (client, target) = (Far::spawn(far, client), Far::spawn(at, target));
    let log = Rc::new(Log::default());
    let context = Context {
        policy: Policy { max_time: Some(Duration::from_secs(20)), ..drop_nothing() },
        pools: Pools::new(64 * 1024, 256 * 1024),
        meter: Arc::new(Meter::default()),
        observer: log.clone(),
    };
    let ends = [near, to].map(|socket| socket_end(socket.into(), Family::Tcp, None));
    let [near, to] = ends;
    let session = Session::new(near, to, context, Instant::now()).with_faults(ways(up, down));
    let outcome = Reactor::new().unwrap().run(Box::new(Alone(session))).unwrap();
    let events = log.0.borrow();
    let notes = events.iter().filter_map(|event| match event {
        Event::Note { text, .. } => Some(text.clone()),
        _ => None,
    });
    let notes = notes.collect();
    (outcome, client.join(), target.join(), notes)
}

/// Reads to the end, be it an end of file or a reset; what came, and an `R` behind it for a reset.
fn read_to_reset(from: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    if from.read_to_end(&mut heard).is_err() {
        heard.push(b'R');
    }
    heard
}

#[test]
fn a_direction_with_faults_is_copied_and_the_other_one_keeps_zero_copy() {
    let way = Way { chop: Some(20_000), ..late(3) };
    let (up, down) = (bytes(3_000_000, 1), bytes(3_000_000, 2));
    let (sent, answer) = (up.clone(), down.clone());
    let talk = |seed, mine: Vec<u8>| {
        move |far: &mut TcpStream| {
            let mut to = far.try_clone().unwrap();
            let writer = std::thread::spawn(move || {
                write_in_pieces(&mut to, &mine, seed);
                to.shutdown(Shutdown::Write).unwrap();
            });
            let heard = read_in_pieces(far, seed);
            writer.join().unwrap();
            heard
        }
    };
    let (outcome, client, target, notes) = relayed(&way, &Way::default(), talk(1, sent), talk(2, answer));
    assert_eq!((outcome.status().code(), outcome.bytes), (0, [3_000_000; 2]), "{outcome:?}");
    assert!(target == up && client == down);
    let routes = |name: &str| notes.iter().filter(|note| note.contains(name)).count();
    assert_eq!(routes("splice") > 0, sys::SPLICE, "{notes:?}");
}

#[test]
fn a_question_and_its_answer_take_both_delays() {
    let ask = |far: &mut TcpStream| {
        let (mut answer, mut took) = ([0; 1], Vec::new());
        for _ in 0..3 {
            let asked = Instant::now();
            far.write_all(b"?").unwrap();
            far.read_exact(&mut answer).unwrap();
            took.push(u8::try_from(asked.elapsed().as_millis().min(255)).unwrap());
        }
        far.shutdown(Shutdown::Write).unwrap();
        took
    };
    let echo = |far: &mut TcpStream| {
        let mut byte = [0; 1];
        while far.read(&mut byte).unwrap() > 0 {
            far.write_all(&byte).unwrap();
        }
        far.shutdown(Shutdown::Write).unwrap();
        Vec::new()
    };
    let (outcome, took, ..) = relayed(&late(20), &late(10), ask, echo);
    assert_eq!(outcome.status().code(), 0, "{outcome:?}");
    assert!(took.iter().all(|took| *took >= 29), "{took:?} ms");
}

#[test]
fn both_sides_see_a_reset_behind_exactly_the_bytes_asked_for() {
    let way = Way { reset_after: Some(70_001), ..late(2) };
    let sent = bytes(200_000, 5);
    let expected = [&sent[..70_001], b"R"].concat();
    let client = move |far: &mut TcpStream| {
        let _ = far.write_all(&sent);
        read_to_reset(far)
    };
    let (outcome, client, target, _) = relayed(&way, &Way::default(), client, read_to_reset);
    assert_eq!((outcome.status().code(), outcome.bytes), (1, [70_001, 0]), "{outcome:?}");
    assert!(target == expected, "{} came", target.len());
    assert_eq!(client, b"R");
}

#[test]
fn a_chopped_stream_comes_by_segments_of_that_size() {
    if !sys::SPLICE {
        return; // a platform file that cannot keep segments apart
    }
    let way = Way { chop: Some(100), ..Way::default() };
    let client = |far: &mut TcpStream| {
        far.write_all(&[7; 20_000]).unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        Vec::new()
    };
    let target = |far: &mut TcpStream| {
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        assert_eq!(heard, [7; 20_000]);
        sys::testing::data_segments_received(far.as_fd()).to_be_bytes().to_vec()
    };
    let (outcome, _, segments, _) = relayed(&way, &Way::default(), client, target);
    assert_eq!(outcome.status().code(), 0, "{outcome:?}");
    let segments = u32::from_be_bytes(segments.try_into().unwrap());
    assert!(segments >= 200, "20000 bytes came by {segments} segments");
}

#[test]
fn a_stalled_direction_leaves_the_other_one_alone() {
    let way = Way { stall_after: Some(5), ..Way::default() };
    let client = |far: &mut TcpStream| {
        far.write_all(b"hello world").unwrap();
        let mut heard = vec![0; 6];
        far.read_exact(&mut heard).unwrap();
        // the session is in the way of nobody who goes away by force
        socket2::SockRef::from(&*far).set_linger(Some(ms(0))).unwrap();
        heard
    };
    let target = |far: &mut TcpStream| {
        let mut heard = vec![0; 5];
        far.read_exact(&mut heard).unwrap();
        far.write_all(b"answer").unwrap();
        heard.extend(read_to_reset(far));
        heard
    };
    let (outcome, client, target, notes) = relayed(&way, &Way::default(), client, target);
    assert_eq!((outcome.status().code(), outcome.bytes), (1, [5, 6]), "{outcome:?}");
    assert_eq!((client, target), (b"answer".to_vec(), b"helloR".to_vec()));
    assert!(notes.iter().any(|note| note.starts_with("up: nothing more")), "{notes:?}");
}
