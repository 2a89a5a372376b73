//! What a subcommand does once it is planned; the only place that joins everything.

mod announce;
mod approach;
mod arrival;
mod bench;
mod check;
mod client;
mod connect_udp;
mod contact;
mod copy;
mod dialogue;
mod distinct;
mod door;
mod entry;
mod errand;
mod exchange;
mod gate;
mod guide;
mod handshake;
mod hop;
mod joint;
mod late;
mod layering;
mod line;
mod link;
mod listen_udp;
mod logins;
mod messages;
mod mover;
mod patience;
mod pipe;
mod printer;
mod probe;
mod programs;
mod progress;
mod proxy;
mod reaping;
mod relay;
mod reporting;
mod send_udp;
mod serve;
mod stream;
mod surroundings;
mod talk;
mod vestibule;
mod web;
mod window;
mod writes;

use crate::error::{Error, Op};
use crate::outcome::{ExitStatus, Outcome};
use crate::plan::address::{Address, Kind};
use crate::plan::relay::Target;
use crate::plan::{Flow, Local, Plan, Share};
use crate::reactor::{Reactor, Task};
use layering::remind;
use reporting::Reporting;

/// What `--explain` prints: the plan, and what this machine has to say to it.
pub fn explain(plan: &Plan) -> String {
    crate::sys::raise_descriptor_limit();
    let shortage = match plan {
        Plan::Relay(plan) => relay::shortage(plan),
        _ => None,
    };
    format!("{plan}{}", shortage.map_or_else(String::new, |line| line + "\n"))
}

/// Carries out a plan.
///
/// # Errors
/// What failed before anything could move; what failed later is in the outcome.
pub fn run(mut plan: Plan) -> anyhow::Result<Outcome> {
    crate::sys::raise_descriptor_limit();
    crate::sys::heed(signal_hook::consts::SIGCHLD);
    // a file that may not grow any more is an error of that file alone
    crate::sys::ignore(signal_hook::consts::SIGXFSZ);
    distinct::check(&plan)?;
    logins::load(&mut plan)?;
    match plan {
        Plan::Listen(plan) => {
            let reporting = Reporting::open(&plan.report, plan.at.asks_for_free_port())?;
            let reporting = reporting.with_copy(&plan.transfer, plan.serving.is_many())?;
            let written = plan.local == Local::Stdio && plan.serving.share != Share::Broker;
            let reporting = reporting.with_payload(&plan.report, written && plan.transfer.flow != Flow::SendOnly);
            remind([&plan.at], &*reporting.observers());
            let task = match plan.serving.is_many() {
                true => serve::listen(&plan, &reporting),
                false => stream::listen(&plan, &reporting),
            };
            drive(task, reporting)
        }
        Plan::Connect(plan) => {
            let reporting = Reporting::open(&plan.report, false)?.with_copy(&plan.transfer, false)?;
            let written = plan.local == Local::Stdio && plan.transfer.flow != Flow::SendOnly;
            let reporting = reporting.with_payload(&plan.report, written);
            remind([&plan.to], &*reporting.observers());
            let task = match plan.dialogue.is_empty() {
                true => stream::connect(&plan, &reporting),
                false => dialogue::dialogue(&plan, &reporting),
            };
            drive(task, reporting)
        }
        Plan::SendUdp(plan) => {
            let reporting = Reporting::open(&plan.report, false)?.with_payload(&plan.report, true);
            let task = send_udp::send(&plan, &reporting);
            drive(task, reporting)
        }
        Plan::ListenUdp(plan) => {
            let reporting = Reporting::open(&plan.report, plan.at.asks_for_free_port())?;
            let reporting = reporting.with_payload(&plan.report, plan.local == Local::Stdio);
            let task = listen_udp::listen(&plan, &reporting);
            drive(task, reporting)
        }
        Plan::ConnectUdp(plan) => {
            let written = plan.local == Local::Stdio;
            let reporting = Reporting::open(&plan.report, false)?.with_payload(&plan.report, written);
            let task = connect_udp::connect(&plan, &reporting);
            drive(task, reporting)
        }
        Plan::Check(plan) => {
            let reporting = Reporting::open(&plan.report, false)?;
            remind(&plan.targets, &*reporting.observers());
            let checker = check::check(&plan, &reporting);
            drive(checker, reporting)
        }
        Plan::Pipe(plan) => {
            let announce = plan.listeners().any(Address::asks_for_free_port);
            let reporting = Reporting::open(&plan.report, announce)?;
            let written = plan.sinks.iter().any(|sink| sink.kind == Kind::Stdio);
            let reporting = reporting.with_payload(&plan.report, written);
            remind(plan.endpoints(), &*reporting.observers());
            let task = pipe::pipe(&plan, &reporting);
            drive(task, reporting)
        }
        Plan::Bench(plan) => {
            let reporting = Reporting::open(&plan.report, bench::asks_for_free_port(&plan))?;
            let task = bench::bench(&plan, &reporting);
            drive(task, reporting)
        }
        Plan::Relay(plan) => {
            let free_port = plan.pairs.iter().any(|pair| pair.at.asks_for_free_port());
            let reporting = Reporting::open(&plan.report, free_port)?.with_log(relay::open_log(&plan)?);
            let targets = plan.pairs.iter().flat_map(|pair| &pair.targets).filter_map(Target::address);
            remind(plan.pairs.iter().map(|pair| &pair.at).chain(targets), &*reporting.observers());
            drive(relay::relay(*plan, &reporting), reporting)
        }
    }
}

/// Runs a task to its end and lets every report out, whatever happened.
fn drive(task: Result<Box<dyn Task>, Error>, reporting: Reporting) -> anyhow::Result<Outcome> {
    let outcome = task.map_err(anyhow::Error::from).and_then(|task| {
        let failed = |error| Error::new(Op::Open, "the event loop", error).with_status(ExitStatus::LocalIo);
        let mut reactor = Reactor::new().map_err(failed)?;
        Ok(reactor.run(task).map_err(failed)?)
    });
    reporting.finish(outcome)
}
