//! `-x` against proxies that are scripts in the test: what they are asked, what their answers come to, and that no
//! password ever comes out again.

use crate::data::{assert_same, bytes};
use crate::harness::peer::refusing_address;
use crate::harness::{Ended, Ending, Input, Listener, Peer, Program, Running, file_with, haul, scratch};

/// What a SOCKS 5 proxy says that wants no login and agrees.
const AGREED: &[u8] = b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50";

/// The login of every test; neither it nor its base64 may be seen anywhere.
const LOGIN: &str = "me:s3cr3t-pass";
const IN_BASE64: &str = "bWU6czNjcjN0LXBhc3M=";

fn url(scheme: &str, proxy: &Listener) -> String {
    format!("{scheme}://{}", proxy.address())
}

/// haul connecting to db:5432 through a proxy, with data on its standard input.
fn through(proxy: &str, words: &[&str]) -> Program {
    let line = ["connect", "-x", proxy].into_iter().chain(words.iter().copied()).chain(["db", "5432"]);
    haul(line).stdin(Input::Bytes(b"private".to_vec()))
}

fn with_login(program: Program) -> Program {
    program.by(&["env", &format!("HAUL_PROXY_AUTH={LOGIN}")])
}

/// What comes up to an empty line.
#[track_caller]
fn request(peer: &mut Peer) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.extend(peer.receive(1));
    }
    String::from_utf8(text).unwrap()
}

#[track_caller]
fn refused(ended: &Ended, cause: &str) {
    ended.code(6).no_stdout();
    let line = ended.one_error();
    assert!(line.starts_with("haul: cannot connect to db:5432 through "), "{line}");
    assert!(line.ends_with(cause), "{line} does not end with {cause}");
}

// Every kind of refusal: status 6, the proxy's words in one line, and not a byte of standard input has left.
#[test]
fn a_refusal_is_status_6_in_the_words_of_the_proxy_and_nothing_was_sent() {
    for (scheme, asked, answer, cause) in [
        ("http", 0, &b"HTTP/1.1 403 Forbidden\r\nA: b\r\n\r\n<html>"[..], "the proxy answered 403 Forbidden"),
        ("http", 0, b"HTTP/1.1 407 Who\r\n\r\n", "the proxy wants a login (407 Who)"),
        ("http", 0, b"HTTP/1.0 200\xff\x1b[2J\r\n\r\n", "the proxy gave an answer that is not HTTP"),
        ("http", 0, b"SSH-2.0-x\r\n", "the proxy gave an answer that is not HTTP"),
        ("socks5", 3, b"\x05\xff", "the proxy wants a login"),
        ("socks5", 3, b"HTTP/1.1 400 Bad Request\r\n", "the proxy gave an answer that is not SOCKS 5"),
        ("socks5", 3, b"\x05\x00\x05\x02", "the proxy does not allow the connection"),
        ("socks5", 3, b"\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", "the proxy says: connection refused"),
        ("socks4a", 12, b"\x00\x5b", "the proxy says: rejected or failed"),
    ] {
        let proxy = Listener::tcp();
        let running = through(&url(scheme, &proxy), &[]).spawn();
        let mut peer = proxy.accept();
        let mut heard = match asked {
            0 => request(&mut peer).into_bytes(),
            count => peer.receive(count),
        };
        let mut answer = answer;
        if scheme == "socks5" && answer.starts_with(b"\x05\x00") {
            peer.send(&answer[..2]);
            heard.extend(peer.receive(9));
            answer = &answer[2..];
        }
        peer.send(answer);
        refused(&running.wait(), cause);
        heard.extend(peer.receive_all().0);
        assert!(!heard.windows(7).any(|window| window == b"private"), "{heard:?}");
    }
}

// A proxy that closes, or is cut, before it has agreed has not agreed; one that never ends its answer is given up.
#[test]
fn a_proxy_that_ends_early_or_never_is_status_6() {
    for resets in [false, true] {
        let proxy = Listener::tcp();
        let running = through(&url("http", &proxy), &[]).spawn();
        let mut peer = proxy.accept();
        request(&mut peer);
        peer.send(b"HTTP/1.1 200 OK\r\n");
        if resets {
            peer.reset()
        } else {
            drop(peer)
        }
        refused(&running.wait(), "the proxy closed the connection before it agreed");
    }
    let proxy = Listener::tcp();
    let running = through(&url("http", &proxy), &[]).spawn();
    let mut peer = proxy.accept();
    request(&mut peer);
    peer.send_in_thread([b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n".repeat(100_000)].concat());
    refused(&running.wait(), "the proxy did not end its answer within 64 KiB");
}

// One limit is for the name, the connection and the proxy.
#[test]
fn a_silent_proxy_is_given_up_in_time() {
    let proxy = Listener::tcp();
    let running = through(&url("socks5", &proxy), &["-w", "300ms"]).spawn();
    let mut peer = proxy.accept();
    peer.receive(3);
    let ended = running.wait();
    ended.code(3).no_stdout();
    let object = format!("db:5432 through socks5://{}", proxy.address());
    assert_eq!(ended.one_error(), format!("haul: cannot connect to {object}: timed out after 300ms"));
    assert!(ended.stderr.contains("is connected, but the way through it is not open"), "{}", ended.stderr);
}

// A byte at a time, or all of it together with the first bytes of the target: the payload is the same, both ways.
#[test]
fn an_answer_in_pieces_or_glued_to_payload_loses_nothing() {
    let (up, down) = (bytes(1, 300_000), bytes(2, 300_000));
    let http = b"HTTP/1.1 100 Wait\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n".to_vec();
    for (scheme, answer, asked) in [("http", http, None), ("socks5", AGREED.to_vec(), Some(3 + 9))] {
        for apart in [false, true] {
            let proxy = Listener::tcp();
            let line = ["connect", "-x", &url(scheme, &proxy), "db", "5432"];
            let running = haul(line).stdin(Input::Bytes(up.clone())).spawn();
            let mut peer = proxy.accept();
            if apart {
                // as TCP_NODELAY is not set each comes with the one before or later
                answer.iter().for_each(|byte| peer.send(&[*byte]));
                peer.send(&down);
            } else {
                peer.send_in_thread([answer.clone(), down.clone()].concat()).join().unwrap();
            }
            let asked = match asked {
                Some(count) => peer.receive(count),
                None => request(&mut peer).into_bytes(),
            };
            assert!(asked.windows(2).any(|two| two == b"db"));
            let (sent, ending) = peer.receive_all();
            assert_eq!(ending, Ending::Eof);
            assert_same("what was sent", &sent, &up);
            drop(peer);
            let ended = running.wait();
            ended.ok();
            assert_same("what was received", &ended.stdout, &down);
        }
    }
}

// Once the proxy has agreed nothing stands between the two any more.
#[test]
fn after_the_answer_zero_copy_is_back() {
    let proxy = Listener::tcp();
    let running = through(&url("socks5", &proxy), &["-v"]).spawn();
    let mut peer = proxy.accept();
    peer.send(AGREED);
    assert_eq!(peer.receive(12 + 7), b"\x05\x01\x00\x05\x01\x00\x03\x02db\x15\x38private");
    drop(peer);
    let ended = running.wait();
    ended.code(0);
    let way = format!("haul: db:5432 is reached through socks5://{0} ({0})", proxy.address());
    assert!(ended.stderr.lines().any(|line| line == way), "{}", ended.stderr);
    if cfg!(all(target_os = "linux", not(feature = "portable"))) {
        assert!(ended.stderr.contains("haul: standard input to db:5432: splice"), "{}", ended.stderr);
    }
}

// A chain is one connection: the first proxy is asked for the second, which is asked for the target.
#[test]
fn a_chain_is_asked_one_after_the_other() {
    let proxy = Listener::tcp();
    let line = ["connect", "-x", &url("socks5", &proxy), "-x", "http://inner:3128", "db", "5432"];
    let running = haul(line).stdin(Input::Bytes(b"hello".to_vec())).spawn();
    let mut peer = proxy.accept();
    peer.send(&AGREED[..2]);
    assert_eq!(peer.receive(3 + 12), b"\x05\x01\x00\x05\x01\x00\x03\x05inner\x0c\x38");
    assert!(peer.hears_nothing(), "the second waits for the first");
    peer.send(&AGREED[2..]);
    peer.send(b"HTTP/1.1 200 OK\r\n\r\nanswer");
    assert_eq!(request(&mut peer), "CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n");
    assert_eq!(peer.receive_all(), (b"hello".to_vec(), Ending::Eof));
    drop(peer);
    let ended = running.wait();
    ended.ok();
    assert_eq!(ended.stdout, b"answer");

    let line = ["connect", "-x", &url("socks5", &proxy), "-x", "http://inner:3128", "db", "5432"];
    let running = haul(line).spawn();
    let mut peer = proxy.accept();
    peer.send(&[AGREED, b"HTTP/1.1 504 No\r\n\r\n"].concat());
    let chain = format!("socks5://{} and http://inner:3128", proxy.address());
    let wanted = format!("haul: cannot connect to db:5432 through {chain}: http://inner:3128 answered 504 No");
    let ended = running.wait();
    assert_eq!(ended.code(6).one_error(), wanted);
}

// The proxy is told a name, unless it is to be told an address.
#[test]
fn names_are_looked_up_by_the_proxy_unless_told_otherwise() {
    let proxy = Listener::tcp();
    for (words, asked) in [
        (&["localhost"][..], &b"\x05\x01\x00\x05\x01\x00\x03\x09localhost\x00\x50"[..]),
        (&["--proxy-dns", "local", "localhost"], b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"),
        (&["127.0.0.1"], b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"),
        (&["::1"], b"\x05\x01\x00\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50"),
    ] {
        let url = url("socks5", &proxy);
        let running = haul(["connect", "-x", url.as_str()].iter().chain(words).chain(&["80"])).spawn();
        let mut peer = proxy.accept();
        peer.send(AGREED);
        assert_eq!(peer.receive(asked.len()), asked);
        drop(peer);
        running.wait().code(0);
    }
    let old = format!("socks4://{}", proxy.address());
    let running = haul(["connect", "-x", &old, "localhost", "80"]).spawn();
    let mut peer = proxy.accept();
    peer.send(b"\x00\x5a\x00\x00\x00\x00\x00\x00");
    assert_eq!(peer.receive(9), b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00");
    drop(peer);
    running.wait().code(0);

    let ended = haul(["connect", "-x", &old, "nonexistent.invalid", "80"]).run();
    let line = ended.code(1).one_error();
    assert!(line.contains(": nonexistent.invalid: name not found"), "{line}");
}

// A login goes to the proxy and nowhere else: not into an error, a note, an event, a plan or a corrected spelling.
#[test]
fn a_login_is_never_shown() {
    let proxy = Listener::tcp();
    let at = proxy.address();
    let home = scratch();
    let logins = file_with(home.path(), "logins", format!("{LOGIN}\n").as_bytes());
    let in_url = format!("http://{LOGIN}@{at}");
    let plain = format!("http://{at}");
    let mut seen = Vec::new();
    let mut told = |ended: Ended| seen.push((ended.stderr.clone(), ended.stdout.clone()));
    let all = ["-vv", "--stats", "--events", "fd:2"];
    for good in [true, false] {
        for how in 0..3 {
            let url = if how == 0 { &in_url } else { &plain };
            let file = format!("--proxy-auth={}", logins.display());
            let words: Vec<_> = all.into_iter().chain((how == 2).then_some(file.as_str())).collect();
            let program = through(url, &words);
            let running = if how == 1 { with_login(program) } else { program }.spawn();
            let mut peer = proxy.accept();
            let asked = request(&mut peer);
            assert!(asked.contains(&format!("Proxy-Authorization: Basic {IN_BASE64}\r\n")), "{asked}");
            let answer: &[u8] = if good { b"HTTP/1.1 200 OK\r\n\r\n" } else { b"HTTP/1.1 407 No\r\n\r\n" };
            peer.send(answer);
            peer.receive_all();
            drop(peer);
            let ended = running.wait();
            ended.code(if good { 0 } else { 6 });
            assert!(good || ended.stderr.contains("the proxy does not accept the login (407 No)"));
            told(ended);
        }
    }
    // a proxy may repeat what it was told, in whatever it answers
    for answer in [
        format!("HTTP/1.1 400 Bad Request: Proxy-Authorization: Basic {IN_BASE64}\r\n\r\n"),
        format!("HTTP/1.1 400 {LOGIN}\r\n\r\n"),
        format!("HTTP/1.1 400 {}{IN_BASE64}\r\n\r\n", "x".repeat(99)),
        format!("HTTP/1.1 407 {IN_BASE64}\r\nProxy-Authenticate: {}\r\n\r\n", IN_BASE64.trim_end_matches('=')),
        format!("CONNECT db:5432 HTTP/1.1\r\nProxy-Authorization: Basic {IN_BASE64}\r\n\r\n"),
    ] {
        let running = through(&in_url, &all).spawn();
        let mut peer = proxy.accept();
        request(&mut peer);
        peer.send(answer.as_bytes());
        peer.receive_all();
        let ended = running.wait();
        ended.code(6);
        told(ended);
    }
    told(with_login(through(&plain, &["--explain"])).run());
    for line in [
        &["connect", "--explain", "-x", &in_url, "db", "5432"][..],
        &["connect", "-x", &format!("sock5://{LOGIN}@host"), "db", "5432"],
        &["connect", "-x", &format!("http://{LOGIN}@host:port"), "db", "5432"],
        &["connect", "-x", &format!("{LOGIN}@host:1080"), "db", "5432"],
        &["connect", "-x", &format!("http://{LOGIN}%@host"), "db", "5432"],
        &["connect", "-x", &format!("socks4://{LOGIN}@host"), "db", "5432"],
        // the host is forgotten
        &["connect", "-x", &format!("socks5://{LOGIN}"), "db", "5432"],
        &["connect", "-x", &format!("http://{LOGIN}/"), "db", "5432"],
        &["connect", "-x", &format!("sock5://{LOGIN}"), "db", "5432"],
        &["connect", "-x", &format!("socks5+unix://{LOGIN}"), "db", "5432"],
        &["connect", "-x", LOGIN, "db", "5432"],
        &["connect", "-x", &format!("{LOGIN}://host"), "db", "5432"],
        &["relay", "-x", &format!("socks5://{LOGIN}"), "9000", "db:5432"],
        &["connect", &format!("socks5://{LOGIN}")],
        &["connect", "-x", &in_url, "unix:/s"],
        &["connect", &in_url],
        &["connect", "db", "5432", &in_url],
        &["listen", &in_url],
        &["relay", "9000", &in_url],
        &["pipe", "-", &in_url],
        &["connect", "-x", &in_url, "-u", "db", "5432"],
    ] {
        let ended = haul(line).run();
        ended.code(if line.contains(&"--explain") { 0 } else { 2 });
        told(ended);
    }
    for (stderr, stdout) in &seen {
        let text = format!("{stderr}{}", String::from_utf8_lossy(stdout));
        assert!(!text.contains(IN_BASE64), "{text}");
        assert!(!text.contains("s3cr3t"), "{text}");
    }
}

// RFC 1929, and the file of --proxy-auth: a line for each proxy.
#[test]
fn each_proxy_of_a_chain_gets_its_own_login() {
    let proxy = Listener::tcp();
    let home = scratch();
    let logins = file_with(home.path(), "logins", b"a:1\nb:2\n");
    let first = url("socks5", &proxy);
    let line = ["connect", "-x", &first, "-x", "socks5://inner", "--proxy-auth", logins.to_str().unwrap(), "db:1"];
    let running = haul(line).spawn();
    let mut peer = proxy.accept();
    let granted = b"\x05\x02\x01\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00";
    peer.send(&[&granted[..], granted].concat());
    let inner = b"\x05\x02\x00\x02\x01\x01a\x011\x05\x01\x00\x03\x05inner\x04\x38";
    let db = b"\x05\x02\x00\x02\x01\x01b\x012\x05\x01\x00\x03\x02db\x00\x01";
    assert_eq!(peer.receive_all(), ([&inner[..], db].concat(), Ending::Eof));
    drop(peer);
    running.wait().ok();
}

// A proxy at a Unix socket, and the one of the environment only where that is asked for.
#[test]
fn a_proxy_may_be_a_unix_socket_or_come_from_the_environment() {
    let home = scratch();
    let path = home.path().join("p");
    let proxy = Listener::unix(&path);
    let running = through(&format!("socks5+unix:{}", path.display()), &[]).spawn();
    let mut peer = proxy.accept();
    peer.send(AGREED);
    peer.receive(12 + 7);
    drop(peer);
    running.wait().code(0);

    let proxy = Listener::tcp();
    let variable = format!("ALL_PROXY={}", url("socks5h", &proxy));
    let running = through("env", &[]).by(&["env", &variable]).spawn();
    let mut peer = proxy.accept();
    peer.send(AGREED);
    peer.receive(12 + 7);
    drop(peer);
    running.wait().code(0);

    let target = Listener::tcp();
    let running = haul(["connect", &target.endpoint()]).by(&["env", &variable]).spawn();
    drop(target.accept());
    running.wait().code(0);
    assert!(proxy.was_left_alone());
    through("env", &[]).by(&["env", "-u", "ALL_PROXY"]).run().code(2);
}

// What cannot work is told before anybody is connected to.
#[test]
fn what_no_proxy_can_do_is_a_mistake_of_usage() {
    let proxy = Listener::tcp();
    let url = url("socks5", &proxy);
    let old = format!("socks4a://{}", proxy.address());
    for line in [
        &["connect", "-x", &url, "unix:/s"][..],
        &["connect", "-x", &url, "-u", "db", "5432"],
        &["connect", "-z", "-x", &url, "-u", "db", "5432"],
        &["connect", "-x", &old, "::1/80"],
        &["connect", "-x", &url, "-x", "http+unix:/p", "db:1"],
        &["connect", "--proxy-dns", "local", "db:1"],
        &["listen", "-x", &url, "9000"],
        &["relay", "-x", &url, "127.0.0.1:0", "unix:/s"],
        &["relay", "-x", &url, "127.0.0.1:0", "--", "cat"],
        &["pipe", "-x", &url, "-", "file:/dev/null"],
        &["pipe", "-x", &url, "-", "tcp,listen:0"],
    ] {
        let ended = haul(line).run();
        ended.code(2).no_stdout();
        ended.one_error();
        assert!(ended.stderr.contains("\n  try: "), "{}", ended.stderr);
    }
    assert!(proxy.was_left_alone());
}

// The proxy that is not there is told apart from the target that is not there.
#[test]
fn a_proxy_that_cannot_be_reached_is_named() {
    let (_kept, address) = refusing_address();
    let ended = through(&format!("http://{address}"), &[]).run();
    let cause = "the proxy cannot be reached: connection refused";
    assert_eq!(ended.code(1).one_error(), format!("haul: cannot connect to db:5432 through http://{address}: {cause}"));
    let ended = through("http://nonexistent.invalid:1", &[]).run();
    let line = ended.code(1).one_error();
    assert!(line.contains(": the proxy cannot be reached: name not found"), "{line}");
}

// What a proxy may answer otherwise a moment later is tried again; what it does not allow is not.
#[test]
fn wait_tries_again_what_may_pass() {
    let proxy = Listener::tcp();
    let url = url("socks5", &proxy);
    let running = haul(["connect", "-z", "--wait", "20s", "-x", &url, "db:5432"]).spawn();
    for code in [5, 4, 0] {
        let mut peer = proxy.accept();
        peer.receive(3);
        peer.send(&[&[5, 0, 5, code], &AGREED[4..]].concat());
        peer.receive_all();
    }
    running.wait().ok();
    let running = haul(["connect", "-z", "--wait", "20s", "-x", &url, "db:5432"]).spawn();
    let mut peer = proxy.accept();
    peer.send(&[5, 0, 5, 2]);
    peer.receive(3);
    refused(&running.wait(), "the proxy does not allow the connection");
}

// Many ports at once, each through the proxy by itself.
#[test]
fn a_check_goes_through_the_proxy() {
    let proxy = Listener::tcp();
    let running = haul(["connect", "-zv", "-x", &url("http", &proxy), "db", "1-3"]).spawn();
    for _ in 0..3 {
        let mut peer = proxy.accept();
        let open = !request(&mut peer).starts_with("CONNECT db:2 ");
        let answer: &[u8] = if open { b"HTTP/1.1 200 OK\r\n\r\n" } else { b"HTTP/1.1 502 Refused\r\n\r\n" };
        peer.send(answer);
    }
    let ended = running.wait();
    assert_eq!(ended.code(6).stdout, b"open db:1\nopen db:3\n");
    assert!(ended.one_error().ends_with(": the proxy answered 502 Refused"));
}

// In a pipe what is connected to goes through the proxy, and files and listeners stay where they are.
#[test]
fn a_pipe_goes_out_through_the_proxy() {
    let proxy = Listener::tcp();
    let home = scratch();
    let copy = home.path().join("copy");
    let content = bytes(3, 200_000);
    let file = format!("file:{}", copy.display());
    let line = ["pipe", "-x", &url("socks5", &proxy), "-", "db:5432", &file];
    let running = haul(line).stdin(Input::Bytes(content.clone())).spawn();
    let mut peer = proxy.accept();
    peer.send(AGREED);
    assert_eq!(peer.receive(12).last_chunk(), Some(b"\x02db\x15\x38"));
    assert_same("the sink", &peer.receive_all().0, &content);
    drop(peer);
    running.wait().ok();
    assert_same("the copy", &std::fs::read(&copy).unwrap(), &content);
}

fn relay(proxy: &str, words: &[&str]) -> Running {
    let line = ["relay", "-v", "-x", proxy, "127.0.0.1:0", "db:5432"];
    haul(line.iter().chain(words)).spawn()
}

// Every session of a relay goes through the chain by itself; one that is refused is told and resets its client.
#[test]
fn a_relay_reaches_its_targets_through_the_proxy() {
    for threads in [&[][..], &["--threads", "2"]] {
        let proxy = Listener::tcp();
        let relay = relay(&url("socks5", &proxy), threads);
        for _ in 0..3 {
            let mut client = Peer::connect(relay.address());
            client.send(b"question");
            let mut peer = proxy.accept();
            peer.send(&[AGREED, b"answer"].concat());
            assert_eq!(peer.receive(12 + 8), b"\x05\x01\x00\x05\x01\x00\x03\x02db\x15\x38question");
            assert_eq!(client.receive(6), b"answer");
            client.finish();
            peer.finish();
            assert_eq!(client.receive_all(), (vec![], Ending::Eof));
            assert_eq!(peer.receive_all(), (vec![], Ending::Eof));
        }
        let mut client = Peer::connect(relay.address());
        let mut peer = proxy.accept();
        peer.send(b"\x05\x00\x05\x03");
        assert_eq!(client.receive_all().1, Ending::Reset);
        relay.stderr_line_where(|line| line.ends_with(": the proxy cannot reach the network"));
        crate::relay::stop(relay);
    }
}

// The time for a target is also that of its proxies.
#[test]
fn a_relay_gives_a_silent_proxy_up() {
    let proxy = Listener::tcp();
    let relay = relay(&url("http", &proxy), &["--connect-timeout", "200ms"]);
    let mut client = Peer::connect(relay.address());
    let _silent = proxy.accept();
    assert_eq!(client.receive_all().1, Ending::Reset);
    let line = relay.stderr_line_where(|line| line.contains("timed out"));
    assert!(line.contains(&format!("db:5432 through http://{}", proxy.address())), "{line}");
    crate::relay::stop(relay);
}

// A program is told the target, whose address nobody but the proxy knows.
#[test]
fn a_program_is_told_the_target_and_not_the_proxy() {
    let proxy = Listener::tcp();
    let url = url("socks5", &proxy);
    let running = haul(["connect", "-x", &url, "db", "5432", "--", "sh", "-c", "echo $HAUL_PEER_ADDR $HAUL_PEER_PORT"]);
    let running = running.spawn();
    let mut peer = proxy.accept();
    peer.send(AGREED);
    peer.receive(12);
    assert_eq!(peer.receive_all().0, b"db 5432\n");
    drop(peer);
    running.wait().ok();
}

// A dialogue and a verified stream stand on the way as on any connection.
#[test]
fn a_dialogue_goes_through_the_proxy() {
    let proxy = Listener::tcp();
    let line = ["connect", "-x", &url("http", &proxy), "--send", "PING\\n", "--expect", "^PONG", "db", "5432"];
    let running = haul(line).spawn();
    let mut peer = proxy.accept();
    request(&mut peer);
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(peer.receive(5), b"PING\n");
    peer.send(b"PONG\n");
    let ended = running.wait();
    ended.ok();
    assert_eq!(ended.stdout, b"PONG\n");
}

// SOCKS tells the length of a name in one byte; more is status 6, with the limit.
#[test]
fn a_name_that_socks_has_no_room_for_is_refused_with_the_limit() {
    let (long, dotted) = ("a".repeat(300), "abc.".repeat(75));
    for words in [
        &[&long, "80"][..],
        &[&format!("{long}:80")],
        &[&dotted, "80"],
        &["-z", &long, "80"],
        &["-z", &format!("{long}:80")],
    ] {
        for scheme in ["socks5", "socks4a"] {
            let ended = haul([&["connect", "-x", &format!("{scheme}://127.0.0.1:1")], words].concat()).run();
            let line = ended.code(6).no_stdout().one_error();
            assert!(line.ends_with("SOCKS has no room for the name of a host of more than 255 bytes"), "{line}");
        }
    }
    // without one it is no host at all
    haul(["connect", &long, "80"]).run().code(2).one_error();
}
