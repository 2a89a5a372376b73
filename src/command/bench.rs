//! `bench`: one end of a measurement, or both.

mod caller;
mod client;
mod control;
mod ledger;
mod opening;
mod server;
mod setup;
mod visit;

use std::sync::Arc;

use signal_hook::consts::SIGUSR1;

use crate::error::{Error, Op};
use crate::plan::bench::{Bench, Role};
use crate::reactor::Task;

use super::reporting::Reporting;

/// True if nobody can know the port that a server will have.
pub(super) fn asks_for_free_port(plan: &Bench) -> bool {
    matches!(&plan.role, Role::Server(server) if server.at.asks_for_free_port())
}

/// Gives the task that measures or serves.
pub(super) fn bench(plan: &Bench, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    survive(SIGUSR1).map_err(|error| Error::new(Op::Open, "signals", error))?;
    if let Some(cpu) = plan.affinity {
        crate::sys::stay_on(cpu).map_err(|error| Error::new(Op::Use, format!("CPU {cpu}"), error))?;
    }
    match &plan.role {
        Role::Server(server) => server::server(plan, server, reporting),
        Role::Client(client) => client::client(plan, client, reporting),
    }
}

/// From here on this signal ends nothing, although it is not answered before there is an event loop: a certificate may be
/// read from a pipe, which takes as long as its writer likes.
fn survive(number: i32) -> std::io::Result<()> {
    if crate::sys::is_signal_ignored(number) {
        return Ok(());
    }
    signal_hook::flag::register(number, Arc::default()).map(drop)
}
