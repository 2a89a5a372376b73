//! `--events`: what happens, as NDJSON for scripts. One object a line, `"v":1`, units in the names.
//!
//! Lines leave through an [`Outlet`], so a reader that is slow or gone never holds the loop. The first line after a
//! gap carries `"dropped":N`, the number of lines missing before it; lines missing at the end are told by a last
//! `error` object. Only ASCII is written: everything else in a string is escaped as JSON allows (RFC 8259, section
//! 7), so that a name with control characters is harmless on a terminal too.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::ser::Formatter;

use super::amount::{json_secs, per_second};
use super::outlet::{Loss, Outlet};
use super::summary::{Fields, Passage, PassageFields, Summary};
use crate::event::{Event, LossReport, Observer, Secured, Traffic};

/// Writes every [`Event`] but notes, which are for people. Clones share the outlet.
#[derive(Clone, Debug)]
pub struct EventWriter {
    out: Outlet,
}

impl EventWriter {
    /// Lines go to `out`, which nobody else should use.
    pub fn new(out: Outlet) -> Self {
        EventWriter { out }
    }

    /// Totals as a `stats` object: those of [`Event::Stats`] and how it ended.
    pub fn summary(&self, summary: &Summary) {
        self.write(Body::Stats(summary.fields()));
    }

    /// Writes what is queued, at most for `wait`, and takes no more. The loss is worth a line for the user.
    pub fn finish(&self, wait: Duration) -> Loss {
        let time = SystemTime::now();
        self.out.finish(wait, |dropped| {
            let reason = "events were dropped because they were not read fast enough";
            encode(&Body::Error { session: None, peer: None, reason }, time, dropped)
        })
    }

    fn write(&self, body: Body<'_>) {
        let time = SystemTime::now();
        self.out.line(|dropped| encode(&body, time, dropped));
    }
}

impl Observer for EventWriter {
    fn observe(&self, event: &Event) {
        match event {
            Event::Stats { bytes_in, bytes_out, elapsed } => {
                let totals = Summary { bytes_in: *bytes_in, bytes_out: *bytes_out, elapsed: *elapsed, reason: None };
                self.summary(&totals);
            }
            Event::Piped { bytes, records, elapsed } => {
                let passage = Passage { bytes: *bytes, records: *records, elapsed: *elapsed };
                self.write(Body::Piped(passage.fields()));
            }
            event => {
                if let Some(body) = Body::of(event) {
                    self.write(body);
                }
            }
        }
    }
}

/// One object; the order of the fields is the order in which they are written.
#[derive(Serialize)]
struct Object<'a> {
    v: u8,
    time: String,
    #[serde(flatten)]
    body: &'a Body<'a>,
    /// Lines that did not get through just before this one.
    #[serde(skip_serializing_if = "is_zero")]
    dropped: u64,
}

/// The part that differs from event to event.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Body<'a> {
    Listening {
        protocol: &'a str,
        address: &'a str,
    },
    Accepted {
        session: u64,
        protocol: &'a str,
        peer: &'a str,
        local: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        tls: Option<Protection<'a>>,
    },
    Connected {
        session: u64,
        protocol: &'a str,
        peer: &'a str,
        local: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        tls: Option<Protection<'a>>,
    },
    Eof {
        session: u64,
        direction: &'a str,
        bytes: u64,
    },
    Closed {
        session: u64,
        bytes_in: u64,
        bytes_out: u64,
        secs: f64,
        reason: &'a str,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<&'a str>,
        reason: &'a str,
    },
    Stats(Fields<'a>),
    #[serde(rename = "stats")]
    Piped(PassageFields),
    #[serde(rename = "stats")]
    Datagrams(Box<Datagrams>),
    Loss(Box<Account<'a>>),
}

/// What protects a connection, within its object; what the peer has shown is missing where it has shown nothing.
#[derive(Serialize)]
struct Protection<'a> {
    version: &'a str,
    cipher: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    alpn: Option<&'a str>,
    resumed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<&'a str>,
}

impl<'a> Protection<'a> {
    fn of(secured: &'a Option<Box<Secured>>) -> Option<Self> {
        let secured = secured.as_deref()?;
        let shown = secured.certificate.as_ref();
        Some(Protection {
            version: &secured.version,
            cipher: &secured.cipher,
            alpn: secured.alpn.as_deref(),
            resumed: secured.resumed,
            subject: shown.map(|shown| shown.subject.as_str()),
            issuer: shown.map(|shown| shown.issuer.as_str()),
            names: shown.map(|shown| shown.names.as_slice()),
            not_before: shown.map(|shown| shown.not_before.as_str()),
            not_after: shown.map(|shown| shown.not_after.as_str()),
            pin: shown.map(|shown| shown.pin.as_str()),
        })
    }
}

/// The `stats` object where datagrams are moved.
#[derive(Serialize)]
struct Datagrams {
    bytes_in: u64,
    bytes_out: u64,
    secs: f64,
    bytes_per_sec: u64,
    datagrams_in: u64,
    datagrams_out: u64,
    dropped_by_kernel: u64,
    refused: u64,
    beyond_limits: u64,
    unread: u64,
    truncated: u64,
    #[serde(skip_serializing_if = "is_zero")]
    beyond_rate: u64,
    unsent: u64,
}

/// The `loss` object; without `secs` it is about everything up to the end, without `peer` about all senders.
#[derive(Serialize)]
struct Account<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secs: Option<f64>,
    sent: u64,
    received: u64,
    bytes: u64,
    lost: u64,
    dropped_here: u64,
    reordered: u64,
    duplicated: u64,
    late: u64,
    restarts: u64,
    jitter_ms: f64,
    dropped_unseen: u64,
}

impl Datagrams {
    fn of(traffic: &Traffic, elapsed: Duration) -> Self {
        Datagrams {
            bytes_in: traffic.bytes_in,
            bytes_out: traffic.bytes_out,
            secs: json_secs(elapsed),
            bytes_per_sec: per_second(traffic.bytes_in.saturating_add(traffic.bytes_out), elapsed),
            datagrams_in: traffic.received,
            datagrams_out: traffic.sent,
            dropped_by_kernel: traffic.dropped,
            refused: traffic.refused,
            beyond_limits: traffic.beyond,
            unread: traffic.unread,
            truncated: traffic.truncated,
            beyond_rate: traffic.limited,
            unsent: traffic.unsent,
        }
    }
}

impl<'a> Account<'a> {
    fn of(peer: Option<&'a str>, interval: Option<Duration>, loss: &LossReport) -> Self {
        Account {
            peer,
            secs: interval.map(json_secs),
            sent: loss.sent,
            received: loss.received,
            bytes: loss.bytes,
            lost: loss.lost,
            dropped_here: loss.dropped_here,
            reordered: loss.reordered,
            duplicated: loss.duplicated,
            late: loss.late,
            restarts: loss.restarts,
            jitter_ms: loss.jitter.as_micros() as f64 / 1000.0,
            dropped_unseen: loss.dropped_unseen,
        }
    }
}

impl<'a> Body<'a> {
    /// `None` for what is not told to scripts in this form.
    fn of(event: &'a Event) -> Option<Self> {
        Some(match event {
            Event::Listening { protocol, address } => Body::Listening { protocol, address },
            Event::Accepted { session, protocol, peer, local, secured } => {
                Body::Accepted { session: *session, protocol, peer, local, tls: Protection::of(secured) }
            }
            Event::Connected { session, protocol, peer, local, secured } => {
                Body::Connected { session: *session, protocol, peer, local, tls: Protection::of(secured) }
            }
            Event::Eof { session, direction, bytes } => Body::Eof { session: *session, direction, bytes: *bytes },
            Event::Closed { session, bytes_in, bytes_out, elapsed, reason } => Body::Closed {
                session: *session,
                bytes_in: *bytes_in,
                bytes_out: *bytes_out,
                secs: json_secs(*elapsed),
                reason,
            },
            Event::Refused { peer, reason } => Body::Error { session: None, peer: Some(peer), reason },
            Event::Error { session, reason } => Body::Error { session: *session, peer: None, reason },
            Event::Datagrams { traffic, elapsed } => Body::Datagrams(Box::new(Datagrams::of(traffic, *elapsed))),
            Event::Loss { peer, interval, loss } => Body::Loss(Box::new(Account::of(peer.as_deref(), *interval, loss))),
            Event::Stats { .. } | Event::Piped { .. } | Event::Note { .. } => return None,
        })
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn encode(body: &Body<'_>, time: SystemTime, dropped: u64) -> Vec<u8> {
    let time = humantime::format_rfc3339_millis(time).to_string();
    let object = Object { v: 1, time, body, dropped };
    let mut line = Vec::new();
    let written = object.serialize(&mut serde_json::Serializer::with_formatter(&mut line, Ascii));
    // strings and numbers into memory: nothing that could fail, and half an object must not be written
    if written.is_err() {
        line.clear();
    }
    line.push(b'\n');
    line
}

/// Compact JSON in which every character outside printable ASCII is escaped.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        for c in fragment.chars() {
            if matches!(c, ' '..='~') {
                out.write_all(&[c as u8])?;
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Recorder, WAIT};
    use super::*;
    use serde_json::{Value, json};
    use std::io::{BufRead, BufReader};

    fn told(events: &[Event]) -> Vec<String> {
        let seen = Recorder::default();
        let writer = EventWriter::new(Outlet::new(seen.clone()));
        for event in events {
            writer.observe(event);
        }
        assert_eq!(writer.finish(WAIT).lines, 0);
        seen.writes()
    }

    /// The object without its time, after a check of the time's shape.
    fn parsed(line: &str) -> Value {
        let mut object: Value = serde_json::from_str(line).unwrap();
        let time = object.as_object_mut().unwrap().remove("time").unwrap();
        let time = time.as_str().unwrap();
        assert!(time.len() == "2026-01-01T00:00:00.000Z".len() && time.ends_with('Z'), "{time}");
        humantime::parse_rfc3339(time).unwrap();
        object
    }

    #[test]
    fn every_event_is_one_object_with_its_documented_fields() {
        let (peer, local) = ("127.0.0.1:9".to_string(), "127.0.0.1:4".to_string());
        let elapsed = Duration::from_micros(1_500_900);
        let lines = told(&[
            Event::Listening { protocol: "tcp", address: "*:40123".into() },
            Event::Accepted { session: 1, protocol: "tcp", peer: peer.clone(), local: local.clone(), secured: None },
            Event::Connected { session: 2, protocol: "unix", peer, local, secured: None },
            Event::Eof { session: 1, direction: "in", bytes: 5 },
            Event::Closed { session: 1, bytes_in: 5, bytes_out: 6, elapsed, reason: "clean".into() },
            Event::Error { session: None, reason: "no".into() },
            Event::Error { session: Some(3), reason: "no".into() },
            Event::Stats { bytes_in: 5, bytes_out: 7, elapsed: Duration::from_secs(2) },
            Event::Datagrams {
                traffic: Traffic { received: 2, bytes_in: 5, sent: 1, bytes_out: 7, dropped: 3, ..Traffic::default() },
                elapsed: Duration::from_secs(2),
            },
            Event::Loss {
                peer: Some("127.0.0.1:9".into()),
                interval: None,
                loss: LossReport {
                    sent: 3,
                    received: 2,
                    lost: 1,
                    dropped_unseen: 4,
                    jitter: Duration::from_micros(12),
                    ..LossReport::default()
                },
            },
            Event::Note { verbosity: 1, text: "for people".into() },
        ]);
        let objects: Vec<Value> = lines.iter().map(|line| parsed(line)).collect();
        assert_eq!(
            Value::from(objects),
            json!([
                {"v": 1, "event": "listening", "protocol": "tcp", "address": "*:40123"},
                {"v": 1, "event": "accepted", "session": 1, "protocol": "tcp", "peer": "127.0.0.1:9",
                    "local": "127.0.0.1:4"},
                {"v": 1, "event": "connected", "session": 2, "protocol": "unix", "peer": "127.0.0.1:9",
                    "local": "127.0.0.1:4"},
                {"v": 1, "event": "eof", "session": 1, "direction": "in", "bytes": 5},
                {"v": 1, "event": "closed", "session": 1, "bytes_in": 5, "bytes_out": 6, "secs": 1.5,
                    "reason": "clean"},
                {"v": 1, "event": "error", "reason": "no"},
                {"v": 1, "event": "error", "session": 3, "reason": "no"},
                {"v": 1, "event": "stats", "bytes_in": 5, "bytes_out": 7, "secs": 2.0, "bytes_per_sec": 6},
                {"v": 1, "event": "stats", "bytes_in": 5, "bytes_out": 7, "secs": 2.0, "bytes_per_sec": 6,
                    "datagrams_in": 2, "datagrams_out": 1, "dropped_by_kernel": 3, "refused": 0, "beyond_limits": 0,
                    "unread": 0, "truncated": 0, "unsent": 0},
                {"v": 1, "event": "loss", "peer": "127.0.0.1:9", "sent": 3, "received": 2, "bytes": 0, "lost": 1,
                    "dropped_here": 0, "dropped_unseen": 4, "reordered": 0, "duplicated": 0, "late": 0, "restarts": 0,
                    "jitter_ms": 0.012},
            ])
        );
        assert!(lines.iter().all(|line| line.ends_with("}\n") && line.starts_with("{\"v\":1,\"time\":\"")));
    }

    #[test]
    fn strings_from_outside_arrive_unchanged_and_never_reach_a_terminal_raw() {
        let address = "/run/\u{1b}]0;x\u{7}\u{9b}\u{202e}\n\"\\\u{7f}\u{1f980}é".to_string();
        let lines = told(&[Event::Listening { protocol: "unix", address: address.clone() }]);
        assert!(lines[0].trim_end().bytes().all(|byte| matches!(byte, b' '..=b'~')), "{:?}", lines[0]);
        assert_eq!(parsed(&lines[0])["address"], address);
    }

    #[test]
    fn a_reader_that_is_too_slow_loses_whole_lines_and_is_told_how_many() {
        let (reader, sink) = io::pipe().unwrap();
        let writer = EventWriter::new(Outlet::new(sink));
        let event = Event::Error { session: None, reason: "x".repeat(900) };
        for _ in 0..1000 {
            writer.observe(&event);
        }
        let reader = std::thread::spawn(move || BufReader::new(reader).lines().map(Result::unwrap).collect::<Vec<_>>());
        let loss = writer.finish(WAIT);
        assert!(loss.lines > 0);
        drop(writer);
        let lines = reader.join().unwrap();
        assert_eq!(lines.len() as u64 - 1 + loss.lines, 1000);
        let objects: Vec<Value> = lines.iter().map(|line| parsed(line)).collect();
        let told: u64 = objects.iter().filter_map(|object| object.get("dropped")?.as_u64()).sum();
        assert_eq!(told, loss.lines);
        assert!(objects[0].get("dropped").is_none());
    }
}
