//! Peers that are asked whether they are still there, while they are sent more than they have taken.

use std::time::{Duration, Instant};

use super::driver::{Driver, Plot, data, line, plain, silent, summary};
use crate::layer::stack::Stack;
use crate::layer::websocket::{Manner, Terms, WebSocket};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

// Whoever takes what is in front of a ping need not answer it yet; and nobody waits for the rest of one that is dead.
#[test]
fn a_peer_that_takes_what_it_is_sent_is_alive_and_one_that_does_not_is_given_up() {
    let manner = Manner { ping: Some(Duration::from_secs(1)), ..Manner::default() };
    let layer = WebSocket::server(Terms::default(), manner, Instant::now());
    let stack = Some(Stack::new(vec![Box::new(layer)], 2048));
    let local = Plot::local([vec![data(&"x".repeat(200))], silent()].concat(), vec![]);
    let peer = Plot { stack, holds: true, ..Plot::peer([vec![data(REQUEST)], silent()].concat(), vec![]) };
    let mut driver = Driver::new(local, peer, plain(), 256);
    assert!(driver.turn().is_none());
    let before = driver.wrote(1).len();
    assert!(driver.wrote(1).ends_with(b"xxx"));
    for _ in 0..5 {
        driver.await_alarm();
        assert!(driver.turn().is_none(), "it takes something");
        assert_eq!(driver.wrote(1)[before..], [0x89, 0], "one ping waits for its answer");
        driver.seen[1].borrow_mut().unsent -= 10;
    }
    driver.await_alarm();
    assert!(driver.turn().is_none());
    driver.await_alarm();
    let outcome = driver.turn().expect("it takes nothing more, and is not lingered for");
    assert_eq!(summary(&outcome), ("failed", 3));
    assert!(line(&outcome).ends_with("the peer did not answer a ping within 1s"), "{}", line(&outcome));
}
