//! Standard input and output as one transport, whatever they are: a terminal, a pipe, a file, a socket, closed.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::descriptor::Descriptor;
use super::{Descriptors, Transport, whole};
use crate::error::{Error, Op};
use crate::sys::{self, Access, Kind};

/// Opens the halves that are wanted; the others are left alone.
///
/// Input that was closed from the start is at its end, as is the null device. Output that was closed is an error only
/// once there is something to write.
///
/// # Errors
/// Standard input is a directory or not open for reading (status 5).
pub fn open(reader: bool, writer: bool) -> Result<Transport, Error> {
    let reader = if reader { input(STDIN)? } else { None };
    let writer = if writer { Some(output(STDOUT)?) } else { None };
    Ok(Transport::from(Descriptors { reader, writer }))
}

/// Standard input, if it is wanted, and a file in the place of standard output that is replaced as a whole at the end
/// (`--out`): standard output is left alone.
///
/// # Errors
/// Standard input is a directory or not open for reading (status 5); what [`whole::create`] says.
pub fn open_with_out(reader: bool, out: &Path) -> Result<Transport, Error> {
    let reader = if reader { input(STDIN)? } else { None };
    Ok(Transport::from(Descriptors { reader, writer: Some(whole::create(out)?) }))
}

/// Bytes left to read, where standard input is a regular file or a block device.
pub fn size_hint() -> Option<u64> {
    sys::bytes_left(io::stdin().as_fd())
}

fn input(number: i32) -> Result<Option<Descriptor>, Error> {
    match Descriptor::inherited(number, Access::Read) {
        Ok(reader) => Ok(Some(reader)),
        Err(error) if error.raw_os_error() == Some(libc::EBADF) && is_nothing(number) => Ok(None),
        Err(error) => Err(Error::new(Op::Read, "standard input", error)),
    }
}

/// True for what was closed, and for the null device opened for writing alone: nohup(1) makes standard input that.
fn is_nothing(number: i32) -> bool {
    if sys::was_closed_at_start(number) {
        return true;
    }
    let Ok(fd) = sys::adopt(number) else { return true };
    let kind = sys::kind(fd.as_fd());
    let _ = std::os::fd::IntoRawFd::into_raw_fd(fd); // it stays open: this was only a question
    matches!(kind, Ok(Kind::Null))
}

fn output(number: i32) -> Result<Descriptor, Error> {
    let opened = match Descriptor::inherited(number, Access::Write) {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => Descriptor::closed_for_writing(),
        result => result,
    };
    opened.map_err(|error| Error::new(Op::Write, "standard output", error))
}

const STDIN: i32 = 0;
const STDOUT: i32 = 1;

#[cfg(test)]
mod tests {
    use std::fs::{self, File, OpenOptions};
    use std::io::{Read, Seek, SeekFrom};

    use super::*;
    use crate::endpoint::testing::{drive, handed_over};

    #[test]
    fn a_directory_on_standard_input_is_a_local_error() {
        let number = handed_over(File::open("/").unwrap());
        let error = input(number).unwrap_err();
        assert_eq!(error.line(), "cannot read standard input: is a directory");
        assert_eq!(error.status().code(), 5);
    }

    #[test]
    fn an_unreadable_null_device_is_an_empty_input_and_an_unreadable_file_is_not() {
        let null = handed_over(OpenOptions::new().write(true).open("/dev/null").unwrap());
        assert!(input(null).unwrap().is_none());
        let file = tempfile::tempfile().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        let number = handed_over(OpenOptions::new().write(true).open(path).unwrap());
        assert!(input(number).unwrap_err().line().starts_with("cannot read standard input: "));
    }

    #[test]
    fn closed_output_fails_at_the_first_byte_and_not_before() {
        let number = 9999; // nobody has that many
        let writer = output(number).unwrap();
        let mut transport = Transport::from(Descriptors { reader: None, writer: Some(writer) });
        assert!(!transport.drops_everything());
        let kind = drive(move |turn| {
            transport.start(turn).unwrap();
            let error = transport.write(turn, b"x").unwrap_err();
            transport.close_write(turn).unwrap();
            Ok(error.raw_os_error())
        });
        assert_eq!(kind, Some(libc::EBADF));
    }

    #[test]
    fn the_size_is_what_is_left_from_where_the_file_stands() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        fs::write(&path, [0; 100]).unwrap();
        let mut file = File::open(&path).unwrap();
        file.seek(SeekFrom::Start(30)).unwrap();
        assert_eq!(sys::bytes_left(file.as_fd()), Some(70));
        file.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(sys::bytes_left(file.as_fd()), Some(0));
        assert_eq!(sys::bytes_left(File::open("/dev/null").unwrap().as_fd()), None);
    }
}
