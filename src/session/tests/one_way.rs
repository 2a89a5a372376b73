//! A source and a sink: what `pipe` asks of a session.

use std::io::ErrorKind::{ConnectionReset, StorageFull};
use std::io::{Read as _, Seek, Write as _};

use super::descriptors::{bytes, descriptor, drop_nothing, file_with, local_end, run};
use super::driver::{Driver, Plot, data, drive, line, plain, silent, summary};
use crate::endpoint::script::{Read, Write};
use crate::event::Event;
use crate::plan::{AfterPeerEof, Flow};
use crate::session::policy::Policy;
use crate::sys::Access;

fn one_way() -> Policy {
    Policy { flow: Flow::SendOnly, one_way: true, after_peer_eof: AfterPeerEof::Send, ..plain() }
}

#[test]
fn so_many_bytes_are_taken_and_then_the_sink_gets_its_normal_end() {
    for (stop_at, buffer) in [(0, 16), (1, 16), (4, 1), (4, 3), (7, 256), (10, 256)] {
        let policy = Policy { stop_at: Some(stop_at), ..one_way() };
        let source = Plot::local([vec![data("01234"), Read::Block, data("56789")], silent()].concat(), vec![]);
        let sink = Plot::peer(silent(), vec![Write::Take(2), Write::Block, Write::Take(1)]);
        let mut driver = Driver::new(source, sink, policy, buffer);
        let outcome = driver.finish();
        assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [stop_at, 0]));
        assert_eq!(driver.wrote(1), &b"0123456789"[..stop_at as usize]);
        assert_eq!(driver.seen[0].borrow().read, stop_at as usize, "the rest is somebody else's");
        assert_eq!((driver.seen[1].borrow().ends, driver.was_reset(1)), (1, false));
    }
}

#[test]
fn a_source_that_ends_before_its_share_ends_as_usual() {
    let policy = Policy { stop_at: Some(100), ..one_way() };
    let mut driver = drive(Plot::local(vec![data("all"), Read::End], vec![]), Plot::peer(silent(), vec![]), policy);
    assert_eq!(summary(&driver.finish()), ("clean", 0));
    assert_eq!(driver.wrote(1), b"all");
}

#[test]
fn what_a_sink_says_is_no_event_and_neither_is_its_end() {
    let sink = Plot::peer(vec![data("chatter"), Read::End], vec![]);
    let source = Plot::local(vec![Read::Block, Read::Block, data("x"), Read::End], vec![]);
    let mut driver = drive(source, sink, one_way());
    let outcome = driver.finish();
    assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [1, 0]));
    assert_eq!(driver.wrote(0), b"");
    let ends = driver.log.0.borrow().iter().filter(|event| matches!(event, Event::Eof { .. })).count();
    assert_eq!(ends, 1);
}

#[test]
fn a_source_that_is_cut_resets_a_network_sink_and_a_full_disk_is_named() {
    let source = || Plot::peer(vec![data("before"), Read::Fail(ConnectionReset)], vec![]);
    let mut driver = drive(source(), Plot::peer(silent(), vec![]), one_way());
    let outcome = driver.finish();
    assert_eq!(line(&outcome), "transfer stopped after 6 B: a:1 reset the connection");
    assert_eq!((driver.wrote(1), driver.was_reset(1)), (b"before".to_vec(), true));

    let sink = Plot::local(vec![Read::End], vec![Write::Take(3), Write::Fail(StorageFull)]);
    let mut driver = drive(Plot::peer(vec![data("before"), Read::End], vec![]), sink, one_way());
    let outcome = driver.finish();
    assert_eq!(summary(&outcome), ("failed", 5));
    assert!(line(&outcome).starts_with("cannot write standard output: "), "{}", line(&outcome));
}

// Files of one file system, of two (if /dev/shm is another), to append to, of a length that is not told beforehand.
#[test]
fn files_are_copied_whole_whichever_way_the_file_system_allows() {
    let content = bytes(3_000_000, 7);
    let here = |append: bool| {
        let sink = tempfile::NamedTempFile::new().unwrap();
        let file = std::fs::OpenOptions::new().write(!append).append(append).open(sink.path()).unwrap();
        (sink, file)
    };
    for (splice, append, stop_at) in
        [(true, false, None), (true, true, None), (false, false, None), (true, false, Some(1_000_001))]
    {
        let mut source = file_with(&content);
        source.seek(std::io::SeekFrom::Start(5)).unwrap();
        let (mut sink, mut file) = here(append);
        if append {
            file.write_all(b"head").unwrap();
        }
        let (reader, writer) = (descriptor(source, Access::Read), descriptor(file, Access::Write));
        let (source, to) = (local_end(Some(reader), None), local_end(None, Some(writer)));
        let policy = Policy { flow: Flow::SendOnly, one_way: true, splice, stop_at, ..drop_nothing() };
        assert_eq!(summary(&run(source, to, policy)), ("clean", 0));
        let mut got = Vec::new();
        sink.read_to_end(&mut got).unwrap();
        let got = if append { got.strip_prefix(b"head").unwrap() } else { &got };
        let most = stop_at.map_or(content.len(), |most| 5 + most as usize);
        assert!(got == &content[5..most], "splice {splice}, append {append}, stop at {stop_at:?}");
    }
}

#[test]
fn a_file_without_a_length_of_its_own_is_copied_too() {
    let source = std::fs::File::open("/proc/self/status").unwrap();
    let mut sink = tempfile::NamedTempFile::new().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(sink.path()).unwrap();
    let (reader, writer) = (descriptor(source, Access::Read), descriptor(file, Access::Write));
    let policy = Policy { flow: Flow::SendOnly, one_way: true, ..drop_nothing() };
    run(local_end(Some(reader), None), local_end(None, Some(writer)), policy);
    let mut got = String::new();
    sink.read_to_string(&mut got).unwrap();
    assert!(got.starts_with("Name:"), "{got:?}");
}
