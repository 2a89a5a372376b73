//! A zoo of certificates, and what becomes of those who show them.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;
use crate::layer::stack::Stack;
use crate::layer::tls::Summary;
use crate::outcome::ExitStatus;

/// Certificates in files.
struct Zoo {
    directory: TempDir,
    root: CertifiedIssuer<'static, KeyPair>,
    between: CertifiedIssuer<'static, KeyPair>,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

impl Zoo {
    fn new() -> Self {
        Zoo::of("zoo root")
    }

    fn of(name: &str) -> Self {
        let root = CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap();
        let own = KeyPair::generate().unwrap();
        let between = CertifiedIssuer::signed_by(authority("zoo between"), own, &root).unwrap();
        let zoo = Zoo { directory: TempDir::new().unwrap(), root, between };
        fs::write(zoo.path("ca.pem"), pem("CERTIFICATE", zoo.root.der())).unwrap();
        zoo
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A certificate for these names, its chain and its key in one file.
    fn add(&self, name: &str, hosts: &[&str], change: impl FnOnce(&mut CertificateParams)) -> PathBuf {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_string()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.between).unwrap();
        let parts = [
            pem("CERTIFICATE", certificate.der()),
            pem("CERTIFICATE", self.between.der()),
            pem("PRIVATE KEY", &key.serialize_der()),
        ];
        fs::write(self.path(name), parts.concat()).unwrap();
        self.path(name)
    }

    /// What a client believes that knows the root.
    fn client(&self) -> TlsOptions {
        TlsOptions { ca: Some(self.path("ca.pem")), ..TlsOptions::default() }
    }
}

fn believing(options: &TlsOptions, host: &str) -> Result<ClientTls, Error> {
    ClientTls::load(options, host, &mut Trust::default())
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in der.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let sum = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            text.push(if at <= group.len() { DIGITS[(sum >> (18 - 6 * at) & 63) as usize] as char } else { '=' });
        }
        if text.len() % 61 > 56 {
            text.push('\n');
        }
    }
    format!("{text}\n-----END {label}-----\n")
}

fn serving(files: &[&PathBuf]) -> TlsOptions {
    TlsOptions { cert: files.iter().map(|file| (*file).clone()).collect(), ..TlsOptions::default() }
}

/// A handshake in memory: what each side then says of the other, or why there is none, the client's word first.
fn shake(client: &ClientTls, server: &ServerTls) -> [Result<Summary, Error>; 2] {
    let mut sides = [client.layer().unwrap(), server.layer().unwrap()].map(|layer| Stack::new(vec![layer], 300));
    let mut failures = [None, None];
    for _ in 0..10 {
        for from in [0, 1] {
            let _ = sides[from].flush();
            let said = sides[from].outgoing().map(|wire| wire.filled().to_vec()).unwrap_or_default();
            if let Some(wire) = sides[from].outgoing() {
                wire.clear();
            }
            let to = &mut sides[1 - from];
            to.wire_spare()[..said.len()].copy_from_slice(&said);
            to.wire_received(said.len());
            to.decode();
            failures[1 - from] = failures[1 - from].take().or(to.take_failure());
        }
    }
    let mut at = 0;
    sides.map(|side| {
        at += 1;
        failures[at - 1].take().map_or_else(|| Ok(side.summary().unwrap()), Err)
    })
}

fn refusal(client: &TlsOptions, host: &str, server: &TlsOptions) -> Error {
    let [client, _] = shake(&believing(client, host).unwrap(), &ServerTls::load(server).unwrap());
    client.unwrap_err()
}

#[test]
fn a_chain_is_believed_for_its_names_and_addresses_only() {
    let zoo = Zoo::new();
    let server =
        ServerTls::load(&serving(&[&zoo.add("a", &["a.example", "*.b.example", "127.0.0.1", "::1"], |_| ())])).unwrap();
    for host in ["a.example", "A.EXAMPLE", "x.b.example", "127.0.0.1", "::1"] {
        let [client, _] = shake(&believing(&zoo.client(), host).unwrap(), &server);
        assert_eq!(client.unwrap().certificate.unwrap().issuer, "CN=zoo between", "{host}");
    }
    for host in ["b.example", "x.y.b.example", "127.0.0.2"] {
        let [client, other] = shake(&believing(&zoo.client(), host).unwrap(), &server);
        let error = client.unwrap_err();
        let said = format!("its certificate is for a.example, *.b.example, 127.0.0.1, ::1, not for {host}");
        assert_eq!((error.cause().to_string(), error.status()), (said, ExitStatus::Authentication));
        assert!(other.unwrap_err().to_string().contains("the peer refused"));
    }
}

#[test]
fn a_certificate_out_of_time_says_when_its_time_was() {
    let zoo = Zoo::new();
    let expired = zoo.add("old", &["a.example"], |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 2);
    });
    let early = zoo.add("new", &["a.example"], |params| params.not_before = date_time_ymd(2199, 1, 1));
    let said = |file| refusal(&zoo.client(), "a.example", &serving(&[file])).cause().to_string();
    assert_eq!(said(&expired), "its certificate expired on 2020-01-02 00:00:00 UTC");
    assert_eq!(said(&early), "its certificate is not valid before 2199-01-01 00:00:00 UTC");
}

#[test]
fn an_unknown_issuer_is_refused_with_the_pin_that_would_be_believed() {
    let (zoo, other) = (Zoo::new(), Zoo::of("another"));
    let options = serving(&[&other.add("a", &["a.example"], |_| ())]);
    let server = ServerTls::load(&options).unwrap();
    for (zoo, said) in
        [(&zoo, "signed by CN=zoo between, who is unknown here"), (&Zoo::of("another"), "another of the name")]
    {
        let error = refusal(&zoo.client(), "a.example", &options);
        assert!(error.to_string().contains(said) && error.advice().unwrap().contains(&server.pin()), "{error}");
    }
    let pinned = TlsOptions { pin: vec![server.pin().trim_end_matches('=').into()], ..TlsOptions::default() };
    // another name, and nobody to vouch for it: the key is enough
    let [client, _] = shake(&believing(&pinned, "").unwrap(), &server);
    assert_eq!(client.unwrap().certificate.unwrap().pin, server.pin());
    let made = ServerTls::load(&TlsOptions::default()).unwrap();
    let [client, _] = shake(&believing(&pinned, "").unwrap(), &made);
    let error = client.unwrap_err().to_string();
    assert!(error.contains(&made.pin()) && error.contains("not the pin given"), "{error}");
    // a pin and an authority: both have to hold
    let both = TlsOptions { ca: zoo.client().ca, ..pinned };
    assert!(refusal(&both, "a.example", &options).to_string().contains("signed by"));
}

#[test]
fn a_thrown_together_certificate_of_openssl_is_believed_when_it_is_given() {
    let zoo = Zoo::new();
    // its own authority, as `openssl req -x509` makes them
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.example".into()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let file = zoo.path("own");
    fs::write(&file, [pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der())].concat())
        .unwrap();
    let client = TlsOptions { ca: Some(file.clone()), ..TlsOptions::default() };
    let server = ServerTls::load(&serving(&[&file])).unwrap();
    let [fine, _] = shake(&believing(&client, "a.example").unwrap(), &server);
    assert!(fine.is_ok());
    assert!(refusal(&client, "b.example", &serving(&[&file])).to_string().contains("not for b.example"));
    assert!(refusal(&zoo.client(), "a.example", &serving(&[&file])).to_string().contains("signed by itself"));
}

// What may be given to --ca may be given to --client-ca: a certificate that was made by hand and belongs to no authority.
#[test]
fn the_own_certificate_of_a_client_is_believed_when_it_is_given() {
    let zoo = Zoo::new();
    let own = |name: &str, change: fn(&mut CertificateParams)| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap();
        let both = [pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der())];
        fs::write(zoo.path(name), both.concat()).unwrap();
        zoo.path(name)
    };
    // as `openssl req -x509` makes them
    let given = own("given", |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let other = own("other", |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let old = own("old", |params| params.not_after = date_time_ymd(2020, 1, 2));
    let server = zoo.add("server", &["a.example"], |_| ());
    let told = |shown: &PathBuf, believed: &PathBuf| {
        let options = TlsOptions { client_ca: Some(believed.clone()), ..serving(&[&server]) };
        let client = TlsOptions { cert: vec![shown.clone()], ..zoo.client() };
        let [client, server] = shake(&believing(&client, "a.example").unwrap(), &ServerTls::load(&options).unwrap());
        (client.is_ok(), server.map(|_| ()).map_err(|error| error.cause().to_string()))
    };
    assert_eq!(told(&given, &given), (true, Ok(())));
    assert!(!told(&other, &given).0);
    assert_eq!(told(&old, &old), (false, Err("its certificate expired on 2020-01-02 00:00:00 UTC".into())));
}

#[test]
fn a_chain_in_the_wrong_order_is_told_from_a_wrong_key() {
    let zoo = Zoo::new();
    let text = fs::read_to_string(zoo.add("a", &["a.example"], |_| ())).unwrap();
    let blocks: Vec<&str> = text.split_inclusive("-----\n").collect();
    let [leaf, issuer, key] = [0, 2, 4].map(|at| blocks[at..at + 2].concat());
    let file = zoo.path("turned");
    fs::write(&file, [issuer, leaf, key].concat()).unwrap();
    let error = ServerTls::load(&serving(&[&file])).err().unwrap();
    assert!(error.line().ends_with("the certificate of the key is not the first in it"), "{error}");
    assert_eq!(error.status(), ExitStatus::Usage);
}

#[test]
fn a_client_without_a_certificate_gets_no_further_than_the_handshake() {
    let zoo = Zoo::new();
    let mut options = serving(&[&zoo.add("server", &["a.example"], |_| ())]);
    options.client_ca = Some(zoo.path("ca.pem"));
    let server = ServerTls::load(&options).unwrap();
    let [_, judged] = shake(&believing(&zoo.client(), "a.example").unwrap(), &server);
    assert_eq!(judged.unwrap_err().cause().to_string(), "the peer showed no certificate");
    let own = TlsOptions { cert: vec![zoo.add("client", &["someone"], |_| ())], ..zoo.client() };
    let [_, judged] = shake(&believing(&own, "a.example").unwrap(), &server);
    assert_eq!(judged.unwrap().certificate.unwrap().names, ["someone"]);
    let stranger = Zoo::of("another");
    let other = TlsOptions { cert: vec![stranger.add("client", &["someone"], |_| ())], ..zoo.client() };
    let [_, judged] = shake(&believing(&other, "a.example").unwrap(), &server);
    assert!(judged.unwrap_err().to_string().contains("unknown issuer"));
}

#[test]
fn each_name_gets_its_certificate_and_new_files_are_read_again() {
    let zoo = Zoo::new();
    let (a, b) = (zoo.add("a", &["a.example"], |_| ()), zoo.add("b", &["b.example", "*.b.example"], |_| ()));
    let server = ServerTls::load(&serving(&[&a, &b])).unwrap();
    let names = |host: &str| {
        let client = TlsOptions { insecure: true, ..TlsOptions::default() };
        let [client, _] = shake(&believing(&client, host).unwrap(), &server);
        client.unwrap().certificate.unwrap().names.remove(0)
    };
    for (host, name) in
        [("b.example", "b.example"), ("X.b.example", "b.example"), ("z.example", "a.example"), ("", "a.example")]
    {
        assert_eq!(names(host), name, "{host}");
    }
    let pin = server.pin();
    fs::write(&a, "").unwrap();
    assert!(server.reload().unwrap_err().to_string().contains("no certificate in it"));
    assert_eq!((names("z.example").as_str(), server.pin()), ("a.example", pin));
    zoo.add("a", &["c.example"], |_| ());
    server.reload().unwrap();
    assert_eq!(names("z.example"), "c.example");
}

#[test]
fn versions_and_protocols_without_anything_in_common_are_named() {
    let server = TlsOptions { alpn: vec!["h2".into()], min: Some(TlsVersion::V13), ..TlsOptions::default() };
    let client = TlsOptions { alpn: vec!["h2".into()], insecure: true, ..TlsOptions::default() };
    let [fine, _] = shake(&believing(&client, "h").unwrap(), &ServerTls::load(&server).unwrap());
    assert_eq!(fine.unwrap().alpn.as_deref(), Some("h2"));
    let other = TlsOptions { alpn: vec!["imap".into()], ..client };
    assert!(refusal(&other, "h", &server).to_string().contains("no protocol of --alpn in common"));
}

#[test]
fn a_file_that_is_not_what_it_should_be_is_status_2() {
    let zoo = Zoo::new();
    let (a, b) = (zoo.add("a", &["a.example"], |_| ()), zoo.add("b", &["b.example"], |_| ()));
    let write = |name: &str, text: &str| {
        fs::write(zoo.path(name), text).unwrap();
        zoo.path(name)
    };
    let (empty, half) = (write("empty", "# nothing\n"), write("half", "-----BEGIN CERTIFICATE-----\nAAAA\n"));
    let sealed = write("sealed", &pem("ENCRYPTED PRIVATE KEY", b"x"));
    let bad = write("bad", &pem("CERTIFICATE", b"no certificate"));
    let table = [
        (vec![&empty], vec![], "there is no certificate in it"),
        (vec![&half], vec![], "it ends within a block of PEM"),
        (vec![&a], vec![&b], "it is not the key of the certificate"),
        (vec![&a], vec![&empty], "there is no private key in it"),
        (vec![&a], vec![&sealed], "the key in it is encrypted"),
        (vec![&bad], vec![&a], "its certificate cannot be read"),
        (vec![&a, &b], vec![&a], "there are 2 certificates and 1 keys"),
        (vec![], vec![&a], "it is a key without its certificate"),
    ];
    let owned = |files: Vec<&PathBuf>| files.into_iter().cloned().collect::<Vec<_>>();
    for (cert, key, said) in table {
        let options = TlsOptions { cert: owned(cert), key: owned(key), ..TlsOptions::default() };
        let error = ServerTls::load(&options).err().unwrap();
        assert_eq!((error.cause().to_string().as_str(), error.status()), (said, ExitStatus::Usage));
    }
    let missing = TlsOptions { ca: Some(zoo.path("nowhere")), ..TlsOptions::default() };
    assert_eq!(believing(&missing, "a").err().unwrap().status(), ExitStatus::Usage);
}

#[test]
fn a_made_certificate_is_new_each_time_and_believed_by_its_pin_alone() {
    let (one, two) =
        (ServerTls::load(&TlsOptions::default()).unwrap(), ServerTls::load(&TlsOptions::default()).unwrap());
    assert!(one.is_throwaway() && one.pin() != two.pin());
    let pin = one.pin();
    one.reload().unwrap();
    assert_eq!(one.pin(), pin);
    let client = TlsOptions { pin: vec![two.pin(), pin], ..TlsOptions::default() };
    assert!(shake(&believing(&client, "127.0.0.1").unwrap(), &one)[0].is_ok());
}
