//! Requests and answers over one blocking stream, on a thread of its own: what `--rr` measures with.
//!
//! A reactor costs an epoll_wait a round, which is what the measurement would then be of. Here a round is one write, one
//! read and two looks at the clock. Every wait is bounded by the socket's own timeout (SO_RCVTIMEO, SO_SNDTIMEO:
//! socket(7)), so that neither side hangs on a peer that says nothing more.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Requests;
use crate::bench::pacer::Pacer;

/// A blocking stream whose reads and writes give up after a while.
pub trait Timed: Read + Write {
    /// Reads and writes end with WouldBlock or TimedOut once they have waited for `limit`, which is not zero.
    ///
    /// # Errors
    /// What the system says.
    fn limit_waits(&self, limit: Duration) -> io::Result<()>;
}

impl Timed for TcpStream {
    fn limit_waits(&self, limit: Duration) -> io::Result<()> {
        // a request must not wait for the acknowledgement of the one before
        self.set_nodelay(true)?;
        self.set_read_timeout(Some(limit))?;
        self.set_write_timeout(Some(limit))
    }
}

impl Timed for UnixStream {
    fn limit_waits(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))?;
        self.set_write_timeout(Some(limit))
    }
}

/// What one side does, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// Bytes of a request and of its answer; 0 counts as 1.
    pub size: usize,
    /// No request is begun from here on.
    pub until: Instant,
    /// How long after that an answer is waited for, and at the server, how long a client may say nothing.
    pub patience: Duration,
    /// Ends it, within a tenth of a second.
    pub stop: &'a AtomicBool,
    /// Bytes a second that the side that answers sends at most; `None` for as many as are asked for.
    pub most_rate: Option<u64>,
}

/// Holds answers to [`Load::most_rate`].
pub(super) struct Held(Option<Pacer>);

impl Held {
    pub(super) fn new(load: &Load<'_>) -> Self {
        Held(load.most_rate.map(|rate| Pacer::new(Instant::now(), Some(rate.saturating_mul(8)), 0)))
    }

    /// Waits until an answer of so many bytes may be sent, and notes it; false if it was stopped meanwhile.
    pub(super) fn wait(&mut self, size: usize, load: &Load<'_>) -> bool {
        let Some(pacer) = &mut self.0 else { return true };
        while let Err(at) = pacer.ready(Instant::now(), size) {
            let now = Instant::now();
            if load.stop.load(Relaxed) || now >= load.until {
                return false;
            }
            std::thread::sleep(at.saturating_duration_since(now).min(TICK));
        }
        pacer.sent(size as u64);
        true
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// In good order, between two requests.
    Complete,
    /// A request was not answered in time.
    Unanswered,
}

/// Sends requests of `load.size` bytes and reads answers of that many until the time is over. Each latency goes to `note`,
/// in nanoseconds, behind whether it counts, which none of the warm-up does.
///
/// # Errors
/// What the system says, and UnexpectedEof if the peer closes the stream.
pub fn run_rr<S: Timed>(
    stream: &mut S,
    load: &Load<'_>,
    requests: &mut Requests,
    mut note: impl FnMut(bool, u64),
) -> io::Result<Done> {
    stream.limit_waits(TICK)?;
    let size = load.size.max(1);
    // one piece is enough for every request that is not huge, and bounds what a huge one takes
    let mut piece = vec![0x5a; size.min(PIECE)];
    let mut turn = Turn { stream, size, deadline: load.until + load.patience, stop: load.stop };
    while wait_for(requests, load) {
        let begun = Instant::now();
        if begun >= load.until {
            break;
        }
        requests.begun(begun);
        match turn.send(&piece).and_then(|()| turn.receive(&mut piece)) {
            Ok(()) => {}
            Err(error) if is_timeout(&error) => return Ok(Done::Unanswered),
            Err(error) => return Err(error),
        }
        if let Some((nanos, counts)) = requests.timed(Instant::now()) {
            note(counts, nanos);
        }
    }
    Ok(Done::Complete)
}

/// `--crr`: opens a stream with `connect`, asks once, reads the answer and closes, until the time is over. `note` gets the
/// time of the answer and two spans in nanoseconds: until the connection was open, and until all was done.
///
/// `connect` has to give up by itself. The side that closes first keeps the port for a minute (TIME_WAIT, RFC 9293, 3.6.1):
/// a stream that `connect` gave SO_LINGER of zero does not.
///
/// # Errors
/// What `connect` says; else as [`run_rr`].
pub fn run_crr<S: Timed>(
    mut connect: impl FnMut() -> io::Result<S>,
    load: &Load<'_>,
    requests: &mut Requests,
    mut note: impl FnMut(Instant, u64, u64),
) -> io::Result<Done> {
    let size = load.size.max(1);
    let mut piece = vec![0x5a; size.min(PIECE)];
    while wait_for(requests, load) {
        let begun = Instant::now();
        if begun >= load.until {
            break;
        }
        requests.begun(begun);
        let mut stream = connect()?;
        let connected = requests.connected(Instant::now());
        stream.limit_waits(TICK)?;
        let mut turn = Turn { stream: &mut stream, size, deadline: load.until + load.patience, stop: load.stop };
        match turn.send(&piece).and_then(|()| turn.receive(&mut piece)) {
            Ok(()) => drop(stream),
            Err(error) if is_timeout(&error) => return Ok(Done::Unanswered),
            Err(error) => return Err(error),
        }
        let now = Instant::now();
        if let Some((connected, nanos)) = connected.zip(requests.answered(now)) {
            note(now, connected, nanos);
        }
    }
    Ok(Done::Complete)
}

/// The other side: answers each request of `load.size` bytes with as many, until the client closes the stream, is silent
/// for `load.patience`, or `load.until` has come. How many requests were answered.
///
/// # Errors
/// What the system says, and UnexpectedEof if the stream ends within a request.
pub fn serve_rr<S: Timed>(stream: &mut S, load: &Load<'_>) -> io::Result<u64> {
    stream.limit_waits(TICK)?;
    let size = load.size.max(1);
    let mut piece = vec![0; size.min(PIECE)];
    let (mut answered, mut seen) = (0, 0);
    let mut heard = Instant::now();
    let mut held = Held::new(load);
    let mut turn = Turn { stream, size, deadline: load.until, stop: load.stop };
    loop {
        // what comes first may come whenever it likes; the rest of a request has to follow
        let first = match turn.stream.read(&mut piece) {
            Ok(0) => return Ok(answered),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if is_timeout(&error) => {
                let now = Instant::now();
                if answered > seen {
                    (heard, seen) = (now, answered);
                } else if now - heard >= load.patience {
                    return Ok(answered);
                }
                if now >= load.until || load.stop.load(Relaxed) {
                    return Ok(answered);
                }
                continue;
            }
            // a client of --crr may leave no other way
            Err(error) if error.kind() == ErrorKind::ConnectionReset && answered > 0 => return Ok(answered),
            Err(error) => return Err(error),
        };
        if first < size {
            turn.deadline = load.until.min(Instant::now() + load.patience);
            turn.receive_from(first, &mut piece)?;
        }
        if !held.wait(size, load) {
            return Ok(answered);
        }
        turn.send(&piece)?;
        answered += 1;
        // a look at the clock in each round is spared
        if answered % LOOK_EVERY == 0 && (Instant::now() >= load.until || load.stop.load(Relaxed)) {
            return Ok(answered);
        }
    }
}

/// One request or answer on a stream.
struct Turn<'a, S> {
    stream: &'a mut S,
    size: usize,
    deadline: Instant,
    stop: &'a AtomicBool,
}

impl<S: Timed> Turn<'_, S> {
    /// Writes `size` bytes.
    fn send(&mut self, piece: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.size {
            let part = &piece[..piece.len().min(self.size - sent)];
            let result = self.stream.write(part);
            sent += self.moved(result, ErrorKind::WriteZero)?;
        }
        Ok(())
    }

    /// Reads `size` bytes.
    fn receive(&mut self, piece: &mut [u8]) -> io::Result<()> {
        self.receive_from(0, piece)
    }

    /// Reads the rest of `size` bytes, of which `received` are there.
    fn receive_from(&mut self, mut received: usize, piece: &mut [u8]) -> io::Result<()> {
        while received < self.size {
            let most = piece.len().min(self.size - received);
            let result = self.stream.read(&mut piece[..most]);
            received += self.moved(result, ErrorKind::UnexpectedEof)?;
        }
        Ok(())
    }

    /// How many bytes a call moved; 0 if it is to be made again. TimedOut once the deadline has passed.
    fn moved(&self, result: io::Result<usize>, none: ErrorKind) -> io::Result<usize> {
        match result {
            Ok(0) => Err(none.into()),
            Ok(count) => Ok(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            Err(error) if is_timeout(&error) => {
                let over = self.stop.load(Relaxed) || Instant::now() >= self.deadline;
                if over { Err(ErrorKind::TimedOut.into()) } else { Ok(0) }
            }
            Err(error) => Err(error),
        }
    }
}

/// Linux says WouldBlock where a timeout of a socket passes, other systems say TimedOut.
pub(in crate::bench) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Waits until the next request is due or the time is over; where that has to be exact, the end of it without leaving the
/// CPU, as a timer wakes late by more than what is measured. False if it was stopped.
pub(super) fn wait_for(requests: &Requests, load: &Load<'_>) -> bool {
    let then = requests.due().min(load.until);
    let awake = if requests.is_exact() { SPIN } else { Duration::ZERO };
    loop {
        if load.stop.load(Relaxed) {
            return false;
        }
        let left = then.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        match left.checked_sub(awake) {
            Some(long) if !long.is_zero() => std::thread::sleep(long.min(TICK)),
            _ => std::hint::spin_loop(),
        }
    }
}

/// The longest wait without a look at the clock and at the word to stop.
pub(in crate::bench) const TICK: Duration = Duration::from_millis(100);
/// The part of a wait that is spent awake.
const SPIN: Duration = Duration::from_micros(100);
/// The most bytes of a request that are written at once, and kept.
const PIECE: usize = 64 * 1024;
/// Requests between two looks at the clock.
const LOOK_EVERY: u64 = 64;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use super::*;
    use crate::bench::histogram::Histogram;

    static GO_ON: AtomicBool = AtomicBool::new(false);

    fn load(size: usize, lasting: Duration) -> Load<'static> {
        Load { size, until: Instant::now() + lasting, patience: Duration::from_secs(20), stop: &GO_ON, most_rate: None }
    }

    fn tcp_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// Runs both sides; the latencies, what the client says and what the server answered.
    fn exchange<S: Timed + Send + 'static>(
        (mut client, mut server): (S, S),
        load: Load<'static>,
        mut requests: Requests,
    ) -> (Histogram, Done, u64) {
        let serving = thread::spawn(move || {
            let until = Instant::now() + Duration::from_secs(30);
            serve_rr(&mut server, &Load { until, ..load }).unwrap()
        });
        let mut histogram = Histogram::new();
        let done = run_rr(&mut client, &load, &mut requests, |_, nanos| histogram.record(nanos)).unwrap();
        assert_eq!(requests.transactions(), histogram.count());
        drop(client);
        (histogram, done, serving.join().unwrap())
    }

    fn unhurried() -> Requests {
        Requests::new(Instant::now(), None, Duration::ZERO)
    }

    #[test]
    fn every_request_is_answered_and_timed() {
        for size in [0, 1, 64, 200_000] {
            let (tcp, done, served) = exchange(tcp_pair(), load(size, Duration::from_millis(50)), unhurried());
            assert_eq!((done, served), (Done::Complete, tcp.count()), "{size}");
            assert!(tcp.count() > 0 && tcp.min() > 0, "{size}");
        }
        let pair = UnixStream::pair().unwrap();
        let (unix, done, served) = exchange(pair, load(64, Duration::from_millis(50)), unhurried());
        assert_eq!((done, served > 0), (Done::Complete, true));
        assert_eq!(served, unix.count());
    }

    #[test]
    fn each_request_can_have_a_connection() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let load = load(64, Duration::from_millis(50));
        let serving = thread::spawn(move || {
            let until = Instant::now() + Duration::from_secs(30);
            let mut served = 0;
            // a connection that closes without a request is the end
            loop {
                match serve_rr(&mut listener.accept().unwrap().0, &Load { until, ..load }).unwrap() {
                    0 => return served,
                    count => served += count,
                }
            }
        });
        let mut requests = unhurried();
        let mut noted = Vec::new();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(20));
        let done = run_crr(connect, &load, &mut requests, |_, connected, all| noted.push((connected, all)));
        assert_eq!(done.unwrap(), Done::Complete);
        drop(connect().unwrap());
        assert_eq!((serving.join().unwrap(), requests.transactions()), (noted.len() as u64, noted.len() as u64));
        assert!(!noted.is_empty() && noted.iter().all(|(connected, all)| connected < all));
        let refused = || Err(ErrorKind::ConnectionRefused.into());
        let error = run_crr::<TcpStream>(refused, &self::load(1, TICK), &mut unhurried(), |_, _, _| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }

    // At 80,000 bytes a second there are at most 1250 answers of 64 bytes, and those that a delay is made up for with.
    #[test]
    fn answers_are_held_to_a_rate() {
        let load = Load { most_rate: Some(80_000), ..load(64, Duration::from_millis(200)) };
        let begun = Instant::now();
        let (held, done, _) = exchange(tcp_pair(), load, unhurried());
        let most = (begun.elapsed() + Duration::from_millis(100)).as_secs_f64() * 1250.0;
        assert!(done == Done::Complete && held.count() > 0 && (held.count() as f64) < most, "{}", held.count());
    }

    // A probe leaves the CPU between two requests.
    #[test]
    fn a_probe_asks_no_more_often_than_it_was_told() {
        let load = load(16, Duration::from_millis(100));
        let start = load.until - Duration::from_millis(100);
        let probe = Requests::probe(start, Duration::from_millis(5), Duration::ZERO);
        let (histogram, done, _) = exchange(tcp_pair(), load, probe);
        assert_eq!(done, Done::Complete);
        assert!((1..=20).contains(&histogram.count()), "{}", histogram.count());
    }

    // Two hundred requests a second for a tenth of a second are twenty.
    #[test]
    fn a_rate_is_not_exceeded() {
        let load = load(16, Duration::from_millis(100));
        let requests = Requests::new(load.until - Duration::from_millis(100), Some(200.0), Duration::ZERO);
        let (histogram, done, _) = exchange(tcp_pair(), load, requests);
        assert_eq!(done, Done::Complete);
        assert!((1..=20).contains(&histogram.count()), "{}", histogram.count());
    }

    // A server that takes requests and never answers does not hold the client for longer than it was told.
    #[test]
    fn a_silent_server_does_not_hold_the_client() {
        let (mut client, _silent) = tcp_pair();
        let load = Load { patience: Duration::ZERO, ..load(8, Duration::from_millis(20)) };
        let mut requests = unhurried();
        let done = run_rr(&mut client, &load, &mut requests, |_, _| panic!("answered"));
        assert_eq!((done.unwrap(), requests.is_waiting()), (Done::Unanswered, true));
        assert!(load.until.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_silent_client_does_not_hold_the_server() {
        let (_silent, mut server) = tcp_pair();
        let load = Load { patience: Duration::ZERO, ..load(8, Duration::from_secs(60)) };
        assert_eq!(serve_rr(&mut server, &load).unwrap(), 0);
        // nor one that stops within a request
        let (mut client, mut server) = tcp_pair();
        client.write_all(b"half").unwrap();
        assert_eq!(serve_rr(&mut server, &load).unwrap_err().kind(), ErrorKind::TimedOut);
        client.write_all(b"half").unwrap();
        drop(client);
        let error = serve_rr(&mut server, &Load { size: 9, ..load }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    /// A stream whose reads end as they are listed: so many bytes, or no more than a timeout.
    struct Scripted(std::vec::IntoIter<Option<usize>>);

    impl Read for Scripted {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.0.next().flatten().ok_or(ErrorKind::WouldBlock.into())
        }
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Timed for Scripted {
        fn limit_waits(&self, _: Duration) -> io::Result<()> {
            Ok(())
        }
    }

    // A client that asks now and then is not silent: patience begins anew with each request.
    #[test]
    fn a_slow_client_is_not_taken_for_a_silent_one() {
        let load = Load { patience: Duration::ZERO, ..load(8, Duration::from_secs(60)) };
        let script = vec![Some(8), None, Some(8), Some(3), Some(5), None, None, Some(8)];
        assert_eq!(serve_rr(&mut Scripted(script.into_iter()), &load).unwrap(), 3);
    }

    #[test]
    fn a_server_that_goes_away_is_an_error() {
        let (mut client, server) = tcp_pair();
        drop(server);
        let error = run_rr(&mut client, &load(8, Duration::from_secs(20)), &mut unhurried(), |_, _| {}).unwrap_err();
        let gone = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(gone.contains(&error.kind()), "{error}");
    }

    #[test]
    fn the_word_to_stop_is_heard() {
        static STOP: AtomicBool = AtomicBool::new(true);
        let load = Load { stop: &STOP, ..load(8, Duration::from_secs(60)) };
        let (mut client, mut server) = tcp_pair();
        assert_eq!(run_rr(&mut client, &load, &mut unhurried(), |_, _| {}).unwrap(), Done::Complete);
        assert_eq!(serve_rr(&mut server, &load).unwrap(), 0);
    }
}
