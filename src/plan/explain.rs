//! What `--explain` prints: a plan for a person, one decision a line, and only what matters for this one.

mod datagram;
mod pipe;

use std::fmt;
use std::time::Duration;

use super::address::{Address, Kind, Layer, Program, explain_way};
use super::{
    AccessList, AfterPeerEof, Announce, Check, Connect, DEFAULT_GRACE, DEFAULT_LINGER, EventSink, Flow, Listen, Local,
    Plan, Progress, Report, Serving, Share, Step, Transfer, tls,
};
use crate::error::Op;
use crate::escape::Escaped;
use crate::units::{Size, Span};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Plan::Listen(plan) => listen(plan, f),
            Plan::Connect(plan) => connect(plan, f),
            Plan::Check(plan) => check(plan, f),
            Plan::Pipe(plan) => pipe::pipe(plan, f),
            Plan::SendUdp(plan) => datagram::send(plan, f),
            Plan::ListenUdp(plan) => datagram::listen(plan, f),
            Plan::ConnectUdp(plan) => datagram::connect(plan, f),
            Plan::Relay(plan) => super::relay::explain(plan, f),
            Plan::Bench(plan) => super::bench::explain(plan, f),
        }
    }
}

fn listen(plan: &Listen, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let at = &plan.at;
    let how_many = match plan.serving.count {
        Some(1) => "one connection".to_string(),
        Some(count) => format!("{count} connections"),
        None if plan.serving.keep => "connections until stopped".into(),
        None => "one connection".into(),
    };
    match plan.at.kind {
        Kind::Fifo(_) => writeln!(f, "read from {at}")?,
        Kind::Fd { .. } => writeln!(f, "accept {how_many} from the listening socket {at}")?,
        _ => writeln!(f, "listen on {at} and accept {how_many}")?,
    }
    tls::explain(at, Op::Listen, f)?;
    serving(&plan.serving, "connections", f)?;
    limit(f, "give up when nobody has connected for", plan.accept_timeout, 3)?;
    announce(&plan.announce, matches!(plan.at.kind, Kind::Unix(..) | Kind::Path(_)), f)?;
    if let Some(text) = &plan.serving.then {
        let text = quoted(text.as_encoded_bytes());
        writeln!(f, "once listening, run sh -c {text}; stop when it ends, with its status")?;
    }
    if plan.serving.grace != DEFAULT_GRACE {
        writeln!(f, "when stopping, give open sessions and programs {}", Span(plan.serving.grace))?;
    }
    match plan.serving.share {
        Share::Broker => {
            banner(&plan.transfer, f)?;
            writeln!(f, "send what a client sends to every other client")?;
            remainder(&plan.transfer, f)?;
        }
        share => {
            let input = if share == Share::FanOut { "standard input to every client" } else { "standard input" };
            let many = plan.serving.keep && plan.local == Local::Stdio;
            let output = if many { "standard output, by whole lines" } else { "standard output" };
            if let Local::Program(program) = &plan.local {
                writeln!(f, "run {} for each connection", shown(program))?;
            }
            transfer(&plan.transfer, &Near::of(&plan.local, input, output), is_local(&plan.at), f)?;
        }
    }
    report(&plan.report, f)
}

pub(super) fn announce(plan: &Announce, path: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(fd) = plan.ready_fd {
        writeln!(f, "once listening, write the address to descriptor {fd}")?;
    }
    if let Some(file) = &plan.port_file {
        let what = if path { "path" } else { "port" };
        writeln!(f, "once listening, write the {what} to {}", Escaped(file.as_os_str().as_encoded_bytes()))?;
    }
    Ok(())
}

/// `what` is held: connections, or peers.
pub(super) fn serving(plan: &Serving, what: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(most) = plan.most {
        writeln!(f, "hold at most {most} {what} at once")?;
    }
    if let Some(most) = plan.most_per_ip {
        writeln!(f, "hold at most {most} {what} at once from one address")?;
    }
    let list = |lists: &[AccessList]| lists.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !plan.allow.is_empty() {
        writeln!(f, "allow only {}", list(&plan.allow))?;
    }
    if !plan.deny.is_empty() {
        writeln!(f, "deny {}", list(&plan.deny))?;
    }
    Ok(())
}

fn connect(plan: &Connect, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let to = &plan.to;
    match (&plan.to.kind, plan.transfer.flow) {
        (Kind::File(_) | Kind::Fifo(_), Flow::ReceiveOnly) => writeln!(f, "read from {to}")?,
        (Kind::File(_) | Kind::Fifo(_), _) => writeln!(f, "write to {to}")?,
        (Kind::Exec(_) | Kind::Shell(_), _) => writeln!(f, "run {to}")?,
        _ => writeln!(f, "connect to {to}")?,
    }
    explain_way(to, f)?;
    tls::explain(to, Op::Connect, f)?;
    limit(f, "give up when that has taken", plan.connect_timeout, 3)?;
    limit(f, "try again until that has taken", plan.wait, 3)?;
    if let Some(version) = plan.proxy_send {
        writeln!(f, "begin with a PROXY header {version}, about the connection's own ends")?;
    }
    if let Local::Program(program) = &plan.local {
        writeln!(f, "run {} on the connection", shown(program))?;
    }
    if dialogue(plan, f)? {
        remainder(&plan.transfer, f)?;
    } else {
        transfer(&plan.transfer, &Near::of(&plan.local, "standard input", "standard output"), is_local(&plan.to), f)?;
    }
    report(&plan.report, f)
}

/// True if that is all: what ends with a match has no second part.
fn dialogue(plan: &Connect, f: &mut fmt::Formatter<'_>) -> Result<bool, fmt::Error> {
    for step in &plan.dialogue {
        match (step, plan.expect_timeout) {
            (Step::Send(bytes), _) => writeln!(f, "send \"{}\"", Escaped(bytes))?,
            (Step::Expect(pattern), Some(time)) => {
                let pattern = Escaped(pattern.as_bytes());
                writeln!(f, "wait at most {} for a match of {pattern}, with status 3", Span(time))?;
            }
            (Step::Expect(pattern), None) => writeln!(f, "wait for a match of {}", Escaped(pattern.as_bytes()))?,
        }
    }
    let expects = plan.dialogue.iter().any(|step| matches!(step, Step::Expect(_)));
    if expects {
        let sends = plan.dialogue.iter().any(|step| matches!(step, Step::Send(_)));
        match plan.transfer.flow {
            _ if sends => writeln!(f, "leave standard input alone")?,
            Flow::Both if plan.transfer.stdin => writeln!(f, "send standard input meanwhile")?,
            _ => {}
        }
        writeln!(f, "write what was matched to standard output, each with a newline; end after the last match")?;
        writeln!(f, "end with status 8 when the peer ends before that")?;
    }
    Ok(expects)
}

fn check(plan: &Check, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut rest = plan.targets.as_slice();
    while let Some(first) = rest.first() {
        let mut run = 1;
        while rest.get(run).is_some_and(|next| follows(&rest[run - 1], next)) {
            run += 1;
        }
        match port(&rest[run - 1]) {
            Some(last) if run > 1 => writeln!(f, "test {first}-{last}")?,
            _ => writeln!(f, "test {first}")?,
        }
        explain_way(first, f)?;
        rest = &rest[run..];
    }
    if let Some(encrypted) = plan.targets.iter().find(|target| target.layers.contains(&Layer::Tls)) {
        writeln!(f, "count {} as open only when its handshake has worked", encrypted.protocol())?;
    }
    if plan.any {
        writeln!(f, "succeed when one of them is open")?;
    }
    limit(f, "give up a try when it has taken", plan.timeout, 3)?;
    limit(f, "try again until that has taken", plan.wait, 3)?;
    report(&plan.report, f)
}

/// The same endpoint with the next port, as a range makes them.
fn follows(before: &Address, next: &Address) -> bool {
    let (Some(low), Some(high)) = (port(before), port(next)) else { return false };
    let same_host = match (&before.kind, &next.kind) {
        (Kind::Tcp(a), Kind::Tcp(b)) | (Kind::Udp(a), Kind::Udp(b)) => a.host == b.host,
        _ => false,
    };
    same_host && before.options == next.options && low.checked_add(1) == Some(high)
}

fn port(address: &Address) -> Option<u16> {
    match &address.kind {
        Kind::Tcp(at) | Kind::Udp(at) => Some(at.port),
        _ => None,
    }
}

/// The near side of a connection in words.
struct Near<'a> {
    program: bool,
    input: &'a str,
    output: &'a str,
}

impl<'a> Near<'a> {
    fn of(local: &Local, input: &'a str, output: &'a str) -> Self {
        match local {
            Local::Stdio => Near { program: false, input, output },
            Local::Program(_) => Near { program: true, input: "the program's output", output: "the program" },
        }
    }
}

pub(super) fn shown(program: &Program) -> String {
    match program {
        Program::Words(words) => {
            let words: Vec<_> = words.iter().map(|word| quoted(word.as_encoded_bytes())).collect();
            words.join(" ")
        }
        Program::Shell(text) => format!("sh -c {}", quoted(text.as_encoded_bytes())),
    }
}

/// A word as a shell would need it, with what a terminal would not show escaped.
fn quoted(word: &[u8]) -> String {
    let quoted = shlex::bytes::try_quote(word);
    Escaped(quoted.as_deref().unwrap_or(word)).to_string()
}

fn is_local(address: &Address) -> bool {
    matches!(address.kind, Kind::File(_) | Kind::Fifo(_))
}

/// `local` is a file or FIFO: it has no sending side to end and acknowledges nothing.
fn transfer(plan: &Transfer, near: &Near<'_>, local: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Near { program, input, output } = near;
    let sends = plan.stdin && plan.flow != Flow::ReceiveOnly;
    banner(plan, f)?;
    match plan.flow {
        _ if local && sends => writeln!(f, "send {input}")?,
        _ if local => {}
        Flow::ReceiveOnly => writeln!(f, "send nothing, and tell the peer so at once")?,
        _ if !plan.stdin => writeln!(f, "send nothing, and leave the sending side open")?,
        _ if plan.shutdown => writeln!(f, "send {input}, then tell the peer that it has ended")?,
        _ => writeln!(f, "send {input}, and do not tell the peer when it has ended")?,
    }
    match (plan.flow, &plan.out) {
        (Flow::SendOnly, _) if local => {}
        (Flow::SendOnly, _) => writeln!(f, "discard what is received; end when everything sent is acknowledged")?,
        (Flow::Both | Flow::ReceiveOnly, Some(file)) => {
            let file = Escaped(file.as_os_str().as_encoded_bytes());
            writeln!(f, "write what is received to {file}, whole or not at all")?;
        }
        (Flow::Both | Flow::ReceiveOnly, None) => writeln!(f, "write what is received to {output}")?,
    }
    match plan.after_peer_eof {
        _ if local => {}
        _ if !sends => writeln!(f, "end when the peer ends")?,
        AfterPeerEof::Auto if *program => writeln!(f, "when the peer ends, go on until the program ends")?,
        AfterPeerEof::Auto => {
            writeln!(f, "when the peer ends, go on sending, but stop if standard input is a terminal")?;
        }
        AfterPeerEof::Exit => writeln!(f, "when the peer ends, stop")?,
        AfterPeerEof::Send => writeln!(f, "when the peer ends, go on sending")?,
    }
    let source = if *program { input } else { "standard input" };
    limit(f, &format!("stop after {source} has ended and"), plan.quit_after, 0)?;
    remainder(plan, f)
}

fn banner(plan: &Transfer, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match plan.banner.as_slice() {
        [] => Ok(()),
        text => writeln!(f, "send \"{}\" first", Escaped(text)),
    }
}

/// Limits, copies and buffers, which are the same whatever is joined.
pub(super) fn remainder(plan: &Transfer, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if plan.verify {
        writeln!(f, "verify with the haul at the other end that everything has arrived, with status 4 if not")?;
    }
    if plan.fsync {
        writeln!(f, "have a file on the disk before it counts as written")?;
    }
    if plan.crlf {
        writeln!(f, "send a line feed as a carriage return and a line feed")?;
    }
    if let Some(copy) = &plan.copy {
        let path = Escaped(copy.path.as_os_str().as_encoded_bytes());
        match (copy.hex, copy.timestamps) {
            (false, _) => writeln!(f, "copy what is received to {path}")?,
            (true, false) => writeln!(f, "dump both directions to {path}")?,
            (true, true) => writeln!(f, "dump both directions to {path}, with the time")?,
        }
    }
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

pub(super) fn report(plan: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
