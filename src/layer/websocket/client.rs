//! The client's side of the opening handshake: a request, and what the server's answer must say.

use std::sync::Arc;

use super::handshake::{self, Head, MOST_FIELDS, TooLong, failure, has_word, value, values};
use super::mask::Entropy;
use crate::buffer::Buffer;
use crate::error::Error;
use crate::escape::Escaped;
use crate::outcome::ExitStatus;
use crate::secret::Login;

/// What a client asks for. Nothing in it may hold a line end.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The server's name, and its port unless that goes without saying.
    pub host: String,
    /// From its slash on, with the query.
    pub path: String,
    /// The page that the request comes from.
    pub origin: Option<String>,
    /// Any of these is to be spoken over it.
    pub subprotocols: Vec<String>,
    /// More fields; they replace those of the same name.
    pub headers: Vec<(String, String)>,
    /// `user:password`.
    pub credentials: Option<String>,
}

/// A request that was made, and the answer as far as it has come.
pub(super) struct Asking {
    key: String,
    subprotocols: Vec<String>,
    /// What the server is told of who asks, and may repeat.
    login: Option<Arc<Login>>,
    head: Head,
}

impl Asking {
    /// Makes the request, in which `login` is; its bytes are for the wire.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub(super) fn new(
        request: &Request,
        login: Option<Arc<Login>>,
        entropy: Entropy,
    ) -> std::io::Result<(Self, Vec<u8>)> {
        let key = handshake::fresh_key(entropy)?;
        let asking = Asking { key, subprotocols: request.subprotocols.clone(), login, head: Head::default() };
        let words = asking.words(request).into_bytes();
        Ok((asking, words))
    }

    fn words(&self, request: &Request) -> String {
        let subprotocols = request.subprotocols.join(", ");
        let credentials = request.credentials.as_deref().map(handshake::basic);
        let optional = [
            ("Sec-WebSocket-Protocol", Some(&*subprotocols).filter(|list| !list.is_empty())),
            ("Origin", request.origin.as_deref()),
            ("Authorization", credentials.as_deref()),
        ];
        let own = [
            ("Host", &*request.host),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", &*self.key),
            ("Sec-WebSocket-Version", "13"),
        ];
        let own = own.into_iter().chain(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let mut head = format!("GET {} HTTP/1.1\r\n", request.path);
        handshake::write_fields(&mut head, own, &request.headers);
        head
    }

    /// Takes the answer; true once it is whole and right.
    ///
    /// # Errors
    /// It is no answer, or not the one that was asked for.
    pub(super) fn take(&mut self, wire: &mut Buffer) -> Result<bool, Error> {
        loop {
            let whole = self.head.take(wire);
            let whole = whole.map_err(|TooLong| wrong("the peer's answer has a header of more than 64 KiB"))?;
            let begins = self.head.bytes().iter().zip(ANSWER).all(|(a, b)| a == b);
            if !begins {
                let line = self.head.bytes().split(|byte| *byte == b'\n').next().unwrap_or_default();
                return Err(wrong(format!("the peer speaks no HTTP: it said {}", self.quoted(line))));
            }
            if !whole || self.judge()? {
                return Ok(whole);
            }
            self.head.pass_over();
        }
    }

    /// The wire has ended.
    pub(super) fn cut(&self) -> Error {
        wrong(match self.head.bytes() {
            [] => "the peer ended without an answer",
            _ => "the peer ended within its answer",
        })
    }

    /// True for the answer that was asked for, false for one that only comes before the answer.
    fn judge(&self) -> Result<bool, Error> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        if !response.parse(self.head.bytes()).is_ok_and(|status| status.is_complete()) {
            return Err(wrong("the peer's answer is malformed"));
        }
        let fields = &*response.headers;
        let code = response.code.unwrap_or_default();
        // RFC 9110, section 15.2: they may come although nobody expects them
        if (100..200).contains(&code) && code != SWITCHING {
            return Ok(false);
        }
        if code != SWITCHING {
            return Err(self.refused(code, response.reason.unwrap_or_default(), fields));
        }
        let upgrades = has_word(fields, "Upgrade", "websocket") && has_word(fields, "Connection", "upgrade");
        if response.version != Some(1) || !upgrades {
            return Err(wrong("the peer did not change to WebSocket"));
        }
        if value(fields, "Sec-WebSocket-Accept") != Some(handshake::accept(self.key.as_bytes()).as_bytes()) {
            return Err(wrong("the peer's answer is not for this request: Sec-WebSocket-Accept is wrong"));
        }
        if values(fields, "Sec-WebSocket-Extensions").any(|value| !value.is_empty()) {
            return Err(wrong("the peer uses an extension that nobody asked for"));
        }
        let mut chosen = values(fields, "Sec-WebSocket-Protocol");
        match (chosen.next(), chosen.next()) {
            (None, _) if self.subprotocols.is_empty() => Ok(true),
            (None, _) => {
                let wanted = self.subprotocols.join(", ");
                Err(wrong(format!("the peer does not speak the subprotocol {}", self.quoted(wanted.as_bytes()))))
            }
            (Some(one), None) if self.subprotocols.iter().any(|other| other.as_bytes() == one) => Ok(true),
            (Some(one), _) => {
                Err(wrong(format!("the peer speaks a subprotocol that nobody asked for, {}", self.quoted(one))))
            }
        }
    }

    /// The server said no.
    fn refused(&self, code: u16, reason: &str, fields: &[httparse::Header]) -> Error {
        let reason = if reason.is_empty() { String::new() } else { format!(" {}", self.shortened(reason.as_bytes())) };
        let to = match value(fields, "Location") {
            Some(to) if (300..400).contains(&code) => format!(", see {}", self.quoted(to)),
            _ => String::new(),
        };
        let status = match code {
            401 | 403 | 407 => ExitStatus::Authentication,
            _ => ExitStatus::Network,
        };
        let error = failure(format!("the peer answered {code}{reason}{to}"), status);
        match code {
            401 => error.with_advice("HAUL_WS_AUTH=user:password in the environment"),
            403 => error.with_advice("--origin, if the server wants a page that it knows"),
            404 => error.with_advice("another path, as in ws://host/path"),
            _ => error,
        }
    }

    fn quoted(&self, bytes: &[u8]) -> String {
        format!("\"{}\"", self.shortened(bytes.trim_ascii_end()))
    }

    /// What came from the peer, fit for a line; three stars where it repeats a password that it was told.
    fn shortened(&self, bytes: &[u8]) -> String {
        const LONGEST: usize = 80;
        match bytes.get(..LONGEST) {
            _ if self.login.as_ref().is_some_and(|login| login.is_told_by(bytes)) => "***".into(),
            Some(front) if bytes.len() > LONGEST => format!("{}…", Escaped(front)),
            _ => Escaped(bytes).to_string(),
        }
    }
}

fn wrong(said: impl Into<String>) -> Error {
    failure(said, ExitStatus::Network)
}

/// What every answer begins with; a server of HTTP/1.0 can answer, though never with a change of protocol.
const ANSWER: &[u8] = b"HTTP/1.";

/// Switching Protocols.
const SWITCHING: u16 = 101;
