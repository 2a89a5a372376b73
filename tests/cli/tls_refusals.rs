//! Peers that are not who they should be: status 6, one line that says why, and not a byte of ours with them.

use std::fs;
use std::thread;

use crate::harness::zoo::Pair;
use crate::harness::{Ended, Input, Listener, Zoo, fifo, file_with, haul};

const SECRET: &[u8] = b"attack at dawn";

/// What becomes of a client with these flags that comes to a server with this certificate; the server got nothing.
#[track_caller]
fn refused_by(pair: &Pair, flags: &[&str], status: i32) -> Ended {
    let server = haul(["listen", "-v", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0"]).spawn();
    let address = server.address().to_string();
    let client = haul([&["connect", "--tls"], flags, &[&address]].concat());
    let client = client.stdin(Input::Bytes(SECRET.to_vec())).run();
    client.code(status).no_stdout();
    client.one_error();
    server.stderr_line("haul: refused 127.0.0.1:");
    server.signal(rustix::process::Signal::TERM);
    server.wait().no_stdout();
    client
}

// Each kind of wrong certificate has its own sentence, and a name that does not fit is told.
#[test]
fn a_certificate_that_proves_nothing_is_refused() {
    let zoo = Zoo::new();
    let ca = zoo.ca();
    let other_ca = Zoo::new();
    let pin = format!("sha256/{}=", "A".repeat(43));
    for (pair, flags, part) in [
        (zoo.issue("old", &["127.0.0.1"], 2001), &["--ca", &ca][..], "expired"),
        (zoo.issue("wrong", &["db.example"], 2099), &["--ca", &ca], "db.example"),
        (zoo.good(), &["--ca", &ca, "--sni", "a.example"], "a.example"),
        (zoo.good(), &["--ca", &other_ca.ca()], ""),
        (zoo.good(), &[], ""),
        (zoo.good(), &["--pin", &pin], "pin"),
    ] {
        let client = refused_by(&pair, flags, 6);
        let line = client.one_error();
        assert!(line.starts_with("haul: cannot connect to tls:127.0.0.1:") && line.contains(part), "{part}: {line}");
    }
}

// With --ca as well as --pin both have to be right; the line tells which is not, and nobody is told to do what was done.
#[test]
fn a_pin_and_an_authority_are_both_demanded() {
    let (zoo, other_ca) = (Zoo::new(), Zoo::new());
    let (pair, other) = (zoo.good(), format!("sha256/{}=", "A".repeat(43)));
    let told = refused_by(&pair, &["--pin", &other], 6).one_error();
    let pin = told.split(' ').find(|word| word.starts_with("sha256/")).unwrap().trim_end_matches(',').to_string();
    let both = refused_by(&pair, &["--ca", &zoo.ca(), "--pin", &other], 6);
    assert!(both.one_error().ends_with(&format!(": its key is {pin}, not the pin given")), "{}", both.stderr);
    let both = refused_by(&pair, &["--ca", &other_ca.ca(), "--pin", &pin], 6);
    let why = ": its key has the pin, but its certificate is signed by another of the name of somebody known here\n  \
               try: --pin without --ca, if the key is enough, or --ca with another file\n";
    assert!(both.stderr.ends_with(why), "{}", both.stderr);
}

// Below WebSocket, and on the way to a proxy, it is told just as fully, to both sides.
#[test]
fn what_is_wrong_with_tls_is_told_below_other_layers() {
    let server = haul(["listen", "-v", "-k", "wss:127.0.0.1:0", "--", "cat"]).spawn();
    let note = server.stderr_line("haul: certificate made for this run: ");
    let pin = note.split(' ').find(|word| word.starts_with("sha256/")).unwrap();
    let address = server.address();
    let (url, proxy) = (format!("wss://{address}/"), format!("https://{address}"));
    let other = format!("sha256/{}=", "A".repeat(43));
    let alone = format!(
        "its certificate is signed by itself alone\n  try: --ca FILE, or --pin {pin} if you know that to be its key\n"
    );
    for (flags, object, why) in [
        (&[&url][..], format!("wss:{address}"), &alone),
        (&[&"--pin".into(), &other, &url], format!("wss:{address}"), &format!("its key is {pin}, not the pin given\n")),
        (&[&"-x".into(), &proxy, &"db:5432".into()], format!("db:5432 through {proxy}"), &alone),
    ] {
        let client = haul(["connect"].into_iter().chain(flags.iter().map(|flag| flag.as_str())));
        let client = client.stdin(Input::Bytes(SECRET.to_vec())).run();
        client.code(6).no_stdout();
        assert_eq!(client.stderr, format!("haul: cannot connect to {object}: {why}"));
        server.stderr_line_where(|line| line.contains(": the peer refused: "));
    }
    server.signal(rustix::process::Signal::TERM);
    let refused = server.wait().stderr.matches(": the peer refused: ").count();
    assert_eq!(refused, 3);
}

// A server that does not speak TLS is found out, gets no payload, and cannot write to the terminal.
#[test]
fn a_plain_server_is_told_apart() {
    let server = Listener::tcp();
    let client = haul(["connect", "--tls", "--insecure", &server.endpoint()]).stdin(Input::Bytes(SECRET.to_vec()));
    let client = client.spawn();
    let mut peer = server.accept();
    peer.send(b"220 \x1b[2Jmail.example ready\r\n");
    let got = peer.receive_all().0;
    let client = client.wait();
    client.code(6).no_stdout();
    assert!(!got.windows(SECRET.len()).any(|window| window == SECRET));
    assert!(!client.stderr.contains('\u{1b}'));
    let error = client.stderr.lines().last().unwrap();
    assert!(client.stderr.contains("haul: cannot connect to tls:127.0.0.1:"), "{error}");
}

// A server that accepts and says nothing is given the time of --connect-timeout, name and handshake together.
#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    let server = Listener::tcp();
    let client = haul(["connect", "--tls", "--connect-timeout", "200ms", &server.endpoint()]).run();
    client.code(3).no_stdout();
    assert_eq!(client.one_error(), format!("haul: cannot connect to tls:{}: timed out after 200ms", server.address()));
    assert!(client.stderr.contains("its handshake is not over"), "{}", client.stderr);
}

// The roots of SSL_CERT_FILE are the system's, for who asks for none; they are read once, as a pipe gives them once.
#[test]
fn the_roots_of_the_environment_are_believed() {
    let zoo = Zoo::new();
    let pair = zoo.good();
    let server = haul(["listen", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0"]).spawn();
    let address = server.address().to_string();
    let (_home, path) = fifo();
    let roots = format!("SSL_CERT_FILE={}", path.display());
    let text = fs::read(zoo.ca()).unwrap();
    let writer = thread::spawn(move || fs::write(path, text).unwrap());
    haul(["connect", "--tls", &address]).by(&["env", &roots]).stdin(Input::Bytes(SECRET.to_vec())).run().ok();
    assert_eq!(server.wait().code(0).stdout, SECRET);
    writer.join().unwrap();
}

// Roots that were named have to be there: the line names the file or the directory, and nobody is gone to.
#[test]
fn roots_of_the_environment_that_are_not_there_are_status_2() {
    let zoo = Zoo::new();
    let empty = file_with(zoo.home(), "empty.pem", b"nothing here\n").display().to_string();
    let none = zoo.home().join("none");
    fs::create_dir(&none).unwrap();
    for (variable, path) in [
        ("SSL_CERT_FILE", "/nonexistent"),
        ("SSL_CERT_FILE", &empty),
        ("SSL_CERT_DIR", "/nonexistent"),
        ("SSL_CERT_DIR", none.to_str().unwrap()),
    ] {
        let set = format!("{variable}={path}");
        for words in [&["connect", "--tls", "127.0.0.1:1"][..], &["connect", "-z", "-x", "https://127.0.0.1:1", "a:1"]]
        {
            let ended = haul(words).by(&["env", "-u", "SSL_CERT_FILE", "-u", "SSL_CERT_DIR", &set]).run();
            ended.code(2).no_stdout();
            assert!(ended.one_error().contains(path), "{set}: {}", ended.stderr);
        }
    }
    let pair = zoo.good();
    let server = haul(["listen", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0"]).spawn();
    let roots = zoo.home().join("roots");
    fs::create_dir(&roots).unwrap();
    fs::copy(zoo.ca(), roots.join("one.pem")).unwrap();
    let set = format!("SSL_CERT_DIR={}", roots.display());
    let client = haul(["connect", "--tls", &server.address().to_string()]);
    client.by(&["env", "-u", "SSL_CERT_FILE", &set]).stdin(Input::Null).run().ok();
    server.wait().ok();
}

// --wait goes on while a port is not ready for TLS yet, and stops at what will not mend.
#[test]
fn waiting_goes_on_while_the_server_is_not_up() {
    let zoo = Zoo::new();
    let port = {
        let taken = Listener::tcp();
        taken.address().port().to_string()
    };
    let client = haul(["connect", "--tls", "--ca", &zoo.ca(), "--wait", "20s", "-v", "127.0.0.1", &port]).spawn();
    client.stderr_line("haul: waiting for tls:127.0.0.1:");
    let pair = zoo.good();
    let server = haul(["listen", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1", &port]).spawn();
    client.wait().code(0);
    server.wait().code(0);
}

// Files that are missing, empty, or do not belong together are the user's to repair, before anybody is gone to.
#[test]
fn files_of_no_use_are_status_2() {
    let zoo = Zoo::new();
    let (good, other) = (zoo.good(), zoo.issue("other", &["localhost"], 2099));
    let empty = file_with(zoo.home(), "empty.pem", b"nothing here\n");
    let empty = empty.to_str().unwrap();
    for flags in [
        &["listen", "--tls", "--cert", "/nonexistent", "0"][..],
        &["listen", "--tls", "--cert", empty, "0"],
        &["listen", "--tls", "--cert", good.cert(), "--key", other.key(), "0"],
        &["listen", "--tls", "--key", good.key(), "0"],
        &["listen", "--tls", "--client-ca", empty, "0"],
        &["connect", "--tls", "--ca", "/nonexistent", "127.0.0.1:1"],
        &["relay", "--tls", "--cert", empty, "0", "127.0.0.1:1"],
        &["relay", "0", "tls,ca=/nonexistent:127.0.0.1:1"],
        &["pipe", "tls,ca=/nonexistent:127.0.0.1:1"],
    ] {
        let ended = haul(flags).run();
        ended.code(2).no_stdout();
        ended.one_error();
        assert!(!ended.stderr.contains("listening"), "{flags:?}");
    }
}

// What TLS cannot be on, and flags that mean nothing, are refused with what to do instead.
#[test]
fn what_cannot_be_meant_is_refused_with_advice() {
    for (line, part) in [
        ("listen --tls -u 0", "not over datagrams"),
        ("connect --tls udp:127.0.0.1:1", "not over datagrams"),
        ("connect --tls file:x", "that is none"),
        ("connect --tls exec:cat", "a program has pipes"),
        ("listen --cert x 0", "cannot use --cert without --tls"),
        ("connect --sni x 127.0.0.1:1", "cannot use --sni without --tls"),
        ("listen --tls --insecure 0", "it is for whoever connects"),
        ("relay --tls --ca x 0 127.0.0.1:1", "flags about TLS are for the listening half"),
        ("relay --insecure 0 tls:127.0.0.1:1", "flags about TLS are for the listening half"),
        ("pipe --tls - -", "nothing is left to be encrypted"),
    ] {
        let ended = haul(line.split(' ')).run();
        ended.code(2);
        assert!(ended.one_error().contains(part), "{line}: {}", ended.stderr);
        assert!(ended.stderr.contains("\n  try: "), "{line}: {}", ended.stderr);
    }
}

// --insecure is never silent, but for --quiet.
#[test]
fn insecure_is_always_told() {
    for (flags, lines) in [(&[][..], 1), (&["--quiet"], 0)] {
        let server = haul(["listen", "--tls", "127.0.0.1:0"]).spawn();
        let address = server.address().to_string();
        let client = haul([&["connect", "--tls", "--insecure"], flags, &[&address]].concat()).run();
        client.code(0);
        assert_eq!(client.stderr.lines().count(), lines, "{}", client.stderr);
        assert!(lines == 0 || client.stderr.contains("is not verified"), "{}", client.stderr);
        server.wait().code(0);
    }
}

// --explain tells what would be done about encryption, and touches no file.
#[test]
fn explain_tells_who_is_verified() {
    for (line, part) in [
        ("listen --tls 9000", "encrypt with TLS, by a throw-away certificate whose pin is printed"),
        ("listen --tls --cert a.pem --client-ca c.pem 9000", "demand of clients a certificate that c.pem vouches for"),
        ("connect --tls db 5432", "encrypt with TLS, and verify db by the system's roots"),
        ("connect --tls --ca f db 5432", "encrypt with TLS, and verify db by f"),
        (
            "connect --tls --ca f --pin sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= db 5432",
            "and verify db by f and by the pin",
        ),
        ("connect --tls --insecure db 5432", "encrypt with TLS, and verify nobody"),
        ("relay 9000 tls,sni=x:db:1", "encrypt with TLS, and verify x by the system's roots"),
        ("pipe tls,listen:9000", "encrypt with TLS, by a throw-away certificate"),
    ] {
        let words = line.split(' ');
        let ended = haul(words.chain(["--explain"])).run();
        ended.code(0);
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(text.contains(part), "{line}: {text}");
    }
    assert!(fs::metadata("a.pem").is_err());
}
