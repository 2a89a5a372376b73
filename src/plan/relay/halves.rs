//! What may stand on either half of a pair: endpoints that accept, and endpoints that each session can have one of.

use super::super::ProxyVersion;
use super::super::address::{Address, Host, Kind, UnixName, UnixSocket};
use super::super::advice::{clash, family};
use super::super::datagram::{is_datagram, is_group};
use super::super::role::{in_this_version, refusal};
use super::{Pair, Relay, Target, datagram};
use crate::error::{Error, Op};

/// Refuses a listener that accepts nothing, and what makes no sense in front of it.
pub(super) fn listens(at: &Address, plan: &Relay) -> Result<(), Error> {
    let serving = &plan.serving;
    let no = |cause: &str, advice: &str| Err(refusal(Op::Listen, at, cause, advice.into()));
    family(at)?;
    if !is_datagram(at) {
        in_this_version(Op::Listen, at)?;
    }
    let lists = if serving.allow.is_empty() { "--deny" } else { "--allow" };
    match &at.kind {
        Kind::Udp(place) if at.options.source.is_some() && is_group(&place.host) != Some(false) => Ok(()),
        _ if at.options.source.is_some() || at.options.source_port.is_some() => {
            no("a source is where a connection comes from", "the address to listen on, and its port")
        }
        Kind::Unix(_, UnixSocket::Seqpacket) if plan.proxy_accept.is_some() => Err(clash(
            "--proxy-accept",
            &at.to_string(),
            "a header goes before a stream, not before packets",
            "unix:PATH",
        )),
        Kind::Unix(..) | Kind::Path(_) if plan.proxy_accept.as_ref().is_some_and(|lists| !lists.is_empty()) => {
            let why = "who connects there has no address";
            Err(clash(
                "a list behind --proxy-accept",
                &at.to_string(),
                why,
                "--proxy-accept alone, and the option mode",
            ))
        }
        Kind::Unix(..) | Kind::Path(_)
            if plan.proxy_accept.is_none() && !(serving.allow.is_empty() && serving.deny.is_empty()) =>
        {
            let why = "who connects there has no address";
            Err(clash(lists, &at.to_string(), why, "the option mode, and the directory's permissions"))
        }
        Kind::Tcp(_) | Kind::Udp(_) | Kind::Unix(..) | Kind::Path(_) => Ok(()),
        Kind::Fd { read, write } if at.options.listen && read == write && !matches!(read, 1 | 2) => Ok(()),
        Kind::Fd { .. } => no("a listening socket is one descriptor, and no stream of output", "fd,listen:3"),
        _ => no("it takes no connections", "a port, or a path"),
    }
}

/// Refuses a target that not every session can have one of.
pub(super) fn reaches(to: &Address, plan: &Relay) -> Result<(), Error> {
    let no = |cause: &str, advice: &str| Err(refusal(Op::Connect, to, cause, advice.into()));
    family(to)?;
    if is_datagram(to) {
        return datagram::reaches(to, plan);
    }
    in_this_version(Op::Connect, to)?;
    match &to.kind {
        Kind::Tcp(at) if at.port == 0 => no("port 0 is no port to connect to", "the port that the target listens on"),
        _ if to.options.listen => no("the option listen waits for a connection", "the endpoint without it"),
        Kind::Unix(..) | Kind::Path(_) if to.options.mode.is_some() => {
            no("only a listener sets the mode of a socket", "the endpoint without it")
        }
        Kind::Stdio | Kind::Fd { .. } => {
            no("there is one of it, and every session wants its own", "haul listen, for one connection")
        }
        Kind::Fifo(_) => no("there is one of it, and every session wants its own", "a program: sh:'cat > FIFO'"),
        Kind::File(_) if to.options.append && to.options.offset.is_some() => {
            no("append writes at the end, whatever the offset", "one of the two options")
        }
        _ => Ok(()),
    }
}

/// Refuses a PROXY header in front of what is no connection.
pub(in crate::plan) fn is_introduced(to: &Address, version: Option<ProxyVersion>) -> Result<(), Error> {
    let why = match &to.kind {
        Kind::Unix(_, UnixSocket::Seqpacket) => "a header goes before a stream, not before packets",
        Kind::Tcp(_) | Kind::Unix(..) | Kind::Path(_) => return Ok(()),
        Kind::Exec(_) | Kind::Shell(_) => "a program finds its client in HAUL_PEER_ADDR",
        _ => "nobody there reads a header",
    };
    match version {
        Some(_) => Err(clash("--proxy-send", &to.to_string(), why, "the command without it")),
        None => Ok(()),
    }
}

/// True if it is plain to see that a connection to `to` comes to `at`.
pub(super) fn is_itself(at: &Address, to: &Address) -> bool {
    match (&at.kind, &to.kind) {
        (Kind::Tcp(at), Kind::Tcp(to)) | (Kind::Udp(at), Kind::Udp(to)) if at.port == to.port && at.port != 0 => {
            // no host, and a name that means this machine, have an address of either family
            let either = to.host == Host::Unspecified || matches!(to.host, Host::Name(_)) && to.host.is_loopback();
            let here = either || to.host.is_loopback();
            let reached = match &at.host {
                Host::Unspecified => here,
                Host::V4(ip) if ip.is_unspecified() => here && !matches!(to.host, Host::V6(..)),
                Host::V6(ip, _) if ip.is_unspecified() => here && !matches!(to.host, Host::V4(_)),
                host => either && host.is_loopback(),
            };
            at.host == to.host || reached
        }
        (Kind::Unix(at, _), Kind::Unix(to, _)) => at == to,
        (Kind::Path(at), Kind::Path(to)) => at == to,
        (Kind::Unix(UnixName::Path(one), _), Kind::Path(other))
        | (Kind::Path(other), Kind::Unix(UnixName::Path(one), _)) => one == other,
        _ => false,
    }
}

/// Refuses pairs that lead from one to the next and back to the first, where that is plain to see.
pub(super) fn no_ring(pairs: &[Pair]) -> Result<(), Error> {
    let leads = |from: usize, to: usize| {
        let targets = pairs[from].targets.iter().filter_map(Target::address);
        targets.into_iter().any(|target| target.options.way.is_none() && is_itself(&pairs[to].at, target))
    };
    for first in 0..pairs.len() {
        // each listener that can be reached from there, behind the one that leads to it
        let mut reached = vec![(first, 0)];
        let mut next = 0;
        while let Some((from, _)) = reached.get(next).copied() {
            if next > 0 && leads(from, first) {
                let mut through = Vec::new();
                while next > 0 {
                    through.push(pairs[reached[next].0].at.to_string());
                    next = reached[next].1;
                }
                through.reverse();
                let through = through.join(" and ");
                let cause =
                    format!("its target leads back to it through {through}, and every connection would make the next");
                return Err(refusal(Op::Listen, &pairs[first].at, &cause, "another target".into()));
            }
            for to in 0..pairs.len() {
                if reached.iter().all(|(pair, _)| *pair != to) && leads(from, to) {
                    reached.push((to, next));
                }
            }
            next += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::address::Options;
    use super::super::settle;
    use super::super::tests::{refused, relay};
    use crate::outcome::ExitStatus;

    #[test]
    fn a_relay_onto_its_own_listener_is_refused_when_it_is_plain_to_see() {
        for (at, to) in [
            ("9000", "9000"),
            ("9000", "127.0.0.1:9000"),
            ("9000", "localhost:9000"),
            ("0.0.0.0:9000", "127.0.0.1:9000"),
            ("::/9000", "::1/9000"),
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("127.0.0.1:9000", "localhost:9000"),
            ("::1/9000", "localhost:9000"),
            ("localhost:9000", "9000"),
            ("unix:/s", "unix:/s"),
            ("@s", "@s"),
            ("/s", "/s"),
            ("/s", "unix:/s"),
            ("unix:/s", "/s"),
            ("udp:9000", "udp:127.0.0.1:9000"),
            ("unix,dgram:/s", "unix,dgram:/s"),
        ] {
            let error = refused(at, to);
            assert_eq!(error.status(), ExitStatus::Usage, "{at} {to}");
            assert!(error.line().contains("this very listener"), "{error}");
        }
        for (at, to) in [
            ("9000", "9001"),
            ("9000", "db:9000"),
            ("9000", "192.0.2.1:9000"),
            ("127.0.0.1:9000", "127.0.0.2:9000"),
            ("0.0.0.0:9000", "::1/9000"),
            ("::/9000", "127.0.0.1:9000"),
            ("0", "db:1"),
            ("/s", "/t"),
        ] {
            assert!(settle(&mut relay(at, to), &Options::default()).is_ok(), "{at} {to}");
        }
    }

    #[test]
    fn pairs_that_lead_in_a_ring_are_refused() {
        let settled = |pairs: &[(&str, &str)]| {
            let mut all: Vec<_> = pairs.iter().map(|(at, to)| relay(at, to)).collect();
            let mut plan = all.remove(0);
            plan.pairs.extend(all.into_iter().flat_map(|relay| relay.pairs));
            settle(&mut plan, &Options::default())
        };
        let error = settled(&[("9000", "9001"), ("127.0.0.1:9001", "localhost:9000")]).unwrap_err();
        assert_eq!(error.status(), ExitStatus::Usage);
        let why = "its target leads back to it through tcp:127.0.0.1:9001, and every connection would make the next";
        assert_eq!(error.line(), format!("cannot listen on tcp:9000: {why}"));
        let ring = [("7000", "@a"), ("@a", "/b"), ("unix:/b", "9002"), ("9002", "@a")];
        assert!(settled(&ring).unwrap_err().line().contains("through unix:/b and tcp:9002, and"));
        assert!(settled(&[("udp:9", "udp:8"), ("udp:8", "udp:9")]).is_err());
        // one behind the other, and the same number elsewhere
        assert!(settled(&ring[..3]).is_ok());
        assert!(settled(&[("9000", "9001"), ("127.0.0.1:9001", "db:9000")]).is_ok());
        assert!(settled(&[("9000", "9001"), ("udp:9001", "udp:9000")]).is_ok());
    }

    #[test]
    fn what_cannot_be_a_half_is_refused_as_usage() {
        for (at, to) in [
            ("-", "a:1"),
            ("echo:", "a:1"),
            ("fd:3", "a:1"),
            ("udp:53", "a:1"),
            ("ws+exec:cat", "a:1"),
            ("tls,sni=a:1", "a:1"),
            ("unix,dgram:/s", "unix:/t"),
            ("udp:53", "udp:a:0"),
            ("127.0.0.1:1", "unix,dgram:/s"),
            ("udp:127.0.0.1:53", "tls:a:1"),
            ("udp:127.0.0.1:53", "file:x"),
            ("udp:53", "udp,source-port=9:a:1"),
            ("1", "-"),
            ("1", "fd:3"),
            ("1", "a:0"),
            ("1", "udp:a:1"),
            ("1", "ws:a:0"),
            ("1", "tls,client-ca=f:a:1"),
            ("1", "http://proxy:1"),
            ("1", "unix,mode=660:/s"),
        ] {
            let error = refused(at, to);
            assert_eq!(error.status(), ExitStatus::Usage, "{at} {to}");
            assert!(error.advice().is_some(), "{at} {to}");
        }
    }
}
