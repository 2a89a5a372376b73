//! What is said to a proxy before it leads on: HTTP CONNECT (RFC 9110, 9.3.6) and SOCKS 4, 4a and 5 (RFC 1928).
//!
//! A [`Proxy`] is a handshake and nothing else. Once the proxy has agreed it leaves the stack, and whatever stands
//! behind the agreement, glued to it or not, is payload. Until then nothing of the application's is taken. A refusal is
//! one line with the proxy's own words, and exit status 6; a login is never part of it.

mod http;
mod socks;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use super::{HalfClose, Layer, LayerState, Note};
use crate::buffer::Buffer;
use crate::error::{Error, Op};
use crate::outcome::ExitStatus;
use crate::secret::{Login, Words};
use http::Http;
use socks::{Socks4, Socks5};

/// Where a proxy is to lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A name, which the proxy looks up.
    Name(String, u16),
    /// An address.
    Ip(SocketAddr),
}

/// Which language a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// HTTP, version 1.0 or 1.1.
    Http,
    /// SOCKS 5.
    Socks5,
    /// SOCKS 4, with names (4a).
    Socks4,
}

/// What errors call everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// What was to be connected to, and through what: `db:5432 through socks5://proxy:1080`.
    pub object: String,
    /// The proxy, as the subject of a sentence: `the proxy`, or where there are several its URL.
    pub proxy: String,
}

/// One proxy's part of the way.
pub struct Proxy {
    names: Names,
    dialogue: Dialogue,
    words: Words,
    has_login: bool,
    state: LayerState,
    wire_ended: bool,
}

enum Dialogue {
    Http(Http),
    Socks5(Socks5),
    Socks4(Socks4),
}

/// What an answer comes to.
#[derive(Debug)]
enum Heard {
    /// It is not whole.
    More,
    /// It is good, and this has to be said next.
    Say(Vec<u8>),
    /// The proxy has agreed.
    Agreed,
}

/// Why a proxy does not lead on.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    /// What it did, behind its name; escaped.
    said: String,
    advice: Option<String>,
    /// It may be otherwise a moment later.
    passing: bool,
}

impl Proxy {
    /// Asks a proxy that speaks `language` to lead to `destination`.
    ///
    /// # Errors
    /// A destination or a login that the language has no words for; nothing was said then, and the status is 2.
    pub fn new(
        language: Language,
        destination: &Destination,
        login: Option<Login>,
        names: Names,
    ) -> Result<Self, Error> {
        let has_login = login.is_some();
        let begun = match language {
            Language::Http => Http::new(destination, login).map(|(http, words)| (Dialogue::Http(http), words)),
            Language::Socks5 => Socks5::new(destination, login).map(|(socks, words)| (Dialogue::Socks5(socks), words)),
            Language::Socks4 => Socks4::new(destination, login).map(|(socks, words)| (Dialogue::Socks4(socks), words)),
        };
        match begun {
            Ok((dialogue, words)) => {
                let (words, state) = (Words::new(words), LayerState::Handshaking);
                Ok(Proxy { names, dialogue, words, has_login, state, wire_ended: false })
            }
            Err(why) => Err(Error::said(Op::Connect, &names.object, why).with_status(ExitStatus::Usage)),
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Error {
        self.state = LayerState::Failed;
        let Refusal { said, advice, passing } = refusal;
        let error = Error::said(Op::Connect, &self.names.object, format!("{} {said}", self.names.proxy));
        let error = error.with_status(ExitStatus::Authentication);
        let error = if passing { error.passing() } else { error };
        match advice {
            Some(advice) => error.with_advice(advice),
            None => error,
        }
    }
}

impl Layer for Proxy {
    fn decode(&mut self, wire: &mut Buffer, _: &mut Buffer) -> Result<(), Error> {
        while self.state == LayerState::Handshaking {
            let heard = match &mut self.dialogue {
                Dialogue::Http(http) => http.hear(wire),
                Dialogue::Socks5(socks) => socks.hear(wire),
                Dialogue::Socks4(socks) => socks.hear(wire),
            };
            match heard {
                Ok(Heard::Say(words)) => self.words.add(words),
                Ok(Heard::Agreed) => self.state = LayerState::Finished,
                Ok(Heard::More) if self.wire_ended => {
                    let refusal = Refusal { passing: true, ..Refusal::said("closed the connection before it agreed") };
                    return Err(self.refuse(refusal));
                }
                Ok(Heard::More) => return Ok(()),
                Err(refusal) => return Err(self.refuse(refusal)),
            }
        }
        Ok(())
    }

    fn encode(&mut self, _: &[u8], _: &mut Buffer) -> Result<usize, Error> {
        Ok(0)
    }

    fn flush(&mut self, wire: &mut Buffer) {
        if self.state != LayerState::Failed {
            let count = wire.push(self.words.rest());
            self.words.said(count);
        }
    }

    fn note(&mut self, note: Note) {
        self.wire_ended |= note == Note::WireEof;
    }

    fn state(&self) -> LayerState {
        match self.state {
            // a proxy that agrees before it was asked is asked all the same
            LayerState::Finished if !self.words.rest().is_empty() => LayerState::Handshaking,
            state => state,
        }
    }

    fn half_close(&self) -> HalfClose {
        HalfClose::Supported
    }

    fn has_secrets(&self) -> bool {
        self.has_login
    }
}

impl Refusal {
    fn said(said: impl Into<String>) -> Self {
        Refusal { said: said.into(), advice: None, passing: false }
    }

    /// The proxy wants to know who asks, or who asks is not welcome.
    fn login(said: impl Into<String>, sent: bool) -> Self {
        let advice = (!sent).then(|| "HAUL_PROXY_AUTH=USER:PASSWORD, or --proxy-auth FILE".to_string());
        Refusal { advice, ..Refusal::said(said) }
    }
}

impl Destination {
    fn port(&self) -> u16 {
        match self {
            Destination::Name(_, port) => *port,
            Destination::Ip(at) => at.port(),
        }
    }

    /// As HTTP writes it.
    fn authority(&self) -> String {
        match self {
            Destination::Name(name, port) => format!("{name}:{port}"),
            // a scope means nothing beyond this machine
            Destination::Ip(at) => match at.ip().to_canonical() {
                IpAddr::V4(ip) => format!("{ip}:{}", at.port()),
                IpAddr::V6(ip) => format!("[{ip}]:{}", at.port()),
            },
        }
    }
}

/// The beginning of an answer, as far as it was taken from the wire.
#[derive(Debug, Default)]
struct Gather(Vec<u8>);

impl Gather {
    /// Takes from `wire` what is missing of `count` bytes; they, once they are there.
    fn first(&mut self, wire: &mut Buffer, count: usize) -> Option<&[u8]> {
        let missing = count.saturating_sub(self.0.len()).min(wire.len());
        self.0.extend_from_slice(&wire.filled()[..missing]);
        wire.consume(missing);
        self.0.get(..count)
    }
}
