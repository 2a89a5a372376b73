//! Any bytes as what the other end of a measurement says, in any pieces, to both roles: nothing panics, nothing is asked
//! for that is beyond its bounds, and once an end has given up it says nothing more.
#![no_main]

use haul::bench::protocol::{
    Client, ClientStep, Cookie, MOST_BLOCK, MOST_COUNT, MOST_STREAMS, Parameters, Results, Server, ServerStep,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((length, bytes)) = input.split_first() else { return };
    let pieces = || bytes.chunks(usize::from(*length).max(1));
    let mut client = Client::new(&Cookie::new([1, 2]), Parameters::default());
    'client: for piece in pieces() {
        client.receive(piece);
        loop {
            match client.step() {
                Ok(Some(ClientStep::Run)) => client.end(),
                Ok(Some(ClientStep::Tell)) => client.tell(&Results::default()),
                Ok(Some(ClientStep::Show(theirs))) => {
                    for told in &theirs.streams {
                        assert!(told.bytes <= MOST_COUNT && told.lost <= told.packets && told.packets <= MOST_COUNT);
                        let times = [told.jitter, told.seconds];
                        assert!(times.into_iter().flatten().all(|time| (0.0..1e6).contains(&time)));
                    }
                    client.finish();
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(breach) => {
                    assert!(!breach.sentence().chars().any(char::is_control));
                    break 'client;
                }
            }
        }
    }
    let mut server = Server::new(&Cookie::new([1, 2]));
    for piece in pieces() {
        server.receive(piece);
        loop {
            match server.step() {
                Ok(Some(ServerStep::Judge(asked))) => {
                    assert!((1..=MOST_STREAMS).contains(&asked.parallel) && asked.length as u64 <= MOST_BLOCK);
                    server.agree();
                    server.begin();
                }
                Ok(Some(ServerStep::Stop)) => server.exchange(),
                Ok(Some(ServerStep::Tell(_))) => server.tell(&Results::default()),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(breach) => {
                    assert!(!breach.sentence().chars().any(char::is_control));
                    assert!(server.is_over() && server.step() == Ok(None));
                    return;
                }
            }
        }
    }
});
