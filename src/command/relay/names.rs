//! The addresses of targets with a name: looked up at the start, again from time to time, and soon after a failure.
//!
//! A session takes the addresses that are known. getaddrinfo(3) sleeps on a thread of its own, and a [`Keeper`] takes
//! its answers; an answer that fails leaves the addresses of the last one in place.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::endpoint::dial::on_the_way;
use crate::endpoint::printed;
use crate::endpoint::resolve::{Lookup, NoAddress};
use crate::error::{Error, Op};
use crate::event::{Event, Observer};
use crate::plan::address::{Address, Host, Kind};
use crate::reactor::{Park, Task, TaskId, Turn};
use crate::session::limits::soonest;

/// The names of all targets of a relay.
pub(super) struct Names {
    every: Duration,
    entries: RefCell<Vec<Entry>>,
    keeper: Cell<Option<TaskId>>,
    /// How often an answer was another one than that before.
    generation: Cell<u64>,
}

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NameId(usize);

struct Entry {
    /// The target.
    target: Address,
    /// What is connected to: it, or the first proxy on the way there.
    address: Address,
    /// What is known.
    addresses: Vec<SocketAddr>,
    /// Why nothing new is known, if the last answer was none.
    failure: Option<NoAddress>,
    lookup: Option<Lookup>,
    asked_at: Option<Instant>,
    /// When to ask again.
    due: Option<Instant>,
    /// Sessions that cannot go on without an answer.
    waiting: Vec<TaskId>,
}

impl Names {
    /// No names yet; each is to be looked up again after `every`.
    pub(super) fn new(every: Duration) -> Rc<Self> {
        Rc::new(Names { every, entries: RefCell::default(), keeper: Cell::new(None), generation: Cell::new(0) })
    }

    /// Keeps the name of this address; `None` if it has none.
    pub(super) fn add(&self, address: &Address) -> Option<NameId> {
        let (target, address) = (address.clone(), address.dialled().into_owned());
        let (Kind::Tcp(at) | Kind::Udp(at)) = &address.kind else { return None };
        if !matches!(at.host, Host::Name(_)) {
            return None;
        }
        let mut entries = self.entries.borrow_mut();
        entries.push(Entry {
            target,
            address,
            addresses: Vec::new(),
            failure: None,
            lookup: None,
            asked_at: None,
            due: None,
            waiting: Vec::new(),
        });
        Some(NameId(entries.len() - 1))
    }

    /// The addresses that are known. While there are none, the task of this turn is woken by the next answer; `since` is
    /// when it began to want them.
    ///
    /// # Errors
    /// The last answer, which came after `since`, was that there are none.
    pub(super) fn addresses(
        &self,
        turn: &mut Turn,
        id: NameId,
        since: Instant,
    ) -> Result<Option<Vec<SocketAddr>>, Error> {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(id.0) else { return Ok(None) };
        if !entry.addresses.is_empty() {
            return Ok(Some(entry.addresses.clone()));
        }
        match &entry.failure {
            Some(why) if entry.lookup.is_none() && entry.asked_at.is_some_and(|at| at >= since) => {
                return Err(entry.told(why.clone()));
            }
            _ => {}
        }
        if !entry.waiting.contains(&turn.id()) {
            entry.waiting.push(turn.id());
        }
        entry.hurry(turn.now());
        drop(entries);
        self.wake(turn);
        Ok(None)
    }

    /// True once there was an answer, be it that there is no such name; until then the task of this turn is woken by it.
    pub(super) fn is_answered(&self, turn: &mut Turn, id: NameId) -> bool {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(id.0) else { return true };
        let answered = !entry.addresses.is_empty() || entry.failure.is_some();
        if !answered && !entry.waiting.contains(&turn.id()) {
            entry.waiting.push(turn.id());
        }
        answered
    }

    /// Another number whenever other addresses are known.
    pub(super) fn generation(&self) -> u64 {
        self.generation.get()
    }

    /// The addresses that are known now.
    pub(super) fn known(&self, id: NameId) -> Vec<SocketAddr> {
        self.entries.borrow().get(id.0).map_or_else(Vec::new, |entry| entry.addresses.clone())
    }

    /// A connection to the addresses of this name has failed: they may be others by now.
    pub(super) fn doubt(&self, turn: &mut Turn, id: NameId) {
        if let Some(entry) = self.entries.borrow_mut().get_mut(id.0) {
            entry.hurry(turn.now());
        }
        self.wake(turn);
    }

    fn wake(&self, turn: &mut Turn) {
        if let Some(keeper) = self.keeper.get() {
            turn.wake(keeper);
        }
    }
}

impl Entry {
    /// That it has no address.
    fn told(&self, why: NoAddress) -> Error {
        on_the_way(&self.target.options, why.into_error(Op::Connect, printed::goal(&self.target, "localhost")))
    }

    /// Asks again at once, but not more often than a name server may be asked.
    fn hurry(&mut self, now: Instant) {
        let soon = self.asked_at.map_or(now, |at| (at + AT_MOST_EVERY).max(now));
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    /// Begins to ask if it is time.
    fn ask(&mut self, turn: &mut Turn) -> Result<(), NoAddress> {
        if self.lookup.is_some() || self.due.is_some_and(|due| due > turn.now()) {
            return Ok(());
        }
        (self.asked_at, self.due) = (Some(turn.now()), None);
        let (Kind::Tcp(at) | Kind::Udp(at)) = &self.address.kind else { return Ok(()) };
        let mut lookup = Lookup::new(at, &self.address.options)?;
        lookup.start(turn).map_err(|error| NoAddress::said(crate::error::sentence(&error)))?;
        self.lookup = Some(lookup);
        Ok(())
    }

    /// Takes an answer, if there is one; the failure that is news.
    fn take(&mut self, answer: Result<Vec<SocketAddr>, NoAddress>) -> Option<NoAddress> {
        self.lookup = None;
        match answer {
            Ok(addresses) => {
                (self.addresses, self.failure) = (addresses, None);
                None
            }
            Err(why) => {
                let is_news = self.failure.is_none();
                self.failure = Some(why.clone());
                is_news.then_some(why)
            }
        }
    }
}

/// The task that asks, and takes the answers.
pub(super) struct Keeper {
    names: Rc<Names>,
    /// Who is told of names that are not found.
    observer: Option<Rc<dyn Observer>>,
}

impl Keeper {
    /// Keeps these names for as long as it has turns.
    pub(super) fn new(names: Rc<Names>, observer: Option<Rc<dyn Observer>>) -> Self {
        Keeper { names, observer }
    }
}

impl Task for Keeper {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.names.keeper.set(Some(turn.id()));
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let mut entries = self.names.entries.borrow_mut();
        for entry in entries.iter_mut() {
            let asked = entry.ask(turn);
            let answer = match (asked, &mut entry.lookup) {
                (Err(why), _) => Some(Err(why)),
                (Ok(()), Some(lookup)) => lookup.poll().transpose(),
                (Ok(()), None) => None,
            };
            let Some(answer) = answer else { continue };
            if answer.as_ref().is_ok_and(|addresses| *addresses != entry.addresses) {
                self.names.generation.set(self.names.generation.get() + 1);
            }
            if let (Some(why), Some(observer)) = (entry.take(answer), &self.observer) {
                let reason = entry.told(why).line();
                observer.observe(&Event::Error { session: None, reason });
            }
            let again = turn.now() + self.names.every;
            entry.due = Some(entry.due.map_or(again, |due| due.min(again)));
            entry.waiting.drain(..).for_each(|task| turn.wake(task));
        }
        let idle = entries.iter().filter(|entry| entry.lookup.is_none());
        turn.deadline(soonest(idle.map(|entry| entry.due)));
        Park::Wait
    }
}

/// A name that gives trouble is asked about this often at most.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::reactor::testing::Bench;

    fn names(word: &str) -> (Rc<Names>, Option<NameId>) {
        let names = Names::new(Duration::from_secs(30));
        let id = names.add(&Address::parse(OsStr::new(word)).unwrap());
        (names, id)
    }

    #[test]
    fn only_names_are_kept() {
        for word in ["127.0.0.1:1", "::1/1", "1", "unix:/s"] {
            assert_eq!(names(word).1, None, "{word}");
        }
        assert!(names("db:1").1.is_some());
    }

    #[test]
    fn an_answer_that_fails_keeps_the_addresses_and_is_told_once() {
        let (names, id) = names("db:1");
        let id = id.unwrap();
        let mut bench = Bench::new();
        let since = bench.now;
        assert!(names.addresses(&mut bench.turn(), id, since).unwrap().is_none());
        let known: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let no = || Err(NoAddress::said("name not found"));
        let take = |answer| names.entries.borrow_mut()[id.0].take(answer).is_some();
        assert!(!take(Ok(vec![known])));
        assert!(take(no()) && !take(no()));
        assert_eq!(names.addresses(&mut bench.turn(), id, since).unwrap(), Some(vec![known]));
        assert!(!take(Ok(vec![known])) && take(no()));
    }

    #[test]
    fn without_any_address_a_failure_counts_only_for_those_who_waited_for_it() {
        let (names, id) = names("db:1");
        let id = id.unwrap();
        let mut bench = Bench::new();
        {
            let entry = &mut names.entries.borrow_mut()[id.0];
            entry.asked_at = Some(bench.now);
            entry.take(Err(NoAddress::said("name not found")));
        }
        let since = bench.now;
        let error = names.addresses(&mut bench.turn(), id, since).unwrap_err();
        assert_eq!(error.line(), "cannot connect to db:1: name not found");
        bench.now += Duration::from_millis(10);
        let since = bench.now;
        assert!(names.addresses(&mut bench.turn(), id, since).unwrap().is_none(), "asked again for a new session");
        assert_eq!(names.entries.borrow()[id.0].due, Some(bench.now - Duration::from_millis(10) + AT_MOST_EVERY));
    }
}
