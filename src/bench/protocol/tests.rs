//! Conversations of both roles, cut into every kind of pieces.

use proptest::prelude::*;

use super::*;

fn sample() -> Parameters {
    Parameters {
        omit: 1,
        time: 2,
        parallel: 3,
        bidirectional: true,
        rate: 5_000_000,
        mss: 1000,
        nodelay: true,
        window: 65_536,
        tos: 32,
        congestion: Some("reno".into()),
        extra: Some(Extra { trip: Some(Trip { size: 64, connects: true }), probe: false, check: true }),
        ..Parameters::default()
    }
}

fn counted(id: u32) -> Counted {
    Counted {
        id,
        bytes: 1 << 40,
        retransmits: Some(7),
        seconds: Some(1.5),
        packets: 9,
        lost: 2,
        jitter: Some(0.0),
        ..Counted::default()
    }
}

fn results() -> Results {
    Results {
        cpu: Some([1.0, 0.5, 0.5]),
        congestion: Some("bbr".into()),
        streams: vec![counted(1)],
        server_output: None,
    }
}

/// Gives `bytes` to `take` in pieces of these lengths, again and again.
fn in_pieces(bytes: &[u8], lengths: &[usize], mut take: impl FnMut(&[u8])) {
    let (mut rest, mut lengths) = (bytes, lengths.iter().cycle());
    while !rest.is_empty() {
        let length = (*lengths.next().unwrap_or(&1)).clamp(1, rest.len());
        take(&rest[..length]);
        rest = &rest[length..];
    }
}

/// A whole test between the two machines, all bytes in such pieces; what each was told to do.
fn conversation(cookie: &Cookie, lengths: &[usize]) -> (Vec<ClientStep>, Vec<ServerStep>, bool) {
    let mut client = Client::new(cookie, sample());
    let mut server = Server::new(cookie);
    client.outgoing().drain(..COOKIE);
    let (mut done, mut served) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let bytes = std::mem::take(server.outgoing());
        in_pieces(&bytes, lengths, |piece| {
            client.receive(piece);
            while let Some(step) = client.step().unwrap() {
                match &step {
                    ClientStep::Run => client.end(),
                    ClientStep::Tell => client.tell(&results()),
                    ClientStep::Show(_) => client.finish(),
                    _ => {}
                }
                done.push(step);
            }
        });
        let bytes = std::mem::take(client.outgoing());
        in_pieces(&bytes, lengths, |piece| {
            server.receive(piece);
            while let Some(step) = server.step().unwrap() {
                match &step {
                    ServerStep::Judge(_) => server.agree(),
                    ServerStep::Stop => server.exchange(),
                    ServerStep::Tell(_) => server.tell(&results()),
                    _ => {}
                }
                served.push(step);
            }
        });
        server.begin();
    }
    assert!(client.is_over() && server.is_over());
    (done, served, client.is_haul())
}

proptest! {
    #[test]
    fn a_test_goes_its_way_in_any_pieces(lengths in prop::collection::vec(1usize..300, 1..6), random: [u64; 2]) {
        let iperf3 = Cookie(*b"i4a2snxgmrqgqlei56codfbnjex2bfkzjze4\0");
        for cookie in [Cookie::new(random), iperf3] {
            let (client, server, is_haul) = conversation(&cookie, &lengths);
            prop_assert_eq!(is_haul, cookie.is_haul());
            let show = ClientStep::Show(Box::new(results()));
            let steps = vec![ClientStep::CreateStreams, ClientStep::Start, ClientStep::Run, ClientStep::Tell, show];
            prop_assert_eq!(client, steps);
            let extra = if is_haul { sample().extra } else { None };
            let asked = Box::new(Parameters { extra, ..sample() });
            let tell = ServerStep::Tell(Box::new(results()));
            prop_assert_eq!(server, vec![ServerStep::Judge(asked), ServerStep::Stop, tell, ServerStep::Done]);
        }
    }

    #[test]
    fn no_bytes_at_all_panic(bytes: Vec<u8>, lengths in prop::collection::vec(1usize..20, 1..4)) {
        let mut client = Client::new(&Cookie::new([1, 2]), sample());
        let mut server = Server::new(&Cookie::new([1, 2]));
        in_pieces(&bytes, &lengths, |piece| {
            client.receive(piece);
            while let Ok(Some(step)) = client.step() {
                match step {
                    ClientStep::Run => client.end(),
                    ClientStep::Tell => client.tell(&results()),
                    ClientStep::Show(_) => client.finish(),
                    _ => {}
                }
            }
            server.receive(piece);
            while let Ok(Some(step)) = server.step() {
                match step {
                    ServerStep::Judge(_) => {
                        server.agree();
                        server.begin();
                    }
                    ServerStep::Stop => server.exchange(),
                    ServerStep::Tell(_) => server.tell(&results()),
                    _ => {}
                }
            }
        });
    }

    #[test]
    fn no_message_panics_and_what_is_understood_is_within_its_bounds(text in ".{0,200}", number: f64) {
        let _ = Results::decode(text.as_bytes());
        let _ = Parameters::decode(text.as_bytes());
        let odd = format!("{{\"tcp\":true,\"time\":{number:e},\"len\":{number},\"parallel\":{number},\"num\":-1}}");
        if let Ok(asked) = Parameters::decode(odd.as_bytes()) {
            prop_assert!(asked.parallel >= 1 && asked.parallel <= MOST_STREAMS);
            prop_assert!(asked.length as u64 <= MOST_BLOCK);
        }
    }
}

#[test]
fn cookies_of_haul_are_known_from_those_of_iperf3() {
    let cookie = Cookie::new([7, 9]);
    assert!(cookie.is_haul() && cookie.is_sound());
    assert_ne!(cookie, Cookie::new([7, 10]));
    assert!(Cookie(*b"i4a2snxgmrqgqlei56codfbnjex2bfkzjze4\0").is_sound());
    assert!(!Cookie(*b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n").is_sound());
    assert!(!Cookie([0; COOKIE]).is_sound());
}

#[test]
fn iperf3s_own_messages_are_understood() {
    let text = br#"{"tcp":true,"omit":1,"time":1,"num":0,"blockcount":0,"parallel":2,"bidirectional":true,"len":131072,
        "pacing_timer":1000,"client_version":"3.12"}"#;
    let asked = Parameters::decode(text).unwrap();
    let expected = Parameters { omit: 1, time: 1, parallel: 2, bidirectional: true, ..Parameters::default() };
    assert_eq!(asked, expected);
    assert_eq!((asked.streams(), asked.client_sends(1), asked.client_sends(2)), (4, true, false));
    let text = br#"{"cpu_util_total":17.16,"cpu_util_user":0.27,"cpu_util_system":16.8,"sender_has_retransmits":1,
        "congestion_used":"bbr","streams":[{"id":1,"bytes":588513280,"retransmits":18446744073709551615,"jitter":0,
        "errors":0,"packets":0,"start_time":0,"end_time":0.991437},{"id":3,"bytes":5,"retransmits":7}]}"#;
    let told = Results::decode(text).unwrap();
    assert_eq!((told.streams[0].id, told.streams[0].bytes, told.streams[0].retransmits), (1, 588_513_280, None));
    assert_eq!((told.streams[1].retransmits, told.congestion.as_deref()), (Some(7), Some("bbr")));
}

// What was not understood was taken for nothing, and the test was another one than the client had asked for.
#[test]
fn parameters_that_cannot_be_are_refused_by_iperf3s_number() {
    for (wrong, refusal, why) in [
        (r#""time":-5"#, Refusal::Duration, "time is -5, not 0 to 86400"),
        (r#""time":86401"#, Refusal::Duration, "time is 86401, not 0 to 86400"),
        (r#""omit":1e9"#, Refusal::Omit, "omit is 1000000000.0, not 0 to 86400"),
        (r#""num":-1"#, Refusal::Parameters, "num is -1, not 0 to 18446744073709551615"),
        (r#""blockcount":"9""#, Refusal::Parameters, "blockcount is no number"),
        (r#""parallel":-1"#, Refusal::Streams, "parallel is -1, not 0 to 128"),
        (r#""parallel":129"#, Refusal::Streams, "parallel is 129, not 0 to 128"),
        (r#""len":-1"#, Refusal::Block, "len is -1, not 0 to 18446744073709551615"),
        (r#""len":1048577"#, Refusal::Block, "it asks for blocks of a size that cannot be"),
        (r#""bandwidth":1e308"#, Refusal::Rate, "bandwidth is 1e+308, not 0 to 18446744073709551615"),
        (r#""burst":1001"#, Refusal::Burst, "burst is 1001, not 0 to 1000"),
        (r#""MSS":-1"#, Refusal::Segment, "MSS is -1, not 0 to 32767"),
        (r#""window":536870913"#, Refusal::Window, "window is 536870913, not 0 to 536870912"),
        (r#""TOS":256"#, Refusal::Service, "TOS is 256, not 0 to 255"),
        (r#""congestion":"0123456789abcdef""#, Refusal::Options, "no congestion control has so long a name"),
        (r#""haul":{"trip":{"size":0}}"#, Refusal::Block, "size is 0, which no request has"),
        (r#""haul":{"trip":{"size":1048577}}"#, Refusal::Block, "size is 1048577, not 0 to 1048576"),
    ] {
        let breach = Breach::Malformed("parameters", why.into());
        assert_eq!(
            Parameters::decode(format!(r#"{{"tcp":true,{wrong}}}"#).as_bytes()),
            Err((breach, refusal)),
            "{wrong}"
        );
        assert!(!Refusal::sentence(refusal as i32).contains("error"), "{wrong}");
    }
    let odd = br#"{"tcp":true,"time":2.0,"omit":null,"parallel":0,"nodelay":1}"#;
    let expected = Parameters { time: 2, nodelay: true, ..Parameters::default() };
    assert_eq!(Parameters::decode(odd), Ok(expected));
}

// A figure of 1e308 was printed with all its digits.
#[test]
fn results_that_cannot_be_are_refused_or_unknown() {
    let of = |stream: &str| Results::decode(format!(r#"{{"streams":[{{"id":1,{stream}}}]}}"#).as_bytes());
    for (wrong, why) in [
        (r#""bytes":-1"#, "bytes is -1, not 0 to 36028797018963968"),
        (r#""bytes":1e308"#, "bytes is 1e+308, not 0 to 36028797018963968"),
        (r#""packets":18446744073709551615"#, "packets is 18446744073709551615, not 0 to 36028797018963968"),
        (r#""haul":{"corrupted":1e99}"#, "corrupted is 1e+99, not 0 to 36028797018963968"),
    ] {
        assert_eq!(of(wrong), Err(Breach::Malformed("results", why.into())), "{wrong}");
    }
    // iperf3 takes back what it has counted as lost and came later
    let told = of(r#""packets":5,"errors":-1,"jitter":1e308,"retransmits":1e9,"end_time":-1"#).unwrap();
    let odd = Counted { id: 1, packets: 5, ..Counted::default() };
    assert_eq!((told.streams[0], told.cpu), (odd, None));
    let told = Results::decode(br#"{"cpu_util_total":-1,"cpu_util_user":1,"cpu_util_system":1,"streams":[]}"#).unwrap();
    assert_eq!(told.cpu, None);
}

#[test]
fn what_two_ends_tell_each_other_arrives() {
    let more = Some(More { reordered: 1, duplicated: 2, late: 3, dropped_here: 4, corrupted: 5 });
    let streams = vec![counted(1), Counted { more, omitted: [5, 1], retransmits: None, ..counted(3) }];
    let told = Results { streams, server_output: Some("line\n".into()), ..results() };
    assert_eq!(Results::decode(told.encode().as_bytes()), Ok(told));
    assert_eq!(Parameters::decode(sample().encode().as_bytes()), Ok(sample()));
}

#[test]
fn a_server_that_refuses_is_told_by_its_reason() {
    let breach = |bytes: &[u8]| {
        let mut client = Client::new(&Cookie::new([1, 2]), sample());
        client.receive(bytes);
        loop {
            match client.step() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("nothing is wrong with it"),
                Err(breach) => return breach.sentence(),
            }
        }
    };
    assert_eq!(breach(&[255]), "it is busy with another test");
    assert_eq!(breach(&[9, 254, 0, 0, 0, 27, 0, 0, 0, 0]), "it does not allow that rate");
    assert_eq!(breach(&[9, 10, 254, 0, 0, 3, 231, 0, 0, 0, 0]), "it gives iperf3's error 999");
    assert_eq!(breach(&[9, 11]), "it has ended the test");
    assert_eq!(breach(b"SSH-2.0-\x1b[31mx"), "it does not speak iperf3's protocol, it said \"SSH-2.0-\\x1b[31mx\"");
    assert_eq!(breach(&[9, 13]), "it is out of step: it said 13");
}

#[test]
fn messages_that_are_too_long_are_refused_before_they_come() {
    let mut server = Server::new(&Cookie::new([1, 2]));
    server.receive(&u32::MAX.to_be_bytes());
    assert_eq!(server.step(), Err(Breach::Huge("parameters", u32::MAX as usize, MOST_PARAMETERS)));
    assert!(server.is_over() && server.outgoing().ends_with(&[254, 0, 0, 0, 114, 0, 0, 0, 0]));
    let mut client = Client::new(&Cookie::new([1, 2]), sample());
    client.receive(&[9, 10, 1, 2]);
    while let Ok(Some(step)) = client.step() {
        if step == ClientStep::Run {
            client.end();
            client.receive(&[13]);
        }
        if step == ClientStep::Tell {
            client.tell(&results());
            client.receive(&(MOST_RESULTS as u32 + 1).to_be_bytes());
        }
    }
    assert_eq!(client.step(), Err(Breach::Huge("results", MOST_RESULTS + 1, MOST_RESULTS)));
}

#[test]
fn streams_are_numbered_as_iperf3_numbers_them() {
    assert_eq!([0, 1, 2, 3].map(stream_id), [1, 3, 4, 5]);
}

// Less than a byte a second is a rate all the same.
#[test]
fn the_smallest_rate_is_no_lack_of_one() {
    for (bits, bytes) in
        [(0, None), (1, Some(1)), (7, Some(1)), (8, Some(1)), (80, Some(10)), (u64::MAX, Some(1 << 61))]
    {
        assert_eq!(Parameters { rate: bits, ..Parameters::default() }.bytes_per_second(), bytes);
    }
}
