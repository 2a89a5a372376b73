//! What `haul pipe` writes besides the payload: reports never destroy what carries it, and none is missing in silence.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::data::bytes;
use crate::harness::{Ended, Input, Program, Sink, create, file_with, haul, open, scratch};

fn pipe<S: AsRef<str>>(words: &[S]) -> Program {
    haul(std::iter::once("pipe").chain(words.iter().map(AsRef::as_ref)))
}

#[track_caller]
fn refused(ended: &Ended, flag: &str, other: &str) {
    ended.code(2).no_stdout();
    let line = ended.one_error();
    assert!(line.starts_with(&format!("haul: cannot use {flag} ")), "{line}");
    assert!(line.ends_with(&format!(": it is the same file as {other}")), "{line}");
}

/// A source, and names for it and for what is not there yet.
fn names(home: &Path) -> impl Fn(&str) -> String {
    file_with(home, "src", b"precious");
    symlink("src", home.join("soft")).unwrap();
    fs::hard_link(home.join("src"), home.join("hard")).unwrap();
    symlink("o", home.join("soft-o")).unwrap();
    fs::create_dir(home.join("sub")).unwrap();
    let home = home.to_path_buf();
    move |name: &str| home.join(name).display().to_string()
}

#[test]
fn a_report_never_goes_to_the_file_that_is_read_or_written() {
    let home = scratch();
    let at = names(home.path());
    let (src, o, round) = (at("src"), at("o"), at("sub/../o"));
    let hash = |file: &str| ["--hash".into(), "sha256".into(), "--hash-file".into(), at(file)].to_vec();
    let events = |file: &str| ["--events".into(), at(file)].to_vec();
    let port = |file: &str| ["--port-file".into(), at(file)].to_vec();
    let listen = "tcp,listen:127.0.0.1:0".to_string();
    let whole = format!("file,atomic:{o}");
    let table = [
        (hash("soft"), vec![&src, &o], "--hash-file", &src),
        (hash("hard"), vec![&src, &o], "--hash-file", &src),
        (hash("soft-o"), vec![&src, &o], "--hash-file", &o),
        (hash("sub/../o"), vec![&src, &whole], "--hash-file", &o),
        (events("src"), vec![&src, &o], "--events", &src),
        (events("o"), vec![&src, &o], "--events", &o),
        (events("soft-o"), vec![&src, &round], "--events", &round),
        (port("src"), vec![&src, &listen], "--port-file", &src),
        (port("o"), vec![&listen, &o], "--port-file", &o),
    ];
    for present in [false, true] {
        if present {
            fs::write(home.path().join("o"), "old").unwrap();
        }
        for (flags, ends, flag, other) in &table {
            let words: Vec<&String> = flags.iter().chain(ends.iter().copied()).collect();
            refused(&pipe(&words).run(), flag, other);
            assert_eq!(fs::read(home.path().join("src")).unwrap(), b"precious", "{words:?}");
            assert_eq!(fs::read(home.path().join("o")).ok(), present.then(|| b"old".to_vec()), "{words:?}");
        }
    }
}

#[test]
fn standard_input_and_output_are_files_as_well() {
    let home = scratch();
    let at = names(home.path());
    let (src, o) = (at("src"), at("o"));
    let source = || Input::Fd(open(&home.path().join("src")));
    let output = || Sink::Fd(create(&home.path().join("o")));
    let hash =
        |file: &str, ends: &[&str]| pipe(&[&["--hash", "sha256", "--hash-file", file], ends].concat()).stdin(source());
    refused(&hash(&src, &["-", &o]).run(), "--hash-file", "standard input");
    refused(&hash(&o, &["-"]).stdout(output()).run(), "--hash-file", "standard output");
    let events = |file: &str, ends: &[&str]| pipe(&[&["--events", file], ends].concat()).stdin(source());
    refused(&events(&o, &["-", "exec:cat"]).stdout(output()).run(), "--events", "standard output");
    refused(&events(&src, &["exec:cat", "null:"]).run(), "--events", "standard input");
    refused(&haul(["listen", "-o", &o, "127.0.0.1:0"]).stdout(output()).run(), "-o", "standard output");
    refused(&haul(["connect", "-o", &src, "127.0.0.1:9"]).stdin(source()).run(), "-o", "standard input");
    let listening = haul(["listen", "--out", &o, "--events", &at("soft-o"), "127.0.0.1:0"]).run();
    refused(&listening, "--events", &format!("--out {o}"));
    assert_eq!(fs::read(home.path().join("src")).unwrap(), b"precious");
}

#[test]
fn two_reports_are_two_files_but_devices_and_standard_error_are_shared() {
    let home = scratch();
    let at = names(home.path());
    let (src, h) = (at("src"), at("h"));
    let both = ["--hash", "sha256", "--hash-file", &h, "--events", &h, &src, "null:"];
    refused(&pipe(&both).run(), "--events", &format!("--hash-file {h}"));
    assert!(!Path::new(&h).exists());
    let null = ["--hash", "sha256", "--hash-file", "/dev/null", "--events", "/dev/null", "/dev/null", "/dev/null"];
    pipe(&null).run().ok();
    let log = create(&home.path().join("log"));
    let words = ["--hash", "sha256", "--hash-file", "/dev/stderr", "--events", "fd:2", &src, "-"];
    pipe(&words).after("exec 2>&1").stdout(Sink::Fd(log)).run().code(0);
    assert!(fs::read_to_string(home.path().join("log")).unwrap().contains("precious"));
}

#[test]
fn a_digest_that_cannot_be_written_is_told_before_anything_is() {
    let home = scratch();
    let at = names(home.path());
    let (src, o) = (at("src"), at("o"));
    fs::write(&o, "old").unwrap();
    let table = [
        (at("no/such"), "no such file or directory"),
        (home.path().display().to_string(), "is a directory"),
        (at("src/x"), "not a directory"),
    ];
    for (file, cause) in table {
        for sink in [o.clone(), format!("file,atomic:{o}")] {
            let ended = pipe(&["--hash", "sha256", "--hash-file", &file, &src, &sink]).run();
            assert_eq!(ended.code(2).one_error(), format!("haul: cannot open {file}: {cause}"));
            assert_eq!(fs::read(&o).unwrap(), b"old");
        }
    }
}

#[test]
fn a_digest_that_is_not_there_is_no_success() {
    let home = scratch();
    let large = file_with(home.path(), "large", &bytes(3, 5_000_000)).display().to_string();
    for more in [&[][..], &["--buffer", "64Ki"]] {
        let run = |sink: &str| pipe(&[&["--hash", "sha256"], more, &[&large, sink]].concat()).run();
        let line = run("exec:true").code(5).one_error();
        assert!(line.starts_with("haul: no digest: the sink took only ") && line.ends_with(" bytes"), "{line}");
        assert_eq!(run("sh:exit 3").code(3).stderr, "");
    }
    let ended = pipe(&["--hash", "sha256", &large, "exec:true", "sh:head -c 5 >/dev/null"]).run();
    assert_eq!(ended.code(5).one_error(), "haul: no digest: no sink took everything");
    pipe(&[&large, "exec:true"]).run().ok();
    let o = home.path().join("o").display().to_string();
    let ended = pipe(&["--hash", "sha256", &large, "exec:true", &o]).run();
    assert!(ended.code(0).stderr.ends_with(&format!("  {o}\n")), "{}", ended.stderr);
    let ended = pipe(&["-v", &large, "exec:true", &o]).run();
    assert!(ended.code(0).stderr.contains("haul: true read no further after "), "{}", ended.stderr);
}

#[test]
fn a_digest_that_standard_error_does_not_take_is_status_5() {
    let home = scratch();
    let src = file_with(home.path(), "src", b"precious").display().to_string();
    let o = home.path().join("o").display().to_string();
    for place in ["exec 2>/dev/full", "exec 2>&-"] {
        pipe(&["--hash", "sha256", &src, &o]).after(place).run().code(5);
        assert_eq!(fs::read(&o).unwrap(), b"precious");
        pipe(&[&src, &o]).after(place).run().code(0);
        fs::remove_file(&o).unwrap();
    }
    let named = ["--hash", "sha256", "--hash-file", "/dev/stderr", &src, &o];
    pipe(&named).after("exec 2>&-").run().code(2);
    assert!(!Path::new(&o).exists());
}

#[test]
fn a_file_that_may_not_grow_any_more_fails_alone() {
    let home = scratch();
    let content = bytes(7, 600_000);
    let src = file_with(home.path(), "src", &content);
    let (o, p) = (home.path().join("o").display().to_string(), home.path().join("p").display().to_string());
    let ended = pipe(&[&src.display().to_string(), &o]).after("ulimit -f 100").run();
    assert_eq!(ended.code(5).one_error(), format!("haul: cannot write {o}: file too large"));
    let ended = pipe(&["-", &p, "-"]).stdin(Input::Fd(open(&src))).after("ulimit -f 100").run();
    let line = ended.code(5).one_error();
    assert!(line.starts_with(&format!("haul: {p} stopped after ")) && line.ends_with(": file too large"), "{line}");
    assert!(ended.stdout == content, "the other one has it all");
    // whoever we start dies of it as ever
    let child = format!("sh:cat >{p}; test $? -gt 128");
    pipe(&["-", &child]).stdin(Input::Fd(open(&src))).after("ulimit -f 100").run().code(0);
}
