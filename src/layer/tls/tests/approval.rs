//! Servers that ask for a certificate, and what they say of it after the handshake of the client is over.

use std::time::Duration;

use super::super::approval::PATIENCE;
use super::*;

/// Both sides, up to where the client may send and the server has not looked at what the client has shown.
fn shown(version: &'static SupportedProtocolVersion, demand: Option<Demand>, tickets: usize) -> [Stack; 2] {
    let sides = acquainted(version, |server| server.send_tls13_tickets = tickets, demand);
    let [mut client, mut server] = sides.map(|tls| Stack::new(vec![Box::new(tls)], 300));
    while client.is_handshaking() && client.take_failure().is_none() {
        carry(&mut client, &mut server, usize::MAX);
        carry(&mut server, &mut client, usize::MAX);
    }
    [client, server]
}

// The handshake of a client under TLS 1.3 is over before it is known whether the server takes it: its end waits for that.
#[test]
fn a_client_that_was_asked_for_a_certificate_hears_that_it_is_refused() {
    let mut sides = shown(&rustls::version::TLS13, Some(Demand::Unmet), 2);
    let client = &mut sides[0];
    assert_eq!(client.encode(b"x").unwrap(), 1);
    client.close_plain();
    client.flush().unwrap();
    assert!(!client.is_accepted() && !client.is_closed() && client.awaits_answer());
    settle(&mut sides);
    let client = &mut sides[0];
    let error = client.take_failure().unwrap();
    assert_eq!(error.cause().to_string(), "the peer refused: it wants a certificate of ours");
    assert!(!client.is_accepted() && !client.awaits_answer(), "nothing more is waited for, and nothing was accepted");
    assert_eq!(client.deadline(), None);
}

// What only a server says that has looked is leave to stay: a ticket, its end.
#[test]
fn a_ticket_or_the_end_of_the_server_is_its_consent() {
    let go_on: [fn(&mut Stack); 2] = [|_| {}, Stack::close_plain];
    for (tickets, go_on) in [2, 0].into_iter().zip(go_on) {
        let [mut client, mut server] = shown(&rustls::version::TLS13, Some(Demand::Met), tickets);
        client.close_plain();
        client.flush().unwrap();
        assert!(!client.is_accepted() && !client.is_closed());
        carry(&mut client, &mut server, usize::MAX);
        go_on(&mut server);
        carry(&mut server, &mut client, usize::MAX);
        assert!(client.is_accepted() && client.is_closed());
        assert_eq!(client.deadline(), None);
    }
}

// A server may greet before it has what the client shows (RFC 8446, 4.4.4): that is no consent, but time passes.
#[test]
fn payload_alone_is_no_consent() {
    let [mut client, mut server] = shown(&rustls::version::TLS13, Some(Demand::Met), 0);
    client.close_plain();
    carry(&mut client, &mut server, usize::MAX);
    assert_eq!(server.encode(b"welcome").unwrap(), 7);
    carry(&mut server, &mut client, usize::MAX);
    assert_eq!(drain(&mut client), b"welcome");
    assert!(!client.is_accepted() && !client.is_closed());
    let now = Instant::now();
    client.tick(now);
    client.tick(now + PATIENCE);
    assert!(client.is_accepted() && client.is_closed());
}

// One that says nothing at all has taken what it was shown: that is asked of the clock only once our end is said.
#[test]
fn a_server_that_says_nothing_has_some_time_to_refuse() {
    let mut sides = shown(&rustls::version::TLS13, Some(Demand::Met), 0);
    assert_eq!(sides[0].deadline(), None);
    sides[0].close_plain();
    settle(&mut sides);
    let [client, _] = &mut sides;
    let now = Instant::now();
    assert!(client.deadline().unwrap() <= now, "the time is asked for at once");
    client.tick(now);
    assert_eq!(client.deadline(), Some(now + PATIENCE));
    client.tick(now + PATIENCE - Duration::from_millis(1));
    assert!(!client.is_closed());
    client.tick(now + PATIENCE);
    assert!(client.is_closed() && client.is_accepted());
}

// Without such a wish, and where the server looks before the handshake is over, nothing is waited for.
#[test]
fn nothing_is_awaited_where_the_handshake_says_it_all() {
    for (version, demand) in
        [(&rustls::version::TLS13, None), (&rustls::version::TLS12, None), (&rustls::version::TLS12, Some(Demand::Met))]
    {
        let [mut client, _] = shown(version, demand, 0);
        client.close_plain();
        client.flush().unwrap();
        client.outgoing().unwrap().clear();
        assert!(client.is_accepted() && client.is_closed() && client.deadline().is_none());
    }
    let sides = acquainted(&rustls::version::TLS12, |_| {}, Some(Demand::Unmet));
    let mut sides = sides.map(|tls| Stack::new(vec![Box::new(tls)], 300));
    settle(&mut sides);
    assert!(sides[0].is_failed() && sides[0].is_accepted());
}
