//! `connect --expect`, with or without `--send`: a dialogue with the peer instead of a bridge to standard input.
//!
//! The steps say what is sent; where there is no `--send`, standard input is sent while the matches are waited for, as
//! it is without them; the null device is not. Each match goes to standard output, followed by a newline. What is left
//! to be sent behind the last `--expect` is a session of its own that ends as `--send-only` does: everything is acknowledged, FIN,
//! and nobody waits for the peer to end. A dialogue that fails ends with a reset, since an end of file would say that
//! all was said.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::approach::Approach;
use super::joint::{Joint, far_end, layers};
use super::link::Link;
use super::patience::Patience;
use super::printer::Printer;
use super::reporting::Reporting;
use super::talk::{Act, Feed, Limits, Talk, Talked, script};
use crate::endpoint::synthetic::Synthetic;
use crate::endpoint::{Transport, printed, stdio};
use crate::error::{Error, Op};
use crate::escape::Escaped;
use crate::event::{Event, Observer};
use crate::outcome::{Ended, ExitStatus, Outcome};
use crate::plan::{AfterPeerEof, Connect, DEFAULT_GRACE, Flow, Local, Step, Transfer};
use crate::reactor::{Park, Task, Turn};
use crate::report::summary::reason;
use crate::report::{Console, Observers, Summary};
use crate::session::carrier::Pools;
use crate::session::end::{End, Side};
use crate::session::pump::Pump;
use crate::session::tap::Tap;
use crate::session::{Context, Session};
use crate::sys::Kind;

/// Gives the task that dials and holds the dialogue.
///
/// # Errors
/// A pattern that does not parse, an endpoint that cannot be opened.
pub(super) fn dialogue(plan: &Connect, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    let acts = script(&plan.dialogue)?;
    let feeds = !plan.dialogue.iter().any(|step| matches!(step, Step::Send(_)));
    let patience = Patience::new(plan.wait, plan.connect_timeout);
    let observer = reporting.observers();
    let approach = Approach::new(&plan.to, (true, true), patience, Rc::clone(&observer))?.with_header(plan.proxy_send);
    let approach = approach.with_whole(plan.transfer.max_time);
    Ok(Box::new(Dialogue {
        stage: Stage::Opening(Box::new(approach), acts),
        name: Escaped(&printed::object(&plan.to, "localhost")).to_string(),
        printer: Printer::open()?.synced(plan.transfer.fsync),
        feed: if feeds { feed(&plan.transfer)? } else { None },
        transfer: plan.transfer.clone(),
        expect_timeout: plan.expect_timeout,
        observer,
        tap: reporting.copier().map(|copier| copier.tap(1)),
        console: reporting.console(),
        bytes: [0, 0],
        started: None,
        began: None,
    }))
}

/// Standard input, as far as it is to be sent. The null device and a closed standard input, which are what a program
/// run by cron or by a build has, say nothing here, not even that they have ended: many a peer would leave then.
fn feed(transfer: &Transfer) -> Result<Option<Feed>, Error> {
    let reads = transfer.stdin && transfer.flow != Flow::ReceiveOnly;
    let pump = match transfer.flow {
        Flow::ReceiveOnly => Pump::ended(),
        _ if !transfer.stdin => return Ok(None),
        _ if !transfer.shutdown => Pump::keeping_open(),
        _ => Pump::default(),
    };
    let names = Side::Local { reading: "standard input".into(), writing: "".into() };
    let input = stdio::open(reads, false)?;
    if let (true, Transport::Descriptors(both)) = (reads, &input)
        && both.reader.as_ref().is_none_or(|reader| reader.kind() == Kind::Null)
    {
        return Ok(None);
    }
    let end = End::new(input, names, None);
    Ok(Some(Feed { end, pump, pools: Pools::new(BUFFER, BUFFER) }))
}

/// One connection and what is said over it.
struct Dialogue {
    stage: Stage,
    /// The endpoint as typed, for messages.
    name: String,
    printer: Printer,
    feed: Option<Feed>,
    transfer: Transfer,
    expect_timeout: Option<Duration>,
    observer: Rc<dyn Observer>,
    /// Who looks at what is said.
    tap: Option<Tap>,
    console: Console,
    /// Bytes sent and received while talking.
    bytes: [u64; 2],
    started: Option<Instant>,
    /// From when its longest time runs.
    began: Option<Instant>,
}

enum Stage {
    Opening(Box<Approach>, VecDeque<Act>),
    Talking(Box<Talk>),
    /// Sending the rest. `settled`: there is none, and the peer owes no acknowledgement; how it ends is its affair.
    Ending {
        link: Box<Link>,
        settled: bool,
    },
    /// Over with the peer; matches are still being printed.
    Printing(Outcome),
    Idle,
}

impl Dialogue {
    /// Waits for the connection.
    fn open(&mut self, turn: &mut Turn) -> Result<(), Ended> {
        let Stage::Opening(approach, acts) = &mut self.stage else { return Ok(()) };
        let Some(contact) = approach.turn(turn).map_err(Ended::Failed)? else {
            turn.deadline(approach.deadline());
            return Ok(());
        };
        let acts = std::mem::take(acts);
        contact.tell_connected(1, &*self.observer);
        let since = contact.began().unwrap_or(turn.now());
        let end = far_end(contact, layers(self.transfer.crlf, None));
        let Transfer { idle, max_time, .. } = self.transfer;
        let limits = Limits { expect: self.expect_timeout, idle, max_time, since };
        let talk = Talk::new(end, self.name.clone(), acts, limits, turn.now());
        let mut talk = talk.with_feed(self.feed.take()).with_tap(self.tap.clone());
        (self.started, self.began) = (Some(talk.started()), Some(since));
        let started = talk.start(turn);
        self.stage = Stage::Talking(Box::new(talk));
        started.map_err(Ended::Failed)
    }

    /// Carries out the steps; `Some` when this turn is over.
    fn talk(&mut self, turn: &mut Turn) -> Result<Option<Park>, Ended> {
        let Stage::Talking(talk) = &mut self.stage else { return Ok(None) };
        let talked = talk.turn(turn, &mut self.printer)?;
        self.bytes = talk.bytes();
        match talked {
            Talked::Waiting => {
                // a slow reader of ours is not the peer's fault: no limit runs against it
                turn.deadline(talk.deadline().filter(|_| !self.printer.is_full()));
                Ok(Some(Park::Wait))
            }
            Talked::Busy => Ok(Some(Park::Again)),
            Talked::Over => self.hand_over(turn, None).map(|()| None).map_err(Ended::Failed),
        }
    }

    /// Leaves the rest to a session that sends, lingers, closes, and waits for a program; after a failure there is no
    /// rest, and it ends with a reset.
    fn hand_over(&mut self, turn: &mut Turn, failed: Option<Ended>) -> Result<(), Error> {
        let Stage::Talking(talk) = std::mem::replace(&mut self.stage, Stage::Idle) else { return Ok(()) };
        let (far, mut rest) = talk.into_rest();
        let settled = failed.is_none() && rest.is_empty() && far.unsent() == 0;
        if failed.is_some() {
            rest.clear();
        }
        let names = Side::Local { reading: "what is to be sent".into(), writing: "".into() };
        let near = End::new(Synthetic::text(rest).into(), names, None);
        let transfer = Transfer {
            flow: Flow::SendOnly,
            stdin: failed.is_none(),
            after_peer_eof: AfterPeerEof::Send,
            max_bytes: None,
            ..self.transfer.clone()
        };
        // its counts are those of the rest alone, and would be told as those of the whole
        let deaf = Rc::new(Observers::new());
        let joint = Joint::new(transfer, Local::Stdio, DEFAULT_GRACE, deaf);
        let context = Context {
            policy: joint.policy(),
            pools: Rc::clone(&joint.pools),
            meter: Arc::clone(&joint.meter),
            observer: Rc::clone(&joint.observer),
        };
        let mut session = Session::new(near, far, context, turn.now()).with_tap(self.tap.clone());
        session.start(turn)?;
        if let Some(ended) = failed {
            session.stop(ended, turn.now());
        }
        let link = joint.link(session, 1).counted_from(self.began);
        self.stage = Stage::Ending { link: Box::new(link), settled };
        Ok(())
    }

    /// Sends the rest and ends; `Some` when this turn is over.
    fn end(&mut self, turn: &mut Turn) -> Option<Park> {
        let Stage::Ending { link, settled } = &mut self.stage else { return None };
        match link.turn(turn) {
            Park::Done(outcome) => {
                let forgiven =
                    *settled && matches!(&outcome.ended, Ended::Failed(error) if error.status() == ExitStatus::Network);
                let ended = if forgiven { Ended::Clean } else { outcome.ended };
                self.bytes[0] += outcome.bytes[0];
                self.close(turn, ended);
                None
            }
            park => Some(park),
        }
    }

    /// It failed, or a signal came: what is open is closed, and what was matched is still printed.
    fn fail(&mut self, turn: &mut Turn, ended: Ended) {
        match &mut self.stage {
            Stage::Opening(approach, _) => approach.abandon(turn),
            Stage::Talking(_) => match self.hand_over(turn, Some(ended)) {
                Ok(()) => return,
                Err(error) => return self.close(turn, Ended::Failed(error)),
            },
            Stage::Ending { .. } | Stage::Printing(_) | Stage::Idle => {}
        }
        self.close(turn, ended);
    }

    /// The peer is done with.
    fn close(&mut self, turn: &mut Turn, ended: Ended) {
        turn.deadline(None);
        let elapsed = self.elapsed(turn.now());
        self.stage = Stage::Printing(Outcome { ended, bytes: self.bytes, elapsed });
    }

    /// Lets the last lines out, then tells how it ended.
    fn print(&mut self, turn: &mut Turn) -> Park {
        let done = self.printer.finish(turn);
        if let Ok(false) = done {
            return Park::Wait;
        }
        let Stage::Printing(mut outcome) = std::mem::replace(&mut self.stage, Stage::Idle) else { return Park::Wait };
        if let (Err(ended), Ended::Clean) = (done, &outcome.ended) {
            outcome.ended = ended;
        }
        if self.started.is_some() {
            let Summary { bytes_in, bytes_out, elapsed, .. } = self.summary(turn.now());
            let reason = reason(&outcome.ended);
            self.observer.observe(&Event::Closed { session: 1, bytes_in, bytes_out, elapsed, reason });
            self.observer.observe(&Event::Stats { bytes_in, bytes_out, elapsed });
        }
        Park::Done(outcome)
    }

    /// What signals ask for.
    fn obey(&mut self, turn: &mut Turn) {
        let signals = turn.signals();
        if signals & 1 << SIGUSR1 != 0 {
            self.console.summary(&self.summary(turn.now()));
        }
        let Some(number) = [SIGINT, SIGTERM, SIGHUP].into_iter().find(|number| signals & 1 << number != 0) else {
            return;
        };
        match &mut self.stage {
            Stage::Ending { link, .. } => link.stop(Ended::Signal(number), turn.now()),
            // whoever sends a second signal does not want to wait for a slow reader either
            Stage::Printing(outcome) => {
                outcome.ended = Ended::Signal(number);
                self.printer.drop_rest();
            }
            _ => self.fail(turn, Ended::Signal(number)),
        }
    }

    fn elapsed(&self, now: Instant) -> Duration {
        self.started.map_or(Duration::ZERO, |started| now.saturating_duration_since(started))
    }

    fn summary(&self, now: Instant) -> Summary {
        let [bytes_out, bytes_in] = self.bytes;
        Summary { bytes_in, bytes_out, elapsed: self.elapsed(now), reason: None }
    }
}

impl Task for Dialogue {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let failed = |error| Error::new(Op::Use, "signals", error);
        turn.listen_for(&[SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCONT]).map_err(failed)?;
        turn.end_at(&[SIGINT, SIGTERM, SIGHUP]);
        self.printer.start(turn)?;
        match &mut self.stage {
            Stage::Opening(approach, _) => approach.start(turn),
            _ => Ok(()),
        }
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        self.obey(turn);
        let parked = self.open(turn).and_then(|()| match self.stage {
            Stage::Opening(..) => Ok(Some(Park::Wait)),
            _ => self.talk(turn),
        });
        match parked {
            Ok(Some(park)) => return park,
            Ok(None) => {}
            Err(ended) => self.fail(turn, ended),
        }
        if let Some(park) = self.end(turn) {
            // matches go out meanwhile; a failure comes again at the end and is told there
            let _ = self.printer.flush(turn);
            return park;
        }
        self.print(turn)
    }
}

/// Bytes of standard input in transit.
const BUFFER: usize = 64 * 1024;
