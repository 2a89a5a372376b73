//! One direction's mischief on virtual time, without any end.

use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::units::Chance;

fn way(delay: u64, jitter: u64) -> Way {
    Way { delay: ms(delay), jitter: ms(jitter), ..Way::default() }
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn faults(way: &Way, seed: u64, session: u64, direction: Direction, hold: usize) -> Faults {
    Faults::new(way, direction, seed, session, hold).unwrap()
}

/// Gives it as much as it takes at once.
fn put(faults: &mut Faults, pools: &Pools, bytes: &[u8], now: Instant) -> usize {
    let most = faults.most(bytes.len());
    let Some(room) = faults.room(pools, false) else { return 0 };
    let count = most.min(room.tail());
    room.push(&bytes[..count]);
    faults.took(count, now);
    faults.tidy();
    count
}

/// Everything that comes out of it for these bytes, put in by pieces of `sizes` in turn.
fn through(mut faults: Faults, bytes: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (pools, now) = (Pools::new(50, 65536), Instant::now());
    let (mut out, mut rest, mut sizes) = (Vec::new(), bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let count = put(&mut faults, &pools, &rest[..rest.len().min(*sizes.next().unwrap())], now);
        rest = &rest[count..];
        while let Some(ready) = faults.ready(now + ms(1000)) {
            out.extend(ready);
            let count = ready.len();
            faults.gone(count);
        }
    }
    out
}

#[test]
fn the_same_bytes_are_corrupted_however_they_come() {
    let bytes: Vec<u8> = (0..100_000u32).map(|number| number as u8).collect();
    let bad = Way { corrupt: "1%".parse().unwrap(), ..Way::default() };
    let run =
        |seed, session, direction, sizes: &[usize]| through(faults(&bad, seed, session, direction, 0), &bytes, sizes);
    let whole = run(7, 1, Direction::Up, &[50]);
    assert_eq!(whole.len(), bytes.len());
    for sizes in [&[1][..], &[3, 7, 1], &[49, 2, 31]] {
        assert!(run(7, 1, Direction::Up, sizes) == whole, "{sizes:?}");
    }
    let differs = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a != b).count();
    let changed = differs(&whole, &bytes);
    assert!(changed.abs_diff(1000) < 150, "{changed} were changed");
    assert!(whole.iter().zip(&bytes).all(|(a, b)| (a ^ b).count_ones() <= 1), "a bit each");
    for (seed, session, direction) in [(8, 1, Direction::Up), (7, 2, Direction::Up), (7, 1, Direction::Down)] {
        let other = differs(&run(seed, session, direction, &[50]), &whole);
        assert!(other.abs_diff(2 * changed) < 200, "seed {seed}, session {session}: {other} differ");
    }
    let all = Way { corrupt: Chance::ALWAYS, ..Way::default() };
    assert_eq!(differs(&through(faults(&all, 1, 1, Direction::Up, 0), &bytes, &[50]), &bytes), bytes.len());
}

#[test]
fn a_sound_direction_has_no_faults_and_a_stream_none_of_datagrams() {
    let lossy = Way { loss: Chance::ALWAYS, dup: Chance::ALWAYS, reorder: Chance::ALWAYS, ..Way::default() };
    for way in [Way::default(), lossy] {
        assert!(Faults::new(&way, Direction::Up, 1, 1, 1 << 20).is_none());
    }
}

#[test]
fn no_byte_behind_the_last_one_is_taken() {
    for way in [
        Way { reset_after: Some(7), ..Way::default() },
        Way { stall_after: Some(7), ..Way::default() },
        Way { reset_after: Some(7), ..way(5, 0) },
    ] {
        let (pools, now) = (Pools::new(5, 65536), Instant::now());
        let mut faults = faults(&way, 1, 1, Direction::Down, 1 << 20);
        let (mut rest, mut out) = (&b"abcdefghijklm"[..], Vec::new());
        while !faults.resets() && !faults.is_stalled() {
            rest = &rest[put(&mut faults, &pools, rest, now)..];
            while let Some(ready) = faults.ready(now + ms(5)) {
                out.extend(ready);
                let count = ready.len();
                faults.gone(count);
            }
        }
        assert_eq!((&out[..], faults.most(100)), (&b"abcdefg"[..], 0));
    }
}

#[test]
fn an_end_waits_like_a_byte_and_behind_all_of_them() {
    let (pools, now) = (Pools::new(5, 65536), Instant::now());
    let mut faults = faults(&way(10, 0), 1, 1, Direction::Up, 1 << 20);
    put(&mut faults, &pools, b"abc", now);
    faults.took_end(Ending::Eof, now + ms(1));
    assert!(faults.take_ending(now + ms(100)).is_none(), "bytes are still there");
    assert_eq!(faults.due(now), Some(now + ms(10)));
    faults.gone(3);
    assert!(faults.is_holding() && faults.take_ending(now + ms(10)).is_none());
    assert_eq!(faults.due(now + ms(10)), Some(now + ms(11)));
    assert!(matches!(faults.take_ending(now + ms(11)), Some(Ending::Eof)));
    assert!(!faults.is_holding());
}

#[test]
fn the_jitter_is_spread_evenly_and_belongs_to_the_place() {
    let dice = Dice::new(3);
    let mut drawn: Vec<_> = (0..10_000).map(|nth| dice.varied(nth, ms(40), ms(10))).collect();
    assert_eq!(drawn, (0..10_000).map(|nth| dice.varied(nth, ms(40), ms(10))).collect::<Vec<_>>());
    drawn.sort();
    assert!(drawn[0] >= ms(30) && drawn[9_999] <= ms(50));
    for (place, expected) in [(1_000, 32), (5_000, 40), (9_000, 48)] {
        let off = drawn[place].as_millis().abs_diff(expected);
        assert!(off <= 1, "{:?} instead of {expected} ms", drawn[place]);
    }
    let days = Duration::from_secs(86_400 * 36_500);
    assert!(dice.varied(1, days, days) <= 2 * days);
}

#[test]
fn a_large_buffer_is_no_reason_to_come_by_fits_and_starts() {
    // as much may be held as one buffer has: still there is room as soon as something has gone
    let (pools, now) = (Pools::new(1 << 20, 65536), Instant::now());
    let mut faults = faults(&way(10, 0), 1, 1, Direction::Up, 1 << 20);
    while put(&mut faults, &pools, &[7; 60_000], now) > 0 {}
    assert!(faults.held.memory() > (1 << 20) - 70_000);
    for _ in 0..100 {
        let mut gone = 0;
        while gone < 70_000 {
            let count = faults.ready(now + ms(10)).unwrap().len();
            faults.gone(count);
            gone += count;
        }
        let mut taken = 0;
        loop {
            match put(&mut faults, &pools, &[7; 60_000], now) {
                0 => break,
                count => taken += count,
            }
        }
        assert!(taken > 0 && faults.held.memory() <= 1 << 20);
    }
}

proptest! {
    #[test]
    fn every_byte_comes_once_in_order_and_within_the_bounds_of_its_delay(
        (delay, jitter, seed) in (0u64..60, 0u64..60, any::<u64>()),
        (capacity, hold) in (1usize..80, 0usize..4000),
        steps in proptest::collection::vec((0u64..15, 0usize..120, 0usize..200), 1..150),
    ) {
        let way = Way { chop: Some(1 + seed % 60), ..way(delay, jitter.min(delay)) };
        let (pools, start): (Rc<Pools>, _) = (Pools::new(capacity, 65536), Instant::now());
        let mut faults = faults(&way, seed, 1, Direction::Up, hold);
        let (mut now, mut next_in, mut next_out) = (start, 0u32, 0u32);
        let mut arrived = Vec::new();
        for (gap, offered, mut room) in steps.into_iter().chain([(1000, 0, usize::MAX)]) {
            now += ms(gap);
            while let Some(ready) = faults.ready(now) {
                let count = ready.len().min(room);
                prop_assert!(ready.len() as u64 <= 1 + seed % 60);
                for byte in &ready[..count] {
                    prop_assert_eq!(*byte, next_out as u8, "in order");
                    let at: Instant = arrived[next_out as usize];
                    prop_assert!(at + way.delay - way.jitter <= now, "too early");
                    next_out += 1;
                }
                faults.gone(count);
                room -= count;
                if count == 0 {
                    break;
                }
            }
            if next_out < next_in && room > 0 {
                // what has not come is not due: and it is due in time
                let latest = arrived[next_out as usize] + way.delay + way.jitter;
                prop_assert!(faults.due(now).is_some_and(|due| due > now && due <= latest), "too late");
            }
            let bytes: Vec<u8> = (0..offered as u32).map(|i| (next_in + i) as u8).collect();
            let count = put(&mut faults, &pools, &bytes, now);
            prop_assert!(count > 0 || offered == 0 || faults.has_bytes(), "what holds nothing takes something");
            next_in += count as u32;
            arrived.extend(std::iter::repeat_n(now, count));
            prop_assert!(faults.held.memory() <= hold.max(capacity + 32), "{} held", faults.held.memory());
        }
        prop_assert_eq!(next_in, next_out);
        prop_assert_eq!(faults.held.memory(), 0);
    }
}
