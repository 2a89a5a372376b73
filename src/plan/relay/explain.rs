//! What `--explain` prints of a relay.

use std::fmt;

use super::super::address::explain_way;
use super::super::datagram::is_datagram;
use super::super::explain::{remainder, report, serving};
use super::super::{DEFAULT_GRACE, tls};
use super::{Balance, Copies, KEEPALIVE, LogSink, Pair, Relay, Target, Transfer, USER_TIMEOUT, is_named};
use crate::error::Op;
use crate::escape::Escaped;
use crate::units::Span;

fn explain_target(target: &Target, datagrams: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match target {
        target if datagrams && target.is_program() => {
            writeln!(
                f,
                "run {target} for each client: each datagram is written to it, and each of its writes is an answer"
            )
        }
        target if datagrams => {
            writeln!(f, "pass each client's on to {target} from a socket of its own, and answers back")
        }
        target if target.is_program() => writeln!(f, "run {target} for each of them, and join the two"),
        target if target.is_appended() => writeln!(f, "append what each of them sends to {target}"),
        target if target.is_file() => writeln!(f, "send each of them {target}, and drop what it sends"),
        target => writeln!(f, "connect to {target} for each of them, and join the two"),
    }?;
    target.address().map_or(Ok(()), |address| explain_way(address, f))
}

/// A decision a line.
pub(in crate::plan) fn explain(plan: &Relay, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let how_many = if plan.once { "one connection" } else { "connections until stopped" };
    for pair in &plan.pairs {
        let Pair { at, targets } = pair;
        match (pair.is_datagram(), plan.once) {
            (false, _) => writeln!(f, "listen on {at} and accept {how_many}")?,
            (true, false) => writeln!(f, "receive datagrams at {at} from every client until stopped")?,
            (true, true) => writeln!(f, "receive datagrams at {at} from one client")?,
        }
        tls::explain(at, Op::Listen, f)?;
        if targets.len() > 1 {
            let which = match plan.balance {
                Balance::First => "the first",
                Balance::RoundRobin => "the next in turn",
                Balance::Least => "the one with the fewest sessions",
            };
            writeln!(f, "take {which} of these targets, and go on to another if that cannot be reached")?;
        }
        for target in targets {
            explain_target(target, pair.is_datagram(), f)?;
            target.address().map_or(Ok(()), |to| tls::explain(to, Op::Connect, f))?;
        }
    }
    let named: Vec<_> = plan.pairs.iter().flat_map(|pair| &pair.targets).filter_map(Target::address).collect();
    if named.into_iter().any(is_named) {
        writeln!(f, "look names up again every {}, and after a failure", Span(plan.resolve_every))?;
    }
    match &plan.proxy_accept {
        Some(lists) if lists.is_empty() => writeln!(f, "believe the PROXY header that every client begins with")?,
        Some(lists) => {
            let lists: Vec<_> = lists.iter().map(ToString::to_string).collect();
            writeln!(f, "accept from {} alone, and believe the PROXY header there", lists.join(", "))?;
        }
        None => {}
    }
    let streams = plan.pairs.iter().any(|pair| !pair.is_datagram());
    serving(&plan.serving, if streams { "connections" } else { "clients" }, f)?;
    if let Some(version) = plan.proxy_send {
        writeln!(f, "tell each target its client in a PROXY header {version}")?;
    }
    if plan.threads > 1 {
        writeln!(f, "share the sessions out among {} threads", plan.threads)?;
    }
    if plan.pairs.iter().any(Pair::is_datagram) {
        writeln!(f, "forget a client of datagrams that has been silent for {}", Span(plan.silence()))?;
        rates(plan, f)?;
    }
    if streams {
        explain_streams(plan, f)?;
    }
    if plan.serving.grace != DEFAULT_GRACE {
        writeln!(f, "when stopping, give busy sessions {}", Span(plan.serving.grace))?;
    }
    records(plan, f)?;
    // an end by that limit is told above: it has no status of haul's
    if !plan.faults.is_sound() {
        writeln!(f, "faults: {}", plan.faults)?;
    }
    if streams {
        remainder(&Transfer { idle: None, ..plan.transfer.clone() }, f)?;
    }
    report(&plan.report, f)
}

/// How connections are made, end and are limited.
fn explain_streams(plan: &Relay, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "give up a connect when it has taken {}, and reset the client", Span(plan.connect_timeout))?;
    if plan.addresses().any(|address| address.is_network() && !is_datagram(address)) {
        let (every, limit) = (Span(KEEPALIVE), Span(USER_TIMEOUT));
        writeln!(f, "on TCP, unless said otherwise: no delay, keepalive every {every}, user timeout {limit}")?;
    }
    writeln!(f, "pass an end of file on, and a reset once what came before it is delivered")?;
    writeln!(f, "end a session when one direction has ended and the other was silent for {}", Span(plan.half_close))?;
    if let Some(limit) = plan.transfer.idle {
        writeln!(f, "end a session when no byte has moved for {}", Span(limit))?;
    }
    if let Some(rate) = plan.limit_total {
        writeln!(f, "move at most {rate} a second in each direction of all sessions together")?;
    }
    Ok(())
}

/// What is dropped because there is too much of it.
fn rates(plan: &Relay, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(rate) = plan.transfer.rate {
        writeln!(f, "drop datagrams of a client beyond {rate} a second in each direction")?;
    }
    if let Some(rate) = plan.limit_total {
        writeln!(f, "drop datagrams of all clients together beyond {rate} a second in each direction")?;
    }
    Ok(())
}

/// What is written down.
fn records(plan: &Relay, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &plan.log {
        Some(LogSink::Stdout) => writeln!(f, "write a line for each session to standard output")?,
        Some(LogSink::File(path)) => {
            writeln!(f, "append a line for each session to {}", Escaped(path.as_os_str().as_encoded_bytes()))?;
        }
        None => {}
    }
    if let Some(Copies { directory, hex, timestamps }) = &plan.copies {
        let path = Escaped(directory.as_os_str().as_encoded_bytes());
        let what = if *hex { "dump" } else { "copy" };
        let time = if *timestamps { ", with the time" } else { "" };
        writeln!(f, "{what} each direction of each session to a file in {path}{time}")?;
    }
    Ok(())
}
