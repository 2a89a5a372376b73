//! SOCKS: version 5 (RFC 1928) without a login and with user and password (RFC 1929), and version 4 with names (4a).

use std::net::IpAddr;

use super::{Destination, Gather, Heard, Refusal};
use crate::buffer::Buffer;
use crate::secret::Login;

/// A conversation of version 5.
#[derive(Debug)]
pub(super) struct Socks5 {
    login: Option<Login>,
    /// The request, until it is said.
    request: Vec<u8>,
    answer: Gather,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Waiting for the way to log in.
    Method,
    /// Waiting to be let in.
    Login,
    /// Waiting for the connection.
    Reply,
}

impl Socks5 {
    /// The greeting, and the wait for its answer.
    pub(super) fn new(destination: &Destination, login: Option<Login>) -> Result<(Self, Vec<u8>), String> {
        let mut request = vec![5, 1, 0];
        match destination {
            Destination::Name(name, _) => {
                request.push(3);
                text(name.as_bytes(), "the name of a host", &mut request)?;
            }
            Destination::Ip(at) => match at.ip().to_canonical() {
                IpAddr::V4(ip) => request.extend([&[1][..], &ip.octets()].concat()),
                IpAddr::V6(ip) => request.extend([&[4][..], &ip.octets()].concat()),
            },
        }
        request.extend(destination.port().to_be_bytes());
        if let Some(login) = &login {
            for (what, part) in [("a user", login.user()), ("a password", login.password())] {
                fits(part, what)?;
            }
        }
        let methods: &[u8] = if login.is_some() { &[5, 2, NO_LOGIN, PASSWORD] } else { &[5, 1, NO_LOGIN] };
        let socks = Socks5 { login, request, answer: Gather::default(), stage: Stage::Method };
        Ok((socks, methods.to_vec()))
    }

    /// Takes the answer that is waited for, and not a byte behind it.
    pub(super) fn hear(&mut self, wire: &mut Buffer) -> Result<Heard, Refusal> {
        let version = if self.stage == Stage::Login { 1 } else { 5 };
        let Some(first) = self.answer.first(wire, 1) else { return Ok(Heard::More) };
        // some take the version of the protocol for that of the login
        if first[0] != version && first[0] != 5 {
            return Err(stranger(first[0], "SOCKS 5"));
        }
        let Some(&[_, code]) = self.answer.first(wire, 2) else { return Ok(Heard::More) };
        match self.stage {
            Stage::Method => self.method(code),
            Stage::Login => match code {
                0 => Ok(self.ask()),
                _ => Err(Refusal::login("does not accept the login", true)),
            },
            Stage::Reply if code != 0 => Err(refused(code)),
            Stage::Reply => self.reply(wire),
        }
    }

    fn method(&mut self, method: u8) -> Result<Heard, Refusal> {
        match (method, &self.login) {
            (NO_LOGIN, _) => Ok(self.ask()),
            (PASSWORD, Some(login)) => {
                let mut words = Vec::with_capacity(3 + login.user().len() + login.password().len());
                words.push(1);
                for part in [login.user(), login.password()] {
                    // both were found to fit
                    words.push(part.len() as u8);
                    words.extend_from_slice(part);
                }
                (self.stage, self.answer) = (Stage::Login, Gather::default());
                Ok(Heard::Say(words))
            }
            (NONE, None) => Err(Refusal::login("wants a login", false)),
            (NONE, Some(_)) => Err(Refusal::said("takes no login by user and password")),
            _ => Err(Refusal::said("chose a way to log in that was not offered")),
        }
    }

    /// Says the request.
    fn ask(&mut self) -> Heard {
        (self.stage, self.answer) = (Stage::Reply, Gather::default());
        Heard::Say(std::mem::take(&mut self.request))
    }

    /// The rest of a reply: the address that the proxy connects from, which is of no interest.
    fn reply(&mut self, wire: &mut Buffer) -> Result<Heard, Refusal> {
        let Some(&[_, _, _, kind]) = self.answer.first(wire, 4) else { return Ok(Heard::More) };
        let length = match kind {
            1 => 4,
            4 => 16,
            3 => match self.answer.first(wire, 5) {
                Some(head) => 1 + usize::from(head[4]),
                None => return Ok(Heard::More),
            },
            _ => return Err(Refusal::said("gave an answer that is not SOCKS 5")),
        };
        match self.answer.first(wire, 4 + length + 2) {
            Some(_) => Ok(Heard::Agreed),
            None => Ok(Heard::More),
        }
    }
}

/// What the codes of RFC 1928, 6 mean.
fn refused(code: u8) -> Refusal {
    let (said, passing) = match code {
        1 => ("has failed (general SOCKS server failure)", true),
        2 => ("does not allow the connection", false),
        3 => ("cannot reach the network", true),
        4 => ("cannot reach the host", true),
        5 => ("says: connection refused", true),
        6 => ("says: the connection has timed out (TTL expired)", true),
        7 => ("does not know the command CONNECT", false),
        8 => ("does not support this kind of address", false),
        _ => return Refusal::said(format!("refuses with the unknown code {code}")),
    };
    let advice = (code == 8).then(|| "--proxy-dns local, or remote: the other one".to_string());
    Refusal { passing, advice, ..Refusal::said(said) }
}

/// The wait of version 4.
#[derive(Debug, Default)]
pub(super) struct Socks4 {
    answer: Gather,
}

impl Socks4 {
    /// The request, and the wait for its answer.
    pub(super) fn new(destination: &Destination, login: Option<Login>) -> Result<(Self, Vec<u8>), String> {
        let ip = match destination {
            // an address that no host has says that a name follows
            Destination::Name(..) => [0, 0, 0, 1],
            Destination::Ip(at) => match at.ip().to_canonical() {
                IpAddr::V4(ip) => ip.octets(),
                IpAddr::V6(_) => return Err("SOCKS 4 knows no IPv6 addresses".into()),
            },
        };
        let mut words = vec![4, 1];
        words.extend(destination.port().to_be_bytes());
        words.extend(ip);
        if let Some(login) = &login {
            if login.has_password() {
                return Err("SOCKS 4 knows a user and no password".into());
            }
            fits(login.user(), "a user")?;
            words.extend_from_slice(login.user());
        }
        words.push(0);
        if let Destination::Name(name, _) = destination {
            fits(name.as_bytes(), "the name of a host")?;
            words.extend_from_slice(name.as_bytes());
            words.push(0);
        }
        Ok((Socks4::default(), words))
    }

    /// Takes the answer, and not a byte behind it.
    pub(super) fn hear(&mut self, wire: &mut Buffer) -> Result<Heard, Refusal> {
        // its version is 0, and of some proxies 4
        match self.answer.first(wire, 1) {
            None => return Ok(Heard::More),
            Some(&[0 | 4]) => {}
            Some(first) => return Err(stranger(first[0], "SOCKS 4")),
        }
        match self.answer.first(wire, 2) {
            None => return Ok(Heard::More),
            Some(&[_, 90]) => {}
            Some(&[_, 91]) => {
                return Err(Refusal { passing: true, ..Refusal::said("says: rejected or failed") });
            }
            Some(&[_, 92]) => return Err(Refusal::said("cannot ask who you are (no identd answers)")),
            Some(&[_, 93]) => return Err(Refusal::said("does not believe who you are (identd names another user)")),
            Some(answer) => return Err(Refusal::said(format!("refuses with the unknown code {}", answer[1]))),
        }
        match self.answer.first(wire, 8) {
            Some(_) => Ok(Heard::Agreed),
            None => Ok(Heard::More),
        }
    }
}

/// It is no proxy of this kind; perhaps of another.
fn stranger(first: u8, wanted: &str) -> Refusal {
    let advice = match first {
        b'H' => "-x http://HOST:PORT, since it speaks HTTP",
        _ => "the scheme of -x that the proxy speaks: http, https or socks5",
    };
    let refusal = Refusal::said(format!("gave an answer that is not {wanted}"));
    Refusal { advice: Some(advice.into()), ..refusal }
}

/// A length of one byte, and so many bytes.
fn text(bytes: &[u8], what: &str, words: &mut Vec<u8>) -> Result<(), String> {
    words.push(fits(bytes, what)?);
    words.extend_from_slice(bytes);
    Ok(())
}

/// The length of a part of a message, if it has room for it; a zero would end the message of version 4.
fn fits(bytes: &[u8], what: &str) -> Result<u8, String> {
    if bytes.contains(&0) {
        return Err(format!("{what} holds no NUL byte"));
    }
    u8::try_from(bytes.len()).map_err(|_| format!("SOCKS has no room for {what} of more than 255 bytes"))
}

/// The ways to log in of RFC 1928, 3.
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
const NONE: u8 = 0xff;
