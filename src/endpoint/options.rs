//! Socket options, each at the phase where it takes effect.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, SockRef, TcpKeepalive};

use crate::error::{Error, Op};
use crate::plan::address::{Keepalive, Options};
use crate::sys;

/// When an option is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before an address is chosen: what decides about addresses and interfaces.
    BeforeBind,
    /// Before connect(2) or listen(2): buffer sizes decide the window scale of the handshake (RFC 7323, 2.3), the rest
    /// is to hold for the handshake's own packets. Linux hands all of these on from a listener to what it accepts.
    BeforeConnect,
    /// After accept(2): once more what other systems do not hand on, and what no Unix socket inherits.
    Accepted,
}

/// What the socket is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// TCP over IPv4.
    V4,
    /// TCP over IPv6, or over both through one socket.
    V6,
    /// A Unix stream socket.
    UnixStream,
    /// Any other Unix socket.
    Unix,
}

impl Target {
    /// The target for a socket of this domain; `stream` is false for SOCK_SEQPACKET.
    pub fn of(domain: Domain, stream: bool) -> Self {
        match domain {
            Domain::IPV4 => Target::V4,
            Domain::IPV6 => Target::V6,
            _ if stream => Target::UnixStream,
            _ => Target::Unix,
        }
    }

    fn is_unix(self) -> bool {
        matches!(self, Target::Unix | Target::UnixStream)
    }
}

/// Sets those options that belong to `phase` and fit the socket. Options that were not given cost no system call.
///
/// # Errors
/// Names the option, its value and the system's answer.
pub fn apply(options: &Options, socket: &impl AsFd, target: Target, phase: Phase) -> Result<(), Error> {
    let setter = Setter { options, fd: socket, target };
    match (phase, target.is_unix()) {
        (Phase::BeforeBind, true) => Ok(()),
        (Phase::BeforeBind, false) => setter.interface(),
        (Phase::BeforeConnect | Phase::Accepted, true) => setter.buffers(),
        (Phase::BeforeConnect, false) => {
            setter.buffers()?;
            setter.congestion()?;
            setter.segments()?;
            setter.stream()
        }
        (Phase::Accepted, false) => setter.stream(),
    }
}

/// Sets on a connected socket what can still be set there: all but what decides about addresses and the handshake.
///
/// # Errors
/// Names the option, its value and the system's answer.
pub fn tune(options: &Options, socket: &impl AsFd) -> Result<(), Error> {
    let domain = SockRef::from(socket).local_addr().map_or(Domain::UNIX, |address| address.domain());
    let setter = Setter { options, fd: socket, target: Target::of(domain, true) };
    setter.buffers()?;
    if setter.target.is_unix() {
        return Ok(());
    }
    setter.congestion()?;
    setter.stream()
}

/// The same for a socket of datagrams.
///
/// # Errors
/// As [`tune`].
pub fn tune_datagrams(options: &Options, socket: &impl AsFd, ipv6: bool) -> Result<(), Error> {
    let target = if ipv6 { Target::V6 } else { Target::V4 };
    let Options { rcvbuf, sndbuf, dscp, ttl, .. } = options.clone();
    let fitting = Options { rcvbuf, sndbuf, dscp, ttl, ..Options::default() };
    let setter = Setter { options: &fitting, fd: socket, target };
    setter.buffers()?;
    setter.stream()
}

struct Setter<'a, F> {
    options: &'a Options,
    fd: &'a F,
    target: Target,
}

impl<F: AsFd> Setter<'_, F> {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.fd)
    }

    fn interface(&self) -> Result<(), Error> {
        let Some(name) = &self.options.iface else { return Ok(()) };
        told("iface", name, sys::bind_to_interface(self.fd.as_fd(), name))
    }

    fn buffers(&self) -> Result<(), Error> {
        if let Some(bytes) = self.options.rcvbuf {
            told("rcvbuf", bytes, self.socket().set_recv_buffer_size(clamp(bytes)))?;
        }
        match self.options.sndbuf {
            Some(bytes) => told("sndbuf", bytes, self.socket().set_send_buffer_size(clamp(bytes))),
            None if self.target == Target::UnixStream => {
                // unlike TCP's, this buffer does not grow by itself; a refusal costs speed and nothing else
                let _ = self.socket().set_send_buffer_size(UNIX_SEND_BUFFER);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn congestion(&self) -> Result<(), Error> {
        let Some(name) = &self.options.congestion else { return Ok(()) };
        match sys::set_congestion(self.fd.as_fd(), name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::said(Op::Set, format!("congestion={name}"), "this system has no such congestion control"))
            }
            result => told("congestion", name, result),
        }
    }

    fn segments(&self) -> Result<(), Error> {
        let Some(bytes) = self.options.mss else { return Ok(()) };
        told("mss", bytes, self.socket().set_tcp_mss(bytes))
    }

    /// What holds for every TCP connection.
    fn stream(&self) -> Result<(), Error> {
        let Options { nodelay, keepalive, user_timeout, dscp, ttl, .. } = self.options;
        if *nodelay {
            told("nodelay", "on", self.socket().set_tcp_nodelay(true))?;
        }
        match keepalive {
            Some(Keepalive::Default) => told("keepalive", "on", self.socket().set_keepalive(true))?,
            Some(Keepalive::Every(time)) => told("keepalive", span(*time), self.keep_alive_every(*time))?,
            None => {}
        }
        if let Some(limit) = user_timeout {
            told("user-timeout", span(*limit), sys::set_user_timeout(self.fd.as_fd(), *limit))?;
        }
        if let Some(dscp) = dscp {
            told("dscp", dscp, self.traffic_class(u32::from(*dscp) << 2))?;
        }
        if let Some(ttl) = ttl {
            told("ttl", ttl, self.hop_limit(u32::from(*ttl)))?;
        }
        Ok(())
    }

    fn keep_alive_every(&self, time: Duration) -> io::Result<()> {
        // the kernel counts whole seconds, and refuses 0
        let time = Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(Duration::from_secs(1));
        self.socket().set_tcp_keepalive(&TcpKeepalive::new().with_time(time).with_interval(time))
    }

    /// On a dual-stack socket both families have their own field; the IPv4 one may be refused on an IPv6 socket.
    fn traffic_class(&self, value: u32) -> io::Result<()> {
        let v4 = self.socket().set_tos_v4(value);
        if self.target == Target::V4 { v4 } else { self.socket().set_tclass_v6(value) }
    }

    fn hop_limit(&self, value: u32) -> io::Result<()> {
        let v4 = self.socket().set_ttl_v4(value);
        if self.target == Target::V4 { v4 } else { self.socket().set_unicast_hops_v6(value) }
    }
}

/// Names the option and its value if it was refused.
pub(super) fn told<T>(name: &str, value: impl std::fmt::Display, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|error| Error::new(Op::Set, format!("{name}={value}"), error))
}

fn span(time: Duration) -> impl std::fmt::Display {
    humantime::format_duration(time)
}

/// setsockopt(2) takes an int.
fn clamp(bytes: u64) -> usize {
    bytes.min(i32::MAX as u64) as usize
}

/// A Unix socket's queue starts at a tenth of this and never grows; the kernel clamps it to net.core.wmem_max.
const UNIX_SEND_BUFFER: usize = 2 << 20;

#[cfg(test)]
mod tests {
    use socket2::{Socket, Type};

    use super::*;

    #[test]
    fn every_option_given_reaches_the_socket() {
        let options = Options {
            nodelay: true,
            keepalive: Some(Keepalive::Every(Duration::from_millis(1500))),
            rcvbuf: Some(20_000),
            sndbuf: Some(30_000),
            dscp: Some(46),
            ttl: Some(7),
            ..Options::default()
        };
        for (domain, target) in [(Domain::IPV4, Target::V4), (Domain::IPV6, Target::V6)] {
            let socket = Socket::new(domain, Type::STREAM, None).unwrap();
            apply(&options, &socket, target, Phase::BeforeConnect).unwrap();
            assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(2));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(2));
            // Linux reports twice what was asked for, the half of it being its own bookkeeping (socket(7))
            assert!((20_000..=40_000).contains(&socket.recv_buffer_size().unwrap()));
            assert!((30_000..=60_000).contains(&socket.send_buffer_size().unwrap()));
            match target {
                Target::V4 => assert_eq!((socket.tos_v4().unwrap(), socket.ttl_v4().unwrap()), (184, 7)),
                _ => assert_eq!((socket.tclass_v6().unwrap(), socket.unicast_hops_v6().unwrap()), (184, 7)),
            }
        }
    }

    #[test]
    fn a_refused_option_is_named_with_its_value_and_is_a_usage_error() {
        let options = Options { iface: Some("nosuch0".into()), ..Options::default() };
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let error = apply(&options, &socket, Target::V4, Phase::BeforeBind).unwrap_err();
        assert!(error.line().starts_with("cannot set iface=nosuch0: "), "{error}");
        assert_eq!(error.status().code(), 2);
        let options = Options { congestion: Some("nosuchcc".into()), ..Options::default() };
        let error = apply(&options, &socket, Target::V4, Phase::BeforeConnect).unwrap_err();
        assert!(error.line().starts_with("cannot set congestion=nosuchcc: "), "{error}");
    }

    #[test]
    fn a_unix_stream_gets_a_wider_send_buffer_unless_told_otherwise() {
        let (wide, narrow) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        apply(&Options::default(), &wide, Target::UnixStream, Phase::Accepted).unwrap();
        let options = Options { sndbuf: Some(10_000), ..Options::default() };
        apply(&options, &narrow, Target::UnixStream, Phase::Accepted).unwrap();
        assert!(wide.send_buffer_size().unwrap() > narrow.send_buffer_size().unwrap());
        assert!(narrow.send_buffer_size().unwrap() <= 20_000);
    }
}
