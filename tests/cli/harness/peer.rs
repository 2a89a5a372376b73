//! The other end of haul's connection as a plain socket in the test: it can do what no polite program does.

use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::{DEADLINE, poll_until};

/// How a stream of bytes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// FIN.
    Eof,
    /// RST; over a Unix socket the other end was closed with bytes unread.
    Reset,
}

/// A connected stream socket.
pub struct Peer {
    socket: Socket,
}

impl Peer {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Peer {
        Peer::connect_with(address, None)
    }

    /// Connects with a receive buffer of `rcvbuf` bytes, which bounds the window that haul sees.
    #[track_caller]
    pub fn connect_with(address: SocketAddr, rcvbuf: Option<usize>) -> Peer {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        if let Some(bytes) = rcvbuf {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        socket
            .connect_timeout(&address.into(), DEADLINE)
            .unwrap_or_else(|e| panic!("cannot connect to {address}: {e}"));
        Peer::new(socket)
    }

    /// Connects from an address of its own.
    #[track_caller]
    pub fn connect_from(ip: Ipv4Addr, address: SocketAddr) -> Peer {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
        socket
            .connect_timeout(&address.into(), DEADLINE)
            .unwrap_or_else(|e| panic!("cannot connect to {address}: {e}"));
        Peer::new(socket)
    }

    #[track_caller]
    pub fn connect_unix(path: &Path) -> Peer {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.connect(&SockAddr::unix(path).unwrap()).unwrap_or_else(|e| panic!("cannot connect to {path:?}: {e}"));
        Peer::new(socket)
    }

    fn new(socket: Socket) -> Peer {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        Peer { socket }
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap_or_else(|e| panic!("peer cannot send: {e}"));
    }

    /// Sends from a thread; the thread gives the number of bytes that haul's side took before an error.
    pub fn send_in_thread(&self, bytes: Vec<u8>) -> JoinHandle<usize> {
        let mut socket = self.socket.try_clone().unwrap();
        thread::spawn(move || {
            let mut sent = 0;
            while sent < bytes.len() {
                match socket.write(&bytes[sent..(sent + 65536).min(bytes.len())]) {
                    Ok(n) => sent += n,
                    Err(_) => break,
                }
            }
            sent
        })
    }

    /// Sends zeroes from a thread until haul's side takes no more.
    pub fn flood(&self) -> JoinHandle<()> {
        let mut socket = self.socket.try_clone().unwrap();
        thread::spawn(move || while socket.write(&[0; 65536]).is_ok() {})
    }

    /// Receives exactly `len` bytes.
    #[track_caller]
    pub fn receive(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.socket.read_exact(&mut bytes).unwrap_or_else(|e| panic!("peer waits for {len} bytes: {e}"));
        bytes
    }

    /// Receives all that comes, and how it ended.
    #[track_caller]
    pub fn receive_all(&mut self) -> (Vec<u8>, Ending) {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 65536];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return (bytes, Ending::Eof),
                Ok(n) => bytes.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return (bytes, Ending::Reset),
                // a receive with a time limit is not restarted after a signal (signal(7))
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => panic!("peer waits for the end after {} bytes: {e}", bytes.len()),
            }
        }
    }

    /// True if neither a byte nor an end has come.
    pub fn hears_nothing(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let got = self.socket.peek(&mut [MaybeUninit::uninit()]);
        self.socket.set_nonblocking(false).unwrap();
        got.is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
    }

    /// Ends sending (FIN); receiving goes on.
    pub fn finish(&self) {
        self.socket.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Reads no more; over a Unix socket the other end learns it at its next write.
    pub fn stop_reading(&self) {
        self.socket.shutdown(std::net::Shutdown::Read).unwrap();
    }

    /// Throws the connection away: RST at once, whatever is still queued.
    pub fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    pub fn local_port(&self) -> u16 {
        self.socket.local_addr().unwrap().as_socket().unwrap().port()
    }
}

/// A listening socket of the test's own.
pub struct Listener {
    socket: Socket,
    path: Option<PathBuf>,
}

impl Listener {
    /// Listens on a free port of 127.0.0.1.
    #[track_caller]
    pub fn tcp() -> Listener {
        Listener::tcp_with(None, 16)
    }

    /// The same with a receive buffer of `rcvbuf` bytes for what it accepts, and a queue of `backlog`.
    #[track_caller]
    pub fn tcp_with(rcvbuf: Option<usize>, backlog: i32) -> Listener {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if let Some(bytes) = rcvbuf {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        socket.listen(backlog).unwrap();
        Listener { socket, path: None }
    }

    #[track_caller]
    pub fn unix(path: &Path) -> Listener {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(path).unwrap()).unwrap();
        socket.listen(16).unwrap();
        Listener { socket, path: Some(path.to_owned()) }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap().as_socket().unwrap()
    }

    /// What haul is given as the endpoint to connect to.
    pub fn endpoint(&self) -> String {
        match &self.path {
            Some(path) => format!("unix:{}", path.display()),
            None => self.address().to_string(),
        }
    }

    #[track_caller]
    pub fn accept(&self) -> Peer {
        // SO_RCVTIMEO holds for accept too.
        self.socket.set_read_timeout(Some(DEADLINE)).unwrap();
        loop {
            match self.socket.accept() {
                Ok((socket, _)) => return Peer::new(socket),
                // with a time limit it is not taken up again by itself (signal(7))
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => panic!("nobody connected: {e}"),
            }
        }
    }

    /// Who has connected already, if somebody has.
    pub fn accept_now(&self) -> Option<Peer> {
        self.socket.set_nonblocking(true).unwrap();
        let got = self.socket.accept();
        self.socket.set_nonblocking(false).unwrap();
        got.ok().map(|(socket, _)| Peer::new(socket))
    }

    /// True if nobody has connected.
    pub fn was_left_alone(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let got = self.socket.accept();
        self.socket.set_nonblocking(false).unwrap();
        got.is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
    }

    /// Connects to itself until the queue is full, so that the next SYN gets no answer. Keep what is returned.
    #[track_caller]
    pub fn fill_queue(&self) -> Vec<Socket> {
        let mut filling = Vec::new();
        poll_until("the accept queue to fill up", || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let done = socket.connect_timeout(&self.address().into(), Duration::from_millis(300)).is_err();
            filling.push(socket);
            done.then_some(())
        });
        filling
    }
}

/// An address of this machine on which nobody listens: bound, so that nobody else gets it, but not listening.
pub fn refusing_address() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}
