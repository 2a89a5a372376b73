//! Where a client's datagrams go: which target, which of its addresses, and what a refusal changes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::Ferry;
use super::flight::{Far, Key, Lead};
use crate::command::programs::Talk;
use crate::command::relay::floor::{Goal, Place};
use crate::datagram::flows::FlowId;
use crate::datagram::{DatagramSocket, Peer};
use crate::endpoint::process;
use crate::endpoint::udp::{in_order, known_addresses, point_at};
use crate::error::{Error, Op, sentence};
use crate::escape::Escaped;
use crate::event::Event;
use crate::plan::address::{Kind, Program};
use crate::reactor::Turn;

impl Ferry {
    /// True once every name of a target was looked up, whatever came of it. Until then clients wait in the kernel's buffer.
    pub(super) fn knows_names(&self, turn: &mut Turn) -> bool {
        let Some(place) = self.floor.place(self.pair) else { return true };
        let mut known = true;
        for (goal, _) in &place.goals {
            if let Some((_, Some(name))) = goal.way() {
                known &= self.floor.names.is_answered(turn, name);
            }
        }
        known
    }

    /// A socket towards the target whose turn it is, or its program; or another target if that cannot be had.
    ///
    /// # Errors
    /// None can be had.
    pub(super) fn open(&mut self, turn: &mut Turn, key: &Key, number: u64) -> Result<Far, Error> {
        let now = turn.now();
        self.shunned.retain(|(_, at)| *at + SHUNNED > now);
        let floor = std::rc::Rc::clone(&self.floor);
        let none = || Error::said(Op::Connect, "a target", "there is none");
        let place = floor.place(self.pair).ok_or_else(none)?;
        let mut found: Vec<(usize, Option<SocketAddr>)> = Vec::new();
        for target in place.scales.order(now) {
            let Some((goal, _)) = place.goals.get(target) else { continue };
            let Some((address, name)) = goal.way() else {
                found.push((target, None));
                continue;
            };
            let addresses = match name {
                Some(name) => in_order(floor.names.known(name)),
                None => known_addresses(address)?,
            };
            match &address.kind {
                Kind::Udp(_) => found.extend(addresses.into_iter().map(|address| (target, Some(address)))),
                _ => found.push((target, None)),
            }
            if let Some(name) = name
                && floor.names.known(name).is_empty()
            {
                floor.names.doubt(turn, name);
            }
        }
        // those that have just refused somebody come last
        found.sort_by_key(|(_, address)| address.is_some_and(|address| self.is_shunned(address)));
        let mut failure = None;
        for (target, address) in found {
            let Some((goal, _)) = place.goals.get(target) else { continue };
            let opened = match goal {
                Goal::Run(program) => self.run(turn, program, key, number, place, target),
                Goal::Open(_) => point(turn, place, target, address)?,
            };
            match opened {
                Ok(far) => return Ok(far),
                Err(error) => {
                    place.scales.failed(target, now);
                    failure.get_or_insert(error);
                }
            }
        }
        let object = || place.goals.first().map_or_else(Vec::new, |(goal, _)| goal.object());
        Err(failure.unwrap_or_else(|| Error::said(Op::Connect, object(), "its name was not found")))
    }

    /// A program for a client.
    fn run(
        &mut self,
        turn: &mut Turn,
        program: &Program,
        key: &Key,
        number: u64,
        place: &Place,
        target: usize,
    ) -> Result<Far, Error> {
        let name = process::name(program);
        let (Some(programs), Some(door)) = (&mut self.programs, &self.door) else {
            return Err(Error::said(Op::Start, name, "there is no place for programs"));
        };
        let talk = Talk { number, peer: key.client, local: key.local };
        programs.start(turn, program, talk, (door.protocol, &door.local(key.local)))?;
        let peer = Escaped(&name).to_string();
        let (lead, to, address, local) = (Lead::Program, None, None, String::new());
        Ok(Far { lead, to, address, target, peer, local, _file: None, _weight: place.scales.put(target) })
    }

    /// Makes a flow's new socket known, and tells of it.
    pub(super) fn introduce(&mut self, id: FlowId) {
        let Some((_, flight)) = self.flows.get(id) else { return };
        let Some(far) = &flight.far else { return };
        let Some(socket) = far.socket() else { return };
        if let Some(slot) = socket.slot() {
            self.by_slot.insert(slot, id);
        }
        let protocol = if far.address.is_some() { "udp" } else { "unix-dgram" };
        let (peer, local) = (far.peer.clone(), far.local.clone());
        let event = Event::Connected { session: flight.number, protocol, peer, local, secured: None };
        self.floor.observer().observe(&event);
    }

    /// A target has refused what a flow sent, or cannot be sent to: told once for a flow. Where nothing was ever answered
    /// and there is another way, the next datagram takes it.
    pub(super) fn refused(&mut self, turn: &mut Turn, id: FlowId, error: &io::Error) {
        let Some(flight) = self.flows.get_mut(id) else { return };
        let Some(far) = &flight.far else { return };
        let (number, target, address) = (flight.number, far.target, far.address);
        if !std::mem::replace(&mut flight.told, true) {
            let reason = format!("cannot reach {}: {}", far.peer, sentence(error));
            self.floor.observer().observe(&Event::Error { session: Some(number), reason });
        }
        if !is_refusal(error) {
            return; // too long, say: another target would not take it either
        }
        let mut stays = flight.was_answered;
        let floor = std::rc::Rc::clone(&self.floor);
        let Some(place) = floor.place(self.pair) else { return };
        if let Some((_, Some(name))) = place.goals.get(target).and_then(|(goal, _)| goal.way()) {
            floor.names.doubt(turn, name);
            stays &= address.is_none_or(|address| floor.names.known(name).contains(&address));
        }
        if stays {
            return;
        }
        if let Some(address) = address
            && !self.is_shunned(address)
        {
            self.shunned.push((address, turn.now()));
        }
        if !self.has_another_address(target) {
            place.scales.failed(target, turn.now());
        }
        let another = place.goals.len() > 1 || self.has_another_address(target);
        if another && let Some(far) = self.flows.get_mut(id).and_then(|flight| flight.far.take()) {
            self.leave_target(turn, far, number);
        }
    }

    /// A flow that was never answered follows the name of its target to another address; one that was is left alone, since
    /// a name may have several and tell some of them at a time.
    pub(super) fn follow_name(&mut self, turn: &mut Turn, id: FlowId) {
        let generation = self.floor.names.generation();
        let Some(flight) = self.flows.get_mut(id) else { return };
        if std::mem::replace(&mut flight.generation, generation) == generation || flight.was_answered {
            return;
        }
        let number = flight.number;
        let Some(far) = &flight.far else { return };
        let floor = std::rc::Rc::clone(&self.floor);
        let goal = floor.place(self.pair).and_then(|place| place.goals.get(far.target));
        let way = goal.and_then(|(goal, _)| goal.way());
        let (Some((_, Some(name))), Some(address)) = (way, far.address) else { return };
        if !floor.names.known(name).contains(&address)
            && let Some(far) = flight.far.take()
        {
            self.leave_target(turn, far, number);
        }
    }

    fn is_shunned(&self, address: SocketAddr) -> bool {
        self.shunned.iter().any(|(shunned, _)| *shunned == address)
    }

    /// True if a target has an address that has not just refused somebody.
    fn has_another_address(&self, target: usize) -> bool {
        let Some(place) = self.floor.place(self.pair) else { return false };
        let Some((to, name)) = place.goals.get(target).and_then(|(goal, _)| goal.way()) else { return false };
        let addresses = match name {
            Some(name) => self.floor.names.known(name),
            None => known_addresses(to).unwrap_or_default(),
        };
        addresses.into_iter().any(|address| !self.is_shunned(address))
    }
}

/// A socket towards a target, at this address if it has one. What is wrong with the target alone is the inner error.
///
/// # Errors
/// The target makes no sense, or epoll refuses.
fn point(
    turn: &mut Turn,
    place: &Place,
    target: usize,
    address: Option<SocketAddr>,
) -> Result<Result<Far, Error>, Error> {
    let none = || Error::said(Op::Connect, "a target", "there is none");
    let (goal, _) = place.goals.get(target).ok_or_else(none)?;
    let (to, _) = goal.way().ok_or_else(none)?;
    let pointed = match point_at(to, address)? {
        Ok(pointed) => pointed,
        Err(error) => return Ok(Err(Error::new(Op::Connect, goal.object(), error))),
    };
    let mut socket = match address {
        Some(_) => DatagramSocket::ip(pointed.fd),
        None => DatagramSocket::unix(pointed.fd),
    };
    socket.prepare(false);
    socket.start(turn).map_err(|error| Error::new(Op::Open, "the event loop", error))?;
    let (lead, to, file) = (Lead::Socket(socket), pointed.to.map(Peer::Ip), pointed.file);
    let (peer, local) = (pointed.peer, pointed.local);
    Ok(Ok(Far { lead, to, address, target, peer, local, _file: file, _weight: place.scales.put(target) }))
}

/// What says that nobody is there, or on the way.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, NotConnected, NotFound,
    };
    let kinds = [ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, NotConnected, NotFound];
    kinds.contains(&error.kind())
}

/// How long an address that has refused somebody is only tried when the others fail, too.
const SHUNNED: Duration = Duration::from_secs(5);
