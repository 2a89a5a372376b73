//! `haul connect -u`: standard input, or what a program writes, out as datagrams, and what comes back.

use super::exchange::{Exchange, Helper, Near, Outgoing, Terms};
use super::line::Line;
use super::messages::{Messages, limits, sends_every_byte};
use super::printer::Printer;
use super::reporting::Reporting;
use crate::datagram::split::Framing;
use crate::endpoint::stdio;
use crate::endpoint::udp::Course;
use crate::error::Error;
use crate::plan::Local;
use crate::plan::datagram::{self as plan, ConnectUdp};
use crate::reactor::Task;

/// The task that carries out a plan.
///
/// # Errors
/// No address of the target works; the program is not there.
pub(super) fn connect(plan: &ConnectUdp, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    let helper = match &plan.local {
        Local::Program(program) => Some(Helper::new(program)?),
        Local::Stdio => None,
    };
    let mut course = Course::new(&plan.to)?;
    let line = Line::open(&mut course)?;
    let reads = plan.stdin && helper.is_none();
    let messages = match reads {
        true => Messages::stream(stdio::open(true, false)?, "standard input".into(), plan.split, line.limit()),
        false => Messages::Nothing,
    };
    let near = match &helper {
        Some(_) => Near::Nothing,
        None => Near::Output(Printer::open()?, framing(plan.framing())),
    };
    let size = if reads && sends_every_byte(plan.split) { stdio::size_hint() } else { None };
    let out = Outgoing::new(course, line, messages, limits(&plan.pacing, false), None, reporting.observers());
    let terms = Terms { replies: plan.replies, wait: plan.wait, idle: plan.idle, max_time: plan.max_time };
    let exchange = Exchange::new(out, near, terms, size, (&plan.report, reporting));
    Ok(Box::new(match helper {
        Some(helper) => exchange.with_helper(helper),
        None => exchange,
    }))
}

/// The same in the words of those who write it.
fn framing(framing: Option<plan::Framing>) -> Framing {
    match framing {
        None => Framing::Raw,
        Some(plan::Framing::Line) => Framing::Line,
        Some(plan::Framing::Nul) => Framing::Nul,
        Some(plan::Framing::Len16) => Framing::Len16,
    }
}
