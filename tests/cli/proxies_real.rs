//! `-x` through other people's proxies: microsocks, tinyproxy, squid and dante, and a chain of two of them.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

use crate::data::{assert_same, bytes};
use crate::harness::peer::refusing_address;
use crate::harness::{Ending, Input, Listener, Program, Running, Zoo, file_with, haul, proc, require, scratch};

/// A proxy that listens on this port.
struct Real {
    _running: Running,
    port: u16,
}

impl Real {
    /// Starts a proxy that has to be told its port; that is kept from others until it listens.
    #[track_caller]
    fn start(start: impl FnOnce(u16) -> Program) -> Real {
        let kept = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        kept.set_reuse_address(true).unwrap();
        kept.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let port = kept.local_addr().unwrap().as_socket().unwrap().port();
        // whatever it starts ends with it
        let running = start(port).under(&["env"]).spawn();
        assert_eq!(proc::listening_port(running.pid()), port);
        Real { _running: running, port }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }
}

/// What goes up arrives, what comes down arrives, and what is refused is refused in the proxy's words.
#[track_caller]
fn leads(ways: &[String], refusal: &str) {
    let ways: Vec<_> = ways.iter().flat_map(|url| ["-x", url]).collect();
    let content = bytes(9, 700_000);
    for host in ["localhost", "127.0.0.1"] {
        let target = Listener::tcp();
        let port = target.address().port().to_string();
        let line = [&["connect"], ways.as_slice(), &[host, port.as_str()]].concat();
        let running = haul(line).stdin(Input::Bytes(content.clone())).spawn();
        let mut peer = target.accept();
        let (sent, ending) = peer.receive_all();
        assert_eq!(ending, Ending::Eof);
        assert_same("what was sent", &sent, &content);
        drop(peer);
        running.wait().ok();
    }
    let target = Listener::tcp();
    let endpoint = target.endpoint();
    let running = haul([&["connect", "-d"], ways.as_slice(), &[endpoint.as_str()]].concat()).spawn();
    let mut peer = target.accept();
    peer.send(&content);
    drop(peer);
    let ended = running.wait();
    ended.ok();
    assert_same("what was received", &ended.stdout, &content);

    let listener = haul(["listen", "-k", "ws:127.0.0.1:0", "--", "cat"]).stdin(Input::Null).spawn();
    let websocket = format!("ws://{}/", listener.address());
    let line = [&["connect", "-q", "1"], ways.as_slice(), &[websocket.as_str()]].concat();
    let ended = haul(line).stdin(Input::Bytes(content.clone())).run();
    ended.ok();
    assert_same("what came back", &ended.stdout, &content);
    drop(listener);

    let (_kept, nobody) = refusing_address();
    let nobody = nobody.to_string();
    let ended = haul([&["connect"], ways.as_slice(), &[nobody.as_str()]].concat()).run();
    let line = ended.code(6).no_stdout().one_error();
    assert!(line.ends_with(refusal), "{line}");
}

fn microsocks(program: &std::path::Path, words: &[&str]) -> Real {
    Real::start(|port| {
        let port = port.to_string();
        Program::new(program, ["-i", "127.0.0.1", "-p", &port].iter().chain(words))
    })
}

fn tinyproxy(program: &std::path::Path, home: &std::path::Path, login: &str) -> Real {
    Real::start(|port| {
        let text = format!("Port {port}\nListen 127.0.0.1\nTimeout 600\nLogLevel Critical\n{login}\n");
        let config = file_with(home, "tinyproxy.conf", text.as_bytes());
        Program::new(program, ["-d".into(), "-c".into(), config.into_os_string()])
    })
}

// SOCKS 5 by a small server, without a login and with the right and the wrong one.
#[test]
fn microsocks_leads_on() {
    let Some(program) = require("microsocks") else { return };
    let open = microsocks(&program, &[]);
    leads(&[open.url("socks5")], "the proxy says: connection refused");
    let closed = microsocks(&program, &["-u", "me", "-P", "s3cr3t"]);
    leads(&[format!("socks5://me:s3cr3t@127.0.0.1:{}", closed.port)], "the proxy says: connection refused");
    let wrong = format!("socks5://me:wrong@127.0.0.1:{}", closed.port);
    let ended = haul(["connect", "-x", &wrong, "127.0.0.1:1"]).run();
    assert!(ended.code(6).one_error().ends_with(": the proxy does not accept the login"));
    let ended = haul(["connect", "-x", &closed.url("socks5"), "127.0.0.1:1"]).run();
    assert!(ended.code(6).one_error().ends_with(": the proxy wants a login"));
}

// HTTP CONNECT by a small server, with and without a login.
#[test]
fn tinyproxy_leads_on() {
    let Some(program) = require("tinyproxy") else { return };
    let home = scratch();
    let open = tinyproxy(&program, home.path(), "");
    leads(&[open.url("http")], "the proxy answered 500 Unable to connect");
    let closed = tinyproxy(&program, home.path(), "BasicAuth me s3cr3t");
    let login = format!("http://me:s3cr3t@127.0.0.1:{}", closed.port);
    leads(&[login], "the proxy answered 500 Unable to connect");
    let ended = haul(["connect", "-x", &closed.url("http"), "127.0.0.1:1"]).run();
    assert!(ended.code(6).one_error().ends_with(": the proxy wants a login (407 Proxy Authentication Required)"));
    let wrong = format!("http://me:wrong@127.0.0.1:{}", closed.port);
    let ended = haul(["connect", "-x", &wrong, "127.0.0.1:1"]).run();
    assert!(ended.code(6).one_error().contains(": the proxy does not accept the login"));
}

// Both of them end both directions at the first end of file. The end of standard input is told to a server behind TLS all
// the same, and its answer to that comes back.
#[test]
fn an_answer_to_the_end_comes_through_simple_proxies() {
    let (Some(socks), Some(http)) = (require("microsocks"), require("tinyproxy")) else { return };
    let (zoo, home) = (Zoo::new(), scratch());
    let (pair, ca) = (zoo.good(), zoo.ca());
    let words = ["listen", "-k", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0", "-c"];
    let server = haul([&words[..], &["read -r all; sleep 0.2; echo \"all was $all\""]].concat()).spawn();
    let address = server.address().to_string();
    let (first, second) = (microsocks(&socks, &[]), tinyproxy(&http, home.path(), ""));
    for ways in [&[first.url("socks5")][..], &[second.url("http")], &[first.url("socks5"), second.url("http")]] {
        let ways: Vec<&str> = ways.iter().flat_map(|way| ["-x", way]).collect();
        let client = haul([&["connect", "--tls", "--ca", &ca], ways.as_slice(), &[&address]].concat());
        let client = client.stdin(Input::Bytes(b"q".to_vec())).run();
        assert_eq!(client.ok().stdout, b"all was q\n", "{ways:?}");
    }
    server.signal(rustix::process::Signal::TERM);
    server.wait().code(0);
}

// HTTP CONNECT by the one that companies have.
#[test]
fn squid_leads_on() {
    let Some(program) = require("squid") else { return };
    let home = scratch();
    let squid = Real::start(|port| {
        let text = format!(
            "http_port 127.0.0.1:{port}\nhttp_access allow all\naccess_log none\ncache_log /dev/null\ncache deny all\n\
             pid_filename none\npinger_enable off\nshutdown_lifetime 0 seconds\nvisible_hostname localhost\n\
             memory_cache_shared off\ncoredump_dir none\n"
        );
        let config = file_with(home.path(), "squid.conf", text.as_bytes());
        Program::new(program, ["-N".into(), "-f".into(), config.into_os_string()])
    });
    leads(&[squid.url("http")], "the proxy answered 503 Service Unavailable");
}

// SOCKS 5 and SOCKS 4 by the server that knows both.
#[test]
fn dante_leads_on() {
    let Some(program) = require("danted") else { return };
    let home = scratch();
    let dante = Real::start(|port| {
        let text = format!(
            "logoutput: /dev/null\ninternal: 127.0.0.1 port = {port}\nexternal: lo\nclientmethod: none\n\
             socksmethod: none\nuser.unprivileged: nobody\n\
             client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\nsocks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n"
        );
        let config = file_with(home.path(), "danted.conf", text.as_bytes());
        Program::new(program, ["-f".into(), config.into_os_string()])
    });
    leads(&[dante.url("socks5")], "the proxy says: connection refused");
    leads(&[dante.url("socks4")], "the proxy says: rejected or failed");
}

// A chain of two that know nothing of each other.
#[test]
fn microsocks_leads_to_tinyproxy_and_that_to_the_target() {
    let (Some(socks), Some(http)) = (require("microsocks"), require("tinyproxy")) else { return };
    let home = scratch();
    let first = microsocks(&socks, &["-u", "me", "-P", "one"]);
    let second = tinyproxy(&http, home.path(), "BasicAuth me two");
    let chain =
        [format!("socks5://me:one@127.0.0.1:{}", first.port), format!("http://me:two@127.0.0.1:{}", second.port)];
    leads(&chain, "answered 500 Unable to connect");
}
