//! One rate for many sessions (`--limit-total`): a bucket a direction, and appointments, so that each gets its turn.
//!
//! A session that finds nothing gets an appointment behind everybody else's and sleeps until then; while others wait,
//! it may take one helping at a time. Whoever comes first by accident of the timers therefore cannot starve the rest.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::limits::Bucket;
use crate::units::Rate;

/// The rate that sessions share, in each direction; sessions of other threads too.
#[derive(Debug)]
pub struct Common {
    /// The smallest helping while others wait, in bytes.
    helping: u64,
    /// The time between two appointments: what the smallest helping takes at this rate.
    step: Duration,
    ways: [Mutex<Way>; 2],
}

#[derive(Debug)]
struct Way {
    bucket: Bucket,
    /// The end of the last appointment.
    booked: Instant,
    /// Appointments that nobody has come to yet.
    waiting: u64,
}

/// What one session has to do with it.
#[derive(Debug)]
pub struct Share {
    common: Arc<Common>,
    /// When it may ask again.
    appointments: [Option<Instant>; 2],
}

impl Common {
    /// A rate of so many bytes a second in each direction.
    pub fn new(rate: Rate, now: Instant) -> Arc<Self> {
        let helping = (rate.0 / 100).clamp(1, HELPING);
        let step = Duration::from_secs_f64(helping as f64 / rate.0.max(1) as f64);
        let way = || Mutex::new(Way { bucket: Bucket::new(rate, now), booked: now, waiting: 0 });
        Arc::new(Common { helping, step, ways: [way(), way()] })
    }
}

impl Way {
    /// The next appointment behind those of `others`, at `earliest` at the soonest. Where nobody else waits, the
    /// time that is booked is that of sessions that have come or left: it is given back.
    fn book(&mut self, earliest: Instant, others: u64, step: Duration) -> Instant {
        let at = if others == 0 { earliest } else { earliest.max(self.booked) };
        self.booked = at + step;
        at
    }
}

impl Share {
    /// A session that has asked for nothing yet.
    pub fn new(common: Arc<Common>) -> Self {
        Share { common, appointments: [None, None] }
    }

    /// How many bytes it may take now in this direction; otherwise when to ask again.
    ///
    /// # Errors
    /// The instant of its appointment.
    pub fn allowance(&mut self, direction: usize, now: Instant) -> Result<u64, Instant> {
        let appointment = &mut self.appointments[direction];
        if let Some(at) = *appointment
            && at > now
        {
            return Err(at);
        }
        let Common { helping, step, ways } = &*self.common;
        let mut way = locked(&ways[direction]);
        let found = way.bucket.allowance(now);
        if appointment.is_none() {
            if let (Ok(level), 0) = (&found, way.waiting) {
                return Ok(*level);
            }
            let (earliest, others) = (found.as_ref().err().copied().unwrap_or(now), way.waiting);
            let at = way.book(earliest, others, *step);
            way.waiting += 1;
            *appointment = Some(at);
            // one that is due has come: whoever is refused sleeps until the instant that it is told
            if at > now {
                return Err(at);
            }
        }
        // what others have left may be less than is worth waking up for, but here somebody is awake
        let level = way.bucket.level();
        match found {
            // nearly a helping is one: who was late left as much less to the next, and the appointments keep their pace
            Err(at) if level < helping.div_ceil(2) => {
                // behind everybody: of several at one instant the first would have it every time
                let others = way.waiting.saturating_sub(1);
                let at = way.book(at, others, *step);
                *appointment = Some(at);
                Err(at)
            }
            _ => Ok((level / way.waiting.max(1)).max(*helping).min(level)),
        }
    }

    /// Accounts for bytes that it took.
    pub fn take(&mut self, direction: usize, bytes: u64) {
        if bytes > 0 {
            let kept = self.appointments[direction].take();
            let mut way = locked(&self.common.ways[direction]);
            way.waiting -= u64::from(kept.is_some());
            way.bucket.take(bytes);
        }
    }

    /// It will take nothing in this direction: nobody has to wait for it to come to its appointment.
    pub fn leave(&mut self, direction: usize) {
        if self.appointments[direction].take().is_some() {
            locked(&self.common.ways[direction]).waiting -= 1;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        (0..self.appointments.len()).for_each(|direction| self.leave(direction));
    }
}

/// A panic elsewhere leaves numbers behind that are still numbers.
fn locked(way: &Mutex<Way>) -> MutexGuard<'_, Way> {
    way.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The most that a smallest helping is: enough for a read to be worth its call.
const HELPING: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Greedy sessions, woken in a fixed order by a clock that ticks every millisecond; what each got in `secs`.
    fn shared_out(rate: u64, sessions: usize, secs: u64) -> Vec<u64> {
        let start = Instant::now();
        let common = Common::new(Rate(rate), start);
        let mut shares: Vec<_> = (0..sessions).map(|_| Share::new(Arc::clone(&common))).collect();
        let mut got = vec![0; sessions];
        for tick in 0..secs * 1000 {
            let now = start + Duration::from_millis(tick);
            for (share, got) in shares.iter_mut().zip(&mut got) {
                while let Ok(bytes) = share.allowance(0, now) {
                    share.take(0, bytes);
                    *got += bytes;
                }
            }
        }
        got
    }

    #[test]
    fn all_sessions_together_keep_the_rate_and_each_gets_its_part() {
        for (rate, sessions) in [(100_000, 7), (1_000_000, 1), (10_000_000, 50), (1_000_000_000, 3)] {
            let got = shared_out(rate, sessions, 4);
            let total: u64 = got.iter().sum();
            assert!(total <= rate * 4 + rate / 25, "{total} of {rate} by {sessions}");
            assert!(total >= rate * 4 * 9 / 10, "{total} of {rate} by {sessions}");
            let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
            assert!(*least * 2 >= *most, "{sessions} sessions at {rate} got {got:?}");
        }
    }

    /// Greedy sessions that sleep until the instant that each was told, and are woken up to 1 ms late; among those that
    /// were told the same, always the same one first. After two seconds everything stands still for one.
    fn slept_for(rate: u64, sessions: usize, secs: u64) -> Vec<u64> {
        let start = Instant::now();
        let common = Common::new(Rate(rate), start);
        let mut shares: Vec<_> = (0..sessions).map(|_| (start, Share::new(Arc::clone(&common)), 0)).collect();
        let (mut now, mut lateness, mut stalled) = (start, 0, false);
        while now < start + Duration::from_secs(secs) {
            let Some((at, share, got)) = shares.iter_mut().min_by_key(|(at, ..)| *at) else { break };
            lateness = (lateness + 337) % 1000;
            now = now.max(*at + Duration::from_micros(lateness));
            if !stalled && now > start + Duration::from_secs(2) {
                (now, stalled) = (now + Duration::from_secs(1), true);
            }
            *at = loop {
                match share.allowance(0, now) {
                    Ok(bytes) => {
                        share.take(0, bytes);
                        *got += bytes;
                    }
                    Err(again) => break again,
                }
            };
        }
        shares.into_iter().map(|(_, _, got)| got).collect()
    }

    #[test]
    fn being_woken_late_costs_nobody_his_part() {
        for rate in [50_000, 300_000, 1_000_000, 3_000_000, 20_000_000] {
            for sessions in [4, 20] {
                let got = slept_for(rate, sessions, 13);
                let total: u64 = got.iter().sum();
                assert!(total <= rate * 13 && total >= rate * 11, "{total} of {rate} by {sessions}");
                let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
                assert!(*least * 4 >= *most * 3, "{sessions} sessions at {rate} got {got:?}");
            }
        }
    }

    // Who is told to come back at once is asleep already: nothing would wake it.
    #[test]
    fn a_refusal_names_a_later_instant_and_stands_until_then() {
        let start = Instant::now();
        let common = Common::new(Rate(4_000_000), start);
        let mut late = Share::new(Arc::clone(&common));
        assert!(late.allowance(0, start).is_err());
        // turns come late on a busy machine: nobody has come to that appointment, and there is enough for all
        for millis in [100, 101, 150, 300] {
            let now = start + Duration::from_millis(millis);
            let mut share = Share::new(Arc::clone(&common));
            match share.allowance(0, now) {
                Ok(bytes) => share.take(0, bytes),
                Err(at) => {
                    assert!(at > now, "after {millis} ms it is to come back at once");
                    assert_eq!(share.allowance(0, now), Err(at), "after {millis} ms");
                }
            }
        }
    }

    #[test]
    fn directions_do_not_share() {
        let start = Instant::now();
        let mut share = Share::new(Common::new(Rate(1_000_000), start));
        let later = start + Duration::from_secs(1);
        let up = share.allowance(0, later).unwrap();
        share.take(0, up);
        assert_eq!(share.allowance(1, later).unwrap(), up);
    }

    // Nobody gets less because somebody does not come to an appointment any more.
    #[test]
    fn who_leaves_is_not_waited_for() {
        let start = Instant::now();
        let common = Common::new(Rate(1_000_000), start);
        let mut gone = Share::new(Arc::clone(&common));
        assert!(gone.allowance(0, start).is_err());
        let later = start + Duration::from_secs(1);
        let all = Share::new(Arc::clone(&common)).allowance(1, later).unwrap();
        assert!(Share::new(Arc::clone(&common)).allowance(0, later).unwrap() < all, "half is somebody else's");
        gone.leave(1);
        gone.leave(0);
        gone.leave(0);
        assert_eq!(Share::new(common).allowance(0, later).unwrap(), all);
    }

    // A crowd that has gone away without having taken anything leaves no time behind that nobody may use.
    #[test]
    fn the_time_of_those_who_have_left_is_given_back() {
        let start = Instant::now();
        let common = Common::new(Rate(1_000_000), start);
        let mut crowd: Vec<_> = (0..500).map(|_| Share::new(Arc::clone(&common))).collect();
        assert!(crowd.iter_mut().all(|share| share.allowance(0, start).is_err()));
        drop(crowd);
        let mut left = Share::new(common);
        let at = left.allowance(0, start).unwrap_err();
        assert!(at < start + Duration::from_millis(20), "it waits {:?}", at - start);
        assert!(left.allowance(0, at).is_ok());
    }
}
