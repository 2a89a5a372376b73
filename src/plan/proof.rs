//! `--verify`, `--out` and `--fsync` of a listener and a dialler: what of it fits together.
//!
//! Verifying takes a haul at the other end, an end that is told, and nothing on this side that changes the bytes or
//! stops before them. A file that is written whole takes the place of standard output, and has one sender.

use std::path::{Component, Path};

use super::address::{Address, Kind, UnixSocket};
use super::advice::{Advice, advice, clash};
use super::{AfterPeerEof, Connect, Flow, Listen, Local, Share, Step, Transfer};
use crate::error::Error;

/// Refuses contradictions; leaves standard input alone where `--out` is given. Gives what is odd.
pub(super) fn listen(plan: &mut Listen) -> Result<Vec<Advice>, Error> {
    verify(&plan.transfer, &plan.at)?;
    out(&plan.transfer, &plan.local)?;
    let shared = match plan.serving.share {
        Share::Merge if plan.serving.is_many() && plan.local == Local::Stdio => Some("many clients"),
        Share::Merge => None,
        Share::FanOut => Some("--fan-out"),
        Share::Broker => Some("--broker"),
    };
    if let (true, Some(flag)) = (plan.transfer.verify, shared) {
        let why = "what a client sent would be passed on before it is verified";
        return Err(clash("--verify", flag, why, "one connection, or a program for each"));
    }
    if let (true, Some(flag)) = (plan.transfer.out.is_some(), shared) {
        return Err(clash("--out", flag, "one file holds what one client sent", "one connection, without -k"));
    }
    let odd = odd(&plan.transfer, &plan.local, false);
    leave_stdin(&mut plan.transfer);
    Ok(odd)
}

/// The same for a dialler, before the direction of a file is decided.
pub(super) fn connect(plan: &mut Connect) -> Result<Vec<Advice>, Error> {
    verify(&plan.transfer, &plan.to)?;
    out(&plan.transfer, &plan.local)?;
    if plan.dialogue.iter().any(|step| matches!(step, Step::Expect(_))) {
        if plan.transfer.verify {
            return Err(clash("--verify", "--expect", "a dialogue ends before the stream does", "one of them"));
        }
        if plan.transfer.out.is_some() {
            let why = "what was matched goes to standard output";
            return Err(clash("--out", "--expect", why, "a shell redirection"));
        }
    }
    let odd = odd(&plan.transfer, &plan.local, matches!(plan.to.kind, Kind::File(_) | Kind::Path(_)));
    leave_stdin(&mut plan.transfer);
    Ok(odd)
}

/// As `-d` does; `--recv-only` does that already and ends the sending side too.
fn leave_stdin(transfer: &mut Transfer) {
    if transfer.out.is_some() && transfer.flow == Flow::Both {
        transfer.stdin = false;
    }
}

fn verify(transfer: &Transfer, at: &Address) -> Result<(), Error> {
    let no = |other: &str, why: &str, remedy: &str| Err(clash("--verify", other, why, remedy));
    if !transfer.verify {
        return Ok(());
    }
    match &at.kind {
        Kind::Unix(_, UnixSocket::Seqpacket) => {
            no(&at.to_string(), "a packet would no longer be one", "unix: without seqpacket")
        }
        Kind::Tcp(_) | Kind::Udp(_) | Kind::Unix(..) | Kind::Path(_) | Kind::Proxy(_) => Ok(()),
        Kind::Exec(_) | Kind::Shell(_) | Kind::Fd { .. } | Kind::Stdio => Ok(()),
        _ => no(&at.to_string(), "there is no haul at the other end", "it without --verify, or --fsync"),
    }?;
    match transfer {
        _ if transfer.crlf => no("-C", "what arrives would not be what was read", "one of them"),
        _ if transfer.max_bytes.is_some() => {
            no("--max-bytes", "what comes after that would never be verified", "one of them")
        }
        _ if transfer.quit_after.is_some() => {
            no("-q", "success before the peer has answered would be a guess", "--idle or --max-time")
        }
        _ if !transfer.shutdown => {
            no("--no-shutdown", "what is verified is a stream that ends", "it without --no-shutdown")
        }
        _ if transfer.after_peer_eof == AfterPeerEof::Exit => {
            no("--after-peer-eof exit", "what is being sent then would be cut", "one of them")
        }
        _ => Ok(()),
    }
}

fn out(transfer: &Transfer, local: &Local) -> Result<(), Error> {
    let Some(file) = &transfer.out else { return Ok(()) };
    match (&transfer.copy, transfer.flow) {
        _ if *local != Local::Stdio => {
            Err(clash("--out", "a program", "the program takes what is received", "a redirection in sh -c, with -c"))
        }
        (_, Flow::SendOnly) => Err(clash("--out", "--send-only", "what is received would be discarded", "one of them")),
        (Some(copy), _) if is_same(&copy.path, file) => Err(clash(
            "--out",
            "-o to the same file",
            "each would write over the other",
            "another file for one of them",
        )),
        _ => Ok(()),
    }
}

fn odd(transfer: &Transfer, local: &Local, to_file: bool) -> Vec<Advice> {
    let received = transfer.flow != Flow::SendOnly && *local == Local::Stdio;
    let changes = received || to_file;
    let mut odd = Vec::new();
    if transfer.fsync && !changes {
        odd.push(advice("--fsync changes nothing, for haul itself writes no file", "the command without it"));
    }
    if transfer.fsync && transfer.out.is_some() && !transfer.verify {
        odd.push(advice("--fsync changes nothing, for --out does that already", "the command without it"));
    }
    odd
}

/// Two spellings of one path, as far as that shows without looking.
pub(super) fn is_same(a: &Path, b: &Path) -> bool {
    let plain = |path: &Path| -> Vec<_> {
        path.components().filter(|part| *part != Component::CurDir).map(|part| part.as_os_str().to_owned()).collect()
    };
    plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::super::Copy;
    use super::super::address::Program;
    use super::super::tests::{connect_to, listen_at};
    use super::*;
    use std::time::Duration;

    fn parse(word: &str) -> Address {
        Address::parse(OsStr::new(word)).unwrap()
    }

    fn cat() -> Local {
        Local::Program(Program::Words(vec!["cat".into()]))
    }

    #[track_caller]
    fn refused(word: &str, change: fn(&mut Connect)) -> String {
        let mut plan = connect_to(parse(word));
        change(&mut plan);
        connect(&mut plan).unwrap_err().line()
    }

    #[test]
    fn what_cannot_be_verified_is_refused() {
        for (word, line) in [
            ("file:x", "cannot use --verify with file:x: there is no haul at the other end"),
            ("echo:", "cannot use --verify with echo:: there is no haul at the other end"),
            ("unix,seqpacket:/s", "cannot use --verify with unix,seqpacket:/s: a packet would no longer be one"),
        ] {
            assert_eq!(refused(word, |plan| plan.transfer.verify = true), line);
        }
        type Change = fn(&mut Connect);
        let changes: [(&str, Change); 6] = [
            ("-C", |plan| plan.transfer.crlf = true),
            ("--max-bytes", |plan| plan.transfer.max_bytes = Some(1)),
            ("-q", |plan| plan.transfer.quit_after = Some(Duration::ZERO)),
            ("--no-shutdown", |plan| plan.transfer.shutdown = false),
            ("--after-peer-eof exit", |plan| plan.transfer.after_peer_eof = AfterPeerEof::Exit),
            ("--expect", |plan| plan.dialogue = vec![Step::Expect("x".into())]),
        ];
        for (flag, change) in changes {
            let mut plan = connect_to(parse("a:1"));
            plan.transfer.verify = true;
            change(&mut plan);
            let error = connect(&mut plan).unwrap_err();
            assert!(error.line().starts_with(&format!("cannot use --verify with {flag}: ")), "{error}");
            assert!(error.advice().is_some());
        }
    }

    #[test]
    fn what_can_be_verified_is_taken() {
        for word in ["a:1", "unix:/s", "@s", "/s", "fd:3", "exec:ssh host haul", "sh:a"] {
            let mut plan = connect_to(parse(word));
            plan.transfer.verify = true;
            plan.transfer.fsync = true;
            plan.transfer.copy = Some(Copy { path: "c".into(), hex: true, timestamps: false });
            plan.dialogue = vec![Step::Send(b"x".to_vec())];
            assert_eq!(connect(&mut plan).unwrap(), [], "{word}");
        }
    }

    #[test]
    fn many_clients_are_verified_only_with_a_program_each() {
        let listen = |change: fn(&mut Listen)| {
            let mut plan = listen_at(parse("9000"));
            plan.serving.keep = true;
            change(&mut plan);
            listen(&mut plan).map_err(|error| error.line())
        };
        let why = "what a client sent would be passed on before it is verified";
        assert_eq!(
            listen(|plan| plan.transfer.verify = true),
            Err(format!("cannot use --verify with many clients: {why}"))
        );
        let broker = listen(|plan| {
            plan.transfer.verify = true;
            plan.serving.share = Share::Broker;
        });
        assert_eq!(broker, Err(format!("cannot use --verify with --broker: {why}")));
        let programs = listen(|plan| {
            plan.transfer.verify = true;
            plan.local = cat();
        });
        assert_eq!(programs, Ok(vec![]));
    }

    #[test]
    fn one_file_holds_what_one_peer_sent() {
        let out = |change: fn(&mut Listen)| {
            let mut plan = listen_at(parse("9000"));
            plan.transfer.out = Some("f".into());
            change(&mut plan);
            listen(&mut plan).map(|_| plan.transfer.stdin).map_err(|error| error.line())
        };
        assert_eq!(out(|_| {}), Ok(false), "standard input is left alone");
        assert_eq!(out(|plan| plan.transfer.flow = Flow::ReceiveOnly), Ok(true), "FIN goes out at once");
        for (change, line) in [
            (
                (|plan| plan.serving.keep = true) as fn(&mut Listen),
                "cannot use --out with many clients: one file holds what one client sent",
            ),
            (
                |plan| plan.serving.then = Some("true".into()),
                "cannot use --out with many clients: one file holds what one client sent",
            ),
            (
                |plan| plan.serving.share = Share::FanOut,
                "cannot use --out with --fan-out: one file holds what one client sent",
            ),
            (|plan| plan.local = cat(), "cannot use --out with a program: the program takes what is received"),
            (
                |plan| plan.transfer.flow = Flow::SendOnly,
                "cannot use --out with --send-only: what is received would be discarded",
            ),
            (
                |plan| plan.transfer.copy = Some(Copy { path: "./f".into(), hex: false, timestamps: false }),
                "cannot use --out with -o to the same file: each would write over the other",
            ),
        ] {
            assert_eq!(out(change), Err(line.into()));
        }
        let dialogue = refused("a:1", |plan| {
            plan.transfer.out = Some("f".into());
            plan.dialogue = vec![Step::Expect("x".into())];
        });
        assert_eq!(dialogue, "cannot use --out with --expect: what was matched goes to standard output");
    }

    #[test]
    fn an_fsync_of_nothing_is_told() {
        let sentences = |change: fn(&mut Connect)| {
            let mut plan = connect_to(parse("a:1"));
            plan.transfer.fsync = true;
            change(&mut plan);
            connect(&mut plan).unwrap().len()
        };
        assert_eq!(sentences(|_| {}), 0);
        assert_eq!(sentences(|plan| plan.to = parse("file:x")), 0);
        assert_eq!(sentences(|plan| plan.local = cat()), 1);
        assert_eq!(sentences(|plan| plan.transfer.flow = Flow::SendOnly), 1);
        assert_eq!(sentences(|plan| plan.transfer.out = Some("f".into())), 1);
    }

    #[test]
    fn a_path_is_the_same_however_it_is_spelled() {
        assert!(is_same(Path::new("./a/b"), Path::new("a//b")));
        assert!(!is_same(Path::new("a"), Path::new("/a")));
    }
}
