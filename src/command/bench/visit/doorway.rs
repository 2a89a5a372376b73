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
use crate::sys;

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
    answer_again(visit, &mut said);
    while visit.opened.len() < visit.asked.streams() {
        let Some(door) = &visit.door else { return Ok(()) };
        let (length, peer) = match door.knock(turn, &mut said) {
            Ok(both) => both,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => continue,
        };
        let Some(answer) = answer_to(&said[..length]) else { continue };
        if let Some(socket) = admitted(visit, peer) {
            // it knocked twice before it was let in
            let _ = send(socket, answer);
            continue;
        }
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

/// What is said to somebody who knocks.
fn answer_to(said: &[u8]) -> Option<[u8; 4]> {
    let all = [(UDP_HELLO, UDP_ANSWER), (UDP_OLD_HELLO, UDP_OLD_ANSWER)];
    all.iter().find(|(hello, _)| said == hello).map(|(_, answer)| *answer)
}

/// Answers those again who were let in and knock all the same: the answer was lost on its way.
fn answer_again(visit: &Visit, said: &mut [u8]) {
    for (_, line) in &visit.opened {
        let Some(Line::Datagrams(socket, _)) = line else { continue };
        // what else comes before the test begins belongs to nobody
        for _ in 0..MOST_AT_ONCE {
            let Ok(length) = sys::receive(socket.fd(), said) else { break };
            if let Some(answer) = answer_to(&said[..length]) {
                let _ = send(socket, answer);
            }
        }
    }
}

/// Datagrams of one peer that are looked at in one turn.
const MOST_AT_ONCE: usize = 64;

/// The socket of somebody who was let in.
fn admitted(visit: &Visit, peer: SocketAddr) -> Option<&DatagramSocket> {
    let (host, port) = name(peer);
    let is_theirs = |lane: &Lane| lane.connection.remote_port == port && lane.connection.remote == host;
    visit.opened.iter().find_map(|(lane, line)| match line {
        Some(Line::Datagrams(socket, _)) if is_theirs(lane) => Some(socket),
        _ => None,
    })
}

fn name(address: SocketAddr) -> (String, u16) {
    (address.ip().to_canonical().to_string(), address.port())
}

fn send(socket: &DatagramSocket, answer: [u8; 4]) -> io::Result<()> {
    let mut outbox = Outbox::with_room_for(64, false);
    // an empty outbox has room, and so has a new socket
    let _ = outbox.push(None, &answer);
    match outbox.flush(socket.fd()).stop {
        Stop::Failed(error) | Stop::Refused(error) => Err(error),
        Stop::Empty | Stop::Full => Ok(()),
    }
}

fn admit(visit: &mut Visit, peer: SocketAddr, answer: [u8; 4]) -> Result<(), String> {
    let Some(door) = &visit.door else { return Ok(()) };
    let admitted = door.admit(peer, &setup::options(&visit.asked)).map_err(|error| crate::error::sentence(&error))?;
    let socket = DatagramSocket::ip(admitted.map_err(|error| error.line())?);
    let index = visit.opened.len();
    let local = door.local();
    let lane = Lane::named(stream_id(index), !visit.asked.client_sends(index), name(local), name(peer));
    send(&socket, answer).map_err(|error| crate::error::sentence(&error))?;
    let counters = if visit.asked.wide { Counters::Long } else { Counters::Short };
    visit.opened.push((lane, Some(Line::Datagrams(socket, counters))));
    Ok(())
}
