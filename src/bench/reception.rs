//! What a receiver of UDP knows: iperf3's header before each payload, and the account of loss, order and jitter.
//!
//! The header is 12 bytes, or 16 where both ends agreed on 64-bit counters; numbers are in network order.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | when it was sent: seconds |
//! | 4..8 | microseconds |
//! | 8..12 or 8..16 | its number, from 1 |
//!
//! The account is that of [`crate::datagram::sequence`], so it is stricter than iperf3's, which takes a duplicate for
//! one that was late and a loss less.

use std::time::Duration;

use super::result::Datagrams;
use crate::datagram::sequence::{Account, Report, Stamp};

/// What stands before the payload of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Since some moment of the sender's choice; whole microseconds.
    pub sent_at: Duration,
    /// From 1.
    pub number: u64,
}

/// Which of the two lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counters {
    /// 32 bits, which wrap.
    Short,
    /// `--udp-counters-64bit`.
    Long,
}

impl Counters {
    /// Bytes of a header.
    pub fn header(self) -> usize {
        match self {
            Counters::Short => 12,
            Counters::Long => 16,
        }
    }
}

impl Header {
    /// Puts it at the start of `datagram`; nothing is written if that is shorter than a header.
    pub fn encode(&self, counters: Counters, datagram: &mut [u8]) {
        if datagram.len() < counters.header() {
            return;
        }
        // as of gettimeofday, the upper bits are cut off
        datagram[..4].copy_from_slice(&(self.sent_at.as_secs() as u32).to_be_bytes());
        datagram[4..8].copy_from_slice(&self.sent_at.subsec_micros().to_be_bytes());
        match counters {
            Counters::Short => datagram[8..12].copy_from_slice(&(self.number as u32).to_be_bytes()),
            Counters::Long => datagram[8..16].copy_from_slice(&self.number.to_be_bytes()),
        }
    }

    /// The header of a datagram; `None` if it is too short for one, or its time makes no sense.
    pub fn decode(counters: Counters, datagram: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_be_bytes(*datagram.get(at..at + 4)?.first_chunk()?));
        let (seconds, micros) = (word(0)?, word(4)?);
        let number = match counters {
            Counters::Short => u64::from(word(8)?),
            Counters::Long => u64::from(word(8)?) << 32 | u64::from(word(12)?),
        };
        let sent_at = Duration::new(u64::from(seconds), micros.checked_mul(1000)?);
        (micros < 1_000_000).then_some(Header { sent_at, number })
    }
}

/// The account of one stream.
#[derive(Debug)]
pub struct Reception {
    counters: Counters,
    account: Account,
    /// The highest number yet, with the bits that a short counter lacks.
    highest: u64,
    /// At the end of the last interval.
    before: Report,
    /// At the end of the warm-up.
    omitted: Report,
}

impl Reception {
    /// Nothing came yet.
    pub fn new(counters: Counters) -> Self {
        let (before, omitted) = (Report::default(), Report::default());
        Reception { counters, account: Account::new(), highest: 0, before, omitted }
    }

    /// Notes a datagram of `bytes` in all that came at `at`, since some moment of the receiver's choice. False if it is
    /// none of this stream: too short, or its number is far from all others.
    pub fn came(&mut self, datagram: &[u8], bytes: usize, at: Duration) -> bool {
        let Some(header) = Header::decode(self.counters, datagram) else { return false };
        let number = match self.counters {
            Counters::Short => self.widened(header.number),
            Counters::Long => header.number,
        };
        let Some(sequence) = number.checked_sub(1) else { return false };
        self.highest = self.highest.max(number);
        let sent_at = header.sent_at.as_nanos() as u64;
        let stamp = Stamp { session: 0, sequence, sent_at, is_end: false };
        let strays = self.account.strays();
        self.account.came(&stamp, bytes, at.as_nanos() as u64);
        self.account.strays() == strays
    }

    /// The number that a short one means: the nearest to the highest seen.
    fn widened(&self, short: u64) -> u64 {
        let ahead = (short as u32).wrapping_sub(self.highest as u32) as i32;
        self.highest.checked_add_signed(i64::from(ahead)).unwrap_or(short)
    }

    /// Notes the kernel's count of dropped packets, see [`Account::drops`].
    pub fn drops(&mut self, count: u32, each: u64) {
        self.account.drops(count, each);
    }

    /// The sender has told how many it sent: what is missing behind the last one that came is lost as well.
    pub fn ended(&mut self, sent: u64) {
        let stamp = Stamp { session: 0, sequence: sent, sent_at: 0, is_end: true };
        self.account.came(&stamp, 0, 0);
    }

    /// The warm-up is over: what came so far counts for nothing.
    pub fn omit(&mut self) {
        self.omitted = self.account.report();
        self.before = self.omitted;
    }

    /// What came since the last interval ended; a new one begins.
    pub fn interval(&mut self) -> Datagrams {
        let now = self.account.report();
        let since = now.since(&self.before);
        self.before = now;
        Datagrams::from(since)
    }

    /// Everything behind the warm-up.
    pub fn total(&self) -> Datagrams {
        Datagrams::from(self.account.report().since(&self.omitted))
    }
}

impl From<Report> for Datagrams {
    fn from(report: Report) -> Self {
        Datagrams {
            offered: None,
            sent: report.sent,
            received: Some(report.received),
            lost: report.lost,
            out_of_order: report.reordered,
            late: report.late,
            duplicated: report.duplicated,
            dropped_here: report.dropped_here,
            jitter: Some(report.jitter),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers as they come, a millisecond apart; each was sent `transit` before.
    fn came(reception: &mut Reception, numbers: &[u64], transit: Duration) {
        for number in numbers {
            let at = Duration::from_millis(1000 + number % 1000);
            let mut datagram = [0; 16];
            Header { sent_at: at, number: *number }.encode(reception.counters, &mut datagram);
            let length = reception.counters.header();
            assert!(reception.came(&datagram[..length], 100, at + transit));
        }
    }

    fn of(numbers: &[u64]) -> Datagrams {
        let mut reception = Reception::new(Counters::Short);
        came(&mut reception, numbers, Duration::from_micros(50));
        reception.total()
    }

    // As iperf3 3.12 writes it.
    #[test]
    fn a_header_has_the_bytes_of_iperf3() {
        let header = Header { sent_at: Duration::new(0x0102_0304, 5_000), number: 0x0a0b_0c0d };
        let mut bytes = [0xff; 16];
        header.encode(Counters::Short, &mut bytes);
        assert_eq!(bytes, [1, 2, 3, 4, 0, 0, 0, 5, 0x0a, 0x0b, 0x0c, 0x0d, 255, 255, 255, 255]);
        header.encode(Counters::Long, &mut bytes);
        assert_eq!(bytes[8..], [0, 0, 0, 0, 0x0a, 0x0b, 0x0c, 0x0d]);
        assert_eq!(Header::decode(Counters::Long, &bytes), Some(header));
        assert_eq!(Header::decode(Counters::Long, &bytes[..15]), None);
        header.encode(Counters::Long, &mut bytes[..15]);
    }

    #[test]
    fn losses_order_and_duplicates_are_told_apart() {
        let clean = of(&[1, 2, 3, 4]);
        assert_eq!((clean.sent, clean.received, clean.lost), (4, Some(4), 0));
        let lossy = of(&[1, 2, 5, 6]);
        assert_eq!((lossy.sent, lossy.lost, lossy.out_of_order), (6, 2, 0));
        let swapped = of(&[1, 3, 2, 4]);
        assert_eq!((swapped.sent, swapped.lost, swapped.out_of_order), (4, 0, 1));
        let twice = of(&[1, 2, 2, 4]);
        assert_eq!((twice.sent, twice.lost, twice.out_of_order, twice.duplicated), (4, 1, 0, 1));
        assert_eq!(twice.loss_percent(), 25.0);
    }

    #[test]
    fn the_first_and_the_last_can_be_lost_too() {
        assert_eq!(of(&[3, 4]).lost, 2);
        let mut reception = Reception::new(Counters::Long);
        came(&mut reception, &[1, 2], Duration::ZERO);
        reception.ended(5);
        assert_eq!((reception.total().sent, reception.total().lost), (5, 3));
    }

    #[test]
    fn intervals_and_the_warm_up_are_cut_off() {
        let mut reception = Reception::new(Counters::Short);
        came(&mut reception, &[1, 4], Duration::ZERO);
        assert_eq!(reception.interval().lost, 2);
        reception.omit();
        came(&mut reception, &[5, 7], Duration::ZERO);
        let (first, total) = (reception.interval(), reception.total());
        assert_eq!((first.sent, first.received, first.lost), (3, Some(2), 1));
        came(&mut reception, &[8], Duration::ZERO);
        assert_eq!((reception.interval().sent, total.sent, reception.total().sent), (1, 3, 4));
    }

    // RFC 3550: each change of the transit time moves the jitter by a sixteenth of what it is off.
    #[test]
    fn jitter_is_smoothed() {
        let mut reception = Reception::new(Counters::Short);
        came(&mut reception, &[1], Duration::ZERO);
        came(&mut reception, &[2], Duration::from_micros(1600));
        assert_eq!(reception.total().jitter, Some(Duration::from_micros(100)));
        came(&mut reception, &[3], Duration::from_micros(1600));
        assert_eq!(reception.total().jitter, Some(Duration::from_nanos(93_750)));
    }

    #[test]
    fn a_short_counter_may_wrap() {
        let mut reception = Reception::new(Counters::Short);
        let around: Vec<u64> = (u64::from(u32::MAX) - 3..u64::from(u32::MAX) + 4).collect();
        reception.highest = u64::from(u32::MAX) - 4;
        came(&mut reception, &around, Duration::ZERO);
        assert_eq!((reception.total().received, reception.total().lost), (Some(7), 0));
    }

    proptest! {
        // Whatever comes, the books add up and nothing panics.
        #[test]
        fn the_books_add_up(datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..40), long: bool) {
            let counters = if long { Counters::Long } else { Counters::Short };
            let mut reception = Reception::new(counters);
            let mut sum = 0;
            for (number, datagram) in datagrams.iter().enumerate() {
                reception.came(datagram, datagram.len(), Duration::from_millis(number as u64));
                sum += reception.interval().received.unwrap_or(0);
            }
            let total = reception.total();
            prop_assert_eq!(total.received, Some(sum));
            prop_assert_eq!(total.sent, total.lost + sum);
        }
    }
}
