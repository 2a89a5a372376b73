//! What `--explain` prints of `haul bench`.

use std::fmt;

use super::super::tls;
use super::{Bench, Client, Direction, Peer, Role, Server, Until};
use crate::error::Op;
use crate::plan::explain::{announce, report};
use crate::units::{Size, Span};

pub(in crate::plan) fn explain(plan: &Bench, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &plan.role {
        Role::Server(server) => serve(server, f)?,
        Role::Client(client) => measure(client, f)?,
    }
    if let Some(threads) = plan.threads {
        writeln!(f, "move bytes on {threads} threads")?;
    }
    if let Some(cpu) = plan.affinity {
        writeln!(f, "run on CPU {cpu}")?;
    }
    if plan.print.json || plan.print.json_stream {
        writeln!(f, "print the results as JSON")?;
    }
    report(&plan.report, f)
}

fn serve(server: &Server, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let many = if server.once { "one test" } else { "tests until stopped" };
    writeln!(f, "listen on {} and serve {many}, by iperf3's protocol", server.at)?;
    tls::explain(&server.at, Op::Listen, f)?;
    announce(&server.announce, server.at.options.mode.is_some(), f)?;
    if let Some(most) = server.most_clients {
        writeln!(f, "serve at most {most} tests at once")?;
    }
    if let Some(time) = server.most_time {
        writeln!(f, "refuse a test longer than {}", Span(time))?;
    }
    if let Some(rate) = server.most_rate {
        writeln!(f, "hold each test to {rate} bytes a second")?;
    }
    Ok(())
}

fn measure(client: &Client, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &client.peer {
        Peer::There(address) => writeln!(f, "connect to the server at {address}, which may be iperf3's")?,
        Peer::Here { at, .. } => writeln!(f, "serve on {at}, and connect to it")?,
    }
    if let Peer::There(address) = &client.peer {
        tls::explain(address, Op::Connect, f)?;
    }
    if matches!(client.peer, Peer::Here { pipes: true, .. }) {
        writeln!(f, "send through pipes")?;
    }
    if let Some(via) = &client.via {
        let what = if client.load.udp { "send the datagrams" } else { "connect the streams" };
        writeln!(f, "{what} to {via}")?;
        tls::explain(via, Op::Connect, f)?;
    }
    let load = &client.load;
    let what = if load.udp { "datagrams" } else { "streams" };
    let way = match load.direction {
        Direction::Up => "to the server",
        Direction::Down => "from the server",
        Direction::Both => "both ways",
    };
    match load.trip {
        Some(trip) => writeln!(f, "send requests of {} bytes on {} connections", trip.size, load.streams)?,
        None => writeln!(f, "send {} of {what} {way}", load.streams)?,
    }
    match load.until {
        Until::Time(time) => writeln!(f, "for {}", Span(time))?,
        Until::Bytes(bytes) => writeln!(f, "until {} bytes are sent", Size(bytes))?,
        Until::Blocks(blocks) => writeln!(f, "until {blocks} blocks are sent")?,
    }
    if !client.thresholds.is_empty() {
        writeln!(f, "end with status 8 if a threshold is not met")?;
    }
    Ok(())
}
