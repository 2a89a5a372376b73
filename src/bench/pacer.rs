//! `-b RATE[/BURST]`: when a stream may send its next blocks, and how many the rate comes to.
//!
//! The schedule is that of [`crate::datagram::pace`], with blocks for datagrams: the mean is exact, and a delay of up to
//! [`crate::datagram::pace::CATCH_UP`] is made up for. A burst is sent whole as soon as its first block is due.

use std::time::Instant;

use crate::datagram::pace::{Limits, Pace, Ready};

/// The pace of one stream.
#[derive(Clone, Debug)]
pub struct Pacer {
    pace: Pace,
    start: Instant,
    bits_per_second: Option<u64>,
    /// Blocks of a burst, at least 1.
    burst: u64,
}

impl Pacer {
    /// Begins at `start`, when the first burst of so many blocks is due; 0 is 1. A rate of 0 or none sets no limit.
    pub fn new(start: Instant, bits_per_second: Option<u64>, burst: u64) -> Self {
        let bits_per_second = bits_per_second.filter(|bits| *bits > 0);
        let rate = bits_per_second.map(|bits| (bits / 8).max(1));
        let pace = Pace::new(start, Limits { rate, ..Limits::default() });
        Pacer { pace, start, bits_per_second, burst: burst.max(1) }
    }

    /// How many blocks of so many bytes may be sent now, at least one; otherwise when to ask again.
    ///
    /// # Errors
    /// The instant at which the next block may go.
    pub fn ready(&mut self, now: Instant, block: usize) -> Result<u64, Instant> {
        match self.pace.ready(now, block) {
            Ready::Now(blocks) => Ok(blocks.max(self.burst)),
            Ready::At(at) => Err(at),
            // a pace without a count is never over
            Ready::Over => Ok(self.burst),
        }
    }

    /// Notes that so many bytes of payload have been sent.
    pub fn sent(&mut self, bytes: u64) {
        self.pace.sent(0, bytes);
    }

    /// How many blocks of so many bytes were due before now, whole bursts; `None` without a rate. What was sent is less
    /// where the sender could not keep up.
    pub fn offered(&self, now: Instant, block: usize) -> Option<u64> {
        let nanos = now.saturating_duration_since(self.start).as_nanos();
        let bits = u128::from(self.bits_per_second?).saturating_mul(nanos);
        // the first is due at once, the next when that has been paid for
        let blocks = bits.div_ceil(block.max(1) as u128 * 8 * 1_000_000_000);
        u64::try_from(blocks.next_multiple_of(u128::from(self.burst))).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// A greedy sender of a second, woken late each time; the bytes that it sent and the blocks of each turn.
    fn run(pacer: &mut Pacer, start: Instant, block: usize, late: Duration) -> (u64, Vec<u64>) {
        let (mut now, mut sent, mut turns) = (start, 0, Vec::new());
        while now < start + Duration::from_secs(1) {
            match pacer.ready(now, block) {
                Ok(blocks) => {
                    pacer.sent(blocks * block as u64);
                    sent += blocks * block as u64;
                    turns.push(blocks);
                }
                Err(at) => now = at + late,
            }
        }
        (sent, turns)
    }

    #[test]
    fn a_burst_is_sent_whole_and_paid_for() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, Some(8_000_000), 10);
        assert_eq!(pacer.offered(start, 1000), Some(0));
        let (sent, turns) = run(&mut pacer, start, 1000, Duration::ZERO);
        assert_eq!((sent, turns.len()), (1_000_000, 100));
        assert!(turns.iter().all(|blocks| *blocks == 10));
        assert_eq!(pacer.offered(start + Duration::from_secs(1), 1000), Some(1000));
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        let start = Instant::now();
        for rate in [None, Some(0)] {
            let mut free = Pacer::new(start, rate, 0);
            assert_eq!((free.ready(start, 1000), free.offered(start, 1000)), (Ok(u64::MAX), None));
        }
    }

    // Ten megabits in blocks of 32 KiB are 77 in two seconds, the last of which is not paid for yet.
    #[test]
    fn what_was_due_is_what_an_unhindered_sender_sends() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, Some(10 << 20), 1);
        let (sent, _) = run(&mut pacer, start, 32_768, Duration::ZERO);
        assert_eq!((sent / 32_768, pacer.offered(start + Duration::from_secs(1), 32_768)), (40, Some(40)));
    }

    proptest! {
        // From a kilobit to 200 gigabits a second, with blocks and bursts of any size: right to 2 % and one burst.
        #[test]
        fn the_rate_is_kept(bits in 1_000u64..200_000_000_000, block in 16usize..65_000, burst in 1u64..20, late in 0u64..5_000) {
            let start = Instant::now();
            // no more than a million turns
            let block = block.max((bits / 8 / 1_000_000) as usize);
            let mut pacer = Pacer::new(start, Some(bits), burst);
            let (sent, _) = run(&mut pacer, start, block, Duration::from_micros(late));
            let (wanted, one) = (bits / 8, burst * block as u64);
            prop_assert!(sent <= wanted + wanted / 50 + 2 * one, "{} of {}", sent, wanted);
            prop_assert!(sent + one >= wanted - wanted / 50, "{} of {}", sent, wanted);
        }
    }
}
