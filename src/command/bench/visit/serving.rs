//! The part of a test in which bytes move, as the server sees it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::server::Running;
use super::super::setup::{self, Between};
use super::{Step, Visit};
use crate::bench::protocol::Parameters;
use crate::bench::result::{json, text};
use crate::bench::traffic::{Bell, Budget, Flow, Phase, Way};
use crate::command::bench::ledger::{Lane, Ledger};
use crate::datagram::pace::CATCH_UP;
use crate::reactor::Turn;

/// What happens when.
pub(super) struct Course {
    /// The end of the warm-up.
    omit: Option<Instant>,
    /// The next line.
    tick: Option<Instant>,
    /// When is looked whether anything moves.
    look: Instant,
    /// Bytes that had moved then, and since when no more has.
    seen: ([u64; 2], Instant),
    /// The client should have ended it by now.
    end: Option<Instant>,
}

impl Course {
    pub(super) fn deadline(&self) -> Option<Instant> {
        crate::session::limits::soonest([self.omit, self.tick, Some(self.look), self.end])
    }
}

/// Gives each stream a flow that waits for the beginning; their places in the books.
fn flows(visit: &mut Visit, turn: &mut Turn) -> io::Result<Vec<Lane>> {
    let bell = Bell::of(turn)?;
    let mut band = visit.crew.band();
    let mut lanes = Vec::new();
    let Parameters { length, zerocopy, extra, bytes, blocks, .. } = visit.asked;
    let share = visit.share();
    let burst = share.map_or(visit.asked.burst, |share| visit.asked.burst.min(most_burst(share, length)));
    let most = match (bytes, blocks) {
        (0, 0) => None,
        (0, blocks) => Some(blocks.saturating_mul(length as u64)),
        (bytes, _) => Some(bytes),
    };
    let budget = most.map(|bytes| Arc::new(Budget::new(bytes)));
    for (lane, line) in visit.opened.drain(..) {
        let Some(line) = line else {
            lanes.push(lane);
            continue;
        };
        let way = if lane.connection.is_sender { Way::Sends } else { Way::Receives };
        let asked = visit.asked.bytes_per_second().filter(|_| way == Way::Sends);
        let flow = Flow {
            way,
            block: length,
            rate: asked.or(share),
            burst: if asked.is_some() { burst } else { 0 },
            budget: budget.clone().filter(|_| way == Way::Sends),
            check: extra.is_some_and(|extra| extra.check),
            zerocopy,
            finishes: visit.cookie.is_haul(),
            tally: Arc::clone(&lane.tally),
            stage: Arc::clone(&visit.stage),
            bell: bell.clone(),
        };
        band.run(turn, move || line.task(flow))?;
        lanes.push(lane);
    }
    visit.band = Some(band);
    Ok(lanes)
}

/// How many blocks may go at once where a server allows so many bytes a second: what a late turn may make up for.
fn most_burst(share: u64, block: usize) -> u64 {
    let bytes = u128::from(share) * CATCH_UP.as_millis() / 1000;
    u64::try_from(bytes / block.max(1) as u128).unwrap_or(u64::MAX).max(1)
}

/// How long a test may take that is to last so long behind its warm-up, 0 if no time ends it. One of exactly what the
/// server allows needs a little more, for its client's word to come.
fn longest(time: Duration, omit: Duration, most: Option<Duration>) -> Option<Duration> {
    if time.is_zero() {
        return most;
    }
    let late = time.saturating_add(omit).saturating_add(LATE);
    Some(most.map_or(late, |most| late.min(most.saturating_add(SLACK))))
}

/// All streams are there: they begin.
pub(super) fn begin(visit: &mut Visit, turn: &mut Turn) -> Result<(), String> {
    let lanes = flows(visit, turn).map_err(|error| crate::error::sentence(&error))?;
    let (host, port) = match visit.peer.rsplit_once(':') {
        Some((host, port)) => (host.trim_matches(['[', ']']).to_owned(), port.parse().ok()),
        None => (visit.peer.clone(), None),
    };
    let between = Between {
        host,
        port,
        is_server: true,
        over: visit.terms.over.clone(),
        cookie: &visit.cookie,
        until: None,
        omit: None,
    };
    let connections = lanes.iter().map(|lane| lane.connection.clone()).collect();
    let setup = setup::setup(between, &visit.asked, connections);
    let now = turn.now();
    if visit.terms.print.json_stream {
        visit.print(&format!("{}\n", json::start(&setup)));
    } else if visit.terms.interval.is_some() && !visit.terms.print.json {
        visit.print(&format!("{}\n", setup::opening(&setup, true)));
    }
    let seconds = Duration::from_secs;
    let omit = Some(seconds(visit.asked.omit)).filter(|omit| !omit.is_zero());
    visit.step = Step::Running(Course {
        omit: omit.map(|omit| now + omit),
        tick: visit.terms.interval.map(|every| now + every),
        look: now + LOOK,
        seen: ([0, 0], now),
        end: longest(seconds(visit.asked.time), seconds(visit.asked.omit), visit.terms.most_time)
            .map(|time| now + time),
    });
    let tallies = lanes.iter().map(|lane| (lane.connection.is_sender, Arc::clone(&lane.tally))).collect();
    let running = Running { peer: visit.peer.clone(), began: now, tallies };
    visit.desk.borrow_mut().begun(&visit.cookie, running);
    visit.ledger = Some(Ledger::new(setup, lanes, now));
    visit.stage.advance(Phase::Running);
    visit.nudge(turn);
    visit.talk.begin();
    // the clock of this step is its own
    visit.limit = now + super::FOREVER;
    Ok(())
}

/// Looks at the clock and at what moves.
///
/// # Errors
/// The client seems to be gone.
pub(super) fn turn(visit: &mut Visit, turn: &mut Turn) -> Result<(), String> {
    let now = turn.now();
    let every = visit.terms.interval;
    let (Step::Running(course), Some(ledger)) = (&mut visit.step, &mut visit.ledger) else { return Ok(()) };
    let mut lines = Vec::new();
    if course.omit.is_some_and(|at| at <= now) {
        ledger.begin_counting(now);
        course.omit = None;
        course.tick = every.map(|every| now + every);
    }
    if let (Some(every), Some(at)) = (every, course.tick)
        && at <= now
    {
        let setup = ledger.setup.clone();
        let (interval, is_first) = ledger.tick(now, None);
        lines.push(match visit.terms.print.json_stream {
            true => json::interval(interval),
            false => text::interval(&setup, interval, is_first),
        });
        let mut next = at;
        while next <= now {
            next += every;
        }
        course.tick = Some(next);
    }
    let mut gone = None;
    if let Some(error) = ledger.lanes.iter().find_map(|lane| lane.tally.take_error()) {
        visit.talk.leave();
        return Err(crate::error::sentence(&error));
    }
    if course.look <= now {
        course.look = now + LOOK;
        let bytes = ledger.bytes();
        if bytes != course.seen.0 {
            course.seen = (bytes, now);
        }
        let is_idle = visit.asked.extra.is_none_or(|extra| extra.trip.is_none())
            && now.saturating_duration_since(course.seen.1) > IDLE;
        if is_idle && course.end.is_none() {
            gone = Some("nothing has moved for too long");
        }
    }
    if course.end.is_some_and(|end| end <= now) {
        gone = Some("the test took longer than it may");
    }
    if !visit.terms.print.json {
        lines.iter().for_each(|line| visit.print(&format!("{line}\n")));
    }
    match gone {
        Some(why) => {
            visit.talk.leave();
            Err(why.into())
        }
        None => Ok(()),
    }
}

/// How often is looked whether anything moves.
const LOOK: Duration = Duration::from_secs(1);

/// How much longer a test may take than its client has said.
const LATE: Duration = Duration::from_secs(10);

/// The same where that is all that the server allows.
const SLACK: Duration = Duration::from_secs(3);

/// A test that no time ends is over when nothing has moved for so long.
const IDLE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    // The client's word that it is over comes a little after that.
    #[test]
    fn a_test_of_all_that_is_allowed_has_time_to_end() {
        let seconds = Duration::from_secs;
        assert_eq!(longest(seconds(1), seconds(1), Some(seconds(2))), Some(seconds(2) + SLACK));
        assert_eq!(longest(seconds(1), seconds(0), Some(seconds(60))), Some(seconds(1) + LATE));
        assert_eq!(longest(seconds(1), seconds(1), None), Some(seconds(2) + LATE));
        // nothing else ends these
        assert_eq!(longest(seconds(0), seconds(1), Some(seconds(2))), Some(seconds(2)));
        assert_eq!(longest(seconds(0), seconds(0), None), None);
    }

    // The mean alone is no bound: a thousand blocks of a megabyte would be all of a minute at once.
    #[test]
    fn a_burst_is_held_to_what_the_server_allows() {
        assert_eq!(most_burst(1_250_000, 1 << 20), 1);
        assert_eq!(most_burst(1_250_000, 1000), 12);
        assert_eq!(most_burst(u64::MAX, 0), u64::MAX / 100);
    }
}
