//! `-x` and what belongs to it.

use std::env::var_os;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueHint;

use super::value::{Choice, Value};
use crate::error::{Error, Op};
use crate::outcome::ExitStatus;
use crate::plan::address::{Address, BadAddress, Proxy, ProxyDns, Speaks, TlsOptions, Way};
use crate::plan::advice;
use crate::secret::Login;

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Proxies")]
pub(super) struct Proxies {
    /// Connect through this proxy, say socks5://proxy:1080 or http://me@proxy:3128; repeated for a chain [default: none]
    ///
    /// There are http, https (TLS to the proxy), socks5, socks4a and socks4; the port is 1080, or 443 for https, unless it
    /// is given. A proxy at a Unix socket is socks5+unix:PATH or http+unix:PATH. The word env takes the URL from ALL_PROXY. The first -x is the nearest. A
    /// login stands before an @, as USER:PASSWORD, where everybody who lists the processes of this machine can read it;
    /// the variable HAUL_PROXY_AUTH, for the first proxy that has no login in its URL, and --proxy-auth keep it to
    /// yourself. Many proxies drop the answer once they are told that nothing more is sent: then --no-shutdown, with -q.
    #[arg(short = 'x', value_name = "URL", value_parser = Value(outlet), value_hint = ValueHint::Url)]
    outlets: Vec<Outlet>,

    /// Who looks up names behind a proxy: it, or this machine [default: remote]
    #[arg(long, value_name = "WHO", value_parser = DNS)]
    proxy_dns: Option<ProxyDns>,

    /// Read USER:PASSWORD from FILE, for each proxy a line, the first -x first; an empty line is none [default: HAUL_PROXY_AUTH]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    proxy_auth: Option<PathBuf>,

    /// Believe an https proxy whose certificate is signed by one of FILE (PEM) [default: by one that the system knows]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    proxy_ca: Option<PathBuf>,
}

/// One `-x`.
#[derive(Clone, Debug)]
enum Outlet {
    Proxy(Proxy),
    /// `ALL_PROXY` says which.
    Environment,
}

const DNS: Choice<ProxyDns> = Choice(&[
    ("remote", ProxyDns::Remote, "the proxy; with socks4, which cannot, this machine"),
    ("local", ProxyDns::Local, "this machine, and the proxy is told an address"),
]);

fn outlet(word: &OsStr) -> Result<Outlet, BadAddress> {
    if word == "env" { Ok(Outlet::Environment) } else { Proxy::parse(word).map(Outlet::Proxy) }
}

impl Proxies {
    /// True if there is any.
    pub(super) fn is_given(&self) -> bool {
        !self.outlets.is_empty()
    }

    /// Refuses a host that no SOCKS proxy can be told of, whatever else is wrong with it: its length is one byte (RFC 1928,
    /// 5). What proxies refuse has the status of a refusal.
    ///
    /// # Errors
    /// One of them is a SOCKS proxy, and the host in this word, an endpoint or a host, is longer.
    pub(super) fn check_host(&self, word: Option<&OsStr>) -> Result<(), Error> {
        let word = word.unwrap_or_default();
        let host = word.as_bytes().split(|byte| b":/".contains(byte)).max_by_key(|part| part.len()).unwrap_or_default();
        let is_socks = |outlet: &Outlet| match outlet {
            Outlet::Proxy(proxy) => !matches!(proxy.speaks, Speaks::Http | Speaks::Https),
            Outlet::Environment => false,
        };
        if host.len() <= LONGEST_HOST || !self.outlets.iter().any(is_socks) {
            return Ok(());
        }
        let said = format!("SOCKS has no room for the name of a host of more than {LONGEST_HOST} bytes");
        let shown = [&host[..SHOWN], b"..."].concat();
        Err(Error::said(Op::Connect, shown, said).with_status(ExitStatus::Authentication))
    }

    /// The way that was given.
    ///
    /// # Errors
    /// `-x env` without that; a login that is none; other flags without `-x`.
    pub(super) fn way(self) -> Result<Option<Arc<Way>>, Error> {
        self.way_with(&|name| var_os(name))
    }

    fn way_with(self, variable: &dyn Fn(&str) -> Option<std::ffi::OsString>) -> Result<Option<Arc<Way>>, Error> {
        let Proxies { outlets, proxy_dns, proxy_auth, proxy_ca } = self;
        let others = [
            (proxy_dns.is_some(), "--proxy-dns"),
            (proxy_auth.is_some(), "--proxy-auth"),
            (proxy_ca.is_some(), "--proxy-ca"),
        ];
        match others.iter().find(|(given, _)| *given) {
            Some((_, flag)) if outlets.is_empty() => {
                return Err(advice::lonely(flag, "-x", "there is no proxy", "-x socks5://HOST:PORT"));
            }
            _ if outlets.is_empty() => return Ok(None),
            _ => {}
        }
        let named = |outlet| match outlet {
            Outlet::Proxy(proxy) => Ok(proxy),
            Outlet::Environment => all_proxy(variable("ALL_PROXY")),
        };
        let mut proxies = outlets.into_iter().map(named).collect::<Result<Vec<_>, _>>()?;
        let first = proxies.iter_mut().find(|proxy| proxy.login.is_none());
        if let (None, Some(text), Some(proxy)) = (&proxy_auth, variable("HAUL_PROXY_AUTH"), first) {
            let login = Login::parse(text.as_bytes());
            let refused = |why: &str| Err(Error::said(Op::Use, "HAUL_PROXY_AUTH", why).with_advice("USER:PASSWORD"));
            match proxy.speaks.refuses_kept(&login) {
                _ if text.is_empty() => {}
                Some(why) => return refused(why),
                None => proxy.login = Some(login),
            }
        }
        let tls = TlsOptions { ca: proxy_ca, ..TlsOptions::default() };
        Ok(Some(Arc::new(Way { proxies, names: proxy_dns, logins: proxy_auth, tls })))
    }
}

/// What one byte can tell the length of.
const LONGEST_HOST: usize = 255;

/// Bytes of a host that is too long that are told.
const SHOWN: usize = 40;

/// The proxy of the environment. Without one nothing goes out: whoever says `-x` does not want to be seen directly.
fn all_proxy(value: Option<std::ffi::OsString>) -> Result<Proxy, Error> {
    let value = value.filter(|value| !value.is_empty()).ok_or_else(|| {
        let error = Error::said(Op::Use, "-x env", "ALL_PROXY is not set");
        error.with_advice("ALL_PROXY=socks5://HOST:PORT, or the command without -x env")
    })?;
    Proxy::parse(&value).map_err(|bad| {
        let error = Error::said(Op::Use, "-x env", format!("ALL_PROXY: {}", bad.cause));
        match bad.hint {
            Some(hint) => error.with_advice(hint),
            None => error.with_advice("ALL_PROXY=socks5://HOST:PORT"),
        }
    })
}

/// Sends those that are connected to this way.
pub(super) fn lead<'a>(way: &Option<Arc<Way>>, targets: impl IntoIterator<Item = &'a mut Address>) {
    for target in targets {
        target.options.way.clone_from(way);
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn way(outlets: &[&str], auth: Option<&str>, variables: &[(&str, &str)]) -> Result<String, String> {
        let proxies = Proxies {
            outlets: outlets.iter().map(|word| outlet(OsStr::new(word)).unwrap()).collect(),
            proxy_dns: None,
            proxy_auth: auth.map(PathBuf::from),
            proxy_ca: None,
        };
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        match proxies.way_with(&variable) {
            Ok(way) => Ok(way.map_or_else(String::new, |way| way.to_string())),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_login_of_the_environment_is_for_the_first_proxy_without_one() {
        let auth = [("HAUL_PROXY_AUTH", "me:s3cr3t")];
        assert_eq!(way(&["http://a", "http://b"], None, &auth).unwrap(), "http://me:***@a:1080 and http://b:1080");
        assert_eq!(way(&["http://u@a", "http://b"], None, &auth).unwrap(), "http://u@a:1080 and http://me:***@b:1080");
        assert_eq!(way(&["http://a"], Some("file"), &auth).unwrap(), "http://a:1080");
        assert_eq!(way(&["http://a"], None, &[("HAUL_PROXY_AUTH", "")]).unwrap(), "http://a:1080");
        let told = way(&["http://a"], None, &[("HAUL_PROXY_AUTH", "s3cr3tnocolon")]).unwrap_err();
        let why = "there is no colon between user and password";
        assert_eq!(told, format!("cannot use HAUL_PROXY_AUTH: {why}\n  try: USER:PASSWORD"));
        let error = way(&["socks4://a"], None, &auth).unwrap_err();
        assert_eq!(error, "cannot use HAUL_PROXY_AUTH: SOCKS 4 knows a user and no password\n  try: USER:PASSWORD");
    }

    #[test]
    fn the_proxy_of_the_environment_is_taken_only_where_it_is_asked_for() {
        let all = |url| [("ALL_PROXY", url)];
        assert_eq!(way(&["env"], None, &all("socks5h://u:p@a")).unwrap(), "socks5://u:***@a:1080");
        assert_eq!(way(&[], None, &all("socks5://a")).unwrap(), "");
        assert_eq!(
            way(&["env"], None, &[]).unwrap_err(),
            "cannot use -x env: ALL_PROXY is not set\n  try: ALL_PROXY=socks5://HOST:PORT, or the command without -x env"
        );
        let error = way(&["env"], None, &all("me:s3cr3t@a:1")).unwrap_err();
        assert_eq!(error, "cannot use -x env: ALL_PROXY: a proxy is a URL\n  try: socks5://a:1, or http://a:1");
        assert!(way(&[], Some("f"), &[]).unwrap_err().starts_with("cannot use --proxy-auth without -x: "));
    }
}
