//! TLS 1.3 and 1.2 (RFC 8446, RFC 5246) by rustls, both roles.
//!
//! It is rustls's unbuffered connection: records are decrypted where they were received and encrypted to where they are
//! sent from, many in one call. What such a one demands of whoever drives it, and what the fields below are for:
//!
//! - It keeps no bytes. As long as half of a handshake message has come, it remembers *where* that stands in what it
//!   was shown, and every later call has to show at least as much, also one that only wants to write.
//! - It hands out what was received before it lets anyone write, and what it has to say itself before both.
//! - An error leaves an alert behind, which is still to be fetched.
//!
//! An end of the wire without the peer's close_notify is a cut, never an end of file: [`std::io::ErrorKind::UnexpectedEof`].

mod approval;
pub mod certificate;
mod connection;
mod refusal;
mod sentence;
mod summary;
#[cfg(test)]
mod tests;
pub mod verifier;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{ProtocolVersion, ServerConfig};

use super::{HalfClose, Layer, LayerState, Note};
use crate::buffer::Buffer;
use crate::error::{Cause, Error};
use crate::outcome::ExitStatus;
use approval::Approval;
pub use approval::ClientSide;
use connection::{Connection, Event, Outlet, Wish};
pub use summary::Summary;

/// One TLS connection.
pub struct Tls {
    connection: Connection,
    /// What the connection has said itself and the wire has not taken: handshakes, alerts.
    said: Vec<u8>,
    /// Bytes of whole records at the front of the wire that the connection has looked at and holds on to: the beginning
    /// of a handshake message. Their headers may have been overwritten. What it has not looked at does not belong here:
    /// a step aside would take the nothing that stands for it for a record.
    begun: usize,
    /// A record's plaintext that found no room, from `held_at` on.
    held: Vec<u8>,
    held_at: usize,
    /// The connection was asked for its first words.
    greeted: bool,
    ending: Ending,
    /// The peer has said that no more comes.
    peer_closed: bool,
    wire_ended: bool,
    failed: bool,
    /// Of a client: whether the server lets it stay.
    approval: Option<Approval>,
    /// It ends at a proxy, and the peer is beyond that.
    leads: bool,
}

/// Where our own direction stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Open,
    /// The application has ended, close_notify is due.
    Due,
    /// It was said.
    Said,
    /// The session was stopped before its end: close_notify is never said.
    Never,
}

impl Tls {
    /// The client's side; `name` is whom it expects there.
    ///
    /// # Errors
    /// [`ExitStatus::Authentication`], if no random numbers are to be had.
    pub fn client(side: &ClientSide, name: ServerName<'static>, now: Instant) -> Result<Self, Error> {
        let connection = UnbufferedClientConnection::new(Arc::clone(&side.config), name);
        let connection = connection.map_err(|error| refusal::of(&error, true))?;
        let approval = Some(Approval::new(side, now));
        Ok(Tls { approval, ..Tls::new(Connection::Client(Box::new(connection))) })
    }

    /// The server's side.
    ///
    /// # Errors
    /// [`ExitStatus::Authentication`], if no random numbers are to be had.
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let connection = UnbufferedServerConnection::new(config).map_err(|error| refusal::of(&error, true))?;
        Ok(Tls::new(Connection::Server(Box::new(connection))))
    }

    fn new(connection: Connection) -> Self {
        Tls {
            connection,
            said: Vec::new(),
            begun: 0,
            held: Vec::new(),
            held_at: 0,
            greeted: false,
            ending: Ending::Open,
            peer_closed: false,
            wire_ended: false,
            failed: false,
            approval: None,
            leads: false,
        }
    }

    /// The same of one that ends at a proxy: the peer beyond that hears nothing of what is said here.
    pub fn leading(self) -> Self {
        Tls { leads: true, ..self }
    }

    /// One step over what the wire has received; how many bytes of that are done with.
    fn step(&mut self, incoming: &mut [u8], plain: Option<&mut Buffer>, wish: Wish<'_>) -> (usize, Event) {
        let outlet = Outlet { said: &mut self.said, held: &mut self.held, plain };
        self.connection.step(incoming, outlet, wish)
    }

    /// A step that does not look at the wire: of what has begun there only the length matters now.
    fn step_aside(&mut self, wish: Wish<'_>) -> Event {
        self.step(&mut vec![0; self.begun], None, wish).1
    }

    fn is_handshaking(&self) -> bool {
        !self.greeted || self.connection.is_handshaking()
    }

    /// Carries what was said onto the wire; true once that is all.
    fn say(&mut self, wire: &mut Buffer) -> bool {
        if self.said.is_empty() {
            return true;
        }
        let count = wire.push(&self.said);
        self.said.drain(..count);
        if self.said.is_empty() {
            self.said = Vec::new();
        }
        self.said.is_empty()
    }

    /// Hands on the plaintext that found no room; true once that is all.
    fn release(&mut self, plain: &mut Buffer) -> bool {
        if self.held.is_empty() {
            return true;
        }
        self.held_at += plain.push(&self.held[self.held_at..]);
        if self.held_at < self.held.len() {
            return false;
        }
        (self.held, self.held_at) = (Vec::new(), 0);
        true
    }

    /// Takes what has come as far as it goes. `Ok(true)` if only more from the wire can bring more.
    fn take(&mut self, wire: &mut Buffer, plain: &mut Buffer) -> Result<bool, rustls::Error> {
        self.greeted = true;
        let (mut known, mut settled) = (self.begun, true);
        loop {
            let room = self.release(plain) && plain.spare(RECORD).len() >= RECORD;
            // not where the connection may have begun a message and not looked at all that is there
            if settled && (!room || self.said.len() > MOST_SAID) {
                return Ok(false);
            }
            if self.peer_closed {
                // RFC 8446, 6.1: what follows the end is ignored
                wire.clear();
                self.begun = 0;
                return Ok(true);
            }
            known = whole_records(wire.filled(), known);
            let was_handshaking = self.is_handshaking();
            let (discard, event) = self.step(wire.filled_mut(), Some(plain), Wish::Nothing);
            self.heed_approval(was_handshaking, &event);
            wire.consume(discard);
            known = known.saturating_sub(discard);
            settled = matches!(event, Event::Gave);
            // payload never comes in the middle of a message: what is behind it was not looked at
            self.begun = if settled { 0 } else { known };
            match event {
                Event::Gave | Event::Again => {}
                Event::PeerClosed => self.peer_closed = true,
                Event::Waits | Event::Open(_) | Event::NoRoom => return Ok(true),
                Event::Failed(error) => {
                    self.fetch_alert(wire.filled_mut());
                    return Err(error);
                }
            }
        }
    }

    /// What a step means for whether the server lets us stay. Before TLS 1.3 it says so within the handshake.
    fn heed_approval(&mut self, was_handshaking: bool, event: &Event) {
        let Some(approval) = &mut self.approval else { return };
        if was_handshaking {
            approval.look();
        }
        let heard = matches!(event, Event::PeerClosed) || self.connection.has_ticket();
        let is_settled = self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_2);
        if approval.is_awaited() && (heard || is_settled) {
            approval.give();
        }
    }

    /// What a connection that has failed still wants to tell the peer.
    fn fetch_alert(&mut self, incoming: &mut [u8]) {
        self.failed = true;
        // what is to be written comes first; beyond that a step would try the bad record again
        while self.connection.wants_write() {
            self.step(incoming, None, Wish::Nothing);
        }
        if self.ending == Ending::Said {
            self.said.clear(); // RFC 8446, 6.1: nothing follows close_notify
        }
    }

    /// What the end of the wire means at this place.
    fn judge_end(&mut self) -> Result<(), Error> {
        self.failed = true;
        if self.is_handshaking() {
            return Err(refusal::hung_up(matches!(self.connection, Connection::Client(_))));
        }
        let cut = "the TLS stream was cut: no close_notify came before its end";
        Err(Error::begun("transfer stopped", io::Error::new(io::ErrorKind::UnexpectedEof, cut)))
    }

    /// What the peer and the connection are, once the handshake is over.
    fn describe(&self) -> Option<Summary> {
        (!self.is_handshaking()).then(|| Summary::of(&self.connection)).flatten()
    }
}

impl Layer for Tls {
    fn decode(&mut self, wire: &mut Buffer, plain: &mut Buffer) -> Result<(), Error> {
        if self.failed {
            self.release(plain);
            return Ok(());
        }
        if wire.is_empty() && self.held.is_empty() && !self.wire_ended {
            return Ok(());
        }
        let was_handshaking = self.is_handshaking();
        let exhausted = self.take(wire, plain).map_err(|error| refusal::of(&error, was_handshaking))?;
        if exhausted && (self.begun > MOST_BEGUN || wire.is_full()) {
            self.failed = true;
            return Err(refusal::oversized());
        }
        if exhausted && self.wire_ended && !self.peer_closed { self.judge_end() } else { Ok(()) }
    }

    fn encode(&mut self, plain: &[u8], wire: &mut Buffer) -> Result<usize, Error> {
        if self.failed {
            return Err(refusal::over());
        }
        if self.is_handshaking() || self.ending != Ending::Open || plain.is_empty() {
            return Ok(0);
        }
        while self.say(wire) {
            let room = room_for_records(wire);
            let count = fitting(plain.len(), room.len());
            if count == 0 {
                break;
            }
            match self.step_aside(Wish::Encrypt(&plain[..count], room)) {
                Event::Again | Event::Gave => {}
                Event::Open(written) => {
                    wire.fill(written);
                    return Ok(count);
                }
                Event::PeerClosed => self.peer_closed = true,
                Event::Waits | Event::NoRoom => break,
                Event::Failed(error) => {
                    self.failed = true;
                    return Err(refusal::of(&error, false));
                }
            }
        }
        Ok(0)
    }

    fn flush(&mut self, wire: &mut Buffer) {
        if !std::mem::replace(&mut self.greeted, true) {
            while let Event::Again | Event::Gave = self.step_aside(Wish::Nothing) {}
        }
        while self.say(wire) && self.ending == Ending::Due && !self.failed && !self.is_handshaking() {
            let room = wire.spare(OVERHEAD);
            if room.len() < OVERHEAD {
                break;
            }
            match self.step_aside(Wish::CloseNotify(room)) {
                Event::Again | Event::Gave => {}
                Event::Open(written) => {
                    wire.fill(written);
                    self.ending = Ending::Said;
                }
                Event::PeerClosed => self.peer_closed = true,
                Event::Waits | Event::NoRoom | Event::Failed(_) => break,
            }
        }
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::PlainClosed if self.ending == Ending::Open => self.ending = Ending::Due,
            Note::Stopped(_) if self.ending != Ending::Said => self.ending = Ending::Never,
            Note::WireEof => self.wire_ended = true,
            Note::Tick(now) if self.ending == Ending::Said => self.approval.iter_mut().for_each(|one| one.tick(now)),
            Note::PlainClosed | Note::Stopped(_) | Note::Tick(_) | Note::Taken | Note::Delivered(_) => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let waits = self.ending == Ending::Said && !self.failed;
        self.approval.as_ref().filter(|_| waits)?.deadline()
    }

    fn state(&self) -> LayerState {
        match () {
            () if self.failed => LayerState::Failed,
            () if self.is_handshaking() => LayerState::Handshaking,
            () if self.peer_closed && self.held.is_empty() => LayerState::PlainEof,
            () => LayerState::Open,
        }
    }

    fn half_close(&self) -> HalfClose {
        match self.connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => HalfClose::EndsBoth,
            _ => HalfClose::Supported,
        }
    }

    fn says_end(&self) -> bool {
        !self.leads
    }

    fn is_settled(&self) -> bool {
        self.failed || self.is_accepted()
    }

    fn is_accepted(&self) -> bool {
        !self.approval.as_ref().is_some_and(Approval::is_awaited)
    }

    fn seam(&self) -> usize {
        SEAM
    }

    fn summary(&self) -> Option<Summary> {
        self.describe()
    }
}

/// Where the last of the whole records ends that were received, of which those up to `known` are known.
fn whole_records(received: &[u8], known: usize) -> usize {
    let mut end = known;
    while let Some(&[_, _, _, high, low]) = received.get(end..end + HEADER) {
        let next = end + HEADER + usize::from(u16::from_be_bytes([high, low]));
        if next > received.len() {
            break;
        }
        end = next;
    }
    end
}

/// Where the next records go: behind what waits, and only if that is much is it moved out of their way.
fn room_for_records(wire: &mut Buffer) -> &mut [u8] {
    let wanted = RECORD + OVERHEAD;
    if wire.tail() >= wanted || wire.len() > wire.capacity() / 2 {
        let tail = wire.tail();
        return wire.spare(tail);
    }
    wire.spare(usize::MAX)
}

/// How many bytes of plaintext fit there: all, or as many whole records as do.
fn fitting(plain: usize, room: usize) -> usize {
    let (records, rest) = (room / (RECORD + OVERHEAD), room % (RECORD + OVERHEAD));
    let most = records * RECORD + rest.saturating_sub(OVERHEAD);
    if plain <= most { plain } else { records * RECORD }
}

/// A failure of the protocol.
fn failure(said: impl Into<String>) -> Error {
    let failed = Error::begun("the TLS connection failed", Cause::Said(said.into()));
    failed.with_status(ExitStatus::Authentication).without_peer()
}

/// The longest plaintext of a record.
const RECORD: usize = 1 << 14;

/// The header of a record.
const HEADER: usize = 5;

/// More than encryption adds to a record, with a key update before it.
const OVERHEAD: usize = 128;

/// More than a handshake message takes, in records of a reasonable length: rustls takes messages of 64 KiB.
const MOST_BEGUN: usize = 128 * 1024;

/// Most that is said before the wire has taken some of it.
const MOST_SAID: usize = 64 * 1024;

/// Bytes at each seam: 16 records, so that a call of the system moves a quarter of a mebibyte.
pub const SEAM: usize = 16 * (RECORD + OVERHEAD);
