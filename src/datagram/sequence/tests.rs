use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn stamp(sequence: u64) -> Stamp {
    Stamp { session: 7, sequence, sent_at: 0, is_end: false }
}

fn feed(account: &mut Account, sequences: impl IntoIterator<Item = u64>) {
    for sequence in sequences {
        account.came(&stamp(sequence), 10, 0);
    }
}

#[test]
fn a_stamp_has_the_bytes_that_are_documented() {
    let stamp = Stamp { session: 0x0102030405060708, sequence: 9, sent_at: 0x0a0b, is_end: true };
    let bytes = stamp.encode();
    let expected = [
        &b"hseq\x01\x01\0\0"[..],
        &[1, 2, 3, 4, 5, 6, 7, 8],
        &[0, 0, 0, 0, 0, 0, 0, 9],
        &[0, 0, 0, 0, 0, 0, 0x0a, 0x0b],
    ];
    assert_eq!(bytes.to_vec(), expected.concat());
    let datagram = [&bytes[..], b"payload"].concat();
    assert_eq!(Stamp::decode(&datagram), Some((stamp, &b"payload"[..])));
}

#[test]
fn what_is_not_stamped_is_told_apart() {
    let good = stamp(1).encode();
    assert!(Stamp::decode(&good).is_some_and(|(_, payload)| payload.is_empty()));
    assert_eq!(Stamp::decode(&good[..STAMP - 1]), None);
    assert_eq!(Stamp::decode(b""), None);
    for (at, value) in [(0, b'x'), (3, 0), (4, 2)] {
        let mut bad = good;
        bad[at] = value;
        assert_eq!(Stamp::decode(&bad), None);
    }
}

#[test]
fn loss_order_and_doubles_are_told_apart() {
    let mut account = Account::new();
    feed(&mut account, [0, 1, 4, 3, 3, 4, 6]);
    let report = account.report();
    assert_eq!((report.sent, report.received, report.lost), (7, 5, 2));
    assert_eq!((report.reordered, report.duplicated, report.late, report.bytes), (1, 2, 0, 50));
    assert!((report.loss_percent() - 28.57).abs() < 0.01);
}

#[test]
fn the_end_tells_of_what_was_lost_behind_the_last() {
    let mut account = Account::new();
    feed(&mut account, 0..10);
    let end = Stamp { is_end: true, ..stamp(25) };
    assert_eq!(account.came(&end, 0, 0), Came::End);
    assert_eq!(account.came(&end, 0, 0), Came::End);
    assert_eq!((account.report().sent, account.report().lost, account.is_ended()), (25, 15, true));
    feed(&mut account, 10..25);
    assert_eq!((account.report().sent, account.report().lost), (25, 0));
}

#[test]
fn an_end_alone_says_that_all_was_lost() {
    let mut account = Account::new();
    account.came(&Stamp { is_end: true, ..stamp(100_000) }, 0, 0);
    assert_eq!((account.report().sent, account.report().lost), (100_000, 100_000));
}

#[test]
fn beyond_the_window_nothing_is_known() {
    let mut account = Account::new();
    feed(&mut account, [0, 2, WINDOW]);
    assert_eq!(account.came(&stamp(1), 1, 0), Came::Reordered);
    feed(&mut account, [WINDOW + 1]);
    assert_eq!(account.came(&stamp(1), 1, 0), Came::Late);
    assert_eq!(account.came(&stamp(2), 1, 0), Came::Duplicate);
    assert_eq!(account.report().late, 1);
}

#[test]
fn who_comes_late_does_not_count_what_was_before() {
    let mut account = Account::new();
    feed(&mut account, 1_000_000..1_000_010);
    assert_eq!((account.report().sent, account.report().lost), (10, 0));
    assert_eq!(account.came(&stamp(999_999), 1, 0), Came::Stray);
    assert_eq!((account.report().lost, account.strays()), (0, 1));
}

#[test]
fn the_sequence_wraps() {
    let mut account = Account::new();
    feed(&mut account, [u64::MAX - 2, u64::MAX - 1, 1, u64::MAX, 2]);
    let report = account.report();
    assert_eq!((report.sent, report.received, report.lost, report.reordered), (6, 5, 1, 1));
}

#[test]
fn a_forged_leap_spoils_nothing() {
    let mut account = Account::new();
    feed(&mut account, 0..5);
    assert_eq!(account.came(&stamp(u64::MAX / 2), 1, 0), Came::Stray);
    assert_eq!(account.came(&Stamp { is_end: true, ..stamp(u64::MAX / 2) }, 1, 0), Came::Stray);
    feed(&mut account, 5..10);
    assert_eq!((account.report().sent, account.report().lost, account.strays()), (10, 0, 2));
}

#[test]
fn a_sender_that_starts_anew_is_no_loss() {
    let mut account = Account::new();
    feed(&mut account, [0, 1, 3]);
    for sequence in [0, 1] {
        account.came(&Stamp { session: 8, ..stamp(sequence) }, 10, 0);
    }
    // a straggler of the old session must not start that one again
    assert_eq!(account.came(&stamp(4), 10, 0), Came::Stray);
    let report = account.report();
    assert_eq!((report.sent, report.received, report.lost, report.restarts), (6, 5, 1, 1));
}

#[test]
fn a_gap_behind_the_kernels_drops_was_made_here() {
    let mut account = Account::new();
    feed(&mut account, 0..10);
    // the network lost 10 and 11
    feed(&mut account, [12]);
    // the buffer had no room for three
    account.drops(3, 1);
    feed(&mut account, [16]);
    // and one of five
    account.drops(4, 1);
    feed(&mut account, [22]);
    let report = account.report();
    assert_eq!((report.lost, report.dropped_here, report.lost_on_the_way()), (10, 4, 6));
    // a packet of joined datagrams counts once, whatever was in it
    account.drops(5, 64);
    feed(&mut account, [55]);
    assert_eq!(account.report().dropped_here, 36);
}

#[test]
fn drops_after_the_last_arrival_explain_what_the_end_tells() {
    let mut account = Account::new();
    feed(&mut account, 0..10);
    account.drops(5, 1);
    account.came(&Stamp { is_end: true, ..stamp(20) }, 0, 0);
    assert_eq!((account.report().lost, account.report().dropped_here), (10, 5));
}

#[test]
fn parts_add_up_to_the_whole() {
    let mut account = Account::new();
    feed(&mut account, [0, 1, 3]);
    let first = account.report();
    feed(&mut account, [4, 4, 6]);
    let second = account.report().since(&first);
    assert_eq!((second.sent, second.received, second.lost, second.duplicated), (3, 2, 1, 1));
    let mut sum = first;
    sum.add(&second);
    assert_eq!(sum, account.report());
}

/// The same by keeping everything.
#[derive(Default)]
struct Naive {
    seen: HashSet<u64>,
    next: u64,
    report: Report,
    jitter: f64,
    transit: Option<i64>,
}

impl Naive {
    fn came(&mut self, sequence: u64, bytes: u64, transit: i64) {
        if sequence < self.next {
            if self.next - sequence > WINDOW {
                self.report.late += 1;
                return;
            }
            if self.seen.contains(&sequence) {
                self.report.duplicated += 1;
                return;
            }
            self.report.reordered += 1;
        }
        self.next = self.next.max(sequence + 1);
        self.seen.insert(sequence);
        self.report.received += 1;
        self.report.bytes += bytes;
        if let Some(before) = self.transit.replace(transit) {
            self.jitter += ((transit - before).abs() as f64 - self.jitter) / 16.0;
        }
    }
}

proptest! {
    #[test]
    fn the_account_is_that_of_one_who_keeps_everything(
        steps in prop::collection::vec(
            (prop_oneof![8 => -6i64..4, 2 => -70_000i64..70_000], 0..2_000u64, 0..5_000_000i64), 1..300),
    ) {
        let (mut account, mut naive, mut place, mut clock) = (Account::new(), Naive::default(), 0i64, 1_000_000_000u64);
        for (index, (step, bytes, transit)) in steps.into_iter().enumerate() {
            place = (place + step + 1).max(0);
            // the first decides whether the receiver came late
            let sequence = if index == 0 { place as u64 % WINDOW } else { place as u64 };
            clock += 1000;
            let stamp = Stamp { sent_at: clock, ..stamp(sequence) };
            account.came(&stamp, bytes as usize, clock + transit as u64);
            naive.came(sequence, bytes, transit);
            let report = account.report();
            let expected = Report {
                sent: naive.next,
                lost: naive.next - naive.report.received,
                jitter: report.jitter,
                ..naive.report
            };
            prop_assert_eq!(report, expected);
            let jitter = report.jitter.as_nanos() as f64;
            prop_assert!((jitter - naive.jitter).abs() <= 2.0 + naive.jitter * 1e-6, "{} {}", jitter, naive.jitter);
        }
    }
}
