//! What each kind of address becomes.

use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;

use super::*;
use crate::endpoint::testing::{drive, handed_over, left_open, plain, with};
use crate::plan::address::{Options, UnixName, UnixSocket};

fn open(address: &Rc<Address>, reads: bool, writes: bool) -> Result<Opened, Error> {
    let mut opening = Opening::new(address, reads, writes)?;
    let mut started = false;
    drive(move |turn| {
        if !std::mem::replace(&mut started, true)
            && let Err(error) = opening.start(turn)
        {
            return Ok(Err(error));
        }
        match opening.turn(turn) {
            Ok(Some(opened)) => Ok(Ok(opened)),
            Ok(None) => Err(opening.deadline()),
            Err(error) => Ok(Err(error)),
        }
    })
}

/// Reads and writes a transport on a reactor of its own.
fn exchange(mut transport: Transport, send: &'static [u8]) -> Vec<u8> {
    let (mut started, mut sent) = (false, send.is_empty());
    drive(move |turn| {
        if !std::mem::replace(&mut started, true) {
            transport.start(turn).unwrap();
        }
        if !sent && transport.can_write(turn) {
            sent = transport.write(turn, send).is_ok();
        }
        let mut bytes = [0; 100];
        match transport.read(turn, &mut bytes) {
            Ok(count) => Ok(bytes[..count].to_vec()),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                Err(None)
            }
        }
    })
}

#[test]
fn synthetic_kinds_are_there_at_once() {
    let text = open(&plain(Kind::Text(b"hello".to_vec())), true, true).unwrap();
    assert_eq!((text.protocol, text.peer.as_str()), ("synthetic", "text:"));
    assert_eq!(exchange(text.transport, b""), b"hello");
    assert_eq!(exchange(open(&plain(Kind::Echo), true, true).unwrap().transport, b"again"), b"again");
    let seeded = || with(Kind::Random, Options { seed: Some(1), ..Options::default() });
    let [a, b] = [(); 2].map(|()| exchange(open(&seeded(), true, false).unwrap().transport, b""));
    assert_eq!(a, b);
    assert_ne!(a, exchange(open(&plain(Kind::Random), true, false).unwrap().transport, b""));
}

#[test]
fn a_path_is_what_stands_there() {
    let directory = tempfile::tempdir().unwrap();
    let [socket, file, missing, fifo] = ["s", "f", "m", "p"].map(|name| directory.path().join(name));
    let path = |path: &PathBuf| plain(Kind::Path(path.clone()));
    let listener = UnixListener::bind(&socket).unwrap();
    let opened = open(&path(&socket), true, true).unwrap();
    assert_eq!(opened.protocol, "unix");
    listener.accept().unwrap();
    std::fs::write(&file, "x").unwrap();
    let error = open(&path(&file), true, true).unwrap_err();
    assert!(error.line().ends_with("it is a regular file and not a socket"), "{error}");
    assert_eq!(error.status().code(), 2);
    assert!(error.advice().unwrap().starts_with("file:/"));
    let error = open(&path(&missing), true, true).unwrap_err();
    assert_eq!(error.status().code(), 1, "a socket path that is not there yet: {error}");
    let error = open(&path(&directory.path().to_path_buf()), true, true).unwrap_err();
    assert!(error.line().ends_with(": is a directory"), "{error}");
    assert_eq!(open(&path(&"/dev/null".into()), true, true).unwrap().protocol, "file");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let error = open(&path(&fifo), true, true).unwrap_err();
    assert!(error.line().ends_with(": a FIFO goes one way"), "{error}");
    let other = fifo.clone();
    let writer = std::thread::spawn(move || std::fs::OpenOptions::new().write(true).open(other).unwrap());
    let opened = open(&path(&fifo), true, false).unwrap();
    assert_eq!(opened.protocol, "fifo");
    writer.join().unwrap().write_all(b"through").unwrap();
    assert_eq!(exchange(opened.transport, b""), b"through");
}

#[test]
fn what_is_accepted_is_told_from_what_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| plain(Kind::Path(directory.path().join(name)));
    rustix::fs::mknodat(rustix::fs::CWD, directory.path().join("p"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    assert!(accepts(&path("missing"), Role::Listen));
    assert!(!accepts(&path("p"), Role::Listen));
    assert!(!accepts(&path("missing"), Role::Connect));
    let name = UnixName::Abstract(b"x".to_vec());
    let listen = Options { listen: true, ..Options::default() };
    assert!(accepts(&with(Kind::Unix(name.clone(), UnixSocket::Stream), listen.clone()), Role::Connect));
    assert!(!accepts(&plain(Kind::Unix(name, UnixSocket::Stream)), Role::Connect));
    assert!(!accepts(&plain(Kind::Fd { read: 3, write: 3 }), Role::Listen));
    assert!(accepts(&with(Kind::Fd { read: 3, write: 3 }, listen), Role::Listen));
    assert!(!accepts(&plain(Kind::Echo), Role::Listen));
}

#[test]
fn an_inherited_socket_goes_both_ways_and_keeps_its_flags() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let witness = ours.try_clone().unwrap();
    let number = handed_over(ours);
    let opened = open(&plain(Kind::Fd { read: number, write: number }), true, true).unwrap();
    assert!(matches!(&opened.transport, Transport::Socket(socket) if socket.family() == Family::Unix));
    assert_eq!((opened.protocol, opened.peer), ("fd", format!("fd:{number}")));
    theirs.write_all(b"in").unwrap();
    assert_eq!(exchange(opened.transport, b"out"), b"in");
    let mut bytes = [0; 3];
    theirs.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"out");
    assert!(!SockRef::from(&witness).nonblocking().unwrap());
}

#[test]
fn two_inherited_numbers_are_a_direction_each() {
    let (from, mut feed) = std::io::pipe().unwrap();
    let (mut drain, to) = std::io::pipe().unwrap();
    let (read, write) = (handed_over(from), handed_over(to));
    let opened = open(&plain(Kind::Fd { read, write }), true, true).unwrap();
    feed.write_all(b"in").unwrap();
    assert_eq!(exchange(opened.transport, b"out"), b"in");
    let mut bytes = Vec::new();
    drain.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"out");
}

#[test]
fn one_number_that_is_no_socket_serves_both_directions() {
    let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/zero").unwrap();
    let number = handed_over(device);
    let opened = open(&plain(Kind::Fd { read: number, write: number }), true, true).unwrap();
    assert_eq!(exchange(opened.transport, b"out"), [0; 100]);
}

#[test]
fn a_descriptor_that_does_not_fit_is_told() {
    let error = open(&plain(Kind::Fd { read: 9999, write: 9999 }), true, true).unwrap_err();
    assert_eq!(error.line(), "cannot open fd:9999: bad file descriptor");
    assert_eq!(error.status().code(), 2);
    let datagram = UnixDatagram::unbound().unwrap();
    let number = left_open(&datagram);
    let error = open(&plain(Kind::Fd { read: number, write: number }), true, true).unwrap_err();
    assert!(error.line().ends_with("carries no stream"), "{error}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let number = left_open(&listener);
    let error = open(&plain(Kind::Fd { read: number, write: number }), true, true).unwrap_err();
    assert_eq!(error.advice(), Some("fd,listen:N"));
    listener.local_addr().unwrap();
}

#[test]
fn a_proxy_is_for_x_only() {
    let error = open(&plain(Kind::Proxy("socks5://host:1080".into())), true, true).unwrap_err();
    assert_eq!(error.to_string(), "cannot use socks5://host:1080: a proxy is not an endpoint\n  try: -x");
    assert_eq!(error.status().code(), 2);
}
