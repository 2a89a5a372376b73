//! The stream, its end and its receipts, over every chunking and with everything broken that can break.

mod failures;

use proptest::prelude::*;

use super::super::crlf::Crlf;
use super::super::stack::Stack;
use super::*;

fn stack(layers: Vec<Box<dyn Layer>>, capacity: usize) -> Stack {
    Stack::new(layers, capacity)
}

fn side(capacity: usize) -> Stack {
    stack(vec![Box::new(Verify::new(Instant::now()))], capacity)
}

/// Moves at most `most` bytes of what `from` has to say, through `alter`; how many.
fn carry(from: &mut Stack, to: &mut Stack, most: usize, heard: &mut Vec<u8>) -> usize {
    from.flush().unwrap();
    let mut count = 0;
    if let Some(wire) = from.outgoing() {
        let spare = to.wire_spare();
        count = wire.len().min(most).min(spare.len());
        spare[..count].copy_from_slice(&wire.filled()[..count]);
        wire.consume(count);
        to.wire_received(count);
    }
    take_plain(to, heard);
    count
}

fn take_plain(stack: &mut Stack, heard: &mut Vec<u8>) {
    loop {
        stack.decode();
        if stack.plain().is_empty() {
            return;
        }
        heard.extend(stack.plain().filled());
        stack.plain().clear();
    }
}

/// Says all that `stack` has to say into `wire`.
fn drain(stack: &mut Stack, wire: &mut Vec<u8>) {
    stack.flush().unwrap();
    while let Some(outgoing) = stack.outgoing().filter(|outgoing| !outgoing.is_empty()) {
        wire.extend(outgoing.filled());
        outgoing.clear();
        stack.flush().unwrap();
    }
}

/// Gives `wire` to `stack`; what it read, and its failure.
fn feed(stack: &mut Stack, mut wire: &[u8], ends: bool) -> (Vec<u8>, Option<Error>) {
    let mut heard = Vec::new();
    loop {
        let spare = stack.wire_spare();
        let count = spare.len().min(wire.len());
        spare[..count].copy_from_slice(&wire[..count]);
        wire = &wire[count..];
        stack.wire_received(count);
        take_plain(stack, &mut heard);
        if let Some(error) = stack.take_failure() {
            return (heard, Some(error));
        }
        if wire.is_empty() {
            break;
        }
        assert!(count > 0, "it takes nothing more and has not failed");
    }
    if ends {
        stack.wire_ended();
        take_plain(stack, &mut heard);
    }
    let failure = stack.take_failure();
    (heard, failure)
}

/// What a sender of `plain` says up to and with its end, to a peer that only greets.
fn said(plain: &[u8]) -> Vec<u8> {
    let (mut sender, mut wire, mut sent) = (side(1000), Vec::new(), 0);
    assert!(feed(&mut sender, &GREETING, false).1.is_none());
    drain(&mut sender, &mut wire);
    while sent < plain.len() {
        // pieces of different sizes, so that there are frames of all kinds
        let end = plain.len().min(sent + 1 + sent % 97);
        sent += sender.encode(&plain[sent..end]).unwrap();
        drain(&mut sender, &mut wire);
    }
    sender.close_plain();
    drain(&mut sender, &mut wire);
    wire
}

fn line_and_status(error: Option<Error>) -> (String, ExitStatus) {
    let error = error.expect("a failure");
    (error.line(), error.status())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_chunking_carries_both_streams_and_both_receipts(
        data in [proptest::collection::vec(any::<u8>(), 0..900), proptest::collection::vec(any::<u8>(), 0..900)],
        cuts in proptest::collection::vec(1usize..400, 1..20),
        capacity in LEAST_BUFFER..600,
        converts in any::<bool>(),
    ) {
        let make = || {
            let verify = Box::new(Verify::new(Instant::now()));
            match converts {
                true => stack(vec![Box::new(Crlf::new()), verify], capacity),
                false => stack(vec![verify], capacity),
            }
        };
        let mut sides = [make(), make()];
        let (mut heard, mut sent, mut told) = ([vec![], vec![]], [0, 0], [false, false]);
        let mut cuts = cuts.iter().cycle();
        let mut cut = || *cuts.next().unwrap();
        let mut idle = 0;
        for side in [0, 1].into_iter().cycle() {
            let [left, right] = &mut sides;
            let (from, to) = if side == 0 { (left, right) } else { (right, left) };
            let end = data[side].len().min(sent[side] + cut());
            let taken = from.encode(&data[side][sent[side]..end]).unwrap();
            sent[side] += taken;
            if sent[side] == data[side].len() {
                from.close_plain();
            }
            let carried = carry(from, to, cut(), &mut heard[side]);
            if to.is_plain_ended() && !told[side] {
                prop_assert!(from.receipts().unwrap().awaited, "confirmed before it was delivered");
                prop_assert!(!from.is_closed());
                told[side] = true;
                to.note(&Note::Delivered(Ok(heard[side].len() as u64)));
            }
            prop_assert!(!from.is_failed() && !to.is_failed());
            let settled = |stack: &Stack| stack.receipts() == Some(Receipts { awaited: false, owed: false });
            if sides.iter().all(settled) && sides.iter_mut().all(|stack| stack.is_closed() && stack.is_plain_ended()) {
                break;
            }
            idle = if taken + carried > 0 { 0 } else { idle + 1 };
            prop_assert!(idle < 10, "nothing moves any more");
        }
        for side in 0..2 {
            sides[side].wire_ended();
            prop_assert!(sides[side].take_failure().is_none());
            let mut wanted = data[side].clone();
            if converts {
                wanted.clear();
                Crlf::new().append(&data[side], &mut wanted);
            }
            prop_assert_eq!(&heard[side], &wanted);
        }
    }

    #[test]
    fn payload_that_passes_the_layer_by_is_counted_and_digested(
        // few bytes are copied together with their header, many announced
        size in prop_oneof![1usize..900, 4000usize..9000],
        cuts in proptest::collection::vec(1usize..400, 1..20),
    ) {
        let data: Vec<u8> = (0..size).map(|i| (i * 7 / 3) as u8).collect();
        let (mut sender, mut receiver) = (side(300), side(300));
        let (mut heard, mut unused, mut sent) = (Vec::new(), Vec::new(), 0);
        let mut cuts = cuts.iter().cycle();
        let mut wire = std::collections::VecDeque::new();
        carry(&mut receiver, &mut sender, 100, &mut unused);
        while !receiver.is_plain_ended() {
            if sent == data.len() {
                sender.close_plain();
            }
            let mut said = Vec::new();
            drain(&mut sender, &mut said);
            wire.extend(said);
            let rest = &data[sent..];
            let (before, raw) = sender.raw_out(rest.into());
            wire.extend(before.filled());
            before.clear();
            let raw = raw.min(*cuts.next().unwrap());
            sender.passed_out(&rest[..raw]);
            wire.extend(&rest[..raw]);
            sent += raw + if raw == 0 { sender.encode(rest).unwrap() } else { 0 };
            let raw = receiver.raw_in().min(wire.len());
            let payload: Vec<u8> = wire.drain(..raw).collect();
            let more: Vec<u8> = if raw > 0 { wire.drain(..wire.len().min(5)).collect() } else { vec![] };
            if raw > 0 {
                receiver.passed_in(payload.as_slice().into(), &more);
                heard.extend(&payload);
            } else {
                let most = wire.len().min(*cuts.next().unwrap());
                let piece: Vec<u8> = wire.drain(..most.min(receiver.wire_spare().len())).collect();
                receiver.wire_spare()[..piece.len()].copy_from_slice(&piece);
                receiver.wire_received(piece.len());
            }
            take_plain(&mut receiver, &mut heard);
            prop_assert!(!receiver.is_failed());
        }
        prop_assert_eq!(heard, data);
    }

    #[test]
    fn any_bytes_at_all_are_refused_or_waited_for(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        greets in any::<bool>(),
    ) {
        let wire = if greets { [&GREETING[..], &bytes].concat() } else { bytes };
        let mut receiver = side(300);
        let (_, failure) = feed(&mut receiver, &wire, true);
        prop_assert_eq!(failure.expect("no end frame can come by chance").status(), ExitStatus::Verify);
        prop_assert!(!receiver.is_plain_ended());
    }
}

#[test]
fn a_flipped_bit_anywhere_never_gives_a_clean_end() {
    let plain: Vec<u8> = (0..300u32).map(|i| (i * 7) as u8).collect();
    let wire = said(&plain);
    assert!(feed(&mut side(600), &wire, false).1.is_none());
    for at in 0..wire.len() {
        for bit in 0..8 {
            let mut bad = wire.clone();
            bad[at] ^= 1 << bit;
            let mut receiver = side(600);
            let (_, failure) = feed(&mut receiver, &bad, true);
            // flags are for later versions
            assert!(!receiver.is_plain_ended(), "bit {bit} of byte {at}");
            assert_eq!(failure.expect("a failure").status(), ExitStatus::Verify, "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_stream_that_is_cut_anywhere_never_gives_a_clean_end() {
    let wire = said(&[b'x'; 250]);
    for at in 0..wire.len() {
        let mut receiver = side(600);
        let (_, failure) = feed(&mut receiver, &wire[..at], true);
        assert!(!receiver.is_plain_ended(), "cut at {at}");
        assert_eq!(failure.expect("a failure").status(), ExitStatus::Verify, "cut at {at}");
    }
}

#[test]
fn a_stream_with_bytes_left_out_or_put_in_never_gives_a_clean_end() {
    let wire = said(&[b'x'; 100]);
    for at in 0..wire.len() {
        for change in [0, 2] {
            let mut bad = wire.clone();
            bad.splice(at..=at, std::iter::repeat_n(wire[at], change));
            let mut receiver = side(600);
            let (_, failure) = feed(&mut receiver, &bad, true);
            // a byte behind the end is found, too
            assert!(failure.is_some(), "{change} times byte {at}");
        }
    }
}

#[test]
fn a_receipt_with_another_count_is_no_confirmation() {
    let mut sender = side(600);
    assert!(feed(&mut sender, &GREETING, false).1.is_none());
    drain(&mut sender, &mut Vec::new());
    assert_eq!(sender.encode(b"four").unwrap(), 4);
    sender.close_plain();
    drain(&mut sender, &mut Vec::new());
    let (_, failure) = feed(&mut sender, &frame::receipt(Verdict::Good, 3, ""), false);
    let line = "sending failed after 3 B: the receiver has 3 bytes, 4 were sent";
    assert_eq!(line_and_status(failure).0, line);
    assert!(sender.receipts().unwrap().awaited);
}

#[test]
fn a_peer_that_has_not_greeted_gets_eight_bytes_and_has_ten_seconds() {
    let mut sender = side(600);
    let mut wire = Vec::new();
    assert_eq!(sender.encode(b"secret").unwrap(), 0);
    sender.close_plain();
    drain(&mut sender, &mut wire);
    assert_eq!(wire, GREETING);
    let at = sender.deadline().expect("it is not waited for ever");
    sender.tick(at - Duration::from_millis(1));
    sender.decode();
    assert!(sender.take_failure().is_none());
    sender.tick(at);
    sender.decode();
    let line = "nothing was transferred: the peer gave no greeting of --verify within 10s";
    assert_eq!(line_and_status(sender.take_failure()), (line.into(), ExitStatus::Verify));
    assert!(sender.deadline().is_none());
    drain(&mut sender, &mut wire);
    assert_eq!(wire.len(), 8);
}

#[test]
fn a_peer_that_greets_has_no_deadline_any_more() {
    let mut sender = side(600);
    assert!(feed(&mut sender, &GREETING, false).1.is_none());
    assert!(sender.deadline().is_none());
}

#[test]
fn a_sink_that_failed_is_told_before_the_stream_has_ended() {
    let mut receiver = side(600);
    let stream = said(b"too much");
    assert!(feed(&mut receiver, &stream[..20], false).1.is_none());
    let mut wire = Vec::new();
    drain(&mut receiver, &mut wire);
    receiver.note(&Note::Delivered(Err((3, "no space left on device\n".repeat(20)))));
    let mut told = Vec::new();
    drain(&mut receiver, &mut told);
    let (_, failure) = feed(&mut side(600), &[&GREETING[..], &told].concat(), false);
    let (line, _) = line_and_status(failure);
    assert!(line.starts_with("sending failed after 3 B: the receiver could not write: no space left on device\\n"));
    assert!(told.len() <= LEAST_BUFFER, "a reason is cut");
}

#[test]
fn what_was_found_wrong_is_told_to_the_sender() {
    let good = said(b"abc");
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    for (wire, ends, wanted) in
        [(&bad[..], false, Verdict::Corrupt), (&good[..good.len() - 1], true, Verdict::Truncated)]
    {
        let mut receiver = side(600);
        assert!(feed(&mut receiver, wire, ends).1.is_some());
        let mut told = Vec::new();
        drain(&mut receiver, &mut told);
        assert_eq!(told, [&GREETING[..], &frame::receipt(wanted, 3, "")].concat());
    }
}

#[test]
fn a_good_receipt_is_never_said_before_the_end_has_come() {
    let mut receiver = side(600);
    let stream = said(b"abc");
    assert!(feed(&mut receiver, &stream[..stream.len() - 1], false).1.is_none());
    drain(&mut receiver, &mut Vec::new());
    receiver.note(&Note::Delivered(Ok(3)));
    let mut told = Vec::new();
    drain(&mut receiver, &mut told);
    assert!(told.is_empty());
}
