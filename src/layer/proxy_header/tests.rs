use proptest::prelude::*;

use super::*;

fn inet(from: &str, to: &str) -> Parties {
    Parties::Inet(from.parse().unwrap(), to.parse().unwrap())
}

/// Version 2 with this command, family and body.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [SIGNATURE, &[command, family], &length, body].concat()
}

#[test]
fn lines_of_version_1_are_read_and_nothing_else_is() {
    for (line, expected) in [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 65535\r\n", inet("192.0.2.1:1", "192.0.2.2:65535")),
        ("PROXY TCP6 2001:db8::1 ::1 0 80\r\n", inet("[2001:db8::1]:0", "[::1]:80")),
        ("PROXY TCP6 ::FFFF ::1 5 80\r\n", inet("[::ffff]:5", "[::1]:80")),
        ("PROXY UNKNOWN\r\n", Parties::Own),
        ("PROXY UNKNOWN ffff:f...f:ffff whatever 65535 x\r\n", Parties::Own),
    ] {
        let stream = [line.as_bytes(), b"payload"].concat();
        assert_eq!(parse(&stream), Ok(Some((expected, line.len()))), "{line}");
    }
    for line in [
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY\r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2  2\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY TCP4 192.0.2.1\r192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n\r\n",
        "\r\n\r\nQUIT",
    ] {
        assert!(parse(line.as_bytes()).is_err(), "{line}");
    }
}

#[test]
fn a_line_ends_within_107_bytes_or_is_none() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(longest.len(), LONGEST_LINE);
    assert_eq!(parse(longest.as_bytes()), Ok(Some((Parties::Own, LONGEST_LINE))));
    let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(parse(&longer.as_bytes()[..106]), Ok(None));
    assert!(parse(&longer.as_bytes()[..107]).is_err());
    assert!(parse(longer.as_bytes()).is_err());
}

#[test]
fn headers_of_version_2_are_read_and_extensions_skipped() {
    let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0, 5, 1, 0];
    let told = inet("192.0.2.1:5", "192.0.2.2:256");
    let mut long = v4.to_vec();
    long.extend([0x04, 0, 3, 1, 2, 3]);
    let mut v6 = [0; 36];
    (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 3, 4);
    let mut unix = [0; 216];
    unix[..3].copy_from_slice(b"/a\0");
    unix[50] = b'x';
    unix[108..111].copy_from_slice(b"\0ab");
    for (header, expected) in [
        (v2(0x21, 0x11, &v4), told.clone()),
        (v2(0x21, 0x12, &v4), told.clone()),
        (v2(0x21, 0x11, &long), told),
        (v2(0x21, 0x21, &v6), inet("[::1]:3", "[::2]:4")),
        (v2(0x21, 0x31, &unix), Parties::Unix(b"/a".to_vec(), b"\0ab".to_vec())),
        (v2(0x20, 0x00, &[]), Parties::Own),
        (v2(0x20, 0x11, &v4), Parties::Own),
        (v2(0x20, 0x11, &[]), Parties::Own),
        (v2(0x21, 0x00, &long), Parties::Own),
        (v2(0x21, 0x10, &[]), Parties::Own),
        (v2(0x21, 0x01, &[0; LONGEST - HEAD]), Parties::Own),
    ] {
        let stream = [&header[..], b"payload"].concat();
        assert_eq!(parse(&stream), Ok(Some((expected, header.len()))), "{header:?}");
    }
    for header in [
        v2(0x11, 0x11, &v4),
        v2(0x22, 0x11, &v4),
        v2(0x21, 0x41, &v4),
        v2(0x21, 0x13, &v4),
        v2(0x21, 0x11, &v4[..11]),
        v2(0x21, 0x21, &v4),
        v2(0x21, 0x31, &[0; 215]),
        v2(0x21, 0x00, &[0; LONGEST - HEAD + 1]),
    ] {
        assert!(parse(&header).is_err(), "{header:?}");
        // it is told as soon as the head is there: nobody waits for a body
        assert!(parse(&header[..HEAD]).is_err(), "{header:?}");
    }
}

#[test]
fn a_header_in_pieces_is_waited_for_and_none_of_it_is_payload() {
    for header in [
        write_v1(&inet("192.0.2.1:1", "192.0.2.2:2")),
        write_v1(&Parties::Own),
        write_v2(&inet("[::1]:1", "[::2]:2")),
        write_v2(&Parties::Own),
        write_v2(&Parties::Unix(b"/a".to_vec(), Vec::new())),
    ] {
        for count in 0..header.len() {
            assert_eq!(parse(&header[..count]), Ok(None), "{count} of {header:?}");
        }
        assert!(matches!(parse(&header), Ok(Some((_, length))) if length == header.len()));
    }
}

#[test]
fn what_is_written_is_what_others_write() {
    let v4 = inet("192.0.2.1:5", "[::ffff:192.0.2.2]:256");
    assert_eq!(write_v1(&v4), b"PROXY TCP4 192.0.2.1 192.0.2.2 5 256\r\n");
    assert_eq!(write_v2(&v4), v2(0x21, 0x11, &[192, 0, 2, 1, 192, 0, 2, 2, 0, 5, 1, 0]));
    let mixed = inet("192.0.2.1:5", "[::1]:6");
    assert_eq!(write_v1(&mixed), b"PROXY TCP6 ::ffff:192.0.2.1 ::1 5 6\r\n");
    assert_eq!(write_v1(&Parties::Unix(b"/a".to_vec(), Vec::new())), b"PROXY UNKNOWN\r\n");
    assert_eq!(write_v2(&Parties::Own), v2(0x20, 0, &[]));
    let longest = inet(
        "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
        "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
    );
    assert!(write_v1(&longest).len() <= LONGEST_LINE);
}

fn parties() -> impl Strategy<Value = Parties> {
    let v4 = any::<([u8; 4], u16, [u8; 4], u16)>().prop_map(|(a, p, b, q)| Parties::Inet((a, p).into(), (b, q).into()));
    // an IPv4 address written as IPv6 would come back as what it is
    let v6 = any::<([u16; 7], u16, [u16; 7], u16)>().prop_map(|(a, p, b, q)| {
        let ip = |rest: [u16; 7]| Ipv6Addr::new(0x2001, rest[0], rest[1], rest[2], rest[3], rest[4], rest[5], rest[6]);
        Parties::Inet((ip(a), p).into(), (ip(b), q).into())
    });
    let path = || proptest::collection::vec(1..=255u8, 0..108);
    let unix = (path(), path()).prop_map(|(a, b)| Parties::Unix(a, b));
    prop_oneof![v4, v6, unix, Just(Parties::Own)]
}

proptest! {
    #[test]
    fn reading_is_the_inverse_of_writing(parties in parties(), payload: Vec<u8>) {
        let v2 = write_v2(&parties);
        let stream = [&v2[..], &payload].concat();
        prop_assert_eq!(parse(&stream), Ok(Some((parties.clone(), v2.len()))));
        let v1 = write_v1(&parties);
        let stream = [&v1[..], &payload].concat();
        let told = if matches!(parties, Parties::Unix(..)) { Parties::Own } else { parties };
        prop_assert_eq!(parse(&stream), Ok(Some((told, v1.len()))));
    }

    #[test]
    fn any_bytes_are_judged_alike_in_any_pieces(v2 in any::<bool>(), rest: Vec<u8>) {
        let stream = [if v2 { SIGNATURE } else { WORD }, &rest].concat();
        let whole = parse(&stream);
        let first = (0..=stream.len()).map(|count| parse(&stream[..count])).find(|found| *found != Ok(None));
        prop_assert_eq!(first.unwrap_or(Ok(None)), whole.clone());
        if let Ok(Some((_, length))) = whole {
            prop_assert!(length <= LONGEST.min(stream.len()));
        }
    }
}
