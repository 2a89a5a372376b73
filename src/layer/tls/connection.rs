//! The only file that touches a rustls connection: one step of it, whatever its role, and what came of that.

use std::ops::Deref;

use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

use crate::buffer::Buffer;

/// A connection in either role.
pub(super) enum Connection {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

impl Deref for Connection {
    type Target = CommonState;

    fn deref(&self) -> &CommonState {
        match self {
            Connection::Client(connection) => connection,
            Connection::Server(connection) => connection,
        }
    }
}

impl Connection {
    /// True once a server has said what the next connection may begin with.
    pub(super) fn has_ticket(&self) -> bool {
        match self {
            Connection::Client(connection) => connection.tls13_tickets_received() > 0,
            Connection::Server(_) => false,
        }
    }

    /// One step over what the wire has received; how many bytes of that are done with.
    pub(super) fn step(&mut self, incoming: &mut [u8], outlet: Outlet<'_>, wish: Wish<'_>) -> (usize, Event) {
        match self {
            Connection::Client(connection) => outlet.take(connection.process_tls_records(incoming), wish),
            Connection::Server(connection) => outlet.take(connection.process_tls_records(incoming), wish),
        }
    }
}

/// What is wanted of the connection where it lets its user write.
pub(super) enum Wish<'a> {
    Nothing,
    Encrypt(&'a [u8], &'a mut [u8]),
    CloseNotify(&'a mut [u8]),
}

/// What a step of the connection came to.
pub(super) enum Event {
    /// It may have more to say or to give: ask again.
    Again,
    /// The same, after it gave payload: it holds on to nothing of what was received.
    Gave,
    PeerClosed,
    /// It waits for the peer, in the handshake.
    Waits,
    /// It lets its user write; so many bytes were written.
    Open(usize),
    /// What was to be written has no room.
    NoRoom,
    Failed(rustls::Error),
}

/// Where a step leaves what comes of it.
pub(super) struct Outlet<'a> {
    pub(super) said: &'a mut Vec<u8>,
    pub(super) held: &'a mut Vec<u8>,
    pub(super) plain: Option<&'a mut Buffer>,
}

impl Outlet<'_> {
    /// Does what the state of the connection is for; how many bytes of what was received are done with.
    fn take<Data>(mut self, status: UnbufferedStatus<'_, '_, Data>, wish: Wish<'_>) -> (usize, Event) {
        let UnbufferedStatus { mut discard, state } = status;
        let event = match state {
            Ok(ConnectionState::ReadTraffic(mut records)) => loop {
                match records.next_record() {
                    Some(Ok(record)) => {
                        discard += record.discard;
                        self.give(record.payload);
                    }
                    Some(Err(error)) => break Event::Failed(error),
                    None => break Event::Gave,
                }
            },
            Ok(ConnectionState::EncodeTlsData(mut message)) => {
                let mut length = MESSAGE;
                loop {
                    let before = self.said.len();
                    self.said.resize(before + length, 0);
                    let result = message.encode(&mut self.said[before..]);
                    self.said.truncate(before + result.as_ref().map_or(0, |count| *count));
                    match result {
                        Err(EncodeError::InsufficientSize(wanted)) if wanted.required_size > length => {
                            length = wanted.required_size;
                        }
                        _ => break Event::Again,
                    }
                }
            }
            Ok(ConnectionState::TransmitTlsData(message)) => {
                message.done();
                Event::Again
            }
            Ok(ConnectionState::PeerClosed) => Event::PeerClosed,
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let written = match wish {
                    Wish::Nothing => Ok(0),
                    Wish::Encrypt(plain, wire) => traffic.encrypt(plain, wire),
                    Wish::CloseNotify(wire) => traffic.queue_close_notify(wire),
                };
                match written {
                    Ok(count) => Event::Open(count),
                    Err(EncryptError::InsufficientSize(_)) => Event::NoRoom,
                    Err(EncryptError::EncryptExhausted) => Event::Failed(rustls::Error::EncryptError),
                }
            }
            Ok(_) => Event::Waits,
            Err(error) => Event::Failed(error),
        };
        (discard, event)
    }

    fn give(&mut self, payload: &[u8]) {
        let taken = match &mut self.plain {
            Some(plain) if self.held.is_empty() => plain.push(payload),
            _ => 0,
        };
        self.held.extend_from_slice(&payload[taken..]);
    }
}

/// Room for a message of a handshake, usually.
const MESSAGE: usize = 2 * 1024;
