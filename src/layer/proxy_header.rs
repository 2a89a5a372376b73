//! The PROXY protocol, versions 1 and 2: what a proxy says in front of a stream about whom it speaks for.
//!
//! Only syntax: bytes in, parties out, and back. A header is whole before anything of it is believed; whoever reads it
//! takes exactly its bytes from the stream, and the rest is payload. The rules are those of haproxy's
//! proxy-protocol.txt: version 1 is one line of at most 107 bytes, version 2 has a length, which is bounded here by
//! what memory a stranger may have. Its extensions (TLVs) are skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Who a connection is between, as a proxy tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parties {
    /// The proxy speaks for itself (LOCAL), or does not know (UNKNOWN, UNSPEC): the connection's own ends count.
    Own,
    /// The client, and where it connected to. In version 1 and 2 both are of one family.
    Inet(SocketAddr, SocketAddr),
    /// The same for Unix sockets: their paths, empty for one that has none; abstract ones begin with a 0.
    Unix(Vec<u8>, Vec<u8>),
}

/// Why bytes are no header, in a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw(pub &'static str);

/// The header at the front of `bytes`, and its length; `None` while it is not whole. Then everything in `bytes` belongs
/// to it, and it is at most [`LONGEST`] bytes long.
///
/// # Errors
/// This is the beginning of no header, whatever follows.
pub fn parse(bytes: &[u8]) -> Result<Option<(Parties, usize)>, Flaw> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(SIGNATURE) {
        binary(bytes)
    } else if begins(WORD) {
        line(bytes)
    } else {
        Err(Flaw("it does not begin with a PROXY header"))
    }
}

/// A line of version 1.
fn line(bytes: &[u8]) -> Result<Option<(Parties, usize)>, Flaw> {
    let seen = &bytes[..bytes.len().min(LONGEST_LINE)];
    match seen.iter().position(|byte| *byte == b'\r') {
        None if seen.len() == LONGEST_LINE => Err(Flaw("its PROXY header has more than 107 bytes")),
        None => Ok(None),
        Some(at) => match seen.get(at + 1) {
            Some(b'\n') => Ok(Some((spelled(&seen[..at]).ok_or(Flaw("its PROXY header is malformed"))?, at + 2))),
            Some(_) => Err(Flaw("its PROXY header is malformed")),
            None if seen.len() == LONGEST_LINE => Err(Flaw("its PROXY header has more than 107 bytes")),
            None => Ok(None),
        },
    }
}

fn spelled(line: &[u8]) -> Option<Parties> {
    let text = line.strip_prefix(WORD)?;
    // what follows UNKNOWN is to be ignored
    if text == b"UNKNOWN" || text.starts_with(b"UNKNOWN ") {
        return Some(Parties::Own);
    }
    let mut words = std::str::from_utf8(text).ok()?.split(' ');
    let mut next = || words.next();
    let (family, from, to) = (next()?, next()?, next()?);
    let (from_port, to_port) = (port(next()?)?, port(next()?)?);
    if next().is_some() {
        return None;
    }
    let address = |word: &str| match family {
        "TCP4" => word.parse().ok().map(IpAddr::V4),
        "TCP6" => word.parse().ok().map(IpAddr::V6),
        _ => None,
    };
    Some(Parties::Inet(SocketAddr::new(address(from)?, from_port), SocketAddr::new(address(to)?, to_port)))
}

/// From 0 to 65535, without a sign or leading zeros.
fn port(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| plain)
}

/// A header of version 2.
fn binary(bytes: &[u8]) -> Result<Option<(Parties, usize)>, Flaw> {
    let malformed = Err(Flaw("its PROXY header is malformed"));
    let local = match bytes.get(12) {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return malformed,
    };
    let Some(&family) = bytes.get(13) else { return Ok(None) };
    if family >> 4 > 3 || family & 0xf > 2 {
        return malformed;
    }
    let Some(length) = bytes.get(14..16) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    if HEAD + length > LONGEST {
        return Err(Flaw("its PROXY header is too long"));
    }
    // the family without the kind of socket: who proxies datagrams over a stream tells their addresses all the same
    let family = if local || family & 0xf == 0 { 0 } else { family >> 4 };
    if length < [0, 12, 36, 216][usize::from(family)] {
        return malformed;
    }
    let Some(body) = bytes.get(HEAD..HEAD + length) else { return Ok(None) };
    let parties = match family {
        1 => inet::<4>(body, |ip| Ipv4Addr::from(ip).into()),
        2 => inet::<16>(body, |ip| Ipv6Addr::from(ip).into()),
        3 => Some(Parties::Unix(path(&body[..108]), path(&body[108..216]))),
        _ => Some(Parties::Own),
    };
    match parties {
        Some(parties) => Ok(Some((parties, HEAD + length))),
        None => malformed,
    }
}

fn inet<const N: usize>(body: &[u8], ip: fn([u8; N]) -> IpAddr) -> Option<Parties> {
    let address = |at: usize| body.get(at..)?.first_chunk::<N>().copied().map(ip);
    let port = |at: usize| body.get(at..)?.first_chunk::<2>().copied().map(u16::from_be_bytes);
    let from = SocketAddr::new(address(0)?, port(2 * N)?);
    Some(Parties::Inet(from, SocketAddr::new(address(N)?, port(2 * N + 2)?)))
}

/// The path in a field that is filled up with zeros.
fn path(field: &[u8]) -> Vec<u8> {
    let filled = field.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    match field.first() {
        // an abstract name may hold zeros; a path ends at the first
        Some(0) => field[..filled].to_vec(),
        _ => field[..filled].split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
    }
}

/// A header of version 1. It knows no Unix sockets: those are UNKNOWN.
pub fn write_v1(parties: &Parties) -> Vec<u8> {
    match same_family(parties) {
        Some((from, to)) => {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            format!("PROXY {family} {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port()).into_bytes()
        }
        None => b"PROXY UNKNOWN\r\n".to_vec(),
    }
}

/// A header of version 2.
pub fn write_v2(parties: &Parties) -> Vec<u8> {
    let mut body = Vec::new();
    let (command, family) = match (parties, same_family(parties)) {
        (Parties::Unix(from, to), _) => {
            for path in [from, to] {
                let count = path.len().min(108);
                body.extend_from_slice(&path[..count]);
                body.resize(body.len() + 108 - count, 0);
            }
            (0x21, 0x31)
        }
        (_, Some((from, to))) => {
            for address in [from, to] {
                match address.ip() {
                    IpAddr::V4(ip) => body.extend_from_slice(&ip.octets()),
                    IpAddr::V6(ip) => body.extend_from_slice(&ip.octets()),
                }
            }
            body.extend_from_slice(&from.port().to_be_bytes());
            body.extend_from_slice(&to.port().to_be_bytes());
            (0x21, if from.is_ipv4() { 0x11 } else { 0x21 })
        }
        // nobody else's connection
        _ => (0x20, 0x00),
    };
    let mut header = SIGNATURE.to_vec();
    header.extend_from_slice(&[command, family]);
    header.extend_from_slice(&(body.len() as u16).to_be_bytes());
    header.extend_from_slice(&body);
    header
}

/// Both addresses in one family: as IPv4 where both can be, otherwise as IPv6.
fn same_family(parties: &Parties) -> Option<(SocketAddr, SocketAddr)> {
    let Parties::Inet(from, to) = parties else { return None };
    let plain = |address: &SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (from, to) = (plain(from), plain(to));
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    match from.is_ipv4() == to.is_ipv4() {
        true => Some((from, to)),
        false => Some((mapped(from), mapped(to))),
    }
}

/// What a header of version 1 begins with.
const WORD: &[u8] = b"PROXY ";

/// What a header of version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of a line of version 1 with its end.
const LONGEST_LINE: usize = 107;

/// Bytes of version 2 in front of what has a length.
const HEAD: usize = 16;

/// Bytes of the longest header that is read. Version 2 may have 64 KiB, but its addresses and every extension that is
/// in use fit into much less, and a stranger is given no more memory than that.
pub const LONGEST: usize = 4096;

#[cfg(test)]
mod tests;
