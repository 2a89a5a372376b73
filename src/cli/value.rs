//! Values of flags: parsers that take any bytes, and complain in haul's words instead of clap's.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use crate::escape::{Escaped, unescape};
use crate::plan::address::{BadAddress, Host, Options, redacted, redacted_header, redacted_proxy};
use crate::plan::{EventSink, ProxyVersion};
use crate::units::{BadQuantity, Rate, Size, Span};

/// A flag's value, parsed by a function.
#[derive(Clone)]
pub(super) struct Value<T>(pub(super) fn(&OsStr) -> Result<T, BadAddress>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Value<T> {
    type Value = T;

    fn parse_ref(&self, _: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        (self.0)(value).map_err(|fault| complaint(arg, value, fault))
    }
}

/// `--proxy-send`.
pub(super) const PROXY: Choice<ProxyVersion> =
    Choice(&[("v1", ProxyVersion::V1, "a line of text"), ("v2", ProxyVersion::V2, "binary, also for Unix sockets")]);

/// A flag's value out of a fixed set, each with a word of help.
#[derive(Clone)]
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T, &'static str)]);

impl<T: Copy + Send + Sync + 'static> TypedValueParser for Choice<T> {
    type Value = T;

    fn parse_ref(&self, _: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        self.0.iter().find(|(name, ..)| value == *name).map(|(_, meaning, _)| *meaning).ok_or_else(|| {
            let names: Vec<_> = self.0.iter().map(|(name, ..)| *name).collect();
            complaint(arg, value, fault(format!("must be one of {}", names.join(", "))))
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(|(name, _, help)| {
            let value = PossibleValue::new(name);
            if help.is_empty() { value } else { value.help(help) }
        })))
    }
}

/// What [`super::usage`] turns into a line: the fault travels through clap in its error's context.
fn complaint(arg: Option<&Arg>, value: &OsStr, fault: BadAddress) -> clap::Error {
    let mut error = clap::Error::new(ErrorKind::ValueValidation);
    error.insert(ContextKind::InvalidArg, ContextValue::String(arg.map_or(String::new(), name)));
    let shown = match arg.and_then(Arg::get_short) {
        Some('x') => redacted_proxy(value.as_encoded_bytes()),
        Some('H') => redacted_header(value.as_encoded_bytes()),
        _ => redacted(value.as_encoded_bytes()),
    };
    error.insert(ContextKind::InvalidValue, ContextValue::String(Escaped(&shown).to_string()));
    error.insert(ContextKind::Custom, ContextValue::String(fault.cause));
    if let Some(hint) = fault.hint {
        let separator = if arg.is_some_and(Arg::is_require_equals_set) { '=' } else { ' ' };
        let flag = arg.map_or(String::new(), name);
        let hint = if flag.is_empty() { hint } else { format!("{flag}{separator}{hint}") };
        error.insert(ContextKind::Suggested, ContextValue::String(hint));
    }
    error
}

/// A flag as the user types it; nothing for a positional argument.
fn name(arg: &Arg) -> String {
    match (arg.get_long(), arg.get_short()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) => String::new(),
    }
}

pub(super) fn fault(cause: impl Into<String>) -> BadAddress {
    BadAddress { cause: cause.into(), hint: None }
}

pub(super) fn units<T: FromStr<Err = BadQuantity>>(value: &OsStr) -> Result<T, BadAddress> {
    let text = value.to_str().ok_or_else(|| fault("it is not UTF-8"))?;
    if text.starts_with('-') {
        return Err(fault("it must not be negative"));
    }
    text.parse().map_err(|BadQuantity { cause, hint }| BadAddress { cause, hint })
}

/// A length of time, 0 included.
pub(super) fn span() -> Value<Duration> {
    Value(|value| units::<Span>(value).map(|span| span.0))
}

/// A length of time that something may take.
pub(super) fn limit() -> Value<Duration> {
    Value(|value| match units::<Span>(value)?.0 {
        Duration::ZERO => Err(fault("a limit of 0 leaves no time; without the flag there is no limit")),
        time => Ok(time),
    })
}

/// Bytes per second.
pub(super) fn rate() -> Value<Rate> {
    Value(units::<Rate>)
}

/// A number of bytes, at least 1.
pub(super) fn size() -> Value<Size> {
    Value(|value| match units::<Size>(value)? {
        Size(0) => Err(fault("at least 1 byte is needed")),
        size => Ok(size),
    })
}

/// Bytes to be held in memory.
pub(super) fn memory() -> Value<Size> {
    Value(|value| match (size().0)(value)? {
        Size(bytes) if bytes > MOST_MEMORY => Err(fault("at most 1Gi is held in memory")),
        size => Ok(size),
    })
}

/// More than any connection can use; what is asked for is allocated at once, or the process ends.
const MOST_MEMORY: u64 = 1 << 30;

/// A number of things, at least 1.
pub(super) fn count() -> Value<u64> {
    Value(|value| match number(value) {
        Some(0) => Err(fault("at least 1 is needed")),
        Some(count) => Ok(count),
        None => Err(fault("not a whole number")),
    })
}

/// A TCP port; 0 means a free one.
pub(super) fn port() -> Value<u16> {
    Value(|value| number(value).ok_or_else(|| fault("not a port from 0 to 65535")))
}

/// A descriptor to write to. Standard input is none, standard output carries payload.
pub(super) fn descriptor(value: &OsStr) -> Result<i32, BadAddress> {
    match number(value) {
        Some(0) => Err(fault("descriptor 0 is standard input")),
        Some(1) => Err(fault("descriptor 1 is standard output, which carries the payload")),
        Some(fd) if fd > 0 => Ok(fd),
        _ => Err(fault("not the number of a descriptor")),
    }
}

/// The descriptor of `--ready-fd`, which is closed after use.
pub(super) fn ready_fd() -> Value<i32> {
    Value(|value| match descriptor(value)? {
        2 => Err(fault("descriptor 2 is standard error, which would be closed")),
        fd => Ok(fd),
    })
}

pub(super) fn number<T: FromStr>(value: &OsStr) -> Option<T> {
    // "+80" parses as a number, but nobody means it
    value.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// The sink of `--events`.
pub(super) fn events() -> Value<EventSink> {
    Value(|value| match value.to_str().and_then(|text| text.strip_prefix("fd:")) {
        Some(number) => descriptor(OsStr::new(number)).map(EventSink::Fd),
        None => named(value, "fd:2 for standard error, or ./- for a file of that name").map(EventSink::File),
    })
}

/// A file to write to.
pub(super) fn file() -> Value<PathBuf> {
    Value(|value| named(value, "./- for a file of that name"))
}

/// A file that is read at the start.
pub(super) fn source_file() -> Value<PathBuf> {
    Value(|value| match value.as_encoded_bytes() {
        b"-" => Err(BadAddress {
            cause: "it is read from a file, and not from standard input".into(),
            hint: Some("./- for a file of that name".into()),
        }),
        _ => named(value, ""),
    })
}

fn named(value: &OsStr, hint: &str) -> Result<PathBuf, BadAddress> {
    match value.as_encoded_bytes() {
        b"" => Err(fault("a file name is not empty")),
        b"-" => Err(BadAddress { cause: "standard output carries the payload".into(), hint: Some(hint.into()) }),
        _ => Ok(PathBuf::from(value)),
    }
}

/// Bytes to send, written with C escapes.
pub(super) fn escaped() -> Value<Bytes> {
    Value(|value| match unescape(value.as_encoded_bytes()) {
        Ok(bytes) => Ok(Bytes(bytes)),
        Err(bad) => Err(fault(bad.to_string())),
    })
}

/// Bytes as one value: clap takes a field that is a plain `Vec` for many.
#[derive(Clone, Debug)]
pub(super) struct Bytes(pub(super) Vec<u8>);

/// The host of `-s`.
pub(super) fn host() -> Value<Host> {
    Value(|value| match Host::parse(value)? {
        Host::Unspecified => Err(fault("an address of this machine is wanted; without the flag it is any")),
        host => Ok(host),
    })
}

/// The value of a socket option, by the rules of the endpoint grammar: `--dscp ef` is `tcp,dscp=ef:`.
pub(super) fn setting<T>(key: &str, value: &OsStr, pick: fn(Options) -> Option<T>) -> Result<T, BadAddress> {
    let mut options = Options::default();
    if value.is_empty() {
        return Err(fault("it is empty"));
    }
    options.set(key, Some(value)).map_err(|bad| BadAddress {
        // the line names the flag already
        cause: bad.cause.trim_start_matches(&format!("option {key}: ")).to_string(),
        hint: bad.hint.map(|hint| as_word(hint.trim_start_matches(&format!("{key}=")))),
    })?;
    pick(options).ok_or_else(|| fault(format!("not a value of {key}")))
}

/// An option's value as the word behind a flag: a comma and a colon are themselves there, a space is not.
fn as_word(value: &str) -> String {
    let word = value.replace("%3A", ":").replace("%2C", ",");
    if word.contains(' ') { format!("'{word}'") } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause<T>(result: Result<T, BadAddress>) -> String {
        result.err().map(|bad| bad.cause).unwrap_or_default()
    }

    #[test]
    fn the_payload_descriptors_are_never_written_to() {
        assert_eq!(descriptor(OsStr::new("3")).unwrap(), 3);
        for word in ["0", "1", "-1", "+3", "", "three", "99999999999"] {
            assert_ne!(cause(descriptor(OsStr::new(word))), "", "{word}");
        }
        assert_ne!(cause((ready_fd().0)(OsStr::new("2"))), "");
        assert_eq!((events().0)(OsStr::new("fd:2")).unwrap(), EventSink::Fd(2));
        assert_eq!((events().0)(OsStr::new("log")).unwrap(), EventSink::File("log".into()));
        assert_ne!(cause((events().0)(OsStr::new("fd:1"))), "");
        assert_ne!(cause((events().0)(OsStr::new("-"))), "");
    }

    #[test]
    fn a_source_is_any_host_without_a_port() {
        assert_eq!((host().0)(OsStr::new("10.0.0.1")).unwrap(), Host::V4("10.0.0.1".parse().unwrap()));
        for word in ["::1", "[::1]"] {
            assert_eq!((host().0)(OsStr::new(word)).unwrap(), Host::V6("::1".parse().unwrap(), None), "{word}");
        }
        assert_eq!((host().0)(OsStr::new("localhost")).unwrap(), Host::Name("localhost".into()));
        for word in ["", "10.0.0.1:80", "::1/80"] {
            assert_ne!(cause((host().0)(OsStr::new(word))), "", "{word}");
        }
    }

    #[test]
    fn a_socket_flag_takes_what_the_endpoint_option_takes() {
        assert_eq!(setting("dscp", OsStr::new("ef"), |o| o.dscp), Ok(46));
        assert_eq!(setting("mode", OsStr::new("660"), |o| o.mode), Ok(0o660));
        for word in ["x", "", "-1"] {
            assert_ne!(cause(setting("ttl", OsStr::new(word), |o| o.ttl)), "", "{word}");
        }
    }
}
