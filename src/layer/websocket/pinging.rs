//! Looking after a silent peer: it is pinged, and given up when nothing comes of that.

use std::time::{Duration, Instant};

/// When a ping is due, and what is known of the answer. The time is passed in.
pub(super) struct Pinging {
    pub(super) every: Duration,
    pub(super) at: Instant,
    /// A ping went out, or waits to, that nothing has followed.
    unanswered: bool,
    /// Somebody looked for an answer since.
    pub(super) looked: bool,
    /// The peer has taken some of what waited for it since the last look at the time: the ping may be behind that.
    pub(super) taken: bool,
}

/// What came from the peer since the last look at the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    /// Pongs alone leave it silent.
    Pong,
    Words,
}

/// What a look at the time found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Alive,
    /// It is silent: a ping is to be sent.
    Silent,
    /// It did not even answer a ping.
    Dead,
}

impl Pinging {
    pub(super) fn new(every: Duration, now: Instant) -> Self {
        Pinging { every, at: now + every, unanswered: false, looked: false, taken: false }
    }

    /// To be called when [`Pinging::at`] has come.
    pub(super) fn tick(&mut self, now: Instant, heard: Heard) -> Finding {
        self.at = now + self.every;
        let taken = std::mem::take(&mut self.taken);
        match heard {
            Heard::Words => {
                self.unanswered = false;
                Finding::Alive
            }
            Heard::Nothing if self.unanswered && (taken || !self.looked) => {
                // who takes what is in front of the ping lives; and one that nobody had the time to listen to is not silent
                Finding::Alive
            }
            Heard::Nothing if self.unanswered => Finding::Dead,
            Heard::Nothing | Heard::Pong => {
                (self.unanswered, self.looked) = (true, false);
                Finding::Silent
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A silent peer, and a clock that moves by a second.
    fn silent() -> (Pinging, impl FnMut(&mut Pinging, Heard) -> Finding) {
        let (second, mut now) = (Duration::from_secs(1), Instant::now());
        let pinging = Pinging::new(second, now);
        let tick = move |pinging: &mut Pinging, heard| {
            assert_eq!(pinging.at, now + second);
            now += second;
            let finding = pinging.tick(now, heard);
            pinging.looked = true;
            finding
        };
        (pinging, tick)
    }

    // As long as it takes what is in front of the ping it need not answer.
    #[test]
    fn a_peer_that_reads_slowly_is_alive() {
        let (mut pinging, mut tick) = silent();
        assert_eq!(tick(&mut pinging, Heard::Nothing), Finding::Silent);
        for _ in 0..10 {
            pinging.taken = true;
            assert_eq!(tick(&mut pinging, Heard::Nothing), Finding::Alive);
        }
        assert_eq!(tick(&mut pinging, Heard::Nothing), Finding::Dead, "it has stopped");
    }

    #[test]
    fn a_peer_that_only_answers_pings_is_pinged_every_time() {
        let (mut pinging, mut tick) = silent();
        assert_eq!(tick(&mut pinging, Heard::Nothing), Finding::Silent);
        for _ in 0..10 {
            assert_eq!(tick(&mut pinging, Heard::Pong), Finding::Silent);
        }
        assert_eq!(tick(&mut pinging, Heard::Words), Finding::Alive);
        assert_eq!(tick(&mut pinging, Heard::Nothing), Finding::Silent, "a ping of its own comes first");
        assert_eq!(tick(&mut pinging, Heard::Nothing), Finding::Dead);
    }

    #[test]
    fn one_that_nobody_listens_to_is_not_given_up() {
        let (mut pinging, mut tick) = silent();
        assert_eq!(tick(&mut pinging, Heard::Nothing), Finding::Silent);
        for _ in 0..10 {
            pinging.looked = false;
            assert_eq!(tick(&mut pinging, Heard::Nothing), Finding::Alive);
        }
    }
}
