//! Streams of datagrams: each asks by a datagram of 4 bytes, and is given a socket of its own.

use std::io;
use std::net::SocketAddr;

use super::super::control::Control;
use super::super::ledger::Lane;
use super::super::setup;
use super::Visit;
use crate::bench::protocol::{Refusal, UDP_ANSWER, UDP_HELLO, UDP_OLD_ANSWER, UDP_OLD_HELLO, stream_id};
use crate::bench::reception::Counters;
use crate::bench::traffic::Line;
use crate::datagram::{DatagramSocket, Outbox, Stop};
use crate::endpoint::socket::Name;
use crate::endpoint::udp::Door;
use crate::reactor::Turn;

/// Opens the port of datagrams that has the number of the conversation's.
pub(super) fn open(visit: &Visit, turn: &mut Turn) -> io::Result<Door> {
    let ends = visit.control.as_ref().and_then(Control::socket).map(|socket| socket.ends()).transpose()?;
    let Some([_, Name::Inet(local)]) = ends else { return Err(io::ErrorKind::Unsupported.into()) };
    let mut door = Door::open(local)?;
    door.start(turn)?;
    Ok(door)
}

/// Answers those who knock; with the last one the test begins.
pub(super) fn turn(visit: &mut Visit, turn: &mut Turn) -> Result<(), String> {
    let is_probed = visit.take_probe(turn)?;
    let mut said = [0; 64];
    while visit.opened.len() < visit.asked.streams() {
        let Some(door) = &visit.door else { return Ok(()) };
        let (answer, peer) = match door.knock(turn, &mut said) {
            Ok((4, peer)) if said[..4] == UDP_HELLO => (UDP_ANSWER, peer),
            Ok((4, peer)) if said[..4] == UDP_OLD_HELLO => (UDP_OLD_ANSWER, peer),
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => continue,
        };
        if let Err(why) = admit(visit, peer, answer) {
            visit.talk.refuse(Refusal::Accept);
            return Err(why);
        }
    }
    match is_probed {
        true => {
            visit.close_door(turn);
            visit.begin(turn)
        }
        false => Ok(()),
    }
}

fn admit(visit: &mut Visit, peer: SocketAddr, answer: [u8; 4]) -> Result<(), String> {
    let Some(door) = &visit.door else { return Ok(()) };
    let admitted = door.admit(peer, &setup::options(&visit.asked)).map_err(|error| crate::error::sentence(&error))?;
    let socket = DatagramSocket::ip(admitted.map_err(|error| error.line())?);
    let index = visit.opened.len();
    let local = door.local();
    let name = |address: SocketAddr| (address.ip().to_canonical().to_string(), address.port());
    let lane = Lane::named(stream_id(index), !visit.asked.client_sends(index), name(local), name(peer));
    let mut outbox = Outbox::with_room_for(64, false);
    // an empty outbox has room, and so has a new socket
    let _ = outbox.push(None, &answer);
    if let Stop::Failed(error) | Stop::Refused(error) = outbox.flush(socket.fd()).stop {
        return Err(crate::error::sentence(&error));
    }
    let counters = if visit.asked.wide { Counters::Long } else { Counters::Short };
    visit.opened.push((lane, Some(Line::Datagrams(socket, counters))));
    Ok(())
}
