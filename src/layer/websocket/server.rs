//! The server's side of the opening handshake: what a request must say, and the answers.

use super::handshake::{self, Head, MOST_FIELDS, TooLong, failure, has_word, value, values, words};
use crate::buffer::Buffer;
use crate::error::Error;
use crate::escape::Escaped;
use crate::outcome::ExitStatus;

/// What a server wants of a client. Nothing in it may hold a line end.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// The only path; with a `?` the query counts too.
    pub path: Option<String>,
    /// The only pages that a request may come from; with none there is no such rule.
    pub origins: Vec<String>,
    /// What can be spoken over it, the best first.
    pub subprotocols: Vec<String>,
    /// More fields of the answer.
    pub headers: Vec<(String, String)>,
    /// `user:password` that a client has to know.
    pub credentials: Option<String>,
}

/// A request as far as it has come.
pub(super) struct Answering {
    terms: Terms,
    head: Head,
}

/// What a request is answered with.
pub(super) struct Answer {
    /// For the wire.
    pub(super) words: Vec<u8>,
    /// Why it is no yes.
    pub(super) failure: Option<Error>,
}

/// Why a request is refused.
struct Refusal {
    code: u16,
    reason: &'static str,
    /// For us; the peer gets the reason.
    said: String,
}

impl Answering {
    pub(super) fn new(terms: Terms) -> Self {
        Answering { terms, head: Head::default() }
    }

    /// Takes the request; the answer once it is whole, or known to be wrong.
    pub(super) fn take(&mut self, wire: &mut Buffer) -> Option<Answer> {
        let judged = match self.head.take(wire) {
            Err(TooLong) => {
                Err(Refusal::new(431, "Request Header Fields Too Large", "its header has more than 64 KiB"))
            }
            // what begins a TLS handshake, say, will never be a request
            Ok(_) if self.head.bytes().first().is_some_and(|byte| !byte.is_ascii_alphabetic() && *byte != b'\r') => {
                Err(Refusal::new(400, "Bad Request", "what it said is no HTTP request"))
            }
            Ok(false) => return None,
            Ok(true) => self.judge(),
        };
        Some(match judged {
            Ok(words) => Answer { words: words.into_bytes(), failure: None },
            Err(refusal) => refusal.answer(),
        })
    }

    /// The wire has ended.
    pub(super) fn cut(&self) -> Error {
        let said = match self.head.bytes() {
            [] => "the peer ended without a request",
            _ => "the peer ended within its request",
        };
        failure(said, ExitStatus::Network)
    }

    fn judge(&self) -> Result<String, Refusal> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        if !request.parse(self.head.bytes()).is_ok_and(|status| status.is_complete()) {
            return Err(bad("its request is malformed"));
        }
        let (method, path) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
        let fields = &*request.headers;
        if !has_word(fields, "Upgrade", "websocket") || !has_word(fields, "Connection", "upgrade") {
            return Err(Refusal::new(426, "Upgrade Required", "it asked for something else than WebSocket"));
        }
        if value(fields, "Sec-WebSocket-Version") != Some(b"13") {
            return Err(Refusal::new(426, "Upgrade Required", "it speaks another version of WebSocket than 13"));
        }
        if method != "GET" || request.version != Some(1) || value(fields, "Host").is_none() {
            return Err(bad("its request is no GET of HTTP/1.1 with a host"));
        }
        // it would be taken for frames by us and for a body by a proxy between (RFC 9112, section 6)
        let has_length = values(fields, "Content-Length").any(|length| length != b"0");
        if has_length || values(fields, "Transfer-Encoding").next().is_some() {
            return Err(bad("its request has a body"));
        }
        let key = value(fields, "Sec-WebSocket-Key").filter(|key| handshake::is_key(key));
        let key = key.ok_or_else(|| bad("its Sec-WebSocket-Key is none"))?;
        self.admit(path, fields)?;
        Ok(self.accept(key, fields))
    }

    /// Whether this client may come in.
    fn admit(&self, path: &str, fields: &[httparse::Header]) -> Result<(), Refusal> {
        let Terms { path: wanted, origins, credentials, .. } = &self.terms;
        if let Some(credentials) = credentials
            && !is_same(value(fields, "Authorization"), handshake::basic(credentials).as_bytes())
        {
            return Err(Refusal::new(401, "Unauthorized", "its credentials are not those of HAUL_WS_AUTH"));
        }
        if wanted.as_ref().is_some_and(|wanted| !is_path(path, wanted)) {
            let said = format!("it asked for the path {}", Escaped(&path.as_bytes()[..path.len().min(LONGEST_SHOWN)]));
            return Err(Refusal { said, ..Refusal::new(404, "Not Found", "") });
        }
        let origin = value(fields, "Origin").unwrap_or_default();
        if !origins.is_empty() && !origins.iter().any(|other| other.as_bytes().eq_ignore_ascii_case(origin)) {
            let shown = Escaped(&origin[..origin.len().min(LONGEST_SHOWN)]);
            let said = match origin {
                [] => "it did not say its origin".into(),
                _ => format!("it comes from the origin {shown}"),
            };
            return Err(Refusal { said, ..Refusal::new(403, "Forbidden", "") });
        }
        Ok(())
    }

    fn accept(&self, key: &[u8], fields: &[httparse::Header]) -> String {
        let offered = |ours: &&String| words(fields, "Sec-WebSocket-Protocol").any(|theirs| theirs == ours.as_bytes());
        let subprotocol = self.terms.subprotocols.iter().find(offered);
        let accept = handshake::accept(key);
        let own = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", &*accept)];
        let chosen = subprotocol.map(|one| ("Sec-WebSocket-Protocol", &**one));
        let mut head = String::from("HTTP/1.1 101 Switching Protocols\r\n");
        handshake::write_fields(&mut head, own.into_iter().chain(chosen), &self.terms.headers);
        head
    }
}

impl Refusal {
    fn new(code: u16, reason: &'static str, said: &str) -> Self {
        Refusal { code, reason, said: said.into() }
    }

    fn answer(self) -> Answer {
        let Refusal { code, reason, said } = self;
        let body = format!("{code} {reason}\n");
        let length = body.len().to_string();
        let own = [("Connection", "close"), ("Content-Type", "text/plain"), ("Content-Length", &*length)];
        let more: &[(&str, &str)] = match code {
            // RFC 9110, sections 15.5.22 and 11.6.1; RFC 6455, section 4.4
            426 => &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
            401 => &[("WWW-Authenticate", "Basic realm=\"haul\"")],
            _ => &[],
        };
        let mut words = format!("HTTP/1.1 {code} {reason}\r\n");
        handshake::write_fields(&mut words, own.into_iter().chain(more.iter().copied()), &[]);
        words.push_str(&body);
        let status = match code {
            401 | 403 => ExitStatus::Authentication,
            _ => ExitStatus::Network,
        };
        let error = failure(format!("the peer was answered {code}: {said}"), status);
        Answer { words: words.into_bytes(), failure: Some(error) }
    }
}

fn bad(said: &str) -> Refusal {
    Refusal::new(400, "Bad Request", said)
}

/// A target may be a whole URL (RFC 6455, section 4.1), and its query counts only where one is wanted.
fn is_path(target: &str, wanted: &str) -> bool {
    let path = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => target,
    };
    match wanted.contains('?') {
        true => path == wanted,
        false => path.split('?').next() == Some(wanted),
    }
}

/// Compares without telling by the time it takes how much was right.
fn is_same(given: Option<&[u8]>, wanted: &[u8]) -> bool {
    let Some(given) = given else { return false };
    let differing = given.iter().zip(wanted).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differing) == 0 && given.len() == wanted.len()
}

/// Most bytes of a stranger's field in a message.
const LONGEST_SHOWN: usize = 80;
