use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::datagram::Inbox;
use crate::sys::UnixName;

const PATIENCE: Duration = Duration::from_secs(10);

fn pair() -> (UdpSocket, UdpSocket) {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    (sender, receiver)
}

/// Receives until `count` datagrams are there.
fn receive(inbox: &mut Inbox, socket: &impl AsFd, count: usize) -> Vec<Vec<u8>> {
    let (mut found, begin) = (Vec::new(), Instant::now());
    while found.len() < count {
        assert!(begin.elapsed() < PATIENCE, "{} of {count} datagrams", found.len());
        match inbox.receive(socket.as_fd()) {
            Ok(_) => found.extend(inbox.datagrams().map(|datagram| datagram.payload.to_vec())),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    found
}

fn payloads(lengths: &[usize]) -> Vec<Vec<u8>> {
    lengths.iter().enumerate().map(|(index, length)| vec![index as u8; *length]).collect()
}

fn go_through(lengths: &[usize], joined: bool) {
    let (sender, receiver) = pair();
    if joined {
        let _ = sys::join_arrivals(receiver.as_fd());
    }
    let (mut outbox, mut inbox, payloads) = (Outbox::new(true), Inbox::new(), payloads(lengths));
    for payload in &payloads {
        assert!(outbox.push(None, payload));
    }
    assert_eq!(outbox.len(), payloads.len());
    let flushed = outbox.flush(sender.as_fd());
    assert!(matches!(flushed.stop, Stop::Empty), "{flushed:?}");
    assert_eq!(flushed.datagrams, payloads.len() as u64);
    assert_eq!(flushed.bytes, lengths.iter().sum::<usize>() as u64);
    assert!(outbox.is_empty());
    assert_eq!(receive(&mut inbox, &receiver, payloads.len()), payloads);
    assert_eq!(inbox.truncated(), 0);
}

#[test]
fn bounds_and_order_are_kept_with_and_without_offload() {
    for joined in [true, false] {
        go_through(&[0], joined);
        go_through(&[1, 1, 1, 0, 0, 1], joined);
        go_through(&[100; 130], joined);
        go_through(&[100, 100, 100, 7, 100, 100, 7, 8, 9], joined);
        go_through(&[1472, 1473, 1473, 1400, 1400], joined);
        go_through(&[65_507, 65_507, 1], joined);
        go_through(&[40_000, 40_000, 39_999], joined);
    }
}

#[test]
fn one_byte_too_many_fails_alone() {
    let (sender, receiver) = pair();
    let (mut outbox, mut inbox) = (Outbox::new(true), Inbox::new());
    for length in [3, 65_508, 4] {
        assert!(outbox.push(None, &vec![1; length]));
    }
    let flushed = outbox.flush(sender.as_fd());
    let Stop::Failed(error) = flushed.stop else { panic!("{flushed:?}") };
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    assert!(matches!(outbox.flush(sender.as_fd()).stop, Stop::Empty));
    assert_eq!(outbox.failed(), 1);
    let lengths: Vec<usize> = receive(&mut inbox, &receiver, 2).iter().map(Vec::len).collect();
    assert_eq!(lengths, [3, 4]);
}

#[test]
fn each_datagram_goes_to_whom_it_is_for_and_says_who_sent_it() {
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let receivers: Vec<_> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let mut outbox = Outbox::new(true);
    for turn in 0..9u8 {
        let to = Peer::Ip(receivers[usize::from(turn) / 2 % 3].local_addr().unwrap());
        assert!(outbox.push(Some(&to), &[turn; 5]));
    }
    assert!(matches!(outbox.flush(sender.as_fd()).stop, Stop::Empty));
    let mut inbox = Inbox::new();
    for (receiver, turns) in receivers.iter().zip([&[0u8, 1, 6, 7][..], &[2, 3, 8], &[4, 5]]) {
        let expected: Vec<Vec<u8>> = turns.iter().map(|turn| vec![*turn; 5]).collect();
        assert_eq!(receive(&mut inbox, receiver, turns.len()), expected);
        assert!(inbox.datagrams().all(|datagram| datagram.from.ip() == sender.local_addr().ok()));
    }
}

#[test]
fn a_refusal_is_told_and_loses_nothing_that_is_still_here() {
    let (sender, receiver) = pair();
    let address = receiver.local_addr().unwrap();
    drop(receiver);
    let mut outbox = Outbox::new(true);
    assert!(outbox.push(None, b"into the void"));
    assert!(matches!(outbox.flush(sender.as_fd()).stop, Stop::Empty));
    let receiver = UdpSocket::bind(address).unwrap();
    assert!(outbox.push(None, b"one") && outbox.push(None, b"three"));
    // the ICMP message of a loopback is there before the send returns
    let flushed = outbox.flush(sender.as_fd());
    let Stop::Refused(error) = flushed.stop else { panic!("{flushed:?}") };
    assert_eq!((error.kind(), flushed.datagrams), (io::ErrorKind::ConnectionRefused, 0));
    let flushed = outbox.flush(sender.as_fd());
    assert!(matches!(flushed.stop, Stop::Empty), "{flushed:?}");
    assert_eq!((flushed.datagrams, outbox.failed()), (2, 0));
    assert_eq!(receive(&mut Inbox::new(), &receiver, 2), [&b"one"[..], b"three"]);
}

#[test]
fn a_unix_socket_whose_receiver_is_gone_fails_datagram_by_datagram() {
    let (sender, receiver) = UnixDatagram::pair().unwrap();
    let mut outbox = Outbox::new(false);
    assert!(outbox.push(None, b"one") && outbox.push(None, b""));
    assert!(matches!(outbox.flush(sender.as_fd()).stop, Stop::Empty));
    assert_eq!(receive(&mut Inbox::unix(100), &receiver, 2), [&b"one"[..], b""]);
    drop(receiver);
    assert!(outbox.push(None, b"two"));
    let stop = |outbox: &mut Outbox| outbox.flush(sender.as_fd()).stop;
    let mut refused = 0;
    while let Stop::Refused(_) = stop(&mut outbox) {
        refused += 1;
    }
    // the kernel may say ENOTCONN from the second time on
    assert!((1..REFUSALS).contains(&refused), "{refused}");
    assert_eq!((outbox.is_empty(), outbox.failed()), (true, 1));
}

#[test]
fn a_unix_datagram_longer_than_the_buffer_is_cut_and_counted() {
    let (sender, receiver) = UnixDatagram::pair().unwrap();
    let mut inbox = Inbox::unix(100);
    sender.send(&[7; 101]).unwrap();
    sender.send(&[8; 100]).unwrap();
    assert_eq!(receive(&mut inbox, &receiver, 2), [vec![7; 100], vec![8; 100]]);
    assert_eq!(inbox.truncated(), 1);
}

#[test]
fn unix_datagrams_say_who_sent_them() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let (a, b) = (UnixDatagram::bind(&one).unwrap(), UnixDatagram::bind(&two).unwrap());
    let name = |path: &std::path::Path| Peer::Unix(UnixName::new(path.as_os_str().as_encoded_bytes()).unwrap());
    let mut outbox = Outbox::new(false);
    assert!(outbox.push(Some(&name(&two)), b"hello"));
    assert!(matches!(outbox.flush(a.as_fd()).stop, Stop::Empty));
    let mut inbox = Inbox::unix(1000);
    receive(&mut inbox, &b, 1);
    assert_eq!(inbox.datagrams().next().unwrap().from, &name(&one));
}

#[test]
fn a_full_socket_keeps_the_rest_in_order() {
    let (sender, receiver) = UnixDatagram::pair().unwrap();
    sender.set_nonblocking(true).unwrap();
    let (mut outbox, mut inbox, mut sent, mut full) = (Outbox::new(false), Inbox::unix(100), 0u32, 0);
    let mut found = Vec::new();
    while sent < 2000 {
        while sent < 2000 && outbox.push(None, &sent.to_be_bytes()) {
            sent += 1;
        }
        while let Stop::Full = outbox.flush(sender.as_fd()).stop {
            full += 1;
            found.extend(receive(&mut inbox, &receiver, 1));
        }
    }
    found.extend(receive(&mut inbox, &receiver, 2000 - found.len()));
    assert!(full > 0);
    assert!(found.iter().enumerate().all(|(index, payload)| payload[..] == (index as u32).to_be_bytes()));
}

#[test]
fn what_went_out_goes_again_without_a_copy() {
    let (sender, receiver) = pair();
    let (mut outbox, mut inbox) = (Outbox::new(true), Inbox::new());
    assert_eq!(outbox.again(10), 0);
    for _ in 0..10 {
        assert!(outbox.push(None, b"same"));
    }
    assert_eq!(outbox.again(10), 0, "they still wait");
    assert!(matches!(outbox.flush(sender.as_fd()).stop, Stop::Empty));
    assert_eq!(outbox.again(100), 10);
    assert!(matches!(outbox.flush(sender.as_fd()).stop, Stop::Empty));
    assert_eq!(outbox.again(3), 3);
    assert!(matches!(outbox.flush(sender.as_fd()).stop, Stop::Empty));
    assert_eq!(receive(&mut inbox, &receiver, 23), vec![b"same".to_vec(); 23]);
    assert!(outbox.push(None, b"a") && outbox.push(None, b"bb"));
    assert!(matches!(outbox.flush(sender.as_fd()).stop, Stop::Empty));
    assert_eq!(outbox.again(10), 0, "two runs");
}

#[test]
fn a_committed_block_is_cut_as_it_says() {
    let (sender, receiver) = pair();
    let mut outbox = Outbox::new(true);
    outbox.space(10).unwrap()[..10].copy_from_slice(b"abcdefghij");
    assert!(outbox.commit(None, 10, 4));
    assert!(matches!(outbox.flush(sender.as_fd()).stop, Stop::Empty));
    assert_eq!(receive(&mut Inbox::new(), &receiver, 3), [&b"abcd"[..], b"efgh", b"ij"]);
}

#[test]
fn a_block_goes_in_whole_pieces() {
    let (sender, receiver) = pair();
    let block: Vec<u8> = (0..20_050u32).map(|at| (at / 100) as u8).collect();
    let (mut outbox, mut inbox, mut at) = (Outbox::new(true), Inbox::new(), 0);
    while block.len() - at >= 100 {
        let space = outbox.block(None, 100, u64::MAX).unwrap();
        let length = space.len().min((block.len() - at) / 100 * 100);
        assert!(space.len().is_multiple_of(100 * sys::MOST_SEGMENTS), "{}", space.len());
        space[..length].copy_from_slice(&block[at..at + length]);
        assert!(outbox.commit(None, length, 100));
        assert!(matches!(outbox.flush(sender.as_fd()).stop, Stop::Empty));
        let expected: Vec<Vec<u8>> = block[at..at + length].chunks(100).map(<[u8]>::to_vec).collect();
        assert_eq!(receive(&mut inbox, &receiver, length / 100), expected);
        at += length;
    }
}

#[test]
fn a_block_behind_a_part_of_a_piece_completes_it_and_keeps_to_what_may_go() {
    let mut outbox = Outbox::new(true);
    assert!(outbox.push(None, &[1; 100]));
    let length = outbox.block(None, 100, u64::MAX).map(|space| space.len()).unwrap();
    assert!((length / 100 + 1).is_multiple_of(sys::MOST_SEGMENTS), "{length}");
    assert_eq!(outbox.block(None, 100, 7).map(|space| space.len()), Some(700));
    // another receiver's piece begins with the block
    let other = Peer::Ip("127.0.0.1:9".parse().unwrap());
    let length = outbox.block(Some(&other), 100, u64::MAX).map(|space| space.len()).unwrap();
    assert!((length / 100).is_multiple_of(sys::MOST_SEGMENTS), "{length}");
}

/// What a kernel with these moods does with the parcels; `taken` is what goes over the wire.
struct Kernel {
    moods: Vec<u8>,
    at: usize,
    taken: Vec<Vec<u8>>,
}

impl Kernel {
    fn send(&mut self, parcels: &[Parcel<'_>]) -> io::Result<usize> {
        let mood = self.moods[self.at % self.moods.len()];
        self.at += 1;
        let code = match mood {
            0 => libc::EAGAIN,
            1 => libc::ECONNREFUSED,
            2 => libc::EINTR,
            3 if parcels[0].segment > 0 => libc::EINVAL,
            4 if parcels[0].segment > 0 => libc::EIO,
            5 if parcels[0].segment > 0 => libc::EMSGSIZE,
            _ => 0,
        };
        if code != 0 {
            return Err(io::Error::from_raw_os_error(code));
        }
        let count = parcels.len().min(usize::from(mood) - 2);
        for parcel in &parcels[..count] {
            match parcel.segment {
                0 => self.taken.push(parcel.bytes.to_vec()),
                size => {
                    let count = parcel.bytes.len().div_ceil(usize::from(size));
                    assert!(count <= 64 && parcel.bytes.len() <= PIECE);
                    self.taken.extend(parcel.bytes.chunks(usize::from(size)).map(<[u8]>::to_vec));
                }
            }
        }
        Ok(count)
    }
}

proptest! {
    // Whatever the kernel says: what is pushed goes out once, whole, in order, but for what is counted as failed.
    #[test]
    fn nothing_is_lost_doubled_or_moved(
        lengths in prop::collection::vec(prop_oneof![4 => Just(64usize), 2 => 0..70usize, 1 => 0..66_000usize], 0..400),
        moods in prop::collection::vec(0..12u8, 1..20),
    ) {
        prop_assume!(moods.iter().any(|mood| *mood > 5));
        let (mut outbox, mut kernel) = (Outbox::new(true), Kernel { moods, at: 0, taken: Vec::new() });
        let mut failed = Vec::new();
        let flush = |outbox: &mut Outbox, kernel: &mut Kernel, failed: &mut Vec<usize>| {
            let before = kernel.taken.len();
            let flushed = outbox.flush_by(|parcels| kernel.send(parcels));
            assert_eq!(flushed.datagrams, (kernel.taken.len() - before) as u64);
            if let Stop::Failed(_) = flushed.stop {
                failed.push(kernel.taken.len() + failed.len());
            }
            matches!(flushed.stop, Stop::Empty)
        };
        for (index, length) in lengths.iter().enumerate() {
            while !outbox.push(None, &vec![index as u8; *length]) {
                flush(&mut outbox, &mut kernel, &mut failed);
            }
        }
        while !flush(&mut outbox, &mut kernel, &mut failed) {}
        prop_assert_eq!(outbox.failed(), failed.len() as u64);
        prop_assert_eq!(outbox.len(), 0);
        let expected: Vec<(u8, usize)> = lengths
            .iter()
            .enumerate()
            .filter(|(index, _)| !failed.contains(index))
            .map(|(index, length)| (if *length == 0 { 0 } else { index as u8 }, *length))
            .collect();
        let taken: Vec<(u8, usize)> = kernel
            .taken
            .iter()
            .map(|payload| (payload.first().copied().unwrap_or(0), payload.len()))
            .collect();
        prop_assert_eq!(taken, expected);
    }
}

#[test]
fn a_descriptor_can_be_owned_by_the_room() {
    let (sender, receiver) = pair();
    let socket = crate::datagram::DatagramSocket::ip(OwnedFd::from(receiver));
    socket.prepare(false);
    sender.send(b"x").unwrap();
    assert_eq!(receive(&mut Inbox::new(), &socket.fd(), 1), [b"x"]);
}

/// The portable build answers from an address of the system's choice.
#[cfg(not(feature = "portable"))]
#[test]
fn answers_leave_from_the_address_that_was_written_to() {
    use socket2::{Domain, Socket, Type};

    let cases = [
        ("0.0.0.0:0", "127.0.0.5", Some("127.0.0.5")),
        ("[::]:0", "127.0.0.5", Some("127.0.0.5")),
        ("[::]:0", "::1", Some("::1")),
        ("0.0.0.0:0", "127.255.255.255", None),
        ("[::]:0", "127.255.255.255", None),
    ];
    for (place, to, expected) in cases {
        let place: std::net::SocketAddr = place.parse().unwrap();
        let socket = Socket::new(Domain::for_address(place), Type::DGRAM, None).unwrap();
        sys::tell_destinations(socket.as_fd(), place.is_ipv6()).unwrap();
        if place.is_ipv6() {
            socket.set_only_v6(false).unwrap();
        }
        socket.set_nonblocking(true).unwrap();
        socket.bind(&place.into()).unwrap();
        let _ = sys::join_arrivals(socket.as_fd());
        let socket = UdpSocket::from(socket);
        let at = (to, socket.local_addr().unwrap().port());

        let peer = UdpSocket::bind(if to == "::1" { "[::1]:0" } else { "127.0.0.1:0" }).unwrap();
        peer.set_broadcast(true).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        peer.send_to(b"question", at).unwrap();
        let (mut inbox, mut outbox) = (Inbox::new(), Outbox::new(true));
        assert_eq!(receive(&mut inbox, &socket, 1), [b"question"]);
        let run = inbox.runs().next().unwrap();
        assert_eq!(run.to.map(|local| local.ip.to_string()).as_deref(), expected, "{place} {to}");

        // several that go out as one piece, beside the request to cut it
        for text in [b"one", b"two", b"six"] {
            assert!(outbox.push_from(run.to, Some(run.from), text));
        }
        assert!(matches!(outbox.flush(socket.as_fd()).stop, Stop::Empty));
        for text in [b"one", b"two", b"six"] {
            let mut buffer = [0; 10];
            let (count, from) = peer.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..count], from.port()), (&text[..], at.1));
            assert_eq!(from.ip().to_string(), expected.unwrap_or("127.0.0.1"), "{place} {to}");
        }
    }
}

#[test]
fn what_leaves_from_different_addresses_is_not_one_piece() {
    let local = |ip: &str| Some(LocalIp { ip: ip.parse().unwrap(), scope: 0 });
    let mut outbox = Outbox::new(true);
    for from in [local("127.0.0.2"), local("127.0.0.3"), None] {
        assert!(outbox.push_from(from, None, b"x"));
    }
    let mut taken = Vec::new();
    let flushed = outbox.flush_by(|parcels| {
        taken.push((parcels[0].from, parcels[0].segment));
        Ok(1)
    });
    assert_eq!(flushed.datagrams, 3);
    assert_eq!(taken, [(local("127.0.0.2"), 0), (local("127.0.0.3"), 0), (None, 0)]);
}
