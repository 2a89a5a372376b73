//! Which option belongs to which kind of endpoint: a misplaced one is refused when typed on an endpoint, and passed
//! over when it comes from a flag.

use super::{Address, Kind, Layer, Options, TlsOptions};

/// Where an option is at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// IP sockets.
    Ip,
    /// TCP sockets.
    Tcp,
    /// UDP sockets.
    Udp,
    /// Every kind of socket.
    Socket,
    /// What can accept connections.
    Listener,
    /// Unix sockets.
    Unix,
    /// Files.
    File,
    /// `random:`
    Random,
    /// `text:`
    Text,
    /// Endpoints with a TLS layer.
    Tls,
    /// Endpoints with a WebSocket layer.
    WebSocket,
}

impl Home {
    /// A bare path may turn out to be a socket or a file: what fits either fits it.
    pub(super) fn takes(self, kind: &Kind, layers: &[Layer]) -> bool {
        match self {
            Home::Ip => matches!(kind, Kind::Tcp(_) | Kind::Udp(_)),
            Home::Tcp => matches!(kind, Kind::Tcp(_)),
            Home::Udp => matches!(kind, Kind::Udp(_)),
            Home::Socket => matches!(kind, Kind::Tcp(_) | Kind::Udp(_) | Kind::Unix(..) | Kind::Path(_)),
            Home::Listener => {
                matches!(kind, Kind::Tcp(_) | Kind::Udp(_) | Kind::Unix(..) | Kind::Path(_) | Kind::Fd { .. })
            }
            Home::Unix => matches!(kind, Kind::Unix(..) | Kind::Path(_)),
            Home::File => matches!(kind, Kind::File(_) | Kind::Path(_)),
            Home::Random => matches!(kind, Kind::Random),
            Home::Text => matches!(kind, Kind::Text(_)),
            Home::Tls => layers.contains(&Layer::Tls),
            Home::WebSocket => layers.contains(&Layer::WebSocket),
        }
    }

    /// For a sentence: `nodelay is for tcp endpoints`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Home::Ip => "tcp and udp",
            Home::Tcp => "tcp",
            Home::Udp => "udp",
            Home::Socket => "tcp, udp and unix",
            Home::Listener => "tcp, udp, unix and fd",
            Home::Unix => "unix",
            Home::File => "file",
            Home::Random => "random",
            Home::Text => "text",
            Home::Tls => "tls",
            Home::WebSocket => "ws and wss",
        }
    }
}

impl Address {
    /// Applies options given as flags: each one that fits this endpoint, unless the endpoint has its own. `escapes` is
    /// no such option, for it says how the text of this endpoint was written.
    pub fn overlay(&mut self, flags: &Options) {
        let Address { layers, kind, options: own } = self;
        let fits = |home: Home| home.takes(kind, layers);
        if fits(Home::Ip) {
            inherit(&mut own.family, &flags.family);
            own.numeric |= flags.numeric;
            inherit(&mut own.source, &flags.source);
            inherit(&mut own.source_port, &flags.source_port);
            inherit(&mut own.iface, &flags.iface);
            inherit(&mut own.ttl, &flags.ttl);
            inherit(&mut own.dscp, &flags.dscp);
        }
        if fits(Home::Tcp) {
            own.nodelay |= flags.nodelay;
            inherit(&mut own.keepalive, &flags.keepalive);
            inherit(&mut own.user_timeout, &flags.user_timeout);
            inherit(&mut own.congestion, &flags.congestion);
            inherit(&mut own.mss, &flags.mss);
            own.mptcp |= flags.mptcp;
        }
        if fits(Home::Udp) {
            own.broadcast |= flags.broadcast;
            inherit(&mut own.loopback, &flags.loopback);
            own.df |= flags.df;
        }
        if fits(Home::Socket) {
            inherit(&mut own.rcvbuf, &flags.rcvbuf);
            inherit(&mut own.sndbuf, &flags.sndbuf);
        }
        if fits(Home::Listener) {
            own.listen |= flags.listen;
        }
        if fits(Home::Unix) {
            inherit(&mut own.mode, &flags.mode);
        }
        if fits(Home::File) {
            // The two exclude each other, and the endpoint's own choice wins.
            let chosen = own.append || own.atomic;
            own.append |= flags.append && !chosen;
            own.atomic |= flags.atomic && !chosen;
            inherit(&mut own.offset, &flags.offset);
        }
        if fits(Home::Random) {
            inherit(&mut own.seed, &flags.seed);
        }
        if fits(Home::Tls) {
            own.tls.overlay(&flags.tls);
        }
        if fits(Home::WebSocket) {
            inherit(&mut own.path, &flags.path);
            own.web.overlay(&flags.web);
        }
    }
}

impl TlsOptions {
    fn overlay(&mut self, flags: &TlsOptions) {
        let TlsOptions { sni, alpn, insecure, pin, ca, client_ca, cert, key, min } = flags;
        inherit(&mut self.sni, sni);
        if self.alpn.is_empty() {
            self.alpn.clone_from(alpn);
        }
        self.insecure |= insecure;
        if self.pin.is_empty() {
            self.pin.clone_from(pin);
        }
        inherit(&mut self.ca, ca);
        inherit(&mut self.client_ca, client_ca);
        inherit(&mut self.min, min);
        // A certificate and its key belong together.
        if self.cert.is_empty() && self.key.is_empty() {
            self.cert.clone_from(cert);
            self.key.clone_from(key);
        }
    }
}

fn inherit<T: Clone>(own: &mut Option<T>, flag: &Option<T>) {
    if own.is_none() {
        own.clone_from(flag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::time::Duration;

    fn overlaid(word: &str, flags: &Options) -> Options {
        let mut address = Address::parse(OsStr::new(word)).unwrap();
        address.overlay(flags);
        address.options
    }

    #[test]
    fn flags_reach_what_they_fit_and_the_endpoint_wins() {
        let flags = Options {
            nodelay: true,
            rcvbuf: Some(1),
            ttl: Some(9),
            mode: Some(0o600),
            user_timeout: Some(Duration::from_secs(1)),
            tls: TlsOptions { insecure: true, sni: Some("flag".into()), ..TlsOptions::default() },
            ..Options::default()
        };
        let tcp = overlaid("tcp,ttl=3:db:5432", &flags);
        assert_eq!((tcp.nodelay, tcp.ttl, tcp.rcvbuf, tcp.mode), (true, Some(3), Some(1), None));
        assert_eq!(tcp.tls, TlsOptions::default());
        let unix = overlaid("unix:/s", &flags);
        assert_eq!((unix.nodelay, unix.ttl, unix.rcvbuf, unix.mode), (false, None, Some(1), Some(0o600)));
        let tls = overlaid("tls,sni=own:db:443", &flags);
        assert_eq!((tls.tls.sni.as_deref(), tls.tls.insecure, tls.nodelay), (Some("own"), true, true));
        for untouched in ["-", "null:", "exec:cat", "fd:3", "text:x"] {
            assert_eq!(overlaid(untouched, &flags), Options::default(), "{untouched}");
        }
    }

    #[test]
    fn appending_and_replacing_exclude_each_other_across_flags() {
        let flags = Options { atomic: true, ..Options::default() };
        let file = overlaid("file,append:log", &flags);
        assert_eq!((file.append, file.atomic), (true, false));
        assert!(overlaid("./new", &flags).atomic);
    }
}
