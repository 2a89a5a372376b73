use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use super::course::MOST_OVER_V4;
use super::*;
use crate::outcome::ExitStatus;
use crate::plan::address::Address;

fn parse(word: &str) -> Address {
    Address::parse(OsStr::new(word)).unwrap()
}

#[track_caller]
fn hear(word: &str) -> (Bound, UdpSocket) {
    let bound = bind(&parse(word)).unwrap_or_else(|error| panic!("{word}: {error}"));
    let socket = UdpSocket::from(bound.fd.try_clone().unwrap());
    // the flag belongs to the description; the tests wait, with a limit
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (bound, socket)
}

#[track_caller]
fn reach(word: &str) -> (Pointed, UdpSocket) {
    let mut course = Course::new(&parse(word)).unwrap_or_else(|error| panic!("{word}: {error}"));
    let pointed = course.open_next().unwrap_or_else(|error| panic!("{word}: {error}"));
    let socket = UdpSocket::from(pointed.fd.try_clone().unwrap());
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (pointed, socket)
}

fn heard(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2000];
    let count = socket.recv(&mut buffer).unwrap();
    buffer[..count].to_vec()
}

fn send(pointed: &Pointed, socket: &UdpSocket, bytes: &[u8]) -> io::Result<usize> {
    match pointed.to {
        Some(to) => socket.send_to(bytes, to),
        None => socket.send(bytes),
    }
}

/// A port that nobody listens on: bound and closed again.
fn closed() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn what_is_opened_never_sleeps() {
    let bound = bind(&parse("udp:127.0.0.1:0")).unwrap();
    let error = UdpSocket::from(bound.fd).recv(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    let pointed = Course::new(&parse(&format!("udp:{}", closed()))).unwrap().open_next().unwrap();
    let error = UdpSocket::from(pointed.fd).recv(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_bare_port_hears_both_families() {
    let (bound, socket) = hear("udp:0");
    let port = bound.local.unwrap().port();
    assert_eq!(bound.printed, format!("*:{port}"));
    assert_eq!(bound.reachable(), Some((Ipv4Addr::LOCALHOST, port).into()));
    for target in [format!("udp:127.0.0.1:{port}"), format!("udp:::1/{port}")] {
        let (pointed, sender) = reach(&target);
        send(&pointed, &sender, target.as_bytes()).unwrap();
        assert_eq!(heard(&socket), target.as_bytes());
    }
    // and without a host the peer is this machine, over IPv4 first
    let (pointed, _) = reach(&format!("udp:{port}"));
    assert_eq!(pointed.peer, format!("127.0.0.1:{port}"));
}

#[test]
fn a_port_that_is_taken_is_not_shared() {
    let (bound, _socket) = hear("udp:127.0.0.1:0");
    let error = bind(&parse(&format!("udp:{}", bound.local.unwrap()))).unwrap_err();
    assert_eq!(error.line(), format!("cannot listen on {}: address already in use", bound.printed));
    assert_eq!(error.status(), ExitStatus::Usage);
}

#[test]
fn a_connected_socket_is_told_refusals_and_the_next_address_is_tried() {
    let closed = closed();
    let mut course = Course::new(&parse(&format!("udp:{closed}"))).unwrap();
    let pointed = course.open_next().unwrap();
    assert_eq!((pointed.to, pointed.most), (None, (MOST_OVER_V4, "IPv4")));
    let socket = UdpSocket::from(pointed.fd.try_clone().unwrap());
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.send(b"anybody?").unwrap();
    let error = socket.recv(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    course.refused(&pointed, error);
    let error = course.open_next().unwrap_err();
    assert_eq!(error.line(), format!("cannot connect to {closed}: connection refused"));
    assert_eq!(error.status(), ExitStatus::Network);

    // localhost is two addresses
    let mut course = Course::new(&parse(&format!("udp:{}", closed.port()))).unwrap();
    let mut tried = Vec::new();
    let error = loop {
        match course.open_next() {
            Ok(pointed) => {
                course.refused(&pointed, io::Error::from_raw_os_error(libc::ECONNREFUSED));
                tried.push(pointed.peer);
            }
            Err(error) => break error,
        }
    };
    assert_eq!(tried[0], format!("127.0.0.1:{}", closed.port()));
    assert!(tried.len() == 1 || tried[1] == format!("[::1]:{}", closed.port()), "{tried:?}");
    assert!(error.line().contains("connection refused"), "{error}");
}

#[test]
fn the_source_is_where_it_was_asked_for() {
    let (bound, socket) = hear("udp:127.0.0.1:0");
    let word = format!("udp,source=127.0.0.9:{}", bound.local.unwrap());
    let (pointed, sender) = reach(&word);
    send(&pointed, &sender, b"x").unwrap();
    let (_, from) = socket.recv_from(&mut [0; 10]).unwrap();
    assert_eq!(from.ip(), IpAddr::from([127, 0, 0, 9]));
    assert_eq!(pointed.local, from.to_string());

    let (bound, _socket) = hear("udp:127.0.0.1:0");
    let taken = bound.local.unwrap().port();
    let error = Course::new(&parse(&format!("udp,source=127.0.0.1,source-port={taken}:127.0.0.1:9"))).unwrap();
    let error = { error }.open_next().unwrap_err();
    assert_eq!(error.line(), format!("cannot use source address 127.0.0.1:{taken}: address already in use"));
    let error = Course::new(&parse("udp,source=127.0.0.1:::1/9")).unwrap_err();
    assert!(error.line().ends_with("it has no address of the same family as the source address"), "{error}");
}

#[test]
fn a_broadcast_address_is_sent_to_only_where_that_is_meant() {
    let mut course = Course::new(&parse("udp:127.255.255.255:9")).unwrap();
    let error = course.open_next().unwrap_err();
    assert_eq!(error.line(), "cannot connect to 127.255.255.255:9: permission denied");
    assert_eq!((error.advice(), error.status()), (Some("-b, if that is a broadcast address"), ExitStatus::Usage));

    let (bound, socket) = hear("udp,4:0");
    let (pointed, sender) = reach(&format!("udp,broadcast:127.255.255.255:{}", bound.local.unwrap().port()));
    assert!(pointed.to.is_some());
    send(&pointed, &sender, b"all").unwrap();
    assert_eq!(heard(&socket), b"all");
}

#[test]
fn options_reach_the_socket() {
    let (_, socket) = reach("udp,ttl=7,dscp=ef,rcvbuf=20000,sndbuf=30000,broadcast:127.0.0.1:9");
    let socket = SockRef::from(&socket);
    assert_eq!((socket.ttl_v4().unwrap(), socket.tos_v4().unwrap()), (7, 184));
    assert!(socket.recv_buffer_size().unwrap() <= 40_000 && socket.send_buffer_size().unwrap() <= 60_000);
    assert!(socket.broadcast().unwrap());
    let wide = bind(&parse("udp:127.0.0.1:0")).unwrap();
    let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
    let size = |fd: &dyn AsFd| SockRef::from(&fd.as_fd()).recv_buffer_size().unwrap();
    assert!(size(&wide.fd) >= size(&plain));
    for (word, line) in [
        ("udp,iface=nosuch0:127.0.0.1:9", "cannot set iface=nosuch0: no such device"),
        ("udp,iface=nosuch0:239.1.2.3:9", "cannot set iface=nosuch0: no such device"),
        ("udp,loop:127.0.0.1:9", "cannot use --loop: it is about a multicast group, and that is none"),
    ] {
        let error = Course::new(&parse(word)).unwrap().open_next().unwrap_err();
        if !(cfg!(feature = "portable") && word.contains("nosuch0:127")) {
            assert_eq!((error.line().as_str(), error.status()), (line, ExitStatus::Usage), "{word}");
        }
    }
    let error = bind(&parse("udp,iface=nosuch0:239.1.2.3:0")).unwrap_err();
    assert_eq!(error.line(), "cannot set iface=nosuch0: no such device");
}

#[cfg(not(feature = "portable"))]
#[test]
fn what_is_too_long_for_the_path_is_refused_where_fragments_are_forbidden() {
    use super::course::MOST_OVER_V6;
    // 65536 bytes are the loopback's most, and over IPv6 a full datagram and its headers have more
    let (bound, socket) = hear("udp:::1/0");
    let port = bound.local.unwrap().port();
    let (pointed, sender) = reach(&format!("udp:::1/{port}"));
    send(&pointed, &sender, &vec![0; MOST_OVER_V6]).unwrap();
    assert_eq!(socket.recv(&mut vec![0; MOST_OVER_V6 + 1]).unwrap(), MOST_OVER_V6);
    let (pointed, sender) = reach(&format!("udp,df:::1/{port}"));
    let error = send(&pointed, &sender, &vec![0; MOST_OVER_V6]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    // over IPv4 it is the limit of the protocol that is met first
    let (bound, _heard) = hear("udp:127.0.0.1:0");
    let (pointed, sender) = reach(&format!("udp,df:{}", bound.local.unwrap()));
    send(&pointed, &sender, &vec![0; MOST_OVER_V4]).unwrap();
    let error = send(&pointed, &sender, &vec![0; MOST_OVER_V4 + 1]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
}

/// On the loopback interface, which every machine has; a group that is used nowhere else in the tests.
#[cfg(not(feature = "portable"))]
#[test]
fn a_group_is_joined_by_listening_on_it() {
    for (group, place) in [("239.255.77.1:", "239.255.77.1:"), ("ff02::7701%lo/", "[ff02::7701%lo]:")] {
        let (bound, socket) = hear(&format!("udp,iface=lo:{group}0"));
        let port = bound.local.unwrap().port();
        assert_eq!(bound.printed, format!("{place}{port}"));
        // a second listener of the same group on this machine
        let (_second, other) = hear(&format!("udp,iface=lo:{group}{port}"));
        let (pointed, sender) = reach(&format!("udp,iface=lo,ttl=0:{group}{port}"));
        assert!(pointed.to.is_some(), "a connected socket hears no answers from members");
        if group.starts_with('f') {
            let joined = std::fs::read_to_string("/proc/net/igmp6").unwrap();
            let on_lo = |line: &str| line.contains(" lo ") && line.contains("ff020000000000000000000000007701");
            assert!(joined.lines().any(on_lo), "{joined}");
        }
        match send(&pointed, &sender, b"all") {
            // ip -6 route add table local multicast ff00::/8 dev lo
            Err(error) if error.kind() == io::ErrorKind::NetworkUnreachable && group.starts_with('f') => {
                eprintln!("skipped: the loopback interface has no route for IPv6 groups");
                continue;
            }
            result => assert_eq!(result.unwrap(), 3),
        }
        assert_eq!((heard(&socket), heard(&other)), (b"all".to_vec(), b"all".to_vec()), "{group}");
        let hops = SockRef::from(&sender);
        let hops = if group.starts_with('2') { hops.multicast_ttl_v4() } else { hops.multicast_hops_v6() };
        assert_eq!(hops.unwrap(), 0);
        // this interface gives everything back, whatever the option says
        for (option, expected) in [("", true), ("loop,", true), ("loop=off,", false)] {
            let (_, socket) = reach(&format!("udp,{option}iface=lo:{group}{port}"));
            let socket = SockRef::from(&socket);
            let on = if group.starts_with('2') { socket.multicast_loop_v4() } else { socket.multicast_loop_v6() };
            assert_eq!(on.unwrap(), expected, "{option}");
        }
    }
}

#[cfg(not(feature = "portable"))]
#[test]
fn a_source_of_a_group_is_the_only_one_heard() {
    let (bound, socket) = hear("udp,iface=lo,source=127.0.0.3:232.77.0.2:0");
    // somebody else on this machine wants everything: what they joined is not heard here
    let _open = hear(&format!("udp,iface=lo:{}", bound.local.unwrap()));
    let port = bound.local.unwrap().port();
    for (from, text) in [("127.0.0.2", b"no"), ("127.0.0.3", b"ok")] {
        let (pointed, sender) = reach(&format!("udp,iface=lo,source={from}:232.77.0.2:{port}"));
        send(&pointed, &sender, text).unwrap();
    }
    assert_eq!(heard(&socket), b"ok");
    let error = bind(&parse("udp,source=127.0.0.1:localhost:0")).unwrap_err();
    assert!(error.line().ends_with("--source picks a sender of a multicast group, and that is no group"), "{error}");
}

#[test]
fn a_unix_peer_can_answer_and_files_go_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    // what a listener left behind that was killed
    drop(UnixDatagram::bind(&path).unwrap());
    let word = format!("unix,dgram,mode=600:{}", path.display());
    let bound = bind(&parse(&word)).unwrap();
    assert_eq!((bound.protocol, bound.path()), ("unix-dgram", Some(path.as_path())));
    let error = bind(&parse(&word)).unwrap_err();
    assert!(error.line().ends_with("address already in use"), "{error}");

    let listener = UnixDatagram::from(bound.fd.try_clone().unwrap());
    let pointed = Course::new(&parse(&format!("unix,dgram:{}", path.display()))).unwrap().open_next().unwrap();
    assert!(pointed.most.0 > MOST_OVER_V4 && pointed.to.is_none());
    let own = pointed.file.as_ref().map(|_| PathBuf::from(&pointed.local));
    assert_eq!(own.is_none(), sys::AUTOBIND);
    let sender = UnixDatagram::from(pointed.fd.try_clone().unwrap());
    sender.send(b"question").unwrap();
    let mut buffer = [0; 20];
    let (count, from) = listener.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"question");
    listener.send_to_addr(b"answer", &from).unwrap();
    let count = sender.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"answer");

    drop((pointed, bound));
    assert!(!path.exists() && own.is_none_or(|own| !own.exists()));
    let mut course = Course::new(&parse(&format!("unix,dgram:{}", path.display()))).unwrap();
    let error = course.open_next().unwrap_err();
    assert!(error.line().ends_with("no such file or directory"), "{error}");
    assert_eq!(error.status(), ExitStatus::Network);
}
