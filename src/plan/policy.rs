//! Programs and the world: a program is not served to strangers unless somebody says that this is meant.
//!
//! Decided on the plan, so that nothing is bound and nothing has run when it is refused. The plan cannot tell where a
//! socket listens that is handed over (`fd,listen:3`), nor what a name is bound to: so it is asked again about the
//! address that was really bound, before anybody is accepted.

use std::net::IpAddr;

use super::address::{Address, Kind, Layer};
use super::{Local, Serving};
use crate::error::{Error, Op};
use crate::outcome::ExitStatus;

/// What a connection is joined to runs a program.
pub fn runs_program(local: &Local) -> bool {
    matches!(local, Local::Program(_))
}

/// The same for an endpoint at the other side.
pub fn is_program(address: &Address) -> bool {
    matches!(address.kind, Kind::Exec(_) | Kind::Shell(_))
}

/// Refuses to join connections from the network to a program, unless `serving` or `--client-ca` says who may connect, or
/// `--open`.
///
/// # Errors
/// With status 7, and what to add.
pub fn programs_and_the_world(at: &Address, program: bool, serving: &Serving) -> Result<(), Error> {
    judge(at, program && at.is_network() && !at.is_loopback_or_local(), serving)
}

/// The same for the address that `at` was really bound to; `None` if it is no IP address.
///
/// # Errors
/// As [`programs_and_the_world`].
pub fn programs_and_the_bound(
    at: &Address,
    bound: Option<IpAddr>,
    program: bool,
    serving: &Serving,
) -> Result<(), Error> {
    judge(at, program && bound.is_some_and(|ip| !ip.to_canonical().is_loopback()), serving)
}

fn judge(at: &Address, exposed: bool, serving: &Serving) -> Result<(), Error> {
    let is_known = at.layers.contains(&Layer::Tls) && at.options.tls.client_ca.is_some();
    if !exposed || serving.open || is_known || !serving.allow.is_empty() {
        return Ok(());
    }
    let cause = "it would serve a program to anybody who can reach it; add --allow CIDR, or --open if that is meant";
    let advice = match &at.kind {
        Kind::Tcp(to) if at.options.listen => {
            format!("tcp,listen:127.0.0.1:{} for this machine alone, or --allow 192.0.2.0/24", to.port)
        }
        Kind::Tcp(to) | Kind::Udp(to) => {
            format!("127.0.0.1:{} for this machine alone, or --allow 192.0.2.0/24", to.port)
        }
        _ => "--allow 192.0.2.0/24".into(),
    };
    Err(Error::said(Op::Listen, at.to_string(), cause).with_advice(advice).with_status(ExitStatus::Policy))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::super::AccessList;
    use super::*;

    fn decide(word: &str, serving: &Serving) -> Result<(), Error> {
        programs_and_the_world(&Address::parse(OsStr::new(word)).unwrap(), true, serving)
    }

    #[test]
    fn a_program_is_not_served_to_the_world_by_accident() {
        for word in ["9000", "0", "0.0.0.0:9000", "*:9000", "::/9000", "192.0.2.1:80", "host.example:80", "udp:53"] {
            let error = decide(word, &Serving::default()).unwrap_err();
            assert_eq!(error.status(), ExitStatus::Policy, "{word}");
        }
        assert_eq!(
            decide("9000", &Serving::default()).unwrap_err().to_string(),
            "cannot listen on tcp:9000: it would serve a program to anybody who can reach it; add --allow CIDR, or \
             --open if that is meant\n  try: 127.0.0.1:9000 for this machine alone, or --allow 192.0.2.0/24"
        );
    }

    #[test]
    fn an_inherited_listener_is_judged_by_its_address() {
        let at = Address::parse(OsStr::new("fd,listen:3")).unwrap();
        let decide = |bound: &str, program, open| {
            let serving = Serving { open, ..Serving::default() };
            programs_and_the_bound(&at, Some(bound.parse().unwrap()), program, &serving)
        };
        for bound in ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert_eq!(decide(bound, true, false).unwrap_err().status(), ExitStatus::Policy, "{bound}");
            assert!(decide(bound, false, false).is_ok() && decide(bound, true, true).is_ok(), "{bound}");
        }
        for bound in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert!(decide(bound, true, false).is_ok(), "{bound}");
        }
        assert!(programs_and_the_bound(&at, None, true, &Serving::default()).is_ok(), "a Unix socket");
    }

    #[test]
    fn this_machine_and_those_who_are_named_may_be_served() {
        let nobody = Serving::default();
        for word in ["127.0.0.1:0", "127.8.8.8:1", "::1/80", "localhost:80", "unix:/s", "@s", "/s", "fd,listen:3"] {
            assert!(decide(word, &nobody).is_ok(), "{word}");
        }
        let open = Serving { open: true, ..Serving::default() };
        let list = AccessList::parse(OsStr::new("10.0.0.0/8")).unwrap();
        let named = Serving { allow: vec![list.clone()], ..Serving::default() };
        let denied = Serving { deny: vec![list], ..Serving::default() };
        assert!(decide("9000", &open).is_ok() && decide("9000", &named).is_ok());
        assert!(decide("9000", &denied).is_err());
        assert!(programs_and_the_world(&Address::parse(OsStr::new("9000")).unwrap(), false, &nobody).is_ok());
    }
}
