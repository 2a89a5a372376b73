//! Dialling real listeners on this machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use socket2::{Domain, SockRef, Type};

use super::*;
use crate::endpoint::testing::{dial, drive, plain, with};
use crate::outcome::ExitStatus;
use crate::sys;

fn listen_v4() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port on which nobody listens, and nobody will while the guard is alive.
fn refusing(ip: impl Into<std::net::IpAddr>) -> (socket2::Socket, SocketAddr) {
    let wanted = SocketAddr::from((ip.into(), 0));
    let socket = socket2::Socket::new(Domain::for_address(wanted), Type::STREAM, None).unwrap();
    socket.bind(&wanted.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

fn to(addresses: &[SocketAddr]) -> Dial {
    let kind = Kind::Tcp(HostPort { host: Host::Name("db".into()), port: 5432 });
    Dial::to(&plain(kind), addresses)
}

fn tcp(address: SocketAddr) -> Kind {
    let host = match address {
        SocketAddr::V4(v4) => Host::V4(*v4.ip()),
        SocketAddr::V6(v6) => Host::V6(*v6.ip(), None),
    };
    Kind::Tcp(HostPort { host, port: address.port() })
}

#[test]
fn a_refused_first_address_does_not_stop_the_second() {
    let (listener, v4) = listen_v4();
    let (_guard, v6) = refusing(Ipv6Addr::LOCALHOST);
    let started = Instant::now();
    let connected = dial(to(&[v4, v6])).unwrap();
    assert!(started.elapsed() < ATTEMPT_DELAY, "a failure lets the next one start at once");
    assert_eq!((connected.protocol, connected.peer), ("tcp", v4.to_string()));
    let (_, peer) = listener.accept().unwrap();
    assert_eq!(connected.socket.local(), peer.to_string());
    assert!(connected.cut.is_none());
}

#[test]
fn ipv6_is_tried_first_and_the_families_take_turns() {
    let list = ["1.1.1.1:1", "1.1.1.2:1", "[::3]:1", "1.1.1.4:1", "[::5]:1"].map(|a| a.parse().unwrap());
    let order: Vec<_> = candidates(list.to_vec(), &[], &Options::default()).iter().map(Candidate::printed).collect();
    assert_eq!(order, ["[::3]:1", "1.1.1.1:1", "[::5]:1", "1.1.1.2:1", "1.1.1.4:1"]);
}

#[test]
fn a_silent_address_gives_way_after_its_head_start() {
    let full = socket2::Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from((Ipv6Addr::LOCALHOST, 0)).into()).unwrap();
    full.listen(0).unwrap();
    let silent = full.local_addr().unwrap().as_socket().unwrap();
    // a backlog that is full drops the SYN of whoever comes next (tcp(7)), and so is silent
    let _queued: Vec<_> = (0..2)
        .map(|_| {
            let client = sys::socket(Domain::IPV6, Type::STREAM, None).unwrap();
            let _ = client.connect(&silent.into());
            client
        })
        .collect();
    let (_listener, v4) = listen_v4();
    let started = Instant::now();
    let connected = dial(to(&[silent, v4])).unwrap();
    assert_eq!(connected.peer, v4.to_string());
    assert!(started.elapsed() >= ATTEMPT_DELAY, "{:?}", started.elapsed());
}

#[test]
fn the_same_cause_everywhere_is_one_line_with_what_was_tried() {
    let (_guard, v6) = refusing(Ipv6Addr::LOCALHOST);
    let (_other, v4) = refusing(Ipv4Addr::LOCALHOST);
    let error = dial(to(&[v4, v6])).unwrap_err();
    assert_eq!(error.line(), "cannot connect to db:5432: connection refused (tried ::1, 127.0.0.1)");
    assert_eq!(error.advice(), Some("check that the service is running and listens on that port"));
    assert_eq!(error.status(), ExitStatus::Network);
}

#[test]
fn different_causes_are_a_line_each() {
    let (_guard, v4) = refusing(Ipv4Addr::LOCALHOST);
    let error = dial(to(&[v4, "255.255.255.255:9".parse().unwrap()])).unwrap_err();
    let text = error.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "cannot connect to db:5432: all 2 addresses failed");
    assert_eq!(
        lines[1].split("  ").filter(|part| !part.is_empty()).collect::<Vec<_>>(),
        [v4.to_string(), "connection refused".to_string()]
    );
    assert!(lines[2].starts_with("  255.255.255.255:9  "), "{text}");
    assert_eq!(lines.len(), 4, "one hint: {text}");
}

#[test]
fn a_numeric_address_that_refuses_needs_no_list() {
    let (_guard, v4) = refusing(Ipv4Addr::LOCALHOST);
    let error = dial(Dial::new(&plain(tcp(v4)))).unwrap_err();
    assert_eq!(error.line(), format!("cannot connect to {v4}: connection refused"));
}

#[test]
fn a_link_local_address_without_its_interface_is_explained() {
    let error = dial(Dial::new(&plain(tcp("[fe80::1]:9".parse().unwrap())))).unwrap_err();
    assert!(error.line().ends_with("a link-local address needs its interface, as in fe80::1%eth0"), "{error}");
}

#[test]
fn a_name_is_resolved_on_the_side_and_a_bad_one_is_not_found() {
    let (_listener, v4) = listen_v4();
    let kind = |name: &str, port| Kind::Tcp(HostPort { host: Host::Name(name.into()), port });
    let connected = dial(Dial::new(&plain(kind("localhost", v4.port())))).unwrap();
    assert_eq!(connected.peer, v4.to_string());
    let error = dial(Dial::new(&plain(kind("nonexistent.invalid", 80)))).unwrap_err();
    assert!(error.line().starts_with("cannot connect to nonexistent.invalid:80: name not found"), "{error}");
    assert_eq!(error.status(), ExitStatus::Network);
    let numeric = Options { numeric: true, ..Options::default() };
    let error = dial(Dial::new(&with(kind("localhost", 80), numeric))).unwrap_err();
    assert_eq!(error.advice(), Some("without -n"));
}

#[test]
fn a_banner_before_a_reset_is_still_there() {
    let (listener, v4) = listen_v4();
    let mut client = to(&[v4]);
    let mut hung_up = false;
    let mut connected = drive(move |turn| {
        if hung_up {
            return client.turn(turn).unwrap().ok_or(None);
        }
        hung_up = true;
        assert!(client.turn(turn).unwrap().is_none(), "the connect is under way, and nobody has looked at it yet");
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"220 too busy\n").unwrap();
        sys::arm_reset(peer.as_fd());
        drop(peer);
        Err(None)
    });
    assert_eq!(connected.cut.take().unwrap().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(read_all(&connected), b"220 too busy\n");
}

/// Reads what the kernel has queued.
fn read_all(connected: &Connected) -> Vec<u8> {
    let mut bytes = [0; 100];
    let count = sys::receive(connected.socket.fd(), &mut bytes).unwrap();
    bytes[..count].to_vec()
}

#[test]
fn a_connection_to_itself_is_nobody_listening() {
    // the source port is the target port: TCP's simultaneous open with oneself, also under another name (ip(7), INADDR_ANY)
    for ip in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
        let (guard, v4) = refusing(Ipv4Addr::LOCALHOST);
        drop(guard);
        let options = Options { source_port: Some(v4.port()), ..Options::default() };
        let error = dial(Dial::new(&with(tcp((ip, v4.port()).into()), options))).unwrap_err();
        assert!(error.line().ends_with(": connection refused"), "{error}");
    }
}

#[test]
fn the_source_address_and_port_are_ours() {
    let (listener, v4) = listen_v4();
    let (guard, source) = refusing(Ipv4Addr::new(127, 0, 0, 2));
    drop(guard);
    let options = Options {
        source: Some(Host::V4(Ipv4Addr::new(127, 0, 0, 2))),
        source_port: Some(source.port()),
        ..Options::default()
    };
    let connected = dial(Dial::new(&with(tcp(v4), options.clone()))).unwrap();
    assert_eq!(connected.socket.local(), source.to_string());
    assert_eq!(listener.accept().unwrap().1, source);
    let v6 = tcp(SocketAddr::from((Ipv6Addr::LOCALHOST, 1)));
    let error = dial(Dial::new(&with(v6, options))).unwrap_err();
    assert!(error.line().ends_with("no address of the same family as the source address"), "{error}");
}

#[test]
fn a_source_address_of_another_machine_is_named() {
    let options = Options { source: Some(Host::V4(Ipv4Addr::new(203, 0, 113, 1))), ..Options::default() };
    let error = dial(Dial::new(&with(tcp(listen_v4().1), options))).unwrap_err();
    assert!(error.line().starts_with("cannot use source address 203.0.113.1:0: "), "{error}");
    assert_eq!(error.status(), ExitStatus::Usage);
}

#[test]
fn multipath_reaches_a_plain_listener() {
    let (_listener, v4) = listen_v4();
    let options = Options { mptcp: true, nodelay: true, ..Options::default() };
    let connected = dial(Dial::new(&with(tcp(v4), options))).unwrap();
    assert!(["tcp", "mptcp"].contains(&connected.protocol));
}

#[test]
fn sockets_are_non_blocking_and_close_on_exec() {
    let (_listener, v4) = listen_v4();
    let connected = dial(to(&[v4])).unwrap();
    assert!(SockRef::from(&connected.socket.fd()).nonblocking().unwrap());
    assert!(rustix::io::fcntl_getfd(connected.socket.fd()).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn a_unix_socket_connects_and_a_missing_one_is_told_apart_from_a_stale_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let unix = || Kind::Unix(UnixName::Path(path.clone()), UnixSocket::Stream);
    let error = dial(Dial::new(&plain(unix()))).unwrap_err();
    assert_eq!(error.advice(), Some("check the path: no socket is there"));
    let listener = UnixListener::bind(&path).unwrap();
    let connected = dial(Dial::new(&plain(unix()))).unwrap();
    assert_eq!((connected.protocol, connected.peer), ("unix", path.display().to_string()));
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"hi").unwrap();
    assert_eq!(sys::receive(connected.socket.fd(), &mut [0; 9]).unwrap(), 2);
    drop(listener);
    let error = dial(Dial::new(&plain(unix()))).unwrap_err();
    assert!(error.line().ends_with(": connection refused"), "{error}");
    assert_eq!((error.status(), error.advice()), (ExitStatus::Network, Some(STALE)));
}

#[test]
fn a_full_unix_backlog_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let _first = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let listener = UnixListener::from(std::os::fd::OwnedFd::from(socket));
    let mut client = Dial::new(&plain(Kind::Unix(UnixName::Path(path.clone()), UnixSocket::Stream)));
    let mut waits = 0;
    let connected = drive(move |turn| match client.turn(turn).unwrap() {
        Some(connected) => Ok((connected, waits)),
        None => {
            if client.deadline().is_some() {
                waits += 1;
                if waits == 3 {
                    drop(listener.accept().unwrap());
                }
            }
            Err(client.deadline())
        }
    });
    assert!(connected.1 >= 3, "it has waited by its own clock");
    assert_eq!(connected.0.peer, path.display().to_string());
}

#[test]
fn a_passed_limit_tells_how_far_it_came() {
    let (_guard, v4) = refusing(Ipv4Addr::LOCALHOST);
    let mut client = to(&[v4, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1).into()]);
    let error = client.timed_out(Duration::from_secs(2));
    assert_eq!(error.to_string(), "cannot connect to db:5432: timed out after 2s");
    assert_eq!(error.status(), ExitStatus::TimeLimit);
    let error = drive(move |turn| {
        let _ = client.turn(turn);
        let error = client.timed_out(Duration::from_secs(2));
        client.abandon(turn);
        Ok(error)
    });
    assert!(error.to_string().contains(&v4.to_string()), "{error}");
}

#[test]
fn what_is_read_after_a_dial_is_what_was_sent() {
    let (listener, v4) = listen_v4();
    let connected = dial(to(&[v4])).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    sys::send(connected.socket.fd(), b"ping").unwrap();
    let mut bytes = [0; 4];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"ping");
}
