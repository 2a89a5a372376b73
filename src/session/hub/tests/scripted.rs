//! What each rule says, one promise a test.

use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::endpoint::Transport;
use crate::endpoint::script::{Read, Script, Seen, Write};
use crate::reactor::Slot;
use crate::reactor::testing::Bench;
use crate::session::end::End;
use crate::session::hub::{Hub, Standing};
use crate::units::Rate;

/// A hub on a bench, with what its transports saw.
pub(super) struct Stage {
    bench: Bench,
    hub: Hub,
    local: Rc<RefCell<Seen>>,
    ear: Rc<Ear>,
    pub(super) clients: Vec<(Rc<RefCell<Seen>>, Slot)>,
    pub(super) gone: Vec<(u64, Ended)>,
}

impl Stage {
    pub(super) fn new(share: Share, policy: Policy, input: Vec<Read>, output: Vec<Write>) -> Self {
        let mut bench = Bench::new();
        let script = Script::new(input, output);
        let local = Rc::clone(&script.seen);
        let (context, ear) = context(share, policy);
        let end = End::new(Transport::Script(script), local_side(), None);
        let mut hub = Hub::new((share != Share::Broker).then_some(end), context, bench.now);
        hub.start(&mut bench.turn()).unwrap();
        Stage { bench, hub, local, ear, clients: Vec::new(), gone: Vec::new() }
    }

    fn merge() -> Self {
        Stage::new(Share::Merge, policy(), vec![], vec![])
    }

    /// Adds a client that sends and takes what the scripts say, and then waits.
    pub(super) fn add(&mut self, reads: Vec<Read>, writes: Vec<Write>) -> usize {
        self.add_late(reads, writes, None)
    }

    /// The same of one that came before now.
    fn add_late(&mut self, reads: Vec<Read>, writes: Vec<Write>, came: Option<Instant>) -> usize {
        let script = Script::new(reads, writes);
        let seen = Rc::clone(&script.seen);
        let number = self.clients.len() as u64 + 1;
        let end = End::new(Transport::Script(script), Side::Peer(format!("peer {number}").into()), None);
        self.hub.add(&mut self.bench.turn(), end, number, came).unwrap();
        let slot = *self.hub.by_slot.iter().max_by_key(|(_, key)| self.hub.clients[**key].number).unwrap().0;
        self.clients.push((seen, slot));
        self.clients.len() - 1
    }

    pub(super) fn turn(&mut self) -> Standing {
        let mut turns = 0;
        loop {
            let standing = self.hub.turn(&mut self.bench.turn());
            self.gone.extend(self.hub.departed().map(|gone| (gone.number, gone.outcome.ended)));
            turns += 1;
            assert!(turns < 1000, "it never comes to rest");
            if !matches!(standing, Standing::Busy) {
                return standing;
            }
        }
    }

    /// An event for a client, and the turn it brings.
    pub(super) fn fire(&mut self, client: usize) -> Standing {
        self.bench.fire(self.clients[client].1);
        self.turn()
    }

    pub(super) fn pass_time(&mut self, span: Duration) -> Standing {
        self.bench.now += span;
        self.turn()
    }

    /// Whether somebody made room.
    pub(super) fn make_room(&mut self) -> bool {
        let made = self.hub.make_room(&mut self.bench.turn());
        self.gone.extend(self.hub.departed().map(|gone| (gone.number, gone.outcome.ended)));
        made
    }

    fn printed(&self) -> String {
        String::from_utf8_lossy(&self.local.borrow().written).into_owned()
    }

    pub(super) fn got(&self, client: usize) -> String {
        String::from_utf8_lossy(&self.clients[client].0.borrow().written).into_owned()
    }

    pub(super) fn closed(&self, client: usize) -> Option<bool> {
        self.clients[client].0.borrow().closed
    }
}

pub(super) fn data(text: &str) -> Read {
    Read::Data(text.into())
}

/// What a transport does, as numbers: reads of that many bytes of `text`, or WouldBlock.
fn reads(text: &[u8], cuts: &[usize]) -> Vec<Read> {
    let (mut rest, mut reads) = (text, Vec::new());
    for cut in cuts.iter().cycle().take(4 * text.len()) {
        let (piece, more) = rest.split_at((*cut).min(rest.len()));
        reads.push(if piece.is_empty() { Read::Block } else { Read::Data(piece.to_vec()) });
        rest = more;
    }
    reads.extend([Read::Data(rest.to_vec()), Read::End].into_iter().skip(usize::from(rest.is_empty())));
    reads
}

fn writes(cuts: &[usize]) -> Vec<Write> {
    cuts.iter().map(|cut| if *cut == 0 { Write::Block } else { Write::Take(*cut) }).collect()
}

proptest! {
    #[test]
    fn whatever_the_reads_and_writes_nothing_is_lost_and_lines_stay_whole(
        cuts in proptest::collection::vec(proptest::collection::vec(0usize..9, 1..20), 3..12),
        lines in 1usize..8,
        share in prop_oneof![Just(Share::Merge), Just(Share::FanOut), Just(Share::Broker)],
    ) {
        let cuts_of = |index: usize| &cuts[index % cuts.len()][..];
        let input = b"to everybody";
        let mut stage = Stage::new(share, policy(), reads(input, cuts_of(0)), writes(cuts_of(1)));
        let texts: Vec<String> = (0..cuts.len()).map(|i| format!("line of {i}\n").repeat(lines)).collect();
        for (index, text) in texts.iter().enumerate() {
            // two speakers at least, from the first byte on: nobody speaks before its line is whole
            let script = [vec![Read::Block], reads(text.as_bytes(), cuts_of(index))].concat();
            stage.add(script, writes(cuts_of(index + 1)));
        }
        stage.hub.expect_no_more();
        let local: Vec<Slot> = stage.hub.local.iter().flat_map(|local| local.transport().slots()).collect();
        for round in 0.. {
            prop_assert!(round < 5000, "nothing moves any more");
            if let Standing::Over(ended) = stage.turn() {
                prop_assert!(matches!(ended, Ended::Clean));
                break;
            }
            for slot in local.iter().chain(stage.clients.iter().map(|(_, slot)| slot)) {
                stage.bench.fire(*slot);
            }
        }
        for (index, text) in texts.iter().enumerate() {
            prop_assert_eq!((stage.closed(index), stage.clients[index].0.borrow().ends), (Some(false), 1));
            match share {
                Share::Merge => prop_assert_eq!(stage.got(index), ""),
                Share::FanOut => prop_assert_eq!(stage.got(index), String::from_utf8_lossy(input)),
                Share::Broker => {
                    let others: usize = texts.iter().map(String::len).sum::<usize>() - text.len();
                    prop_assert_eq!(stage.got(index).len(), others);
                }
            }
            if share != Share::Broker {
                let own = |line: &&str| line.trim_end() == text.lines().next().unwrap_or_default();
                prop_assert_eq!(stage.printed().lines().filter(own).count(), lines);
            }
        }
        prop_assert!(stage.gone.iter().all(|(_, ended)| matches!(ended, Ended::Clean)));
    }
}

#[test]
fn clients_are_merged_by_whole_lines() {
    let mut stage = Stage::merge();
    let a = stage.add(vec![data("aa"), Read::Block, data("aa\na"), Read::End], vec![]);
    let b = stage.add(vec![data("b\nbb"), Read::Block, data("b\n"), Read::End], vec![]);
    stage.turn();
    assert_eq!(stage.printed(), "b\n");
    stage.fire(b);
    stage.fire(a);
    assert_eq!(stage.printed(), "b\nbbb\naaaa\na");
    assert_eq!((stage.closed(a), stage.closed(b)), (Some(false), Some(false)));
    assert_eq!(stage.clients[a].0.borrow().ends, 1, "FIN once, at its end");
}

#[test]
fn the_only_client_is_heard_at_once_and_a_newcomer_waits_for_its_newline() {
    let mut stage = Stage::merge();
    let a = stage.add(vec![data("name: "), Read::Block, data("x\n"), Read::Block], vec![]);
    stage.turn();
    assert_eq!(stage.printed(), "name: ");
    stage.add(vec![data("b\n"), Read::Block], vec![]);
    stage.turn();
    assert_eq!(stage.printed(), "name: ");
    stage.fire(a);
    assert_eq!(stage.printed(), "name: x\nb\n");
}

#[test]
fn a_line_that_does_not_end_holds_the_others_for_a_second() {
    let mut stage = Stage::merge();
    stage.add(vec![data("name: "), Read::Block], vec![]);
    stage.turn();
    stage.add(vec![data("b\n"), Read::Block], vec![]);
    stage.turn();
    let at = stage.hub.deadline(stage.bench.now).unwrap();
    assert_eq!(at - stage.bench.now, Duration::from_secs(1));
    stage.pass_time(Duration::from_secs(1));
    assert_eq!(stage.printed(), "name: b\n");
}

#[test]
fn what_is_held_back_passes_when_the_others_are_gone() {
    let mut stage = Stage::merge();
    stage.add(vec![data("prompt> "), Read::Block], vec![]);
    let b = stage.add(vec![Read::Block, Read::End], vec![]);
    stage.turn();
    assert_eq!(stage.printed(), "");
    stage.fire(b);
    assert_eq!(stage.printed(), "prompt> ");
}

// A cut client: what it had sent is written, the others go on.
#[test]
fn a_reset_concerns_nobody_else() {
    let mut stage = Stage::merge();
    let a = stage.add(vec![data("half"), Read::Fail(std::io::ErrorKind::ConnectionReset)], vec![]);
    let b = stage.add(vec![Read::Block, data("fine\n"), Read::End], vec![]);
    stage.turn();
    assert_eq!((stage.printed().as_str(), stage.closed(a)), ("half", Some(true)));
    assert!(matches!(&stage.gone[..], [(1, Ended::Failed(error))] if error.line().contains("peer 1 reset")));
    stage.fire(b);
    assert_eq!((stage.printed().as_str(), stage.closed(b)), ("halffine\n", Some(false)));
}

#[test]
fn no_client_is_read_while_the_output_is_not() {
    let flood = || vec![Read::Data(vec![b'\n'; 4 << 20]), Read::End];
    let mut stage = Stage::new(Share::Merge, policy(), vec![], vec![Write::Block]);
    let (a, b) = (stage.add(flood(), vec![]), stage.add(flood(), vec![]));
    stage.turn();
    let received: u64 = stage.hub.clients.iter().map(|(_, client)| client.bytes[1]).sum();
    assert!(received <= super::super::output::MOST as u64, "{received} bytes in memory");
    assert_eq!(stage.local.borrow().written.len(), 0);
    let Some(slot) = stage.hub.local.as_ref().and_then(|local| local.transport().slots().next()) else { return };
    stage.bench.fire(slot);
    stage.turn();
    assert_eq!(stage.local.borrow().written.len(), 8 << 20);
    assert_eq!((stage.closed(a), stage.closed(b)), (Some(false), Some(false)));
}

#[test]
fn a_client_sees_no_end_before_what_it_sent_is_written() {
    let mut stage = Stage::new(Share::Merge, policy(), vec![], vec![Write::Block]);
    let a = stage.add(vec![data("last words"), Read::End], vec![]);
    stage.turn();
    assert_eq!(stage.clients[a].0.borrow().ends, 0);
    let Some(slot) = stage.hub.local.as_ref().and_then(|local| local.transport().slots().next()) else { return };
    stage.bench.fire(slot);
    stage.turn();
    assert_eq!((stage.printed().as_str(), stage.closed(a)), ("last words", Some(false)));
}

#[test]
fn fan_out_gives_input_to_all_and_its_end_to_later_ones_too() {
    let mut stage = Stage::new(Share::FanOut, policy(), vec![data("one"), Read::Block, data("two"), Read::End], vec![]);
    assert!(matches!(stage.turn(), Standing::Waiting));
    let a = stage.add(vec![Read::Block, Read::End], vec![]);
    stage.turn();
    assert_eq!(stage.got(a), "one", "the first client gets the beginning");
    let b = stage.add(vec![Read::Block, data("late answer\n"), Read::End], vec![]);
    let Some(slot) = stage.hub.local.as_ref().and_then(|local| local.transport().slots().next()) else { return };
    stage.bench.fire(slot);
    stage.turn();
    assert_eq!((stage.got(a).as_str(), stage.got(b).as_str()), ("onetwo", "two"));
    let c = stage.add(vec![Read::Block, Read::End], vec![]);
    stage.turn();
    for client in [a, b, c] {
        assert_eq!(stage.clients[client].0.borrow().ends, 1);
        assert_eq!(stage.closed(client), None, "it may still say something");
    }
    stage.fire(b);
    assert_eq!((stage.printed().as_str(), stage.closed(b)), ("late answer\n", Some(false)));
}

#[test]
fn a_broker_passes_to_all_but_the_sender_also_to_the_half_closed() {
    let mut stage = Stage::new(Share::Broker, policy(), vec![], vec![]);
    let a = stage.add(vec![Read::Block, data("from a"), Read::Block], vec![]);
    let b = stage.add(vec![data("lost to nobody?"), Read::End], vec![]);
    let c = stage.add(vec![Read::Block], vec![]);
    stage.turn();
    stage.fire(a);
    assert_eq!(stage.got(a), "lost to nobody?");
    assert_eq!(stage.got(b), "from a");
    assert_eq!(stage.got(c), "lost to nobody?from a");
    assert_eq!(stage.closed(b), None);
    stage.pass_time(Duration::from_secs(299));
    assert_eq!(stage.closed(b), None);
    stage.pass_time(Duration::from_secs(2));
    assert_eq!(stage.closed(b), Some(false), "nothing was sent to it for five minutes");
}

// The slow client rule, at each of its edges.
#[test]
fn a_stuck_client_holds_the_others_for_ten_seconds_and_is_reset() {
    let flood = vec![Read::Data(vec![7; 3 << 20]), Read::Block];
    let mut stage = Stage::new(Share::FanOut, policy(), flood, vec![]);
    let stuck = stage.add(vec![Read::Block], vec![Write::Block]);
    let quick = stage.add(vec![Read::Block], vec![]);
    stage.turn();
    assert_eq!(stage.clients[quick].0.borrow().written.len(), 1 << 20, "one backlog ahead, and no more");
    stage.pass_time(Duration::from_millis(9_900));
    assert_eq!(stage.closed(stuck), None);
    stage.pass_time(Duration::from_millis(100));
    assert_eq!(stage.closed(stuck), Some(true));
    assert_eq!(stage.clients[quick].0.borrow().written.len(), 3 << 20);
    let told = |event: &Event| matches!(event, Event::Error { session: Some(1), reason } if reason.contains("peer 1 took nothing for 10s"));
    assert!(stage.ear.0.borrow().iter().any(told));
}

#[test]
fn a_slow_client_that_nobody_waits_for_is_left_alone() {
    let flood = vec![Read::Data(vec![7; 3 << 20]), Read::Block];
    let mut stage = Stage::new(Share::FanOut, policy(), flood, vec![]);
    let slow = stage.add(vec![Read::Block], vec![Write::Block]);
    stage.turn();
    for _ in 0..10 {
        stage.pass_time(Duration::from_secs(60));
    }
    assert_eq!(stage.closed(slow), None);
    stage.fire(slow);
    assert_eq!(stage.clients[slow].0.borrow().written.len(), 3 << 20);
}

#[test]
fn a_client_that_takes_a_little_is_not_stuck() {
    let flood = vec![Read::Data(vec![7; 3 << 20]), Read::Block];
    let mut stage = Stage::new(Share::FanOut, policy(), flood, vec![]);
    let writes = (0..40).flat_map(|_| [Write::Take(100), Write::Block]).collect();
    let slow = stage.add(vec![Read::Block], writes);
    stage.add(vec![Read::Block], vec![]);
    stage.turn();
    for _ in 0..5 {
        stage.pass_time(Duration::from_secs(8));
        stage.fire(slow);
    }
    assert_eq!(stage.closed(slow), None);
}

#[test]
fn a_failed_output_resets_everybody_and_says_why() {
    for (kind, silent) in [(std::io::ErrorKind::BrokenPipe, true), (std::io::ErrorKind::StorageFull, false)] {
        let mut stage = Stage::new(Share::Merge, policy(), vec![], vec![Write::Fail(kind)]);
        let a = stage.add(vec![data("text\n"), Read::Block], vec![]);
        let b = stage.add(vec![Read::Block], vec![]);
        match stage.turn() {
            Standing::Over(Ended::ReaderGone) => assert!(silent),
            Standing::Over(Ended::Failed(error)) => assert!(!silent && error.status().code() == 5),
            other => panic!("{other:?}"),
        }
        assert_eq!((stage.closed(a), stage.closed(b)), (Some(true), Some(true)));
        assert_eq!(stage.gone.len(), 2);
    }
}

#[test]
fn the_last_client_of_a_counted_hub_ends_it() {
    let mut stage = Stage::merge();
    let a = stage.add(vec![Read::Block, data("x"), Read::End], vec![]);
    stage.hub.expect_no_more();
    assert!(matches!(stage.turn(), Standing::Waiting));
    assert!(matches!(stage.fire(a), Standing::Over(Ended::Clean)));
    assert_eq!(stage.local.borrow().closed, Some(false));
}

#[test]
fn a_stop_closes_the_idle_at_once_and_gives_the_others_the_grace() {
    let mut stage = Stage::new(Share::FanOut, policy(), vec![data("due"), Read::Block], vec![]);
    let idle = stage.add(vec![Read::Block], vec![]);
    let slow = stage.add(vec![Read::Block], vec![Write::Block]);
    stage.turn();
    stage.hub.stop(Ended::Signal(15), stage.bench.now);
    assert!(matches!(stage.turn(), Standing::Waiting));
    assert_eq!((stage.closed(idle), stage.closed(slow)), (Some(true), None));
    assert!(matches!(stage.pass_time(Duration::from_secs(2)), Standing::Over(Ended::Signal(15))));
    assert_eq!(stage.closed(slow), Some(true));
}

#[test]
fn limits_are_each_clients_own() {
    let limited = Policy { idle: Some(Duration::from_secs(5)), max_bytes: Some(4), ..policy() };
    let mut stage = Stage::new(Share::Merge, limited, vec![], vec![]);
    let much = stage.add(vec![data("12345678\n"), Read::Block], vec![]);
    let idle = stage.add(vec![Read::Block], vec![]);
    stage.turn();
    assert_eq!((stage.printed().as_str(), stage.closed(much), stage.closed(idle)), ("1234", Some(true), None));
    stage.pass_time(Duration::from_secs(5));
    assert_eq!(stage.closed(idle), Some(true));
    assert!(matches!(&stage.gone[1].1, Ended::Failed(error) if error.status().code() == 3));
}

// The help counts the time of a client from when it came, so that its handshake is part of it.
#[test]
fn the_time_of_a_client_runs_from_when_it_came() {
    let mut stage =
        Stage::new(Share::Merge, Policy { max_time: Some(Duration::from_secs(5)), ..policy() }, vec![], vec![]);
    let came = stage.bench.now;
    stage.bench.now += Duration::from_secs(3);
    let late = stage.add_late(vec![Read::Block], vec![], Some(came));
    stage.pass_time(Duration::from_millis(1900));
    assert_eq!(stage.closed(late), None);
    let now = stage.bench.now;
    assert_eq!(stage.hub.deadline(now), Some(came + Duration::from_secs(5)));
    stage.pass_time(Duration::from_millis(100));
    assert_eq!(stage.closed(late), Some(true));
    assert!(matches!(&stage.gone[0].1, Ended::Failed(error) if error.status().code() == 3));
}

#[test]
fn a_rate_is_kept_for_each_client() {
    let slow = Policy { rate: Some(Rate(1000)), ..policy() };
    let mut stage = Stage::new(Share::Merge, slow, vec![], vec![]);
    stage.add(vec![Read::Data(vec![b'\n'; 5000])], vec![]);
    for _ in 0..100 {
        stage.turn();
        let now = stage.bench.now;
        stage.bench.now = stage.hub.deadline(now).unwrap_or(now + Duration::from_millis(10)).max(now);
    }
    let elapsed = stage.bench.now - stage.hub.clients.iter().next().unwrap().1.started;
    let written = stage.local.borrow().written.len() as f64;
    assert!(written <= elapsed.as_secs_f64() * 1000.0 + 41.0 && written > 500.0, "{written} in {elapsed:?}");
}

#[test]
fn a_client_costs_little_while_it_is_idle() {
    assert!(size_of::<super::super::Client>() <= 512, "{}", size_of::<super::super::Client>());
}
