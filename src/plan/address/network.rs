//! Networks and the lists that `--allow` and `--deny` take: `10.0.0.0/8`, `::1`, `192.0.2.7`, `@FILE`.

use std::ffi::OsStr;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net};

use super::{BadAddress, quoted};
use crate::escape::Escaped;

/// A network of IP addresses.
///
/// Invariant: an IPv4 network is never spelled as an IPv4-mapped IPv6 one, and the bits behind the prefix are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// One source of addresses for `--allow` and `--deny`.
#[derive(Clone, Debug, PartialEq)]
pub enum AccessList {
    /// Networks given on the command line.
    Networks(Vec<Network>),
    /// `@FILE`: one network a line, `#` begins a comment; read again on SIGHUP.
    File(PathBuf),
}

impl Network {
    /// Parses `ADDRESS` or `ADDRESS/BITS`; an address alone is the network of this one address. Bits behind the prefix
    /// are ignored, as in `192.168.1.7/24`.
    ///
    /// # Errors
    /// [`BadAddress`] says why it is none.
    pub fn parse(text: &[u8]) -> Result<Network, BadAddress> {
        let no = |why: &str| BadAddress::new(format!("{} is not a network: {why}", quoted(text)));
        let word = std::str::from_utf8(text).map_err(|_| no(SHAPE))?;
        if word.is_empty() {
            return Err(BadAddress::new("a network is missing"));
        }
        let (address, bits) = word.split_once('/').map_or((word, None), |(address, bits)| (address, Some(bits)));
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(no(if address.bytes().any(|byte| byte.is_ascii_alphabetic()) && !address.contains(':') {
                "names are not looked up here"
            } else {
                SHAPE
            }));
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => {
                let plain = bits.bytes().all(|byte| byte.is_ascii_digit());
                let number = bits.parse().ok().filter(|bits| plain && *bits <= most);
                number.ok_or_else(|| no(&format!("the prefix is a number from 0 to {most}")))?
            }
        };
        let network = IpNet::new(address, bits).map_err(|_| no(SHAPE))?;
        Ok(Network(unmapped(network.trunc())))
    }

    /// The network.
    pub fn get(self) -> IpNet {
        self.0
    }
}

const SHAPE: &str = "it is an address such as 192.0.2.7 or ::1, or one with a prefix such as 10.0.0.0/8";

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

/// Peers of a dual-stack listener count as IPv4, so the networks that they are compared with must do so too.
fn unmapped(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let IpNet::V6(v6) = network else { return network };
    let v4 = v6.addr().to_ipv4_mapped().filter(|_| v6.prefix_len() >= MAPPED);
    v4.and_then(|address| Ipv4Net::new(address, v6.prefix_len() - MAPPED).ok()).map_or(network, IpNet::V4)
}

impl AccessList {
    /// Parses networks with commas between them, or `@FILE`.
    ///
    /// # Errors
    /// [`BadAddress`] names the network that is none.
    pub fn parse(word: &OsStr) -> Result<AccessList, BadAddress> {
        match word.as_bytes().strip_prefix(b"@") {
            Some([]) => Err(BadAddress::new("the name of a file is missing behind the @")),
            Some(path) => Ok(AccessList::File(PathBuf::from(OsStr::from_bytes(path)))),
            None => {
                let networks = word.as_bytes().split(|byte| *byte == b',').map(Network::parse);
                networks.collect::<Result<_, _>>().map(AccessList::Networks)
            }
        }
    }
}

/// As it could have been typed, but escaped for a person.
impl fmt::Display for AccessList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessList::Networks(networks) => {
                for (index, network) in networks.iter().enumerate() {
                    write!(f, "{}{network}", if index > 0 { "," } else { "" })?;
                }
                Ok(())
            }
            AccessList::File(path) => write!(f, "@{}", Escaped(path.as_os_str().as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Network, BadAddress> {
        Network::parse(text.as_bytes())
    }

    #[test]
    fn addresses_and_networks_of_both_families_are_read() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.168.1.7/24", "192.168.1.0/24"),
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::1", "::1"),
            ("fd00::/8", "fd00::/8"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_network_says_why() {
        let shape = "it is an address such as 192.0.2.7 or ::1, or one with a prefix such as 10.0.0.0/8";
        for (text, cause) in [
            ("10.0.0/8", shape),
            ("010.0.0.1", shape),
            ("::1%eth0", shape),
            ("10.0.0.0/33", "the prefix is a number from 0 to 32"),
            ("10.0.0.0/+8", "the prefix is a number from 0 to 32"),
            ("::/129", "the prefix is a number from 0 to 128"),
            ("10.0.0.0/", "the prefix is a number from 0 to 32"),
            ("db.example", "names are not looked up here"),
        ] {
            assert_eq!(parse(text).unwrap_err().cause, format!("\"{text}\" is not a network: {cause}"));
        }
        assert_eq!(parse("").unwrap_err().cause, "a network is missing");
    }

    #[test]
    fn a_list_is_networks_or_a_file() {
        let list = |word: &str| AccessList::parse(OsStr::new(word));
        assert_eq!(list("10.0.0.0/8,::1").unwrap().to_string(), "10.0.0.0/8,::1");
        assert_eq!(list("@/etc/acl").unwrap(), AccessList::File("/etc/acl".into()));
        for bad in ["", "@", "10.0.0.1,", ",::1", "10.0.0.1;::1"] {
            assert!(list(bad).is_err(), "{bad}");
        }
    }
}
