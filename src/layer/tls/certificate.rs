//! What a person wants to know of a certificate (X.509, RFC 5280), walked out of its DER.
//!
//! Nothing here decides whom to believe: that is webpki's part. Any bytes are fit to be walked; what is not a
//! certificate is `None`, and text from it is escaped.

use std::net::{Ipv4Addr, Ipv6Addr};

use sha2::{Digest, Sha256};

use crate::escape::Escaped;

/// The parts of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// The public key with its algorithm, in DER: what a pin is the digest of (RFC 7469, 2.4).
    pub public_key: &'a [u8],
    /// Whom it is about, `CN=a.example, O=Example`; empty if it does not say.
    pub subject: String,
    /// Who says so.
    pub issuer: String,
    /// The hosts it is for: DNS names, addresses, then other names.
    pub names: Vec<String>,
    /// From when on it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when, in seconds since 1970.
    pub not_after: i64,
}

impl<'a> Certificate<'a> {
    /// Walks one certificate.
    pub fn parse(der: &'a [u8]) -> Option<Certificate<'a>> {
        let outer = Element::expect(der, SEQUENCE)?.0;
        let (body, _) = Element::expect(outer.content, SEQUENCE)?;
        let mut rest = body.content;
        if rest.first() == Some(&VERSION) {
            rest = Element::parse(rest)?.1;
        }
        let (_serial, rest) = Element::parse(rest)?;
        let (_algorithm, rest) = Element::parse(rest)?;
        let (issuer, rest) = Element::expect(rest, SEQUENCE)?;
        let (validity, rest) = Element::expect(rest, SEQUENCE)?;
        let (subject, rest) = Element::expect(rest, SEQUENCE)?;
        let (public_key, rest) = Element::expect(rest, SEQUENCE)?;
        let (from, until) = Element::parse(validity.content)?;
        Some(Certificate {
            public_key: public_key.whole,
            subject: distinguished_name(subject.content),
            issuer: distinguished_name(issuer.content),
            names: alternative_names(rest).unwrap_or_default(),
            not_before: time(&from)?,
            not_after: time(&Element::parse(until)?.0)?,
        })
    }

    /// The pin of its key: `sha256/` and the digest in base64.
    pub fn pin(&self) -> String {
        pin(self.public_key)
    }

    /// The kind of its key, `ECDSA P-256`.
    pub fn key(&self) -> String {
        key(self.public_key).unwrap_or_else(|| "a key of an unknown kind".into())
    }

    /// What is to be said of a key that TLS here takes no signature of, since anybody may find it.
    pub fn short_key(&self) -> Option<String> {
        let bits = rsa_bits(self.public_key).filter(|bits| *bits < SHORTEST_RSA)?;
        Some(format!("its key is too short: RSA, {bits} bits"))
    }
}

/// The pin of a public key in DER.
pub fn pin(public_key: &[u8]) -> String {
    format!("sha256/{}", base64(&Sha256::digest(public_key)))
}

/// A moment as people write it: `2026-11-20 12:00:00 UTC`.
pub fn moment(seconds: i64) -> String {
    let (days, clock) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // the days of the Gregorian calendar, counted from a 1 March, in eras of 400 years
    let day = days + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let (month, day) = ((shifted + 2) % 12 + 1, day - (153 * shifted + 2) / 5 + 1);
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", clock / 3_600, clock / 60 % 60, clock % 60)
}

/// One element of DER.
#[derive(Clone, Copy)]
struct Element<'a> {
    tag: u8,
    whole: &'a [u8],
    content: &'a [u8],
}

impl<'a> Element<'a> {
    /// The first element, and what follows it.
    fn parse(input: &'a [u8]) -> Option<(Element<'a>, &'a [u8])> {
        let (&tag, rest) = input.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let whole = &input[..input.len() - rest.len()];
        // long tags do not occur here
        (tag & 0x1f != 0x1f).then_some((Element { tag, whole, content }, rest))
    }

    fn expect(input: &'a [u8], tag: u8) -> Option<(Element<'a>, &'a [u8])> {
        Element::parse(input).filter(|(element, _)| element.tag == tag)
    }
}

/// The elements of a sequence, as far as they make sense.
fn elements(mut content: &[u8]) -> impl Iterator<Item = Element<'_>> {
    std::iter::from_fn(move || {
        let (element, rest) = Element::parse(content)?;
        content = rest;
        Some(element)
    })
}

/// RFC 5280, 4.1.2.4, its usual attributes, the most special first as RFC 4514 has it.
fn distinguished_name(content: &[u8]) -> String {
    let attribute = |element: Element| {
        let (pair, _) = Element::expect(element.content, SEQUENCE)?;
        let (kind, value) = Element::parse(pair.content)?;
        let (value, _) = Element::parse(value)?;
        let (_, short) = ATTRIBUTES.iter().find(|(code, _)| [0x55, 0x04, *code] == kind.content)?;
        Some(format!("{short}={}", text(&value)))
    };
    let mut found: Vec<String> = elements(content).filter_map(attribute).take(MOST_NAMES).collect();
    found.reverse();
    found.join(", ")
}

fn text(value: &Element) -> String {
    match value.tag {
        BMP_STRING => {
            let units = value.content.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
            Escaped(text.as_bytes()).to_string()
        }
        _ => Escaped(value.content).to_string(),
    }
}

/// The names of the extension subjectAltName (RFC 5280, 4.2.1.6), from what follows the key.
fn alternative_names(mut rest: &[u8]) -> Option<Vec<String>> {
    let extensions = loop {
        let (element, more) = Element::parse(rest)?;
        if element.tag == EXTENSIONS {
            break Element::expect(element.content, SEQUENCE)?.0;
        }
        rest = more;
    };
    let names = elements(extensions.content).find_map(|extension| {
        let mut parts = elements(extension.content);
        parts.next().filter(|kind| kind.content == ALTERNATIVE_NAME)?;
        // a critical one has a boolean in between
        parts.find(|part| part.tag == OCTET_STRING)
    })?;
    let (names, _) = Element::expect(names.content, SEQUENCE)?;
    Some(elements(names.content).filter_map(|name| general_name(&name)).take(MOST_NAMES).collect())
}

fn general_name(name: &Element) -> Option<String> {
    match (name.tag, name.content) {
        (DNS_NAME | EMAIL | URI, text) => Some(Escaped(text).to_string()),
        (ADDRESS, &[a, b, c, d]) => Some(Ipv4Addr::new(a, b, c, d).to_string()),
        (ADDRESS, bytes) => <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).to_string()),
        _ => None,
    }
}

/// UTCTime or GeneralizedTime, as RFC 5280, 4.1.2.5 allows them.
fn time(element: &Element) -> Option<i64> {
    let digits = element.content.strip_suffix(b"Z").filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let number = |digits: &[u8]| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let (year, rest) = match (element.tag, digits.len()) {
        (UTC_TIME, 12) => match number(&digits[..2]) {
            year @ 0..=49 => (2000 + year, &digits[2..]),
            year => (1900 + year, &digits[2..]),
        },
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| number(&rest[at..at + 2]));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (year, shifted) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = days + (153 * shifted + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// The kind of a public key (RFC 3279, 5480, 8410).
fn key(public_key: &[u8]) -> Option<String> {
    let (outer, _) = Element::expect(public_key, SEQUENCE)?;
    let (algorithm, _) = Element::expect(outer.content, SEQUENCE)?;
    let mut parts = elements(algorithm.content);
    let (kind, parameter) = (parts.next()?, parts.next());
    let curve = parameter.map_or(&[][..], |parameter| parameter.content);
    Some(match (kind.content, curve) {
        (RSA, _) => format!("RSA, {} bits", rsa_bits(public_key)?),
        (EC, b"\x2a\x86\x48\xce\x3d\x03\x01\x07") => "ECDSA P-256".into(),
        (EC, b"\x2b\x81\x04\x00\x22") => "ECDSA P-384".into(),
        (EC, b"\x2b\x81\x04\x00\x23") => "ECDSA P-521".into(),
        (EC, _) => "ECDSA".into(),
        (b"\x2b\x65\x70", _) => "Ed25519".into(),
        _ => return None,
    })
}

/// The length of the modulus of an RSA key (RFC 8017, A.1.1); `None` for other kinds.
fn rsa_bits(public_key: &[u8]) -> Option<usize> {
    let (outer, _) = Element::expect(public_key, SEQUENCE)?;
    let (algorithm, rest) = Element::expect(outer.content, SEQUENCE)?;
    if elements(algorithm.content).next()?.content != RSA {
        return None;
    }
    let (bits, _) = Element::parse(rest)?;
    let (pair, _) = Element::expect(bits.content.get(1..)?, SEQUENCE)?;
    let (modulus, _) = Element::parse(pair.content)?;
    let digits = modulus.content.iter().position(|digit| *digit != 0).map(|at| &modulus.content[at..])?;
    Some(digits.len() * 8 - digits.first()?.leading_zeros() as usize)
}

/// RFC 4648, 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let sum = (0..3).fold(0, |sum: usize, at| sum << 8 | usize::from(group.get(at).copied().unwrap_or(0)));
        let digit = |at: usize| if at <= group.len() { DIGITS[sum >> (18 - 6 * at) & 63] as char } else { '=' };
        text.extend((0..4).map(digit));
    }
    text
}

/// Bits of the shortest RSA key whose signatures count.
const SHORTEST_RSA: usize = 2048;

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const BMP_STRING: u8 = 0x1e;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const EMAIL: u8 = 0x81;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;
const ADDRESS: u8 = 0x87;

/// 2.5.29.17
const ALTERNATIVE_NAME: &[u8] = b"\x55\x1d\x11";

/// 1.2.840.113549.1.1.1
const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";

/// 1.2.840.10045.2.1
const EC: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";

/// Those of 2.5.4.
const ATTRIBUTES: &[(u8, &str)] = &[(3, "CN"), (6, "C"), (7, "L"), (8, "ST"), (10, "O"), (11, "OU")];

/// More names than a person reads.
const MOST_NAMES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_moment_and_its_spelling_are_each_the_others() {
        let spelled = |tag, content: &[u8]| time(&Element { tag, whole: content, content });
        for (tag, digits, seconds, shown) in [
            (UTC_TIME, &b"700101000000Z"[..], 0, "1970-01-01 00:00:00 UTC"),
            (UTC_TIME, b"491231235959Z", 2_524_607_999, "2049-12-31 23:59:59 UTC"),
            (UTC_TIME, b"500101000000Z", -631_152_000, "1950-01-01 00:00:00 UTC"),
            (GENERALIZED_TIME, b"20240229120000Z", 1_709_208_000, "2024-02-29 12:00:00 UTC"),
            (GENERALIZED_TIME, b"99991231235959Z", 253_402_300_799, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!((spelled(tag, digits), moment(seconds).as_str()), (Some(seconds), shown));
        }
        assert_eq!(spelled(UTC_TIME, b"701301000000Z"), None);
        assert_eq!(spelled(UTC_TIME, b"7001010000Z"), None);
        assert_eq!(spelled(GENERALIZED_TIME, b"19700101000000+0100"), None);
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        let table =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, coded) in table {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(prop_oneof![Just(0x30u8), Just(0xa3), 0u8..9, any::<u8>()], 0..80)) {
            let _ = Certificate::parse(&bytes);
            let _ = key(&bytes);
            let _ = alternative_names(&bytes);
            let _ = distinguished_name(&bytes);
        }

        #[test]
        fn every_moment_can_be_told(seconds in any::<i32>()) {
            prop_assert!(moment(i64::from(seconds) * 100).ends_with(" UTC"));
        }
    }
}
