//! `haul send-udp`: datagrams out at a pace, answers to standard output.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::exchange::{Exchange, Near, Outgoing, Terms};
use super::line::Line;
use super::messages::{Messages, limits, sends_every_byte};
use super::printer::Printer;
use super::reporting::Reporting;
use crate::datagram::sequence::STAMP;
use crate::datagram::split::Framing;
use crate::endpoint::udp::Course;
use crate::endpoint::{Transport, file, stdio};
use crate::error::Error;
use crate::plan::address::Options;
use crate::plan::datagram::{Payload, SendUdp, fits};
use crate::reactor::Task;

/// The task that carries out a plan.
///
/// # Errors
/// No address of the target works; the payload is too long or cannot be opened.
pub(super) fn send(plan: &SendUdp, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    let mut course = Course::new(&plan.to)?;
    let line = Line::open(&mut course)?;
    let stamp = if plan.stamped { STAMP } else { 0 };
    let limit = line.limit().saturating_sub(stamp);
    let (messages, size) = match &plan.payload {
        Payload::Bytes(bytes) => {
            fits(bytes.len(), limit, line.pointed.most.1)?;
            let all = plan.pacing.count.unwrap_or(1).saturating_mul((bytes.len() + stamp) as u64);
            (Messages::Same(bytes.clone()), Some(all))
        }
        Payload::Stdin => {
            let messages = Messages::stream(stdio::open(true, false)?, "standard input".into(), plan.split, limit);
            (messages, stdio::size_hint())
        }
        Payload::File(path) => {
            let file = Transport::from(file::open(path, &Options::default(), true, false)?);
            let size = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|file| file.len());
            (Messages::stream(file, path.to_string_lossy().into_owned(), plan.split, limit), size)
        }
    };
    let counted = plan.stamped || plan.pacing.count.is_some() || !sends_every_byte(plan.split);
    let size = size.filter(|_| matches!(plan.payload, Payload::Bytes(_)) || !counted);
    let limits = limits(&plan.pacing, matches!(plan.payload, Payload::Bytes(_)));
    let session = plan.stamped.then(|| RandomState::new().build_hasher().finish());
    let out = Outgoing::new(course, line, messages, limits, session, reporting.observers());
    let near = Near::Output(Printer::open()?, Framing::Raw);
    let terms = Terms { replies: plan.replies, wait: Some(plan.wait), idle: None, max_time: plan.max_time };
    Ok(Box::new(Exchange::new(out, near, terms, size, (&plan.report, reporting))))
}
