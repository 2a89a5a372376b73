//! The tasks that send and receive, and who runs them.
//!
//! A [`Flow`] is one stream in one direction; its task moves bytes and counts them in a [`Tally`], which the task that
//! leads the test reads when it wants to. All flows of a test look at one [`Phase`]; whoever changes it nudges the
//! [`Crew`], the threads that run them.

pub mod conversation;
pub mod crew;
pub mod datagrams;
pub mod layered;
pub mod medium;
pub mod pattern;
pub mod stream;
pub mod tally;
pub mod trips;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use crate::bench::reception::Counters;
use crate::datagram::DatagramSocket;
use crate::endpoint::Descriptors;
use crate::endpoint::descriptor::Descriptor;
use crate::reactor::Task;
use crate::sys::{self, Access};
pub use conversation::Conversation;
pub use crew::{Band, Crew};
pub use datagrams::Datagrams;
pub use layered::Layered;
use medium::Medium;
pub use stream::{Flow, Way};
pub use tally::{Bell, Budget, Phase, Stage, Tally};

/// What a flow goes over, registered with no reactor.
#[derive(Debug)]
pub enum Line {
    /// Bytes, through a socket and what stands on it.
    Stream(Layered),
    /// Bytes, through the half of a pipe.
    Pipe(Descriptors),
    /// Datagrams, with counters of this length.
    Datagrams(DatagramSocket, Counters),
}

impl Line {
    /// The task that moves `flow` over it.
    pub fn task(self, flow: Flow) -> Box<dyn Task> {
        match self {
            Line::Stream(over) => Box::new(stream::Stream::new(flow, over.medium())),
            Line::Pipe(half) => Box::new(stream::Stream::new(flow, Medium::Bare(half.into()))),
            Line::Datagrams(socket, counters) => Box::new(Datagrams::new(flow, counters, socket)),
        }
    }
}

/// Where two ends of one process hand each other the halves of pipes: the stream that is opened is only a ticket.
pub type Hatch = Arc<Mutex<VecDeque<Descriptors>>>;

/// A pipe: what this end keeps, and what the other end gets.
///
/// # Errors
/// EMFILE; Unsupported where the system has no such pipes.
pub fn pipe(sends: bool) -> io::Result<(Descriptors, Descriptors)> {
    let (read, write, _) = sys::kernel_pipe(PIPE)?;
    let reader = Some(Descriptor::own(read, Access::Read)?);
    let writer = Some(Descriptor::own(write, Access::Write)?);
    let reads = Descriptors { reader, writer: None };
    let writes = Descriptors { reader: None, writer };
    Ok(if sends { (writes, reads) } else { (reads, writes) })
}

/// Bytes that a pipe holds.
const PIPE: usize = 1 << 20;

/// Bytes of one write of a TCP sender: what the cache of one CPU holds.
pub const BLOCK: usize = 128 << 10;
