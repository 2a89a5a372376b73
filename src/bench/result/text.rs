//! A run for people, in the shape of iperf3's lines, so that eyes and scripts that know those find the same columns.
//!
//! What iperf3 does not have stands behind its columns (the round-trip time) or below its table (latency, congestion
//! control, what became of the datagrams). Lines have no trailing blanks, and no newline at the end of a text.

use std::fmt::Write;

use super::figure::{Bitrate, Latency as Late, PerSecond, Percent, Transfer};
use super::{Cpu, Datagrams, Direction, Interval, Kind, Protocol, Results, Setup, Side, Slice, StreamTotal};
use crate::bench::histogram::{Histogram, Quantiles};

/// Said before anything is measured: with whom, over which connections, and the heading of the interval lines.
pub fn opening(setup: &Setup) -> String {
    let mut text = String::new();
    let port = setup.port.map(|port| format!(", port {port}")).unwrap_or_default();
    let verb = if setup.is_server { "Accepted connection from" } else { "Connecting to host" };
    let _ = writeln!(text, "{verb} {}{port}", setup.host);
    if setup.direction == Direction::Reverse && !setup.is_server {
        let _ = writeln!(text, "Reverse mode, remote host {} is sending", setup.host);
    }
    for connection in &setup.connections {
        let end = |host: &str, port: u16| match port {
            0 => host.to_owned(),
            _ => format!("{host} port {port}"),
        };
        let local = end(&connection.local, connection.local_port);
        let remote = end(&connection.remote, connection.remote_port);
        let _ = writeln!(text, "[{:>3}] local {local} connected to {remote}", connection.id);
    }
    text + &heading(setup)
}

/// The heading of the interval lines.
fn heading(setup: &Setup) -> String {
    let role = if setup.direction == Direction::Both { "[Role]" } else { "" };
    let start = format!("[ ID]{role} Interval          ");
    if setup.kind != Kind::Throughput {
        return format!("{start} Requests     Rate          p50       p99       max");
    }
    let start = format!("{start} Transfer     Bitrate");
    match (&setup.protocol, sends(setup)) {
        (over, true) if over.is_over_tcp() => format!("{start}         Retr  Cwnd         RTT"),
        (Protocol::Udp, true) if setup.direction != Direction::Both => format!("{start}         Total Datagrams"),
        (Protocol::Udp, _) => format!("{start}         Jitter    Lost/Total Datagrams"),
        _ => start,
    }
}

/// True if this end sends on some stream.
fn sends(setup: &Setup) -> bool {
    match setup.direction {
        Direction::Forward => !setup.is_server,
        Direction::Reverse => setup.is_server,
        Direction::Both => true,
    }
}

/// The lines of one interval: one a stream, sums where there are several streams of a direction, and then a rule between
/// it and the one before.
pub fn interval(setup: &Setup, interval: &Interval, is_first: bool) -> String {
    let omitted = if interval.is_omitted { "  (omitted)" } else { "" };
    let mut lines = Vec::new();
    if setup.kind != Kind::Throughput {
        lines.extend(requests(setup, interval).map(|line| line + omitted));
        return lines.join("\n");
    }
    for is_sender in [true, false] {
        let slices = interval.slices.iter().filter(|slice| slice.is_sender == is_sender);
        lines.extend(slices.clone().map(|slice| line(setup, slice, false) + omitted));
        if slices.count() > 1 {
            lines.extend(interval.sum(is_sender).map(|sum| line(setup, &sum, true) + omitted));
        }
    }
    if setup.streams > 1 && !is_first {
        lines.insert(0, RULE.into());
    }
    lines.join("\n")
}

/// The brackets of a stream, or of a sum.
fn brackets(setup: &Setup, id: Option<u32>, is_sender: bool) -> String {
    let id = id.map_or_else(|| "SUM".to_owned(), |id| format!("{id:>3}"));
    if setup.direction != Direction::Both {
        return format!("[{id}]");
    }
    let (way, end) = (if is_sender { "TX" } else { "RX" }, if setup.is_server { "S" } else { "C" });
    format!("[{id}][{way}-{end}]")
}

fn line(setup: &Setup, slice: &Slice, is_sum: bool) -> String {
    let brackets = brackets(setup, (!is_sum).then_some(slice.id), slice.is_sender);
    let span = span(slice);
    let (moved, rate) = (Transfer(slice.bytes), Bitrate(slice.bits_per_second()));
    let mut line = format!("{brackets} {span} sec  {moved}  {rate}");
    match (&slice.tcp, &slice.datagrams) {
        (Some(tcp), _) if is_sum => {
            let _ = write!(line, "  {:3}", tcp.retransmits);
        }
        (Some(tcp), _) => {
            let (window, trip) = (Transfer(tcp.congestion_window), Late(tcp.rtt.as_nanos() as f64));
            let _ = write!(line, "  {:3}   {window}  {trip:>8}", tcp.retransmits);
        }
        (None, Some(datagrams)) if slice.is_sender => {
            let _ = write!(line, "  {}", datagrams.sent);
        }
        (None, Some(datagrams)) => line += &lossy(datagrams),
        (None, None) => {}
    }
    line
}

/// `  0.00-1.00  `, with as many decimals as tell the two apart.
fn span(slice: &Slice) -> String {
    let (start, end) = (slice.start.as_secs_f64(), slice.end.as_secs_f64());
    match slice.end.saturating_sub(slice.start).as_micros() {
        20_000.. => format!("{start:6.2}-{end:<6.2}"),
        2_000.. => format!("{start:6.3}-{end:<6.3}"),
        200.. => format!("{start:6.4}-{end:<6.4}"),
        // a line that came late may leave next to nothing to the one after it
        2.. => format!("{start:6.6}-{end:<6.6}"),
        _ => format!("{start:6.9}-{end:<6.9}"),
    }
}

/// `  0.008 ms  0/77 (0%)`.
fn lossy(datagrams: &Datagrams) -> String {
    let jitter = datagrams.jitter.map_or("-".into(), |jitter| format!("{:5.3} ms", jitter.as_secs_f64() * 1e3));
    format!("  {jitter:>8}  {}/{} ({})", datagrams.lost, datagrams.sent, Percent(datagrams.loss_percent()))
}

fn requests(setup: &Setup, interval: &Interval) -> Option<String> {
    let sum = Slice::sum(interval.slices.iter())?;
    let seconds = sum.end.saturating_sub(sum.start);
    let count = interval.latency.map_or(0, |latency| latency.count);
    let rate = PerSecond(super::per_second(count as f64, seconds));
    let id = if interval.slices.len() > 1 { None } else { Some(sum.id) };
    let brackets = brackets(setup, id, true);
    let [p50, p99, max] = match interval.latency {
        Some(Quantiles { p50, p99, max, .. }) => [p50, p99, max].map(|nanos| Late(nanos as f64).to_string()),
        None => [(); 3].map(|()| "-".to_owned()),
    };
    let span = span(&sum);
    Some(format!("{brackets} {span} sec  {count:<11}  {rate:<12}  {p50:<8}  {p99:<8}  {max}"))
}

/// All that is known at the end: the final table, and below it what iperf3 does not have.
pub fn summary(results: &Results) -> String {
    let mut lines = vec![RULE.to_owned()];
    lines.extend(results.error.as_deref().map(early));
    if results.setup.kind == Kind::Throughput {
        lines.extend(table(results));
    }
    lines.extend(exchange(results));
    lines.extend(datagrams(results));
    let latency = [("idle", &results.latency.idle), ("loaded", &results.latency.loaded)];
    for (name, histogram) in latency {
        lines.extend(histogram.as_ref().map(|histogram| format!("Latency {name:<6}  {}", quantiles(histogram))));
    }
    lines.extend(results.corrupt_blocks.map(|count| match count {
        0 => "Payload: as it was sent".to_owned(),
        1 => "Payload: 1 block was not as it was sent".to_owned(),
        _ => format!("Payload: {count} blocks were not as they were sent"),
    }));
    lines.extend(cpu(results));
    lines.extend(congestion(results));
    lines.join("\n")
}

/// The end of a run that has measured nothing, behind its lines; a sentence, escaped.
pub fn stopped(sentence: &str) -> String {
    format!("{RULE}\n{}", early(sentence))
}

fn early(sentence: &str) -> String {
    format!("stopped early: {sentence}")
}

/// The final table: a line for each end's count of each stream, then the sums.
fn table(results: &Results) -> Vec<String> {
    let setup = &results.setup;
    let role = if setup.direction == Direction::Both { "[Role]" } else { "" };
    let last = match &setup.protocol {
        over if over.is_over_tcp() => "         Retr",
        Protocol::Udp => "         Jitter    Lost/Total Datagrams",
        _ => "",
    };
    let mut lines = vec![format!("[ ID]{role} Interval           Transfer     Bitrate{last}")];
    for is_sender in [true, false] {
        let totals: Vec<&StreamTotal> = results.totals_of(is_sender).collect();
        for total in &totals {
            let brackets = brackets(setup, Some(total.id), is_sender);
            lines.extend(ends(setup, &brackets, total.sent.as_ref(), total.received.as_ref()));
        }
        if totals.len() > 1 {
            let brackets = brackets(setup, None, is_sender);
            let (sent, received) = (results.sum_sent(is_sender), results.sum_received(is_sender));
            lines.extend(ends(setup, &brackets, sent.as_ref(), received.as_ref()));
        }
    }
    lines
}

/// The line of the sender and that of the receiver, as far as they are known.
fn ends(setup: &Setup, brackets: &str, sent: Option<&Side>, received: Option<&Side>) -> Vec<String> {
    let line = |side: &Side, end: &str| {
        let (seconds, moved, rate) =
            (side.elapsed.as_secs_f64(), Transfer(side.bytes), Bitrate(side.bits_per_second()));
        let last = match (&setup.protocol, &side.datagrams) {
            (Protocol::Udp, Some(datagrams)) => lossy(datagrams),
            (over, _) if over.is_over_tcp() => match side.tcp {
                Some(tcp) => format!("  {:3}           ", tcp.retransmits),
                None => " ".repeat(16),
            },
            _ => String::new(),
        };
        format!("{brackets}   0.00-{seconds:<6.2} sec  {moved}  {rate}{last}  {end}")
    };
    let sent = sent.map(|side| line(side, "sender"));
    sent.into_iter().chain(received.map(|side| line(side, "receiver"))).collect()
}

/// Of requests: how many, how fast, how late.
fn exchange(results: &Results) -> Vec<String> {
    let Some(exchange) = &results.exchange else { return Vec::new() };
    let (count, seconds) = (exchange.transactions, exchange.elapsed.as_secs_f64());
    let what = if results.setup.kind == Kind::Connections { "Connections" } else { "Requests" };
    let unanswered = match (&results.setup.protocol, exchange.unanswered) {
        (Protocol::Udp, lost) => format!(", lost {lost} ({})", Percent(exchange.lost_percent().unwrap_or(0.0))),
        (_, 0) => String::new(),
        (_, count) => format!(", {count} unanswered"),
    };
    let rate = PerSecond(exchange.rate());
    let mut lines = vec![format!("{what}: {count} answered in {seconds:.2} sec, {rate}{unanswered}")];
    if let Some(connecting) = &exchange.connecting {
        lines.push(format!("Connect         {}", quantiles(connecting)));
    }
    lines.push(format!("Latency         {}", quantiles(&exchange.latency)));
    lines
}

/// What became of datagrams, where more is known than iperf3's columns hold.
fn datagrams(results: &Results) -> Vec<String> {
    if results.exchange.is_some() {
        return Vec::new(); // requests tell what was lost of them
    }
    let told = |is_sender: bool| {
        let received = results.sum_received(is_sender).and_then(|side| side.datagrams)?;
        let sender = results.sum_sent(is_sender).and_then(|side| side.datagrams);
        let came = received.received?;
        let brackets = match results.setup.direction {
            Direction::Both => brackets(&results.setup, None, is_sender) + " ",
            _ => String::new(),
        };
        let offered = sender.and_then(|sender| sender.offered).map(|count| format!("offered {count}, "));
        let sent = sender.map_or(received.sent, |sender| sender.sent);
        let mut line = format!("{brackets}Datagrams: {}sent {sent}, received {came}", offered.unwrap_or_default());
        let lost = Percent(received.loss_percent());
        let _ = write!(line, ", lost {} ({lost}), out of order {}", received.lost, received.out_of_order);
        let _ = write!(line, ", late {}, duplicate {}", received.late, received.duplicated);
        if received.dropped_here > 0 {
            let _ = write!(line, ", of the lost {} for want of receive buffer", received.dropped_here);
        }
        Some(line)
    };
    [true, false].into_iter().filter_map(told).collect()
}

/// `p50 11.9 us, p90 …, max 92.0 us (81234 samples)`.
fn quantiles(histogram: &Histogram) -> String {
    let Quantiles { count, p50, p90, p99, p999, max, .. } = histogram.quantiles();
    let named = [("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p999), ("max", max)];
    let told: Vec<String> = named.iter().map(|(name, nanos)| format!("{name} {}", Late(*nanos as f64))).collect();
    let samples = if count == 1 { "sample" } else { "samples" };
    format!("{} ({count} {samples})", told.join("  "))
}

fn cpu(results: &Results) -> Option<String> {
    let [local, remote] = &results.cpu;
    let (here, there) = match (results.setup.direction, sends(&results.setup)) {
        (Direction::Both, _) => ("", ""),
        _ if results.setup.kind != Kind::Throughput => ("/client", "/server"),
        (_, true) => ("/sender", "/receiver"),
        (_, false) => ("/receiver", "/sender"),
    };
    let told = |name: &str, role: &str, cpu: &Option<Cpu>| {
        let Cpu { total, user, system } = (*cpu)?;
        Some(format!("{name}{role} {total:.1}% ({user:.1}%u/{system:.1}%s)"))
    };
    let both = [told("local", here, local), told("remote", there, remote)];
    let both: Vec<String> = both.into_iter().flatten().collect();
    (!both.is_empty()).then(|| format!("CPU Utilization: {}", both.join(", ")))
}

fn congestion(results: &Results) -> Option<String> {
    let named = results.congestion.iter().zip(["sender", "receiver"]);
    let told: Vec<String> = named.filter_map(|(name, end)| Some(format!("{} ({end})", name.as_ref()?))).collect();
    (!told.is_empty()).then(|| format!("Congestion control: {}", told.join(", ")))
}

/// `--percentiles`: the whole distribution, a line for each half of what is left, down to the last sample.
pub fn percentiles(name: &str, histogram: &Histogram) -> String {
    let count = histogram.count();
    let mut lines = vec![format!("{name}: percentile     latency      samples up to it")];
    let mut percents = vec![0.0, 25.0, 50.0, 75.0, 90.0, 95.0];
    let mut rest = 1.0;
    // a percentile that leaves out less than one sample says nothing new
    while rest / 100.0 * count as f64 >= 1.0 {
        percents.extend([100.0 - rest, 100.0 - rest / 2.0]);
        rest /= 10.0;
    }
    percents.push(100.0);
    let indent = " ".repeat(name.len() + 2);
    for percent in percents {
        let value = histogram.percentile(percent);
        let (percent, latency) = (Exact(percent), Late(value as f64));
        let samples = histogram.count_up_to(value);
        lines.push(format!("{indent}{:<12} {latency:>9}      {samples:>14}", percent.text()));
    }
    let (mean, deviation) = (Late(histogram.mean()), Late(histogram.deviation()));
    lines.push(format!("{indent}mean {mean}, standard deviation {deviation}, {count} samples"));
    lines.join("\n")
}

/// A percentile without noise behind its digits.
struct Exact(f64);

impl Exact {
    fn text(&self) -> String {
        format!("{:.6}", self.0).trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// Between the intervals and the final table, and between intervals of several lines.
pub const RULE: &str = "- - - - - - - - - - - - - - - - - - - - - - - - -";

#[cfg(test)]
mod tests;
