//! Requests and answers on threads of their own, where no poll stands between a request and its answer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::conversation::{Blocking, Conversation, Limit, Talking};
use super::tally::Bell;
use crate::bench::histogram::Histogram;
use crate::bench::latency::{
    Done, Load, Requests, TICK, Timed, is_timeout, run_rr, run_rr_datagrams, serve_rr, serve_rr_datagrams,
};
use crate::bench::protocol::COOKIE;
use crate::error::Error;
use crate::layer::stack::Stack;
use crate::sys;

/// What a thread has noted.
#[derive(Debug, Default)]
pub struct Notes {
    /// All that counts.
    pub latency: Histogram,
    /// Since somebody looked; those of the warm-up too.
    pub fresh: Histogram,
    /// How long connecting took, where each request has a connection.
    pub connecting: Histogram,
    /// Requests without an answer.
    pub unanswered: u64,
    /// What failed.
    pub error: Option<io::Error>,
}

impl Notes {
    fn note(&mut self, counts: bool, nanos: u64) {
        if counts {
            self.latency.record(nanos);
        }
        self.fresh.record(nanos);
    }
}

/// When a request is due.
#[derive(Clone, Copy, Debug)]
pub enum Rhythm {
    /// With the answer to the one before.
    Answer,
    /// So many a second, each timed from when it was due.
    Rate(f64),
    /// With the answer to the one before, and no sooner than this after its sending; timed from its own sending.
    Probe(Duration),
}

impl Course {
    /// The book of one connection that begins now.
    fn requests(&self) -> Requests {
        let now = Instant::now();
        match self.rhythm {
            Rhythm::Answer => Requests::new(now, None, self.warm_up),
            Rhythm::Rate(rate) => Requests::new(now, Some(rate), self.warm_up),
            Rhythm::Probe(interval) => Requests::probe(now, interval, self.warm_up),
        }
    }
}

/// How often, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// Bytes of a request, and of its answer.
    pub size: usize,
    /// When the next one is due.
    pub rhythm: Rhythm,
    /// What does not count at the beginning.
    pub warm_up: Duration,
    /// From here on nothing is asked.
    pub until: Instant,
    /// How long after that an answer is waited for.
    pub patience: Duration,
}

/// Where connections are made to.
#[derive(Clone, Debug)]
pub enum Place {
    /// TCP.
    Inet(SocketAddr),
    /// A Unix socket: its path, or a 0 and its name.
    Unix(Vec<u8>),
}

/// A thread that asks, or answers. Dropping it tells the thread to end.
#[derive(Debug)]
pub struct Trips {
    stop: Arc<AtomicBool>,
    notes: Arc<Mutex<Notes>>,
    thread: Option<JoinHandle<Option<Conversation>>>,
}

impl Trips {
    /// Asks over this connection, and rings at the end.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn ask(over: Conversation, course: Course, bell: Bell) -> io::Result<Self> {
        Trips::start(bell, move |stop, notes| {
            let Course { size, until, patience, .. } = course;
            let mut requests = course.requests();
            let load = Load { size, until, patience, stop, most_rate: None };
            let note = |counts, nanos| lock(notes).note(counts, nanos);
            let (over, done) = match over {
                Conversation::Stream(socket, layers) => {
                    let mut talking = Talking::of(socket, layers);
                    let done = run_rr(&mut talking, &load, &mut requests, note);
                    lock(notes).unanswered = u64::from(requests.is_waiting());
                    (talking.pause(), done)
                }
                Conversation::Datagrams(socket) => {
                    let load = Load { patience: LOST.min(patience), ..load };
                    let done = run_rr_datagrams(&socket, &load, &mut requests, note);
                    // one that is on its way at the end might have come, unless none did
                    lock(notes).unanswered = match requests.transactions() {
                        0 => requests.unanswered(),
                        _ => requests.given_up(),
                    };
                    (Conversation::Datagrams(socket), done.map(|()| Done::Complete))
                }
            };
            match done {
                Ok(Done::Complete) => return Some(over),
                Ok(Done::Unanswered) => {}
                // once it is over the other side may close as it likes
                Err(_) if stop.load(Relaxed) => {}
                Err(error) => lock(notes).error = Some(error),
            }
            None
        })
    }

    /// Asks over one connection after the other, each of which begins with `cookie`.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn connect(
        place: Place,
        layers: impl Fn() -> Result<Option<Box<Stack>>, Error> + Send + 'static,
        cookie: [u8; COOKIE],
        course: Course,
        bell: Bell,
    ) -> io::Result<Self> {
        Trips::start(bell, move |stop, notes| {
            let mut requests = course.requests();
            let mut greeting = cookie.to_vec();
            greeting.resize(COOKIE + course.size, 0x5a);
            while !stop.load(Relaxed) && Instant::now() < course.until {
                let due = requests.due();
                if let Some(wait) = due.checked_duration_since(Instant::now()) {
                    std::thread::sleep(wait.min(Duration::from_millis(100)));
                    if due > Instant::now() {
                        continue;
                    }
                }
                requests.begun(Instant::now());
                let mut limit = Limit::new(course.patience, stop);
                let done = connected(&place, &layers, course, &mut limit).and_then(|mut over| {
                    if let Some(nanos) = requests.connected(Instant::now()) {
                        lock(notes).connecting.record(nanos);
                    }
                    limit.renew();
                    once(&mut over, &greeting, course.size, &mut limit)
                });
                match done {
                    Ok(()) => {
                        if let Some((nanos, counts)) = requests.timed(Instant::now()) {
                            lock(notes).note(counts, nanos);
                        }
                    }
                    Err(error) => {
                        lock(notes).unanswered += u64::from(requests.is_waiting());
                        if !stop.load(Relaxed) && Instant::now() < course.until {
                            lock(notes).error = Some(error);
                        }
                        break;
                    }
                }
            }
            None
        })
    }

    /// Answers until the peer closes, or it is dropped, with `most_rate` bytes a second at most.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn answer(over: Conversation, size: usize, most_rate: Option<u64>, bell: Bell) -> io::Result<Self> {
        Trips::start(bell, move |stop, _| {
            // the test has limits of its own
            let patience = Duration::from_secs(30 * 86_400);
            let load = Load { size, until: Instant::now() + patience, patience, stop, most_rate };
            // a client that breaks off is told by its other connection
            let _ = match over {
                Conversation::Stream(socket, layers) => serve_rr(&mut Talking::of(socket, layers), &load),
                Conversation::Datagrams(socket) => serve_rr_datagrams(&socket, &load),
            };
            None
        })
    }

    fn start(
        bell: Bell,
        run: impl FnOnce(&AtomicBool, &Mutex<Notes>) -> Option<Conversation> + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, notes) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Notes::default())));
        let (theirs, noted) = (Arc::clone(&stop), Arc::clone(&notes));
        let thread = Builder::new().name("trips".into()).spawn(move || {
            let over = run(&theirs, &noted);
            bell.ring();
            over
        })?;
        Ok(Trips { stop, notes, thread: Some(thread) })
    }

    /// What was noted so far.
    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        lock(&self.notes)
    }

    /// True once its thread has nothing more to do.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends it, which takes a tenth of a second at most, and gives the connection back if it can be used again.
    pub fn end(mut self) -> (Option<Conversation>, Notes) {
        self.stop.store(true, Relaxed);
        let over = self.thread.take().and_then(|thread| thread.join().ok()).flatten();
        let notes = std::mem::take(&mut *self.notes());
        (over, notes)
    }
}

impl Drop for Trips {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

/// A connection that is ready for a request, within the patience of the course.
fn connected(
    place: &Place,
    layers: impl Fn() -> Result<Option<Box<Stack>>, Error>,
    course: Course,
    limit: &mut Limit<'_>,
) -> io::Result<Talking> {
    let socket = match place {
        Place::Inet(address) => Blocking::Tcp(TcpStream::connect_timeout(address, course.patience)?),
        Place::Unix(name) => Blocking::Unix(sys::connect_unix(name)?),
    };
    socket.limit_waits(TICK)?;
    let mut over = Talking::new(socket, layers().map_err(Error::as_io)?);
    over.shake_hands(limit)?;
    Ok(over)
}

/// One request over a connection, its answer, and the end that the server makes.
fn once(over: &mut Talking, mut greeting: &[u8], size: usize, limit: &mut Limit<'_>) -> io::Result<()> {
    while !greeting.is_empty() {
        match over.write(greeting) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                greeting = &greeting[count..];
                limit.renew();
            }
            Err(error) if is_timeout(&error) => limit.look()?,
            Err(error) => return Err(error),
        }
    }
    let mut left = size;
    let mut buffer = [0; 16 << 10];
    loop {
        match over.read(&mut buffer) {
            Ok(0) if left == 0 => return Ok(()),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) if count <= left => {
                left -= count;
                limit.renew();
                if left == 0 {
                    over.end()?;
                }
            }
            Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
            Err(error) if is_timeout(&error) => limit.look()?,
            Err(error) => return Err(error),
        }
    }
}

/// A datagram without an answer for so long is lost, or its answer is.
const LOST: Duration = Duration::from_secs(1);

fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    // A path with a round trip of 80 ms is reported as that, however much sooner the next probe would have been due.
    #[test]
    fn a_probe_is_timed_from_its_own_sending() {
        let (interval, trip) = (Duration::from_millis(5), Duration::from_millis(80));
        let warm_up = Duration::ZERO;
        let course =
            Course { size: 1, rhythm: Rhythm::Probe(interval), warm_up, until: Instant::now(), patience: trip };
        let mut requests = course.requests();
        let mut now = Instant::now();
        for _ in 0..50 {
            now = now.max(requests.due());
            requests.begun(now);
            now += trip;
            assert_eq!(requests.answered(now), Some(80_000_000));
        }
    }
}
