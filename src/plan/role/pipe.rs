//! Which kinds of endpoint can be the source of a pipe, or a sink, or with `-2` both.

use std::path::Path;

use super::super::address::{Address, Kind};
use super::super::advice::clash;
use super::super::pipe::Pipe;
use super::super::{EventSink, proof};
use super::{file, in_this_version, refusal};
use crate::error::{Error, Op};

/// Refuses what cannot be read as the source or written as a sink, and what is named twice.
pub(in crate::plan) fn settle(plan: &Pipe) -> Result<(), Error> {
    endpoint(&plan.source, true, plan.both_ways)?;
    for sink in &plan.sinks {
        endpoint(sink, plan.both_ways, true)?;
    }
    descriptors(plan)?;
    paths(plan)
}

/// One endpoint: a source is read, a sink is written, with `-2` each is both.
fn endpoint(address: &Address, reads: bool, writes: bool) -> Result<(), Error> {
    let op = if writes { Op::Write } else { Op::Read };
    let no = |cause: &str, advice: &str| Err(refusal(op, address, cause, advice.into()));
    in_this_version(op, address)?;
    let options = &address.options;
    match &address.kind {
        _ if options.listen && (options.source.is_some() || options.source_port.is_some()) => {
            no("a source is where a connection comes from", "the address to listen on, and its port")
        }
        Kind::Tcp(to) if to.port == 0 && !options.listen => {
            no("port 0 is no port to connect to", "tcp,listen:0 to wait for a connection on a free one")
        }
        Kind::Unix(..) | Kind::Path(_) if options.mode.is_some() && !options.listen => {
            no("only a listener sets the mode of a socket", "the endpoint without mode, or with listen")
        }
        Kind::Fd { read: 1 | 2, .. } if options.listen => no("it is a standard stream", "another descriptor"),
        Kind::Fd { read, write } if (reads && *read == 2) || (writes && *write == 2) => {
            no("messages go to standard error", "another descriptor")
        }
        Kind::File(_) | Kind::Fifo(_) if reads && writes => {
            no("it is either read or written, and -2 does both", "it without -2")
        }
        Kind::File(_) => file(address, reads).map_or(Ok(()), |(cause, advice)| no(cause, advice)),
        Kind::Discard if !writes => no("nothing ever comes from it", "null: for a source that has ended"),
        Kind::Echo if !writes => no("it gives back what is written to it, and nothing is", "text:, zero: or random:"),
        Kind::Echo if !reads => no("nobody would read what it gives back", "discard:, or -2"),
        Kind::Zero | Kind::Random | Kind::Text(_) if !reads => no("it is read, and takes nothing", "discard:"),
        _ => Ok(()),
    }
}

/// No descriptor is used for two things.
fn descriptors(plan: &Pipe) -> Result<(), Error> {
    let mut taken: Vec<(i32, &Address)> = Vec::new();
    for (at, address) in plan.endpoints().enumerate() {
        let (read, write) = match address.kind {
            Kind::Stdio => (0, 1),
            Kind::Fd { read, write } => (read, write),
            _ => continue,
        };
        let (reads, writes) = (at == 0 || plan.both_ways, at > 0 || plan.both_ways);
        let mut numbers = vec![];
        numbers.extend((reads || address.options.listen).then_some(read));
        numbers.extend((writes && !numbers.contains(&write)).then_some(write));
        for number in numbers {
            if let Some((_, other)) = taken.iter().find(|(other, _)| *other == number) {
                let why = format!("both are {}", named(number));
                let remedy = if plan.both_ways { "haul pipe -2 - ENDPOINT" } else { "one of them, or a file" };
                return Err(clash(&other.to_string(), &address.to_string(), &why, remedy));
            }
            taken.push((number, address));
        }
    }
    let aside = [
        (plan.announce.ready_fd, "--ready-fd"),
        (plan.report.events.as_ref().and_then(EventSink::descriptor), "--events"),
    ];
    for (number, address) in taken {
        if let Some((_, flag)) = aside.iter().find(|(aside, _)| *aside == Some(number)) {
            let why = "the payload goes there";
            return Err(clash(&format!("{flag} on descriptor {number}"), &address.to_string(), why, "another one"));
        }
    }
    Ok(())
}

fn named(number: i32) -> String {
    match number {
        0 => "standard input".into(),
        1 => "standard output".into(),
        number => format!("descriptor {number}"),
    }
}

/// No file is used for two things, as far as their names tell; hard links and the like show when they are opened.
fn paths(plan: &Pipe) -> Result<(), Error> {
    let named: Vec<_> = plan.endpoints().filter_map(|address| Some((path(address)?, address))).collect();
    for (at, (path, address)) in named.iter().enumerate() {
        let Some((_, other)) = named[..at].iter().find(|(other, _)| proof::is_same(other, path)) else { continue };
        let (why, remedy) = match *other == &plan.source {
            true => ("the input file is the output file", "another file"),
            false => ("both are one file", "one of them"),
        };
        return Err(clash(&other.to_string(), &address.to_string(), why, remedy));
    }
    Ok(())
}

/// The path of what may be a file. A device is none: it may well be read and written at once.
fn path(address: &Address) -> Option<&Path> {
    match &address.kind {
        Kind::File(path) | Kind::Fifo(path) | Kind::Path(path) => (!path.starts_with("/dev")).then_some(path),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::super::super::pipe::tests::pipe;
    use super::*;
    use crate::outcome::ExitStatus;

    #[track_caller]
    fn refused(words: &[&str], change: fn(&mut Pipe)) -> String {
        let mut plan = pipe(words);
        change(&mut plan);
        let error = settle(&plan).unwrap_err();
        assert_eq!(error.status(), ExitStatus::Usage, "{words:?}");
        assert!(error.advice().is_some(), "{words:?}");
        error.line()
    }

    #[test]
    fn a_source_is_what_can_be_read() {
        for word in [
            "-",
            "a:1",
            "tcp,listen:0",
            "unix:/s",
            "unix,listen,mode=660:/s",
            "@s",
            "./p",
            "file:p",
            "file,offset=1:p",
            "fifo:p",
            "exec:ls",
            "sh:ls",
            "fd:3",
            "fd:0",
            "fd,listen:3",
            "null:",
            "zero:",
            "random:",
            "text:a",
        ] {
            assert!(settle(&pipe(&[word, "file:out"])).is_ok(), "{word}");
        }
        for (word, cause) in [
            ("discard:", "nothing ever comes from it"),
            ("echo:", "it gives back what is written to it, and nothing is"),
            ("file,append:p", "append is for writing"),
            ("file,atomic:p", "atomic is for writing"),
            ("tcp:0", "port 0 is no port to connect to"),
            ("tcp,listen,source-port=1:9000", "a source is where a connection comes from"),
            ("unix,mode=660:/s", "only a listener sets the mode of a socket"),
            ("fd,listen:1", "it is a standard stream"),
            ("fd:2", "messages go to standard error"),
            ("udp:a:1", "UDP is not in this version of haul"),
        ] {
            let address = Address::parse(OsStr::new(word)).unwrap();
            assert_eq!(refused(&[word, "file:out"], |_| {}), format!("cannot read {address}: {cause}"));
        }
    }

    #[test]
    fn a_sink_is_what_can_be_written() {
        for word in [
            "-",
            "a:1",
            "tcp,listen:0",
            "unix:/s",
            "unix,listen:/s",
            "./p",
            "file:p",
            "file,append:p",
            "file,atomic:p",
            "file,offset=1:p",
            "fifo:p",
            "exec:cat",
            "sh:cat",
            "fd:3",
            "fd:1",
            "fd,listen:3",
            "null:",
            "discard:",
        ] {
            assert!(settle(&pipe(&["-", word])).is_ok(), "{word}");
        }
        for (word, cause) in [
            ("echo:", "nobody would read what it gives back"),
            ("zero:", "it is read, and takes nothing"),
            ("text:a", "it is read, and takes nothing"),
            ("fd:3/2", "messages go to standard error"),
            ("file,append,offset=1:p", "append writes at the end, whatever the offset"),
            ("file,atomic,offset=1:p", "atomic writes a new file, which has no offset"),
        ] {
            assert_eq!(refused(&["-", word], |_| {}), format!("cannot write {word}: {cause}"));
        }
    }

    #[test]
    fn both_ways_takes_what_has_both() {
        for word in ["a:1", "tcp,listen:9000", "unix:/s", "exec:cat", "fd:3", "fd:3/4", "echo:", "text:a", "./tty"] {
            let mut plan = pipe(&["-", word]);
            plan.both_ways = true;
            assert!(settle(&plan).is_ok(), "{word}");
        }
        let both = |word| refused(&["-", word], |plan| plan.both_ways = true);
        assert_eq!(both("file:p"), "cannot write file:p: it is either read or written, and -2 does both");
        assert_eq!(both("fifo:p"), "cannot write fifo:p: it is either read or written, and -2 does both");
        assert_eq!(both("-"), "cannot use - with -: both are standard input");
        assert_eq!(both("fd:0"), "cannot use - with fd:0: both are standard input");
        assert_eq!(both("fd:3/1"), "cannot use - with fd:3/1: both are standard output");
    }

    #[test]
    fn no_descriptor_is_used_twice() {
        for (words, line) in [
            (&["-", "-", "-"][..], "cannot use - with -: both are standard output"),
            (&["a:1", "-", "fd:1"], "cannot use - with fd:1: both are standard output"),
            (&["-", "fd:0"], "cannot use - with fd:0: both are standard input"),
            (&["fd,listen:0", "fd:0"], "cannot use fd,listen:0 with fd:0: both are standard input"),
            (&["-", "fd,listen:0"], "cannot use - with fd,listen:0: both are standard input"),
            (&["-", "fd:3", "fd:4/3"], "cannot use fd:3 with fd:4/3: both are descriptor 3"),
            (&["fd:3", "fd:3"], "cannot use fd:3 with fd:3: both are descriptor 3"),
        ] {
            assert_eq!(refused(words, |_| {}), line);
        }
        assert!(settle(&pipe(&["fd:3/4", "fd:4"])).is_ok(), "only the first of the two is read");
        let line = refused(&["-", "fd:3"], |plan| plan.report.events = Some(EventSink::Fd(3)));
        assert_eq!(line, "cannot use --events on descriptor 3 with fd:3: the payload goes there");
        let line = refused(&["fd,listen:3", "-"], |plan| plan.announce.ready_fd = Some(3));
        assert_eq!(line, "cannot use --ready-fd on descriptor 3 with fd,listen:3: the payload goes there");
    }

    #[test]
    fn no_file_is_used_twice() {
        for (words, line) in [
            (&["./a", "file:a"][..], "cannot use ./a with file:a: the input file is the output file"),
            (&["-", "file:a", "./a"], "cannot use file:a with ./a: both are one file"),
            (&["-", "file,append:a", "file:.//a"], "cannot use file,append:a with file:.//a: both are one file"),
        ] {
            assert_eq!(refused(words, |_| {}), line);
        }
        for words in [&["/dev/tty", "/dev/tty"][..], &["unix:/s", "unix:/s"], &["./a", "./b"]] {
            assert!(settle(&pipe(words)).is_ok(), "{words:?}");
        }
    }
}
