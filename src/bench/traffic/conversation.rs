//! A connection that calls may wait in, for requests and their answers; with the layers that stand on it.

use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::layered::Layered;
use super::medium::said;
use crate::bench::latency::{Timed, is_timeout};
use crate::datagram::DatagramSocket;
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
        sys::set_blocking(fd.as_fd(), FIRST_WAIT)?;
        let socket = if is_unix { Blocking::Unix(fd.into()) } else { Blocking::Tcp(fd.into()) };
        Ok(Conversation::Stream(socket, layers))
    }

    /// Over this socket of datagrams, which is registered with no reactor.
    ///
    /// # Errors
    /// As [`Conversation::new`].
    pub fn datagrams(socket: DatagramSocket) -> io::Result<Self> {
        let fd: OwnedFd = socket.into_fd();
        sys::set_blocking(fd.as_fd(), FIRST_WAIT)?;
        Ok(Conversation::Datagrams(fd.into()))
    }
}

/// How long the first call may wait; whoever talks says how long the others may.
const FIRST_WAIT: Duration = Duration::from_millis(100);

impl Read for Blocking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Blocking::Tcp(stream) => stream.read(buffer),
            Blocking::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Blocking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Blocking::Tcp(stream) => stream.write(bytes),
            Blocking::Unix(stream) => stream.write(bytes),
        }
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

    /// Goes on until payload can pass.
    ///
    /// # Errors
    /// A layer's, or the system's; TimedOut if the peer was silent for as long as a wait may be.
    pub(super) fn shake_hands(&mut self) -> io::Result<()> {
        while self.stack.as_ref().is_some_and(|stack| stack.is_handshaking() || stack.is_leaving()) {
            self.carry_on()?;
            if self.stack.as_ref().is_some_and(|stack| stack.is_handshaking()) {
                self.hear()?;
            }
        }
        Ok(())
    }

    /// Writes what the layers have to say.
    fn carry_on(&mut self) -> io::Result<()> {
        let Some(stack) = &mut self.stack else { return Ok(()) };
        loop {
            stack.flush().map_err(said)?;
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
                Err(said(error))
            }
            None if count == 0 && stack.is_handshaking() => Err(io::ErrorKind::UnexpectedEof.into()),
            None => Ok(count == 0),
        }
    }
}

impl Read for Talking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut ended = false;
        loop {
            let Some(stack) = &mut self.stack else { return self.socket.read(buffer) };
            stack.decode();
            let plain = stack.plain();
            if !plain.is_empty() {
                let count = plain.len().min(buffer.len());
                buffer[..count].copy_from_slice(&plain.filled()[..count]);
                plain.consume(count);
                return Ok(count);
            }
            if stack.is_plain_ended() || ended {
                return Ok(0);
            }
            self.carry_on()?;
            ended = self.hear()?;
        }
    }
}

impl Write for Talking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let Some(stack) = &mut self.stack else { return self.socket.write(bytes) };
            let taken = stack.encode(bytes).map_err(said)?;
            match self.carry_on() {
                // what was taken goes out with the next call
                Err(error) if taken > 0 && is_timeout(&error) => return Ok(taken),
                Err(error) => return Err(error),
                Ok(()) if taken > 0 => return Ok(taken),
                Ok(()) => {}
            }
            if self.stack.as_ref().is_some_and(|stack| stack.is_handshaking()) {
                self.hear()?;
            }
        }
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
