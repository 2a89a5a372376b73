//! A line of datagrams on virtual time.

use proptest::prelude::*;

use super::*;

fn chance(text: &str) -> Chance {
    text.parse().unwrap()
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Sends `count` numbered datagrams, `gap` apart; what came out, with its time since the start.
fn sent(mischief: Mischief, seed: u64, count: u64, gap: Duration) -> Vec<(u64, Duration)> {
    let start = Instant::now();
    let mut line = Line::new(mischief, Dice::new(seed), 1 << 20);
    let mut out = Vec::new();
    let mut drain = |line: &mut Line<Vec<u8>>, until: Option<Instant>| {
        while let Some(at) = line.next_due().filter(|at| until.is_none_or(|until| *at < until)) {
            let at = at.max(start);
            assert!(line.due(at - Duration::from_nanos(1)).is_none(), "nothing comes before it is due");
            let datagram = line.due(at).expect("what is due comes");
            out.push((u64::from_be_bytes(datagram[..8].try_into().unwrap()), at - start));
        }
    };
    for number in 0..count {
        let now = start + gap * number as u32;
        drain(&mut line, Some(now));
        line.take(number.to_be_bytes().to_vec(), now);
    }
    drain(&mut line, None);
    assert_eq!((line.memory(), line.next_due(), line.overflowed()), (0, None, 0));
    out
}

fn numbers(out: &[(u64, Duration)]) -> Vec<u64> {
    out.iter().map(|(number, _)| *number).collect()
}

#[test]
fn without_mischief_everything_comes_at_once_and_in_order() {
    let out = sent(Mischief::default(), 1, 100, ms(3));
    assert_eq!(out, (0..100).map(|number| (number, ms(3 * number))).collect::<Vec<_>>());
}

#[test]
fn as_many_are_lost_and_doubled_as_was_asked_for_and_always_the_same() {
    let mischief = Mischief { loss: chance("10%"), dup: chance("20%"), ..Mischief::default() };
    let slow = numbers(&sent(mischief, 7, 10_000, ms(10)));
    let fast = numbers(&sent(mischief, 7, 10_000, Duration::ZERO));
    assert_eq!(slow, fast, "the time decides nothing");
    assert_ne!(slow, numbers(&sent(mischief, 8, 10_000, ms(10))));
    let mut different = slow.clone();
    different.dedup();
    assert!(different.len().abs_diff(9_000) < 200, "{} came", different.len());
    assert!((slow.len() - different.len()).abs_diff(1_800) < 200, "{} came twice", slow.len() - different.len());
    assert!(slow.is_sorted(), "and nothing else happened");
}

#[test]
fn one_that_is_to_be_overtaken_comes_right_behind_the_next() {
    let all = Mischief { reorder: Chance::ALWAYS, ..Mischief::default() };
    assert_eq!(numbers(&sent(all, 1, 6, ms(10))), [1, 0, 3, 2, 5, 4]);
    let some = Mischief { reorder: chance("5%"), ..Mischief::default() };
    let out = numbers(&sent(some, 1, 10_000, ms(10)));
    let back = out.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(back.abs_diff(480) < 100, "{back} were overtaken");
    assert!(out.iter().enumerate().all(|(place, number)| number.abs_diff(place as u64) <= 1));
}

#[test]
fn the_last_one_is_not_kept_for_ever() {
    let all = Mischief { reorder: Chance::ALWAYS, delay: ms(10), ..Mischief::default() };
    assert_eq!(sent(all, 1, 1, ms(0)), [(0, ms(60))]);
    assert_eq!(sent(all, 1, 2, ms(20)), [(1, ms(30)), (0, ms(30))]);
}

#[test]
fn a_full_line_loses_what_comes_and_counts_it() {
    let mischief = Mischief { delay: ms(100), ..Mischief::default() };
    let (mut line, now) = (Line::new(mischief, Dice::new(1), 3000), Instant::now());
    for _ in 0..10 {
        line.take(vec![0; 900], now);
        assert!(line.memory() <= 3000);
    }
    assert_eq!(line.overflowed(), 7);
    let out = std::iter::from_fn(|| line.due(now + ms(100))).count();
    assert_eq!((out, line.memory()), (3, 0));
    let mut tiny = Line::new(mischief, Dice::new(1), 1);
    tiny.take(vec![0; 900], now);
    assert_eq!(tiny.overflowed(), 0, "one always fits");
}

proptest! {
    #[test]
    fn each_comes_once_within_the_bounds_of_its_delay(
        seed: u64, delay in 0u64..50, jitter in 0u64..50, gaps in proptest::collection::vec(0u64..20, 1..100),
    ) {
        let jitter = jitter.min(delay);
        let mischief = Mischief { delay: ms(delay), jitter: ms(jitter), ..Mischief::default() };
        let (mut line, start) = (Line::<Vec<u8>>::new(mischief, Dice::new(seed), 1 << 20), Instant::now());
        let (mut now, mut sent, mut came) = (start, Vec::new(), Vec::new());
        for (number, gap) in gaps.iter().enumerate() {
            now += ms(*gap);
            while let Some(at) = line.next_due().filter(|at| *at <= now) {
                came.push((line.due(at).unwrap()[0] as usize, at));
            }
            line.take(vec![number as u8], now);
            sent.push(now);
        }
        while let Some(at) = line.next_due() {
            came.push((line.due(at).unwrap()[0] as usize, at));
        }
        prop_assert!(came.is_sorted_by_key(|(_, at)| *at));
        for (number, at) in &came {
            let held = *at - sent[*number];
            prop_assert!(held >= ms(delay - jitter) && held <= ms(delay + jitter), "{held:?}");
        }
        came.sort();
        prop_assert_eq!(came.len(), sent.len());
        prop_assert!(came.iter().enumerate().all(|(place, (number, _))| place == *number));
    }
}
