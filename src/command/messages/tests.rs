use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use super::*;
use crate::endpoint::testing::drive;
use crate::endpoint::{Descriptors, file};
use crate::plan::address::Options;

/// Runs `body` on the messages of a file, within the loop.
fn with_file<T: 'static>(
    content: &[u8],
    split: Split,
    mut body: impl FnMut(&mut Messages, &mut Turn) -> T + 'static,
) -> T {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    std::fs::write(&path, content).unwrap();
    let from: Descriptors = file::open(&path, &Options::default(), true, false).unwrap();
    let mut messages = Messages::stream(Transport::from(from), "f".into(), Some(split), 65_507);
    drive(move |turn| {
        messages.start(turn).unwrap();
        Ok(body(&mut messages, turn))
    })
}

/// Takes `count` payloads, or fewer if there are no more.
fn take(messages: &mut Messages, turn: &mut Turn, count: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while all.len() < count {
        let Next::Payload(payload) = messages.next(turn).unwrap() else { break };
        all.push(payload.to_vec());
        messages.take();
    }
    all
}

#[test]
fn what_is_remembered_is_given_again_and_the_rest_follows() {
    with_file(b"a\n\nc\nd\ne", Split::Line, |messages, turn| {
        messages.remember();
        assert_eq!(take(messages, turn, 3), [&b"a"[..], b"", b"c"]);
        assert!(messages.rewind());
        assert_eq!(take(messages, turn, 2), [&b"a"[..], b""]);
        assert!(messages.rewind());
        assert_eq!(take(messages, turn, 9), [&b"a"[..], b"", b"c", b"d", b"e"]);
        assert_eq!(messages.next(turn).unwrap(), Next::Over);
        messages.close(turn);
        assert!(messages.rewind());
        assert_eq!(take(messages, turn, 9), [&b"a"[..], b"", b"c", b"d", b"e"]);
        messages.forget();
        assert!(!messages.rewind());
    });
}

#[test]
fn much_is_not_remembered_and_nothing_is_lost_by_that() {
    let content: Vec<u8> = (0..400_000u32).map(|at| (at / 1000) as u8).collect();
    let expected = content.clone();
    with_file(&content, Split::Size(1000), move |messages, turn| {
        messages.remember();
        assert!(messages.size().is_none());
        let all = take(messages, turn, 1000);
        assert_eq!(all.concat(), expected);
        assert!(!messages.rewind());
    });
}

#[test]
fn payloads_of_one_size_are_read_to_where_they_are_wanted_and_none_is_lost() {
    let content: Vec<u8> = (0..300_007u32).map(|at| (at / 7) as u8).collect();
    let expected = content.clone();
    with_file(&content, Split::Size(10), move |messages, turn| {
        assert_eq!(messages.size(), Some(10));
        // the first is asked for, which reads ahead
        let mut all = take(messages, turn, 1);
        assert!(matches!(messages.next(turn), Ok(Next::Payload(_))));
        let mut space = vec![0; 70_007];
        while let count @ 1.. = messages.fill(turn, &mut space).unwrap() {
            all.extend(space[..count * 10].chunks(10).map(<[u8]>::to_vec));
        }
        all.extend(take(messages, turn, 9));
        assert_eq!(all.last().map(Vec::len), Some(7));
        assert!(all[..all.len() - 1].iter().all(|payload| payload.len() == 10));
        assert_eq!(all.concat(), expected);
        assert_eq!(messages.size(), None);
    });
}

#[test]
fn a_payload_that_comes_in_parts_is_filled_in_one_piece() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", reader.as_raw_fd()));
    let from = file::open(&path, &Options::default(), true, false).unwrap();
    let mut messages = Messages::stream(Transport::from(from), "p".into(), Some(Split::Size(4)), 65_507);
    let mut parts = [&b"bcdefghi"[..], b"a"].into_iter().rev();
    let (mut started, mut all) = (false, Vec::new());
    let all = drive(move |turn| {
        if !std::mem::replace(&mut started, true) {
            messages.start(turn).unwrap();
        }
        let mut space = [0; 16];
        match messages.fill(turn, &mut space).unwrap() {
            0 => match parts.next() {
                Some(part) => writer.write_all(part).unwrap(),
                None => return Ok(std::mem::take(&mut all)),
            },
            count => all.extend_from_slice(&space[..count * 4]),
        }
        turn.wake(turn.id());
        Err(None)
    });
    assert_eq!(all, b"abcdefgh");
}
