//! `--then`: a command run beside a server, once everything is bound; when it ends, so does the server.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use super::announce::Place;
use super::reaping::Reaping;
use crate::endpoint::process::{self, Output};
use crate::error::{Error, Op};
use crate::reactor::Turn;

/// A command on its way.
pub(super) struct Errand {
    reaping: Reaping,
}

impl Errand {
    /// Starts `sh -c TEXT` with the listener's address filled in for `{port}` and `{addr}`.
    ///
    /// # Errors
    /// There is no shell, or no process left.
    pub(super) fn run(text: &OsStr, place: &Place<'_>, output: Output, grace: Duration) -> Result<Self, Error> {
        let port = place.port.map_or_else(String::new, |port| port.to_string());
        let address = match place.path {
            Some(path) => path.as_os_str().to_owned(),
            None => place.host.clone().into(),
        };
        let text = fill_in(text.as_encoded_bytes(), port.as_bytes(), address.as_encoded_bytes());
        let child = process::run_shell(&text, output)?;
        Ok(Errand { reaping: Reaping::new(child, grace) })
    }

    /// Asks for a turn when it ends.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub(super) fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.reaping.watch(turn).map_err(|error| Error::new(Op::Start, "the command of --then", error))
    }

    /// Its status, once it has ended.
    pub(super) fn turn(&mut self, turn: &mut Turn) -> Option<u8> {
        self.reaping.turn(turn)
    }

    /// Tells it to end.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.reaping.hurry(now);
    }

    /// Ends it at once.
    pub(super) fn kill(&mut self, now: Instant) {
        self.reaping.kill(now);
    }

    /// When the next signal is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.reaping.deadline()
    }
}

/// Replaces every `{port}` and `{addr}`; everything else is left to the shell.
fn fill_in(text: &[u8], port: &[u8], address: &[u8]) -> Vec<u8> {
    let mut filled = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let (value, skipped): (&[u8], usize) = match () {
            () if rest.starts_with(b"{port}") => (port, 6),
            () if rest.starts_with(b"{addr}") => (address, 6),
            () => (std::slice::from_ref(first), 1),
        };
        filled.extend_from_slice(value);
        rest = if skipped == 1 { tail } else { &rest[skipped..] };
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_port_and_addr_are_replaced() {
        let filled = fill_in(b"curl {addr}:{port}/{x} ${port} {port", b"80", b"127.0.0.1");
        assert_eq!(filled, b"curl 127.0.0.1:80/{x} $80 {port");
    }
}
