//! Spreads between a disk that takes its time, and other readers of what they read.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::super::descriptors::{Kind, descriptor, drop_nothing, local_end, sink, source};
use super::super::driver::{Log, line, summary};
use crate::error::Error;
use crate::meter::Meter;
use crate::plan::pipe::OnSlow;
use crate::reactor::{Park, Reactor, Task, Turn};
use crate::session::carrier::Pools;
use crate::session::end::End;
use crate::session::policy::Policy;
use crate::session::spread::{Context, SinkId, Spread};
use crate::sys::{self, Access};

fn spread(source: End, sinks: Vec<End>, policy: Policy) -> (Spread, Vec<(SinkId, End)>) {
    let context = Context {
        number: 1,
        policy: Policy { max_time: Some(Duration::from_secs(20)), ..policy },
        on_slow: OnSlow::Wait,
        buffer: None,
        stop_at: None,
        pools: Pools::new(64 * 1024, 256 * 1024),
        meter: Arc::new(Meter::default()),
        observer: Rc::new(Log::default()),
    };
    let mut spread = Spread::new(source, context, Instant::now());
    let sinks = sinks.into_iter().map(|end| (spread.expect(), end)).collect();
    (spread, sinks)
}

/// A disk that is done once it has been at work for this long, by the clock of the spread.
struct SlowDisk {
    spread: Spread,
    sinks: Vec<(SinkId, End)>,
    release: Sender<()>,
    takes: Duration,
    since: Option<Instant>,
}

impl Task for SlowDisk {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.spread.start(turn)?;
        self.sinks.drain(..).for_each(|(id, end)| self.spread.attach(turn, id, end));
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let park = self.spread.turn(turn);
        if self.spread.is_settling() && *self.since.get_or_insert(turn.now()) + self.takes <= turn.now() {
            let _ = self.release.send(());
        }
        park
    }
}

#[test]
fn a_slow_disk_is_nothing_that_the_watchdog_bites() {
    for others in [0, 1] {
        let (release, released) = channel();
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = descriptor(file.reopen().unwrap(), Access::Write);
        writer.sync_before_close();
        let slow = move |file: &File| released.recv().map_err(io::Error::other).and_then(|()| file.sync_all());
        let (mut ends, heard): (Vec<_>, Vec<_>) = (0..others).map(|seed| sink(Kind::File, seed)).unzip();
        ends.push(local_end(None, Some(writer.synced_by(slow))));
        let idle = Duration::from_millis(60);
        let policy = Policy { idle: Some(idle), ..drop_nothing() };
        let (spread, sinks) = spread(source(Kind::File, b"all of it", 1), ends, policy);
        let task = SlowDisk { spread, sinks, release, takes: idle * 4, since: None };
        let outcome = Reactor::new().unwrap().run(Box::new(task)).unwrap();
        assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [9, 0]), "{outcome:?}");
        assert_eq!(std::fs::read(file.path()).unwrap(), b"all of it");
        assert!(heard.into_iter().all(|sink| sink.bytes() == b"all of it"));
    }
}

/// What one sink has by tee already is taken by somebody else, who shares the pipe, before the other one has room for
/// it; then the writer leaves.
struct Thief {
    spread: Spread,
    sinks: Vec<(SinkId, End)>,
    first: SinkId,
    shared: PipeReader,
    writer: Option<PipeWriter>,
    blocked: PipeReader,
    /// Bytes in that pipe.
    full: usize,
}

impl Task for Thief {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.spread.start(turn)?;
        self.sinks.drain(..).for_each(|(id, end)| self.spread.attach(turn, id, end));
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let park = self.spread.turn(turn);
        if self.spread.delivered(self.first) == 100 && self.writer.take().is_some() {
            self.shared.read_exact(&mut [0; 100]).unwrap();
            self.blocked.read_exact(&mut vec![0; self.full]).unwrap();
        }
        park
    }
}

#[test]
fn bytes_that_another_reader_took_are_a_failure_and_no_endless_turn() {
    if !sys::SPLICE {
        return;
    }
    let (from, mut writer) = io::pipe().unwrap();
    writer.write_all(&[7; 100]).unwrap();
    let (blocked, mut stuck) = io::pipe().unwrap();
    let full = rustix::pipe::fcntl_getpipe_size(&stuck).unwrap();
    stuck.write_all(&vec![0; full]).unwrap();
    let (quick, heard) = sink(Kind::Pipe, 1);
    let shared = from.try_clone().unwrap();
    let ends = vec![quick, local_end(None, Some(descriptor(stuck, Access::Write)))];
    let policy = Policy { widen: false, ..drop_nothing() };
    let (spread, sinks) = spread(local_end(Some(descriptor(from, Access::Read)), None), ends, policy);
    let task = Thief { first: sinks[0].0, spread, sinks, shared, writer: Some(writer), blocked, full };
    let outcome = Reactor::new().unwrap().run(Box::new(task)).unwrap();
    assert_eq!(summary(&outcome), ("failed", 5), "{outcome:?}");
    let wanted = "transfer stopped after 100 B: another reader took 100 bytes that were due to every sink";
    assert_eq!(line(&outcome), wanted);
    assert_eq!(heard.bytes(), [7; 100]);
}
