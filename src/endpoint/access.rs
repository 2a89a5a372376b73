//! Who may connect: the lists of `--allow` and `--deny`, asked about each peer before anything is done for it.
//!
//! `--deny` wins; without `--allow` everybody else is welcome, and with it nobody else is, even if its files are empty.
//! Peers of a dual-stack listener are compared as IPv4. Peers without an IP address (Unix sockets) are not asked about:
//! the permissions of the socket's file decide for them.

use std::fs::OpenOptions;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::error::{Error, Op};
use crate::plan::address::{AccessList, Network};

/// The lists of one listener.
#[derive(Clone, Debug, Default)]
pub struct Access {
    sources: [Vec<AccessList>; 2],
    allow: Option<Networks>,
    deny: Networks,
}

/// A set of networks.
///
/// Invariant: the networks of each family are disjoint and in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Networks {
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

impl Access {
    /// Reads every file of the lists.
    ///
    /// # Errors
    /// A file cannot be read, or a line of it is no network: the error names file and line, with status 2.
    pub fn load(allow: &[AccessList], deny: &[AccessList]) -> Result<Access, Error> {
        let sources = [allow.to_vec(), deny.to_vec()];
        let (allow, deny) = read_both(&sources)?;
        Ok(Access { sources, allow, deny })
    }

    /// Reads the files again, for those who connect from now on.
    ///
    /// # Errors
    /// As [`Access::load`]; the lists are then what they were.
    pub fn reload(&mut self) -> Result<(), Error> {
        (self.allow, self.deny) = read_both(&self.sources)?;
        Ok(())
    }

    /// Whether a peer of this address may connect.
    pub fn permits(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        !self.deny.contains(peer) && self.allow.as_ref().is_none_or(|allow| allow.contains(peer))
    }

    /// True if there are no lists: everybody may connect, and nothing can change that.
    pub fn is_unlimited(&self) -> bool {
        self.sources.iter().all(Vec::is_empty)
    }
}

fn read_both(sources: &[Vec<AccessList>; 2]) -> Result<(Option<Networks>, Networks), Error> {
    let [allow, deny] = sources;
    let allowed = if allow.is_empty() { None } else { Some(Networks::read(allow)?) };
    Ok((allowed, Networks::read(deny)?))
}

impl Networks {
    fn read(lists: &[AccessList]) -> Result<Networks, Error> {
        let mut found = Vec::new();
        for list in lists {
            match list {
                AccessList::Networks(networks) => found.extend(networks.iter().map(|network| network.get())),
                AccessList::File(path) => read_file(path, &mut found)?,
            }
        }
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in found {
            match network {
                IpNet::V4(network) => v4.push(network),
                IpNet::V6(network) => v6.push(network),
            }
        }
        Ok(Networks { v4: Ipv4Net::aggregate(&v4), v6: Ipv6Net::aggregate(&v6) })
    }

    /// The address has been made canonical. Only the last network that does not begin behind it can hold it.
    fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                let behind = self.v4.partition_point(|network| network.network() <= address);
                behind > 0 && self.v4[behind - 1].contains(&address)
            }
            IpAddr::V6(address) => {
                let behind = self.v6.partition_point(|network| network.network() <= address);
                behind > 0 && self.v6[behind - 1].contains(&address)
            }
        }
    }
}

/// One network a line; `#` begins a comment.
fn read_file(path: &Path, found: &mut Vec<IpNet>) -> Result<(), Error> {
    let name = path.as_os_str().as_bytes();
    let text = contents(path)?;
    // what some editors put before the text
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
        if !line.is_empty() {
            let network = Network::parse(line).map_err(|bad| {
                let place = [name, format!(":{}", index + 1).as_bytes()].concat();
                Error::said(Op::Parse, place, bad.cause)
            })?;
            found.push(network.get());
        }
    }
    Ok(())
}

/// The whole file. Only a regular one: a FIFO would keep a server from serving until somebody writes, a device for ever.
fn contents(path: &Path) -> Result<Vec<u8>, Error> {
    let name = path.as_os_str().as_bytes();
    let failed = |error| Error::new(Op::Open, name, error);
    let refused = |why: String| Error::said(Op::Open, name, why);
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(refused("a list of networks must be a regular file".into()));
    }
    let mut text = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > LONGEST {
        return Err(refused(format!("a list of networks may have at most {} MiB", LONGEST >> 20)));
    }
    Ok(text)
}

/// Bytes that one file may have: more than half a million networks.
const LONGEST: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::io::Write;

    use super::*;
    use crate::outcome::ExitStatus;

    fn lists(words: &[&str]) -> Vec<AccessList> {
        words.iter().map(|word| AccessList::parse(OsStr::new(word)).unwrap()).collect()
    }

    fn access(allow: &[&str], deny: &[&str]) -> Access {
        Access::load(&lists(allow), &lists(deny)).unwrap()
    }

    fn permits(access: &Access, peer: &str) -> bool {
        access.permits(peer.parse().unwrap())
    }

    fn file(text: &str) -> (tempfile::NamedTempFile, String) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let word = format!("@{}", file.path().display());
        (file, word)
    }

    #[test]
    fn everybody_is_permitted_without_lists() {
        let open = access(&[], &[]);
        assert!(open.is_unlimited() && permits(&open, "192.0.2.1") && permits(&open, "2001:db8::1"));
        assert!(!access(&["::1"], &[]).is_unlimited());
    }

    #[test]
    fn only_the_allowed_are_permitted_and_a_denial_wins() {
        let access = access(&["10.0.0.0/8,192.0.2.7", "fd00::/8"], &["10.1.0.0/16", "fd00::bad"]);
        for (peer, expected) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("10.1.2.3", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("fd00::1", true),
            ("fd00::bad", false),
            ("fe80::1", false),
        ] {
            assert_eq!(permits(&access, peer), expected, "{peer}");
        }
    }

    #[test]
    fn mapped_peers_and_mapped_networks_are_ipv4() {
        let plain = access(&["127.0.0.0/8"], &[]);
        assert!(permits(&plain, "::ffff:127.0.0.1") && !permits(&plain, "::ffff:128.0.0.1"));
        let mapped = access(&["::ffff:127.0.0.0/104"], &[]);
        assert!(permits(&mapped, "127.0.0.1") && permits(&mapped, "::ffff:127.0.0.1"));
        let v6 = access(&["::/0"], &[]);
        assert!(permits(&v6, "2001:db8::1") && !permits(&v6, "::ffff:127.0.0.1"));
    }

    #[test]
    fn overlapping_networks_add_up() {
        let access = access(&["10.0.0.0/8,10.2.0.0/16,10.2.3.4,0.0.0.0/8,255.255.255.255"], &[]);
        for peer in ["10.2.3.4", "10.200.0.1", "0.0.0.0", "255.255.255.255"] {
            assert!(permits(&access, peer), "{peer}");
        }
        assert!(!permits(&access, "255.255.255.254"));
    }

    #[test]
    fn a_file_holds_a_network_a_line_and_comments() {
        let (_file, word) = file("# the office\n10.0.0.0/8  # all of it\r\n\n  ::1\t\n192.0.2.7");
        let access = access(&[&word], &[]);
        for peer in ["10.9.9.9", "::1", "192.0.2.7"] {
            assert!(permits(&access, peer), "{peer}");
        }
        assert!(!permits(&access, "192.0.2.8"));
    }

    #[test]
    fn an_empty_list_of_the_allowed_permits_nobody() {
        let (_file, word) = file("# nobody yet\n");
        assert!(!permits(&access(&[&word], &[]), "127.0.0.1"));
    }

    #[test]
    fn a_bad_line_is_named_with_its_file_and_number() {
        let (file, word) = file("10.0.0.0/8\n\n10.0.0/8\n");
        let error = Access::load(&lists(&[&word]), &[]).unwrap_err();
        let start = format!("cannot understand {}:3: \"10.0.0/8\" is not a network: ", file.path().display());
        assert!(error.line().starts_with(&start), "{error}");
        assert_eq!(error.status(), ExitStatus::Usage);
    }

    #[test]
    fn a_missing_file_is_status_2() {
        let error = Access::load(&[], &lists(&["@/nowhere/acl"])).unwrap_err();
        assert_eq!(error.line(), "cannot open /nowhere/acl: no such file or directory");
        assert_eq!(error.status(), ExitStatus::Usage);
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for path in [fifo.as_path(), Path::new("/dev/zero"), Path::new("/dev/null"), dir.path()] {
            let error = Access::load(&lists(&[&format!("@{}", path.display())]), &[]).unwrap_err();
            let expected = format!("cannot open {}: a list of networks must be a regular file", path.display());
            assert_eq!((error.line(), error.status()), (expected, ExitStatus::Usage));
        }
    }

    #[test]
    fn a_file_that_does_not_end_is_not_read_into_memory() {
        let (file, word) = file("");
        file.as_file().set_len(LONGEST + 1).unwrap();
        let error = Access::load(&lists(&[&word]), &[]).unwrap_err();
        assert!(error.line().ends_with(": a list of networks may have at most 16 MiB"), "{error}");
        assert_eq!(error.status(), ExitStatus::Usage);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_network() {
        let (_file, word) = file("\u{feff}10.0.0.1\n");
        assert!(permits(&access(&[&word], &[]), "10.0.0.1"));
    }

    // Replaced by a FIFO: the lists that were read before still hold.
    #[test]
    fn reloading_refuses_a_fifo_and_keeps_the_lists() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        fs::write(&path, "10.0.0.1\n").unwrap();
        let mut access = access(&[&format!("@{}", path.display())], &[]);
        fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(access.reload().is_err());
        assert!(permits(&access, "10.0.0.1") && !permits(&access, "10.0.0.2"));
    }

    #[test]
    fn reloading_reads_the_files_again_and_keeps_the_lists_if_that_fails() {
        let (file, word) = file("10.0.0.1\n");
        let mut access = access(&[&word, "::1"], &[]);
        fs::write(file.path(), "10.0.0.2\n").unwrap();
        access.reload().unwrap();
        let now = |access: &Access| ["10.0.0.1", "10.0.0.2", "::1"].map(|peer| permits(access, peer));
        assert_eq!(now(&access), [false, true, true]);
        fs::write(file.path(), "10.0.0.3\nnonsense\n").unwrap();
        assert!(access.reload().is_err());
        assert_eq!(now(&access), [false, true, true]);
    }
}
