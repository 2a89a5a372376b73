//! haul against other people's WebSockets: Python's websockets, Node's ws, and curl, which speaks HTTP.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::data::{assert_same, bytes};
use crate::harness::{Input, Program, Running, file_with, haul, require, scratch};
use crate::websocket::{listening, url};

/// The interpreter that has this library: that of the system, which is where packages put it.
#[track_caller]
fn with_library(interpreter: &str, program: &[&str]) -> Option<String> {
    let system = format!("/usr/bin/{interpreter}");
    let has = |name: &str| {
        Command::new(name).args(program).env("NODE_PATH", NODE_PATH).output().is_ok_and(|out| out.status.success())
    };
    let found = [system, interpreter.to_string()].into_iter().find(|name| has(name));
    if found.is_none() {
        let line = format!("skipped: the library of {program:?} is not installed");
        assert!(std::env::var_os("CI").is_none(), "{line}");
        println!("{line}");
    }
    found
}

/// Where Debian puts the packages of Node.
const NODE_PATH: &str = "/usr/share/nodejs:/usr/lib/nodejs";

fn python() -> Option<String> {
    with_library("python3", &["-c", "import websockets"])
}

fn node() -> Option<String> {
    with_library("node", &["-e", "require('ws').WebSocketServer"])
}

fn script(home: &Path, interpreter: &str, text: &str, words: &[&str]) -> Program {
    let file = file_with(home, "script", text.as_bytes());
    let file = file.to_string_lossy().into_owned();
    let words = [&[interpreter, &*file], words].concat();
    Program::new("env", [&[&*format!("NODE_PATH={NODE_PATH}")], &words[..]].concat())
}

/// The port that a script prints first.
#[track_caller]
fn port(server: &Running) -> String {
    let line = server.stderr_line("port ");
    line.trim_start_matches("port ").to_string()
}

const PYTHON_SERVER: &str = "
import asyncio, sys, websockets
async def echo(ws, path=None):
    async for message in ws:
        await ws.send(message)
async def main():
    async with websockets.serve(echo, '127.0.0.1', 0, max_size=None, subprotocols=['x']) as server:
        print('port', server.sockets[0].getsockname()[1], file=sys.stderr, flush=True)
        await asyncio.Future()
asyncio.run(main())
";

const NODE_SERVER: &str = "
const { WebSocketServer } = require('ws');
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () => console.error('port ' + server.address().port));
server.on('connection', ws => ws.on('message', (data, binary) => ws.send(data, { binary })));
";

/// A server that gives back what it gets, text as text, with haul as its client.
#[track_caller]
fn echoes(interpreter: &str, server: &str) {
    let home = scratch();
    let server = script(home.path(), interpreter, server, &[]).spawn();
    let url = format!("ws://127.0.0.1:{}/", port(&server));
    let content = bytes(1, 3_000_000);
    let ended = haul(["connect", "-q", "1", &url]).stdin(Input::Bytes(content.clone())).run();
    ended.ok();
    assert_same("payload", &ended.stdout, &content);
    let lines = "one\n\u{20ac}\n\nlast\n".repeat(500);
    let ended = haul(["connect", "--text", "-q", "1", &url]).stdin(Input::Bytes(lines.clone().into())).run();
    ended.ok();
    assert_same("payload", &ended.stdout, lines.as_bytes());
    server.signal(Signal::KILL);
    server.wait();
}

#[test]
fn python_echoes_what_haul_sends() {
    let Some(python) = python() else { return };
    echoes(&python, PYTHON_SERVER);
}

#[test]
fn node_echoes_what_haul_sends() {
    let Some(node) = node() else { return };
    echoes(&node, NODE_SERVER);
}

const PYTHON_CLIENT: &str = "
import asyncio, os, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1], max_size=None, subprotocols=['x'], origin='https://a.example') as ws:
        assert ws.subprotocol == 'x'
        await (await ws.ping())
        sent = os.urandom(1_000_000)
        await ws.send([sent[:10], sent[10:200_000], sent[200_000:]])
        got = b''
        while len(got) < len(sent):
            part = await ws.recv()
            assert isinstance(part, bytes)
            got += part
        assert got == sent
    assert ws.close_code == 1000, ws.close_code
    print('good')
asyncio.run(main())
";

const NODE_CLIENT: &str = "
const WebSocket = require('ws');
const ws = new WebSocket(process.argv[2], 'x', { origin: 'https://a.example' });
const sent = require('crypto').randomBytes(1000000);
let got = Buffer.alloc(0);
ws.on('open', () => { ws.ping(); ws.send(sent.subarray(0, 1000), { fin: false }); ws.send(sent.subarray(1000)); });
ws.on('message', data => { got = Buffer.concat([got, data]); if (got.length === sent.length) ws.close(1000); });
ws.on('close', code => { if (got.equals(sent) && code === 1000) console.log('good'); else process.exit(1); });
";

/// A client whose messages come in parts and with a ping, with haul as its server.
#[track_caller]
fn is_served(interpreter: &str, client: &str) {
    let home = scratch();
    let listener = listening(&["-k", "--subprotocol", "x", "--origin", "https://a.example", "--", "cat"]);
    for _ in 0..3 {
        let ended = script(home.path(), interpreter, client, &[&url(&listener, "/")]).run();
        ended.ok();
        assert_eq!(ended.stdout, b"good\n");
    }
    listener.signal(Signal::TERM);
    listener.wait().ok();
}

#[test]
fn haul_serves_python() {
    let Some(python) = python() else { return };
    is_served(&python, PYTHON_CLIENT);
}

#[test]
fn haul_serves_node() {
    let Some(node) = node() else { return };
    is_served(&node, NODE_CLIENT);
}

// What asks for something else than a WebSocket is told what is needed.
#[test]
fn curl_is_told_to_upgrade() {
    let Some(curl) = require("curl") else { return };
    let listener = listening(&["-k", "--path", "/chat", "--", "cat"]);
    let http = format!("http://{}/chat", listener.address());
    let ended = Program::new(&curl, ["-sS", "-i", "--max-time", "10", &http]).run();
    ended.ok();
    let said = String::from_utf8(ended.stdout.clone()).unwrap();
    assert!(said.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{said}");
    assert!(said.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{said}");
    let upgrade = [
        "-sS",
        "-i",
        "--max-time",
        "10",
        "-H",
        "Connection: Upgrade",
        "-H",
        "Upgrade: websocket",
        "-H",
        "Sec-WebSocket-Version: 13",
        "-H",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let other = http.replace("/chat", "/other");
    let ended = Program::new(&curl, [&upgrade[..], &[&*other]].concat()).run();
    ended.ok();
    assert!(ended.stdout.starts_with(b"HTTP/1.1 404 Not Found\r\n"));
    listener.signal(Signal::TERM);
    listener.wait().ok();
}
