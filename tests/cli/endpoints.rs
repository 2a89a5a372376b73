//! What can stand in the place of the peer besides an address: descriptors, files, FIFOs, test endpoints; and the
//! options that choose an address.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

use crate::data::{assert_same, bytes};
use crate::harness::{DEADLINE, Input, Peer, file_with, haul, poll_until, proc, scratch};

// fd:3 is a connection that somebody else has made.
#[test]
fn an_inherited_connection_is_used() {
    let home = scratch();
    let from = file_with(home.path(), "from", b"question");
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(DEADLINE)).unwrap();
    let prepare = format!("exec 3<&0 0<'{}'", from.display());
    let haul = haul(["connect", "fd:3"]).after(&prepare).stdin(Input::Fd(theirs.into())).spawn();
    let mut got = Vec::new();
    (&ours).read_to_end(&mut got).unwrap();
    assert_eq!(got, b"question");
    std::io::Write::write_all(&mut &ours, b"answer").unwrap();
    drop(ours);
    let haul = haul.wait();
    haul.ok();
    assert_eq!(haul.stdout, b"answer");
}

// fd:3/4 reads one descriptor and writes the other: two pipes make a connection.
#[test]
fn two_inherited_pipes_are_a_connection() {
    let home = scratch();
    let (from_peer, to_peer) = (home.path().join("from-peer"), home.path().join("to-peer"));
    fs::write(&from_peer, b"answer").unwrap();
    let prepare = format!("exec 3<'{}' 4>'{}'", from_peer.display(), to_peer.display());
    let haul = haul(["connect", "fd:3/4"]).after(&prepare).stdin(Input::Bytes(b"question".to_vec())).run();
    haul.ok();
    assert_eq!(haul.stdout, b"answer");
    assert_eq!(fs::read(&to_peer).unwrap(), b"question");
}

// fd,listen:3 is a listening socket that somebody else has bound.
#[test]
fn an_inherited_listener_is_accepted_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let theirs = OwnedFd::from(listener.try_clone().unwrap());
    let haul = haul(["listen", "fd,listen:3"]).after("exec 3<&0 0</dev/null").stdin(Input::Fd(theirs)).spawn();
    let mut peer = Peer::connect(address);
    peer.send(b"hello");
    drop(peer);
    let haul = haul.wait();
    haul.ok();
    assert_eq!(haul.stdout, b"hello");
}

// Nobody can see from fd,listen:3 where it listens: a program is not served to the world by it either.
#[test]
fn a_program_is_not_served_by_an_inherited_listener_of_every_address() {
    // where it is served, nobody comes
    let (once, many) = (&["--accept-timeout", "10ms"][..], &["-k"][..]);
    for (bound, more, code) in [("0.0.0.0:0", once, 7), ("0.0.0.0:0", many, 7), ("127.0.0.1:0", once, 3)] {
        let listener = TcpListener::bind(bound).unwrap();
        let theirs = OwnedFd::from(listener.try_clone().unwrap());
        let words = [&["listen"], more, &["-e", "cat", "fd,listen:3"]].concat();
        let haul = haul(&words).after("exec 3<&0 0</dev/null").stdin(Input::Fd(theirs)).run();
        haul.code(code);
        if code == 7 {
            let line = "haul: cannot listen on fd,listen:3: it would serve a program to anybody who can reach it; ";
            assert!(haul.one_error().starts_with(line), "{}", haul.stderr);
        }
    }
}

// Nobody who connects to a Unix socket has an address: access lists are refused for one that is handed over, too.
#[test]
fn access_lists_are_refused_for_an_inherited_unix_listener() {
    let home = scratch();
    let path = home.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    for more in [&["--allow", "10.0.0.0/8"][..], &["--deny", "0.0.0.0/0"], &["-k", "--deny", "0.0.0.0/0"]] {
        let theirs = OwnedFd::from(listener.try_clone().unwrap());
        let words = [&["listen", "--accept-timeout", "5s"], more, &["fd,listen:3"]].concat();
        let haul = haul(&words).after("exec 3<&0 0</dev/null").stdin(Input::Fd(theirs)).run();
        haul.code(2);
        let flag = more[more.len() - 2];
        let line = format!("haul: cannot use {flag} with fd,listen:3: who connects there has no address");
        assert!(haul.one_error().starts_with(&line), "{}", haul.stderr);
    }
}

// Test endpoints in the place of a peer: what is sent to echo: comes back.
#[test]
fn the_echo_endpoint_gives_back_what_it_gets() {
    for size in crate::data::FEW_SIZES {
        let content = bytes(95, size);
        let haul = haul(["connect", "echo:"]).stdin(Input::Bytes(content.clone())).run();
        haul.ok();
        assert_same("the echo", &haul.stdout, &content);
    }
}

// text: gives its text and ends, escapes only where asked for.
#[test]
fn the_text_endpoint_gives_its_text() {
    for (endpoint, want) in [(r"text:a\nb: c,d", &br"a\nb: c,d"[..]), (r"text,escapes:a\nb\x41", b"a\nbA")] {
        let haul = haul(["connect", endpoint]).run();
        haul.ok();
        assert_eq!(haul.stdout, want);
    }
}

// zero: and random: never end; --max-bytes cuts them, and a seed gives the same bytes again.
#[test]
fn endless_endpoints_are_cut_by_max_bytes() {
    let run = |endpoint: &str| {
        let haul = haul(["connect", "--max-bytes", "100001", endpoint]).run();
        haul.ok();
        assert_eq!(haul.stdout.len(), 100_001);
        haul.stdout.clone()
    };
    assert!(run("zero:").iter().all(|&byte| byte == 0));
    let first = run("random,seed=7:");
    assert_same("the same seed", &run("random,seed=7:"), &first);
    assert_ne!(run("random,seed=8:"), first);
    assert_ne!(run("random:"), run("random:"));
}

// discard: and null: take everything and give nothing.
#[test]
fn discarding_endpoints_take_everything() {
    for endpoint in ["discard:", "null:"] {
        let haul = haul(["connect", endpoint]).stdin(Input::Bytes(bytes(96, 300_001))).run();
        haul.ok().no_stdout();
    }
}

// -4 and -6 choose the family of a listener on every address, and refuse an address of the other family.
#[test]
fn families_can_be_chosen() {
    for (flag, mine, other) in [("-4", "127.0.0.1", "::1"), ("-6", "::1", "127.0.0.1")] {
        let listening = haul(["listen", flag, "0"]).spawn();
        let line = listening.stderr_line("haul: listening on tcp ");
        let port = line.rsplit(':').next().unwrap();
        haul(["connect", other, port]).run().code(1);
        haul(["connect", flag, other, port]).run().no_stdout().one_error();
        haul(["connect", flag, mine, port]).run().ok();
        listening.wait().ok();
    }
}

// -p and -s choose the source of a connection.
#[test]
fn the_source_of_a_connection_can_be_chosen() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let haul = haul(["connect", "-s", "127.0.0.2", "127.0.0.1", &port.to_string()]).spawn();
    let (stream, from) = listener.accept().unwrap();
    assert_eq!(from.ip().to_string(), "127.0.0.2");
    drop(stream);
    haul.wait().ok();
}

// A FIFO as the peer's place is made if it is missing, and given what stdin has.
#[test]
fn a_fifo_is_made_where_it_is_missing() {
    let home = scratch();
    let path = home.path().join("fifo");
    let haul = haul(["connect", "--send-only", &format!("fifo:{}", path.display())])
        .stdin(Input::Bytes(b"through the fifo".to_vec()))
        .spawn();
    poll_until("the fifo", || path.exists().then_some(()));
    let mut got = Vec::new();
    std::fs::File::open(&path).unwrap().read_to_end(&mut got).unwrap();
    assert_eq!(got, b"through the fifo");
    haul.wait().ok();
}

// A file as the peer's place is written, appended to and read from an offset.
#[test]
fn a_file_endpoint_is_written_and_read() {
    let home = scratch();
    let path = home.path().join("file");
    let send = |endpoint: String, content: &[u8]| {
        haul(["connect", "--send-only", &endpoint]).stdin(Input::Bytes(content.to_vec())).run().ok();
    };
    send(format!("file:{}", path.display()), b"0123456789");
    send(format!("file,append:{}", path.display()), b"abc");
    assert_eq!(fs::read(&path).unwrap(), b"0123456789abc");
    let haul = haul(["connect", "--recv-only", &format!("file,offset=8:{}", path.display())]).run();
    haul.ok();
    assert_eq!(haul.stdout, b"89abc");
    assert_eq!(fs::read(&path).unwrap(), b"0123456789abc");
}

// A name in Linux's abstract space works for both roles without a file.
#[test]
fn an_abstract_name_leaves_no_file() {
    let home = scratch();
    let name = format!("@{}", home.path().file_name().unwrap().to_str().unwrap());
    let listening = haul(["listen", &name]).stdin(Input::Bytes(b"hello".to_vec())).spawn();
    proc::wait_for_unix_listener(name.as_ref());
    let connecting = haul(["connect", &name]).run();
    connecting.ok();
    assert_eq!(connecting.stdout, b"hello");
    listening.wait().ok();
}

// A bare 0 listens on every address of both families, and is announced with a star.
#[test]
fn a_bare_port_listens_on_both_families() {
    for target in ["127.0.0.1", "::1"] {
        let haul = haul(["listen", "0"]).spawn();
        let line = haul.stderr_line("haul: listening on tcp ");
        assert!(line.starts_with("haul: listening on tcp *:"), "{line}");
        let port = haul.address().port();
        let mut peer = Peer::connect((target.parse::<std::net::IpAddr>().unwrap(), port).into());
        peer.send(target.as_bytes());
        drop(peer);
        let haul = haul.wait();
        haul.ok();
        assert_eq!(haul.stdout, target.as_bytes());
    }
}
