//! A connection that has not said yet which test it belongs to.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use super::{Desk, GREETING, GREETING_LIMIT, Newcomer};
use crate::bench::protocol::{COOKIE, Cookie};
use crate::endpoint::accept::Accepted;
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::outcome::{Ended, Outcome};
use crate::reactor::{Park, Task, TaskId, Turn};

/// Reads a cookie.
pub(super) struct Greeting {
    /// `None` once somebody else has it.
    accepted: Option<Accepted>,
    cookie: [u8; COOKIE],
    filled: usize,
    desk: Rc<RefCell<Desk>>,
    observer: Rc<dyn Observer>,
    server: TaskId,
    limit: Instant,
}

impl Greeting {
    pub(super) fn new(
        accepted: Accepted,
        desk: Rc<RefCell<Desk>>,
        observer: Rc<dyn Observer>,
        server: TaskId,
        now: Instant,
    ) -> Self {
        let limit = now + GREETING_LIMIT;
        Greeting { accepted: Some(accepted), cookie: [0; COOKIE], filled: 0, desk, observer, server, limit }
    }

    /// Why it is turned away, or nothing if it must be waited for.
    fn read(&mut self, turn: &mut Turn) -> Result<bool, &'static str> {
        let Some(accepted) = &mut self.accepted else { return Ok(true) };
        while self.filled < COOKIE {
            match accepted.socket.read(turn, &mut self.cookie[self.filled..]) {
                Ok(0) => return Err("it has left without a word"),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err("it has left without a word"),
            }
        }
        Ok(true)
    }

    fn done(&mut self, turn: &mut Turn) -> Park {
        let mut desk = self.desk.borrow_mut();
        desk.greeting = desk.greeting.saturating_sub(1);
        turn.wake(self.server);
        Park::Done(Outcome { bytes: GREETING, ..Outcome::nothing_moved(Ended::Clean) })
    }

    fn refuse(&mut self, turn: &mut Turn, why: &str) -> Park {
        if let Some(accepted) = self.accepted.take() {
            let text = format!("refused {}: {why}", accepted.peer);
            self.observer.observe(&Event::Note { verbosity: 1, text });
            accepted.socket.close(turn, false);
        }
        self.done(turn)
    }

    /// Hands the connection to whom it belongs.
    fn hand_over(&mut self, turn: &mut Turn) {
        let Some(mut accepted) = self.accepted.take() else { return };
        accepted.socket.stop(turn);
        let cookie = Cookie(self.cookie);
        let mut desk = self.desk.borrow_mut();
        if let Some(test) = desk.tests.get_mut(&cookie) {
            test.streams.push_back(accepted.socket);
            turn.wake(test.task);
            return;
        }
        let Accepted { socket, protocol, peer, local, .. } = accepted;
        desk.newcomers.push_back(Newcomer { cookie, socket, peer, protocol, local });
    }
}

impl Task for Greeting {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        turn.deadline(Some(self.limit));
        if let Some(accepted) = &mut self.accepted
            && accepted.socket.start(turn).is_err()
        {
            self.accepted = None;
        }
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        match self.read(turn) {
            Ok(true) if !Cookie(self.cookie).is_sound() => self.refuse(turn, "it does not speak iperf3's protocol"),
            Ok(true) => {
                self.hand_over(turn);
                self.done(turn)
            }
            Ok(false) if self.limit <= turn.now() => self.refuse(turn, "it has said nothing"),
            Ok(false) => Park::Wait,
            Err(why) => self.refuse(turn, why),
        }
    }
}
