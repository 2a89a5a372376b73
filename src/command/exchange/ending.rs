//! The end of an exchange: what still goes out, the program's status, the totals.

use std::time::{Duration, Instant};

use super::{Exchange, arrival};
use crate::event::{Event, Traffic};
use crate::outcome::{Ended, Outcome};
use crate::reactor::{Park, Turn};
use crate::report::summary::reason;

/// How it ended, while the last answers go out.
pub(super) struct Closing {
    ended: Ended,
    /// Until then at the latest.
    until: Option<Instant>,
}

impl Exchange {
    /// Begins the end. What a failure leaves unwritten is given up after a while; a success has its time.
    pub(super) fn close(&mut self, turn: &mut Turn, ended: Ended) {
        let now = turn.now();
        let until = match ended {
            Ended::Clean => self.limits()[0],
            _ => Some(now + GRACE),
        };
        if let (Some(helper), false) = (&mut self.helper, matches!(ended, Ended::Clean)) {
            helper.hurry(now);
        }
        self.closing = Some(Closing { ended, until });
    }

    /// A signal while the last answers go out.
    pub(super) fn interrupt(&mut self, turn: &mut Turn, number: i32) {
        let now = turn.now();
        if let Some(helper) = &mut self.helper {
            helper.hurry(now);
        }
        if let Some(closing) = &mut self.closing {
            *closing = Closing { ended: Ended::Signal(number), until: Some(now) };
        }
    }

    /// Lets the last answers out, waits for the program, then tells how it ended.
    pub(super) fn wind_up(&mut self, turn: &mut Turn) -> Park {
        let now = turn.now();
        let Some(Closing { ended, until }) = self.closing.take() else { return Park::Wait };
        turn.deadline(None);
        let late = until.is_some_and(|until| until <= now);
        let printed = match self.near.flush(turn) {
            Ok(false) if !late => {
                turn.deadline(until);
                self.closing = Some(Closing { ended, until });
                return Park::Wait;
            }
            Ok(false) if matches!(ended, Ended::Clean) => {
                let _ = self.near.close(turn);
                self.passed_limit(now).map_or(Ok(()), |error| Err(Ended::Failed(error)))
            }
            Ok(_) => self.near.close(turn),
            Err(ended) => Err(ended),
        };
        let mut ended = match (printed, ended) {
            (Err(failure), Ended::Clean) => failure,
            (_, ended) => ended,
        };
        self.out.give_up(turn);
        // the limit holds for a program that goes on without us, too
        let limit = if late { self.passed_limit(now) } else { None };
        if let (Some(helper), Ended::Clean, Some(error)) = (&mut self.helper, &ended, limit)
            && helper.reap(turn).is_none()
        {
            helper.hurry(now);
            ended = Ended::Failed(error);
        }
        if let Some(helper) = &mut self.helper {
            let Some(status) = helper.reap(turn) else {
                if let (false, Some(until)) = (late, until) {
                    turn.deadline_at_most(until);
                }
                self.closing = Some(Closing { ended, until });
                return Park::Wait;
            };
            if matches!(ended, Ended::Clean) && status != 0 {
                ended = Ended::Program(status);
            }
        }
        if let (Some(bytes), Ended::Clean) = (self.cut, &ended) {
            ended = Ended::Failed(arrival::cut(bytes));
        }
        self.report(now, ended)
    }

    fn report(&self, now: Instant, ended: Ended) -> Park {
        let (elapsed, Traffic { bytes_in, bytes_out, .. }) = (self.elapsed(now), self.traffic());
        if self.started.is_some() {
            let reason = reason(&ended);
            self.observer.observe(&Event::Closed { session: 1, bytes_in, bytes_out, elapsed, reason });
            if self.out.is_stamped() && !self.tells_totals && self.out.sent()[0] > 0 {
                let Traffic { sent, .. } = self.traffic();
                let were = if sent == 1 { "datagram was" } else { "datagrams were" };
                self.observer.observe(&Event::Note { verbosity: 0, text: format!("{sent} {were} sent") });
            }
            self.observer.observe(&self.totals(now));
        }
        Park::Done(Outcome { ended, bytes: [bytes_out, bytes_in], elapsed })
    }

    fn elapsed(&self, now: Instant) -> Duration {
        self.started.map_or(Duration::ZERO, |started| now.saturating_duration_since(started))
    }

    /// What moved and what did not, both ways.
    fn traffic(&self) -> Traffic {
        let [sent, bytes_out] = self.out.sent();
        let dropped = self.out.line().socket.drops().map_or(0, u64::from);
        let (unread, unsent) = (self.near.unread(), self.out.unsent());
        Traffic { sent, bytes_out, unsent, dropped, unread, ..self.came }
    }

    pub(super) fn totals(&self, now: Instant) -> Event {
        Event::Datagrams { traffic: self.traffic(), elapsed: self.elapsed(now) }
    }
}

/// How long what is left may go on after a failure or a signal.
const GRACE: Duration = Duration::from_millis(500);
