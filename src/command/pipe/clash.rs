//! One file at several places of a pipe, by whatever names.

use crate::endpoint::rehearsal::identity;
use crate::error::{Error, Op};
use crate::plan::address::{Address, Kind};
use crate::sys::Access;

/// A file that is read is not written at the same time.
///
/// # Errors
/// It would be.
pub(super) fn refuse_one_file(source: &Address, sink: &Address) -> Result<(), Error> {
    let (Some(from), Some(to)) = (identity(source, Access::Read), identity(sink, Access::Write)) else {
        return Ok(());
    };
    // what the shell has emptied already cannot be lost any more
    let is_lost = from.2 > 0 || matches!(sink.kind, Kind::File(_));
    if (from.0, from.1) != (to.0, to.1) || !is_lost {
        return Ok(());
    }
    let name = match (&source.kind, &sink.kind) {
        (Kind::File(path), _) | (_, Kind::File(path)) => path.as_os_str().as_encoded_bytes().to_vec(),
        _ => b"standard output".to_vec(),
    };
    Err(Error::said(Op::Use, name, "the input file is the output file").with_advice("another file"))
}

/// Two sinks that are one file would write over each other.
///
/// # Errors
/// They are.
pub(super) fn refuse_twice(one: &Address, other: &Address) -> Result<(), Error> {
    let is_same = match (identity(one, Access::Write), identity(other, Access::Write)) {
        (Some(one), Some(other)) => (one.0, one.1) == (other.0, other.1),
        // neither is there yet
        _ => matches!((&one.kind, &other.kind), (Kind::File(one), Kind::File(other)) if one == other),
    };
    let Kind::File(name) = (if matches!(other.kind, Kind::File(_)) { &other.kind } else { &one.kind }) else {
        return Ok(());
    };
    if !is_same {
        return Ok(());
    }
    let error = Error::said(Op::Use, name.as_os_str().as_encoded_bytes(), "two sinks are this one file");
    Err(error.with_advice("another file"))
}
