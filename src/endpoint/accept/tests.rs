//! Listening on real sockets of this machine.

use std::net::{IpAddr, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use super::*;
use crate::endpoint::dial::Dial;
use crate::endpoint::testing::{accept, dial, drive, handed_over, left_open, plain, with};
use crate::plan::address::{Family, Host, HostPort};

fn tcp(host: Host) -> Kind {
    Kind::Tcp(HostPort { host, port: 0 })
}

fn loopback() -> Kind {
    tcp(Host::V4(Ipv4Addr::LOCALHOST))
}

fn connect(ip: impl Into<IpAddr>, acceptor: &Acceptor) -> io::Result<TcpStream> {
    TcpStream::connect((ip.into(), acceptor.port().unwrap()))
}

#[test]
fn a_bare_port_is_reached_over_both_families_and_mapped_peers_are_ipv4() {
    let acceptor = Acceptor::open(&plain(tcp(Host::Unspecified))).unwrap();
    assert_eq!(acceptor.address(), format!("*:{}", acceptor.port().unwrap()));
    assert_eq!(acceptor.hint_address(), "127.0.0.1");
    let v4 = connect(Ipv4Addr::LOCALHOST, &acceptor).unwrap();
    let (accepted, acceptor) = accept(acceptor);
    assert_eq!(accepted.peer, v4.local_addr().unwrap().to_string());
    assert_eq!(accepted.socket.local(), v4.peer_addr().unwrap().to_string());
    let v6 = connect(Ipv6Addr::LOCALHOST, &acceptor).unwrap();
    let (accepted, _) = accept(acceptor);
    assert_eq!(accepted.peer, v6.local_addr().unwrap().to_string());
}

#[test]
fn one_family_only_where_that_is_asked_for() {
    let only = |family| Options { family: Some(family), ..Options::default() };
    let v4 = Acceptor::open(&with(tcp(Host::Unspecified), only(Family::V4))).unwrap();
    assert_eq!(v4.address(), format!("0.0.0.0:{}", v4.port().unwrap()));
    assert_eq!(v4.hint_address(), "127.0.0.1");
    connect(Ipv6Addr::LOCALHOST, &v4).unwrap_err();
    let v6 = Acceptor::open(&with(tcp(Host::Unspecified), only(Family::V6))).unwrap();
    assert_eq!(v6.address(), format!("[::]:{}", v6.port().unwrap()));
    assert_eq!(v6.hint_address(), "::1");
    connect(Ipv4Addr::LOCALHOST, &v6).unwrap_err();
    connect(Ipv6Addr::LOCALHOST, &v6).unwrap();
}

#[test]
fn a_name_is_listened_on_and_a_taken_port_is_told() {
    let acceptor = Acceptor::open(&plain(tcp(Host::Name("localhost".into())))).unwrap();
    let port = acceptor.port().unwrap();
    assert_eq!(acceptor.address(), format!("127.0.0.1:{port}"));
    let taken = Kind::Tcp(HostPort { host: Host::V4(Ipv4Addr::LOCALHOST), port });
    let error = Acceptor::open(&plain(taken)).unwrap_err();
    assert_eq!(error.line(), format!("cannot listen on 127.0.0.1:{port}: address already in use"));
    assert_eq!(error.status().code(), 2);
    let everywhere = Kind::Tcp(HostPort { host: Host::Unspecified, port });
    let error = Acceptor::open(&plain(everywhere)).unwrap_err();
    assert_eq!(error.line(), format!("cannot listen on *:{port}: address already in use"));
}

#[test]
fn a_client_that_is_gone_before_it_is_accepted_does_no_harm() {
    let acceptor = Acceptor::open(&plain(loopback())).unwrap();
    let gone = connect(Ipv4Addr::LOCALHOST, &acceptor).unwrap();
    sys::arm_reset(gone.as_fd());
    drop(gone);
    let real = connect(Ipv4Addr::LOCALHOST, &acceptor).unwrap();
    // Linux hands the dead connection out all the same, other systems say ECONNABORTED: both are passed over
    let (mut accepted, mut acceptor) = accept(acceptor);
    while accepted.peer != real.local_addr().unwrap().to_string() {
        (accepted, acceptor) = accept(acceptor);
    }
}

#[test]
fn the_latch_is_cleared_by_an_empty_queue_only() {
    let mut acceptor = Acceptor::open(&plain(loopback())).unwrap();
    let clients: Vec<_> = (0..3).map(|_| connect(Ipv4Addr::LOCALHOST, &acceptor).unwrap()).collect();
    let mut seen = 0;
    let seen = drive(move |turn| {
        let Some(slot) = acceptor.slot else {
            acceptor.start(turn).unwrap();
            return Err(None);
        };
        while let Some(accepted) = acceptor.accept(turn).unwrap() {
            assert!(turn.latch(slot).read);
            assert!(socket2::SockRef::from(&accepted.socket.fd()).nonblocking().unwrap());
            seen += 1;
        }
        assert!(!turn.latch(slot).read);
        if seen == 3 { Ok(seen) } else { Err(None) }
    });
    assert_eq!(seen, clients.len());
}

#[test]
fn running_out_pauses_longer_and_longer_and_is_told_once() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut pause = Pause::default();
    pause.lengthen(start, io::Error::from_raw_os_error(libc::EMFILE));
    assert_eq!(pause.until, Some(at(100)));
    assert!(pause.holds(at(99)) && !pause.holds(at(100)));
    assert!(pause.reason.take().is_some());
    let mut lengths = Vec::new();
    for _ in 0..5 {
        pause.lengthen(start, io::Error::from_raw_os_error(libc::EMFILE));
        lengths.push(pause.length.as_millis());
    }
    assert_eq!(lengths, [200, 400, 800, 1000, 1000]);
    assert!(pause.reason.is_none());
}

#[test]
fn each_answer_of_accept_has_its_meaning() {
    let of = |code| mishap(&io::Error::from_raw_os_error(code));
    for code in [libc::ECONNABORTED, libc::EPROTO, libc::ENETDOWN, libc::EINTR, libc::EPERM, libc::EHOSTUNREACH] {
        assert_eq!(of(code), Mishap::Next, "{code}");
    }
    for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
        assert_eq!(of(code), Mishap::Exhausted, "{code}");
    }
    assert_eq!(of(libc::EAGAIN), Mishap::Empty);
    assert_eq!(of(libc::EINVAL), Mishap::Fatal);
}

#[test]
fn a_unix_listener_has_its_mode_and_takes_its_file_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    for (kind, protocol) in [(UnixSocket::Stream, "unix"), (UnixSocket::Seqpacket, "unix-seqpacket")] {
        let address =
            with(Kind::Unix(UnixName::Path(path.clone()), kind), Options { mode: Some(0o600), ..Options::default() });
        let acceptor = Acceptor::open(&address).unwrap();
        assert_eq!((acceptor.protocol(), acceptor.address()), (protocol, path.to_str().unwrap()));
        assert_eq!((acceptor.path(), acceptor.port()), (Some(path.as_path()), None));
        let found = std::fs::metadata(&path).unwrap();
        assert!(found.file_type().is_socket() && found.permissions().mode() & 0o777 == 0o600);
        let connected = dial(Dial::new(&address)).unwrap();
        assert_eq!(connected.protocol, protocol);
        let (accepted, acceptor) = accept(acceptor);
        assert_eq!((accepted.peer.as_str(), accepted.local().as_str()), ("unnamed", path.to_str().unwrap()));
        sys::send(connected.socket.fd(), b"message").unwrap();
        assert_eq!(sys::receive(accepted.socket.fd(), &mut [0; 20]).unwrap(), 7);
        drop(acceptor);
        assert!(!path.exists());
    }
}

#[test]
fn closing_removes_the_file_and_frees_the_path_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let address = plain(Kind::Path(path.clone()));
    let mut acceptor = Some(Acceptor::open(&address).unwrap());
    let again = address.clone();
    drive(move |turn| {
        let mut open = acceptor.take().unwrap();
        open.start(turn).unwrap();
        open.close(turn);
        Ok(())
    });
    assert!(!path.exists());
    Acceptor::open(&again).unwrap();
}

#[test]
fn an_abstract_name_needs_no_file() {
    let name = format!("haul-test-{}", std::process::id());
    let address = plain(Kind::Unix(UnixName::Abstract(name.clone().into_bytes()), UnixSocket::Stream));
    let acceptor = Acceptor::open(&address).unwrap();
    assert_eq!(acceptor.address(), format!("@{name}"));
    assert_eq!(dial(Dial::new(&address)).unwrap().peer, format!("@{name}"));
    let error = Acceptor::open(&address).unwrap_err();
    assert!(error.line().ends_with(": address already in use"), "{error}");
    assert_eq!(error.advice(), Some("another name"));
}

#[test]
fn a_long_path_is_refused_with_its_limit() {
    let path = std::path::PathBuf::from(format!("/tmp/{}", "x".repeat(200)));
    let error = Acceptor::open(&plain(Kind::Path(path))).unwrap_err();
    assert!(error.line().ends_with("at most 107 bytes"), "{error}");
}

#[test]
fn an_inherited_listener_is_taken_over_as_it_is() {
    let parent = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let number = handed_over(parent.try_clone().unwrap());
    let acceptor = Acceptor::open(&plain(Kind::Fd { read: number, write: number })).unwrap();
    assert_eq!(acceptor.address(), parent.local_addr().unwrap().to_string());
    let client = connect(Ipv4Addr::LOCALHOST, &acceptor).unwrap();
    let (accepted, _acceptor) = accept(acceptor);
    assert_eq!(accepted.peer, client.local_addr().unwrap().to_string());
    assert!(!socket2::SockRef::from(&parent).nonblocking().unwrap(), "the parent's description is left as it was");
}

#[test]
fn a_descriptor_that_does_not_listen_is_refused_and_left_open() {
    let (stream, mut other) = UnixStream::pair().unwrap();
    let number = left_open(&stream);
    let error = Acceptor::open(&plain(Kind::Fd { read: number, write: number })).unwrap_err();
    assert!(error.line().ends_with("it is no listening socket"), "{error}");
    io::Write::write_all(&mut other, b"x").unwrap();
}

#[test]
fn options_of_a_listener_reach_what_it_accepts() {
    let options = Options { nodelay: true, dscp: Some(10), ..Options::default() };
    let acceptor = Acceptor::open(&with(loopback(), options)).unwrap();
    let _client = connect(Ipv4Addr::LOCALHOST, &acceptor).unwrap();
    let (accepted, _) = accept(acceptor);
    let socket = accepted.socket;
    assert!(socket2::SockRef::from(&socket.fd()).tcp_nodelay().unwrap());
    assert_eq!(socket2::SockRef::from(&socket.fd()).tos_v4().unwrap(), 40);
}
