//! Pairs that pass datagrams on: what of the rest of a plan has a meaning for them.

use super::super::DEFAULT_LINGER;
use super::super::address::{Address, Host, Kind, UnixSocket};
use super::super::advice::{Advice, advice, clash};
use super::super::datagram::{DEFAULT_FLOW_IDLE, is_datagram, is_group};
use super::super::role::refusal;
use super::{DEFAULT_CONNECT_TIMEOUT, DEFAULT_HALF_CLOSE, Pair, Relay, Target};
use crate::error::{Error, Op};
use std::time::Duration;

impl Pair {
    /// True if datagrams come in, and go out.
    pub fn is_datagram(&self) -> bool {
        is_datagram(&self.at)
    }
}

impl Relay {
    /// `--flow-idle`: a client of a datagram socket that has been silent for this long, both ways, is forgotten. `-w` does
    /// for it where it is not given.
    pub fn silence(&self) -> Duration {
        self.flow_idle.or(self.transfer.idle).unwrap_or(DEFAULT_FLOW_IDLE)
    }
}

/// Refuses what cannot be done with datagrams: streams on the other half, headers in front, what a stream's faults need.
pub(super) fn settle(plan: &Relay) -> Result<(), Error> {
    for Pair { at, targets } in &plan.pairs {
        for target in targets {
            halves(at, target)?;
        }
        if is_datagram(at) {
            listens(at, plan)?;
        }
    }
    let (mut datagrams, mut streams) = (false, false);
    plan.pairs.iter().for_each(|pair| if pair.is_datagram() { datagrams = true } else { streams = true });
    if let Some(flag) = plan.faults.only_for_datagrams().filter(|_| streams) {
        let why = "a stream loses nothing, and keeps its order";
        let advice = "--delay, --jitter, --chop, --corrupt, --reset-after or --stall-after";
        return Err(clash(flag, "a stream", why, advice));
    }
    if let Some(flag) = plan.faults.only_for_streams().filter(|_| datagrams) {
        let why = "datagrams are no stream of bytes that could be cut somewhere";
        return Err(clash(flag, "datagrams", why, "--loss, --dup, --reorder, --delay, --jitter or --corrupt"));
    }
    if plan.flow_idle.is_some() && !datagrams {
        let why = "it is about datagrams";
        return Err(clash("--flow-idle", "connections alone", why, "-w T, for a session without a byte"));
    }
    Ok(())
}

/// Refuses to put datagrams into a stream, which would lose their bounds, and the other way round. A program keeps them:
/// each is a write to it, and each of its writes is one.
fn halves(at: &Address, target: &Target) -> Result<(), Error> {
    let no = |cause: &str, advice: String| Err(refusal(Op::Listen, at, cause, advice));
    match (is_datagram(at), target) {
        (true, target) if target.is_program() => Ok(()),
        (true, Target::Address(to)) if !is_datagram(to) => {
            let bare = |kind| Address { kind, layers: Vec::new(), ..to.as_ref().clone() };
            let or = |kind| format!("{}, or where bounds do not matter sh:'haul connect {to}'", bare(kind));
            let remedy = match &to.kind {
                Kind::Tcp(place) => or(Kind::Udp(place.clone())),
                Kind::Unix(name, _) => or(Kind::Unix(name.clone(), UnixSocket::Datagram)),
                Kind::File(_) => "sh:'cat >> FILE'".into(),
                _ => "udp:HOST:PORT".into(),
            };
            no(&format!("in {to} the bounds of datagrams would be lost"), remedy)
        }
        (false, Target::Address(to)) if is_datagram(to) => {
            let how = if matches!(to.kind, Kind::Udp(_)) { "udp:PORT" } else { "unix,dgram:PATH" };
            let cause = format!("{to} takes datagrams, and a stream has no bounds to make them of");
            no(&cause, format!("{how}, to listen for datagrams, or sh:'haul connect --split len16 {to}'"))
        }
        _ => Ok(()),
    }
}

fn listens(at: &Address, plan: &Relay) -> Result<(), Error> {
    let header = "a header goes before a stream, not before datagrams";
    for (given, flag) in [(plan.proxy_accept.is_some(), "--proxy-accept"), (plan.proxy_send.is_some(), "--proxy-send")]
    {
        if given {
            return Err(clash(flag, &at.to_string(), header, "the command without it"));
        }
    }
    Ok(())
}

/// Refuses a target of datagrams that cannot be sent to.
pub(super) fn reaches(to: &Address, plan: &Relay) -> Result<(), Error> {
    let no = |cause: &str, advice: &str| Err(refusal(Op::Connect, to, cause, advice.into()));
    let alone = plan.once || plan.serving.most == Some(1);
    match &to.kind {
        Kind::Udp(at) if at.port == 0 => no("port 0 is no port to send to", "the port that the target listens on"),
        _ if to.options.listen => no("the option listen waits for a connection", "the endpoint without it"),
        Kind::Unix(..) if to.options.mode.is_some() => {
            no("only a listener sets the mode of a socket", "the endpoint without it")
        }
        _ if to.options.source_port.is_some_and(|port| port != 0) && !alone => {
            no("every client needs a port of its own towards it", "no source port, or -m 1")
        }
        _ if matches!(to.options.source, Some(Host::Name(_))) => {
            no("a source that has to be looked up would hold everybody", "the source's address")
        }
        _ => Ok(()),
    }
}

/// What is legal but odd.
pub(super) fn odd(plan: &Relay) -> Vec<Advice> {
    let mut odd = Vec::new();
    if plan.pairs.iter().all(Pair::is_datagram) {
        let defaults = (DEFAULT_CONNECT_TIMEOUT, DEFAULT_HALF_CLOSE, DEFAULT_LINGER, true);
        if (plan.connect_timeout, plan.half_close, plan.transfer.linger, plan.transfer.splice) != defaults {
            let sentence =
                "--connect-timeout, --half-close-timeout, --linger and --splice change nothing for datagrams";
            odd.push(advice(sentence, "the command without them"));
        }
    }
    for Pair { at, .. } in plan.pairs.iter().filter(|pair| pair.is_datagram()) {
        let group = matches!(&at.kind, Kind::Udp(place) if is_group(&place.host) == Some(true));
        let unix = matches!(at.kind, Kind::Unix(_, UnixSocket::Datagram));
        if plan.threads > 1 && (group || unix) {
            odd.push(advice(
                &format!("--threads gives {at} one thread: only UDP has several sockets for one port"),
                "1",
            ));
        }
        if unix && plan.serving.most_per_ip.is_some() {
            odd.push(advice(&format!("--max-per-ip changes nothing for {at}, whose clients have no address"), "-m"));
        }
    }
    odd
}
