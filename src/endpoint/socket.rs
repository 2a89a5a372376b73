//! A connected stream or seqpacket socket: one descriptor, both directions.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use socket2::{SockAddr, SockRef, TcpKeepalive};

use super::records::{self, Records};
use super::{Transport, printed, retry_interrupted};
use crate::reactor::{Slot, Turn};
use crate::sys;

/// What kind of socket it is, as far as moving bytes is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// TCP and MPTCP.
    Tcp,
    /// A Unix stream socket.
    Unix,
    /// A Unix socket that keeps the bounds of records.
    Seqpacket,
}

/// A connected socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    family: Family,
    /// False for a description that another process shares: then splice would sleep in it.
    private: bool,
    /// What one write gives does not share a segment with the next.
    apart: bool,
    /// `Some` where reads and writes are records.
    records: Option<Box<Records>>,
    /// `None` before `start` and after `close`.
    slot: Option<Slot>,
}

/// What one side of a connection is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// An address and a port.
    Inet(SocketAddr),
    /// A path, or a 0 and an abstract name; empty for a socket without one.
    Unix(Vec<u8>),
}

impl Name {
    fn of(address: &SockAddr) -> Self {
        match (address.as_socket(), address.as_pathname(), address.as_abstract_namespace()) {
            (Some(address), ..) => Name::Inet(address),
            (_, Some(path), _) => Name::Unix(path.as_os_str().as_encoded_bytes().to_vec()),
            (_, _, Some(name)) => Name::Unix([b"\0", name].concat()),
            _ => Name::Unix(Vec::new()),
        }
    }
}

impl Transport {
    /// Writes what there is room for of both, the one behind the other; perhaps of the first only.
    ///
    /// # Errors
    /// As [`Transport::write`].
    pub fn write_both(&mut self, turn: &mut Turn, first: &[u8], second: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Socket(socket) if !first.is_empty() => {
                retry_interrupted(|| socket.write_both(turn, first, second))
            }
            _ => self.write(turn, if first.is_empty() { second } else { first }),
        }
    }
}

impl Socket {
    /// A socket of our own; it must be non-blocking.
    pub fn own(fd: OwnedFd, family: Family) -> Self {
        Socket::new(fd, family, true)
    }

    /// A socket that another process may share: it is used with MSG_DONTWAIT and never spliced.
    pub fn shared(fd: OwnedFd, family: Family) -> Self {
        Socket::new(fd, family, false)
    }

    fn new(fd: OwnedFd, family: Family, private: bool) -> Self {
        let records = (family == Family::Seqpacket).then(|| Box::new(Records::new()));
        Socket { fd, family, private, apart: false, records, slot: None }
    }

    /// Its kind.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Registers it with the reactor, unless that was done while it was being dialled.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub fn start(&mut self, turn: &mut Turn) -> io::Result<()> {
        if self.slot.is_none() {
            self.slot = Some(turn.register(&mut SourceFd(&self.fd.as_raw_fd()))?);
        }
        Ok(())
    }

    /// Its registration, once there is one.
    pub fn slot(&self) -> Option<Slot> {
        self.slot
    }

    /// True when a read is worth a try.
    pub fn can_read(&self, turn: &Turn) -> bool {
        self.slot.is_some_and(|slot| turn.latch(slot).read)
    }

    /// True when a write is worth a try.
    pub fn can_write(&self, turn: &Turn) -> bool {
        self.slot.is_some_and(|slot| turn.latch(slot).write)
    }

    /// True if an event told of more than plain readiness: a hang-up, an error, an urgent byte.
    pub fn is_odd(&self, turn: &Turn) -> bool {
        self.slot.is_some_and(|slot| turn.latch(slot).odd)
    }

    /// One receive. `Ok(0)` is end of file.
    ///
    /// # Errors
    /// WouldBlock; ECONNRESET and the like, each told once by the kernel.
    pub fn read(&mut self, turn: &mut Turn, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.can_read(turn) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = match &mut self.records {
            None => sys::receive(self.fd.as_fd(), buffer),
            Some(records) => match records.read(self.fd.as_fd(), buffer) {
                Ok(None) => return Err(records::come_back(turn, self.slot)),
                result => result.map(Option::unwrap_or_default),
            },
        };
        match &result {
            Ok(count) if *count > 0 && *count < buffer.len() => self.short_read(turn),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.read_would_block(turn),
            Err(_) => {}
        }
        result
    }

    /// A short read of TCP emptied the queue: what comes later raises an edge. Not so after an urgent byte, and not once
    /// the peer closed (no further edge may come). A Unix socket ends a read also behind a packet that came with
    /// descriptors, whatever waits behind that (unix(7), SCM_RIGHTS).
    fn short_read(&self, turn: &mut Turn) {
        if sys::SHORT_READ_EMPTIES
            && self.family == Family::Tcp
            && let Some(slot) = self.slot
            && !turn.latch(slot).odd
        {
            turn.read_would_block(slot);
        }
    }

    /// Looks at what was received and leaves it there. `Ok(0)` is end of file.
    ///
    /// # Errors
    /// As [`Socket::read`].
    pub fn peek(&self, turn: &mut Turn, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.can_read(turn) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = sys::peek(self.fd.as_fd(), buffer);
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.read_would_block(turn);
        }
        result
    }

    /// The first bytes of a fresh connection, of which the kernel takes some thousand at once.
    ///
    /// # Errors
    /// What send(2) says.
    pub fn send_first(&self, bytes: &[u8]) -> io::Result<usize> {
        sys::send(self.fd.as_fd(), bytes)
    }

    /// The names of the peer and of our side.
    ///
    /// # Errors
    /// ENOTCONN where the peer is gone already.
    pub fn ends(&self) -> io::Result<[Name; 2]> {
        let socket = SockRef::from(&self.fd);
        Ok([socket.peer_addr()?, socket.local_addr()?].map(|address| Name::of(&address)))
    }

    /// Our side, as printed.
    pub fn local(&self) -> String {
        let local = SockRef::from(&self.fd).local_addr();
        local.map_or_else(|_| printed::UNNAMED.into(), |address| printed::name(&address))
    }

    /// Its descriptor, out of the reactor, for who uses it in another way.
    pub fn into_fd(mut self, turn: &mut Turn) -> OwnedFd {
        self.stop(turn);
        self.fd
    }

    /// Sends pages of a file. `Ok(0)` is the end of the file.
    ///
    /// # Errors
    /// WouldBlock; Unsupported where that cannot be; EPIPE and ECONNRESET.
    pub fn send_file(&mut self, turn: &mut Turn, file: BorrowedFd<'_>, offset: u64, most: usize) -> io::Result<usize> {
        if !self.can_write(turn) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = sys::send_file(self.fd.as_fd(), file, offset, most);
        self.noted(turn, result)
    }

    /// Takes it out of the reactor again, for another task or thread.
    pub fn stop(&mut self, turn: &mut Turn) {
        if let Some(slot) = self.slot.take() {
            turn.deregister(&mut SourceFd(&self.fd.as_raw_fd()), slot);
        }
    }

    /// One send.
    ///
    /// # Errors
    /// WouldBlock; EPIPE and ECONNRESET.
    pub fn write(&mut self, turn: &mut Turn, bytes: &[u8]) -> io::Result<usize> {
        if !self.can_write(turn) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = match &mut self.records {
            None if self.apart => sys::send_apart(self.fd.as_fd(), bytes),
            None => sys::send(self.fd.as_fd(), bytes),
            Some(records) => records.write(self.fd.as_fd(), bytes),
        };
        self.noted(turn, result)
    }

    /// One send of both, the one behind the other; of the first only, where bounds of records are kept.
    fn write_both(&mut self, turn: &mut Turn, first: &[u8], second: &[u8]) -> io::Result<usize> {
        if self.records.is_some() || !self.can_write(turn) {
            return self.write(turn, if first.is_empty() { second } else { first });
        }
        if self.apart {
            // what is chopped small has no gain from one call for both
            let bytes = if first.is_empty() { second } else { first };
            return self.write(turn, bytes);
        }
        let result = sys::send_both(self.fd.as_fd(), first, second);
        self.noted(turn, result)
    }

    /// Takes note of a send that found no room.
    fn noted(&self, turn: &mut Turn, result: io::Result<usize>) -> io::Result<usize> {
        if let Err(error) = &result
            && error.kind() == io::ErrorKind::WouldBlock
        {
            self.write_would_block(turn);
        }
        result
    }

    /// From now on what one write gives is sent at once, in a segment of its own; other sockets have no segments. Where
    /// that cannot be set the connection goes on.
    pub fn send_apart(&mut self) {
        if self.family == Family::Tcp {
            self.apart = true;
            let _ = SockRef::from(&self.fd).set_tcp_nodelay(true);
        }
    }

    /// Drops received bytes in the kernel. `Ok(0)` is end of file.
    ///
    /// # Errors
    /// WouldBlock; EFAULT or Unsupported where only a real read works.
    pub fn discard(&mut self, turn: &mut Turn, most: usize) -> io::Result<usize> {
        if self.family != Family::Tcp {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if !self.can_read(turn) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = sys::discard(self.fd.as_fd(), most);
        if let Err(error) = &result
            && error.kind() == io::ErrorKind::WouldBlock
        {
            self.read_would_block(turn);
        }
        result
    }

    /// Clears the read latch: only after WouldBlock from this socket.
    pub fn read_would_block(&self, turn: &mut Turn) {
        if let Some(slot) = self.slot {
            turn.read_would_block(slot);
        }
    }

    /// Clears the write latch: only after WouldBlock from this socket.
    pub fn write_would_block(&self, turn: &mut Turn) {
        if let Some(slot) = self.slot {
            turn.write_would_block(slot);
        }
    }

    /// The descriptor for splice(2); `None` where it would sleep, or tear messages apart.
    pub fn spliceable(&self) -> Option<BorrowedFd<'_>> {
        (self.private && self.family != Family::Seqpacket).then(|| self.fd.as_fd())
    }

    /// The descriptor, for questions.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Sends FIN: everything accepted so far is delivered first.
    ///
    /// # Errors
    /// ENOTCONN when the peer has reset the connection.
    pub fn shut_write(&self) -> io::Result<()> {
        SockRef::from(&self.fd).shutdown(Shutdown::Write)
    }

    /// Has the kernel ask a TCP peer from which nothing more comes whether it is still there: the kernel of one that has
    /// closed answers by a reset once it has forgotten the connection. Where that cannot be set the connection goes on.
    pub fn probe(&self) {
        if self.family == Family::Tcp {
            let often = TcpKeepalive::new().with_time(PROBE_EVERY).with_interval(PROBE_EVERY).with_retries(PROBES);
            let _ = SockRef::from(&self.fd).set_tcp_keepalive(&often);
        }
    }

    /// Bytes sent and not yet acknowledged (Unix: not yet read); 0 where the system cannot say.
    pub fn unsent(&self) -> usize {
        sys::unsent(self.fd.as_fd()).unwrap_or(0)
    }

    /// The error that the kernel keeps for this socket, taken. Once the peer's FIN is there a read says 0 for ever, even
    /// if a reset came after it (tcp_recvmsg), so that only this tells.
    pub fn take_error(&self) -> Option<io::Error> {
        SockRef::from(&self.fd).take_error().ok().flatten()
    }

    /// Takes it out of the poll and closes it; with `reset` the peer is told that this was no orderly end.
    pub fn close(mut self, turn: &mut Turn, reset: bool) {
        match self.slot.take() {
            // nobody else holds it: the kernel takes it out of the poll by itself
            Some(slot) if self.private => turn.release(slot),
            Some(slot) => turn.deregister(&mut SourceFd(&self.fd.as_raw_fd()), slot),
            None => {}
        }
        if !self.private {
            // others may hold it open, with options that are theirs: the peer still learns that haul is done
            let _ = SockRef::from(&self.fd).shutdown(Shutdown::Both);
        } else if reset {
            sys::arm_reset(self.fd.as_fd());
        }
    }

    /// Takes over the registration made while the socket was being dialled.
    pub fn with_slot(mut self, slot: Slot) -> Self {
        self.slot = Some(slot);
        self
    }
}

/// How long a probed connection may be silent before the kernel asks, and how long it waits for each answer.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Questions without an answer that mean that the peer is gone.
const PROBES: u32 = 3;

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, Read, Write};
    use std::mem::MaybeUninit;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

    use super::*;
    use crate::reactor::testing::Bench;

    // The kernel ends a read behind a packet that came with descriptors, whatever waits behind it: no edge tells of that.
    #[test]
    fn what_stands_behind_a_descriptor_in_a_unix_socket_is_read_without_another_event() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let rights = [theirs.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&rights)));
        let sent = rustix::net::sendmsg(&theirs, &[IoSlice::new(b"abc")], &mut control, SendFlags::empty()).unwrap();
        assert_eq!(sent, 3);
        assert_eq!((&theirs).write(b"def").unwrap(), 3);
        ours.set_nonblocking(true).unwrap();
        let mut bench = Bench::new();
        let slot = bench.turn().always_ready();
        let mut socket = Socket::own(ours.into(), Family::Unix).with_slot(slot);
        let (mut heard, mut buffer) = (Vec::<u8>::new(), [0; 100]);
        while let Ok(count) = socket.read(&mut bench.turn(), &mut buffer) {
            heard.extend(&buffer[..count]);
        }
        assert_eq!(heard, b"abcdef");
    }

    #[test]
    fn what_is_sent_apart_stays_apart_also_behind_something_else() {
        if !sys::SPLICE {
            return; // a platform file that cannot keep segments apart
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut bench = Bench::new();
        let slot = bench.turn().always_ready();
        let mut socket = Socket::own(ours.into(), Family::Tcp).with_slot(slot);
        socket.send_apart();
        let mut transport = Transport::Socket(socket);
        for _ in 0..100 {
            let mut first: &[u8] = b"head";
            loop {
                let count = transport.write_both(&mut bench.turn(), first, b"tail").unwrap();
                let said = count.min(first.len());
                first = &first[said..];
                if count > said || said == 0 {
                    break;
                }
            }
        }
        let mut heard = [0; 800];
        theirs.read_exact(&mut heard).unwrap();
        assert_eq!(heard.to_vec(), b"headtail".repeat(100));
        let segments = sys::testing::data_segments_received(theirs.as_fd());
        assert!(segments >= 200, "200 writes came by {segments} segments");
    }
}
