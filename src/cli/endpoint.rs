//! Endpoints as words of the command line: one word, or a host and a port, or the path of `-U`.

use std::ffi::{OsStr, OsString};

use super::quoted;
use crate::error::{Error, Op};
use crate::plan::address::{Address, BadAddress, Host, redacted};
use crate::plan::advice;

/// An endpoint, or a host and a port.
pub(super) fn words(first: &OsStr, second: Option<&OsStr>) -> Result<Address, Error> {
    Address::parse_words(first, second).map_err(|bad| {
        let mut shown = first.to_os_string();
        if let Some(second) = second {
            shown.push(" ");
            shown.push(second);
        }
        misunderstood(&shown, bad)
    })
}

/// The socket of `-U`; no other way of naming a place may stand beside it.
pub(super) fn unix(path: &OsStr, word: Option<&OsStr>, flag: Option<&str>) -> Result<Address, Error> {
    if word.is_some() || flag.is_some() {
        let other = flag.unwrap_or("another endpoint");
        return Err(advice::clash("-U", other, "-U names the whole endpoint", "one of them"));
    }
    Address::unix_path(path).map_err(|bad| misunderstood(path, bad))
}

/// Whether a first word says the port as well: it is `-`, holds `:`, `/` or `@`, or is all digits. An IPv6 address alone
/// is only a host.
pub(super) fn is_whole(word: &OsStr) -> bool {
    let bytes = word.as_encoded_bytes();
    let whole = word == "-" || bytes.iter().any(|byte| b":/@".contains(byte)) || bytes.iter().all(u8::is_ascii_digit);
    whole && !matches!(Host::parse(word), Ok(Host::V6(..)))
}

/// The first word, if it is a URL: errors tell an endpoint in the canonical spelling, which nobody has typed there.
pub(super) fn url(first: Option<&OsStr>) -> Option<OsString> {
    let is_url = |word: &&OsStr| word.as_encoded_bytes().windows(3).any(|three| three == b"://");
    first.filter(is_url).map(OsStr::to_os_string)
}

/// An error that tells the endpoint as it was typed.
pub(super) fn as_typed(error: Error, at: &Address, url: Option<OsString>) -> Error {
    match url {
        Some(url) => error.with_spelling(&at.to_string(), redacted(url.as_encoded_bytes())),
        None => error,
    }
}

fn misunderstood(word: &OsStr, bad: BadAddress) -> Error {
    let error = Error::said(Op::Parse, quoted(word), bad.cause);
    // a hint repeats the word, and the fields of a request may be secrets
    let hint = bad.hint.filter(|hint| !hint.contains(",header="));
    error.with_advice(hint.unwrap_or_else(|| "haul help endpoints".into()))
}
