//! Trying again until something is open: when, how long each try may take, and what is told meanwhile.
//!
//! Without `--wait` the first failure is the answer. With it a failed try is followed by another after a pause that
//! doubles from 50 ms to 1 s; the last one begins when the time is over, so that what opens late is still found. A
//! mistake of usage is not waited for: time does not mend it.

use std::time::{Duration, Instant};

use crate::error::{Cause, Error};
use crate::outcome::ExitStatus;

/// How long one target is waited for, and how far that is.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    wait: Option<Duration>,
    /// Longest time for one try.
    each: Option<Duration>,
    /// When the wait is over; set by [`Patience::begin`].
    until: Option<Instant>,
    pause: Duration,
    /// The cause told last.
    told: Option<String>,
}

impl Patience {
    /// `wait`: how long to try again; `each`: longest time for a single try.
    pub(super) fn new(wait: Option<Duration>, each: Option<Duration>) -> Self {
        Patience { wait, each, until: None, pause: FIRST_PAUSE, told: None }
    }

    /// The wait runs from the first call.
    pub(super) fn begin(&mut self, now: Instant) {
        self.until = self.until.or(self.wait.map(|wait| now + wait));
    }

    /// How long a try that begins now may take; `None` for as long as the system lets it.
    pub(super) fn limit(&self, now: Instant) -> Option<Duration> {
        let Some(until) = self.until else { return self.each };
        let left = until.saturating_duration_since(now).max(LAST_TRY);
        Some(self.each.unwrap_or(LONGEST_TRY).min(LONGEST_TRY).min(left))
    }

    /// When to try again after this failure of a try; `None` if it is final.
    pub(super) fn again(&mut self, failure: &Error, now: Instant) -> Option<Instant> {
        let until = self.until.filter(|until| now < *until)?;
        if is_hopeless(failure) {
            return None;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        Some((now + pause).min(until))
    }

    /// What to tell while waiting: the cause, unless it was told before.
    pub(super) fn news(&mut self, failure: &Error) -> Option<String> {
        let cause = cause(failure);
        if self.told.as_ref() == Some(&cause) {
            return None;
        }
        self.told = Some(cause.clone());
        Some(cause)
    }

    /// The failure that ends it: what the last try met, and that it was waited for.
    pub(super) fn give_up(&self, failure: Error) -> Error {
        match self.wait {
            Some(wait) if !is_hopeless(&failure) => {
                let sentence = format!("not open within {}: {}", humantime::format_duration(wait), bare(&failure));
                failure.with_cause(Cause::Said(sentence)).with_status(ExitStatus::TimeLimit)
            }
            _ => failure,
        }
    }
}

/// A failure that the next try would meet again.
pub(super) fn is_hopeless(failure: &Error) -> bool {
    !failure.is_passing() && !matches!(failure.status(), ExitStatus::Network | ExitStatus::TimeLimit)
}

/// Why, as a part of a sentence: the cause, and what each address said where that differs.
pub(super) fn cause(failure: &Error) -> String {
    let facts: Vec<_> = failure.facts().iter().map(|fact| words(fact)).collect();
    if facts.is_empty() { bare(failure) } else { format!("{} ({})", bare(failure), facts.join(", ")) }
}

fn bare(failure: &Error) -> String {
    match failure.cause() {
        Cause::TimedOut(limit) => format!("no answer within {}", humantime::format_duration(rounded(*limit))),
        cause => cause.to_string(),
    }
}

/// The limit of a last try is what was left of the wait; nobody wants to read its nanoseconds.
fn rounded(limit: Duration) -> Duration {
    Duration::from_millis(limit.as_millis().max(1) as u64)
}

/// A fact without the alignment of its columns.
fn words(fact: &str) -> String {
    fact.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The pause after the first failure, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Longest time for one try while there may be others.
const LONGEST_TRY: Duration = Duration::from_secs(5);

/// What the try that begins when the time is over gets: enough for a peer on the same network.
const LAST_TRY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::error::Op;

    fn refused() -> Error {
        Error::new(Op::Connect, "db:1", io::Error::from(io::ErrorKind::ConnectionRefused))
    }

    /// The moments of all tries that fail at once.
    fn tries(wait: u64) -> Vec<u64> {
        let start = Instant::now();
        let mut patience = Patience::new(Some(Duration::from_millis(wait)), None);
        patience.begin(start);
        let (mut moments, mut now) = (vec![0], start);
        while let Some(at) = patience.again(&refused(), now) {
            assert!(at > now, "a pause has a length");
            now = at;
            moments.push(now.duration_since(start).as_millis() as u64);
        }
        moments
    }

    #[test]
    fn pauses_double_to_one_second_and_the_last_try_is_at_the_end_of_the_time() {
        assert_eq!(tries(4000), [0, 50, 150, 350, 750, 1550, 2550, 3550, 4000]);
        assert_eq!(tries(40), [0, 40]);
        assert_eq!(tries(0), [0]);
    }

    #[test]
    fn a_try_has_five_seconds_at_most_and_never_nothing() {
        let now = Instant::now();
        let secs = |secs| Some(Duration::from_secs(secs));
        let limit = |wait, each| {
            let mut patience = Patience::new(wait, each);
            patience.begin(now);
            patience.limit(now)
        };
        assert_eq!(limit(None, None), None);
        assert_eq!(limit(None, secs(60)), secs(60));
        assert_eq!(limit(secs(60), None), secs(5));
        assert_eq!(limit(secs(60), secs(2)), secs(2));
        assert_eq!(limit(secs(3), secs(9)), secs(3));
        assert_eq!(limit(secs(0), None), Some(LAST_TRY));
    }

    #[test]
    fn without_a_wait_and_for_mistakes_the_first_failure_is_final() {
        let now = Instant::now();
        let mut once = Patience::new(None, None);
        once.begin(now);
        assert_eq!(once.again(&refused(), now), None);
        assert_eq!(once.give_up(refused()).line(), "cannot connect to db:1: connection refused");
        let mut waiting = Patience::new(Some(Duration::from_secs(9)), None);
        waiting.begin(now);
        let mistake = Error::said(Op::Use, "./file", "it is a regular file and not a socket");
        assert_eq!(waiting.again(&mistake, now), None);
        assert_eq!(waiting.give_up(mistake).status().code(), 2);
    }

    #[test]
    fn each_cause_is_told_once_and_the_last_one_is_in_the_failure() {
        let mut patience = Patience::new(Some(Duration::from_secs(9)), None);
        patience.begin(Instant::now());
        assert_eq!(patience.news(&refused()).as_deref(), Some("connection refused"));
        assert_eq!(patience.news(&refused()), None);
        let both = Error::said(Op::Connect, "db:1", "all 2 addresses failed")
            .with_facts(vec!["::1:1       no route to host".into(), "127.0.0.1:1 connection refused".into()]);
        let told = "all 2 addresses failed (::1:1 no route to host, 127.0.0.1:1 connection refused)";
        assert_eq!(patience.news(&both).as_deref(), Some(told));
        let failure = patience.give_up(both);
        assert_eq!(failure.line(), "cannot connect to db:1: not open within 9s: all 2 addresses failed");
        assert_eq!(failure.facts().len(), 2);
        assert_eq!(failure.status().code(), 3);
        let silent = Error::new(Op::Connect, "db:1", Cause::TimedOut(Duration::from_micros(100_200)));
        assert_eq!(cause(&silent), "no answer within 100ms");
    }
}
