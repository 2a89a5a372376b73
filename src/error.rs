//! What went wrong: an operation, the object as the user typed it, the cause, and what to try.
//!
//! Rendered as one line `haul: cannot VERB OBJECT: CAUSE`, then indented facts, then at most one `try:` line, which
//! comes from the caller or from the table in [`hint`]. No errno numbers, no debug output, control characters escaped.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use crate::escape::Escaped;
use crate::outcome::ExitStatus;

/// What haul tried to do; the VERB of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Understand what was typed.
    Parse,
    /// Carry out a legal request that cannot work here.
    Use,
    /// Bind and listen.
    Listen,
    /// Wait for or take a connection.
    Accept,
    /// Resolve and connect.
    Connect,
    /// Open a file, FIFO or descriptor.
    Open,
    /// Start a program.
    Start,
    /// Read local input.
    Read,
    /// Write local output.
    Write,
    /// Set an option on a socket.
    Set,
    /// Move bytes over a connection that was up; the object is the peer.
    Transfer,
}

impl Op {
    fn verb(self) -> &'static str {
        match self {
            Op::Parse => "understand",
            Op::Use => "use",
            Op::Listen => "listen on",
            Op::Accept => "accept on",
            Op::Connect => "connect to",
            Op::Open => "open",
            Op::Start => "run",
            Op::Read => "read",
            Op::Write => "write",
            Op::Set => "set",
            Op::Transfer => "transfer with",
        }
    }
}

/// Why it did not work.
#[derive(Debug)]
pub enum Cause {
    /// The operating system said so.
    Io(io::Error),
    /// A time limit of the user's passed.
    TimedOut(Duration),
    /// A sentence: lower case, no full stop. Text from outside must already be escaped.
    Said(String),
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Cause::Io(error)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Io(error) => f.write_str(&sentence(error)),
            Cause::TimedOut(limit) => write!(f, "timed out after {}", humantime::format_duration(*limit)),
            Cause::Said(text) => f.write_str(text),
        }
    }
}

/// One failure, ready to be told to a person.
#[derive(Debug)]
pub struct Error {
    op: Op,
    object: String,
    cause: Cause,
    headline: Option<String>,
    facts: Vec<String>,
    advice: Option<String>,
    status: Option<ExitStatus>,
    passing: bool,
    /// The headline stands for one that names the peer.
    lacks_peer: bool,
}

impl Error {
    /// `cannot VERB OBJECT: CAUSE`; the object is what the user typed.
    pub fn new(op: Op, object: impl AsRef<[u8]>, cause: impl Into<Cause>) -> Self {
        let object = Escaped(object.as_ref()).to_string();
        let (cause, facts) = (cause.into(), Vec::new());
        Error {
            op,
            object,
            cause,
            headline: None,
            facts,
            advice: None,
            status: None,
            passing: false,
            lacks_peer: false,
        }
    }

    /// A failure of a transfer that had begun: `HEADLINE: CAUSE`, say `transfer stopped after 1.2 GiB: …`.
    pub fn begun(headline: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Error { headline: Some(headline.into()), ..Error::new(Op::Transfer, "", cause) }
    }

    /// Says what failed in the words of somebody who knows more of it: `TLS with db:5432 failed`.
    pub fn with_headline(mut self, headline: impl Into<String>) -> Self {
        self.headline = Some(headline.into());
        self
    }

    /// Marks what is said by a part that knows neither the peer nor how much was moved; [`Error::at_peer`] adds both.
    pub fn without_peer(mut self) -> Self {
        self.lacks_peer = true;
        self
    }

    /// Adds who the peer is and how far the transfer came (`headline`), if whoever failed did not know that.
    pub fn at_peer(mut self, headline: &str, peer: &str) -> Self {
        if std::mem::take(&mut self.lacks_peer) {
            self.headline = Some(format!("{headline} ({peer})"));
        }
        self
    }

    /// `cannot VERB OBJECT: SENTENCE`.
    pub fn said(op: Op, object: impl AsRef<[u8]>, sentence: impl Into<String>) -> Self {
        Error::new(op, object, Cause::Said(sentence.into()))
    }

    /// The same about another operation: what happened within a protocol, told as what the user asked for.
    pub fn about(self, op: Op, object: impl AsRef<[u8]>) -> Self {
        let status = Some(self.status());
        let object = Escaped(object.as_ref()).to_string();
        Error { op, object, headline: None, status, ..self }
    }

    /// Tells the object as the user typed it, where it was told as `shown`.
    pub fn with_spelling(mut self, shown: &str, typed: impl AsRef<[u8]>) -> Self {
        if self.object == Escaped(shown.as_bytes()).to_string() {
            self.object = Escaped(typed.as_ref()).to_string();
        }
        self
    }

    /// Adds indented lines below the first, say each address tried.
    pub fn with_facts(mut self, facts: Vec<String>) -> Self {
        self.facts = facts;
        self
    }

    /// Replaces the cause; the advice for the old one stays, since it is what led here.
    pub fn with_cause(mut self, cause: impl Into<Cause>) -> Self {
        self.advice = self.advice().map(str::to_owned);
        self.cause = cause.into();
        self
    }

    /// Sets the text of the `try:` line; it replaces the table's.
    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Sets the exit status where the operation and its cause do not already decide it.
    pub fn with_status(mut self, status: ExitStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Marks what may be otherwise a moment later although its status says no: `--wait` tries again.
    pub fn passing(mut self) -> Self {
        self.passing = true;
        self
    }

    /// True if it was marked so.
    pub fn is_passing(&self) -> bool {
        self.passing
    }

    /// The operation that failed.
    pub fn op(&self) -> Op {
        self.op
    }

    /// The cause.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// The error of the system that caused it, if one did.
    ///
    /// # Errors
    /// This error, where the cause is another, or does not decide the exit status.
    pub fn into_io(self) -> Result<io::Error, Error> {
        match self.cause {
            Cause::Io(error) if self.status.is_none() => Ok(error),
            _ => Err(self),
        }
    }

    /// The same for whoever speaks of errors of the system alone: the cause is kept, and so is what it is as an exit status.
    pub fn as_io(self) -> io::Error {
        let status = self.status();
        self.into_io().unwrap_or_else(|error| io::Error::other(Protocol { cause: error.cause().to_string(), status }))
    }

    /// The indented lines below the first.
    pub fn facts(&self) -> &[String] {
        &self.facts
    }

    /// The exit status of the program that ends with this error.
    pub fn status(&self) -> ExitStatus {
        if let Some(status) = self.status {
            return status;
        }
        match &self.cause {
            Cause::TimedOut(_) => return ExitStatus::TimeLimit,
            Cause::Io(error) => {
                let protocol = error.get_ref().and_then(|error| error.downcast_ref::<Protocol>());
                if let Some(protocol) = protocol {
                    return protocol.status;
                }
            }
            Cause::Said(_) => {}
        }
        match self.op {
            _ if self.is_scarcity() => ExitStatus::LocalIo,
            Op::Parse | Op::Use | Op::Listen | Op::Open | Op::Start | Op::Set => ExitStatus::Usage,
            Op::Accept | Op::Connect | Op::Transfer => ExitStatus::Network,
            Op::Read | Op::Write => ExitStatus::LocalIo,
        }
    }

    /// True if it was not what was asked for, but descriptors or memory that have run out here.
    fn is_scarcity(&self) -> bool {
        let Cause::Io(error) = &self.cause else { return false };
        matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS))
    }

    /// The text of the `try:` line, if there is one.
    pub fn advice(&self) -> Option<&str> {
        match (&self.advice, &self.cause) {
            (Some(advice), _) => Some(advice),
            (None, Cause::Io(error)) => hint(self.op, error),
            (None, _) => None,
        }
    }

    /// The first line without `haul: `; also what `--events` gives as the reason.
    pub fn line(&self) -> String {
        match &self.headline {
            Some(headline) => format!("{headline}: {}", self.cause),
            None => format!("cannot {} {}: {}", self.op.verb(), self.object, self.cause),
        }
    }
}

impl fmt::Display for Error {
    /// The whole message, several lines without the last newline and without `haul: `.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())?;
        for fact in &self.facts {
            write!(f, "\n  {fact}")?;
        }
        match self.advice() {
            Some(advice) => write!(f, "\n  try: {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Io(error) => Some(error),
            Cause::TimedOut(_) | Cause::Said(_) => None,
        }
    }
}

/// What failed in a protocol, as a cause within an error of the system.
#[derive(Debug)]
struct Protocol {
    cause: String,
    status: ExitStatus,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Protocol {}

/// An operating system error as a sentence: lower case, without its number.
pub fn sentence(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        // "No route to host" is lowered, "I/O error" and "RPC struct is bad" keep their capitals
        Some(first) if !chars.clone().next().is_some_and(|c| c.is_uppercase() || c == '/') => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_string(),
    }
}

/// The table of `try:` lines by operation and kind of error.
pub fn hint(op: Op, error: &io::Error) -> Option<&'static str> {
    HINTS.iter().find(|(o, k, _)| *o == op && *k == error.kind()).map(|(_, _, text)| *text)
}

const HINTS: &[(Op, ErrorKind, &str)] = &[
    (Op::Listen, ErrorKind::AddrInUse, "another port, or 0 for a free one"),
    (Op::Listen, ErrorKind::PermissionDenied, "a port above 1023, or a directory that you may write to"),
    (Op::Listen, ErrorKind::AddrNotAvailable, "an address of this machine, or none for all of them"),
    (Op::Connect, ErrorKind::ConnectionRefused, "check that the service is running and listens on that port"),
    (Op::Connect, ErrorKind::NotFound, "check the path: no socket is there"),
    (Op::Connect, ErrorKind::NetworkUnreachable, "-4 or -6, if only one family is routed here"),
    (Op::Open, ErrorKind::PermissionDenied, "ls -l, to see who may open it"),
    (Op::Write, ErrorKind::StorageFull, "free some space, or another directory"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_hint_table_is_reachable_and_unique() {
        for (i, (op, kind, text)) in HINTS.iter().enumerate() {
            assert_eq!(hint(*op, &io::Error::from(*kind)), Some(*text));
            assert!(!HINTS[..i].iter().any(|(o, k, _)| o == op && k == kind), "{text}");
            assert!(!text.ends_with('.'));
        }
    }

    #[test]
    fn an_error_is_one_line_with_facts_and_one_hint() {
        let error = Error::new(Op::Connect, "db\x1b:5432", io::Error::from_raw_os_error(libc::ECONNREFUSED))
            .with_facts(vec!["127.0.0.1:5432  connection refused".into()]);
        assert_eq!(
            error.to_string(),
            "cannot connect to db\\x1b:5432: connection refused\n  127.0.0.1:5432  connection refused\n  try: check that the service is running and listens on that port"
        );
        assert_eq!(error.status(), ExitStatus::Network);
    }

    #[test]
    fn sentences_carry_no_errno_and_keep_acronyms() {
        assert_eq!(sentence(&io::Error::from_raw_os_error(libc::EHOSTUNREACH)), "no route to host");
        assert_eq!(sentence(&io::Error::from_raw_os_error(libc::EIO)), "input/output error");
    }

    #[test]
    fn what_has_run_out_here_is_nobodys_wrong_request() {
        for op in [Op::Use, Op::Listen, Op::Connect, Op::Open] {
            let error = Error::new(op, "x", io::Error::from_raw_os_error(libc::EMFILE));
            assert_eq!(error.status(), ExitStatus::LocalIo, "{error}");
        }
    }

    #[test]
    fn what_a_protocol_refused_keeps_its_status_as_an_error_of_the_system() {
        let refused = Error::said(Op::Use, "x", "TLS said no").with_status(ExitStatus::Authentication);
        let error = Error::new(Op::Transfer, "a:1", refused.as_io());
        assert_eq!((error.line().as_str(), error.status().code()), ("cannot transfer with a:1: TLS said no", 6));
        let reset = Error::begun("x", io::Error::from(ErrorKind::ConnectionReset)).as_io();
        assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_passed_limit_is_status_3_whatever_was_tried() {
        let error = Error::new(Op::Connect, "a:1", Cause::TimedOut(Duration::from_millis(1500)));
        assert_eq!(error.status(), ExitStatus::TimeLimit);
        assert_eq!(error.line(), "cannot connect to a:1: timed out after 1s 500ms");
    }
}
