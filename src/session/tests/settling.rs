//! Sessions that write files: when one counts as written, and when it takes its name.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::descriptors::{descriptor, drop_nothing, file_of, file_with, local_end, run, socket_end};
use super::driver::{Log, line, summary};
use crate::endpoint::descriptor::Descriptor;
use crate::endpoint::socket::Family;
use crate::endpoint::testing::tcp_pair;
use crate::endpoint::{Transport, process, whole};
use crate::error::Error;
use crate::meter::Meter;
use crate::outcome::{Ended, Outcome};
use crate::plan::address::Program;
use crate::reactor::{Park, Reactor, Task, Turn};
use crate::session::carrier::Pools;
use crate::session::end::{End, Side};
use crate::session::policy::Policy;
use crate::session::{Context, Session};
use crate::sys::Access;

/// A directory with a file in it that a session may replace.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Home(tempfile::tempdir().unwrap());
        fs::write(home.path(), "old").unwrap();
        home
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("f")
    }

    fn writer(&self) -> Descriptor {
        whole::create(&self.path()).unwrap()
    }

    /// What is there; nothing else may be.
    #[track_caller]
    fn content(&self) -> String {
        let names: Vec<_> = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["f"]);
        fs::read_to_string(self.path()).unwrap()
    }
}

/// What `--out` makes of the other rules.
fn receiving() -> Policy {
    Policy { stdin: false, ..drop_nothing() }
}

fn peer() -> (End, TcpStream) {
    let (near, far) = tcp_pair(None);
    (socket_end(near.into(), Family::Tcp, None), far)
}

/// A disk that is done once it has been at work for this long, by the clock of the session.
struct SlowDisk {
    session: Session,
    release: Sender<()>,
    takes: Duration,
    since: Option<Instant>,
}

impl Task for SlowDisk {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.session.start(turn)
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let park = self.session.turn(turn);
        if self.session.is_settling() && *self.since.get_or_insert(turn.now()) + self.takes <= turn.now() {
            let _ = self.release.send(());
        }
        park
    }
}

fn context(policy: Policy) -> Context {
    Context {
        policy,
        pools: Pools::new(64 * 1024, 256 * 1024),
        meter: Arc::new(Meter::default()),
        observer: Rc::new(Log::default()),
    }
}

/// Stops its session as soon as the disk is at work for it.
struct Stopper(Session);

impl Task for Stopper {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.0.start(turn)
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let park = self.0.turn(turn);
        if !self.0.is_settling() {
            return park;
        }
        self.0.stop(Ended::Signal(15), turn.now());
        self.0.turn(turn)
    }
}

fn run_until_settling(local: End, peer: End) -> Outcome {
    let context = context(Policy { max_time: Some(Duration::from_secs(20)), ..receiving() });
    let session = Session::new(local, peer, context, Instant::now());
    Reactor::new().unwrap().run(Box::new(Stopper(session))).unwrap()
}

#[test]
fn a_clean_end_replaces_the_file() {
    let (home, (end, mut far)) = (Home::new(), peer());
    far.write_all(b"new").unwrap();
    drop(far);
    let outcome = run(local_end(None, Some(home.writer())), end, receiving());
    assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [0, 3]));
    assert_eq!(home.content(), "new");
}

#[test]
fn a_file_that_is_sent_to_is_replaced_too() {
    let home = Home::new();
    let policy = Policy { flow: crate::plan::Flow::SendOnly, ..drop_nothing() };
    let source = local_end(Some(descriptor(file_with(b"sent"), Access::Read)), None);
    let outcome = run(source, local_end(None, Some(home.writer())), policy);
    assert_eq!(summary(&outcome), ("clean", 0));
    assert_eq!(home.content(), "sent");
}

#[test]
fn a_reset_leaves_the_old_file() {
    let (home, (end, mut far)) = (Home::new(), peer());
    far.write_all(b"half").unwrap();
    crate::sys::arm_reset(std::os::fd::AsFd::as_fd(&far));
    drop(far);
    let outcome = run(local_end(None, Some(home.writer())), end, receiving());
    assert_eq!(summary(&outcome), ("failed", 1));
    assert_eq!(home.content(), "old");
}

#[test]
fn a_limit_that_counts_as_success_keeps_what_came() {
    let (home, (end, mut far)) = (Home::new(), peer());
    far.write_all(b"0123456789").unwrap();
    let policy = Policy { max_bytes: Some(4), ..receiving() };
    let outcome = run(local_end(None, Some(home.writer())), end, policy);
    assert_eq!(summary(&outcome), ("clean", 0));
    assert_eq!(home.content(), "0123");

    let (home, (end, mut far)) = (Home::new(), peer());
    far.write_all(b"answer").unwrap();
    let policy = Policy { quit_after: Some(Duration::from_millis(200)), ..drop_nothing() };
    let local = local_end(Some(descriptor(file_with(b"question"), Access::Read)), Some(home.writer()));
    let outcome = run(local, end, policy);
    assert_eq!(summary(&outcome), ("clean", 0));
    assert_eq!(home.content(), "answer");
    drop(far);
}

#[test]
fn a_time_limit_leaves_the_old_file_even_while_the_disk_is_at_work() {
    for closes in [true, false] {
        let (home, (end, mut far)) = (Home::new(), peer());
        far.write_all(b"new").unwrap();
        let far = if closes { None } else { Some(far) };
        let (release, released) = channel::<()>();
        let writer = home.writer().synced_by(move |_| released.recv().map_err(|_| io::ErrorKind::Other.into()));
        let context = context(Policy { max_time: Some(Duration::from_millis(100)), ..receiving() });
        let session = Session::new(local_end(None, Some(writer)), end, context, Instant::now());
        let outcome = Reactor::new().unwrap().run(Box::new(super::descriptors::Alone(session))).unwrap();
        assert_eq!(summary(&outcome), ("failed", 3));
        // it is a disk that was too slow: it may be done now
        let _ = release.send(());
        assert_eq!(home.content(), "old");
        drop(far);
    }
}

#[test]
fn a_signal_during_a_long_fsync_comes_in_time() {
    let (home, (end, far)) = (Home::new(), peer());
    drop(far);
    let (release, released) = channel::<()>();
    let writer = home.writer().synced_by(move |_| released.recv().map_err(|_| io::ErrorKind::Other.into()));
    let outcome = run_until_settling(local_end(None, Some(writer)), end);
    assert_eq!(summary(&outcome), ("signal", 143));
    let _ = release.send(());
    assert_eq!(home.content(), "old");
}

#[test]
fn a_disk_that_fails_is_a_local_failure() {
    let (home, (end, far)) = (Home::new(), peer());
    drop(far);
    let writer = home.writer().synced_by(|_| Err(io::Error::from_raw_os_error(libc::EIO)));
    let outcome = run(local_end(None, Some(writer)), end, receiving());
    assert_eq!(
        (summary(&outcome), line(&outcome).as_str()),
        (("failed", 5), "cannot write standard output: input/output error")
    );
    assert_eq!(home.content(), "old");

    let (home, (end, mut far)) = (Home::new(), peer());
    far.write_all(b"0123456789").unwrap();
    let writer = home.writer().synced_by(|_| Err(io::Error::from_raw_os_error(libc::EDQUOT)));
    let policy = Policy { max_bytes: Some(4), ..receiving() };
    let outcome = run(local_end(None, Some(writer)), end, policy);
    assert_eq!(summary(&outcome), ("failed", 5));
    assert_eq!(home.content(), "old");
}

#[test]
fn a_slow_disk_is_no_silence_of_the_peer() {
    let (home, (end, far)) = (Home::new(), peer());
    drop(far);
    // several times the limit, as nothing else moves
    let idle = Duration::from_millis(60);
    let (release, released) = channel();
    let slow = move |file: &File| released.recv().map_err(io::Error::other).and_then(|()| file.sync_all());
    let session = Session::new(
        local_end(None, Some(home.writer().synced_by(slow))),
        end,
        context(Policy { idle: Some(idle), max_time: Some(Duration::from_secs(20)), ..receiving() }),
        Instant::now(),
    );
    let task = SlowDisk { session, release, takes: idle * 4, since: None };
    let outcome = Reactor::new().unwrap().run(Box::new(task)).unwrap();
    assert_eq!(summary(&outcome), ("clean", 0));
    assert_eq!(home.content(), "");
}

#[test]
fn a_plain_file_is_synced_before_its_direction_has_ended() {
    let (end, mut far) = peer();
    far.write_all(b"bytes").unwrap();
    drop(far);
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = descriptor(file.reopen().unwrap(), Access::Write);
    writer.sync_before_close();
    let (told, syncs) = channel();
    let path = file.path().to_path_buf();
    let writer = writer.synced_by(move |file| {
        told.send(fs::read(path).unwrap()).unwrap();
        file.sync_all()
    });
    let outcome = run(local_end(None, Some(writer)), end, receiving());
    assert_eq!(summary(&outcome), ("clean", 0));
    assert_eq!(syncs.iter().collect::<Vec<_>>(), [b"bytes"]);
}

#[test]
fn what_a_program_writes_is_whole_if_the_program_says_so() {
    for (text, content) in [("printf new", "new"), ("printf half; exit 3", "old"), ("printf half; kill -9 $$", "old")] {
        let home = Home::new();
        let (both, child) = process::start(&Program::Shell(text.into()), &[]).unwrap();
        let program = End::new(Transport::from(both), Side::Program("sh".into()), None).with_program(child);
        let outcome = run(local_end(None, Some(home.writer())), program, receiving());
        assert_eq!(summary(&outcome), ("clean", 0), "{text}"); // the status is judged elsewhere
        assert_eq!(home.content(), content, "{text}");
    }
}

#[test]
fn with_nothing_to_settle_nobody_waits_for_a_disk() {
    let (local, written) = file_of(b"");
    let (end, mut far) = peer();
    far.write_all(b"bytes").unwrap();
    drop(far);
    let outcome = run_until_settling(local, end);
    assert_eq!(summary(&outcome), ("clean", 0));
    assert_eq!(written.bytes(), b"bytes");
}
