//! The part of a measurement that asks and waits for answers: beside the streams, or instead of them.

use std::io;
use std::time::Duration;

use super::{Measuring, Run, time};
use crate::bench::histogram::{Histogram, Quantiles};
use crate::bench::result::{Exchange, Kind};
use crate::bench::traffic::trips::{Course, Place, Rhythm, Trips};
use crate::bench::traffic::{Bell, Conversation, Line};
use crate::command::bench::control::Control;
use crate::command::bench::ledger::Ledger;
use crate::command::bench::opening::PROBE;
use crate::endpoint::socket::Name;
use crate::error::{Error, Op};
use crate::reactor::Turn;

/// The streams as connections that calls may wait in.
pub(super) fn conversations(turn: &mut Turn, lines: Vec<Line>) -> io::Result<Vec<Conversation>> {
    let over = lines.into_iter().filter_map(|line| match line {
        Line::Stream(over) => Some(Conversation::new(turn, over)),
        Line::Datagrams(socket, _) => Some(Conversation::datagrams(socket)),
        Line::Pipe(_) => None,
    });
    over.collect()
}

/// The test begins: whoever asks may ask.
pub(super) fn begin(measuring: &Measuring, turn: &mut Turn, run: &mut Run) -> Result<(), Error> {
    let load = &measuring.wanted.load;
    let length = time(load.until).map(|time| time + load.omit).unwrap_or(FOREVER);
    let bell = Bell::of(turn).map_err(|error| measuring.io(error))?;
    let failed = |error| Error::new(Op::Start, "a thread", error);
    let now = std::time::Instant::now();
    let course = Course {
        size: PROBE,
        rhythm: Rhythm::Probe(BESIDE),
        warm_up: load.omit,
        until: now + length,
        patience: measuring.wanted.patience.min(Duration::from_secs(2)),
    };
    let Some(trip) = load.trip else {
        for over in run.idle.drain(..) {
            run.trips.push(Trips::ask(over, course, bell.clone()).map_err(failed)?);
        }
        return Ok(());
    };
    // -b is bits a second of each connection
    let bits = (trip.size * 8) as f64;
    let rate = load.rate.filter(|rate| *rate > 0).map(|rate| rate as f64 / bits);
    let course = Course { size: trip.size, rhythm: rate.map_or(Rhythm::Answer, Rhythm::Rate), ..course };
    if !trip.connects {
        for over in run.idle.drain(..) {
            run.trips.push(Trips::ask(over, course, bell.clone()).map_err(failed)?);
        }
        return Ok(());
    }
    let ends = run.control.as_ref().and_then(Control::socket).map(|socket| socket.ends()).transpose();
    let place = match (place(measuring), ends) {
        (Some(place), _) => place,
        (None, Ok(Some([Name::Inet(address), _]))) => Place::Inet(address),
        (None, Ok(Some([Name::Unix(name), _]))) => Place::Unix(name),
        (None, _) => return Err(measuring.gone()),
    };
    for _ in 0..load.streams {
        let layering = measuring.streams.layering.clone();
        let layers = move || layering.stack(None);
        let trips = Trips::connect(place.clone(), layers, run.cookie.0, course, bell.clone());
        run.trips.push(trips.map_err(failed)?);
    }
    Ok(())
}

/// Where `--via` leads, if it is an address.
fn place(measuring: &Measuring) -> Option<Place> {
    use crate::plan::address::{Host, Kind, UnixName};
    match &measuring.wanted.via.as_ref()?.kind {
        Kind::Tcp(at) => match at.host {
            Host::V4(ip) => Some(Place::Inet((ip, at.port).into())),
            Host::V6(ip, _) => Some(Place::Inet((ip, at.port).into())),
            _ => Some(Place::Inet(([127, 0, 0, 1], at.port).into())),
        },
        Kind::Unix(UnixName::Path(path), _) | Kind::Path(path) => {
            Some(Place::Unix(path.as_os_str().as_encoded_bytes().to_vec()))
        }
        Kind::Unix(UnixName::Abstract(name), _) => Some(Place::Unix([b"\0", name.as_slice()].concat())),
        _ => None,
    }
}

/// The round trips since the last look.
pub(super) fn fresh(asking: &[Trips]) -> Option<Quantiles> {
    let mut sum = Histogram::new();
    for trips in asking {
        let mut notes = trips.notes();
        sum.merge(&notes.fresh);
        notes.fresh.clear();
    }
    (!sum.is_empty()).then(|| sum.quantiles())
}

/// The end: what was noted goes into the books.
pub(super) fn end(ledger: &mut Ledger, asking: Vec<Trips>) {
    let (mut latency, mut connecting, mut unanswered) = (Histogram::new(), Histogram::new(), 0);
    for trips in asking {
        let (_, notes) = trips.end();
        latency.merge(&notes.latency);
        connecting.merge(&notes.connecting);
        unanswered += notes.unanswered;
    }
    match ledger.setup.kind {
        Kind::Throughput => ledger.latency.loaded = Some(latency).filter(|histogram| !histogram.is_empty()),
        kind => {
            ledger.exchange = Some(Exchange {
                transactions: latency.count(),
                unanswered,
                elapsed: ledger.elapsed(),
                latency,
                connecting: (kind == Kind::Connections).then_some(connecting),
            });
        }
    }
}

/// From one request beside the streams to the next: enough of them for a p99 in some seconds, too few to be felt. On a
/// path whose round trip is longer there are fewer: none was due while one was on its way, so none is made up.
const BESIDE: Duration = Duration::from_millis(5);

/// Longer than any test.
const FOREVER: Duration = Duration::from_secs(30 * 86_400);
