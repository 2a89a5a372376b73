//! Records over a socket that keeps their bounds (unix(7), SOCK_SEQPACKET), for callers that know only bytes.
//!
//! The kernel cuts a record that does not fit the buffer of a read, and says so to nobody; so its length is asked
//! before. A record longer than the caller's buffer is read into one of its own and handed out from there. An empty
//! record is nothing to a stream of bytes: it is skipped, and never passed on.

use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use socket2::{SockRef, Type};

use crate::reactor::{Slot, Turn};
use crate::sys;

/// Both directions of one socket.
#[derive(Debug)]
pub(super) struct Records {
    /// What the caller's buffer had no room for. Invariant: not empty; the peer's send buffer bounds its length.
    rest: Option<io::Cursor<Vec<u8>>>,
    /// The peer closed without having read everything. The kernel says so before it gives what came earlier, which is
    /// still there.
    reset: Option<io::Error>,
    /// Most bytes of a record of ours.
    piece: usize,
}

impl Records {
    /// True for a socket whose reads and writes have to go this way.
    pub(super) fn are_kept_by(socket: BorrowedFd<'_>) -> bool {
        SockRef::from(&socket).r#type().is_ok_and(|kind| kind == Type::SEQPACKET)
    }

    /// Nothing read, nothing refused.
    pub(super) fn new() -> Self {
        Records { rest: None, reset: None, piece: PIECE }
    }

    /// Bytes of one record, the whole of it if there is room. `Some(0)` is end of file; `None` means that there were
    /// only empty records so far and that it is somebody else's turn now.
    ///
    /// # Errors
    /// WouldBlock, and what else recv(2) says.
    pub(super) fn read(&mut self, socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if self.rest.is_some() {
            return Ok(Some(self.hand_out(buffer)));
        }
        for _ in 0..EMPTY {
            let length = match sys::record_length(socket) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset && self.reset.is_none() => {
                    self.reset = Some(error);
                    continue;
                }
                length => length?,
            };
            if length > buffer.len() {
                let mut record = vec![0; length];
                let count = sys::receive(socket, &mut record)?;
                record.truncate(count);
                self.rest = Some(io::Cursor::new(record));
                return Ok(Some(self.hand_out(buffer)));
            }
            if length == 0 && sys::is_record_end(socket) {
                return self.reset.take().map_or(Ok(Some(0)), Err);
            }
            match sys::receive(socket, buffer)? {
                0 => {}
                count => return Ok(Some(count)),
            }
        }
        Ok(None)
    }

    fn hand_out(&mut self, buffer: &mut [u8]) -> usize {
        let Some(rest) = &mut self.rest else { return 0 };
        let left = rest.get_ref().len() - rest.position() as usize;
        let count = rest.read(buffer).unwrap_or_default();
        if count == left {
            self.rest = None;
        }
        count
    }

    /// Sends one record: `bytes`, or as much of them as a record can be.
    ///
    /// # Errors
    /// What send(2) says; EMSGSIZE only for a single byte.
    pub(super) fn write(&mut self, socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let count = bytes.len().min(self.piece);
            match sys::send(socket, &bytes[..count]) {
                // a record must fit the send buffer as a whole, and that can be made small (`sndbuf=`)
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) && count > 1 => self.piece = count / 2,
                result => return result,
            }
        }
    }
}

/// What a read says that [`Records::read`] gave `None`: the latch stays as it is, and since no event may come, a turn is
/// asked for.
pub(super) fn come_back(turn: &mut Turn, slot: Option<Slot>) -> io::Error {
    if let Some(slot) = slot {
        turn.arm(slot);
    }
    io::ErrorKind::WouldBlock.into()
}

/// The longest record of ours: any receiver should be able to take it.
const PIECE: usize = 64 * 1024;

/// Empty records skipped in one read: a peer that sends nothing else must not hold the loop.
const EMPTY: usize = 64;

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::endpoint::testing::seqpacket_pair;

    /// Everything that reads of `room` bytes give before the end, and the length of each.
    fn heard(room: usize, records: &[&[u8]]) -> (Vec<u8>, Vec<usize>) {
        let (near, far) = seqpacket_pair();
        for record in records {
            assert_eq!(sys::send(far.as_fd(), record).unwrap(), record.len());
        }
        let mut reader = Records::new();
        let (mut bytes, mut lengths, mut buffer) = (Vec::new(), Vec::new(), vec![0; room]);
        let mut read = |reader: &mut Records| -> io::Result<bool> {
            match reader.read(near.as_fd(), &mut buffer)? {
                Some(0) => Ok(true),
                Some(count) => {
                    lengths.push(count);
                    bytes.extend(&buffer[..count]);
                    Ok(false)
                }
                None => Ok(false),
            }
        };
        // the first half of the reads happens while the peer may still say more
        let stop = loop {
            match read(&mut reader) {
                Ok(ended) => assert!(!ended, "an end that nobody has sent"),
                Err(error) => break error,
            }
        };
        assert_eq!(stop.kind(), io::ErrorKind::WouldBlock);
        for record in records {
            assert_eq!(sys::send(far.as_fd(), record).unwrap(), record.len());
        }
        drop(far);
        while !read(&mut reader).unwrap() {}
        (bytes, lengths)
    }

    #[test]
    fn a_record_that_fits_comes_in_one_read() {
        assert_eq!(heard(5, &[b"hello", b"abc"]), (b"helloabchelloabc".to_vec(), vec![5, 3, 5, 3]));
    }

    #[test]
    fn a_record_that_does_not_fit_comes_in_several_reads() {
        assert_eq!(heard(4, &[b"0123456789", b"ab"]).1, [4, 4, 2, 2, 4, 4, 2, 2]);
        assert_eq!(heard(4, &[b"0123456789", b"ab"]).0, b"0123456789ab0123456789ab");
    }

    #[test]
    fn an_empty_record_is_no_end_of_file() {
        for records in [&[&b""[..], b"a"][..], &[b"a", b"", b""], &[b"", b"", b"a", b"", b""]] {
            assert_eq!(heard(3, records).0, b"aa", "{records:?}");
        }
        assert_eq!(heard(3, &[b"", b""]).0, b"");
    }

    #[test]
    fn many_empty_records_are_not_skipped_in_one_go() {
        let (near, far) = seqpacket_pair();
        for _ in 0..=EMPTY {
            sys::send(far.as_fd(), b"").unwrap();
        }
        sys::send(far.as_fd(), b"after").unwrap();
        let (mut reader, mut buffer) = (Records::new(), [0; 10]);
        assert_eq!(reader.read(near.as_fd(), &mut buffer).unwrap(), None);
        assert_eq!(reader.read(near.as_fd(), &mut buffer).unwrap(), Some(5));
    }

    #[test]
    fn what_came_before_a_reset_is_read_before_it() {
        let (near, far) = seqpacket_pair();
        sys::send(near.as_fd(), b"never read").unwrap();
        sys::send(far.as_fd(), b"reply").unwrap();
        drop(far);
        let (mut reader, mut buffer) = (Records::new(), [0; 3]);
        assert_eq!(reader.read(near.as_fd(), &mut buffer).unwrap(), Some(3));
        assert_eq!(reader.read(near.as_fd(), &mut buffer).unwrap(), Some(2));
        assert_eq!(reader.read(near.as_fd(), &mut buffer).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(reader.read(near.as_fd(), &mut buffer).unwrap(), Some(0));
    }

    #[test]
    fn what_a_small_send_buffer_refuses_goes_in_smaller_records() {
        let (near, far) = seqpacket_pair();
        socket2::SockRef::from(&near).set_send_buffer_size(4096).unwrap();
        let (mut writer, mut sent) = (Records::new(), 0);
        let (bytes, mut got, mut buffer) = (vec![7u8; 100_000], Vec::<u8>::new(), vec![0; 100_000]);
        while sent < bytes.len() {
            sent += writer.write(near.as_fd(), &bytes[sent..]).unwrap();
            let count = sys::receive(far.as_fd(), &mut buffer).unwrap();
            got.extend(&buffer[..count]);
        }
        assert!(got == bytes, "{} bytes", got.len());
    }
}
