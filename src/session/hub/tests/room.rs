//! Who goes when somebody waits and there is no room.

use super::scripted::{Stage, data};
use super::*;
use crate::endpoint::script::{Read, Write};

fn ends() -> Vec<Read> {
    vec![Read::Block, Read::End]
}

#[test]
fn the_longest_half_closed_makes_room_and_nobody_who_may_still_speak() {
    let mut stage = Stage::new(Share::Broker, policy(), vec![], vec![]);
    let (late, early, open) =
        (stage.add(ends(), vec![]), stage.add(ends(), vec![]), stage.add(vec![Read::Block], vec![]));
    stage.turn();
    assert!(!stage.make_room(), "nobody has ended");
    stage.fire(early);
    stage.pass_time(Duration::from_secs(1));
    stage.fire(late);
    assert!(stage.make_room());
    assert_eq!([early, late, open].map(|client| stage.closed(client)), [Some(false), None, None]);
    assert_eq!(stage.clients[early].0.borrow().ends, 1, "an orderly end");
    assert!(stage.make_room());
    assert_eq!(stage.closed(late), Some(false));
    assert!(!stage.make_room());
    assert_eq!(stage.gone.len(), 2);
    assert!(stage.gone.iter().all(|(_, ended)| matches!(ended, Ended::Clean)));
}

#[test]
fn a_half_closed_client_with_something_to_get_stays() {
    let mut stage = Stage::new(Share::Broker, policy(), vec![], vec![]);
    let speaker = stage.add(vec![Read::Block, data("an answer"), Read::Block], vec![]);
    let behind = stage.add(vec![Read::End], vec![Write::Block]);
    let unacknowledged = stage.add(vec![Read::End], vec![]);
    stage.clients[unacknowledged].0.borrow_mut().holds = true;
    stage.turn();
    stage.fire(speaker);
    assert!(!stage.make_room());
    stage.fire(behind);
    assert_eq!(stage.got(behind), "an answer");
    stage.clients[unacknowledged].0.borrow_mut().unsent = 0;
    assert!(stage.make_room() && stage.make_room() && !stage.make_room());
    assert_eq!(stage.closed(speaker), None);
}

#[test]
fn whoever_is_to_be_kept_for_ever_makes_no_room() {
    let policy = Policy { after_peer_eof: AfterPeerEof::Send, ..policy() };
    let mut stage = Stage::new(Share::Broker, policy, vec![], vec![]);
    stage.add(vec![Read::End], vec![]);
    stage.turn();
    assert!(!stage.make_room());
}
