//! PROXY headers around the connections of a command: what is said in front of one, and about whom.

use std::io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};

use crate::endpoint::Transport;
use crate::endpoint::open::Opened;
use crate::endpoint::socket::{Name, Socket};
use crate::error::{Error, Op};
use crate::layer::proxy_header::{Parties, write_v1, write_v2};
use crate::plan::ProxyVersion;

/// The header of this version.
pub(super) fn header(version: ProxyVersion, parties: &Parties) -> Vec<u8> {
    match version {
        ProxyVersion::V1 => write_v1(parties),
        ProxyVersion::V2 => write_v2(parties),
    }
}

/// Whom a connection that was accepted is between: its peer, and where that came to.
pub(super) fn parties(socket: &Socket) -> Parties {
    socket.ends().map_or(Parties::Own, |[peer, local]| between(peer, local))
}

fn between(from: Name, to: Name) -> Parties {
    match (from, to) {
        (Name::Inet(from), Name::Inet(to)) => Parties::Inet(from, to),
        (Name::Unix(from), Name::Unix(to)) => Parties::Unix(from, to),
        _ => Parties::Own,
    }
}

/// Sends a header in front of everything else. A peer that is gone already is left for the session to find out: what it
/// sent before may still be read.
///
/// # Errors
/// The connection does not take it.
pub(super) fn introduce(opened: &mut Opened, header: &[u8]) -> Result<(), Error> {
    let Transport::Socket(socket) = &opened.transport else {
        return Err(Error::said(Op::Write, &opened.peer, "nobody there reads a PROXY header"));
    };
    match socket.send_first(header) {
        Ok(count) if count == header.len() => Ok(()),
        Ok(_) => Err(Error::said(Op::Write, &opened.peer, "it takes no more than a part of the PROXY header")),
        Err(error) if matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected) => {
            opened.cut.get_or_insert(error);
            Ok(())
        }
        Err(error) => Err(Error::new(Op::Write, &opened.peer, error)),
    }
}

/// The header for a connection of our own: it is between our side and the peer, unless proxies lead there.
pub(super) fn own_header(opened: &Opened, version: Option<ProxyVersion>, led: bool) -> Option<Vec<u8>> {
    let own = |version| match &opened.transport {
        Transport::Socket(socket) if !led => {
            header(version, &socket.ends().map_or(Parties::Own, |[peer, local]| between(local, peer)))
        }
        _ => header(version, &Parties::Own),
    };
    version.map(own)
}
