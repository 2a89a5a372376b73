//! Which layers stand on each new connection of one endpoint, before those of the application.
//!
//! Made once from the plan, when nothing is open yet: files are read here, so that what is wrong with them is told before
//! anybody is gone to or let in. It may be used from any thread.
//!
//! From the wire outwards: to a peer the proxies on the way, each over what the one before it made; the PROXY header;
//! then the layers of the endpoint itself, TLS and WebSocket. To a client the PROXY header has been taken off already.

use std::sync::Arc;

use crate::error::Error;
use crate::layer::Layer;
use crate::layer::prologue::Prologue;
use crate::layer::stack::Stack;
use crate::plan::address::Address;

/// What makes the layers of each connection of an endpoint.
#[derive(Clone, Default)]
pub(super) struct Layering {
    inner: Option<Arc<Sorts>>,
}

/// Both lists have the outermost first.
struct Sorts {
    /// Above the PROXY header.
    over: Vec<Sort>,
    /// Below it.
    under: Vec<Sort>,
}

/// What makes one layer of a connection.
enum Sort {
    /// A greeting, with something behind it or not.
    #[cfg(test)]
    Chaos { leaves: bool },
}

impl Sort {
    /// The layer for a connection that came up now.
    fn layer(&self) -> Result<Box<dyn Layer>, Error> {
        match *self {
            #[cfg(test)]
            Sort::Chaos { leaves: false } => Ok(Box::new(crate::layer::testing::Chaos::new(100))),
            #[cfg(test)]
            Sort::Chaos { leaves: true } => Ok(Box::new(crate::layer::testing::Chaos::greeting())),
        }
    }
}

impl Layering {
    /// For connections that are made to `address`.
    ///
    /// # Errors
    /// A file is missing, or of no use.
    pub(super) fn client(_: &Address) -> Result<Self, Error> {
        Ok(Layering::of(Vec::new(), Vec::new()))
    }

    /// For connections that come to `address`.
    ///
    /// # Errors
    /// As [`Layering::client`].
    pub(super) fn server(_: &Address) -> Result<Self, Error> {
        Ok(Layering::of(Vec::new(), Vec::new()))
    }

    fn of(over: Vec<Sort>, under: Vec<Sort>) -> Self {
        let bare = over.is_empty() && under.is_empty();
        Layering { inner: (!bare).then(|| Arc::new(Sorts { over, under })) }
    }

    /// One for tests: so many layers, and below them so many that leave.
    #[cfg(test)]
    pub(super) fn chaos(over: usize, under: usize) -> Self {
        let sorts = |count, leaves| (0..count).map(|_| Sort::Chaos { leaves }).collect();
        Layering::of(sorts(over, false), sorts(under, true))
    }

    /// True if nothing is done about connections before they carry payload.
    pub(super) fn is_bare(&self) -> bool {
        self.inner.is_none()
    }

    /// The layers of a connection that came up now, `header` being said where a PROXY header goes; `None` if it is bare.
    ///
    /// # Errors
    /// A layer cannot be made, say of a name that is none.
    pub(super) fn stack(&self, header: Option<Vec<u8>>) -> Result<Option<Box<Stack>>, Error> {
        let Some(Sorts { over, under }) = self.inner.as_deref() else { return Ok(None) };
        let mut layers = Vec::with_capacity(over.len() + under.len() + 1);
        for sort in over {
            layers.push(sort.layer()?);
        }
        if let Some(header) = header {
            layers.push(Box::new(Prologue::new(header)) as Box<dyn Layer>);
        }
        for sort in under {
            layers.push(sort.layer()?);
        }
        Ok(Some(Box::new(Stack::new(layers, WIRE_BUFFER))))
    }
}

/// Bytes at each seam: two of the longest TLS records, see [`Stack::new`].
const WIRE_BUFFER: usize = 36 * 1024;
