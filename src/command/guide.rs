//! Names on the way through proxies that are looked up here (`--proxy-dns local`): the proxy is told an address.

use std::net::SocketAddr;

use super::layering::Layering;
use crate::endpoint::resolve::Lookup;
use crate::error::{Error, Op, sentence};
use crate::layer::stack::Stack;
use crate::reactor::Turn;

/// The layers of one connection, once all names are known.
pub(super) struct Guide {
    layering: Layering,
    /// What is said in front of a stream.
    header: Option<Vec<u8>>,
    names: Vec<Name>,
}

struct Name {
    spelled: String,
    lookup: Lookup,
    found: Option<SocketAddr>,
}

impl Guide {
    /// Begins to look up what these layers have to know; `None` if that is nothing.
    ///
    /// # Errors
    /// A name where only numbers are allowed, no thread to ask from.
    pub(super) fn begin(turn: &mut Turn, layering: &Layering, header: &Option<Vec<u8>>) -> Result<Option<Self>, Error> {
        let mut names = Vec::new();
        for (at, options) in layering.names() {
            let spelled = at.host.to_string();
            let asked = Lookup::new(at, options).map_err(|why| why.into_error(Op::Connect, ""));
            let mut lookup = asked.map_err(|error| about(&spelled, error))?;
            lookup.start(turn).map_err(|error| Error::said(Op::Connect, "", sentence(&error)))?;
            names.push(Name { spelled, lookup, found: None });
        }
        let any = !names.is_empty();
        Ok(any.then(|| Guide { layering: layering.clone(), header: header.clone(), names }))
    }

    /// The layers, once every name is known.
    ///
    /// # Errors
    /// A name has no address.
    pub(super) fn turn(&mut self) -> Result<Option<Box<Stack>>, Error> {
        for name in &mut self.names {
            if name.found.is_none() {
                let answer = name.lookup.poll().map_err(|why| about(&name.spelled, why.into_error(Op::Connect, "")))?;
                // most networks that are reached through a proxy have IPv4, and a proxy is told one address
                let best = |all: Vec<SocketAddr>| all.iter().find(|at| at.is_ipv4()).or(all.first()).copied();
                name.found = answer.and_then(best);
            }
        }
        let found: Option<Vec<_>> = self.names.iter().map(|name| name.found).collect();
        match found {
            Some(found) => self.layering.stack_to(self.header.take(), found),
            None => Ok(None),
        }
    }
}

/// That it is about this name.
fn about(name: &str, error: Error) -> Error {
    let cause = format!("{name}: {}", error.cause());
    error.with_cause(crate::error::Cause::Said(cause))
}
