//! Standard input and output as a transport.

use std::os::fd::AsFd;

use super::descriptor::Descriptor;
use super::{Descriptors, Transport};
use crate::error::{Error, Op};
use crate::sys::{self, Access};

/// Takes standard input and output over, each only if it is wanted.
///
/// # Errors
/// Standard input is a directory.
pub fn open(reader: bool, writer: bool) -> Result<Transport, Error> {
    let reader = reader.then(|| Descriptor::inherited(0, Access::Read)).transpose();
    let writer = writer.then(|| Descriptor::inherited(1, Access::Write)).transpose();
    Ok(Transport::Descriptors(Descriptors {
        reader: reader.map_err(|error| Error::new(Op::Read, "standard input", error))?,
        writer: writer.map_err(|error| Error::new(Op::Write, "standard output", error))?,
    }))
}

/// Bytes left in the file on standard input.
pub fn size_hint() -> Option<u64> {
    let (size, offset) = sys::file_size_and_offset(std::io::stdin().as_fd())?;
    Some(size.saturating_sub(offset))
}
