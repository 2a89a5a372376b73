//! The values of options: each checked for what the system or the protocol can take, so that nothing fails later.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::host::{is_digits, is_interface};
use super::{BadAddress, Host, TlsVersion};
use crate::units::{BadQuantity, Size, Span};

type Result<T> = std::result::Result<T, BadAddress>;

impl From<BadQuantity> for BadAddress {
    fn from(error: BadQuantity) -> Self {
        BadAddress { cause: error.cause, hint: error.hint }
    }
}

/// Undoes `%2C`, `%3A` and every other `%` with two hexadecimal digits.
pub(super) fn percent_decoded(text: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |at: usize| behind.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let byte = match (digit(0), digit(1)) {
            (Some(high), Some(low)) => (high * 16 + low) as u8,
            _ => return Err(BadAddress::new("a percent sign itself is written %25 there").with_hint(doubled(text))),
        };
        if byte == 0 {
            return Err(BadAddress::new("no value can hold a NUL byte"));
        }
        bytes.push(byte);
        rest = &behind[2..];
    }
    Ok(bytes)
}

/// What [`percent_decoded`] turns back into `bytes`.
pub(super) fn percent_encoded(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b',' => text.extend_from_slice(b"%2C"),
            b':' => text.extend_from_slice(b"%3A"),
            b'%' => text.extend_from_slice(b"%25"),
            byte => text.push(*byte),
        }
    }
    text
}

/// With `%25` for the percent signs that begin nothing.
fn doubled(text: &[u8]) -> Vec<u8> {
    let is_escape = |at: usize| text.get(at + 1..at + 3).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit));
    let spell = |(at, byte): (usize, &u8)| match byte {
        b'%' if !is_escape(at) => b"%25".to_vec(),
        byte => vec![*byte],
    };
    text.iter().enumerate().flat_map(spell).collect()
}

pub(super) fn text(value: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(value).map_err(|_| BadAddress::new("the value is not UTF-8 text"))?;
    if text.chars().any(char::is_control) {
        return Err(BadAddress::new("the value holds a control character"));
    }
    Ok(text)
}

/// A whole number in `range`.
pub(super) fn number<N: FromStr + PartialOrd + std::fmt::Display>(value: &[u8], least: N, most: N) -> Result<N> {
    let parsed = text(value).ok().filter(|text| is_digits(text)).and_then(|text| text.parse().ok());
    let fits = parsed.filter(|number| *number >= least && *number <= most);
    fits.ok_or_else(|| BadAddress::new(format!("it is a number from {least} to {most}")))
}

pub(super) fn size(value: &[u8]) -> Result<u64> {
    Ok(text(value)?.parse::<Size>()?.0)
}

/// The size of a socket buffer: setsockopt takes a C int.
pub(super) fn buffer_size(value: &[u8]) -> Result<u64> {
    match size(value)? {
        0 => Err(BadAddress::new("it is at least one byte")),
        bytes if bytes > i32::MAX as u64 => Err(BadAddress::new("it is below 2Gi")),
        bytes => Ok(bytes),
    }
}

/// TCP_KEEPIDLE counts whole seconds and Linux takes at most 32767 of them.
pub(super) fn keepalive(value: &[u8]) -> Result<Duration> {
    let span = text(value)?.parse::<Span>()?.0;
    if span.subsec_nanos() != 0 || !(1..=32_767).contains(&span.as_secs()) {
        return Err(BadAddress::new("it is a whole number of seconds from 1 to 32767"));
    }
    Ok(span)
}

/// TCP_USER_TIMEOUT is a C int of milliseconds, and 0 means the system's own choice.
pub(super) fn user_timeout(value: &[u8]) -> Result<Duration> {
    let span = text(value)?.parse::<Span>()?.0;
    if span.subsec_nanos() % 1_000_000 != 0 || !(1..=i32::MAX as u128).contains(&span.as_millis()) {
        return Err(BadAddress::new("it is a whole number of milliseconds, at least one and at most 24 days"));
    }
    Ok(span)
}

/// One host, not every address.
pub(super) fn host(value: &[u8]) -> Result<Host> {
    match Host::parse(OsStr::from_bytes(value))? {
        Host::Unspecified => Err(BadAddress::new("an address is needed there, not *")),
        host => Ok(host),
    }
}

/// A server name: a host, kept as typed.
pub(super) fn server_name(value: &[u8]) -> Result<String> {
    host(value)?;
    Ok(text(value)?.to_owned())
}

pub(super) fn interface(value: &[u8]) -> Result<String> {
    let name = text(value)?;
    if !is_interface(name) {
        return Err(BadAddress::new("the name of an interface has 1 to 15 characters, without spaces and / : % , [ ]"));
    }
    Ok(name.to_owned())
}

/// TCP_CA_NAME_MAX is 16, with the NUL.
pub(super) fn congestion(value: &[u8]) -> Result<String> {
    let name = text(value)?;
    if name.is_empty() || name.len() > 15 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
        return Err(BadAddress::new("the name of a congestion control has 1 to 15 letters, digits, - and _"));
    }
    Ok(name.to_owned())
}

/// A name of RFC 2474, 2597, 3246, 5865 or 8622, or the number.
pub(super) fn dscp(value: &[u8]) -> Result<u8> {
    let name = value.to_ascii_lowercase();
    let known = CODE_POINTS.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, code)| *code);
    let error = || BadAddress::new("it is cs0 to cs7, af11 to af43, ef, va, le, or a number from 0 to 63");
    known.or_else(|| number(value, 0, 63).ok()).ok_or_else(error)
}

/// The name of a code point, where it has one.
pub(super) fn dscp_name(code: u8) -> Option<&'static str> {
    CODE_POINTS.iter().find(|(_, known)| *known == code).map(|(name, _)| *name)
}

/// On or off.
pub(super) fn switch(value: &[u8]) -> Result<bool> {
    match value {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(BadAddress::new("it is on or off")),
    }
}

/// Permissions in octal.
pub(super) fn mode(value: &[u8]) -> Result<u32> {
    let digits = std::str::from_utf8(value).ok().filter(|text| is_digits(text));
    let bits = digits.and_then(|text| u32::from_str_radix(text, 8).ok()).filter(|bits| *bits <= 0o777);
    bits.ok_or_else(|| BadAddress::new("it is an octal number from 0 to 777, say 660"))
}

pub(super) fn file(value: &[u8]) -> Result<PathBuf> {
    if value.is_empty() {
        return Err(BadAddress::new("the name of a file is needed there"));
    }
    Ok(PathBuf::from(OsStr::from_bytes(value)))
}

/// Protocol names separated by commas; RFC 7301 gives each a length of one byte.
pub(super) fn alpn(value: &[u8]) -> Result<Vec<String>> {
    let names: Vec<String> = text(value)?.split(',').map(str::to_owned).collect();
    if names.iter().any(|name| !(1..=255).contains(&name.len())) {
        return Err(BadAddress::new("each protocol name has 1 to 255 bytes, with %2C between two"));
    }
    Ok(names)
}

/// `sha256/` and 32 bytes in base64, as HTTP public key pinning wrote them; the padding may be left out.
pub(super) fn pin(value: &[u8]) -> Result<String> {
    let digest = value.strip_prefix(b"sha256/").map(|digest| digest.strip_suffix(b"=").unwrap_or(digest));
    let is_digest =
        |digest: &[u8]| digest.len() == 43 && digest.iter().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(b));
    if !digest.is_some_and(is_digest) {
        return Err(BadAddress::new("it is sha256/ and the 44 base64 characters of the digest"));
    }
    Ok(text(value)?.to_owned())
}

/// Older ones are not spoken at all.
pub(super) fn tls_version(value: &[u8]) -> Result<TlsVersion> {
    match value {
        b"1.2" => Ok(TlsVersion::V12),
        b"1.3" => Ok(TlsVersion::V13),
        _ => Err(BadAddress::new("it is 1.2 or 1.3")),
    }
}

/// What stands in an HTTP request line: anything else there would end it and begin a header.
pub(super) fn request_path(value: &[u8]) -> Result<String> {
    if !value.starts_with(b"/") {
        return Err(BadAddress::new("the path of a request begins with /").with_hint([b"/", value].concat()));
    }
    if !value.iter().all(|b| b.is_ascii_graphic() && *b != b'#') {
        return Err(BadAddress::new("the path of a request is printable ASCII without spaces and #"));
    }
    Ok(text(value)?.to_owned())
}

const CODE_POINTS: &[(&str, u8)] = &[
    ("cs0", 0),
    ("cs1", 8),
    ("cs2", 16),
    ("cs3", 24),
    ("cs4", 32),
    ("cs5", 40),
    ("cs6", 48),
    ("cs7", 56),
    ("af11", 10),
    ("af12", 12),
    ("af13", 14),
    ("af21", 18),
    ("af22", 20),
    ("af23", 22),
    ("af31", 26),
    ("af32", 28),
    ("af33", 30),
    ("af41", 34),
    ("af42", 36),
    ("af43", 38),
    ("ef", 46),
    ("va", 44),
    ("le", 1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_hide_what_the_grammar_needs() {
        assert_eq!(percent_decoded(b"a%2Cb%3a%25").unwrap(), b"a,b:%");
        assert_eq!(percent_encoded(b"a,b:%"), b"a%2Cb%3A%25");
        assert_eq!(percent_decoded(b"100%,%2C").unwrap_err().hint.as_deref(), Some("100%25,%2C"));
        assert!(percent_decoded(b"%00").is_err());
        assert!(percent_decoded(b"%+1").is_err());
    }

    #[test]
    fn code_points_have_their_registered_numbers() {
        for class in 1..=4u8 {
            for drop in 1..=3u8 {
                assert_eq!(dscp(format!("AF{class}{drop}").as_bytes()), Ok(class * 8 + drop * 2));
            }
        }
        assert_eq!((dscp(b"ef"), dscp(b"63"), dscp_name(44), dscp_name(63)), (Ok(46), Ok(63), Some("va"), None));
        for bad in [&b"64"[..], b"", b"af44", b"-1", b"\xff"] {
            assert!(dscp(bad).is_err());
        }
    }

    #[test]
    fn values_that_the_system_would_refuse_are_refused_here() {
        assert_eq!((mode(b"660"), mode(b"0777")), (Ok(0o660), Ok(0o777)));
        assert!(mode(b"1000").is_err() && mode(b"8").is_err() && mode(b"+7").is_err());
        assert_eq!(buffer_size(b"4Mi"), Ok(4 << 20));
        assert!(buffer_size(b"2Gi").is_err() && buffer_size(b"0").is_err());
        assert!(keepalive(b"0.5").is_err() && keepalive(b"10h").is_err() && keepalive(b"1m").is_ok());
        assert!(user_timeout(b"0").is_err() && user_timeout(b"25d").is_err() && user_timeout(b"1ms").is_ok());
        assert!(request_path(b"/a\r\nHost:x").is_err() && request_path(b"/a b").is_err());
        assert_eq!(request_path(b"chat").unwrap_err().hint.as_deref(), Some("/chat"));
        assert!(alpn(b"h2,").is_err() && pin(b"sha256/abc").is_err());
        assert!(pin(b"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=").is_ok());
    }
}
