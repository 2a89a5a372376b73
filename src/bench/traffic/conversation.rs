//! A connection that calls may wait in, for requests and their answers; with the layers that stand on it.

use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::layered::Layered;
use crate::bench::latency::{TICK, Timed, is_timeout};
use crate::datagram::DatagramSocket;
use crate::error::Error;
use crate::layer::HalfClose;
use crate::layer::stack::{Packed, Stack};
use crate::reactor::Turn;
use crate::sys;

/// What requests go over, while no thread uses it.
#[derive(Debug)]
pub enum Conversation {
    /// A stream, and what stands on it.
    Stream(Blocking, Option<Box<Packed>>),
    /// A connected socket of datagrams.
    Datagrams(UdpSocket),
}

/// A stream socket.
#[derive(Debug)]
pub enum Blocking {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Conversation {
    /// Over this connection.
    ///
    /// # Errors
    /// What fcntl(2) and setsockopt(2) say.
    pub fn new(turn: &mut Turn, mut over: Layered) -> io::Result<Self> {
        over.send_apart();
        let (fd, is_unix, layers) = over.into_blocking(turn);
        sys::set_blocking(fd.as_fd(), TICK)?;
        let socket = if is_unix { Blocking::Unix(fd.into()) } else { Blocking::Tcp(fd.into()) };
        Ok(Conversation::Stream(socket, layers))
    }

    /// Over this socket of datagrams, which is registered with no reactor.
    ///
    /// # Errors
    /// As [`Conversation::new`].
    pub fn datagrams(socket: DatagramSocket) -> io::Result<Self> {
        let fd: OwnedFd = socket.into_fd();
        sys::set_blocking(fd.as_fd(), TICK)?;
        Ok(Conversation::Datagrams(fd.into()))
    }
}

/// A wait that a signal has cut short is one that was over early: a socket with a timeout tells of SIGCONT even where
/// nothing handles it (signal(7)), and nobody may take what a layer has let in for not written.
fn waited(result: io::Result<usize>) -> io::Result<usize> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => io::ErrorKind::WouldBlock.into(),
        _ => error,
    })
}

impl Read for Blocking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        waited(match self {
            Blocking::Tcp(stream) => stream.read(buffer),
            Blocking::Unix(stream) => stream.read(buffer),
        })
    }
}

impl Write for Blocking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        waited(match self {
            Blocking::Tcp(stream) => stream.write(bytes),
            Blocking::Unix(stream) => stream.write(bytes),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Timed for Blocking {
    fn limit_waits(&self, limit: Duration) -> io::Result<()> {
        match self {
            Blocking::Tcp(stream) => stream.limit_waits(limit),
            Blocking::Unix(stream) => stream.limit_waits(limit),
        }
    }
}

/// How long something may take that nobody else watches.
pub(super) struct Limit<'a> {
    until: Instant,
    patience: Duration,
    stop: &'a AtomicBool,
    is_stopped: bool,
}

impl<'a> Limit<'a> {
    pub(super) fn new(patience: Duration, stop: &'a AtomicBool) -> Self {
        Limit { until: Instant::now() + patience, patience, stop, is_stopped: false }
    }

    /// Something came of it: the patience begins anew.
    pub(super) fn renew(&mut self) {
        if !self.is_stopped {
            self.until = Instant::now() + self.patience;
        }
    }

    /// Looks at the clock. What was told to stop has a little time left for what is on its way.
    ///
    /// # Errors
    /// TimedOut.
    pub(super) fn look(&mut self) -> io::Result<()> {
        let now = Instant::now();
        if !self.is_stopped && self.stop.load(Relaxed) {
            self.is_stopped = true;
            self.until = self.until.min(now + TICK);
        }
        if now >= self.until { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

/// A stream that a thread talks over.
pub(super) struct Talking {
    socket: Blocking,
    /// `None` for bytes as they are.
    stack: Option<Box<Stack>>,
}

impl Talking {
    pub(super) fn new(socket: Blocking, stack: Option<Box<Stack>>) -> Self {
        Talking { socket, stack }
    }

    pub(super) fn of(socket: Blocking, layers: Option<Box<Packed>>) -> Self {
        Talking::new(socket, layers.map(|layers| Box::new(layers.unpack())))
    }

    /// The same, for another thread.
    pub(super) fn pause(self) -> Conversation {
        Conversation::Stream(self.socket, self.stack.map(|stack| stack.pack()))
    }

    /// Goes on until payload can pass, however often the peer says something else.
    ///
    /// # Errors
    /// A layer's, or the system's; TimedOut once the limit has passed.
    pub(super) fn shake_hands(&mut self, limit: &mut Limit<'_>) -> io::Result<()> {
        while self.stack.as_ref().is_some_and(|stack| stack.is_handshaking() || stack.is_leaving()) {
            limit.look()?;
            match self.carry_on().and_then(|()| self.hear_handshake()) {
                Err(error) if !is_timeout(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Nothing more is asked. Layers that know no end of one direction say so: whoever passes the peer's end on through
    /// them, as a relay does, can do that only once it has heard ours.
    ///
    /// # Errors
    /// A layer's, or the system's; none where it waits for room, which the next call asks for again.
    pub(super) fn end(&mut self) -> io::Result<()> {
        let Some(stack) = &mut self.stack else { return Ok(()) };
        stack.decode();
        if stack.half_close() == HalfClose::Supported || stack.is_plain_ended() {
            return Ok(());
        }
        stack.close_plain();
        match self.carry_on() {
            Err(error) if !is_timeout(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Gives a handshake what comes.
    fn hear_handshake(&mut self) -> io::Result<()> {
        if self.stack.as_ref().is_some_and(|stack| stack.is_handshaking()) {
            self.hear()?;
        }
        Ok(())
    }

    /// Writes what the layers have to say.
    fn carry_on(&mut self) -> io::Result<()> {
        let Some(stack) = &mut self.stack else { return Ok(()) };
        loop {
            stack.flush().map_err(Error::as_io)?;
            let Some(wire) = stack.outgoing().filter(|wire| !wire.is_empty()) else { return Ok(()) };
            let count = self.socket.write(wire.filled())?;
            wire.consume(count);
        }
    }

    /// Gives the layers what comes; true if that is the end of it.
    fn hear(&mut self) -> io::Result<bool> {
        let Some(stack) = &mut self.stack else { return Ok(true) };
        if stack.wire_spare().is_empty() {
            // what is there is neither understood nor let through
            return Err(io::ErrorKind::InvalidData.into());
        }
        let count = self.socket.read(stack.wire_spare())?;
        match count {
            0 => stack.wire_ended(),
            count => {
                stack.wire_received(count);
                stack.decode();
            }
        }
        match stack.take_failure() {
            Some(error) => {
                // what it has to say about that, if it can
                let _ = self.carry_on();
                Err(error.as_io())
            }
            None if count == 0 && stack.is_handshaking() => Err(io::ErrorKind::UnexpectedEof.into()),
            None => Ok(count == 0),
        }
    }

    /// Payload that is there, or its end.
    fn take(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let stack = self.stack.as_mut()?;
        stack.decode();
        let plain = stack.plain();
        if plain.is_empty() {
            return stack.is_plain_ended().then_some(0);
        }
        let count = plain.len().min(buffer.len());
        buffer[..count].copy_from_slice(&plain.filled()[..count]);
        plain.consume(count);
        Some(count)
    }
}

impl Read for Talking {
    /// WouldBlock also where something else than payload came: a peer that goes on so must not keep the caller from its
    /// clock.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stack.is_none() {
            return self.socket.read(buffer);
        }
        if let Some(count) = self.take(buffer) {
            return Ok(count);
        }
        self.carry_on()?;
        let is_ended = self.hear()?;
        match self.take(buffer) {
            Some(count) => Ok(count),
            None if is_ended => Ok(0),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Talking {
    /// WouldBlock also where nothing could be taken yet.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(stack) = &mut self.stack else { return self.socket.write(bytes) };
        let taken = stack.encode(bytes).map_err(Error::as_io)?;
        match self.carry_on() {
            // what was taken goes out with the next call
            Err(error) if taken > 0 && is_timeout(&error) => return Ok(taken),
            Err(error) => return Err(error),
            Ok(()) if taken > 0 => return Ok(taken),
            Ok(()) => {}
        }
        self.hear_handshake()?;
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.carry_on()
    }
}

impl Timed for Talking {
    fn limit_waits(&self, limit: Duration) -> io::Result<()> {
        self.socket.limit_waits(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Buffer;
    use crate::layer::{HalfClose, Layer, LayerState, Note};

    /// Whatever comes is its own affair, as pings are.
    struct Swallows(LayerState);

    impl Layer for Swallows {
        fn decode(&mut self, wire: &mut Buffer, _: &mut Buffer) -> Result<(), Error> {
            wire.consume(wire.len());
            Ok(())
        }

        fn encode(&mut self, _: &[u8], _: &mut Buffer) -> Result<usize, Error> {
            Ok(0)
        }

        fn flush(&mut self, _: &mut Buffer) {}

        fn note(&mut self, note: Note) {
            if note == Note::WireEof {
                self.0 = LayerState::PlainEof;
            }
        }

        fn state(&self) -> LayerState {
            self.0
        }

        fn half_close(&self) -> HalfClose {
            HalfClose::Supported
        }
    }

    fn talking(state: LayerState) -> (Talking, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let stack = Stack::new(vec![Box::new(Swallows(state))], 4096);
        let talking = Talking::new(Blocking::Unix(ours), Some(Box::new(stack)));
        talking.limit_waits(TICK).unwrap();
        (talking, theirs)
    }

    // Where pings come for ever, whoever reads could look at no clock and hear no word to stop.
    #[test]
    fn what_is_no_payload_gives_the_caller_its_turn() {
        let (mut talking, mut peer) = talking(LayerState::Open);
        peer.write_all(b"ping").unwrap();
        drop(peer);
        let mut buffer = [0; 8];
        assert!(is_timeout(&talking.read(&mut buffer).unwrap_err()));
        assert_eq!(talking.read(&mut buffer).unwrap(), 0);
    }

    #[test]
    fn a_handshake_has_an_end() {
        let never = AtomicBool::new(false);
        let (mut talking, mut peer) = talking(LayerState::Handshaking);
        peer.write_all(b"one more").unwrap();
        let error = talking.shake_hands(&mut Limit::new(TICK, &never)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // and hears the word to stop
        let stop = AtomicBool::new(true);
        let error = talking.shake_hands(&mut Limit::new(Duration::from_secs(86_400), &stop)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_wait_that_a_signal_cuts_short_is_over_early() {
        assert!(is_timeout(&waited(Err(io::ErrorKind::Interrupted.into())).unwrap_err()));
        assert_eq!(waited(Err(io::ErrorKind::BrokenPipe.into())).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
