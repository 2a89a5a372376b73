//! Hubs over scripted transports with a clock of their own, and over real sockets.

mod real;
mod room;
mod scripted;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Context;
use crate::event::{Event, Observer};
use crate::meter::Meter;
use crate::outcome::Ended;
use crate::plan::{AfterPeerEof, Flow, Share};
use crate::session::carrier::Pools;
use crate::session::end::Side;
use crate::session::policy::Policy;

/// Remembers what it heard.
#[derive(Default)]
struct Ear(RefCell<Vec<Event>>);

impl Observer for Ear {
    fn observe(&self, event: &Event) {
        self.0.borrow_mut().push(event.clone());
    }
}

fn policy() -> Policy {
    Policy {
        flow: Flow::Both,
        stdin: true,
        shutdown: true,
        after_peer_eof: AfterPeerEof::Auto,
        quit_after: None,
        linger: Duration::from_secs(30),
        grace: Duration::from_secs(2),
        idle: None,
        half_close: None,
        max_time: None,
        max_bytes: None,
        stop_at: None,
        one_way: false,
        rate: None,
        block: 1 << 20,
        budget: 1 << 20,
        splice: true,
        widen: false,
        hint: false,
    }
}

fn context(share: Share, policy: Policy) -> (Context, Rc<Ear>) {
    let ear = Rc::new(Ear::default());
    let (pools, meter, observer) = (Pools::new(4096, 65536), Arc::new(Meter::default()), Rc::clone(&ear));
    (Context { share, lines: false, policy, pools, meter, observer }, ear)
}

fn local_side() -> Side {
    Side::Local { reading: "standard input".into(), writing: "standard output".into() }
}
