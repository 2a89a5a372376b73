//! Handshakes over scripted transports: what is said when, what is left for the session, and how failures are told.

use super::*;
use crate::buffer::Buffer;
use crate::command::joint::far_end;
use crate::endpoint::Transport;
use crate::endpoint::script::{Read, Script, Write};
use crate::reactor::testing::Bench;
use crate::session::end::{End, Step};

/// A connection whose peer does this.
fn opened(reads: Vec<Read>, writes: Vec<Write>) -> Opened {
    let transport = Transport::Script(Script::new(reads, writes));
    Opened { transport, protocol: "tcp", peer: "192.0.2.1:1".into(), told_local: None, cut: None, child: None }
}

fn data(text: &str) -> Read {
    Read::Data(text.as_bytes().to_vec())
}

fn begin(bench: &mut Bench, opened: Opened, layering: &Layering, header: Option<&str>) -> Handshake {
    let header = header.map(|header| header.as_bytes().to_vec());
    Handshake::with_server(&mut bench.turn(), opened, layering, header, b"tls:host:443".to_vec()).unwrap()
}

/// Plain bytes that one read of an end gives.
fn read(bench: &mut Bench, end: &mut End) -> String {
    let mut buffer = Buffer::new(100);
    match end.read(&mut bench.turn(), &mut buffer, 100) {
        Step::Moved(_) => String::from_utf8(buffer.filled().to_vec()).unwrap(),
        step => format!("{step:?}"),
    }
}

/// A first answer that comes in the same segment as the end of the handshake raises no event of its own.
#[test]
fn payload_glued_to_a_handshake_is_there_for_the_session_without_an_event() {
    let mut bench = Bench::new();
    let peer = opened(vec![data("H"), Read::Block, data("I\x03\x00abc"), Read::Block], vec![]);
    let mut handshake = begin(&mut bench, peer, &Layering::chaos(1, 0), None);
    assert!(handshake.turn(&mut bench.turn()).unwrap().is_none(), "only half of a greeting has come");
    let Some((Opened { transport: Transport::Script(script), .. }, _)) = &handshake.under_way else { panic!() };
    let slot = script.seen.borrow().slot.unwrap();
    bench.fire(slot);
    let contact = handshake.turn(&mut bench.turn()).unwrap().unwrap();
    let mut end = far_end(contact, Vec::new());
    assert_eq!(read(&mut bench, &mut end), "abc");
}

/// Zero copy would never come back if a stack with nothing in it stayed.
#[test]
fn what_a_proxy_leaves_is_read_first_and_then_nothing_stands_in_between() {
    let mut bench = Bench::new();
    let peer = opened(vec![data("HIabc"), Read::Block], vec![]);
    let mut handshake = begin(&mut bench, peer, &Layering::chaos(0, 1), None);
    let contact = handshake.turn(&mut bench.turn()).unwrap().unwrap();
    let mut end = far_end(contact, Vec::new());
    assert!(end.has_layers());
    assert_eq!(read(&mut bench, &mut end), "abc");
    assert_eq!(read(&mut bench, &mut end), "Blocked");
    assert!(!end.has_layers());

    let silent = opened(vec![data("HI"), Read::Block], vec![]);
    let mut handshake = begin(&mut bench, silent, &Layering::chaos(0, 1), None);
    let contact = handshake.turn(&mut bench.turn()).unwrap().unwrap();
    assert!(!far_end(contact, Vec::new()).has_layers(), "nothing was glued to it");
}

/// The layers of the command read what the wire's layers have decoded before they were there.
#[test]
fn layers_of_the_command_stand_on_top_of_those_that_shook_hands() {
    let mut bench = Bench::new();
    for (over, under) in [(1, 0), (0, 1), (1, 1), (1, 2)] {
        // a record of the covering layer, in a record of the one below if there is one
        let inner = match over {
            0 => "HI\x03\x00abc".to_string(),
            _ => "\x02\x00HI\x05\x00\x03\x00abc".to_string(),
        };
        let wire = format!("{}{inner}", "HI".repeat(over + under));
        let peer = opened(vec![data(&wire), Read::Block], vec![]);
        let mut handshake = begin(&mut bench, peer, &Layering::chaos(over, under), None);
        let contact = handshake.turn(&mut bench.turn()).unwrap().unwrap();
        let mut end = far_end(contact, vec![Box::new(crate::layer::testing::Chaos::new(9))]);
        assert_eq!(read(&mut bench, &mut end), "abc", "{over} over {under}");
    }
}

/// A PROXY header is for whoever is behind the proxies, and not a part of what is encrypted.
#[test]
fn the_header_goes_behind_the_proxies_and_before_the_rest() {
    let mut bench = Bench::new();
    let peer = opened(vec![data("HI"), Read::Block], vec![]);
    let mut handshake = begin(&mut bench, peer, &Layering::chaos(1, 1), Some("PROXY x "));
    assert!(handshake.turn(&mut bench.turn()).unwrap().is_none());
    let Some((Opened { transport: Transport::Script(script), .. }, _)) = &handshake.under_way else { panic!() };
    assert_eq!(script.seen.borrow().written, b"HIPROXY x HI");
}

/// Whoever reads the line wants to know what was asked for, and scripts go by the status.
#[test]
fn a_failure_names_what_was_typed_and_says_how_it_failed() {
    let mut bench = Bench::new();
    let layering = Layering::chaos(1, 0);
    let cases = [
        (vec![data("NO")], vec![], "no greeting"),
        (vec![data("H"), Read::End], vec![], "the peer closed the connection during the handshake"),
        (vec![Read::Fail(io::ErrorKind::ConnectionReset)], vec![], "connection reset, during the handshake"),
        // what the peer said before it left is worth more than that it left
        (vec![data("NO")], vec![Write::Fail(io::ErrorKind::BrokenPipe)], "no greeting"),
        (vec![Read::End], vec![Write::Fail(io::ErrorKind::BrokenPipe)], "broken pipe, during the handshake"),
    ];
    for (reads, writes, cause) in cases {
        let mut handshake = begin(&mut bench, opened(reads, writes), &layering, None);
        let error = handshake.turn(&mut bench.turn()).err().unwrap();
        assert_eq!(error.line(), format!("cannot connect to tls:host:443: {cause}"));
        assert_eq!(error.status(), ExitStatus::Network);
    }
    let silent = opened(vec![Read::Block], vec![]);
    let mut handshake = begin(&mut bench, silent, &layering, None);
    assert!(handshake.turn(&mut bench.turn()).unwrap().is_none());
    let error = handshake.timed_out(Duration::from_secs(2));
    assert_eq!(error.line(), "cannot connect to tls:host:443: timed out after 2s");
    assert_eq!(error.status(), ExitStatus::TimeLimit);
    assert_eq!(error.facts(), ["192.0.2.1:1 is connected, but its handshake is not over"]);
}

/// A proxy or a server that never answers would hold a command without limits for ever; the user's limit is the other's.
#[test]
fn a_peer_that_says_nothing_is_given_up() {
    let mut bench = Bench::new();
    let since = bench.now;
    for (limit, over) in [(None, 60), (Some((since + Duration::from_secs(300), Duration::from_secs(300))), 300)] {
        for layering in [Layering::chaos(1, 0), Layering::chaos(0, 1)] {
            bench.now = since;
            let silent = opened(vec![Read::Block], vec![]);
            let mut handshake = begin(&mut bench, silent, &layering, None).within(limit, since);
            assert_eq!(handshake.deadline(), Some(since + Duration::from_secs(over)));
            bench.now = since + Duration::from_secs(over - 1);
            assert!(handshake.turn(&mut bench.turn()).unwrap().is_none());
            bench.now = since + Duration::from_secs(over);
            let error = handshake.turn(&mut bench.turn()).err().unwrap();
            assert_eq!(error.status(), ExitStatus::TimeLimit);
            assert!(error.line().starts_with("cannot connect to tls:host:443: timed out after "), "{error}");
        }
    }
}
