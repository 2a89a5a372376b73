//! Whether the server lets us stay, once it has asked for a certificate.
//!
//! Under TLS 1.3 the handshake of a client is over when it has shown its certificate, or that it has none; the server
//! looks at that only then (RFC 8446, 4.4.2.4), and its refusal finds us sending, or gone. A ticket comes after that look,
//! and so does its end; payload proves nothing, since it may be sent before our part of the handshake has come (4.4.4).
//! rustls does not tell that a certificate was asked for, but it asks us for ours.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

/// What the connections of a client have in common: how they are made, and what they show of themselves.
#[derive(Debug)]
pub struct ClientSide {
    pub(super) config: Arc<ClientConfig>,
    own: Arc<Own>,
}

impl ClientSide {
    /// A client that shows this certificate to whoever asks, or none.
    pub fn new(mut config: ClientConfig, key: Option<Arc<CertifiedKey>>) -> Self {
        let own = Arc::new(Own { key, asked: Mutex::default() });
        config.client_auth_cert_resolver = Arc::<Own>::clone(&own);
        ClientSide { config: Arc::new(config), own }
    }
}

/// The certificate of a client, and who was asked for it. Connections share it, since only then one may go on with the
/// keys of another; so it knows them by the thread that is at work on one.
#[derive(Debug)]
struct Own {
    key: Option<Arc<CertifiedKey>>,
    /// Threads that were asked and have not looked. Invariant: empty between the steps of a connection.
    asked: Mutex<HashSet<ThreadId>>,
}

impl Own {
    /// True if the step that this thread has just taken was asked for it.
    fn was_asked(&self) -> bool {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&thread::current().id())
    }
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(thread::current().id());
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}

/// How that stands for one connection.
pub(super) struct Approval {
    own: Arc<Own>,
    stage: Stage,
    /// When it began: asks for the time at once.
    began: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No certificate was asked for, so far.
    Unasked,
    /// One was, and nothing that the server has said since shows that it has looked at it; until when it may refuse it.
    Awaited(Option<Instant>),
    /// The server has gone on, or had the time to say that it would not.
    Given,
}

impl Approval {
    pub(super) fn new(side: &ClientSide, now: Instant) -> Self {
        Approval { own: Arc::clone(&side.own), stage: Stage::Unasked, began: now }
    }

    /// A step of the handshake was taken.
    pub(super) fn look(&mut self) {
        if self.own.was_asked() {
            self.stage = Stage::Awaited(None);
        }
    }

    /// The server has looked, and goes on.
    pub(super) fn give(&mut self) {
        self.stage = Stage::Given;
    }

    /// True while the server may still say that it does not want us.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self.stage, Stage::Awaited(_))
    }

    /// It is all that is waited for.
    pub(super) fn tick(&mut self, now: Instant) {
        match self.stage {
            Stage::Awaited(None) => self.stage = Stage::Awaited(Some(now + PATIENCE)),
            Stage::Awaited(Some(by)) if by <= now => self.stage = Stage::Given,
            _ => {}
        }
    }

    /// When it wants to be told the time, once it is all that is waited for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Awaited(by) => Some(by.unwrap_or(self.began)),
            Stage::Unasked | Stage::Given => None,
        }
    }
}

/// How long a server may take to refuse a certificate after our end; one that does not has taken it.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
