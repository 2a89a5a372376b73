//! Flags of a listener that serves many clients, and of who may be one.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use super::value::{self, Value, fault};
use crate::error::Error;
use crate::plan::address::BadAddress;
use crate::plan::{AccessList, DEFAULT_GRACE, Serving, Share, advice};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Many clients")]
pub(super) struct Clients {
    /// Keep accepting connections, many at once, until stopped; standard input then goes to nobody.
    #[arg(short = 'k')]
    keep: bool,

    /// Hold at most N connections at once; 1 is one after the other [default: what the descriptor limit allows]
    #[arg(short = 'm', value_name = "N", value_parser = value::count())]
    most: Option<u64>,

    /// Hold at most N connections at once from one address [default: no limit]
    #[arg(long, value_name = "N", value_parser = value::count())]
    max_per_ip: Option<u64>,

    /// Accept N connections in all, then stop when they have ended [default: 1; with -k no limit]
    #[arg(long, value_name = "N", value_parser = value::count())]
    count: Option<u64>,

    /// Send standard input to every client; implies -k unless --count is given.
    #[arg(long)]
    fan_out: bool,

    /// Send what a client sends to every other client; implies -k unless --count is given.
    #[arg(long)]
    broker: bool,

    /// Once listening, run sh -c TEXT, with {port} and {addr} replaced; haul ends with it and with its status.
    ///
    /// Its standard input is the null device; its standard output is haul's if a program serves the connections, and
    /// otherwise standard error, because the payload goes to standard output. It implies -k unless --count is given.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, value_parser = Value(text))]
    then: Option<OsString>,

    /// When stopping, give open sessions and programs T to end [default: 2s]
    #[arg(long, value_name = "T", value_parser = value::span())]
    grace: Option<Duration>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Access")]
pub(super) struct Gate {
    /// Let only these connect: networks with commas between them, or @FILE with one a line [default: everybody]
    ///
    /// A network is an address, or one with a prefix: 192.0.2.7, 10.0.0.0/8, fd00::/8. In a file, # begins a comment,
    /// and SIGHUP makes haul read it again. The flag may be repeated.
    #[arg(long, value_name = "CIDR,…|@FILE", value_parser = Value(AccessList::parse))]
    allow: Vec<AccessList>,

    /// Do not let these connect, whatever --allow says; written in the same way [default: nobody]
    #[arg(long, value_name = "CIDR,…|@FILE", value_parser = Value(AccessList::parse))]
    deny: Vec<AccessList>,

    /// Serve a program to everybody who can reach the address: without it, --allow or a loopback address is needed.
    #[arg(long)]
    open: bool,
}

/// How many clients are served, and whom.
pub(super) fn serving(clients: Clients, gate: Gate) -> Result<Serving, Error> {
    let share = match (clients.fan_out, clients.broker) {
        (false, false) => Share::Merge,
        (true, false) => Share::FanOut,
        (false, true) => Share::Broker,
        (true, true) => {
            let why = "either standard input goes to the clients, or what they send";
            return Err(advice::clash("--fan-out", "--broker", why, "one of them"));
        }
    };
    let implied = match clients.count {
        Some(count) => count > 1,
        None => clients.then.is_some() || share != Share::Merge,
    };
    Ok(Serving {
        keep: clients.keep || implied,
        most: clients.most,
        most_per_ip: clients.max_per_ip,
        count: clients.count,
        share,
        allow: gate.allow,
        deny: gate.deny,
        open: gate.open,
        then: clients.then,
        grace: clients.grace.unwrap_or(DEFAULT_GRACE),
    })
}

fn text(value: &OsStr) -> Result<OsString, BadAddress> {
    if value.as_encoded_bytes().trim_ascii().is_empty() {
        return Err(fault("the text for the shell is missing"));
    }
    Ok(value.to_os_string())
}
