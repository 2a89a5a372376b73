//! Records: over unix,seqpacket no byte is lost whatever the length of a record, and an empty one is not the end.

use std::fs;
use std::path::Path;

use rustix::net::RecvFlags;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::data::{assert_same, bytes};
use crate::harness::{DEADLINE, Input, Program, Running, file_with, haul, proc, scratch};

/// What haul does.
#[derive(Clone, Copy, Debug)]
enum Role {
    Listens,
    Connects,
}

const ROLES: [Role; 2] = [Role::Listens, Role::Connects];

fn socket() -> Socket {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// haul, and a plain socket that can send long records.
#[track_caller]
fn join(
    role: Role,
    path: &Path,
    options: &str,
    flags: &[&str],
    prepare: impl Fn(Program) -> Program,
) -> (Running, Socket) {
    let subcommand = match role {
        Role::Listens => "listen",
        Role::Connects => "connect",
    };
    let endpoint = format!("unix,seqpacket{options}:{}", path.display());
    let program = prepare(haul([&[subcommand], flags, &[endpoint.as_str()]].concat()));
    let address = SockAddr::unix(path).unwrap();
    let (haul, peer) = match role {
        Role::Listens => {
            let haul = program.spawn();
            proc::wait_for_unix_listener(path);
            let peer = socket();
            peer.connect(&address).unwrap();
            (haul, peer)
        }
        Role::Connects => {
            let listener = socket();
            listener.bind(&address).unwrap();
            listener.listen(1).unwrap();
            let haul = program.spawn();
            (haul, listener.accept().unwrap().0)
        }
    };
    peer.set_send_buffer_size(4 << 20).unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    peer.set_write_timeout(Some(DEADLINE)).unwrap();
    (haul, peer)
}

/// Sends records of these lengths; false if this kernel lets no record be that long.
#[track_caller]
fn send_records(peer: &Socket, lengths: &[usize], mut sent: impl FnMut(&[u8])) -> bool {
    for (seed, &length) in lengths.iter().enumerate() {
        let record = bytes(seed as u64 + 1, length);
        match peer.send(&record) {
            Ok(count) => assert_eq!(count, length),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => return false,
            Err(error) => panic!("cannot send a record of {length} bytes: {error}"),
        }
        sent(&record);
    }
    true
}

/// Every byte of these records arrives, whether haul reads each as it comes or finds them all with the end behind.
#[track_caller]
fn all_arrive(flags: &[&str], lengths: &[usize]) {
    for role in ROLES {
        for at_once in [false, true] {
            let home = scratch();
            let (haul, peer) = join(role, &home.path().join("s"), "", flags, |haul| haul.stdin(Input::Null));
            if at_once {
                haul.freeze();
            }
            let mut content = Vec::new();
            let possible = send_records(&peer, lengths, |record| {
                content.extend(record);
                if !at_once {
                    haul.stdout_reaches(content.len());
                }
            });
            if at_once {
                haul.thaw();
            }
            drop(peer);
            let haul = haul.wait();
            if possible {
                haul.ok();
            }
            assert_same(&format!("{role:?}, {at_once}, records of {lengths:?}"), &haul.stdout, &content);
        }
    }
}

// A record longer than haul's buffer arrives whole.
#[test]
fn a_record_longer_than_the_buffer_arrives_whole() {
    all_arrive(&[], &[300_000, 3]);
    all_arrive(&[], &[1_500_000, 3]);
    all_arrive(&["--buffer", "1000"], &[1500, 3]);
    all_arrive(&["--block", "1000"], &[1500, 3, 2500]);
}

// An empty record is nothing: what comes behind it arrives, and the end is the end.
#[test]
fn an_empty_record_is_not_the_end() {
    all_arrive(&[], &[10, 0, 20, 5]);
    all_arrive(&[], &[0, 10, 0, 0, 5, 0, 0]);
    all_arrive(&[], &[0]);
    all_arrive(&[], &[5, 0]);
    all_arrive(&[], &[[0; 200].as_slice(), &[7]].concat());
}

// haul can still send after an empty record, which a peer that has ended would not see.
#[test]
fn an_empty_record_leaves_the_other_direction_open() {
    for role in ROLES {
        let home = scratch();
        let flags = ["--after-peer-eof", "exit"];
        let (mut haul, peer) = join(role, &home.path().join("s"), "", &flags, |haul| haul.stdin(Input::Piped));
        assert!(send_records(&peer, &[0, 5], |_| ()));
        haul.stdout_reaches(5);
        haul.say(b"answer");
        let mut buffer = [0; 100];
        assert_eq!(rustix::net::recv(&peer, &mut buffer, RecvFlags::empty()).unwrap().0, 6);
        drop(peer);
        haul.wait().ok();
    }
}

// --max-bytes cuts inside a record.
#[test]
fn max_bytes_cuts_a_record() {
    for role in ROLES {
        for (flags, most) in [
            (&["--max-bytes", "1000"][..], 1000),
            (&["--max-bytes", "1500"], 1500),
            (&["--max-bytes", "2000"], 2000),
            (&["--max-bytes", "1600", "--buffer", "1000"], 1600),
        ] {
            let home = scratch();
            let (haul, peer) = join(role, &home.path().join("s"), "", flags, |haul| haul.stdin(Input::Null));
            haul.freeze();
            let mut content = Vec::new();
            assert!(send_records(&peer, &[1500, 1500], |record| content.extend(record)));
            haul.thaw();
            let haul = haul.wait();
            haul.ok();
            assert_same(&format!("{role:?}, {flags:?}"), &haul.stdout, &content[..most]);
        }
    }
}

// A stream is sent in records that fit the send buffer, however small that was made.
#[test]
fn a_stream_is_cut_into_records_that_can_be_sent() {
    for role in ROLES {
        for options in ["", ",sndbuf=1Ki", ",sndbuf=40Ki"] {
            let home = scratch();
            let content = bytes(9, 300_001);
            let from = file_with(home.path(), "from", &content);
            let (haul, peer) = join(role, &home.path().join("s"), options, &[], |haul| {
                haul.stdin(Input::Fd(fs::File::open(&from).unwrap().into()))
            });
            let (mut got, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
            while let (count @ 1.., _) = rustix::net::recv(&peer, &mut buffer, RecvFlags::empty()).unwrap() {
                assert!(count <= 64 << 10, "a record of {count} bytes");
                got.extend(&buffer[..count]);
            }
            assert_same(&format!("{role:?}, {options:?}"), &got, &content);
            drop(peer);
            haul.wait().ok();
        }
    }
}

// Where standard input and output are sockets that keep records, their bounds are kept on the way, and no byte is lost.
#[test]
fn records_of_standard_input_stay_records() {
    for role in ROLES {
        let home = scratch();
        let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        let theirs = std::cell::Cell::new(Some(theirs));
        let (haul, peer) = join(role, &home.path().join("s"), "", &["--block", "1000"], |haul| {
            haul.stdin(Input::Fd(theirs.take().unwrap().into()))
        });
        ours.set_send_buffer_size(4 << 20).unwrap();
        assert!(send_records(&ours, &[10, 900, 0, 700, 300_000, 3], |_| ()));
        drop(ours);
        let (mut lengths, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
        while let (count @ 1.., _) = rustix::net::recv(&peer, &mut buffer, RecvFlags::empty()).unwrap() {
            lengths.push(count);
        }
        assert_eq!((&lengths[..3], lengths.iter().sum()), (&[10, 900, 700][..], 301_613), "{role:?}");
        drop(peer);
        haul.wait().ok();
    }
}
