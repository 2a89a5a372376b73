//! A rate that sessions share: who takes nothing any more is not waited for.

use std::sync::Arc;
use std::time::Duration;

use super::driver::{Driver, Plot, plain, silent};
use crate::outcome::Ended;
use crate::session::share::{Common, Share};
use crate::units::Rate;

#[test]
fn a_session_that_parts_gives_up_its_appointments() {
    let peer = Plot { holds: true, ..Plot::peer(silent(), vec![]) };
    let mut driver = Driver::new(Plot::local(silent(), vec![]), peer, plain(), 256);
    let now = driver.bench.now;
    let common = Common::new(Rate(1_000_000), now);
    driver.session = driver.session.with_banner(b"hello").with_share(Some(Share::new(Arc::clone(&common), now)));
    assert!(driver.turn().is_none());
    let later = now + Duration::from_secs(1);
    let found = |direction| Share::new(Arc::clone(&common), now).allowance(direction, later).unwrap();
    let part = [found(0), found(1)];
    driver.session.stop(Ended::Clean, now);
    assert!(driver.turn().is_none(), "the banner is not acknowledged yet");
    let all = [found(0), found(1)];
    assert!(part[0] < all[0] && part[1] < all[1], "{part:?} of {all:?}");
}
