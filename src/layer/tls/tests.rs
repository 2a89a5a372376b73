//! Two sides of TLS and the wire between them, cut at every place.

use std::sync::Arc;

use proptest::prelude::*;
use rcgen::KeyPair;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::*;
use crate::layer::stack::Stack;
use crate::layer::testing::Chaos;

mod approval;

fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "tls-aws-lc")]
    return Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[cfg(not(feature = "tls-aws-lc"))]
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A client and a server that know each other; the server cuts its messages into records of `fragment` bytes.
fn pair(version: &'static SupportedProtocolVersion, fragment: Option<usize>) -> [Tls; 2] {
    acquainted(version, |server| server.max_fragment_size = fragment, None)
}

/// The same, with what the server demands and what the client has: its certificate is that of the server.
fn acquainted(
    version: &'static SupportedProtocolVersion,
    change: impl FnOnce(&mut ServerConfig),
    demand: Option<Demand>,
) -> [Tls; 2] {
    let key = KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["a.example".into()]).unwrap().self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let own = CertifiedKey::from_der(vec![certificate.der().clone()], key.clone_key(), &provider()).unwrap();
    let own = demand.filter(|demand| *demand == Demand::Met).map(|_| Arc::new(own));
    let client = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
    let client = ClientSide::new(client.with_root_certificates(roots.clone()).with_no_client_auth(), own);
    let server = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
    let verifier = || WebPkiClientVerifier::builder_with_provider(roots.into(), provider()).build().unwrap();
    let server = match demand {
        None => server.with_no_client_auth(),
        Some(_) => server.with_client_cert_verifier(verifier()),
    };
    let mut server = server.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    change(&mut server);
    let name = ServerName::try_from("a.example").unwrap();
    [Tls::client(&client, name, Instant::now()).unwrap(), Tls::server(Arc::new(server)).unwrap()]
}

/// What becomes of a server's wish for a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Demand {
    Met,
    Unmet,
}

fn sides(version: &'static SupportedProtocolVersion) -> [Stack; 2] {
    pair(version, None).map(|tls| Stack::new(vec![Box::new(tls)], 300))
}

/// Carries what `from` has to say to `to`, at most so many bytes; how many.
fn carry(from: &mut Stack, to: &mut Stack, most: usize) -> usize {
    from.flush().unwrap();
    let mut count = 0;
    if let Some(wire) = from.outgoing() {
        let spare = to.wire_spare();
        count = wire.len().min(most).min(spare.len());
        spare[..count].copy_from_slice(&wire.filled()[..count]);
        to.wire_received(count);
        wire.consume(count);
    }
    to.decode();
    count
}

// What failed below another layer is told as it is, and the alert goes out before anything else is heard of it.
#[test]
fn a_failure_below_another_layer_is_told_with_its_reason_and_to_the_peer() {
    let [client, _] = pair(&rustls::version::TLS13, None);
    let [_, stranger] = pair(&rustls::version::TLS13, None);
    let above = || Box::new(Chaos::new(9));
    let mut sides = [client, stranger].map(|tls| Stack::new(vec![above(), Box::new(tls)], 300));
    settle(&mut sides);
    let told = sides.each_mut().map(|side| side.take_failure().unwrap().cause().to_string());
    // the two issuers have the same name
    assert_eq!(
        told,
        ["a signature in its certificate is wrong", "the peer refused: a signature or a key of ours is wrong for it"]
    );
    // whoever goes on sending after that hears that it is over
    let [client, _] = &mut sides;
    assert!(client.encode(b"more").is_err());
}

/// Both sides talk until neither has anything to say.
fn settle([client, server]: &mut [Stack; 2]) {
    while carry(client, server, usize::MAX) + carry(server, client, usize::MAX) > 0 {}
}

fn drain(stack: &mut Stack) -> Vec<u8> {
    let mut read = Vec::new();
    loop {
        stack.decode();
        let plain = stack.plain();
        if plain.is_empty() {
            return read;
        }
        read.extend_from_slice(plain.filled());
        plain.clear();
    }
}

/// A payload that says where each of its bytes belongs.
fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect()
}

fn version() -> impl Strategy<Value = &'static SupportedProtocolVersion> {
    prop_oneof![Just(&rustls::version::TLS13), Just(&rustls::version::TLS12)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_time: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_chunking_gives_the_same_bytes_both_ways(
        version in version(),
        lengths in [0usize..60_000, 0usize..60_000],
        cuts in proptest::collection::vec(prop_oneof![1usize..8, 1usize..900, 900usize..40_000], 1..20),
        reads in proptest::collection::vec(1usize..30_000, 1..10),
    ) {
        let mut sides = sides(version);
        let data = lengths.map(payload);
        let (mut sent, mut read, mut closed) = ([0, 0], [vec![], vec![]], [false, false]);
        let half = sides[0].half_close() == HalfClose::Supported;
        let (mut turn, mut idle) = (0, 0);
        for side in [0, 1].into_iter().cycle() {
            turn += 1;
            prop_assert!(idle < 1000, "nothing moves any more: {sent:?} {:?}", read.each_ref().map(Vec::len));
            let most = cuts[turn % cuts.len()];
            let end = data[side].len().min(sent[side] + most);
            let taken = sides[side].encode(&data[side][sent[side]..end]).unwrap();
            sent[side] += taken;
            // with TLS 1.2 nobody may end first while the other still talks
            let done = |side: usize| sent[side] == data[side].len() && read[side].len() == data[1 - side].len();
            if sent[side] == data[side].len() && !closed[side] && (half || done(side)) {
                closed[side] = true;
                sides[side].close_plain();
            }
            let [a, b] = &mut sides;
            let (from, to) = if side == 0 { (a, b) } else { (b, a) };
            let moved = carry(from, to, most);
            prop_assert!(to.take_failure().is_none());
            let plain = to.plain();
            let count = plain.len().min(reads[turn % reads.len()]);
            read[1 - side].extend_from_slice(&plain.filled()[..count]);
            plain.consume(count);
            idle = if taken + moved + count > 0 { 0 } else { idle + 1 };
            if (0..2).all(|side| closed[side] && sides[side].is_plain_ended()) {
                break;
            }
        }
        prop_assert!(read[0] == data[1] && read[1] == data[0]);
    }

    #[test]
    fn a_wire_that_ends_anywhere_is_cut_and_what_came_before_is_kept(
        version in version(),
        length in 1usize..40_000,
        at in any::<prop::sample::Index>(),
    ) {
        let mut sides = sides(version);
        settle(&mut sides);
        let [client, server] = &mut sides;
        let data = payload(length);
        assert_eq!(client.encode(&data).unwrap(), length);
        let whole = client.outgoing().unwrap().len();
        let kept = at.index(whole);
        carry(client, server, kept);
        server.wire_ended();
        let read = drain(server);
        prop_assert_eq!(&read[..], &data[..read.len()]);
        let error = server.take_failure().unwrap();
        prop_assert_eq!(error.into_io().unwrap().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_changed_byte_is_found(version in version(), length in 1usize..20_000, at in any::<prop::sample::Index>()) {
        let mut sides = sides(version);
        settle(&mut sides);
        let [client, server] = &mut sides;
        let data = payload(length);
        client.encode(&data).unwrap();
        client.close_plain();
        client.flush().unwrap();
        let wire = client.outgoing().unwrap();
        let at = at.index(wire.len());
        wire.filled_mut()[at] ^= 0x10;
        carry(client, server, usize::MAX);
        server.wire_ended();
        let read = drain(server);
        prop_assert_eq!(&read[..], &data[..read.len()]);
        prop_assert!(server.take_failure().is_some() && !server.is_plain_ended());
    }
}

// The stream ends well only by close_notify, and only then; one direction may end before the other.
#[test]
fn an_end_is_said_and_the_other_direction_goes_on() {
    let mut sides = sides(&rustls::version::TLS13);
    sides[0].close_plain(); // before there is a connection
    settle(&mut sides);
    assert!(sides[0].is_closed() && sides[1].is_plain_ended() && !sides[0].is_plain_ended());
    assert_eq!(sides[1].encode(b"an answer").unwrap(), 9);
    settle(&mut sides);
    assert_eq!(drain(&mut sides[0]), b"an answer");
    sides[1].close_plain();
    settle(&mut sides);
    sides[0].wire_ended();
    assert!(sides[0].is_plain_ended() && sides[0].take_failure().is_none());
}

// What a stopped session leaves behind must look like a cut.
#[test]
fn a_session_that_is_stopped_says_no_end() {
    let mut sides = sides(&rustls::version::TLS13);
    settle(&mut sides);
    sides[0].encode(b"half of it").unwrap();
    sides[0].note(&Note::Stopped("interrupted".into()));
    sides[0].close_plain();
    settle(&mut sides);
    sides[1].wire_ended();
    assert_eq!(drain(&mut sides[1]), b"half of it");
    assert!(!sides[1].is_plain_ended());
    assert!(sides[1].take_failure().unwrap().to_string().contains("no close_notify"));
}

// Nothing leaves before the peer is known, and a plain-text peer is called that.
#[test]
fn a_server_that_does_not_speak_tls_is_told_from_one_that_hangs_up() {
    for (answer, said) in [
        (&b"220 mail.example ESMTP\r\n"[..], "does not speak TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"),
        (b"", "closed the connection in the handshake"),
        (b"\x16\x03", "closed the connection in the handshake"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "no version of TLS in common"),
    ] {
        let [mut client, _] = sides(&rustls::version::TLS13);
        client.flush().unwrap();
        client.outgoing().unwrap().clear();
        assert_eq!(client.encode(b"secret").unwrap(), 0);
        client.wire_spare()[..answer.len()].copy_from_slice(answer);
        client.wire_received(answer.len());
        client.wire_ended();
        let error = client.take_failure().unwrap();
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(error.status(), ExitStatus::Authentication);
    }
}

#[test]
fn what_was_agreed_on_can_be_told() {
    let mut sides = sides(&rustls::version::TLS13);
    assert_eq!(sides[0].summary(), None);
    settle(&mut sides);
    let summary = sides[0].summary().unwrap();
    let shown = summary.certificate.as_ref().unwrap();
    assert_eq!(
        (summary.version, shown.names.as_slice(), shown.key.as_str()),
        ("TLS 1.3", &["a.example".to_string()][..], "ECDSA P-256")
    );
    assert!(sides[1].summary().unwrap().certificate.is_none());
    assert_eq!(summary.lines().len(), 4);
}

// Having said our end, we may still find that the peer's stream is broken.
#[test]
fn a_failure_after_our_own_end_is_told_too() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut sides = sides(version);
        settle(&mut sides);
        sides[0].close_plain();
        settle(&mut sides);
        let [client, _] = &mut sides;
        let bad = [0x17, 3, 3, 0, 20].iter().chain([7; 20].iter());
        client.wire_spare().iter_mut().zip(bad).for_each(|(to, from)| *to = *from);
        client.wire_received(25);
        client.decode();
        assert!(client.take_failure().unwrap().to_string().contains("does not decrypt"));
    }
}

// Tickets come when the server likes, and in as many records as it likes: half of one must not stop our side, and the
// engine must be shown that half again at every step.
#[test]
fn what_is_written_need_not_wait_for_the_rest_of_a_message() {
    let [mut client, mut server] = pair(&rustls::version::TLS13, Some(64));
    let [mut up, mut down, mut plain] = [0; 3].map(|_| Buffer::new(SEAM));
    let (mut sent, mut begun) = (0, 0);
    for _ in 0..8 {
        client.flush(&mut up);
        sent += client.encode(b"x", &mut up).unwrap();
        server.decode(&mut up, &mut plain).unwrap();
        server.flush(&mut down);
        let mut received = Buffer::new(SEAM);
        for byte in down.filled().to_vec() {
            received.push(&[byte]);
            client.decode(&mut received, &mut Buffer::new(SEAM)).unwrap();
            begun += usize::from(client.begun > 0 && client.state() == LayerState::Open);
            sent += client.encode(b"x", &mut up).unwrap();
            client.flush(&mut up);
        }
        assert!(received.is_empty());
        down.clear();
    }
    server.decode(&mut up, &mut plain).unwrap();
    assert!(begun > 100, "no ticket came in pieces");
    assert_eq!(plain.filled(), "x".repeat(sent).as_bytes());
}

// Records that wait for room have not been looked at: a step that only writes must not have anything stand for them.
#[test]
fn what_is_written_need_not_wait_for_room_for_what_is_read() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let [mut client, mut server] = pair(version, None);
        let [mut up, mut down, mut heard] = [0; 3].map(|_| Buffer::new(SEAM));
        let mut plain = Buffer::new(RECORD + OVERHEAD);
        for _ in 0..4 {
            client.flush(&mut up);
            server.decode(&mut up, &mut heard).unwrap();
            server.flush(&mut down);
            client.decode(&mut down, &mut plain).unwrap();
        }
        let data = payload(6 * RECORD);
        for lengths in data.chunks(2 * RECORD).map(|part| part.split_at(RECORD / 2)) {
            for part in [lengths.0, lengths.1] {
                assert_eq!(server.encode(part, &mut down).unwrap(), part.len());
            }
        }
        let (mut read, mut sent) = (Vec::new(), 0);
        while read.len() < data.len() {
            client.decode(&mut down, &mut plain).unwrap();
            assert!(!plain.is_empty(), "nothing comes any more");
            sent += client.encode(b"x", &mut up).unwrap();
            client.flush(&mut up);
            // not always as much as a record wants
            let count = plain.len().min(RECORD / 2 + 1);
            read.extend_from_slice(&plain.filled()[..count]);
            plain.consume(count);
        }
        server.decode(&mut up, &mut heard).unwrap();
        assert!(sent > 6 && read == data);
        assert_eq!(heard.filled(), "x".repeat(sent).as_bytes());
    }
}

// RFC 8446, 4.6.3: either side may change its keys at any time, and ask the other to do the same.
#[test]
fn keys_may_change_in_the_middle_of_both_directions() {
    let [mut client, mut server] = pair(&rustls::version::TLS13, None);
    let [mut up, mut down, mut heard, mut answered] = [0; 4].map(|_| Buffer::new(SEAM));
    for round in 0..20 {
        client.flush(&mut up);
        client.encode(b"said ", &mut up).unwrap();
        server.decode(&mut up, &mut heard).unwrap();
        server.flush(&mut down);
        server.encode(b"answered ", &mut down).unwrap();
        client.decode(&mut down, &mut answered).unwrap();
        let Connection::Client(connection) = &mut client.connection else { unreachable!() };
        if let Ok(rustls::unbuffered::ConnectionState::WriteTraffic(traffic)) =
            connection.process_tls_records(&mut []).state
            && round % 3 == 0
        {
            traffic.refresh_traffic_keys().unwrap();
        }
    }
    assert!(heard.filled().ends_with(&b"said ".repeat(15)) && answered.filled().ends_with(&b"answered ".repeat(15)));
    // an idle side answers a whole series of changes with its next words, not each
    assert!(server.said.len() < 200);
}

// A message whose end never comes must not be gathered for ever.
#[test]
fn a_message_without_end_is_refused() {
    let [_, mut server] = pair(&rustls::version::TLS13, None);
    let [mut wire, mut plain] = [0; 2].map(|_| Buffer::new(SEAM));
    wire.push(&[0x16, 3, 1, 0, 4, 1, 0, 0xff, 0xff]);
    let error = (0..SEAM).find_map(|_| {
        wire.push(&[0x16, 3, 3, 0, 1, 0]);
        server.decode(&mut wire, &mut plain).err()
    });
    assert!(error.unwrap().to_string().contains("broke the protocol"));
}

// What a handshake needs at a time is little: nobody gets more for a few bytes.
#[test]
fn an_idle_connection_holds_next_to_nothing() {
    let mut sides = sides(&rustls::version::TLS13);
    settle(&mut sides);
    let [mut client, mut server] = pair(&rustls::version::TLS13, None);
    let [mut up, mut down, mut plain] = [0; 3].map(|_| Buffer::new(SEAM));
    for _ in 0..4 {
        client.flush(&mut up);
        server.decode(&mut up, &mut plain).unwrap();
        server.flush(&mut down);
        client.decode(&mut down, &mut plain).unwrap();
    }
    for side in [client, server] {
        assert_eq!(side.said.capacity() + side.held.capacity() + side.begun, 0);
    }
}
