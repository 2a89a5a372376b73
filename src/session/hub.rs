//! Many clients and one standard input and output: `listen -k` without a program.
//!
//! ```text
//!   client ──┐ whole lines                 stdin ──► backlog ──┬─► client        client ──► backlog ──┬─► client
//!   client ──┼────────────► stdout                             ├─► client        client ──►           ├─► client
//!   client ──┘                                                 └─► client        (not to the sender)  └─► client
//!        always but for --broker                  --fan-out                               --broker
//! ```
//!
//! # Who gets what
//!
//! - *To standard output* go the clients' bytes, and nothing else, by whole lines: see `lines`. When standard output
//!   is not read, no client is.
//! - *`--fan-out`*: a client gets standard input from the moment it was added on. While no client is there standard
//!   input is not read, so the first one gets its beginning. Its end is passed on to every client, and at once to later
//!   ones; the clients go on being heard.
//! - *`--broker`*: what a client sends goes to all others as it comes, in one order for everybody. Standard input and
//!   output have no part in it. With nobody else there it is dropped.
//! - *Otherwise* a client gets nothing, and FIN when it has ended and what it sent is written.
//!
//! # Slow clients
//!
//! What waits to be sent is kept once, at most 1 MiB of it (`backlog`). When that is full its source is not read:
//! standard input, or the other clients. A client that takes nothing for 10 s of that time, while another has taken
//! all that it could, is closed by a reset and reported. So memory is bounded by 1 MiB, a queue for standard output of
//! 256 KiB, and for each client whose line is not whole at most 64 KiB.
//!
//! # How a client ends
//!
//! - Both directions over: everything it sent is written, everything due to it is sent; then it lingers and is closed.
//! - One that has sent FIN still gets what comes, by the rule of `--after-peer-eof`: with `auto` until nothing has been
//!   sent to it for 5 min, since over TCP a client that closed and one that only half-closed look the same until then.
//!   Keepalive asks after it meanwhile: the kernel of one that closed knows nothing of it after a minute or so, and says.
//! - When there is no room for somebody who waits (`-m`, or descriptors have run out), the one that has been half-closed
//!   longest, of those that have got everything, makes room by an orderly end (`room`).
//!   When no more clients come and all of a broker's have sent FIN, they get it too.
//! - One that is cut, fails, or passes a limit concerns nobody else. What it had sent before is written.
//!
//! A turn looks at the clients that had events, not at all of them; at all only when there is something new for all.

mod alarms;
mod backlog;
mod client;
mod leave;
mod lines;
mod local;
mod messages;
mod order;
mod output;
mod room;
mod serve;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use super::carrier::Pools;
use super::end::End;
use super::limits::{Bucket, soonest};
use super::policy::{Flow, Policy};
use super::tap::Tap;
use crate::buffer::Buffer;
use crate::error::{Error, Op};
use crate::event::Observer;
use crate::meter::Meter;
use crate::outcome::{Ended, ExitStatus};
use crate::plan::Share;
use crate::reactor::{Slot, Turn};
use alarms::Alarms;
use backlog::Backlog;
use client::{Client, Outlet};
use output::Output;

pub use client::Departed;

/// What a hub needs besides its ends.
pub struct Context {
    /// What standard input and output mean for the clients.
    pub share: Share,
    /// What a client gets is taken apart into lines, each of them a message: see `messages`.
    pub lines: bool,
    /// How each client's connection runs and ends. `splice` and `hint` mean nothing here.
    pub policy: Policy,
    /// Where buffers come from.
    pub pools: Rc<Pools>,
    /// Counts what is delivered: 0 to the clients, 1 from them.
    pub meter: Arc<Meter>,
    /// Hears of ends.
    pub observer: Rc<dyn Observer>,
}

/// How a turn of a hub ended.
#[derive(Debug)]
pub enum Standing {
    /// Nothing more can be done until an event, [`Hub::deadline`] or a new client.
    Waiting,
    /// There is more to do, after everybody else had a turn.
    Busy,
    /// It is over, and every client is closed.
    Over(Ended),
}

/// Many clients around one standard input and output. Its owner is a task that passes its turns on.
pub struct Hub {
    context: Context,
    /// Standard input and output; `None` for a broker, and once it is closed.
    local: Option<End>,
    /// Standard input may have more for the clients.
    is_source_open: bool,
    /// What standard input may give (`-L`).
    bucket: Option<Bucket>,
    output: Output,
    backlog: Backlog,
    clients: Slab<Client>,
    by_slot: HashMap<Slot, usize>,
    /// Clients that get a turn; an entry without the client's flag is stale.
    ready: VecDeque<usize>,
    /// Clients that have something to say and no room for it, first come first heard; stale entries likewise.
    waiting: VecDeque<usize>,
    /// Clients that have ended, with the position up to which the output must be written before they may go.
    ending: VecDeque<(u64, usize)>,
    /// Clients that may still be heard.
    speakers: usize,
    /// The backlog has something that those who had caught up do not know of.
    has_news: bool,
    alarms: Alarms,
    /// Where each read goes first.
    scratch: Buffer,
    /// Since when the backlog has been full.
    full_since: Option<Instant>,
    /// Standard input has begun a line for the clients.
    is_within_line: bool,
    /// When to look for clients that hold the others back.
    judge_at: Option<Instant>,
    /// No more clients come.
    is_last: bool,
    stopping: Option<Stopping>,
    departed: Vec<Departed>,
    /// What every client gets before anything else.
    banner: Vec<u8>,
    /// Makes who looks at a client's bytes, by the number of its session.
    tapping: Option<Box<dyn Fn(u64) -> Tap>>,
}

/// A hub on its way out before its clients' own ends.
struct Stopping {
    ended: Ended,
    /// No waiting beyond this.
    until: Instant,
}

impl Hub {
    /// A hub around the local end, which a broker has none of. Nothing happens before [`Hub::start`].
    pub fn new(local: Option<End>, context: Context, now: Instant) -> Self {
        let policy = &context.policy;
        let is_source_open =
            context.share == Share::FanOut && policy.stdin && policy.flow != Flow::ReceiveOnly && local.is_some();
        let bucket = policy.rate.map(|rate| Bucket::new(rate, now));
        Hub {
            context,
            local,
            is_source_open,
            bucket,
            output: Output::default(),
            backlog: Backlog::default(),
            clients: Slab::new(),
            by_slot: HashMap::new(),
            ready: VecDeque::new(),
            waiting: VecDeque::new(),
            ending: VecDeque::new(),
            speakers: 0,
            has_news: false,
            alarms: Alarms::default(),
            scratch: Buffer::new(backlog::CHUNK),
            full_since: None,
            is_within_line: false,
            judge_at: None,
            is_last: false,
            stopping: None,
            departed: Vec::new(),
            banner: Vec::new(),
            tapping: None,
        }
    }

    /// Sends `banner` to every client before anything else; it counts as sent.
    pub fn with_banner(mut self, banner: &[u8]) -> Self {
        self.banner = banner.to_vec();
        self
    }

    /// Has somebody look at what passes between each client and the hub: `tapping` makes the tap of a session by its
    /// number.
    pub fn with_taps(mut self, tapping: impl Fn(u64) -> Tap + 'static) -> Self {
        self.tapping = Some(Box::new(tapping));
        self
    }

    /// Registers the local end.
    ///
    /// # Errors
    /// What epoll says.
    pub fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let Some(local) = &mut self.local else { return Ok(()) };
        local
            .start(turn)
            .map_err(|error| Error::new(Op::Use, local.name(false), error).with_status(ExitStatus::LocalIo))
    }

    /// Takes a client in, by the number of its session; its end comes through [`Hub::departed`]. Before
    /// [`Hub::turn`] in the same turn: what was registered before it came here may have no event any more. Its time
    /// (`--max-time`) runs from when it came, if that was not now.
    ///
    /// # Errors
    /// What epoll says; the client is closed, and the others go on.
    pub fn add(&mut self, turn: &mut Turn, mut end: End, number: u64, came: Option<Instant>) -> Result<(), Error> {
        let now = turn.now();
        end.borrow_from(self.context.pools.seams());
        if let Err(error) = end.start(turn) {
            let error = Error::new(Op::Use, end.name(false), error).with_status(ExitStatus::LocalIo);
            // it was never registered, and nothing was sent to it
            let _ = end.close(turn, true);
            return Err(error);
        }
        let mut client = Client::new(number, end, now);
        let policy = &self.context.policy;
        client.until = policy.max_time.map(|limit| came.unwrap_or(now) + limit);
        client.bucket = policy.rate.map(|rate| Bucket::new(rate, now));
        client.outlet = match self.context.share {
            _ if policy.flow == Flow::ReceiveOnly => Outlet::Ending,
            Share::Merge => Outlet::Over,
            Share::FanOut if !policy.stdin => Outlet::Over,
            Share::FanOut if !self.is_source_open => Outlet::Ending,
            Share::FanOut | Share::Broker => Outlet::Open,
        };
        if !self.banner.is_empty() {
            let mut greeting = Buffer::new(self.banner.len());
            greeting.push(&self.banner);
            client.greeting = Some(Box::new(greeting));
        }
        client.tap = self.tapping.as_ref().map(|tapping| Box::new(tapping(number)));
        if client.outlet == Outlet::Open {
            client.cursor = Some(self.backlog.subscribe(number));
            client.skips = self.is_within_line;
        }
        let entry = self.clients.vacant_entry();
        let key = entry.key();
        for slot in client.end.transport().slots() {
            self.by_slot.insert(slot, key);
        }
        entry.insert(client);
        self.speakers += 1;
        // what was registered before it came here has had its events
        self.make_ready(key);
        Ok(())
    }

    /// Clients that are not yet closed.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// True without a client.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// The clients that went since the last call.
    pub fn departed(&mut self) -> impl Iterator<Item = Departed> {
        self.departed.drain(..)
    }

    /// No more clients come (`--count`): it is over when those that are there have ended.
    pub fn expect_no_more(&mut self) {
        self.is_last = true;
    }

    /// Ends it before its clients' own ends. Those that are idle are closed at the next turn, the others go on for at
    /// most `policy.grace`. A client whose both directions had ended sees an orderly end, any other a reset.
    pub fn stop(&mut self, ended: Ended, now: Instant) {
        let until = now + self.context.policy.grace;
        self.is_last = true;
        self.is_source_open = false;
        match &mut self.stopping {
            Some(stopping) => stopping.until = stopping.until.min(until),
            None => self.stopping = Some(Stopping { ended, until }),
        }
        for (key, client) in &mut self.clients {
            if let Some(leaving) = &mut client.leaving {
                leaving.until = Some(leaving.until.map_or(until, |earlier| earlier.min(until)));
            }
            if !std::mem::replace(&mut client.is_ready, true) {
                self.ready.push_back(key);
            }
        }
    }

    /// Does everything possible now. To be called at each turn of the task that it belongs to, since it learns of its
    /// clients' events by [`Turn::fired`] alone.
    pub fn turn(&mut self, turn: &mut Turn) -> Standing {
        let now = turn.now();
        self.collect(turn);
        self.keep_time(turn, now);
        let mut budget = BUDGET;
        loop {
            while budget > 0
                && let Some((key, granted)) = self.next(now)
            {
                let moved = self.serve(turn, key, granted);
                budget = budget.saturating_sub(moved.max(LEAST));
            }
            let drained = match self.drain(turn) {
                Ok(drained) => drained,
                Err(ended) => return self.abort(turn, ended),
            };
            let fed = budget > 0 && self.feed(turn);
            let spread = self.spread(turn);
            if budget == 0 || !(drained || fed || spread) {
                break;
            }
        }
        self.watch_backlog(now);
        if self.context.share == Share::Broker && self.is_last && self.speakers == 0 && self.end_outlets() {
            return Standing::Busy;
        }
        if self.is_last && self.clients.is_empty() && (self.output.is_empty() || self.is_time_up(now)) {
            return self.end(turn);
        }
        if budget == 0 { Standing::Busy } else { Standing::Waiting }
    }

    /// When it wants a turn at the latest.
    pub fn deadline(&mut self, now: Instant) -> Option<Instant> {
        let by_rate = match &mut self.bucket {
            Some(bucket) if self.is_source_open => bucket.allowance(now).err(),
            _ => None,
        };
        // the time for clients is no time for the disk
        let settling = self.local.as_ref().is_some_and(|local| local.transport().is_settling());
        let until = self.stopping.as_ref().map(|stopping| stopping.until).filter(|_| !settling);
        soonest([by_rate, until, self.alarms.next(), self.output.lines.deadline(), self.judge_at])
    }
}

/// Bytes that all clients together may move in one turn before others are served.
const BUDGET: u64 = 1 << 20;

/// What serving a client costs of that, however little it moved.
const LEAST: u64 = 1024;

/// How long a client may take nothing while others wait for it.
const STUCK: Duration = Duration::from_secs(10);
