//! Looks at bytes on their way without changing them: copies, dumps.
//!
//! A tap stands at the peer's side of a session. What comes from the peer is seen when it was **taken**: it was
//! received even if the local sink then fails, or is not wanted at all (`--send-only`). What goes to the peer is seen
//! when it was **delivered**: what was read from the local side and never left was not sent. So at every moment what
//! was seen is a prefix of what the peer sent, and what its side was given, in the order in which both happened.
//!
//! What is discarded after the end, while a send queue empties, is not seen: it belongs to no transfer any more.
//! Watched bytes pass through memory; a direction that nobody watches keeps zero copy.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use super::{INWARD, OUTWARD};
use crate::buffer::Portion;

/// Somebody who looks on.
pub trait Watch {
    /// `bytes` have passed in `direction`: 0 to the peer, 1 from it. Must not block the loop.
    fn seen(&mut self, direction: usize, bytes: &[u8]);

    /// The same, of bytes that may be kept.
    fn seen_portion(&mut self, direction: usize, portion: Portion<'_>) {
        self.seen(direction, portion.bytes());
    }
}

/// Which directions of a session are watched, and by whom.
#[derive(Clone)]
pub struct Tap {
    watch: Rc<RefCell<dyn Watch>>,
    directions: [bool; 2],
}

impl Tap {
    /// Has `watch` look at the directions that are true (index 0: to the peer, 1: from it).
    pub fn new(watch: impl Watch + 'static, directions: [bool; 2]) -> Self {
        Tap { watch: Rc::new(RefCell::new(watch)), directions }
    }

    /// Shows bytes that have passed, where no pump does it.
    pub fn seen<'a>(&self, direction: usize, bytes: impl Into<Portion<'a>>) {
        let portion = bytes.into();
        if self.directions[direction] && !portion.is_empty() {
            self.watch.borrow_mut().seen_portion(direction, portion);
        }
    }

    /// What the pump of one direction is given; `None` where nobody watches.
    pub fn on(&self, direction: usize) -> Option<Tapped<'_>> {
        self.directions[direction].then_some(Tapped { tap: self, direction })
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("directions", &self.directions).finish_non_exhaustive()
    }
}

/// A tap on one direction.
#[derive(Clone, Copy, Debug)]
pub struct Tapped<'a> {
    tap: &'a Tap,
    direction: usize,
}

impl Tapped<'_> {
    /// These bytes were taken from the source.
    pub(super) fn taken<'a>(self, bytes: impl Into<Portion<'a>>) {
        if self.direction == INWARD {
            self.tap.seen(INWARD, bytes);
        }
    }

    /// These bytes were given to the sink.
    pub(super) fn delivered<'a>(self, bytes: impl Into<Portion<'a>>) {
        if self.direction == OUTWARD {
            self.tap.seen(OUTWARD, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::super::carrier::Pools;
    use super::super::end::{End, Side};
    use super::super::pump::{Pump, Stop, Terms};
    use super::*;
    use crate::endpoint::Transport;
    use crate::endpoint::script::{Read, Script, Write};
    use crate::reactor::testing::Bench;

    /// Keeps what each direction showed.
    #[derive(Clone, Default)]
    struct Notes(Rc<RefCell<[Vec<u8>; 2]>>);

    impl Watch for Notes {
        fn seen(&mut self, direction: usize, bytes: &[u8]) {
            self.0.borrow_mut()[direction].extend_from_slice(bytes);
        }
    }

    /// Runs one pump once between scripted ends; what was seen in its direction, and why it stopped.
    fn run(direction: usize, reads: Vec<Read>, writes: Vec<Write>) -> (Vec<u8>, Stop) {
        let end = |script| End::new(Transport::Script(script), Side::Peer("peer".into()), None);
        let (mut from, mut to) = (end(Script::new(reads, vec![])), end(Script::new(vec![], writes)));
        let mut bench = Bench::new();
        from.start(&mut bench.turn()).unwrap();
        to.start(&mut bench.turn()).unwrap();
        let notes = Notes::default();
        let tap = Tap::new(notes.clone(), [true, true]);
        let pools = Pools::new(64, 65536);
        let terms = Terms { pools: &pools, splice: true, block: 64, most: 1000, tap: tap.on(direction) };
        let run = Pump::default().run(&mut bench.turn(), &mut from, &mut to, &terms);
        let seen = notes.0.borrow()[direction].clone();
        assert!(notes.0.borrow()[1 - direction].is_empty());
        (seen, run.stop)
    }

    #[test]
    fn what_is_sent_is_seen_once_it_was_accepted() {
        let reads = || vec![Read::Data(b"hello ".to_vec()), Read::Data(b"world".to_vec()), Read::End];
        let (seen, stop) = run(OUTWARD, reads(), vec![]);
        assert_eq!(seen, b"hello world");
        assert!(matches!(stop, Stop::Ended));

        let (seen, stop) = run(OUTWARD, reads(), vec![Write::Take(3), Write::Take(2), Write::Block]);
        assert_eq!(seen, b"hello");
        assert!(matches!(stop, Stop::Blocked));

        let (seen, stop) = run(OUTWARD, reads(), vec![Write::Fail(ErrorKind::ConnectionReset)]);
        assert_eq!(seen, b"", "what the peer never took was not sent");
        assert!(matches!(stop, Stop::SinkFailed(_)));
    }

    #[test]
    fn what_was_received_is_seen_although_nobody_takes_it() {
        let reads = || vec![Read::Data(b"hello ".to_vec()), Read::Data(b"world".to_vec()), Read::End];
        let (seen, stop) = run(INWARD, reads(), vec![]);
        assert_eq!(seen, b"hello world");
        assert!(matches!(stop, Stop::Ended));

        let (seen, stop) = run(INWARD, reads(), vec![Write::Fail(ErrorKind::StorageFull)]);
        assert_eq!(seen, b"hello ");
        assert!(matches!(stop, Stop::SinkFailed(_)));
    }

    #[test]
    fn a_direction_that_is_not_watched_has_no_tap() {
        let tap = Tap::new(Notes::default(), [false, true]);
        assert!(tap.on(OUTWARD).is_none() && tap.on(INWARD).is_some());
    }
}
