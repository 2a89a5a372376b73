//! The logins of proxies that stand in a file (`--proxy-auth`).

use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::{Error, Op};
use crate::outcome::ExitStatus;
use crate::plan::Plan;
use crate::plan::address::{Address, Way};
use crate::plan::relay::Target;
use crate::secret::Login;

/// Reads them, once for all endpoints.
///
/// # Errors
/// The file cannot be read, has more lines than there are proxies, or a login that a proxy's protocol has no words for.
pub(super) fn load(plan: &mut Plan) -> Result<(), Error> {
    let mut targets = targets(plan);
    let Some(way) = targets.iter().find_map(|target| target.options.way.clone()) else { return Ok(()) };
    let Some(file) = &way.logins else { return Ok(()) };
    let filled = Arc::new(filled(&way, file)?);
    for target in targets.iter_mut().filter(|target| target.options.way.is_some()) {
        target.options.way = Some(Arc::clone(&filled));
    }
    Ok(())
}

/// Every endpoint that proxies may lead to.
fn targets(plan: &mut Plan) -> Vec<&mut Address> {
    match plan {
        Plan::Connect(plan) => vec![&mut plan.to],
        Plan::Check(plan) => plan.targets.iter_mut().collect(),
        Plan::Pipe(plan) => std::iter::once(&mut plan.source).chain(&mut plan.sinks).collect(),
        Plan::Relay(plan) => {
            let targets = plan.pairs.iter_mut().flat_map(|pair| &mut pair.targets);
            let addresses = targets.filter_map(|target| match target {
                Target::Address(address) => Some(&mut **address),
                Target::Program(_) => None,
            });
            addresses.collect()
        }
        _ => Vec::new(),
    }
}

/// The way with a login for each proxy that has none in its URL.
fn filled(way: &Way, file: &Path) -> Result<Way, Error> {
    let name = file.as_os_str().as_encoded_bytes();
    let failed = |error| Error::new(Op::Read, name, error).with_status(ExitStatus::Usage);
    let text = Zeroizing::new(std::fs::read(file).map_err(failed)?);
    let text = text.strip_suffix(b"\n").unwrap_or(&text);
    let lines: Vec<_> =
        text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    let no = |why: String| Err(Error::said(Op::Use, name, why).with_advice("USER:PASSWORD, a line for each -x"));
    if lines.len() > way.proxies.len() {
        return no(format!("it has {} lines, and there are {} proxies", lines.len(), way.proxies.len()));
    }
    let mut way = way.clone();
    for (proxy, line) in way.proxies.iter_mut().zip(lines).filter(|(_, line)| !line.is_empty()) {
        let login = Login::parse(line);
        if let Some(why) = proxy.speaks.refuses_kept(&login) {
            return no(why.into());
        }
        proxy.login.get_or_insert(login);
    }
    Ok(way)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::plan::address::Proxy;

    #[test]
    fn a_line_is_for_the_proxy_at_its_place_and_a_url_wins() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("logins");
        let told = |urls: &[&str], text: &str| {
            std::fs::write(&file, text).unwrap();
            let proxies = urls.iter().map(|url| Proxy::parse(OsStr::new(url)).unwrap()).collect();
            filled(&Way { proxies, ..Way::default() }, &file).map(|way| way.to_string())
        };
        assert_eq!(told(&["http://a"], "me:s3cr3t\n").unwrap(), "http://me:***@a:1080");
        assert_eq!(
            told(&["http://a", "http://u@b", "http://c"], "\r\nx:y\nme:s").unwrap(),
            "http://a:1080 and http://u@b:1080 and http://me:***@c:1080"
        );
        let error = told(&["http://a"], "a:s3cr3t\nb:s3cr3t\n").unwrap_err();
        assert!(error.line().ends_with("it has 2 lines, and there are 1 proxies"), "{error}");
        assert!(!told(&["http://a", "http://b"], "x:y\ns3cr3tnocolon").unwrap_err().to_string().contains("s3cr3t"));
        assert!(!told(&["socks4://a"], "a:s3cr3t").unwrap_err().to_string().contains("s3cr3t"));
        std::fs::remove_file(&file).unwrap();
        let gone = Way::default();
        assert_eq!(filled(&gone, &file).unwrap_err().status(), ExitStatus::Usage);
    }
}
