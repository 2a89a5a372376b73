//! The helper thread: what waits for it, and what does not.

use std::fs;
use std::sync::mpsc::channel;

use super::*;
use crate::endpoint::Descriptors;
use crate::endpoint::descriptor::Descriptor;
use crate::endpoint::testing::drive;
use crate::endpoint::whole;
use crate::sys::Access;

fn writing(writer: Descriptor) -> Transport {
    Transport::from(Descriptors { reader: None, writer: Some(writer) })
}

#[test]
fn closing_waits_for_the_disk_and_is_woken() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("f");
    let (release, released) = channel::<()>();
    let writer = whole::create(&path).unwrap().synced_by(move |file| {
        released.recv().map_err(|_| io::Error::other("nobody is left"))?;
        file.sync_all()
    });
    let (mut transport, made, mut turns) = (writing(writer), path.clone(), 0);
    drive(move |turn| {
        turns += 1;
        if turns == 1 {
            transport.start(turn).unwrap();
            transport.write(turn, b"bytes").unwrap();
            assert!(transport.is_whole() && !transport.is_settling());
        }
        match transport.close_write(turn) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                assert!(transport.is_settling() && !made.exists());
                release.send(()).unwrap();
                // no deadline: it is the helper that wakes
                Err(None)
            }
            result => {
                assert!(turns > 1 && made.exists());
                Ok(result)
            }
        }
    })
    .unwrap();
    assert_eq!(fs::read(path).unwrap(), b"bytes");
}

#[test]
fn a_disk_that_fails_is_a_failed_write_and_nothing_takes_its_name() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("f");
    fs::write(&path, "old").unwrap();
    let writer = whole::create(&path).unwrap();
    let mut transport = writing(writer.synced_by(|_| Err(io::Error::from_raw_os_error(libc::ENOSPC))));
    let error = drive(move |turn| match transport.close_write(turn) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(None),
        result => Ok(result.unwrap_err()),
    });
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(fs::read(path).unwrap(), b"old");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn try_again_is_no_answer_of_a_disk() {
    let mut file = Descriptor::own(tempfile::tempfile().unwrap().into(), Access::Write).unwrap();
    file.sync_before_close();
    let mut transport = writing(file.synced_by(|_| Err(io::Error::from_raw_os_error(libc::EAGAIN))));
    let error = drive(move |turn| {
        let result = transport.settle(turn);
        if transport.is_settling() { Err(None) } else { Ok(result.unwrap_err()) }
    });
    assert_eq!(error.kind(), io::ErrorKind::Other);
}

#[test]
fn a_plain_file_is_synced_where_that_was_asked_for_and_only_once() {
    let (told, syncs) = channel();
    let mut file = Descriptor::own(tempfile::tempfile().unwrap().into(), Access::Write).unwrap();
    file.sync_before_close();
    file = file.synced_by(move |file| {
        told.send(()).unwrap();
        sync(file)
    });
    file.sync_before_close(); // a second time changes nothing
    let mut transport = writing(file);
    assert!(!transport.is_whole());
    drive(move |turn| match transport.settle(turn) {
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            Err(None)
        }
        Ok(()) => {
            transport.settle(turn).unwrap();
            Ok(transport.close_write(turn))
        }
    })
    .unwrap();
    assert_eq!(syncs.iter().count(), 1);
}

#[test]
fn without_a_disk_there_is_nothing_to_wait_for() {
    let (_reader, pipe) = io::pipe().unwrap();
    let null = fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
    for fd in [pipe.into(), null.into(), std::os::unix::net::UnixStream::pair().unwrap().0.into()] {
        let mut transport = writing(Descriptor::own(fd, Access::Write).unwrap());
        transport.sync_before_close();
        drive(move |turn| Ok(transport.close_write(turn))).unwrap();
    }
    // a device that only the call itself tells to have none
    let mut device = writing(Descriptor::closed_for_writing().unwrap());
    device.sync_before_close();
    drive(move |turn| match device.close_write(turn) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(None),
        result => Ok(result),
    })
    .unwrap();
}
