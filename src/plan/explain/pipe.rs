//! `--explain` of `haul pipe`.

use std::fmt;

use super::super::address::{Address, Kind, explain_way};
use super::super::pipe::{Algorithm, OnSlow, Pipe};
use super::super::tls;
use super::{announce, limit, remainder, report, serving};
use crate::error::Op;
use crate::escape::Escaped;
use crate::units::Size;

pub(super) fn pipe(plan: &Pipe, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if plan.both_ways {
        plan.endpoints().try_for_each(|address| match address.kind {
            Kind::Stdio => writeln!(f, "take standard input and output"),
            _ => {
                writeln!(f, "{}", opened(address).unwrap_or_else(|| format!("open {address}")))?;
                tls::explain(address, Op::Connect, f)
            }
        })?;
        writeln!(f, "move bytes both ways between them")?;
    } else {
        let place = match plan.source.kind {
            Kind::Stdio => "standard input".into(),
            _ => plan.source.to_string(),
        };
        match opened(&plan.source) {
            Some(opened) => writeln!(f, "{opened}, and read what comes from it")?,
            None => writeln!(f, "read {place}")?,
        }
        tls::explain(&plan.source, Op::Connect, f)?;
        plan.sinks.iter().try_for_each(|address| match (opened(address), &address.kind) {
            (Some(opened), _) => {
                writeln!(f, "{opened}, and write everything to it")?;
                tls::explain(address, Op::Connect, f)
            }
            (None, Kind::Stdio) => writeln!(f, "write everything to standard output"),
            (None, Kind::File(_)) if address.options.atomic => {
                writeln!(f, "write everything to {address}, whole or not at all")
            }
            (None, _) => writeln!(f, "write everything to {address}"),
        })?;
    }
    let mut dialled = plan.endpoints().filter(|address| address.options.way.is_some());
    dialled.try_for_each(|address| explain_way(address, f))?;
    serving(&plan.serving, "connections", f)?;
    limit(f, "give up when an endpoint is not open after", plan.connect_timeout, 3)?;
    announce(&plan.announce, plan.listeners().any(|at| matches!(at.kind, Kind::Unix(..) | Kind::Path(_))), f)?;
    if plan.sinks.len() > 1 {
        match plan.on_slow {
            OnSlow::Wait => writeln!(f, "wait for the slowest sink")?,
            OnSlow::Drop => writeln!(f, "close a sink that holds the others back, and go on")?,
        }
    }
    if let Some(bytes) = plan.stop_at {
        writeln!(f, "take the source for ended after {} bytes", Size(bytes))?;
    }
    if let Some(bytes) = plan.size {
        writeln!(f, "expect {} bytes", Size(bytes))?;
    }
    match plan.records {
        Some(b'\n') => writeln!(f, "count lines")?,
        Some(_) => writeln!(f, "count records that end with a NUL")?,
        None => {}
    }
    if let Some(hash) = &plan.hash {
        let function = match hash.algorithm {
            Algorithm::Blake3 => "BLAKE3",
            Algorithm::Sha256 => "SHA-256",
        };
        match &hash.file {
            Some(file) => writeln!(
                f,
                "at the end, write the {function} digest to {}",
                Escaped(file.as_os_str().as_encoded_bytes())
            )?,
            None => writeln!(f, "at the end, print the {function} digest on standard error")?,
        }
    }
    limit(f, "stop when nothing has moved for", plan.watchdog, 3)?;
    remainder(&plan.transfer, f)?;
    report(&plan.report, f)
}

/// What is done to have an endpoint, where it is more than to open it.
fn opened(address: &Address) -> Option<String> {
    match &address.kind {
        Kind::Fd { .. } if address.options.listen => {
            Some(format!("accept one connection from the listening socket {address}"))
        }
        _ if address.options.listen => Some(format!("listen on {address} and accept one connection")),
        Kind::Tcp(_) | Kind::Unix(..) => Some(format!("connect to {address}")),
        Kind::Exec(_) | Kind::Shell(_) => Some(format!("run {address}")),
        _ => None,
    }
}
