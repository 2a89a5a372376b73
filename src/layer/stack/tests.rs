//! Stacks of layers with every property that makes real ones hard, over every chunking.

use proptest::prelude::*;

use super::super::testing::Chaos;
use super::*;

/// Two stacks and the wire between them, cut as `cuts` says.
struct Pair {
    sides: [Stack; 2],
    read: [Vec<u8>; 2],
    cuts: Vec<usize>,
    turn: usize,
}

impl Pair {
    fn new(layers: impl Fn() -> Vec<Box<dyn Layer>>, cuts: Vec<usize>) -> Self {
        Pair { sides: [Stack::new(layers(), 300), Stack::new(layers(), 300)], read: [vec![], vec![]], cuts, turn: 0 }
    }

    fn cut(&mut self) -> usize {
        self.turn += 1;
        self.cuts[self.turn % self.cuts.len()]
    }

    /// Carries a few bytes of what `from` has to say to the other side; how many.
    fn carry(&mut self, from: usize) -> usize {
        let most = self.cut();
        if self.turn.is_multiple_of(5) {
            // it goes to another thread and comes back
            let side = std::mem::replace(&mut self.sides[from], Stack::new(Vec::new(), 0));
            self.sides[from] = side.pack().unpack();
        }
        let [a, b] = &mut self.sides;
        let (from, to, read) = if from == 0 { (a, b, &mut self.read[1]) } else { (b, a, &mut self.read[0]) };
        from.flush().unwrap();
        let mut count = 0;
        if let Some(wire) = from.outgoing() {
            let spare = to.wire_spare();
            count = wire.len().min(most).min(spare.len());
            spare[..count].copy_from_slice(&wire.filled()[..count]);
            to.wire_received(count);
            wire.consume(count);
        }
        to.decode();
        let plain = to.plain();
        read.extend_from_slice(plain.filled());
        plain.clear();
        count
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_time: 10_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_chunking_gives_the_same_bytes_both_ways(
        data in proptest::collection::vec(any::<u8>(), 0..600),
        cuts in proptest::collection::vec(1usize..50, 1..20),
        record in 1usize..140,
        depth in 1usize..4,
        greeting in any::<bool>(),
    ) {
        let layers = || -> Vec<Box<dyn Layer>> {
            let mut layers: Vec<Box<dyn Layer>> = Vec::new();
            for _ in 0..depth {
                layers.push(Box::new(Chaos::new(record)));
            }
            if greeting {
                layers.push(Box::new(Chaos::greeting()));
            }
            layers
        };
        let mut pair = Pair::new(layers, cuts);
        let mut sent = [0, 0];
        let mut closed = [false, false];
        let mut idle = 0;
        for side in [0, 1].into_iter().cycle() {
            prop_assert!(idle < 100, "nothing moves any more: {:?} of {}", pair.read.each_ref().map(Vec::len), data.len());
            let most = pair.cut();
            let end = data.len().min(sent[side] + most);
            let taken = pair.sides[side].encode(&data[sent[side]..end]).unwrap();
            sent[side] += taken;
            if sent[side] == data.len() && !closed[side] {
                closed[side] = true;
                pair.sides[side].close_plain();
            }
            idle = if taken + pair.carry(side) > 0 { 0 } else { idle + 1 };
            if (0..2).all(|side| closed[side] && pair.sides[side].is_plain_ended()) {
                break;
            }
        }
        prop_assert_eq!(&pair.read[0], &data);
        prop_assert_eq!(&pair.read[1], &data);
    }
}

#[test]
fn a_handshake_that_finishes_leaves_and_its_leftover_is_payload() {
    let mut stack = Stack::new(vec![Box::new(Chaos::greeting())], 64);
    stack.flush().unwrap();
    assert_eq!(stack.outgoing().unwrap().filled(), b"HI");
    stack.outgoing().unwrap().clear();
    let glued = b"HIglued to the answer";
    stack.wire_spare()[..glued.len()].copy_from_slice(glued);
    stack.wire_received(glued.len());
    stack.decode();
    assert_eq!(stack.plain().filled(), b"glued to the answer");
    assert!(!stack.is_bare());
    stack.plain().clear();
    assert!(stack.is_bare());
}

#[test]
fn an_error_is_told_after_what_was_decoded_before_it() {
    let mut stack = Stack::new(vec![Box::new(Chaos::new(9))], 64);
    stack.wire_spare()[..3].copy_from_slice(b"NO!");
    stack.wire_received(3);
    stack.decode();
    assert!(stack.take_failure().is_some());
}

// What stands on a layer that has failed hears of it once that is told, and nothing of its own keeps anybody waiting.
#[test]
fn nothing_is_taken_by_what_stands_on_a_layer_that_has_failed() {
    let mut stack = Stack::new(vec![Box::new(Chaos::new(9)), Box::new(Chaos::new(9))], 64);
    stack.flush().unwrap();
    stack.wire_spare()[..3].copy_from_slice(b"NO!");
    stack.wire_received(3);
    stack.decode();
    assert_eq!(stack.encode(b"x").unwrap(), 0, "not before it is told");
    assert!(stack.take_failure().is_some());
    assert!(stack.encode(b"x").is_err());
    stack.flush().unwrap();
    assert_eq!(stack.outgoing().unwrap().filled(), b"HI", "its own last words are still to go");
    assert_eq!(stack.unflushed(), 2);
}

// What a layer makes may go straight to whoever asked, unless there is little room or something waits already.
#[test]
fn what_is_decoded_into_a_buffer_is_what_would_be_read() {
    let pool = Pool::new(300);
    let [mut from, mut to] =
        [0, 1].map(|_| Stack::new(vec![Box::new(Chaos::new(9)), Box::new(Chaos::greeting())], 300));
    to.borrow_from(&pool);
    let (mut read, mut sent) = (Vec::new(), 0);
    let data: Vec<u8> = (0..=255).collect();
    let [mut large, mut small] = [Buffer::new(LEAST_DIRECT), Buffer::new(300)];
    for turn in 0..400 {
        sent += from.encode(&data[sent..]).unwrap();
        let [a, b] = if turn % 2 == 0 { [&mut from, &mut to] } else { [&mut to, &mut from] };
        a.flush().unwrap();
        let Some(wire) = a.outgoing().filter(|wire| !wire.is_empty()) else { continue };
        let count = wire.len().min(7);
        b.wire_spare()[..count].copy_from_slice(&wire.filled()[..count]);
        b.wire_received(count);
        wire.consume(count);
        let buffer = if turn % 3 == 0 { &mut small } else { &mut large };
        assert_eq!(b.decode_into(buffer), buffer.len());
        read.extend_from_slice(buffer.filled());
        buffer.clear();
        read.extend_from_slice(b.plain().filled());
        b.plain().clear();
        b.rest();
    }
    assert_eq!((read, large.capacity(), small.capacity()), (data, LEAST_DIRECT, 300));
}
