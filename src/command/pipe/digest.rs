//! The lines of `--hash`, or why there are none.

use std::path::PathBuf;

use super::{Piping, inspection};
use crate::command::announce::write_note;
use crate::error::{Cause, Error};
use crate::outcome::{ExitStatus, Outcome};
use crate::plan::address::Kind;

impl Piping {
    /// `--hash`, where every sink is a program that has read enough.
    pub(super) fn no_digest(&self, outcome: &Outcome) -> Error {
        let bytes = outcome.bytes[0];
        let sentence = match self.plan.sinks.len() {
            1 => format!("the sink took only {bytes} bytes"),
            _ => "no sink took everything".into(),
        };
        Error::begun("no digest", Cause::Said(sentence)).with_status(ExitStatus::LocalIo)
    }

    /// `--hash`: one line for each file that was written, or for what has no name. Where some sinks have failed, `served`
    /// says which have not.
    pub(super) fn tell_digest(&self, served: Option<&[bool]>) -> Result<(), Error> {
        let (Some(hash), Some(inspection)) = (&self.plan.hash, &self.inspection) else { return Ok(()) };
        let Some(digest) = inspection.digest() else { return Ok(()) };
        let sinks = self.entries[1..].iter().enumerate();
        let sinks = sinks.filter(|(index, _)| served.is_none_or(|served| served.get(*index) == Some(&true)));
        let files = sinks.filter_map(|(_, sink)| match &sink.address().kind {
            Kind::File(path) => Some(path.clone()),
            _ => None,
        });
        let mut names: Vec<PathBuf> = files.collect();
        if names.is_empty() {
            names.push("-".into());
        }
        let lines: Vec<u8> =
            names.iter().flat_map(|name| inspection::line(&digest, name.as_os_str().as_encoded_bytes())).collect();
        match &hash.file {
            Some(path) => write_note("--hash-file", path, &lines),
            None => {
                self.console.result(&lines);
                Ok(())
            }
        }
    }
}
