//! Many real sockets on a real reactor.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use super::*;
use crate::endpoint::descriptor::Descriptor;
use crate::endpoint::socket::{Family, Socket};
use crate::endpoint::testing::drive;
use crate::endpoint::{Descriptors, Transport};
use crate::outcome::{Ended, ExitStatus};
use crate::session::end::End;
use crate::session::hub::{Hub, Standing};
use crate::sys::Access;

/// Our side of a client, and the client's.
fn pair() -> (End, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let socket = Socket::own(OwnedFd::from(ours), Family::Unix);
    (End::new(Transport::Socket(socket), Side::Peer("peer".into()), None), theirs)
}

/// Runs a hub with these clients until they have all gone; the number of turns it took.
fn run(share: Share, local: Option<End>, ends: Vec<End>) -> usize {
    let (context, _) = context(share, policy());
    let mut hub = Hub::new(local, context, Instant::now());
    let (mut ends, mut turns) = (Some(ends), 0);
    drive(move |turn| {
        turns += 1;
        if let Some(ends) = ends.take() {
            hub.start(turn).unwrap();
            for (number, end) in ends.into_iter().enumerate() {
                hub.add(turn, end, number as u64, None).unwrap();
            }
            hub.expect_no_more();
        }
        match hub.turn(turn) {
            Standing::Over(_) => Ok(turns),
            Standing::Busy => Err(Some(turn.now())),
            Standing::Waiting => Err(hub.deadline(turn.now())),
        }
    })
}

fn descriptors(reader: Option<OwnedFd>, writer: Option<OwnedFd>) -> End {
    let open = |fd: Option<OwnedFd>, access| {
        fd.map(|fd| {
            rustix::io::ioctl_fionbio(fd.as_fd(), true).unwrap();
            Descriptor::own(fd, access).unwrap()
        })
    };
    let both = Descriptors { reader: open(reader, Access::Read), writer: open(writer, Access::Write) };
    End::new(Transport::from(both), local_side(), None)
}

// Each with its own lines, which come in parts.
#[test]
fn no_line_of_a_thousand_clients_is_lost_or_torn() {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    // two descriptors each, and some for other tests
    let count = CLIENTS.min((most as usize - 200) / 2);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (ends, mut theirs): (Vec<End>, Vec<UnixStream>) = (0..count).map(|_| pair()).unzip();
    let collector = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    let clients = thread::spawn(move || {
        for round in 0..LINES {
            for (number, stream) in theirs.iter_mut().enumerate() {
                // torn on the way, so that lines arrive in parts
                let line = format!("client {number} says {round}\n");
                let (head, tail) = line.split_at(line.len() / 2);
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(tail.as_bytes()).unwrap();
            }
        }
    });
    run(Share::Merge, Some(descriptors(None, Some(writer.into()))), ends);
    clients.join().unwrap();
    let text = collector.join().unwrap();
    let mut next = vec![0; count];
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let ["client", number, "says", round] = words[..] else { panic!("torn: {line}") };
        let number: usize = number.parse().unwrap();
        assert_eq!(round.parse::<usize>().unwrap(), next[number], "out of order: {line}");
        next[number] += 1;
    }
    assert!(next.iter().all(|count| *count == LINES));
}

#[test]
fn everybody_hears_everybody_else_and_the_whole_input() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let (ends, theirs): (Vec<End>, Vec<UnixStream>) = (0..20).map(|_| pair()).unzip();
    let payload: Vec<u8> = (0..2_000_000u32).flat_map(u32::to_le_bytes).collect();
    let expected = payload.clone();
    let feeder = thread::spawn(move || writer.write_all(&payload).unwrap());
    let readers: Vec<_> = theirs
        .into_iter()
        .map(|mut stream| {
            thread::spawn(move || {
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                got
            })
        })
        .collect();
    run(Share::FanOut, Some(descriptors(Some(reader.into()), None)), ends);
    feeder.join().unwrap();
    for reader in readers {
        assert!(reader.join().unwrap() == expected);
    }
}

// They are also let go when they close, though nothing is sent to them that would tell.
#[test]
fn a_broker_serves_two_among_many_that_do_not_read() {
    let (ends, mut theirs): (Vec<End>, Vec<UnixStream>) = (0..50).map(|_| pair()).unzip();
    let mut hearer = theirs.pop().unwrap();
    let mut speaker = theirs.pop().unwrap();
    let listener = thread::spawn(move || {
        let mut got = vec![0; 100_000];
        hearer.read_exact(&mut got).unwrap();
        got
    });
    let sender = thread::spawn(move || {
        for _ in 0..1000 {
            speaker.write_all(&[b'x'; 100]).unwrap();
        }
        // everybody goes once it is heard
        let got = listener.join().unwrap();
        drop(theirs);
        got
    });
    run(Share::Broker, None, ends);
    assert!(sender.join().unwrap().iter().all(|byte| *byte == b'x'));
}

/// Runs a hub whose output is a file that this syncs, with a client that says a word; it is stopped, and its time is up,
/// when the disk is at work.
fn run_on_disk(sync: impl FnOnce(&File) -> io::Result<()> + Send + 'static) -> Ended {
    let (release, released) = channel::<()>();
    let mut writer = Descriptor::own(tempfile::tempfile().unwrap().into(), Access::Write).unwrap();
    writer.sync_before_close();
    let writer = writer.synced_by(move |file| {
        released.recv().map_err(io::Error::other)?;
        sync(file)
    });
    let both = Descriptors { reader: None, writer: Some(writer) };
    let local = End::new(Transport::from(both), local_side(), None);
    let (context, _) = context(Share::Merge, policy());
    let mut hub = Hub::new(Some(local), context, Instant::now());
    let (client, mut theirs) = pair();
    theirs.write_all(b"word\n").unwrap();
    drop(theirs);
    let mut client = Some(client);
    drive(move |turn| {
        if let Some(client) = client.take() {
            hub.start(turn).unwrap();
            hub.add(turn, client, 1, None).unwrap();
            hub.expect_no_more();
        }
        match hub.turn(turn) {
            Standing::Over(ended) => return Ok(ended),
            Standing::Busy => return Err(Some(turn.now())),
            Standing::Waiting => {}
        }
        if hub.local.as_ref().is_some_and(|local| local.transport().is_settling()) {
            hub.stop(Ended::Signal(15), turn.now() - policy().grace);
            let _ = release.send(());
            assert!(hub.deadline(turn.now()).is_none(), "it spins while it waits for the disk");
        }
        Err(hub.deadline(turn.now()))
    })
}

#[test]
fn the_end_waits_for_the_disk_and_a_disk_that_fails_is_told() {
    let ended = run_on_disk(|file| {
        assert_eq!(file.metadata().unwrap().len(), 5);
        file.sync_all()
    });
    assert!(matches!(ended, Ended::Signal(15)), "{ended:?}");
    let ended = run_on_disk(|_| Err(io::Error::from_raw_os_error(libc::EIO)));
    assert!(matches!(ended, Ended::Told(ExitStatus::LocalIo)), "{ended:?}");
}

const CLIENTS: usize = 1000;

const LINES: usize = 5;
