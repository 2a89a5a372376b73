//! A datagram socket that is pointed at one place.

use std::time::Duration;

use crate::datagram::{DatagramSocket, Outbox, Peer};
use crate::endpoint::udp::{Course, Pointed};
use crate::error::{Cause, Error, Op};
use crate::event::Event;
use crate::outcome::ExitStatus;
use crate::reactor::Turn;

/// The socket in use, and what is known of it.
pub(super) struct Line {
    /// It, as it was opened.
    pub(super) pointed: Pointed,
    /// A descriptor of its own for the same socket.
    pub(super) socket: DatagramSocket,
    /// Where each datagram goes, if it is not connected.
    pub(super) to: Option<Peer>,
}

impl Line {
    /// Opens the next address that works.
    ///
    /// # Errors
    /// None is left.
    pub(super) fn open(course: &mut Course) -> Result<Self, Error> {
        let pointed = course.open_next()?;
        let fd = pointed.fd.try_clone().map_err(|error| Error::new(Op::Open, "the socket", error))?;
        let socket = if pointed.protocol == "udp" { DatagramSocket::ip(fd) } else { DatagramSocket::unix(fd) };
        socket.prepare(false);
        let to = pointed.to.map(Peer::Ip);
        Ok(Line { pointed, socket, to })
    }

    /// Registers it with the reactor.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub(super) fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.socket.start(turn).map_err(|error| Error::new(Op::Open, "the event loop", error))
    }

    /// What is told of it.
    pub(super) fn connected(&self) -> Event {
        let Pointed { protocol, peer, local, .. } = &self.pointed;
        Event::Connected { session: 1, protocol, peer: peer.clone(), local: local.clone(), secured: None }
    }

    /// Room for what is sent over it.
    pub(super) fn outbox(&self) -> Outbox {
        Outbox::with_room_for(self.limit(), !self.socket.is_unix())
    }

    /// What is told of too few answers within `wait`: `counts` are what was sent and what was received.
    pub(super) fn late(&self, wait: Duration, wanted: u64, counts: [u64; 2]) -> Error {
        let (peer, wait) = (&self.pointed.peer, humantime::format_duration(wait));
        let headline = match counts[1] {
            0 => format!("{peer} did not answer within {wait}"),
            got => format!("{peer} sent {got} of {wanted} answers within {wait}"),
        };
        let were = if counts[0] == 1 { "datagram was" } else { "datagrams were" };
        let error = Error::begun(headline, Cause::Said(format!("{} {were} sent", counts[0])));
        error.with_status(ExitStatus::TimeLimit)
    }

    /// The most bytes of a datagram.
    pub(super) fn limit(&self) -> usize {
        self.pointed.most.0
    }
}
