//! What of `-x` fits together, and where it means anything.

use super::address::{Address, Host, HostPort, Kind, Place, Proxy, ProxyDns, Speaks, Way};
use super::advice::{clash, lonely};
use crate::error::Error;

/// Refuses a way that leads nowhere.
///
/// # Errors
/// What is dialled is no host and port; a proxy that no other can reach; a destination that a proxy has no words for.
pub(super) fn settle(to: &Address) -> Result<(), Error> {
    let Some(way) = &to.options.way else { return Ok(()) };
    let Kind::Tcp(target) = &to.kind else {
        let (why, remedy) = match &to.kind {
            Kind::Udp(_) => ("a proxy carries connections, and no datagrams", "the command without -x, or without -u"),
            Kind::Unix(..) | Kind::Path(_) => ("a proxy leads to a host and a port", "the command without -x"),
            _ => ("nothing is connected to", "the command without -x"),
        };
        return Err(clash("-x", &to.to_string(), why, remedy));
    };
    let encrypted = |proxy: &Proxy| proxy.speaks == Speaks::Https;
    if way.tls.ca.is_some() && !way.proxies.iter().any(encrypted) {
        return Err(lonely("--proxy-ca", "an https:// proxy", "no proxy shows a certificate", "-x https://HOST:PORT"));
    }
    if let Some(proxy) = way.proxies.iter().skip(1).find(|proxy| matches!(proxy.at, Place::Unix(_))) {
        let why = "no proxy leads to a Unix socket of this machine";
        return Err(clash(&format!("-x {proxy}"), "a proxy before it", why, "it as the first -x"));
    }
    way.hops(target).try_for_each(|(proxy, to)| hop(way, proxy, to))
}

fn hop(way: &Way, proxy: &Proxy, to: &HostPort) -> Result<(), Error> {
    let flag = format!("-x {proxy}");
    let old = matches!(proxy.speaks, Speaks::Socks4 | Speaks::Socks4a);
    match &to.host {
        Host::V6(_, Some(_)) => {
            let why = "a scope means nothing beyond this machine";
            Err(clash(&flag, &to.to_string(), why, "an address that is routed"))
        }
        Host::V6(..) if old => {
            Err(clash(&flag, &to.to_string(), "SOCKS 4 knows no IPv6 addresses", "a proxy that speaks SOCKS 5"))
        }
        Host::Name(_) if !proxy.knows_names() && way.names == Some(ProxyDns::Remote) => {
            let why = "SOCKS 4 can look up no names";
            Err(clash(&flag, "--proxy-dns remote", why, "socks4a://, if the proxy knows it"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::sync::Arc;

    use super::*;
    use crate::outcome::ExitStatus;

    fn settled(word: &str, proxies: &[&str], names: Option<ProxyDns>) -> Result<(), Error> {
        let mut address = Address::parse(OsStr::new(word)).unwrap();
        let proxies = proxies.iter().map(|url| Proxy::parse(OsStr::new(url)).unwrap()).collect();
        address.options.way = Some(Arc::new(Way { proxies, names, ..Way::default() }));
        settle(&address)
    }

    #[test]
    fn what_no_proxy_leads_to_is_refused() {
        for (word, proxies, line) in [
            ("unix:/s", &["http://a"][..], "-x with unix:/s: a proxy leads to a host and a port"),
            ("udp:b:1", &["http://a"], "-x with udp:b:1: a proxy carries connections, and no datagrams"),
            ("file:x", &["http://a"], "-x with file:x: nothing is connected to"),
            (
                "b:1",
                &["http://a", "http+unix:/p"],
                "-x http+unix:/p with a proxy before it: no proxy leads to a Unix socket of this machine",
            ),
            ("::1/1", &["socks4a://a"], "-x socks4a://a:1080 with ::1/1: SOCKS 4 knows no IPv6 addresses"),
            (
                "b:1",
                &["socks4://a", "http://[::1]"],
                "-x socks4://a:1080 with ::1/1080: SOCKS 4 knows no IPv6 addresses",
            ),
            (
                "fe80::1%eth0/1",
                &["http://a"],
                "-x http://a:1080 with fe80::1%eth0/1: a scope means nothing beyond this machine",
            ),
        ] {
            let error = settled(word, proxies, None).unwrap_err();
            assert_eq!(error.line(), format!("cannot use {line}"));
            assert!(error.status() == ExitStatus::Usage && error.advice().is_some(), "{error}");
        }
        for proxies in [&["http+unix:/p", "http://a"][..], &["socks4://a"], &["socks5://u:p@[::1]"]] {
            assert!(settled("b:1", proxies, None).is_ok(), "{proxies:?}");
        }
        assert!(settled("b:1", &["socks4://a"], Some(ProxyDns::Remote)).is_err());
        assert!(settled("1.2.3.4:1", &["socks4://a"], Some(ProxyDns::Remote)).is_ok());
    }
}
