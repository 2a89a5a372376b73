//! The options of a WebSocket: on the endpoint, or as flags of the same names.

use std::time::Duration;

use super::values;
use super::{BadAddress, quoted};
use crate::units::Span;

type Result<T> = std::result::Result<T, BadAddress>;

/// How a WebSocket is asked for or granted, and how messages are made. `path` is beside it, since a URL has it too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebOptions {
    /// `text`, `binary`: what messages are made; by default text where lines are typed.
    pub message: Option<Message>,
    /// `header=Name: value`, repeatable: more fields of the request, or of the answer.
    pub header: Vec<String>,
    /// `subprotocol=NAME`, repeatable: what is asked for, or granted, the best first.
    pub subprotocol: Vec<String>,
    /// `origin=URL`, repeatable for a server: where the request comes from, or where it may come from.
    pub origin: Vec<String>,
    /// `ping=T`: a silent peer is pinged after T, and given up after T more.
    pub ping: Option<Duration>,
}

/// What the messages of a WebSocket are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A line is a message.
    Text,
    /// What is written at once is a message.
    Binary,
}

impl WebOptions {
    /// Takes over what was given as flags, where there is nothing of its own.
    pub(super) fn overlay(&mut self, flags: &WebOptions) {
        let WebOptions { message, header, subprotocol, origin, ping } = flags;
        self.message = self.message.or(*message);
        self.ping = self.ping.or(*ping);
        for (own, flags) in
            [(&mut self.header, header), (&mut self.subprotocol, subprotocol), (&mut self.origin, origin)]
        {
            if own.is_empty() {
                own.clone_from(flags);
            }
        }
    }

    /// The fields of `header`, their names apart from their values.
    pub fn fields(&self) -> impl Iterator<Item = (String, String)> {
        self.header.iter().filter_map(|field| {
            let (name, value) = field.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        })
    }
}

/// `Name: value`, and nothing that would end the field or belongs to the handshake itself.
pub(super) fn header(value: &[u8]) -> Result<String> {
    let text = field_text(value)?;
    let Some((name, rest)) = text.split_once(':') else {
        // what stands behind the first word may be a secret
        let name = text.split_whitespace().next().unwrap_or("NAME");
        return Err(BadAddress::new("a header is a name, a colon and a value").with_hint(format!("{name}: VALUE")));
    };
    if name.contains(char::is_whitespace) {
        return Err(BadAddress::new("the name of a header has no spaces"));
    }
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(BadAddress::new(format!("{} is no name of a header", quoted(name.as_bytes()))));
    }
    if OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
        return Err(BadAddress::new(format!("{name} belongs to the handshake itself")));
    }
    Ok(format!("{name}: {}", rest.trim()))
}

/// A field as it may be quoted: the first word alone, which is its name.
pub fn redacted_header(field: &[u8]) -> Vec<u8> {
    match field.iter().position(|byte| *byte == b':' || byte.is_ascii_whitespace()) {
        Some(end) => [&field[..end], b": ***"].concat(),
        None => field.to_vec(),
    }
}

/// An endpoint as it may be quoted, as far as its fields go: `header=***`.
pub(super) fn without_headers(word: &[u8]) -> Vec<u8> {
    const OPTION: &[u8] = b",header=";
    let (mut shown, mut rest) = (Vec::with_capacity(word.len()), word);
    while let Some(at) = rest.windows(OPTION.len()).position(|part| part == OPTION) {
        let value = at + OPTION.len();
        shown.extend([&rest[..value], b"***"].concat());
        // a colon that should have been %3A has a space behind it
        let ends = |at: &usize| match rest[*at] {
            b':' => !rest.get(at + 1).is_some_and(u8::is_ascii_whitespace),
            byte => byte == b',',
        };
        rest = &rest[(value..rest.len()).find(ends).unwrap_or(rest.len())..];
    }
    shown.extend(rest);
    shown
}

/// What the handshake says itself.
const OURS: &[&str] = &[
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
    "Content-Length",
    "Transfer-Encoding",
];

/// A token of HTTP (RFC 9110, section 5.6.2).
pub(super) fn subprotocol(value: &[u8]) -> Result<String> {
    let text = field_text(value)?;
    match !text.is_empty() && text.bytes().all(is_token) {
        true => Ok(text),
        false => Err(BadAddress::new("a subprotocol is a word without spaces and commas")),
    }
}

/// A scheme and a host, as browsers say it, or `null`.
pub(super) fn origin(value: &[u8]) -> Result<String> {
    let text = field_text(value)?;
    let is_url = text.split_once("://").is_some_and(|(scheme, host)| !scheme.is_empty() && !host.is_empty());
    if text.bytes().any(|byte| byte == b' ') || !is_url && text != "null" {
        return Err(BadAddress::new("an origin is a scheme and a host, say https://host.example"));
    }
    match text.strip_suffix('/') {
        Some(right) => Err(BadAddress::new("an origin has no path, not even a slash").with_hint(right)),
        None => Ok(text),
    }
}

/// A time that is not 0.
pub(super) fn ping(value: &[u8]) -> Result<Duration> {
    match values::text(value)?.parse::<Span>()?.0 {
        Duration::ZERO => Err(BadAddress::new("a ping needs a time that is not 0")),
        time => Ok(time),
    }
}

/// What a line of a header can hold.
fn field_text(value: &[u8]) -> Result<String> {
    let text = values::text(value)?;
    match text.chars().any(|c| c.is_control()) {
        true => Err(BadAddress::new("a line end or another control character would break the header")),
        false => Ok(text.to_owned()),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_header_is_refused() {
        assert_eq!(header(b"X-A:b : c ").unwrap(), "X-A: b : c");
        for bad in [&b"X"[..], b": x", b"X Y: z", b"X: a\r\nHost: b", b"upgrade: h2c", b"X: \xff"] {
            assert!(header(bad).is_err(), "{bad:?}");
        }
        assert_eq!(header(b"Authorization Bearer secret").unwrap_err().hint.as_deref(), Some("Authorization: VALUE"));
        assert!(subprotocol(b"a,b").is_err() && subprotocol(b"").is_err() && subprotocol(b"mqtt.v5").is_ok());
        assert_eq!(origin(b"https://a/").unwrap_err().hint.as_deref(), Some("https://a"));
        assert!(origin(b"null").is_ok() && origin(b"a.example").is_err() && origin(b"https://a b").is_err());
        assert!(ping(b"0").is_err() && ping(b"1ms").is_ok());
        for (field, shown) in [("X", "X"), ("A b c", "A: ***"), ("A: b", "A: ***"), ("A b: c", "A: ***")] {
            assert_eq!(redacted_header(field.as_bytes()), shown.as_bytes());
        }
        let words = [
            ("ws,header=A%3A b,bogus:127.0.0.1:1", "ws,header=***,bogus:127.0.0.1:1"),
            ("ws,header=A,path=/,header=B: c:h:1", "ws,header=***,path=/,header=***:h:1"),
            ("ws,header=A", "ws,header=***"),
            ("header", "header"),
        ];
        for (word, shown) in words {
            assert_eq!(without_headers(word.as_bytes()), shown.as_bytes());
        }
        let web = WebOptions { header: vec!["A: b:c".into()], ..WebOptions::default() };
        assert_eq!(web.fields().collect::<Vec<_>>(), [("A".into(), "b:c".into())]);
    }
}
