//! A port where each peer that knocks is given a socket of its own: UDP's stand-in for accepting.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use socket2::{Domain, SockAddr, Socket, Type};

use super::widen;
use crate::endpoint::options;
use crate::error::Error;
use crate::plan::address::Options;
use crate::reactor::{Slot, Turn};
use crate::sys;

/// A bound socket that hears those who are not known yet; the kernel gives what known ones send to their own sockets.
#[derive(Debug)]
pub struct Door {
    socket: Socket,
    local: SocketAddr,
    slot: Option<Slot>,
}

impl Door {
    /// Binds this address; sockets of the same kind may share it.
    ///
    /// # Errors
    /// Somebody else has the port.
    pub fn open(local: SocketAddr) -> io::Result<Self> {
        Ok(Door { socket: bound(local)?, local, slot: None })
    }

    /// Where it is.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Registers it.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub fn start(&mut self, turn: &mut Turn) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        self.slot = Some(turn.register(&mut mio::unix::SourceFd(&self.socket.as_raw_fd()))?);
        Ok(())
    }

    /// What the next stranger says, and who it is.
    ///
    /// # Errors
    /// WouldBlock, and what an earlier answer has led to.
    pub fn knock(&self, turn: &mut Turn, said: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let Some(slot) = self.slot.filter(|slot| turn.latch(*slot).read) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let socket = std::net::UdpSocket::from(self.socket.try_clone()?);
        let heard = socket.recv_from(said);
        if matches!(&heard, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            turn.read_would_block(slot);
        }
        heard
    }

    /// A socket for this peer alone.
    ///
    /// # Errors
    /// What the system says, or an option that does not work.
    pub fn admit(&self, peer: SocketAddr, options: &Options) -> io::Result<Result<OwnedFd, Error>> {
        let socket = bound(self.local)?;
        socket.connect(&SockAddr::from(peer))?;
        widen(&socket, options);
        Ok(options::tune_datagrams(options, &socket, peer.is_ipv6()).map(|()| socket.into()))
    }

    /// Takes it out of the poll and closes it.
    pub fn close(mut self, turn: &mut Turn) {
        use std::os::fd::AsRawFd;
        if let Some(slot) = self.slot.take() {
            turn.deregister(&mut mio::unix::SourceFd(&self.socket.as_raw_fd()), slot);
        }
    }
}

fn bound(local: SocketAddr) -> io::Result<Socket> {
    let socket = sys::socket(Domain::for_address(local), Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    if local.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&SockAddr::from(local))?;
    Ok(socket)
}

impl AsFd for Door {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
