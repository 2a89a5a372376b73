//! TLS on the command line: which endpoints it stands on, and which of its options mean something at which side.

use std::fmt;

use super::address::{Address, Host, Kind, Layer, Options, TlsOptions, UnixName, UnixSocket};
use super::advice::{clash, lonely};
use super::role::refusal;
use crate::error::{Error, Op};
use crate::escape::Escaped;

/// `--tls` and its options, as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFlags {
    /// `--tls`
    pub tls: bool,
    /// The others.
    pub options: TlsOptions,
}

/// Which side of TLS haul is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It connects.
    Client,
    /// It waits to be connected to.
    Server,
}

impl Side {
    /// The side of an endpoint that the operation, or its own options, make a listener.
    fn of(op: Op, address: &Address) -> Self {
        if op == Op::Listen || address.options.listen { Side::Server } else { Side::Client }
    }
}

/// Which endpoints flags are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All of them: there is one, or one like the other.
    Each,
    /// Those that are connections, among others.
    Connections,
    /// The listening half of a relay; the other takes options on its endpoint.
    Listeners,
}

impl TlsFlags {
    /// Puts the layer, and the options that mean something there, on these endpoints.
    ///
    /// # Errors
    /// `--tls` for what is no connection; a flag that means nothing for any of them.
    pub fn apply(&self, mut endpoints: Vec<(&mut Address, Side)>, reach: Reach) -> Result<(), Error> {
        if self.tls {
            self.cover(&mut endpoints, reach)?;
        }
        let Some(first) = ROWS.iter().find(|row| (row.given)(&self.options)) else { return Ok(()) };
        endpoints.retain(|(address, _)| address.layers.contains(&Layer::Tls));
        if endpoints.is_empty() && reach != Reach::Listeners {
            return Err(lonely(first.flag, "--tls", "nothing is encrypted", &format!("--tls {}", first.flag)));
        }
        for row in ROWS.iter().filter(|row| (row.given)(&self.options)) {
            let fits = |side| row.side.is_none_or(|only| only == side);
            if endpoints.iter().any(|(_, side)| fits(*side)) {
                continue;
            }
            return Err(match (reach, endpoints.first()) {
                (Reach::Listeners, _) if row.side == Some(Side::Client) => {
                    let why = "flags about TLS are for the listening half";
                    clash(
                        row.flag,
                        "haul relay",
                        why,
                        &format!("the option on the target: tls,{}:HOST:PORT", row.option),
                    )
                }
                (_, None) => lonely(row.flag, "--tls", "nothing is encrypted", &format!("--tls {}", row.flag)),
                (_, Some((address, _))) => {
                    clash(row.flag, &address.to_string(), &format!("it {}", row.why()), row.instead)
                }
            });
        }
        for (address, side) in endpoints {
            let tls = self.options.at(side);
            address.overlay(&Options { tls, ..Options::default() });
        }
        Ok(())
    }

    /// Refuses all of them where datagrams are moved.
    ///
    /// # Errors
    /// One of them was given.
    pub fn refuse_with_datagrams(&self) -> Result<(), Error> {
        let first = ROWS.iter().find(|row| (row.given)(&self.options)).map(|row| row.flag);
        match first.or(self.tls.then_some("--tls")) {
            None => Ok(()),
            Some(flag) => Err(clash(flag, "-u", "TLS goes over a stream, not over datagrams", "it without -u")),
        }
    }

    fn cover(&self, endpoints: &mut [(&mut Address, Side)], reach: Reach) -> Result<(), Error> {
        let mut any = false;
        for (address, _) in endpoints.iter_mut() {
            if let Kind::Path(path) = &address.kind
                && reach != Reach::Connections
            {
                // nothing else at a path speaks TLS
                address.kind = Kind::Unix(UnixName::Path(path.clone()), UnixSocket::Stream);
            }
            let why = unfit(address);
            match why {
                None if address.layers.contains(&Layer::Tls) => {}
                // the innermost: what stands there already is what is encrypted
                None => address.layers.push(Layer::Tls),
                Some(_) if reach == Reach::Connections => continue,
                Some((why, instead)) => return Err(clash("--tls", &address.to_string(), why, instead)),
            }
            any = true;
        }
        match any {
            true => Ok(()),
            false => {
                Err(lonely("--tls", "a connection", "nothing is left to be encrypted", "tcp:HOST:PORT as an endpoint"))
            }
        }
    }
}

impl TlsOptions {
    /// Those that mean something at this side.
    fn at(&self, side: Side) -> TlsOptions {
        let all = self.clone();
        match side {
            Side::Client => TlsOptions { client_ca: None, ..all },
            Side::Server => TlsOptions { sni: None, pin: Vec::new(), ca: None, insecure: false, ..all },
        }
    }
}

/// Refuses TLS where it cannot be, and options that mean nothing at this side.
pub(super) fn check(op: Op, address: &Address) -> Result<(), Error> {
    if let Some((why, instead)) = unfit(address) {
        return Err(refusal(op, address, why, instead.into()));
    }
    let (side, options) = (Side::of(op, address), &address.options.tls);
    match ROWS.iter().find(|row| row.side.is_some_and(|only| only != side) && (row.given)(options)) {
        Some(row) => Err(refusal(op, address, &format!("{} {}", row.option_name(), row.why()), row.instead.into())),
        None if !options.key.is_empty() && options.cert.is_empty() => {
            let why = "a key goes with a certificate, and there is none";
            Err(refusal(op, address, why, "--cert FILE --key FILE".into()))
        }
        None if options.insecure && (!options.pin.is_empty() || options.ca.is_some()) => {
            let other = if options.pin.is_empty() { "ca" } else { "pin" };
            let why = format!("insecure and {other} say the opposite");
            Err(refusal(op, address, &why, "one of them".into()))
        }
        None => Ok(()),
    }
}

/// Why nothing can be encrypted there, and what to do.
fn unfit(address: &Address) -> Option<(&'static str, &'static str)> {
    match &address.kind {
        Kind::Tcp(_) | Kind::Unix(_, UnixSocket::Stream) | Kind::Fd { .. } => None,
        Kind::Udp(_) | Kind::Unix(_, UnixSocket::Datagram) => {
            Some(("TLS goes over a stream, not over datagrams", "a TCP port"))
        }
        Kind::Unix(_, UnixSocket::Seqpacket) => Some(("TLS goes over a stream, not over packets", "unix:PATH")),
        Kind::Path(_) => Some(("TLS goes over a connection", "tls+unix:PATH for a Unix socket")),
        Kind::Exec(_) | Kind::Shell(_) => {
            Some(("TLS goes over a connection, and a program has pipes", "a TCP port or a Unix socket"))
        }
        _ => Some(("TLS goes over a connection, and that is none", "a TCP port or a Unix socket")),
    }
}

/// An option, and the only side where it means something.
struct Row {
    flag: &'static str,
    /// As on an endpoint, with its value.
    option: &'static str,
    given: fn(&TlsOptions) -> bool,
    side: Option<Side>,
    instead: &'static str,
}

impl Row {
    fn option_name(&self) -> &str {
        self.option.split('=').next().unwrap_or_default()
    }

    fn why(&self) -> &'static str {
        match self.side {
            Some(Side::Client) => "is for whoever connects",
            _ => "is for whoever listens",
        }
    }
}

const ROWS: &[Row] = &[
    row("--cert", "cert=FILE", |o| !o.cert.is_empty(), None, ""),
    row("--key", "key=FILE", |o| !o.key.is_empty(), None, ""),
    row("--alpn", "alpn=NAME", |o| !o.alpn.is_empty(), None, ""),
    row("--tls-min", "tls-min=1.3", |o| o.min.is_some(), None, ""),
    row(
        "--client-ca",
        "client-ca=FILE",
        |o| o.client_ca.is_some(),
        Some(Side::Server),
        "--ca FILE, for the peer's certificate",
    ),
    row("--ca", "ca=FILE", |o| o.ca.is_some(), Some(Side::Client), "--client-ca FILE, for the clients' certificates"),
    row("--sni", "sni=NAME", |o| o.sni.is_some(), Some(Side::Client), "--cert FILE, whose names are served"),
    row(
        "--pin",
        "pin=sha256/…",
        |o| !o.pin.is_empty(),
        Some(Side::Client),
        "--client-ca FILE, for the clients' certificates",
    ),
    row("--insecure", "insecure", |o| o.insecure, Some(Side::Client), "it without: clients need no certificate"),
];

const fn row(
    flag: &'static str,
    option: &'static str,
    given: fn(&TlsOptions) -> bool,
    side: Option<Side>,
    instead: &'static str,
) -> Row {
    Row { flag, option, given, side, instead }
}

/// `--explain`: what TLS does at an endpoint, if it is there.
pub(super) fn explain(address: &Address, op: Op, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !address.layers.contains(&Layer::Tls) {
        return Ok(());
    }
    let tls = &address.options.tls;
    let file = |path: &std::path::Path| Escaped(path.as_os_str().as_encoded_bytes()).to_string();
    match Side::of(op, address) {
        Side::Server => {
            match tls.cert.first() {
                Some(first) => writeln!(f, "encrypt with TLS, by the certificate in {}", file(first))?,
                None => writeln!(f, "encrypt with TLS, by a throw-away certificate whose pin is printed")?,
            }
            if let Some(ca) = &tls.client_ca {
                writeln!(f, "demand of clients a certificate that {} vouches for", file(ca))?;
            }
        }
        Side::Client => {
            let whom = tls.sni.clone().or_else(|| host(address)).unwrap_or_else(|| "nobody by name".into());
            match &tls.ca {
                _ if tls.insecure && tls.pin.is_empty() => writeln!(f, "encrypt with TLS, and verify nobody")?,
                None if !tls.pin.is_empty() => {
                    writeln!(f, "encrypt with TLS, for the key with pin {}", tls.pin.join(" or "))?
                }
                None => writeln!(f, "encrypt with TLS, and verify {whom} by the system's roots")?,
                Some(ca) if tls.pin.is_empty() => writeln!(f, "encrypt with TLS, and verify {whom} by {}", file(ca))?,
                Some(ca) => {
                    let pins = tls.pin.join(" or ");
                    writeln!(f, "encrypt with TLS, and verify {whom} by {} and by the pin {pins}", file(ca))?;
                }
            }
        }
    }
    Ok(())
}

/// Whom the certificate of a peer has to be for, unless an option says otherwise; `None` for what has no host.
pub fn host(address: &Address) -> Option<String> {
    let Kind::Tcp(at) = &address.kind else { return None };
    Some(match &at.host {
        Host::Unspecified => "localhost".into(),
        Host::Name(name) => name.clone(),
        Host::V4(ip) => ip.to_string(),
        Host::V6(ip, _) => ip.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::outcome::ExitStatus;

    fn parse(word: &str) -> Address {
        Address::parse(OsStr::new(word)).unwrap()
    }

    fn given(tls: bool, words: &[(&str, &str)]) -> TlsFlags {
        let mut options = Options::default();
        for (word, value) in words {
            options.set(word, Some(OsStr::new(value)).filter(|value| !value.is_empty())).unwrap();
        }
        TlsFlags { tls, options: options.tls }
    }

    /// What becomes of endpoints; a word that begins with a plus listens.
    fn applied(flags: &TlsFlags, words: &[&str], reach: Reach) -> Result<Vec<String>, Error> {
        let side = |word: &&str| if word.starts_with('+') { Side::Server } else { Side::Client };
        let mut addresses: Vec<_> =
            words.iter().map(|word| (parse(word.trim_start_matches('+')), side(word))).collect();
        flags.apply(addresses.iter_mut().map(|(address, side)| (address, *side)).collect(), reach)?;
        Ok(addresses.iter().map(|(address, _)| address.to_string()).collect())
    }

    #[track_caller]
    fn refused(flags: &TlsFlags, words: &[&str], reach: Reach) -> String {
        let error = applied(flags, words, reach).unwrap_err();
        assert_eq!(error.status(), ExitStatus::Usage, "{error}");
        error.to_string()
    }

    #[test]
    fn the_layer_goes_on_what_is_a_stream_connection() {
        let tls = given(true, &[]);
        for (word, expected) in [
            ("a:1", "tls:a:1"),
            ("tls:a:1", "tls:a:1"),
            ("unix:/s", "tls+unix:/s"),
            ("/s", "tls+unix:/s"),
            ("@a", "tls+unix:@a"),
            ("ws:a:1", "wss:a:1"),
            ("fd,listen:3", "tls+fd,listen:3"),
        ] {
            assert_eq!(applied(&tls, &[word], Reach::Each).unwrap(), [expected]);
        }
        for word in ["udp:a:1", "unix,dgram:/s", "unix,seqpacket:/s", "file:x", "exec:cat", "echo:", "-"] {
            let told = refused(&tls, &[word], Reach::Each);
            assert!(told.starts_with("cannot use --tls with ") && told.contains("\n  try: "), "{told}");
        }
        let pipe = applied(&tls, &["./in", "a:1", "unix:/s"], Reach::Connections).unwrap();
        assert_eq!(pipe, ["./in", "tls:a:1", "tls+unix:/s"]);
        assert!(refused(&tls, &["./in", "-"], Reach::Connections).contains("nothing is left to be encrypted"));
    }

    #[test]
    fn an_option_goes_where_it_means_something() {
        let flags = given(true, &[("sni", "n"), ("client-ca", "c"), ("tls-min", "1.3")]);
        assert_eq!(
            applied(&flags, &["+tcp,listen:1", "a:1"], Reach::Connections).unwrap(),
            ["tls,listen,client-ca=c,tls-min=1.3:1", "tls,sni=n,tls-min=1.3:a:1"]
        );
        let pin = given(false, &[("insecure", "")]);
        assert_eq!(applied(&pin, &["tls:a:1"], Reach::Each).unwrap(), ["tls,insecure:a:1"]);
        assert_eq!(
            applied(&given(true, &[("sni", "n")]), &["tls,sni=own:a:1"], Reach::Each).unwrap(),
            ["tls,sni=own:a:1"]
        );
    }

    #[test]
    fn what_means_nothing_is_never_ignored() {
        let sni = &[("sni", "n")][..];
        assert_eq!(
            refused(&given(false, sni), &["a:1"], Reach::Each),
            "cannot use --sni without --tls: nothing is encrypted\n  try: --tls --sni"
        );
        assert_eq!(
            refused(&given(true, sni), &["+1"], Reach::Each),
            "cannot use --sni with tls:1: it is for whoever connects\n  try: --cert FILE, whose names are served"
        );
        assert_eq!(
            refused(&given(false, &[("ca", "f")]), &["+1"], Reach::Listeners),
            "cannot use --ca with haul relay: flags about TLS are for the listening half\n  try: the option on the target: tls,ca=FILE:HOST:PORT"
        );
        assert!(
            refused(&given(false, &[("cert", "f")]), &["+1"], Reach::Listeners)
                .starts_with("cannot use --cert without --tls")
        );
        let flags = given(true, &[]);
        assert!(flags.refuse_with_datagrams().unwrap_err().line().starts_with("cannot use --tls with -u: "));
        assert!(TlsFlags::default().refuse_with_datagrams().is_ok());
    }

    #[test]
    fn options_of_an_endpoint_are_judged_by_its_side() {
        for (op, word) in [
            (Op::Listen, "tls,sni=a:1"),
            (Op::Listen, "tls,insecure:1"),
            (Op::Connect, "tls,client-ca=f:a:1"),
            (Op::Write, "tls,listen,ca=f:1"),
            (Op::Listen, "tls,key=f:1"),
            (Op::Connect, "tls,insecure,ca=f:a:1"),
            (Op::Connect, "tls+exec:cat"),
        ] {
            let error = check(op, &parse(word)).unwrap_err();
            assert_eq!(error.status(), ExitStatus::Usage, "{word}");
            assert!(error.advice().is_some(), "{word}");
        }
        for (op, word) in [(Op::Listen, "tls,cert=f,client-ca=g:1"), (Op::Connect, "tls,cert=f,sni=a:a:1")] {
            assert!(check(op, &parse(word)).is_ok(), "{word}");
        }
    }
}
