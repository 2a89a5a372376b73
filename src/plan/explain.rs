//! What `--explain` prints: a plan for a person, one decision a line, and only what matters for this one.

use std::fmt;
use std::time::Duration;

use super::address::{Address, Kind};
use super::{AfterPeerEof, Connect, DEFAULT_LINGER, EventSink, Flow, Listen, Plan, Progress, Report, Transfer};
use crate::escape::Escaped;
use crate::units::{Size, Span};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Plan::Listen(plan) => listen(plan, f),
            Plan::Connect(plan) => connect(plan, f),
            Plan::Check(plan) => report(&plan.report, f),
        }
    }
}

fn listen(plan: &Listen, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let at = &plan.at;
    match plan.at.kind {
        Kind::Fifo(_) => writeln!(f, "read from {at}")?,
        Kind::Fd { .. } => writeln!(f, "accept one connection from the listening socket {at}")?,
        _ => writeln!(f, "listen on {at} and accept one connection")?,
    }
    limit(f, "give up when nobody has connected for", plan.accept_timeout, 3)?;
    if let Some(fd) = plan.announce.ready_fd {
        writeln!(f, "once listening, write the address to descriptor {fd}")?;
    }
    if let Some(path) = &plan.announce.port_file {
        let what = if matches!(plan.at.kind, Kind::Unix(..) | Kind::Path(_)) { "path" } else { "port" };
        writeln!(f, "once listening, write the {what} to {}", Escaped(path.as_os_str().as_encoded_bytes()))?;
    }
    transfer(&plan.transfer, is_local(&plan.at), f)?;
    report(&plan.report, f)
}

fn connect(plan: &Connect, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let to = &plan.to;
    match (&plan.to.kind, plan.transfer.flow) {
        (Kind::File(_) | Kind::Fifo(_), Flow::ReceiveOnly) => writeln!(f, "read from {to}")?,
        (Kind::File(_) | Kind::Fifo(_), _) => writeln!(f, "write to {to}")?,
        _ => writeln!(f, "connect to {to}")?,
    }
    limit(f, "give up when that has taken", plan.connect_timeout, 3)?;
    transfer(&plan.transfer, is_local(&plan.to), f)?;
    report(&plan.report, f)
}

fn is_local(address: &Address) -> bool {
    matches!(address.kind, Kind::File(_) | Kind::Fifo(_))
}

/// `local` is a file or FIFO: it has no sending side to end and acknowledges nothing.
fn transfer(plan: &Transfer, local: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let sends = plan.stdin && plan.flow != Flow::ReceiveOnly;
    match plan.flow {
        _ if local && sends => writeln!(f, "send standard input")?,
        _ if local => {}
        Flow::ReceiveOnly => writeln!(f, "send nothing, and tell the peer so at once")?,
        _ if !plan.stdin => writeln!(f, "send nothing, and leave the sending side open")?,
        _ if plan.shutdown => writeln!(f, "send standard input, then tell the peer that it has ended")?,
        _ => writeln!(f, "send standard input, and do not tell the peer when it has ended")?,
    }
    match plan.flow {
        Flow::SendOnly if local => {}
        Flow::SendOnly => writeln!(f, "discard what is received; end when everything sent is acknowledged")?,
        Flow::Both | Flow::ReceiveOnly => writeln!(f, "write what is received to standard output")?,
    }
    match plan.after_peer_eof {
        _ if local => {}
        _ if !sends => writeln!(f, "end when the peer ends")?,
        AfterPeerEof::Auto => {
            writeln!(f, "when the peer ends, go on sending, but stop if standard input is a terminal")?;
        }
        AfterPeerEof::Exit => writeln!(f, "when the peer ends, stop")?,
        AfterPeerEof::Send => writeln!(f, "when the peer ends, go on sending")?,
    }
    limit(f, "stop after standard input has ended and", plan.quit_after, 0)?;
    limit(f, "stop when no byte has moved for", plan.idle, 3)?;
    limit(f, "stop when the transfer has taken", plan.max_time, 3)?;
    if let Some(bytes) = plan.max_bytes {
        writeln!(f, "stop when {} bytes have been received, with status 0", Size(bytes))?;
    }
    if plan.linger != DEFAULT_LINGER {
        writeln!(f, "at the end, wait {} without progress for acknowledgement", Span(plan.linger))?;
    }
    if let Some(rate) = plan.rate {
        writeln!(f, "move at most {rate} a second in each direction")?;
    }
    if let Some(block) = plan.block {
        writeln!(f, "move at most {block} bytes in one system call")?;
    }
    if let Some(buffer) = plan.buffer {
        writeln!(f, "hold at most {buffer} bytes in transit in each direction")?;
    }
    if !plan.splice {
        writeln!(f, "pass every byte through a buffer (no splice)")?;
    }
    Ok(())
}

fn limit(f: &mut fmt::Formatter<'_>, what: &str, time: Option<Duration>, status: u8) -> fmt::Result {
    match time {
        Some(time) => writeln!(f, "{what} {}, with status {status}", Span(time)),
        None => Ok(()),
    }
}

fn report(plan: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if plan.quiet {
        writeln!(f, "say nothing but failures")?;
    }
    if plan.verbosity > 0 {
        writeln!(f, "say more, level {}", plan.verbosity)?;
    }
    match plan.progress {
        Progress::Off => {}
        Progress::Auto => writeln!(f, "show progress as a bar, if standard error is a terminal")?,
        Progress::Bar => writeln!(f, "show progress as a bar")?,
        Progress::Line => writeln!(f, "show progress as a line a second")?,
        Progress::Json => writeln!(f, "show progress as a JSON object a second")?,
    }
    if plan.stats {
        writeln!(f, "print totals at the end")?;
    }
    match &plan.events {
        Some(EventSink::Fd(fd)) => writeln!(f, "write events to descriptor {fd}")?,
        Some(EventSink::File(path)) => {
            writeln!(f, "write events to {}", Escaped(path.as_os_str().as_encoded_bytes()))?;
        }
        None => {}
    }
    for advice in &plan.advice {
        writeln!(f, "note: {advice}")?;
    }
    Ok(())
}
