//! Sessions over real descriptors in a real reactor: both zero-copy carriers and the plain one.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use super::descriptors::{
    Far, KINDS, bytes, descriptor, drop_nothing, file_of, file_with, local_end, read_in_pieces, run, sink, socket_end,
    source, write_in_pieces,
};
use crate::endpoint::socket::Family;
use crate::endpoint::testing::{send_urgent, seqpacket_pair, tcp_pair};
use crate::plan::{AfterPeerEof, Flow};
use crate::session::policy::Policy;
use crate::sys::{self, Access};

#[test]
fn every_pair_of_ends_carries_every_byte_with_and_without_splice() {
    let sizes = [0, 1, 65_535, 65_536, 65_537, (1 << 20) - 1, 1 << 20, (1 << 20) + 4097];
    let mut seed = 0;
    for from in KINDS {
        for to in KINDS {
            for splice in [true, false] {
                for size in [sizes[seed as usize % 8], sizes[(seed as usize / 8 + 5) % 8]] {
                    seed += 1;
                    let payload = bytes(size, seed);
                    let left = source(from, &payload, seed);
                    let (right, heard) = sink(to, seed + 1);
                    let outcome = run(left, right, Policy { splice, ..drop_nothing() });
                    let what = format!("{from:?} to {to:?}, splice {splice}, {size} bytes: {outcome:?}");
                    assert_eq!((outcome.status().code(), outcome.bytes), (0, [size as u64, 0]), "{what}");
                    assert!(heard.bytes() == payload, "{what}");
                }
            }
        }
    }
}

#[test]
fn both_ways_at_once_in_both_orders_of_ending() {
    for seed in 0..12u64 {
        let (size, splice) = (70_000 * seed as usize, seed % 3 != 0);
        let (outward, inward) = (bytes(size, seed), bytes(900_000 - size, seed + 50));
        let (near, far) = tcp_pair(None);
        let reply = inward.clone();
        let far = Far::spawn(far, move |far| {
            let mut writer = far.try_clone().unwrap();
            let answer = |writer: &mut TcpStream| {
                write_in_pieces(writer, &reply, seed);
                writer.shutdown(std::net::Shutdown::Write).unwrap();
            };
            match seed % 2 {
                // answers only once it has heard everything
                0 => {
                    let heard = read_in_pieces(far, seed);
                    answer(&mut writer);
                    heard
                }
                _ => std::thread::scope(|scope| {
                    scope.spawn(|| answer(&mut writer));
                    read_in_pieces(far, seed)
                }),
            }
        });
        let (output, into) = io::pipe().unwrap();
        let output = Far::spawn(output, move |output| read_in_pieces(output, seed));
        let reader = descriptor(file_with(&outward), Access::Read);
        let local = local_end(Some(reader), Some(descriptor(into, Access::Write)));
        let peer = socket_end(near.into(), Family::Tcp, None);
        let outcome = run(local, peer, Policy { splice, ..drop_nothing() });
        assert_eq!(outcome.status().code(), 0, "{outcome:?}");
        assert!(far.join() == outward && output.join() == inward, "seed {seed}");
    }
}

#[test]
fn an_urgent_byte_neither_stops_nor_spoils_the_stream() {
    for to in KINDS {
        for splice in [true, false] {
            let (near, far) = tcp_pair(None);
            let parts = [bytes(300_000, 1), bytes(200_000, 2)];
            let payload = parts.concat();
            let far = Far::spawn(far, move |far| {
                write_in_pieces(far, &parts[0], 3);
                send_urgent(far, b'!');
                write_in_pieces(far, &parts[1], 4);
                far.shutdown(std::net::Shutdown::Write).unwrap();
                read_in_pieces(far, 5)
            });
            let (right, heard) = sink(to, 1);
            let outcome = run(socket_end(near.into(), Family::Tcp, None), right, Policy { splice, ..drop_nothing() });
            assert_eq!(outcome.status().code(), 0, "to {to:?}, splice {splice}: {outcome:?}");
            let heard = heard.bytes();
            let wrong = heard.iter().zip(&payload).position(|(a, b)| a != b);
            assert!(heard == payload, "to {to:?}, splice {splice}: {} bytes, wrong from {wrong:?}", heard.len());
            far.join();
        }
    }
}

#[test]
fn a_full_pipe_does_not_stop_the_one_that_fills_it() {
    // straight splice answers WouldBlock for an empty source and for a full sink alike; each is made to happen in turn
    let (source, mut fill) = io::pipe().unwrap();
    let (drain, sink) = io::pipe().unwrap();
    let payload = bytes(3_000_000, 9);
    let sent = payload.clone();
    // the writer goes on only when the reader has seen what came before: first the source is empty, then the sink full
    let (tell, told) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        for part in sent.chunks(100_000) {
            fill.write_all(part).unwrap();
            if part.len() == 100_000 {
                let _ = told.recv();
            }
        }
    });
    let reader = Far::spawn(drain, move |drain| {
        let (mut heard, mut buffer) = (Vec::new(), vec![0; 100_000]);
        while let Ok(count @ 1..) = drain.read(&mut buffer) {
            heard.extend(&buffer[..count]);
            if heard.len() / 100_000 != (heard.len() - count) / 100_000 {
                // two at a time: the writer gets ahead and fills the sink
                let _ = (tell.send(()), tell.send(()));
            }
        }
        heard
    });
    let left = local_end(Some(descriptor(source, Access::Read)), None);
    let right = local_end(None, Some(descriptor(sink, Access::Write)));
    let outcome = run(left, right, drop_nothing());
    writer.join().unwrap();
    assert_eq!(outcome.bytes, [3_000_000, 0], "{outcome:?}");
    assert!(reader.join() == payload);
}

#[test]
fn dropping_in_the_kernel_keeps_to_the_byte_limit() {
    let (near, far) = tcp_pair(None);
    let far = Far::spawn(far, |far| {
        let _ = far.write_all(&bytes(500_000, 1));
        Vec::new()
    });
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
    let local = local_end(None, Some(descriptor(null, Access::Write)));
    let peer = socket_end(near.into(), Family::Tcp, None);
    let policy = Policy { max_bytes: Some(300_000), flow: Flow::ReceiveOnly, block: 70_000, ..drop_nothing() };
    let outcome = run(local, peer, policy);
    assert_eq!((outcome.status().code(), outcome.bytes), (0, [0, 300_000]), "{outcome:?}");
    far.join();
}

#[test]
fn a_record_longer_than_the_byte_limit_is_cut_there() {
    let (near, far) = seqpacket_pair();
    rustix::io::write(&far, &[7; 1000]).unwrap();
    rustix::net::shutdown(&far, rustix::net::Shutdown::Write).unwrap();
    let policy = Policy { after_peer_eof: AfterPeerEof::Exit, block: 10, max_bytes: Some(100), ..drop_nothing() };
    let (local, written) = file_of(b"");
    let outcome = run(local, socket_end(near, Family::Seqpacket, None), policy);
    assert_eq!(outcome.status().code(), 0, "{outcome:?}");
    assert_eq!(written.bytes(), [7; 100]);
}

#[test]
fn a_reset_with_our_bytes_in_its_queue_is_no_success() {
    if !sys::SPLICE {
        return; // a platform file that cannot ask for the send queue either
    }
    // the peer ends, then closes without having read what we sent: only lingering can notice
    for family in [Family::Tcp, Family::Unix] {
        let (near, far): (OwnedFd, OwnedFd) = match family {
            Family::Tcp => {
                let (near, far) = tcp_pair(Some(4096));
                (near.into(), far.into())
            }
            _ => {
                let (near, far) = UnixStream::pair().unwrap();
                (near.into(), far.into())
            }
        };
        rustix::net::shutdown(&far, rustix::net::Shutdown::Write).unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        let (output, into) = io::pipe().unwrap();
        let far = Far::spawn((far, output), move |(far, output)| {
            writer.write_all(&[1; 100_000]).unwrap();
            drop(writer);
            let mut some = [0; 1];
            // our output is closed once the peer's end was seen; then what was sent is in the peer's queue
            assert_eq!(output.read(&mut some).unwrap(), 0);
            rustix::io::read(&*far, &mut some).unwrap();
            Vec::new()
        });
        let local = local_end(Some(descriptor(reader, Access::Read)), Some(descriptor(into, Access::Write)));
        let outcome = run(local, socket_end(near, family, None), drop_nothing());
        assert_eq!(outcome.status().code(), 1, "{family:?}: {outcome:?}");
        far.join();
    }
}
