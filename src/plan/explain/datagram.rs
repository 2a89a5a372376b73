//! `--explain` where messages are moved instead of bytes.

use std::fmt;
use std::time::Duration;

use super::super::address::{Address, Host, Kind};
use super::super::datagram::{
    ConnectUdp, DEFAULT_FLOW_IDLE, Framing, ListenUdp, Pacing, Payload, SendUdp, Split, is_group,
};
use super::super::{DEFAULT_GRACE, Local};
use super::{announce, limit, report, serving, shown};
use crate::escape::Escaped;
use crate::units::Span;

pub(super) fn send(plan: &SendUdp, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let to = &plan.to;
    match (&plan.payload, plan.pacing.count) {
        (Payload::Bytes(bytes), None | Some(1)) => {
            writeln!(f, "send one datagram of {} to {to}", counted(bytes.len()))?;
        }
        (Payload::Bytes(bytes), Some(count)) => {
            writeln!(f, "send {count} datagrams of {} to {to}", counted(bytes.len()))?;
        }
        (Payload::Stdin, _) => writeln!(f, "send standard input to {to}, {}", pieces(plan.split))?,
        (Payload::File(path), _) => {
            let path = Escaped(path.as_os_str().as_encoded_bytes());
            writeln!(f, "send {path} to {to}, {}", pieces(plan.split.or(Some(Split::Read))))?;
        }
    }
    if let (Payload::Stdin | Payload::File(_), Some(count)) = (&plan.payload, plan.pacing.count) {
        writeln!(f, "stop after {count} datagrams")?;
    }
    if plan.stamped {
        writeln!(f, "begin each datagram with a stamp")?;
    }
    pacing(&plan.pacing, f)?;
    match plan.replies {
        Some(count) => {
            match count {
                1 => writeln!(f, "write the first answer to standard output, then end")?,
                _ => writeln!(f, "write {count} answers to standard output, then end")?,
            }
            limit(f, "give up when everything is sent and no more have come for", Some(plan.wait), 3)?;
        }
        None if plan.wait.is_zero() => writeln!(f, "wait for no answers")?,
        None => {
            writeln!(f, "write answers to standard output")?;
            writeln!(f, "end when everything is sent and no answer has come for {}", Span(plan.wait))?;
        }
    }
    silence(None, plan.max_time, f)?;
    report(&plan.report, f)
}

pub(super) fn connect(plan: &ConnectUdp, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "exchange datagrams with {}", plan.to)?;
    match &plan.local {
        Local::Program(program) => {
            writeln!(f, "run {}: each of its writes is a datagram, and it reads what is received", shown(program))?;
        }
        Local::Stdio if plan.stdin => {
            writeln!(f, "send standard input, {}", pieces(plan.split))?;
            writeln!(f, "write what is received to standard output, {}", frames(plan.framing()))?;
        }
        Local::Stdio => {
            writeln!(f, "send nothing")?;
            writeln!(f, "write what is received to standard output")?;
        }
    }
    pacing(&plan.pacing, f)?;
    let status = if plan.replies.is_some() { ", with status 3" } else { "" };
    if let Some(wait) = plan.wait.map(Span) {
        let ended = match &plan.local {
            Local::Stdio if !plan.stdin => "",
            Local::Stdio => "standard input has ended and ",
            Local::Program(_) => "the program has ended and ",
        };
        writeln!(f, "end when {ended}nothing has come for {wait}{status}")?;
    }
    received(plan.replies, f)?;
    silence(plan.idle, plan.max_time, f)?;
    report(&plan.report, f)
}

pub(super) fn listen(plan: &ListenUdp, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let peers = match plan.serving.count {
        Some(1) => "the first peer".to_string(),
        Some(count) => format!("the first {count} peers"),
        None => "every peer".into(),
    };
    writeln!(f, "receive datagrams at {} from {peers}", plan.at)?;
    group(&plan.at, f)?;
    serving(&plan.serving, "peers", f)?;
    limit(f, "give up when nothing has come for", plan.first_within, 3)?;
    announce(&plan.announce, matches!(plan.at.kind, Kind::Unix(..) | Kind::Path(_)), f)?;
    if let Some(text) = &plan.serving.then {
        let text = super::quoted(text.as_encoded_bytes());
        writeln!(f, "once listening, run sh -c {text}; stop when it ends, with its status")?;
    }
    if plan.serving.grace != DEFAULT_GRACE {
        writeln!(f, "when stopping, give programs {}", Span(plan.serving.grace))?;
    }
    match &plan.local {
        Local::Program(program) => {
            writeln!(f, "run {} for each peer: each of its writes is an answer", shown(program))?;
        }
        Local::Stdio => {
            writeln!(f, "write what is received to standard output, {}", frames(plan.framing))?;
            if plan.stdin {
                let how = pieces(plan.framing.map(Framing::split));
                writeln!(f, "send standard input to the peer that was heard last, {how}")?;
            } else {
                writeln!(f, "send nothing")?;
            }
        }
    }
    if plan.flow_idle != DEFAULT_FLOW_IDLE {
        writeln!(f, "forget a peer that has been silent for {}", Span(plan.flow_idle))?;
    }
    if plan.stamped {
        writeln!(f, "read the stamp of each datagram, and report what was lost, reordered and duplicated")?;
    }
    received(plan.datagrams, f)?;
    silence(plan.idle, plan.max_time, f)?;
    report(&plan.report, f)
}

fn counted(bytes: usize) -> String {
    format!("{bytes} byte{}", if bytes == 1 { "" } else { "s" })
}

fn group(at: &Address, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Kind::Udp(place) = &at.kind else { return Ok(()) };
    if is_group(&place.host) != Some(true) {
        return Ok(());
    }
    let iface = match (&at.options.iface, &place.host) {
        (Some(name), _) | (None, Host::V6(_, Some(name))) => format!("the interface {}", Escaped(name.as_bytes())),
        _ => "the interface that the system chooses".into(),
    };
    match &at.options.source {
        Some(source) => writeln!(f, "join the group on {iface}, for what {source} sends"),
        None => writeln!(f, "join the group on {iface}"),
    }
}

fn pacing(plan: &Pacing, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(interval) = plan.interval {
        writeln!(f, "send one every {}", Span(interval))?;
    }
    if let Some(count) = plan.per_second {
        writeln!(f, "send at most {count} a second")?;
    }
    if let Some(rate) = plan.rate {
        writeln!(f, "send at most {rate} bytes a second")?;
    }
    Ok(())
}

fn received(count: Option<u64>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match count {
        Some(1) => writeln!(f, "end when a datagram has been received, with status 0"),
        Some(count) => writeln!(f, "end when {count} datagrams have been received, with status 0"),
        None => Ok(()),
    }
}

fn silence(idle: Option<Duration>, max_time: Option<Duration>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    limit(f, "stop when no datagram has moved for", idle, 3)?;
    limit(f, "stop when it has taken", max_time, 3)
}

fn pieces(split: Option<Split>) -> String {
    match split {
        None => "a datagram a read, or from a terminal a line".into(),
        Some(Split::Read) => "a datagram a read".into(),
        Some(Split::Line) => "a datagram a line, without its newline".into(),
        Some(Split::Nul) => "a datagram for each NUL byte".into(),
        Some(Split::Size(bytes)) => format!("a datagram for each {bytes} bytes"),
        Some(Split::Len16) => "a datagram for each two bytes of length".into(),
        Some(Split::Whole) => "as one datagram".into(),
    }
}

fn frames(framing: Option<Framing>) -> &'static str {
    match framing {
        None => "one after the other",
        Some(Framing::Line) => "each with a newline behind it",
        Some(Framing::Nul) => "each with a NUL byte behind it",
        Some(Framing::Len16) => "each with two bytes of length in front of it",
    }
}
