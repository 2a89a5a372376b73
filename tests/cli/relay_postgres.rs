//! The dialogue of a database client through a relay, message by message (PostgreSQL's protocol, version 3).

use crate::data;
use crate::harness::{Ending, Listener, Peer};
use crate::relay::{relay_to, stop};

/// A message: its tag, the length of what follows, which counts itself, and that.
fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

/// What has no tag: the messages before and of the startup.
fn untagged(code: u32, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], &code.to_be_bytes(), body].concat()
}

#[track_caller]
fn says(from: &mut Peer, to: &mut Peer, what: &[u8]) {
    from.send(what);
    data::assert_same("a message", &to.receive(what.len()), what);
}

// A question about TLS that is answered by a single byte, the startup, queries one by one and many at once, rows of many
// megabytes, and a client that says goodbye and leaves.
#[test]
fn a_database_session_passes_as_it_is() {
    let target = Listener::tcp();
    for flags in [&[][..], &["--splice", "never"], &["--threads", "2"], &["--chop", "5", "--delay", "1ms"]] {
        let relay = relay_to(&target.endpoint(), flags);
        let mut client = Peer::connect(relay.address());
        let mut server = target.accept();
        says(&mut client, &mut server, &untagged(80_877_103, b""));
        says(&mut server, &mut client, b"N");
        says(&mut client, &mut server, &untagged(196_608, b"user\0me\0database\0db\0\0"));
        let ready = message(b'Z', b"I");
        let parameter = message(b'S', b"server_version\x0017.0\0");
        says(
            &mut server,
            &mut client,
            &[message(b'R', &[0; 4]), parameter, message(b'K', &[7; 8]), ready.clone()].concat(),
        );

        says(&mut client, &mut server, &message(b'Q', b"select 1\0"));
        let row = |value: &[u8]| message(b'D', &[&[0, 1], &(value.len() as u32).to_be_bytes()[..], value].concat());
        let done = [message(b'C', b"SELECT 1\0"), ready].concat();
        says(&mut server, &mut client, &[row(b"1"), done.clone()].concat());

        // the extended protocol: all of it at once, and the same again before an answer is looked at
        let parse = [message(b'P', b"\0select $1\0\0\0"), message(b'B', &[0; 8]), message(b'E', &[0; 5])].concat();
        let request = [parse, message(b'S', b"")].concat().repeat(200);
        let sending = client.send_in_thread(request.clone());
        data::assert_same("the requests", &server.receive(request.len()), &request);
        sending.join().unwrap();

        let long = if flags.contains(&"--chop") { 20_000 } else { 8_000_000 };
        let answer = [row(&data::bytes(3, long)).as_slice(), &done].concat();
        let sending = server.send_in_thread(answer.clone());
        data::assert_same("the rows", &client.receive(answer.len()), &answer);
        sending.join().unwrap();

        says(&mut client, &mut server, &message(b'X', b""));
        drop(client);
        assert!(matches!(server.receive_all(), (rest, Ending::Eof) if rest.is_empty()));
        drop(server);
        stop(relay);
    }
}
