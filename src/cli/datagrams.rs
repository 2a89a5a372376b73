//! What the flags about datagrams have in common: which endpoints carry them, and the values that only they take.

use std::ffi::OsStr;
use std::time::Duration;

use super::value::{self, Bytes, Choice, Value, fault};
use crate::error::Error;
use crate::plan::address::{Address, BadAddress, Host, HostPort, Kind, UnixName, UnixSocket};
use crate::plan::advice;
use crate::plan::datagram::{Framing, Split};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Datagrams")]
pub(super) struct Peers {
    /// Receive datagrams over UDP, or with -U over a Unix socket, from every peer that sends some.
    ///
    /// Every peer is served, with or without -k. What they send goes to standard output as it comes, and standard input
    /// answers the peer that was heard last; its end ends nothing. A program is started for each peer: each of its
    /// writes is an answer. -m limits the peers at once and --count those in all: datagrams of others are dropped. A
    /// group address is joined, on the interface of --iface.
    #[arg(short = 'u')]
    pub(super) udp: bool,

    /// With -u, tell datagrams apart: line, nul or len16 [default: nothing is put between them]
    ///
    /// Standard input is taken apart in the same way; without the flag it goes by lines from a terminal, and a datagram
    /// a read otherwise.
    #[arg(long, value_name = "HOW", value_parser = FRAMING)]
    pub(super) split: Option<Framing>,

    /// With -u, end with status 0 when N datagrams have been received [default: no limit]
    #[arg(short = 'W', value_name = "N", value_parser = value::count())]
    pub(super) datagrams: Option<u64>,

    /// With -u and a multicast group, receive only what this host sends to it (SSM) [default: what anybody sends]
    #[arg(long = "source", id = "sender", value_name = "ADDR", value_parser = value::host())]
    pub(super) sender: Option<Host>,

    /// With -u, read the stamps of send-udp --seq, and report what was lost, reordered and duplicated.
    ///
    /// The report comes when a sender has ended or haul does, and with -v, --stats, --progress=line or --events also for
    /// each second. Datagrams without a stamp are written as they are, and counted.
    #[arg(long)]
    pub(super) seq: bool,

    /// With -u, forget a peer that has been silent for T, and end its program [default: 60s]
    #[arg(long, value_name = "T", value_parser = value::limit())]
    pub(super) flow_idle: Option<Duration>,
}

const FRAMING: Choice<Framing> = Choice(&[
    ("line", Framing::Line, "a newline behind each"),
    ("nul", Framing::Nul, "a NUL byte behind each"),
    ("len16", Framing::Len16, "two bytes of length, the high one first, in front of each"),
]);

impl Peers {
    /// Refuses what only `-u` makes sense of.
    pub(super) fn need_u(&self) -> Result<(), Error> {
        let given = [
            (self.split.is_some(), "--split"),
            (self.datagrams.is_some(), "-W"),
            (self.sender.is_some(), "--source"),
            (self.seq, "--seq"),
            (self.flow_idle.is_some(), "--flow-idle"),
        ];
        need_u(&given)
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Datagrams")]
pub(super) struct Exchange {
    /// With -u, take standard input apart: read, line, nul, len16, none, or a SIZE [default: read; line from a terminal]
    ///
    /// With line, nul and len16 what is received is told apart in the same way; otherwise nothing is put between the
    /// datagrams on standard output.
    #[arg(long, value_name = "HOW", value_parser = Value(split))]
    pub(super) split: Option<Split>,

    /// With -u, end with status 0 when N datagrams have been received [default: no limit]
    #[arg(short = 'W', value_name = "N", value_parser = value::count())]
    pub(super) replies: Option<u64>,

    /// With -u, never fragment: a datagram that is too long for the path is an error.
    #[arg(long)]
    pub(super) df: bool,
}

impl Exchange {
    /// Refuses what only `-u` makes sense of.
    pub(super) fn need_u(&self) -> Result<(), Error> {
        need_u(&[(self.split.is_some(), "--split"), (self.replies.is_some(), "-W"), (self.df, "--df")])
    }
}

fn need_u(given: &[(bool, &str)]) -> Result<(), Error> {
    match given.iter().find(|(given, _)| *given) {
        Some((_, flag)) => Err(advice::lonely(flag, "-u", "it is about datagrams", &format!("-u {flag}"))),
        None => Ok(()),
    }
}

/// What `address` is under `-u`; `first` is the word it was made of, none for `-U` and `-p`. Without `-u` it is what it
/// was typed as.
pub(super) fn endpoint(first: Option<&OsStr>, second: bool, address: Address, udp: bool) -> Result<Address, Error> {
    let bare = (second || first.is_none_or(says_nothing)) && address.layers.is_empty();
    let kind = match address.kind {
        kind if !udp => kind,
        Kind::Tcp(at) if bare => Kind::Udp(at),
        Kind::Unix(name, UnixSocket::Stream) if address.layers.is_empty() => Kind::Unix(name, UnixSocket::Datagram),
        Kind::Path(path) => Kind::Unix(UnixName::Path(path), UnixSocket::Datagram),
        kind @ (Kind::Udp(_) | Kind::Unix(_, UnixSocket::Datagram)) => kind,
        kind => {
            let shown = Address { kind, ..address }.to_string();
            return Err(advice::clash("-u", &shown, "that carries no datagrams", "it without -u"));
        }
    };
    Ok(Address { kind, ..address })
}

/// True for a host and a port that leave open what carries them: `tcp:host:80` says TCP, and `host:80` says nothing;
/// `tcp:80` would be a host of that name.
pub(super) fn says_nothing(word: &OsStr) -> bool {
    let says_tcp = [&b"tcp:"[..], b"mptcp:"].iter().any(|says| word.as_encoded_bytes().starts_with(says));
    !says_tcp && HostPort::parse(word).is_ok()
}

/// The value of `--split`.
pub(super) fn split(value: &OsStr) -> Result<Split, BadAddress> {
    let named = [
        ("read", Split::Read),
        ("line", Split::Line),
        ("nul", Split::Nul),
        ("len16", Split::Len16),
        ("none", Split::Whole),
    ];
    if let Some((_, split)) = named.iter().find(|(name, _)| value == *name) {
        return Ok(*split);
    }
    if !value.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit) {
        return Err(fault("must be one of read, line, nul, len16, none, or a size"));
    }
    let bytes = value.as_encoded_bytes();
    if bytes.contains(&b'.') && bytes.last().is_some_and(u8::is_ascii_digit) {
        return Err(fault("a datagram holds whole bytes"));
    }
    let size = (value::memory().0)(value)?.0;
    usize::try_from(size).map(Split::Size).map_err(|_| fault("it is more than a datagram holds"))
}

/// The bytes of `--data-hex`: two digits each; between bytes there may be white space and colons.
pub(super) fn hex(value: &OsStr) -> Result<Bytes, BadAddress> {
    let (mut bytes, mut half) = (Vec::new(), None);
    for (at, byte) in value.as_encoded_bytes().iter().enumerate() {
        let digit = match (char::from(*byte).to_digit(16), half) {
            (Some(digit), _) => digit as u8,
            (None, None) if byte.is_ascii_whitespace() || *byte == b':' => continue,
            (None, Some(_)) if byte.is_ascii_whitespace() || *byte == b':' => {
                return Err(fault(format!(
                    "a byte has two hexadecimal digits, and one stands before character {}",
                    at + 1
                )));
            }
            _ => return Err(fault(format!("character {} is no hexadecimal digit", at + 1))),
        };
        half = match half {
            None => Some(digit),
            Some(high) => {
                bytes.push(high << 4 | digit);
                None
            }
        };
    }
    match half {
        None => Ok(Bytes(bytes)),
        Some(_) => Err(fault("the number of hexadecimal digits is odd, and a byte has two")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_are_pairs() {
        let bytes = |text: &str| hex(OsStr::new(text)).map(|bytes| bytes.0).map_err(|bad| bad.cause);
        assert_eq!(bytes("0001fF"), Ok(vec![0, 1, 255]));
        assert_eq!(bytes("00 01:ff\n0a"), Ok(vec![0, 1, 255, 10]));
        assert_eq!(bytes(""), Ok(vec![]));
        for (text, cause) in [
            ("000", "the number of hexadecimal digits is odd, and a byte has two"),
            ("0", "the number of hexadecimal digits is odd, and a byte has two"),
            ("0 0", "a byte has two hexadecimal digits, and one stands before character 2"),
            ("0x00", "character 2 is no hexadecimal digit"),
            ("00\u{e4}", "character 3 is no hexadecimal digit"),
        ] {
            assert_eq!(bytes(text).unwrap_err(), cause, "{text}");
        }
    }

    #[test]
    fn a_split_is_a_word_or_a_size() {
        let split = |text: &str| split(OsStr::new(text)).map_err(|bad| bad.cause);
        assert_eq!(split("line"), Ok(Split::Line));
        assert_eq!(split("none"), Ok(Split::Whole));
        assert_eq!(split("1400"), Ok(Split::Size(1400)));
        assert_eq!(split("1Ki"), Ok(Split::Size(1024)));
        for word in ["1.5", "1400.2"] {
            assert_eq!(split(word), Err("a datagram holds whole bytes".into()), "{word}");
        }
        assert_eq!(split("1.5Ki"), Ok(Split::Size(1536)));
        assert_eq!(split("0.5k"), Ok(Split::Size(500)));
        assert_eq!(split("0"), Err("at least 1 byte is needed".into()));
        for word in ["", "-1", "lines", "len8"] {
            assert_eq!(split(word), Err("must be one of read, line, nul, len16, none, or a size".into()), "{word}");
        }
    }

    #[test]
    fn u_makes_datagrams_of_what_says_nothing_else() {
        let shown = |word: &str, udp| {
            let address = Address::parse(OsStr::new(word)).unwrap();
            endpoint(Some(OsStr::new(word)), false, address, udp).map(|address| address.to_string())
        };
        for (word, udp) in [
            ("9000", "udp:9000"),
            ("db:53", "udp:db:53"),
            ("::1/53", "udp:::1/53"),
            ("udp,df:db:53", "udp,df:db:53"),
            ("/s", "unix,dgram:/s"),
            ("unix:/s", "unix,dgram:/s"),
            ("@s", "unix,dgram:@s"),
        ] {
            assert_eq!(shown(word, true).unwrap(), udp, "{word}");
        }
        for word in [
            "tcp:db:53",
            "tcp:53",
            "mptcp:53",
            "tls:53",
            "tls:db:53",
            "tls+unix:/s",
            "unix,seqpacket:/s",
            "-",
            "fifo:p",
            "echo:",
        ] {
            assert!(shown(word, true).unwrap_err().line().starts_with("cannot use -u with "), "{word}");
        }
        assert_eq!(shown("db:53", false).unwrap(), "tcp:db:53");
    }
}
