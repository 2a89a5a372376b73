//! haul between other people's TLS terminators, nginx and stunnel, in both roles; and RSA keys, which many of them have.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::data::{assert_same, bytes};
use crate::harness::{Input, Program, Running, Zoo, file_with, haul, open, proc, require};

const SIZE: usize = 300_000;

/// A listener with TLS that sends everything back, on every connection.
#[track_caller]
fn echoing(zoo: &Zoo) -> Running {
    let pair = zoo.good();
    let words = ["listen", "-k", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0", "--", "cat"];
    haul(words).spawn()
}

fn stop(server: Running) {
    server.signal(Signal::TERM);
    server.wait().code(0);
}

/// nginx with these parts of a configuration: streams, and servers of HTTP.
#[track_caller]
fn nginx(home: &Path, streams: &str, servers: &str) -> Option<Running> {
    let program = require("nginx")?;
    let config = format!(
        "load_module modules/ngx_stream_module.so;\n\
         daemon off; master_process off; pid {0}/pid; error_log stderr; events {{}}\n\
         stream {{ {streams} }}\n\
         http {{ access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f; \
         uwsgi_temp_path {0}/u; scgi_temp_path {0}/s; {servers} }}\n",
        home.display()
    );
    let config = file_with(home, "nginx.conf", config.as_bytes());
    Some(Program::new(program, ["-c", config.to_str().unwrap()]).spawn())
}

// nginx takes haul's TLS at its front and brings its own to haul at its back, as a stream.
#[test]
fn nginx_stands_between_two_hauls() {
    let zoo = Zoo::new();
    let content = bytes(5, SIZE);
    let file = file_with(zoo.home(), "file", &content);
    let (pair, server, front) = (zoo.good(), echoing(&zoo), zoo.home().join("front"));
    let streams = format!(
        "server {{ listen unix:{} ssl; ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.2 TLSv1.3; \
         proxy_pass {}; proxy_ssl on; \
         proxy_ssl_protocols TLSv1.2 TLSv1.3; proxy_ssl_verify on; proxy_ssl_trusted_certificate {}; \
         proxy_ssl_name localhost; proxy_ssl_server_name on; }}",
        front.display(),
        pair.cert(),
        pair.key(),
        server.address(),
        zoo.ca()
    );
    let Some(_between) = nginx(zoo.home(), &streams, "") else { return };
    proc::wait_for_unix_listener(&front);
    // nginx ends both directions when one ends
    let endpoint = format!("tls+unix,sni=localhost,ca={}:{}", zoo.ca(), front.display());
    let all = SIZE.to_string();
    let client = haul(["connect", "--no-shutdown", "--max-bytes", &all, &endpoint]).stdin(Input::Fd(open(&file))).run();
    client.ok();
    assert_same("what came back", &client.stdout, &content);
    stop(server);
}

// The same as a server of pages, and with pages that it has from haul.
#[test]
fn pages_come_from_nginx_and_through_it() {
    let zoo = Zoo::new();
    let pair = zoo.good();
    let answer = "read request; printf 'HTTP/1.0 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nfrom haul\\n'";
    let words = ["listen", "-k", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0", "-c", answer];
    let (server, front) = (haul(words).spawn(), zoo.home().join("front"));
    let servers = format!(
        "server {{ listen unix:{} ssl; ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.2 TLSv1.3; \
         location /own {{ return 200 \"from nginx\\n\"; }} \
         location /haul {{ proxy_pass https://{}; proxy_ssl_verify on; proxy_ssl_trusted_certificate {}; \
         proxy_ssl_name localhost; }} }}",
        front.display(),
        pair.cert(),
        pair.key(),
        server.address(),
        zoo.ca()
    );
    let Some(_between) = nginx(zoo.home(), "", &servers) else { return };
    proc::wait_for_unix_listener(&front);
    for min in ["1.2", "1.3"] {
        for (path, page) in [("/own", "\r\n\r\nfrom nginx\n"), ("/haul", "\r\n\r\nfrom haul\n")] {
            let endpoint = format!("tls+unix,sni=localhost,ca={}:{}", zoo.ca(), front.display());
            let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").into_bytes();
            let words = ["connect", "--no-shutdown", "--tls-min", min, &endpoint];
            let client = haul(words).stdin(Input::Bytes(request)).run();
            client.ok();
            let got = String::from_utf8_lossy(&client.stdout).into_owned();
            assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.ends_with(page), "{path}: {got}");
        }
    }
    stop(server);
}

/// stunnel with one service, and the port that it listens on.
#[track_caller]
fn stunnel(home: &Path, service: &str) -> Option<(Running, String)> {
    let program = require("stunnel")?;
    let config = format!("foreground = yes\npid =\ndebug = warning\n[one]\naccept = 127.0.0.1:0\n{service}\n");
    let config = file_with(home, "stunnel.conf", config.as_bytes());
    let running = Program::new(program, [config]).spawn();
    let port = proc::listening_port(running.pid()).to_string();
    Some((running, port))
}

// stunnel takes the TLS off what haul sends, and puts it on what haul gets, half-closes included.
#[test]
fn stunnel_and_haul_exchange_files() {
    let zoo = Zoo::new();
    let content = bytes(6, SIZE);
    let file = file_with(zoo.home(), "file", &content);

    let plain = haul(["listen", "-k", "127.0.0.1:0", "--", "cat"]).spawn();
    let service = format!("cert = {}\nconnect = {}", zoo.joined(&zoo.good()).display(), plain.address());
    let Some((between, port)) = stunnel(zoo.home(), &service) else { return };
    let client = haul(["connect", "-4", "--tls", "--ca", &zoo.ca(), "localhost", &port]).stdin(Input::Fd(open(&file)));
    let client = client.run();
    client.ok();
    assert_same("what came back from behind stunnel", &client.stdout, &content);
    drop(between);
    stop(plain);

    let server = echoing(&zoo);
    let service = format!(
        "client = yes\nconnect = {}\nverifyChain = yes\nCAfile = {}\ncheckHost = localhost",
        server.address(),
        zoo.ca()
    );
    let Some((between, port)) = stunnel(zoo.home(), &service) else { return };
    let client = haul(["connect", "127.0.0.1", &port]).stdin(Input::Fd(open(&file))).run();
    client.ok();
    assert_same("what came back through stunnel", &client.stdout, &content);
    drop(between);
    stop(server);
}

// A key that anybody may find is called that, on the peer's side and on ours.
#[test]
fn a_key_that_is_too_short_is_called_that() {
    let Some(openssl) = require("openssl") else { return };
    let zoo = Zoo::new();
    let (cert, key) = (zoo.home().join("short.pem"), zoo.home().join("short.key"));
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let words =
        ["req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=localhost", "-out", cert, "-keyout", key];
    Program::new(&openssl, words).run().code(0);
    let why = "its key is too short: RSA, 1024 bits";
    let words = ["s_server", "-accept", "127.0.0.1:0", "-quiet", "-cipher", "DEFAULT@SECLEVEL=0", "-cert", cert];
    let server = Program::new(&openssl, words.iter().chain(&["-key", key])).stdin(Input::Piped).spawn();
    let address = format!("127.0.0.1:{}", proc::listening_port(server.pid()));
    let client = haul(["connect", "--tls", "--insecure", "--quiet", &address]).run();
    assert_eq!(client.code(6).one_error(), format!("haul: cannot connect to tls:{address}: {why}"));
    let own = haul(["listen", "--tls", "--cert", cert, "--key", key, "127.0.0.1:0"]).run();
    assert_eq!(own.code(2).one_error(), format!("haul: cannot use {key}: {why}"));
}

// RSA keys of 2048 bits on both sides, in PKCS #8 and in PKCS #1, with the client's certificate demanded, in either version.
#[test]
fn rsa_keys_prove_who_both_sides_are() {
    let Some(openssl) = require("openssl") else { return };
    let zoo = Zoo::new();
    let made = |name: &str| {
        let (pem, der) = (zoo.home().join("any.pem"), zoo.home().join("any.der"));
        let (pem, der) = (pem.to_str().unwrap(), der.to_str().unwrap());
        let words = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", pem];
        Program::new(&openssl, words).run().code(0);
        let words = ["pkcs8", "-topk8", "-nocrypt", "-in", pem, "-outform", "DER", "-out", der];
        Program::new(&openssl, words).run().code(0);
        zoo.adopt(name, &fs::read(der).unwrap())
    };
    let (server, client) = (made("server"), made("client"));
    let old = zoo.home().join("pkcs1.key");
    Program::new(&openssl, ["rsa", "-traditional", "-in", client.key(), "-out", old.to_str().unwrap()]).run().code(0);
    assert!(fs::read_to_string(&old).unwrap().starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    let ca = zoo.ca();
    for (key, version) in [(client.key(), "TLS 1.3"), (old.to_str().unwrap(), "TLS 1.3"), (client.key(), "-tls1_2")] {
        let words = ["listen", "-v", "--tls", "--cert", server.cert(), "--key", server.key(), "--client-ca", &ca];
        let running = haul(words.iter().chain(&["127.0.0.1:0"])).spawn();
        let at = running.address().to_string();
        match version {
            "TLS 1.3" => {
                let words = ["connect", "-v", "--tls", "--ca", &ca, "--cert", client.cert(), "--key", key, &at];
                let client = haul(words).stdin(Input::Bytes(b"signed".to_vec())).run();
                client.code(0);
                assert!(client.stderr.contains("CN=server"), "{}", client.stderr);
            }
            version => {
                let flags = ["-cert", client.cert(), "-key", key, "-CAfile", &ca, "-verify_return_error", "-quiet"];
                let words = ["s_client", version, "-connect", &at];
                let mut client = Program::new(&openssl, words.iter().chain(&flags)).stdin(Input::Piped).spawn();
                client.say(b"signed");
                running.stdout_reaches(6);
                client.end_stdin();
                client.wait();
            }
        }
        let server = running.wait();
        assert_eq!(server.stdout, b"signed");
        assert!(server.stderr.contains("CN=client"), "{}", server.stderr);
    }
}
