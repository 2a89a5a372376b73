//! Datagram sockets, opened by plan: bound to listen, groups joined, or pointed at a peer. Moving datagrams is the
//! business of others; what is given out is a descriptor, non-blocking, and what there is to know about it.
//!
//! Names are looked up here, before there is a loop and before any signal is caught: ^C still ends haul at once while a
//! lookup hangs, and no limit of time counts it.

mod bound;
mod course;
mod door;

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsFd;

use socket2::{SockRef, Socket};

use super::options::{self, Phase, Target, told};
use super::resolve::{Lookup, NoAddress};
use crate::error::{Error, Op};
use crate::plan::address::{Host, HostPort, Options};
use crate::sys;
pub use bound::{Bound, bind, bind_beside};
pub use course::{Course, Pointed, in_order, known_addresses, point_at};
pub use door::Door;

/// IPv4 first.
fn sorted(mut list: Vec<SocketAddr>) -> Vec<SocketAddr> {
    list.sort_by_key(SocketAddr::is_ipv6);
    list
}

fn look_up(host: &Host, port: u16, options: &Options) -> Result<Vec<SocketAddr>, NoAddress> {
    Lookup::new(&HostPort { host: host.clone(), port }, options).and_then(Lookup::wait)
}

/// The index of the interface for a group: the option's, or the scope of its address; 0 is the system's choice.
fn interface(options: &Options, group: &SocketAddr) -> Result<u32, Error> {
    match (&options.iface, group) {
        (Some(name), _) => told("iface", name, sys::interface_index(name)),
        (None, SocketAddr::V6(v6)) => Ok(v6.scope_id()),
        (None, SocketAddr::V4(_)) => Ok(0),
    }
}

/// The same address, with the scope that it lacks.
fn scoped(address: SocketAddr, index: u32) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() == 0 && index != 0 => {
            SocketAddrV6::new(*v6.ip(), v6.port(), v6.flowinfo(), index).into()
        }
        SocketAddr::V4(v4) => SocketAddrV4::new(*v4.ip(), v4.port()).into(),
        address => address,
    }
}

/// Everything that is set before the socket has a name.
fn set_options(socket: &Socket, options: &Options, group: bool, index: u32, ipv6: bool) -> Result<(), Error> {
    let target = if ipv6 { Target::V6 } else { Target::V4 };
    if options.df {
        told("df", "on", sys::never_fragment(socket.as_fd(), ipv6))?;
    }
    if options.broadcast && !ipv6 {
        told("broadcast", "on", socket.set_broadcast(true))?;
    }
    if !group {
        if options.loopback.is_some() {
            return Err(Error::said(Op::Use, "--loop", "it is about a multicast group, and that is none"));
        }
        if options.ttl == Some(0) {
            return Err(Error::said(Op::Use, "--ttl 0", "only to a multicast group a packet may have no hop"));
        }
        options::apply(options, socket, target, Phase::BeforeBind)?;
        return options::apply(options, socket, target, Phase::BeforeConnect);
    }
    // a group goes by an interface of its own, and has a hop limit of its own
    let rest = Options { ttl: None, ..options.clone() };
    options::apply(&rest, socket, target, Phase::BeforeConnect)?;
    if index != 0 {
        let shown = options.iface.clone().unwrap_or_else(|| index.to_string());
        told("iface", shown, sys::send_groups_by(socket.as_fd(), ipv6, index))?;
    }
    if let Some(hops) = options.ttl {
        let hops = u32::from(hops);
        let set = if ipv6 { socket.set_multicast_hops_v6(hops) } else { socket.set_multicast_ttl_v4(hops) };
        told("ttl", hops, set)?;
    }
    if let Some(on) = options.loopback {
        let set = if ipv6 { socket.set_multicast_loop_v6(on) } else { socket.set_multicast_loop_v4(on) };
        told("loop", if on { "on" } else { "off" }, set)?;
    }
    Ok(())
}

/// Room for a burst while haul is not looking, unless somebody has said how much; the kernel clamps it to
/// net.core.rmem_max, and a refusal costs datagrams under load and nothing else.
fn widen(socket: &Socket, options: &Options) {
    if options.rcvbuf.is_none() {
        let _ = SockRef::from(socket).set_recv_buffer_size(RECEIVE_BUFFER);
    }
}

const RECEIVE_BUFFER: usize = 8 << 20;

#[cfg(test)]
mod tests;
