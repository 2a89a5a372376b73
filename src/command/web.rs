//! What stands on a WebSocket connection of an endpoint, made from its options and from the environment.

use std::time::Instant;

use crate::error::{Error, Op};
use crate::layer::websocket::{Manner, Request, Terms, WebSocket};
use crate::layer::{Layer, tls};
use crate::outcome::ExitStatus;
use crate::plan::address::{self, Address, Host, HostPort, Kind, Message};
use crate::sys;

/// What makes the WebSocket layer of each connection.
pub(super) struct Web {
    role: Role,
    manner: Manner,
    /// It was not said what messages are made of.
    undecided: bool,
}

enum Role {
    Client(Request),
    Server(Terms),
}

impl Web {
    /// For connections that are made to `address`.
    ///
    /// # Errors
    /// The credentials of the environment are none.
    pub(super) fn client(address: &Address) -> Result<Self, Error> {
        let web = &address.options.web;
        let request = Request {
            host: host(address),
            path: address.options.path.clone().unwrap_or_else(|| "/".into()),
            origin: web.origin.first().cloned(),
            subprotocols: web.subprotocol.clone(),
            headers: web.fields().collect(),
            credentials: credentials()?,
        };
        Ok(Web::new(Role::Client(request), address))
    }

    /// For connections that come to `address`.
    ///
    /// # Errors
    /// As [`Web::client`].
    pub(super) fn server(address: &Address) -> Result<Self, Error> {
        let web = &address.options.web;
        let terms = Terms {
            path: address.options.path.clone(),
            origins: web.origin.clone(),
            subprotocols: web.subprotocol.clone(),
            headers: web.fields().collect(),
            credentials: credentials()?,
        };
        Ok(Web::new(Role::Server(terms), address))
    }

    fn new(role: Role, address: &Address) -> Self {
        let web = &address.options.web;
        let manner = Manner { text: web.message == Some(Message::Text), strict: false, ping: web.ping };
        Web { role, manner, undecided: web.message.is_none() }
    }

    /// Lines are typed here: messages are lines, unless that was said already.
    pub(super) fn typed(&mut self) {
        self.manner.text |= self.undecided;
    }

    /// Whatever comes goes on to others: where that is text, it has to be text.
    pub(super) fn shared(&mut self) {
        self.manner.strict = self.manner.text;
    }

    /// True where a line is a message.
    pub(super) fn speaks_lines(&self) -> bool {
        self.manner.text
    }

    /// The layer for a connection that came up now.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub(super) fn layer(&self) -> Result<Box<dyn Layer>, Error> {
        let now = Instant::now();
        let layer = match &self.role {
            Role::Client(request) => WebSocket::client(request, self.manner, sys::random, now)?,
            Role::Server(terms) => WebSocket::server(terms.clone(), self.manner, now),
        };
        // as many bytes as for TLS, so that both borrow from one pool
        Ok(Box::new(layer.with_seam(tls::SEAM).with_wide(sys::mask)))
    }
}

/// The host as a request names it: without the port that goes without saying (RFC 9110, section 7.2).
fn host(address: &Address) -> String {
    let Kind::Tcp(HostPort { host, port }) = &address.kind else { return "localhost".into() };
    let name = match host {
        Host::Unspecified => "localhost".into(),
        // a scope means nothing to anybody else
        Host::V6(ip, _) => format!("[{ip}]"),
        host => host.to_string(),
    };
    let usual = if address.layers.contains(&address::Layer::Tls) { 443 } else { 80 };
    if *port == usual { name } else { format!("{name}:{port}") }
}

/// `user:password` from the environment: what a client shows, and a listener wants to see.
fn credentials() -> Result<Option<String>, Error> {
    let Some(text) = std::env::var_os(VARIABLE) else { return Ok(None) };
    let usable = |text: &String| text.contains(':') && !text.chars().any(char::is_control);
    let bad = || {
        let error = Error::said(Op::Use, VARIABLE, "it has to be user:password");
        error.with_status(ExitStatus::Usage)
    };
    text.into_string().ok().filter(usable).map(Some).ok_or_else(bad)
}

const VARIABLE: &str = "HAUL_WS_AUTH";

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn the_host_is_named_as_a_url_would() {
        for (word, name) in [
            ("ws://a.example/x", "a.example"),
            ("ws:a.example:443", "a.example:443"),
            ("wss://a.example", "a.example"),
            ("wss://a.example:80", "a.example:80"),
            ("ws:::1/80", "[::1]"),
            ("ws:fe80::1%eth0/8080", "[fe80::1]:8080"),
            ("ws:8080", "localhost:8080"),
            ("ws+unix:/s", "localhost"),
        ] {
            assert_eq!(host(&Address::parse(OsStr::new(word)).unwrap()), name, "{word}");
        }
    }
}
