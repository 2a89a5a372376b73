//! Names that must be different files: what carries payload, and what reports are written to. A report that is written
//! over the source or into the output would destroy it, and nobody would notice.

use std::path::Path;

use super::copy::inherited;
use crate::endpoint::identity::Identity;
use crate::error::{Error, Op};
use crate::escape::Escaped;
use crate::plan::address::{Address, Kind};
use crate::plan::bench::Role;
use crate::plan::datagram::Payload;
use crate::plan::pipe::Pipe;
use crate::plan::policy::is_program;
use crate::plan::relay::{LogSink, Relay, Target};
use crate::plan::{Announce, EventSink, Flow, Local, Plan, Report, Transfer};
use crate::sys::Access;

/// Looks at every name of a plan, before anything is opened.
///
/// # Errors
/// A report would go to a file that carries payload, or to that of another report.
pub(super) fn check(plan: &Plan) -> Result<(), Error> {
    let mut names = Names::default();
    match plan {
        Plan::Pipe(plan) => pipe(plan, &mut names)?,
        Plan::Listen(plan) => {
            names.endpoint(&plan.at, true, true);
            local(&plan.local, &plan.transfer, &mut names);
            names.announce(&plan.announce)?;
            names.copy(&plan.transfer)?;
        }
        Plan::Connect(plan) => {
            names.endpoint(&plan.to, true, true);
            local(&plan.local, &plan.transfer, &mut names);
            names.copy(&plan.transfer)?;
        }
        Plan::SendUdp(plan) => {
            match &plan.payload {
                Payload::Stdin => names.stdin(),
                Payload::File(path) => names.payload(&display(path), Identity::of_path(path)),
                Payload::Bytes(_) => {}
            }
            names.stdout();
        }
        Plan::ListenUdp(plan) => {
            datagrams(&plan.local, plan.stdin, &mut names);
            names.announce(&plan.announce)?;
        }
        Plan::ConnectUdp(plan) => datagrams(&plan.local, plan.stdin, &mut names),
        Plan::Relay(plan) => relay(plan, &mut names)?,
        Plan::Bench(plan) => {
            names.stdout();
            match &plan.role {
                Role::Server(server) => names.announce(&server.announce)?,
                Role::Client(client) => {
                    if let Some(path) = &client.compare {
                        names.payload(&format!("--compare {}", path.display()), Identity::of_path(path));
                    }
                }
            }
        }
        Plan::Check(_) => {}
    }
    names.events(report(plan))
}

fn report(plan: &Plan) -> &Report {
    match plan {
        Plan::Pipe(plan) => &plan.report,
        Plan::Listen(plan) => &plan.report,
        Plan::Connect(plan) => &plan.report,
        Plan::SendUdp(plan) => &plan.report,
        Plan::ListenUdp(plan) => &plan.report,
        Plan::ConnectUdp(plan) => &plan.report,
        Plan::Relay(plan) => &plan.report,
        Plan::Bench(plan) => &plan.report,
        Plan::Check(plan) => &plan.report,
    }
}

fn pipe(plan: &Pipe, names: &mut Names) -> Result<(), Error> {
    names.endpoint(&plan.source, true, plan.both_ways);
    for sink in &plan.sinks {
        names.endpoint(sink, plan.both_ways, true);
    }
    // the other stream of a program is ours
    if is_program(&plan.source) {
        names.stdin();
    }
    if plan.sinks.iter().any(is_program) {
        names.stdout();
    }
    if let Some(path) = plan.hash.as_ref().and_then(|hash| hash.file.as_deref()) {
        names.report("--hash-file", path)?;
    }
    names.announce(&plan.announce)
}

fn relay(plan: &Relay, names: &mut Names) -> Result<(), Error> {
    for target in plan.pairs.iter().flat_map(|pair| &pair.targets) {
        if let Target::Address(address) = target {
            names.endpoint(address, !target.is_appended(), target.is_appended());
        }
    }
    match &plan.log {
        Some(LogSink::File(path)) => names.report("--log", path),
        Some(LogSink::Stdout) => names.add("--log -".into(), Identity::of_descriptor(1)),
        None => Ok(()),
    }
}

fn local(local: &Local, transfer: &Transfer, names: &mut Names) {
    if *local != Local::Stdio {
        return;
    }
    if transfer.stdin && transfer.flow != Flow::ReceiveOnly && transfer.out.is_none() {
        names.stdin();
    }
    match &transfer.out {
        Some(path) => names.payload(&format!("--out {}", path.display()), Identity::of_path(path)),
        None if transfer.flow != Flow::SendOnly => names.stdout(),
        None => {}
    }
}

fn datagrams(local: &Local, stdin: bool, names: &mut Names) {
    if *local == Local::Stdio {
        if stdin {
            names.stdin();
        }
        names.stdout();
    }
}

/// Every file that has been named so far, and by what.
#[derive(Default)]
struct Names(Vec<(String, Identity)>);

impl Names {
    /// Adds something that carries payload; what else does is not compared with it.
    fn payload(&mut self, name: &str, identity: Option<Identity>) {
        self.0.extend(identity.map(|identity| (name.to_string(), identity)));
    }

    fn stdin(&mut self) {
        self.payload("standard input", Identity::of_descriptor(0));
    }

    fn stdout(&mut self) {
        self.payload("standard output", Identity::of_descriptor(1));
    }

    fn endpoint(&mut self, address: &Address, reads: bool, writes: bool) {
        for (used, access) in [(reads, Access::Read), (writes, Access::Write)] {
            let name = match (&address.kind, access) {
                (Kind::Stdio, Access::Read) => "standard input".into(),
                (Kind::Stdio, Access::Write) => "standard output".into(),
                (Kind::File(path) | Kind::Path(path) | Kind::Fifo(path), _) => display(path),
                _ => address.to_string(),
            };
            if used {
                self.payload(&name, Identity::of_address(address, access));
            }
        }
    }

    /// Adds a report that is written to a path. Standard error may be anything, by its name as well as without one.
    fn report(&mut self, flag: &str, path: &Path) -> Result<(), Error> {
        match inherited(path) {
            Some(STDERR) => Ok(()),
            Some(number) => self.add(format!("{flag} {}", path.display()), Identity::of_descriptor(number)),
            None => self.add(format!("{flag} {}", path.display()), Identity::of_path(path)),
        }
    }

    fn announce(&mut self, announce: &Announce) -> Result<(), Error> {
        match &announce.port_file {
            Some(path) => self.report("--port-file", path),
            None => Ok(()),
        }
    }

    fn copy(&mut self, transfer: &Transfer) -> Result<(), Error> {
        match &transfer.copy {
            Some(copy) => self.report("-o", &copy.path),
            None => Ok(()),
        }
    }

    fn events(&mut self, report: &Report) -> Result<(), Error> {
        match &report.events {
            Some(EventSink::File(path)) => self.report("--events", path),
            Some(EventSink::Fd(number)) if *number != STDERR => {
                self.add(format!("--events fd:{number}"), Identity::of_descriptor(*number))
            }
            Some(EventSink::Fd(_)) | None => Ok(()),
        }
    }

    fn add(&mut self, name: String, identity: Option<Identity>) -> Result<(), Error> {
        let Some(identity) = identity else { return Ok(()) };
        if let Some((other, _)) = self.0.iter().find(|(_, other)| other.is_same(&identity)) {
            let sentence = format!("it is the same file as {}", Escaped(other.as_bytes()));
            return Err(Error::said(Op::Use, name, sentence).with_advice("another file"));
        }
        self.0.push((name, identity));
        Ok(())
    }
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

const STDERR: i32 = 2;
