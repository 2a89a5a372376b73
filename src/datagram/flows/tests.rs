use proptest::prelude::*;

use super::*;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn table(idle: u64, most: usize, spare: Option<u64>) -> Flows<u32, char> {
    Flows::new(Limits { idle: Some(ms(idle)), most, spare: spare.map(ms) })
}

fn is_new(heard: &Heard<u32, char>) -> bool {
    matches!(heard, Heard::New { .. })
}

#[test]
fn a_silent_peer_is_over_and_a_talking_one_is_not() {
    let (mut flows, start) = (table(60, 10, None), Instant::now());
    assert!(is_new(&flows.heard(start, &1, || 'a')));
    assert!(is_new(&flows.heard(start, &2, || 'b')));
    assert!(!is_new(&flows.heard(start + ms(59), &1, || 'x')));
    assert_eq!(flows.next_expiry(), Some(start + ms(60)));
    assert_eq!(flows.expire(start + ms(59)), None);
    assert_eq!(flows.expire(start + ms(60)), Some((2, 'b')));
    assert_eq!(flows.expire(start + ms(60)), None);
    assert_eq!(flows.next_expiry(), Some(start + ms(119)));
    assert_eq!(flows.counts(), Counts { opened: 2, expired: 1, ..Counts::default() });
    assert_eq!(flows.latest(), Some((&1, &'a')));
}

#[test]
fn a_peer_that_is_answered_is_not_silent() {
    let (mut flows, start) = (table(60, 10, None), Instant::now());
    flows.heard(start, &1, || 'a');
    flows.heard(start, &2, || 'b');
    assert!(flows.answered(start + ms(30), &1).is_some() && flows.answered(start, &3).is_none());
    assert_eq!(flows.expire(start + ms(60)), Some((2, 'b')));
    assert_eq!(flows.expire(start + ms(89)), None);
    assert_eq!(flows.expire(start + ms(90)), Some((1, 'a')));
}

#[test]
fn at_the_cap_only_the_silent_give_way() {
    let (mut flows, start) = (table(60_000, 2, Some(1000)), Instant::now());
    flows.heard(start, &1, || 'a');
    flows.heard(start + ms(10), &2, || 'b');
    assert_eq!(flows.heard(start + ms(999), &3, || 'c'), Heard::Refused);
    flows.heard(start + ms(999), &1, || 'x');
    // 2 is now the one that was silent the longest
    assert_eq!(flows.heard(start + ms(1009), &3, || 'c'), Heard::Refused);
    let Heard::New { evicted, .. } = flows.heard(start + ms(1010), &3, || 'c') else { panic!("refused") };
    assert_eq!(evicted, Some((2, 'b')));
    assert_eq!(flows.counts(), Counts { opened: 3, evicted: 1, refused: 2, ..Counts::default() });
    assert_eq!(flows.len(), 2);
}

#[test]
fn without_a_spare_time_every_newcomer_is_refused_at_the_cap() {
    let (mut flows, start) = (table(60_000, 1, None), Instant::now());
    flows.heard(start, &1, || 'a');
    assert_eq!(flows.heard(start + ms(50_000), &2, || 'b'), Heard::Refused);
    assert_eq!(flows.remove(&1), Some('a'));
    assert!(is_new(&flows.heard(start + ms(50_000), &2, || 'b')));
}

/// The same, by looking through everything.
#[derive(Default)]
struct Naive {
    flows: Vec<(u32, u64)>,
    counts: Counts,
}

impl Naive {
    /// 0 known, 1 new, 2 refused; and who gave way.
    fn heard(&mut self, now: u64, key: u32, most: usize, spare: Option<u64>) -> (u8, Option<u32>) {
        if let Some(at) = self.flows.iter().position(|flow| flow.0 == key) {
            self.flows.remove(at);
            self.flows.push((key, now));
            return (0, None);
        }
        let mut gone = None;
        if self.flows.len() >= most {
            match (self.flows.first(), spare) {
                (Some(oldest), Some(spare)) if now - oldest.1 >= spare => {
                    gone = Some(self.flows.remove(0).0);
                    self.counts.evicted += 1;
                }
                _ => {
                    self.counts.refused += 1;
                    return (2, None);
                }
            }
        }
        self.flows.push((key, now));
        self.counts.opened += 1;
        (1, gone)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Heard(u32),
    Wait(u64),
    Expire,
    Remove(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..12u32).prop_map(Step::Heard),
        3 => (0..40u64).prop_map(Step::Wait),
        1 => Just(Step::Expire),
        1 => (0..12u32).prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn the_table_does_what_a_plain_list_does(
        steps in prop::collection::vec(step(), 0..200),
        most in 0..8usize,
        spare in prop::option::of(0..60u64),
    ) {
        const IDLE: u64 = 100;
        let (mut flows, mut naive, start, mut now) = (table(IDLE, most, spare), Naive::default(), Instant::now(), 0);
        for step in steps {
            match step {
                Step::Wait(time) => now += time,
                Step::Heard(key) => {
                    let (what, gone) = match flows.heard(start + ms(now), &key, || 'v') {
                        Heard::Known(id) => {
                            prop_assert_eq!(flows.get(id).unwrap().0, &key);
                            (0, None)
                        }
                        Heard::New { evicted, .. } => (1, evicted.map(|flow| flow.0)),
                        Heard::Refused => (2, None),
                    };
                    prop_assert_eq!((what, gone), naive.heard(now, key, most, spare));
                }
                Step::Expire => {
                    while naive.flows.first().is_some_and(|flow| flow.1 + IDLE <= now) {
                        let key = naive.flows.remove(0).0;
                        naive.counts.expired += 1;
                        prop_assert_eq!(flows.expire(start + ms(now)).map(|flow| flow.0), Some(key));
                    }
                    prop_assert_eq!(flows.expire(start + ms(now)), None);
                }
                Step::Remove(key) => {
                    let before = naive.flows.len();
                    naive.flows.retain(|flow| flow.0 != key);
                    prop_assert_eq!(flows.remove(&key).is_some(), naive.flows.len() < before);
                }
            }
            let there: Vec<u32> = flows.iter().map(|flow| *flow.0).collect();
            let expected: Vec<u32> = naive.flows.iter().map(|flow| flow.0).collect();
            prop_assert_eq!(there, expected);
            prop_assert_eq!(flows.len(), naive.flows.len());
            prop_assert_eq!(flows.counts(), naive.counts);
            let next = naive.flows.first().map(|flow| start + ms(flow.1 + IDLE));
            prop_assert_eq!(flows.next_expiry(), next);
        }
    }
}
