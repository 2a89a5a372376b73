//! Receiving: buffers that are used again and again, and what the last receive put there.

use std::io;
use std::os::fd::BorrowedFd;

use super::room::Room;
use crate::sys::{self, Arrival, LocalIp, Manner, Peer};

/// One datagram of the last receive.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// What it carries; may be empty.
    pub payload: &'a [u8],
    /// Who sent it.
    pub from: &'a Peer,
    /// It was longer than the buffer, and `payload` is only its beginning.
    pub truncated: bool,
}

/// Datagrams of one sender that the kernel handed over as one: all of one length but the last, which may be shorter.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Their payloads, one behind the other; nothing of them in an inbox that only counts.
    pub bytes: &'a [u8],
    /// How long the payloads are together.
    pub length: usize,
    /// The length of each but the last; 0 only for a single empty datagram.
    pub segment: usize,
    /// Who sent them.
    pub from: &'a Peer,
    /// The address of this host that they were sent to, where the socket tells; `None` also for a group or a broadcast.
    pub to: Option<LocalIp>,
    /// A single datagram that was longer than the buffer.
    pub truncated: bool,
    /// Packets that the kernel has dropped in all before these for want of room, as far as it told.
    pub drops: u32,
}

impl<'a> Run<'a> {
    /// How many datagrams there are, at least one.
    pub fn count(&self) -> usize {
        self.length.div_ceil(self.segment.max(1)).max(1)
    }

    /// The first of them, at most `most`: how many, and how many bytes.
    pub fn first(&self, most: u64) -> (u64, usize) {
        let count = self.count() as u64;
        match most < count {
            true => (most, most as usize * self.segment),
            false => (count, self.length),
        }
    }

    /// Each of them, in order of arrival.
    pub fn datagrams(self) -> impl Iterator<Item = Datagram<'a>> {
        (0..self.count()).map(move |index| {
            let start = (index * self.segment).min(self.bytes.len());
            let end = (start + self.segment).min(self.bytes.len());
            Datagram { payload: &self.bytes[start..end], from: self.from, truncated: self.truncated }
        })
    }
}

/// Buffers for receiving.
#[derive(Debug)]
pub struct Inbox {
    /// One part of `each` bytes for every arrival. Untouched parts take no memory.
    buffer: Room,
    each: usize,
    arrivals: Box<[Arrival]>,
    /// Arrivals of the last receive. Invariant: `filled <= arrivals.len()`.
    filled: usize,
    /// Arrivals to ask for next.
    batch: usize,
    manner: Manner,
    drops: u32,
    truncated: u64,
}

impl Inbox {
    /// For sockets of IP: no datagram is too long for it, joined ones included.
    pub fn new() -> Self {
        Inbox::sized(ROOM, BATCH, Manner { control: true, whole_length: false })
    }

    /// For sockets of IP whose payloads nobody wants: they stay in the kernel, and all that is told is how long they are.
    /// Where the system cannot do that they are received as usual.
    pub fn counting() -> Self {
        match sys::TELLS_LENGTHS {
            true => Inbox::sized(1, BATCH, Manner { control: true, whole_length: true }),
            false => Inbox::new(),
        }
    }

    /// For Unix sockets, where a datagram may be as long as the sender's buffer: what is longer than `most` bytes is cut.
    pub fn unix(most: usize) -> Self {
        Inbox::sized(most.max(1), BATCH, Manner { control: false, whole_length: false })
    }

    fn sized(each: usize, count: usize, manner: Manner) -> Self {
        let count = count.min(sys::MOST_ARRIVALS);
        let arrivals = vec![Arrival::default(); count].into_boxed_slice();
        let buffer = Room::new(each * count);
        Inbox { buffer, each, arrivals, filled: 0, batch: 1, manner, drops: 0, truncated: 0 }
    }

    /// Takes what the socket has, up to the room there is; what the last receive gave is gone. How many runs came, at
    /// least one.
    ///
    /// # Errors
    /// WouldBlock. Anything else is about a datagram sent earlier through this socket (ECONNREFUSED: nobody listens
    /// there), told once, and no reason to stop receiving.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.filled = 0;
        loop {
            let arrivals = &mut self.arrivals[..self.batch];
            match sys::receive_datagrams(socket, &mut self.buffer, self.each, self.manner, arrivals) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    self.filled = result?.min(self.arrivals.len());
                    break;
                }
            }
        }
        let mut bytes = 0;
        for arrival in &mut self.arrivals[..self.filled] {
            bytes += arrival.length;
            arrival.truncated &= !self.manner.whole_length;
            self.truncated += u64::from(arrival.truncated);
            if arrival.drops != 0 {
                self.drops = arrival.drops;
            }
        }
        // a call more is cheap beside many bytes, which are best used while they are in the cache
        self.batch = if bytes >= self.filled * MANY && !self.manner.whole_length { 1 } else { self.arrivals.len() };
        Ok(self.filled)
    }

    /// What the last receive gave, as the kernel gave it.
    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        self.buffer.chunks_exact(self.each).zip(&self.arrivals[..self.filled]).map(|(part, arrival)| Run {
            bytes: &part[..if self.manner.whole_length { 0 } else { arrival.length.min(part.len()) }],
            length: arrival.length,
            segment: arrival.segment,
            from: &arrival.from,
            to: arrival.to,
            truncated: arrival.truncated,
            drops: arrival.drops,
        })
    }

    /// What the last receive gave, datagram by datagram, in order of arrival.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.runs().flat_map(Run::datagrams)
    }

    /// Packets that the kernel has dropped for want of room, as of the last arrival that told; joined datagrams were one
    /// packet. [`DatagramSocket::drops`](super::DatagramSocket::drops) also knows what was dropped after the last arrival.
    pub fn drops(&self) -> u32 {
        self.drops
    }

    /// Datagrams so far that were longer than the buffer.
    pub fn truncated(&self) -> u64 {
        self.truncated
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox::new()
    }
}

/// What joined datagrams can fill.
const ROOM: usize = 64 * 1024;

/// Arrivals in one call, as long as they are small.
const BATCH: usize = 8;

/// Bytes of an arrival that is worth a call of its own.
const MANY: usize = 16 * 1024;
