//! Failures: the exit status, and the text a person gets, on stderr only.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::harness::peer::refusing_address;
use crate::harness::{Ended, Input, Listener, Peer, haul, open, scratch};

/// Runs haul with these words; it must fail with this status and one error, of which the first line is returned.
#[track_caller]
fn fails(words: &[&str], code: i32) -> (Ended, String) {
    let ended = haul(words).run();
    ended.code(code).no_stdout();
    let line = ended.one_error();
    (ended, line)
}

// Nobody listens: status 1, and the whole text to the letter.
#[test]
fn a_refused_connection_is_status_1() {
    let (_bound, address) = refusing_address();
    let (ended, _) = fails(&["connect", &address.to_string()], 1);
    assert_eq!(
        ended.stderr,
        format!(
            "haul: cannot connect to {address}: connection refused\n  \
             try: check that the service is running and listens on that port\n"
        )
    );
}

// Two words say the same as one.
#[test]
fn host_and_port_as_two_words_are_one_endpoint() {
    let (_bound, address) = refusing_address();
    let (_, line) = fails(&["connect", "127.0.0.1", &address.port().to_string()], 1);
    assert_eq!(line, format!("haul: cannot connect to {address}: connection refused"));
}

// A name with several addresses: all of them were tried, and the line says so.
#[test]
fn a_refused_name_says_which_addresses_were_tried() {
    let (_bound, address) = refusing_address();
    let (ended, line) = fails(&["connect", "localhost", &address.port().to_string()], 1);
    assert!(line.starts_with(&format!("haul: cannot connect to localhost:{}: ", address.port())), "{line}");
    assert!(ended.stderr.contains("127.0.0.1"), "{}", ended.stderr);
}

// A name that does not exist is status 1 and names the name.
#[test]
fn an_unknown_name_is_status_1() {
    let (_, line) = fails(&["connect", "nonexistent.invalid", "80"], 1);
    assert!(line.starts_with("haul: cannot connect to nonexistent.invalid:80: "), "{line}");
}

// With -n no name is looked up: a usage error.
#[test]
fn a_name_with_numeric_only_is_status_2() {
    let (_, line) = fails(&["connect", "-n", "localhost", "80"], 2);
    assert!(line.contains("localhost"), "{line}");
}

// No socket at the path: status 1, and the whole text to the letter.
#[test]
fn a_missing_socket_path_is_status_1() {
    let home = scratch();
    let endpoint = format!("{}/none", home.path().display());
    let (ended, _) = fails(&["connect", &endpoint], 1);
    assert_eq!(
        ended.stderr,
        format!(
            "haul: cannot connect to {endpoint}: no such file or directory\n  try: check the path: no socket is there\n"
        )
    );
}

// A socket file without a listener: refused, status 1.
#[test]
fn a_socket_file_without_a_listener_is_status_1() {
    let home = scratch();
    let path = home.path().join("s");
    drop(Listener::unix(&path));
    let (_, line) = fails(&["connect", &format!("unix:{}", path.display())], 1);
    assert!(line.ends_with("connection refused"), "{line}");
}

// The port is taken: status 2, and the whole text to the letter; who has it is not disturbed.
#[test]
fn a_port_in_use_is_status_2() {
    let taken = Listener::tcp();
    let (ended, _) = fails(&["listen", &taken.endpoint()], 2);
    assert_eq!(
        ended.stderr,
        format!(
            "haul: cannot listen on {}: address already in use\n  try: another port, or 0 for a free one\n",
            taken.endpoint()
        )
    );
    assert!(taken.was_left_alone());
}

// A port that was used a moment ago is free again: TIME_WAIT is no obstacle.
#[test]
fn a_port_in_time_wait_can_be_listened_on() {
    let first = haul(["listen", "127.0.0.1:0"]).spawn();
    let address = first.address();
    let mut peer = Peer::connect(address);
    // haul's FIN comes first, so it is haul's side that stays in TIME_WAIT
    assert_eq!(peer.receive_all().0, b"");
    drop(peer);
    first.wait().ok();
    let again = haul(["listen", "-v", &address.to_string()]).spawn();
    again.stderr_line(&format!("haul: listening on tcp {address}"));
    drop(Peer::connect(address));
    again.wait().code(0);
}

// An address that this machine does not have: status 2.
#[test]
fn a_foreign_address_cannot_be_listened_on() {
    let (ended, line) = fails(&["listen", "198.51.100.1:0"], 2);
    assert!(line.starts_with("haul: cannot listen on 198.51.100.1:0: "), "{line}");
    assert!(ended.stderr.contains("\n  try: "), "{}", ended.stderr);
}

// Words that are no endpoint are status 2, and where there is a right spelling it is shown.
#[test]
fn a_bad_endpoint_is_status_2_and_shows_the_right_spelling() {
    for (word, right) in [
        ("::1:80", Some("::1/80")),
        ("fe80::1:2:80", Some("/80")),
        ("127.0.0.1:65536", None),
        ("127.0.0.1:-1", None),
        ("127.0.0.1:", None),
        ("127.0.0.1:http0", None),
        ("tcp,nodelai:127.0.0.1:80", Some("nodelay")),
        ("tcp,ttl=300:127.0.0.1:80", None),
        ("unix:", None),
    ] {
        let (ended, line) = fails(&["connect", word], 2);
        assert!(line.starts_with("haul: cannot "), "{line}");
        assert!(right.is_none_or(|right| ended.stderr.contains(right)), "{word}: {}", ended.stderr);
    }
}

// A proxy is no place to connect to or to listen on.
#[test]
fn a_proxy_url_is_refused_with_the_flag_that_takes_it() {
    for subcommand in ["connect", "listen"] {
        let (ended, _) = fails(&[subcommand, "http://proxy.example:3128"], 2);
        assert!(ended.stderr.contains("  try: -x"), "{}", ended.stderr);
    }
}

// An unknown flag, subcommand or value is status 2 and named.
#[test]
fn usage_errors_are_status_2_and_name_the_word() {
    for (words, named) in [
        (&["connect", "--frobnicate", "127.0.0.1", "80"][..], "--frobnicate"),
        (&["conect", "127.0.0.1", "80"], "conect"),
        (&["connect", "--splice", "sometimes", "127.0.0.1", "80"], "sometimes"),
        (&["connect", "-w", "soon", "127.0.0.1", "80"], "soon"),
        (&["listen", "--max-bytes", "1x", "0"], "1x"),
        (&["listen", "--mode", "999", "./s"], "999"),
        (&["connect", "127.0.0.1", "80", "81"], "81"),
    ] {
        let (ended, _) = fails(words, 2);
        assert!(ended.stderr.contains(named), "{words:?}: {}", ended.stderr);
    }
}

// Nothing at all, or too little, is status 2.
#[test]
fn a_missing_word_is_status_2() {
    for words in [&["connect"][..], &["listen"]] {
        fails(words, 2);
    }
}

// Flags that contradict each other are refused and not silently ranked.
#[test]
fn contradicting_flags_are_status_2() {
    for words in
        [&["connect", "-4", "-6", "127.0.0.1", "80"][..], &["connect", "--send-only", "--recv-only", "127.0.0.1", "80"]]
    {
        fails(words, 2);
    }
}

// A bad argument may hold any bytes; none that controls a terminal comes back.
#[test]
fn no_control_byte_of_an_argument_is_echoed() {
    let nasty = OsStr::from_bytes(b"\x1b]0;owned\x07\xff\xc2\x9b2J\n:x");
    for words in [
        &[OsStr::new("connect"), nasty][..],
        &[OsStr::new("connect"), OsStr::new("--send-only"), nasty, OsStr::new("80")],
        &[nasty],
        &[OsStr::new("listen"), OsStr::new("--linger"), nasty, OsStr::new("0")],
    ] {
        let ended = haul(words).run();
        ended.no_stdout();
        assert!(!ended.status.success());
        ended.one_error();
        assert!(ended.stderr.contains("\\x1b"), "the argument is not shown: {}", ended.stderr);
    }
}

// --quiet silences everything but failures.
#[test]
fn quiet_still_tells_failures() {
    let (_bound, address) = refusing_address();
    let (_, line) = fails(&["connect", "--quiet", &address.to_string()], 1);
    assert_eq!(line, format!("haul: cannot connect to {address}: connection refused"));
}

// A regular file is nothing to connect to, and stays as it is.
#[test]
fn a_regular_file_is_no_peer() {
    let home = scratch();
    let path = crate::harness::file_with(home.path(), "file", b"precious");
    for subcommand in ["connect", "listen"] {
        fails(&[subcommand, path.to_str().unwrap()], 2);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}

// A path that is too long for a Unix socket is told as that.
#[test]
fn a_path_that_is_too_long_for_a_socket_is_status_2() {
    let long = format!("unix:/tmp/{}", "x".repeat(120));
    for subcommand in ["connect", "listen"] {
        fails(&[subcommand, &long], 2);
    }
}

// A descriptor that is not open is told as that.
#[test]
fn a_descriptor_that_is_not_open_is_status_2() {
    let (_, line) = fails(&["connect", "fd:77"], 2);
    assert!(line.contains("fd:77"), "{line}");
}

// A directory on stdin cannot be read: told at once, status 5.
#[test]
fn a_directory_on_stdin_is_status_5() {
    let home = scratch();
    let listener = Listener::tcp();
    let ended = haul(["connect", &listener.endpoint()]).stdin(Input::Fd(open(home.path()))).run();
    ended.code(5);
    assert_eq!(ended.one_error(), "haul: cannot read standard input: is a directory");
}

// Text that was asked for and has nowhere to go is an error, like payload.
#[test]
fn help_for_a_closed_standard_output_is_status_5() {
    for words in [&["help", "exit"][..], &["--version"], &["listen", "--explain", "9000"]] {
        let ended = haul(words).after("exec >&-").run();
        ended.code(5);
        ended.one_error();
    }
}

// Descriptors that have run out are this machine's trouble, whatever was being done: never a usage error.
#[test]
fn too_few_descriptors_are_status_5() {
    for most in 4..12 {
        let ended =
            haul(["listen", "--accept-timeout", "0.1", "127.0.0.1:0"]).after(&format!("ulimit -n {most}")).run();
        let code = ended.status.code();
        assert!(code == Some(5) || (most > 6 && code == Some(3)), "{most}: {}: {}", ended.status, ended.stderr);
        ended.one_error();
        assert!(code == Some(3) || !ended.stderr.contains("listening on"), "{most}: {}", ended.stderr);
    }
}

// A look-up that finds no descriptor to ask with says so, and not that there is no such name.
#[test]
fn a_look_up_without_descriptors_is_not_a_missing_name() {
    for most in 4..12 {
        let ended = haul(["connect", "-w", "1", "localhost", "1"]).after(&format!("ulimit -n {most}")).run();
        let line = ended.one_error();
        assert!(!line.contains("name not found"), "{most}: {line}");
        assert!(matches!(ended.status.code(), Some(1 | 5)), "{most}: {}: {line}", ended.status);
    }
}

// An abstract name has no file that could have outlived its listener.
#[test]
fn nobody_at_an_abstract_name_is_told_without_a_file() {
    let ended = haul(["connect", "@haul-nobody-is-here"]).run();
    ended.code(1);
    ended.one_error();
    assert!(!ended.stderr.contains("file"), "{}", ended.stderr);
}

// The limit of a listener names the address that was bound, not the port 0 that was typed.
#[test]
fn a_listener_that_nobody_came_to_is_told_with_its_port() {
    let ended = haul(["listen", "--accept-timeout", "0.1", "127.0.0.1:0"]).run();
    ended.code(3);
    let bound = ended.stderr.lines().find_map(|line| line.strip_prefix("haul: listening on ")).unwrap();
    assert_eq!(ended.one_error(), format!("haul: cannot accept on {bound}: timed out after 100ms"));
}

// The usual client of a Unix socket has no name of its own; what went wrong is told with the path it came to.
#[test]
fn a_reset_by_a_unix_client_names_the_path() {
    let home = scratch();
    let path = home.path().join("s");
    let words = ["listen".as_ref(), "-v".as_ref(), path.as_os_str()];
    let haul = haul(words).stdin(Input::Bytes(vec![b'x'; 1 << 20])).spawn();
    haul.stderr_line("haul: listening on ");
    let peer = std::os::unix::net::UnixStream::connect(&path).unwrap();
    haul.stderr_line("haul: accepted ");
    drop(peer);
    let ended = haul.wait();
    ended.code(1);
    assert!(ended.stderr.contains(&format!("a client of {}", path.display())), "{}", ended.stderr);
    assert!(!ended.stderr.contains(": unnamed "), "{}", ended.stderr);
}

// A descriptor that is open one way is told so, with the flag that makes it fit.
#[test]
fn a_descriptor_that_is_open_one_way_is_told_so() {
    for (open, way, flag) in [("3>/dev/null", "writing", "--send-only"), ("3</dev/null", "reading", "--recv-only")] {
        let ended = haul(["connect", "fd:3"]).after(&format!("exec {open}")).run();
        ended.code(2);
        let line = ended.one_error();
        assert_eq!(line, format!("haul: cannot use fd:3: descriptor 3 is open for {way} only"));
        assert!(ended.stderr.contains(&format!("try: {flag}")), "{}", ended.stderr);
        haul(["connect", flag, "fd:3"]).after(&format!("exec {open}")).run().ok();
    }
}

// A file that would be read from itself is refused before anything happens to it.
#[test]
fn a_file_is_never_copied_onto_itself() {
    let home = scratch();
    let file = crate::harness::file_with(home.path(), "f", b"precious");
    let (target, appended) = (format!("file:{}", file.display()), format!("file,append:{}", file.display()));
    for (words, redirection) in
        [(&["connect", &target][..], "<"), (&["connect", &appended], "<"), (&["connect", "--recv-only", &target], ">>")]
    {
        let ended = haul(words).after(&format!("exec {redirection}'{}'", file.display())).run();
        ended.code(2);
        assert!(ended.one_error().ends_with(": the input file is the output file"), "{}", ended.stderr);
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    }
}

// A URL is told as it was typed, not in the spelling that haul has for it.
#[test]
fn a_url_is_told_as_it_was_typed() {
    let (_, line) = fails(&["connect", "ws://h.example:0/x"], 2);
    assert!(line.starts_with("haul: cannot connect to ws://h.example:0/x: "), "{line}");
}
