//! Requests and answers over UDP: as over a stream, but that either can get lost.
//!
//! The first eight bytes of a request are its number, and the answer is the request itself, so that an answer which
//! comes too late is not taken for the next one. A connected socket on both sides keeps strangers out.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::Requests;
use super::blocking::{Held, Load, TICK, is_timeout, wait_for};
use crate::datagram::LONGEST;

/// Sends requests of `load.size` bytes (at least [`SHORTEST`], at most a datagram's) over a connected socket until the time
/// is over. What has no answer for four times the longest round trip so far (at least 200 ms; 1 s before the first, as in
/// RFC 6298; at most `load.patience`) is given up, see [`Requests::unanswered`], and the next one sent. Each latency goes to `note`, in nanoseconds, behind whether it counts.
///
/// # Errors
/// What the system says, but not that the other side is not there yet or no more (ECONNREFUSED): that is a loss.
pub fn run_rr_datagrams(
    socket: &UdpSocket,
    load: &Load<'_>,
    requests: &mut Requests,
    mut note: impl FnMut(bool, u64),
) -> io::Result<()> {
    socket.set_read_timeout(Some(load.patience.clamp(Duration::from_millis(1), TICK)))?;
    let mut request = vec![0x5a; load.size.clamp(SHORTEST, LONGEST)];
    let mut answer = request.clone();
    let (mut number, mut slowest) = (0u64, None::<Duration>);
    while wait_for(requests, load) {
        let begun = Instant::now();
        if begun >= load.until {
            break;
        }
        number += 1;
        request[..SHORTEST].copy_from_slice(&number.to_be_bytes());
        requests.begun(begun);
        // one that could not be sent is waited for as well, or this would spin where nobody is there
        lossy(socket.send(&request))?;
        let lost_after = slowest.map_or(FIRST, |slowest| (4 * slowest).max(SHORTEST_WAIT)).min(load.patience);
        let deadline = begun + lost_after;
        match received(socket, &request, &mut answer, deadline, load)? {
            Heard::Answer => {
                let now = Instant::now();
                slowest = slowest.max(Some(now - begun));
                if let Some((nanos, counts)) = requests.timed(now) {
                    note(counts, nanos);
                }
            }
            Heard::Nothing => requests.give_up(),
            // it might still have come
            Heard::Stop => break,
        }
    }
    Ok(())
}

/// What ended the wait for an answer.
enum Heard {
    Answer,
    /// It has not come by the deadline.
    Nothing,
    /// The word to stop came first.
    Stop,
}

/// Waits for the answer to a request.
fn received(
    socket: &UdpSocket,
    request: &[u8],
    answer: &mut [u8],
    deadline: Instant,
    load: &Load<'_>,
) -> io::Result<Heard> {
    loop {
        match lossy(socket.recv(answer))? {
            Some(length) if answer[..length].starts_with(&request[..SHORTEST]) => return Ok(Heard::Answer),
            // an older one; many of those must not keep it here either
            Some(_) | None if Instant::now() >= deadline => return Ok(Heard::Nothing),
            Some(_) | None if load.stop.load(Relaxed) => return Ok(Heard::Stop),
            _ => {}
        }
    }
}

/// The other side: sends back what comes over a connected socket, until nothing has come for `load.patience`, or
/// `load.until` has come. How many requests were answered.
///
/// # Errors
/// What the system says, but not that the other side is gone (ECONNREFUSED), which says that this is over.
pub fn serve_rr_datagrams(socket: &UdpSocket, load: &Load<'_>) -> io::Result<u64> {
    socket.set_read_timeout(Some(load.patience.clamp(Duration::from_millis(1), TICK)))?;
    let mut datagram = vec![0; LONGEST];
    let (mut answered, mut seen, mut heard) = (0, 0, Instant::now());
    let mut held = Held::new(load);
    loop {
        match lossy(socket.recv(&mut datagram))? {
            // a client that never pauses must not keep it from the word to stop
            Some(_) if load.stop.load(Relaxed) => return Ok(answered),
            Some(length) if !held.wait(length, load) => return Ok(answered),
            Some(length) => answered += u64::from(lossy(socket.send(&datagram[..length]))?.is_some()),
            None => {
                let now = Instant::now();
                if answered > seen {
                    (heard, seen) = (now, answered);
                } else if now - heard >= load.patience {
                    return Ok(answered);
                }
                if now >= load.until || load.stop.load(Relaxed) {
                    return Ok(answered);
                }
            }
        }
    }
}

/// What a call moved; `None` where a datagram is lost or none came.
fn lossy(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(length) => Ok(Some(length)),
        Err(error) if is_timeout(&error) => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How long the first answers may take.
const FIRST: Duration = Duration::from_secs(1);

/// However quick the others were, an answer may take this long.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);

/// Bytes of the shortest request.
pub const SHORTEST: usize = 8;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;
    use crate::bench::histogram::Histogram;

    static GO_ON: AtomicBool = AtomicBool::new(false);

    fn load(size: usize, lasting: Duration, patience: Duration) -> Load<'static> {
        Load { size, until: Instant::now() + lasting, patience, stop: &GO_ON, most_rate: None }
    }

    /// Two sockets that are connected to each other.
    fn pair() -> (UdpSocket, UdpSocket) {
        let sockets = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let [a, b] = sockets;
        a.connect(b.local_addr().unwrap()).unwrap();
        b.connect(a.local_addr().unwrap()).unwrap();
        (a, b)
    }

    #[test]
    fn every_request_is_answered_and_timed() {
        for size in [0, 64, 9000] {
            let (client, server) = pair();
            let load = load(size, Duration::from_millis(50), Duration::from_millis(200));
            let serving = thread::spawn(move || {
                let until = Instant::now() + Duration::from_secs(30);
                serve_rr_datagrams(&server, &Load { until, ..load }).unwrap()
            });
            let mut requests = Requests::new(Instant::now(), None, Duration::ZERO);
            let mut histogram = Histogram::new();
            run_rr_datagrams(&client, &load, &mut requests, |_, nanos| histogram.record(nanos)).unwrap();
            assert!(histogram.count() > 0 && histogram.min() > 0, "{size}");
            assert_eq!(requests.transactions(), histogram.count());
            assert!(serving.join().unwrap() >= histogram.count());
        }
    }

    // The first answer comes too late and the second not at all: only the third request has its own.
    #[test]
    fn an_answer_that_comes_late_is_not_taken_for_the_next() {
        let (client, server) = pair();
        let serving = thread::spawn(move || {
            server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut requests = [[0; 16]; 3];
            server.recv(&mut requests[0]).unwrap();
            server.recv(&mut requests[1]).unwrap();
            server.send(&requests[0]).unwrap();
            server.recv(&mut requests[2]).unwrap();
            server.send(&requests[2]).unwrap();
            requests
        });
        let load = load(16, Duration::from_secs(60), Duration::from_millis(20));
        let stop = AtomicBool::new(false);
        let load = Load { stop: &stop, ..load };
        let mut requests = Requests::new(Instant::now(), None, Duration::ZERO);
        let mut answered = 0;
        let note = |_, _| {
            answered += 1;
            stop.store(true, Relaxed);
        };
        run_rr_datagrams(&client, &load, &mut requests, note).unwrap();
        assert_eq!(answered, 1);
        assert!(requests.unanswered() >= 2);
        assert_eq!(serving.join().unwrap().map(|request| request[7]), [1, 2, 3]);
    }

    // Where answers are quick, one that does not come is not waited for as long as a slow path might take.
    #[test]
    fn a_lost_answer_among_quick_ones_is_given_up_soon() {
        let (client, server) = pair();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let serving = thread::spawn(move || {
            server.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            let mut request = [0; 16];
            for number in 1..=6u64 {
                server.recv(&mut request).unwrap();
                if number != 2 && number != 4 {
                    server.send(&request).unwrap();
                }
            }
            told.store(true, Relaxed);
        });
        let load = Load { stop: &stop, ..load(16, Duration::from_secs(60), Duration::from_secs(60)) };
        let mut requests = Requests::new(Instant::now(), None, Duration::ZERO);
        run_rr_datagrams(&client, &load, &mut requests, |_, _| {}).unwrap();
        assert!(requests.given_up() >= 2 && requests.transactions() >= 3, "{requests:?}");
        serving.join().unwrap();
    }

    // Nobody is there: every request is a loss, and it ends in time.
    #[test]
    fn nobody_there_is_a_loss_and_no_error() {
        let (client, server) = pair();
        drop(server);
        let load = load(8, Duration::from_millis(50), Duration::from_millis(1));
        let mut requests = Requests::new(Instant::now(), None, Duration::ZERO);
        run_rr_datagrams(&client, &load, &mut requests, |_, _| panic!("answered")).unwrap();
        assert!(requests.unanswered() > 0 && requests.transactions() == 0);
    }
}
