//! What a person sees on standard error: one sentence an event, each line whole, everything from outside escaped.
//!
//! A console shares its [`Outlet`] with the progress bar, which keeps line and bar apart. Errors of standard error
//! are nobody's business: there is no place left to tell them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::amount::Amount;
use super::outlet::{Loss, Outlet};
use super::summary::{Passage, Summary};
use crate::error::Cause;
use crate::escape::Escaped;
use crate::event::{Event, LossReport, Observer, Traffic};

/// Which events are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// `--quiet`: errors alone.
    pub quiet: bool,
    /// How often `-v` was given.
    pub verbosity: u8,
    /// The user cannot know the address of the listener (port 0): told without `-v` too.
    pub announce: bool,
    /// `--stats`: [`Event::Stats`] is shown.
    pub stats: bool,
    /// `--progress=line`: what was lost in each interval is shown without `-v` too.
    pub intervals: bool,
}

/// Tells events to a person. Clones share the outlet.
#[derive(Clone, Debug)]
pub struct Console {
    out: Outlet,
    show: Show,
    /// There is a result to tell, and there was no room for all of it.
    results: Arc<[AtomicBool; 2]>,
}

impl Console {
    /// Lines go to `out`, as `show` has it.
    pub fn new(out: Outlet, show: Show) -> Self {
        Console { out, show, results: Arc::default() }
    }

    /// Totals that were asked for (SIGUSR1), whether or not `--stats` was given: a [`Summary`], a [`Passage`].
    pub fn summary(&self, summary: &impl std::fmt::Display) {
        if !self.show.quiet {
            self.say(&summary.to_string());
        }
    }

    /// A line that was asked for as the result of the run: as it is, with `--quiet` too. It carries its own newline.
    pub fn result(&self, line: &[u8]) {
        let [is_told, is_lost] = &*self.results;
        let mut is_queued = false;
        self.out.line(|dropped| {
            is_queued = true;
            [gap(dropped), line.to_vec()].concat()
        });
        is_told.store(true, Relaxed);
        is_lost.fetch_or(!is_queued, Relaxed);
    }

    /// Tells an event that was asked for, whatever is shown otherwise.
    pub fn tell(&self, event: &Event) {
        if !self.show.quiet {
            self.say(&sentence(event));
        }
    }

    /// True if there was a result to tell.
    pub fn has_result(&self) -> bool {
        self.results[0].load(Relaxed)
    }

    /// Writes what is queued, at most for `wait`, and takes no more; afterwards standard error may be written to
    /// directly. A result that did not get through is the error of it.
    pub fn finish(&self, wait: Duration) -> Result<Loss, Cause> {
        let [is_told, is_lost] = &*self.results;
        let is_told = is_told.load(Relaxed);
        let is_slow = is_told && (!self.out.flush(wait) || is_lost.load(Relaxed));
        let loss = self.out.finish(wait, gap);
        match loss.failure {
            Some(error) if is_told => Err(error.into()),
            _ if is_slow => Err(Cause::Said("it is not read".into())),
            failure => Ok(Loss { failure, ..loss }),
        }
    }

    fn say(&self, sentence: &str) {
        self.out.line(|dropped| {
            let mut lines = gap(dropped);
            lines.extend_from_slice(format!("haul: {}\n", Escaped(sentence.as_bytes())).as_bytes());
            lines
        });
    }

    fn shows(&self, event: &Event) -> bool {
        let Show { quiet, verbosity, announce, stats, intervals } = self.show;
        match event {
            Event::Error { .. } => true,
            _ if quiet => false,
            Event::Listening { .. } => announce || verbosity >= 1,
            Event::Accepted { .. } | Event::Refused { .. } | Event::Connected { .. } | Event::Closed { .. } => {
                verbosity >= 1
            }
            Event::Eof { .. } => verbosity >= 2,
            Event::Stats { .. } | Event::Piped { .. } => stats,
            Event::Datagrams { traffic, .. } => stats || verbosity >= 1 && !traffic.losses().is_empty(),
            Event::Loss { interval, .. } => interval.is_none() || stats || intervals || verbosity >= 1,
            Event::Note { verbosity: least, .. } => verbosity >= *least,
        }
    }
}

impl Observer for Console {
    fn observe(&self, event: &Event) {
        if self.shows(event) {
            self.say(&sentence(event));
            details(event).iter().for_each(|line| self.say(line));
        }
    }

    fn wants_details(&self) -> bool {
        self.show.verbosity > 0 && !self.show.quiet
    }
}

/// Lines of their own below an event.
fn details(event: &Event) -> &[String] {
    match event {
        Event::Accepted { secured: Some(secured), .. } | Event::Connected { secured: Some(secured), .. } => {
            &secured.lines
        }
        _ => &[],
    }
}

fn sentence(event: &Event) -> String {
    match event {
        Event::Listening { protocol, address } => format!("listening on {protocol} {address}"),
        Event::Accepted { protocol, peer, .. } => format!("accepted {protocol} {peer}"),
        Event::Refused { peer, reason } => format!("refused {peer}: {reason}"),
        Event::Connected { protocol, peer, .. } => format!("connected to {protocol} {peer}"),
        Event::Eof { session, direction, bytes } => {
            let done = if *direction == "in" { "received" } else { "sent" };
            format!("session {session}: {done} everything, {}", Amount(*bytes))
        }
        Event::Closed { session, bytes_in, bytes_out, elapsed, reason } => {
            let (received, sent, secs) = (Amount(*bytes_in), Amount(*bytes_out), elapsed.as_secs_f64());
            format!("session {session}: closed after {secs:.2} s, received {received}, sent {sent}: {reason}")
        }
        Event::Error { session: Some(session), reason } => format!("session {session}: {reason}"),
        Event::Error { session: None, reason } => reason.clone(),
        Event::Stats { bytes_in, bytes_out, elapsed } => {
            Summary { bytes_in: *bytes_in, bytes_out: *bytes_out, elapsed: *elapsed, reason: None }.to_string()
        }
        Event::Piped { bytes, records, elapsed } => {
            Passage { bytes: *bytes, records: *records, elapsed: *elapsed }.to_string()
        }
        Event::Datagrams { traffic, elapsed } => datagrams(traffic, *elapsed),
        Event::Loss { peer, interval, loss } => {
            let who = peer.as_deref().unwrap_or("all senders");
            let when = interval.map_or_else(String::new, |span| format!(" in {:.2} s", span.as_secs_f64()));
            format!("{who}{when}: {}", account(loss))
        }
        Event::Note { text, .. } => text.clone(),
    }
}

/// `received 2 datagrams, 10 B, sent 1 datagram, 5 B in 0.52 s`, and what was lost, if anything was.
fn datagrams(traffic: &Traffic, elapsed: Duration) -> String {
    let counted = |count: u64| format!("{count} datagram{}", if count == 1 { "" } else { "s" });
    let mut line = format!(
        "received {}, {}, sent {}, {} in {:.2} s",
        counted(traffic.received),
        Amount(traffic.bytes_in),
        counted(traffic.sent),
        Amount(traffic.bytes_out),
        elapsed.as_secs_f64()
    );
    let losses = traffic.losses();
    if !losses.is_empty() {
        line.push_str("; ");
        line.push_str(&losses.join(", "));
    }
    line
}

/// `sent 100, received 98, lost 2 (2.00 %, 1 of them dropped here), reordered 1, duplicated 0, jitter 0.012 ms`.
fn account(loss: &LossReport) -> String {
    let percent = if loss.sent == 0 { 0.0 } else { loss.lost as f64 * 100.0 / loss.sent as f64 };
    let here = match loss.dropped_here {
        0 => String::new(),
        count => format!(", {count} of them dropped here"),
    };
    let mut line = format!(
        "sent {}, received {}, lost {} ({percent:.2} %{here}), reordered {}, duplicated {}",
        loss.sent, loss.received, loss.lost, loss.reordered, loss.duplicated
    );
    if loss.dropped_unseen > 0 {
        line.push_str(&format!(", {} dropped here that no stamp tells of", loss.dropped_unseen));
    }
    if loss.late > 0 {
        line.push_str(&format!(", too late {}", loss.late));
    }
    if loss.restarts > 0 {
        line.push_str(&format!(", started anew {}", loss.restarts));
    }
    line.push_str(&format!(", jitter {:.3} ms", loss.jitter.as_secs_f64() * 1000.0));
    line
}

/// A line that tells of those which standard error was too slow for; empty if there are none.
pub(super) fn gap(dropped: u64) -> Vec<u8> {
    if dropped == 0 {
        return Vec::new();
    }
    let lines = if dropped == 1 { "line was" } else { "lines were" };
    format!("haul: {dropped} {lines} dropped here because standard error was not read\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::progress::{ProgressView, Style};
    use super::super::testing::{Recorder, WAIT};
    use super::*;
    use crate::event::Secured;
    use std::io;
    use std::time::Instant;

    fn everything() -> Vec<Event> {
        let (peer, local) = ("192.0.2.1:9".to_string(), "127.0.0.1:4".to_string());
        let elapsed = Duration::from_millis(520);
        let secured = Secured {
            version: "TLS 1.3".into(),
            cipher: "C".into(),
            alpn: None,
            resumed: false,
            certificate: None,
            lines: vec!["TLS 1.3, C".into()],
        };
        vec![
            Event::Listening { protocol: "tcp", address: "127.0.0.1:40123".into() },
            Event::Accepted { session: 1, protocol: "tcp", peer: peer.clone(), local: local.clone(), secured: None },
            Event::Refused { peer: peer.clone(), reason: "nonsense".into() },
            Event::Connected { session: 2, protocol: "tls", peer, local, secured: Some(Box::new(secured)) },
            Event::Eof { session: 1, direction: "in", bytes: 2048 },
            Event::Closed { session: 1, bytes_in: 2048, bytes_out: 1, elapsed, reason: "clean".into() },
            Event::Error { session: None, reason: "cannot accept on *:1: too many open files".into() },
            Event::Stats { bytes_in: 1 << 30, bytes_out: 0, elapsed },
            Event::Piped { bytes: 2048, records: Some(52), elapsed },
            Event::Datagrams {
                traffic: Traffic { received: 1, bytes_in: 2048, dropped: 3, unread: 4, ..Traffic::default() },
                elapsed,
            },
            Event::Loss {
                peer: None,
                interval: Some(elapsed),
                loss: LossReport { sent: 2, received: 2, ..LossReport::default() },
            },
            Event::Loss {
                peer: Some("192.0.2.1:9".into()),
                interval: None,
                loss: LossReport {
                    sent: 1000,
                    received: 990,
                    lost: 10,
                    dropped_here: 4,
                    reordered: 2,
                    duplicated: 1,
                    late: 1,
                    restarts: 1,
                    jitter: Duration::from_micros(12),
                    ..LossReport::default()
                },
            },
            Event::Note { verbosity: 0, text: "a hint".into() },
            Event::Note { verbosity: 2, text: "moving bytes by splice".into() },
        ]
    }

    fn shown(show: Show) -> String {
        let seen = Recorder::default();
        let console = Console::new(Outlet::new(seen.clone()), show);
        for event in everything() {
            console.observe(&event);
        }
        console.finish(WAIT).unwrap();
        assert!(seen.writes().iter().all(|write| write.ends_with('\n')), "one write a line");
        seen.text()
    }

    #[test]
    fn every_event_has_its_sentence() {
        assert_eq!(
            shown(Show { verbosity: 2, stats: true, ..Show::default() }),
            "haul: listening on tcp 127.0.0.1:40123\n\
             haul: accepted tcp 192.0.2.1:9\n\
             haul: refused 192.0.2.1:9: nonsense\n\
             haul: connected to tls 192.0.2.1:9\n\
             haul: TLS 1.3, C\n\
             haul: session 1: received everything, 2.00 KiB\n\
             haul: session 1: closed after 0.52 s, received 2.00 KiB, sent 1 B: clean\n\
             haul: cannot accept on *:1: too many open files\n\
             haul: received 1.00 GiB, sent 0 B in 0.52 s (1.92 GiB/s)\n\
             haul: 2.00 KiB in 0.52 s (3.85 KiB/s), 52 records (100 records/s)\n\
             haul: received 1 datagram, 2.00 KiB, sent 0 datagrams, 0 B in 0.52 s; 3 packets dropped because they were not read fast enough, 4 not taken by a program\n\
             haul: all senders in 0.52 s: sent 2, received 2, lost 0 (0.00 %), reordered 0, duplicated 0, jitter 0.000 ms\n\
             haul: 192.0.2.1:9: sent 1000, received 990, lost 10 (1.00 %, 4 of them dropped here), reordered 2, duplicated 1, too late 1, started anew 1, jitter 0.012 ms\n\
             haul: a hint\n\
             haul: moving bytes by splice\n"
        );
    }

    #[test]
    fn without_flags_only_errors_and_hints_are_shown() {
        let plain = shown(Show::default());
        assert!(plain.starts_with("haul: cannot accept on *:1: too many open files\nhaul: 192.0.2.1:9: sent 1000"));
        assert!(plain.ends_with(" ms\nhaul: a hint\n") && plain.lines().count() == 3, "{plain}");
        let chosen = shown(Show { announce: true, stats: true, ..Show::default() });
        assert!(chosen.starts_with("haul: listening on tcp 127.0.0.1:40123\nhaul: cannot accept"));
        assert!(chosen.contains("haul: received 1.00 GiB"));
    }

    #[test]
    fn quiet_leaves_errors_alone() {
        let all = Show { quiet: true, verbosity: 3, announce: true, stats: true, intervals: true };
        assert_eq!(shown(all), "haul: cannot accept on *:1: too many open files\n");
    }

    #[test]
    fn a_peer_cannot_send_control_characters_to_the_terminal() {
        let seen = Recorder::default();
        let console = Console::new(Outlet::new(seen.clone()), Show::default());
        console
            .observe(&Event::Error { session: Some(7), reason: "bad name \u{1b}[2J\nhaul: all is well\u{9b}".into() });
        console.finish(WAIT).unwrap();
        assert_eq!(seen.text(), "haul: session 7: bad name \\x1b[2J\\nhaul: all is well\\u{9b}\n");
    }

    #[test]
    fn a_line_and_the_bar_never_share_a_line_of_the_screen() {
        let seen = Recorder::default();
        let out = Outlet::new(seen.clone());
        let console = Console::new(out.clone(), Show::default());
        let start = Instant::now();
        let mut view = ProgressView::new(Style::Bar(|| Some(30)), None, start, out.clone());
        view.tick(start + Duration::from_millis(100), 1);
        assert!(out.flush(WAIT));
        console.observe(&Event::Error { session: None, reason: "oh".into() });
        view.finish(start + Duration::from_millis(150), 1);
        console.finish(WAIT).unwrap();
        let writes = seen.writes();
        let frame = &writes[0];
        assert_eq!(writes[1], format!("\r\x1b[Khaul: oh\n{frame}"));
        assert_eq!(writes[2], "\r\x1b[K");
    }

    #[test]
    fn a_closed_standard_error_is_ignored_and_a_slow_one_is_told_what_it_missed() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let console = Console::new(Outlet::new(writer), Show::default());
        for event in everything() {
            console.observe(&event);
        }
        console.finish(WAIT).unwrap();
        assert_eq!(gap(0), b"");
        assert_eq!(gap(1), b"haul: 1 line was dropped here because standard error was not read\n");
    }
}
