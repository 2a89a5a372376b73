//! One file at several places of a pipe, by whatever names.

use crate::endpoint::identity::Identity;
use crate::error::{Error, Op};
use crate::plan::address::{Address, Kind};
use crate::sys::Access;

/// A file that is read is not written at the same time.
///
/// # Errors
/// It would be.
pub(super) fn refuse_one_file(source: &Address, sink: &Address) -> Result<(), Error> {
    let (Some(from), Some(to)) =
        (Identity::of_address(source, Access::Read), Identity::of_address(sink, Access::Write))
    else {
        return Ok(());
    };
    // what the shell has emptied already cannot be lost any more
    let is_lost = !from.is_empty() || matches!(sink.kind, Kind::File(_));
    if !from.is_same(&to) || !is_lost {
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
    let identity = |address| Identity::of_address(address, Access::Write);
    let Kind::File(name) = (if matches!(other.kind, Kind::File(_)) { &other.kind } else { &one.kind }) else {
        return Ok(());
    };
    if !identity(one).zip(identity(other)).is_some_and(|(one, other)| one.is_same(&other)) {
        return Ok(());
    }
    let error = Error::said(Op::Use, name.as_os_str().as_encoded_bytes(), "two sinks are this one file");
    Err(error.with_advice("another file"))
}
