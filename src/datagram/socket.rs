//! A datagram socket of the reactor: latches around the calls of [`Inbox`] and [`Outbox`].

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use mio::unix::SourceFd;

use super::{Flushed, Inbox, Outbox, Refusal, Stop};
use crate::reactor::{Slot, Turn};
use crate::sys;

/// A bound or connected socket of IP or Unix datagrams, non-blocking.
#[derive(Debug)]
pub struct DatagramSocket {
    fd: OwnedFd,
    /// `None` before `start` and after `close`.
    slot: Option<Slot>,
    unix: bool,
    /// No event tells that there is room again.
    untold: bool,
}

impl DatagramSocket {
    /// Takes a socket of IP datagrams that is ready for use.
    pub fn ip(fd: OwnedFd) -> Self {
        DatagramSocket { fd, slot: None, unix: false, untold: false }
    }

    /// Takes a socket of Unix datagrams that is ready for use.
    pub fn unix(fd: OwnedFd) -> Self {
        DatagramSocket { fd, slot: None, unix: true, untold: false }
    }

    /// Takes a socket of Unix datagrams that is connected to nobody. One that is sent to has a queue of its own, of which
    /// the kernel tells nothing here (unix(7) sockets are waited for by who is connected to them): a flush that was
    /// stopped by [`Stop::Full`] is to be tried again after a while.
    pub fn unix_to_many(fd: OwnedFd) -> Self {
        DatagramSocket { fd, slot: None, unix: true, untold: true }
    }

    /// True if no event follows on [`Stop::Full`].
    pub fn is_untold(&self) -> bool {
        self.untold
    }

    /// True for a socket of Unix datagrams.
    pub fn is_unix(&self) -> bool {
        self.unix
    }

    /// Has the kernel hand over joined datagrams, where it can; and tell what it drops, where it can. With `exact` it
    /// joins none, so that each datagram that is dropped counts as one.
    pub fn prepare(&self, exact: bool) {
        if self.unix {
            return;
        }
        if !exact {
            // without it a receive gives one datagram, which is only slower
            let _ = sys::join_arrivals(self.fd.as_fd());
        }
        // without it what is dropped here looks as if the network had lost it
        let _ = sys::tell_drops(self.fd.as_fd());
    }

    /// Has the kernel tell, where it can, which of the datagrams of this unconnected socket were refused.
    pub fn hear_refusals(&self, ipv6: bool) {
        if !self.unix {
            // without it nobody learns of them, as is usual with datagrams
            let _ = sys::keep_refusals(self.fd.as_fd(), ipv6);
        }
    }

    /// The oldest refusal that was not taken yet; ask after a call has failed.
    pub fn take_refusal(&self) -> Option<Refusal> {
        if self.unix { None } else { sys::take_refusal(self.fd.as_fd()).ok() }
    }

    /// Registers it with the reactor.
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

    /// True when a receive is worth a try.
    pub fn can_read(&self, turn: &Turn) -> bool {
        self.slot.is_some_and(|slot| turn.latch(slot).read)
    }

    /// True when a send is worth a try.
    pub fn can_write(&self, turn: &Turn) -> bool {
        self.slot.is_some_and(|slot| turn.latch(slot).write)
    }

    /// One receive into `inbox`; how many runs came.
    ///
    /// # Errors
    /// As [`Inbox::receive`].
    pub fn receive(&self, turn: &mut Turn, inbox: &mut Inbox) -> io::Result<usize> {
        if !self.can_read(turn) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = inbox.receive(self.fd.as_fd());
        if let Err(error) = &result
            && error.kind() == io::ErrorKind::WouldBlock
            && let Some(slot) = self.slot
        {
            turn.read_would_block(slot);
        }
        result
    }

    /// Sends what waits in `outbox`, as far as the kernel takes it.
    pub fn flush(&self, turn: &mut Turn, outbox: &mut Outbox) -> Flushed {
        if !outbox.is_empty() && !self.can_write(turn) {
            return Flushed { datagrams: 0, bytes: 0, stop: Stop::Full };
        }
        let flushed = outbox.flush(self.fd.as_fd());
        if let (Stop::Full, Some(slot), false) = (&flushed.stop, self.slot, self.untold) {
            turn.write_would_block(slot);
        }
        flushed
    }

    /// Packets that the kernel has dropped so far for want of room in the receive buffer; `None` if it does not say.
    pub fn drops(&self) -> Option<u32> {
        sys::drops_so_far(self.fd.as_fd())
    }

    /// The descriptor, for questions and options.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Takes it out of the poll, for another task or thread.
    pub fn unregistered(mut self, turn: &mut Turn) -> Self {
        if let Some(slot) = self.slot.take() {
            turn.deregister(&mut SourceFd(&self.fd.as_raw_fd()), slot);
        }
        self
    }

    /// Its descriptor, for who uses it in another way.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Takes it out of the poll and closes it; what the kernel took is still sent.
    pub fn close(mut self, turn: &mut Turn) {
        if let Some(slot) = self.slot.take() {
            turn.deregister(&mut SourceFd(&self.fd.as_raw_fd()), slot);
        }
    }
}
