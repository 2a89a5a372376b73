use super::*;

/// Greedy sessions, woken in a fixed order by a clock that ticks every millisecond; what each got in `secs`.
fn shared_out(rate: u64, sessions: usize, secs: u64) -> Vec<u64> {
    let start = Instant::now();
    let common = Common::new(Rate(rate), start);
    let mut shares: Vec<_> = (0..sessions).map(|_| Share::new(Arc::clone(&common), start)).collect();
    let mut got = vec![0; sessions];
    for tick in 0..secs * 1000 {
        let now = start + Duration::from_millis(tick);
        for (share, got) in shares.iter_mut().zip(&mut got) {
            while let Ok(bytes) = share.allowance(0, now) {
                share.take(0, bytes, now);
                *got += bytes;
            }
        }
    }
    got
}

#[test]
fn all_sessions_together_keep_the_rate_and_each_gets_its_part() {
    for (rate, sessions) in [(100_000, 7), (1_000_000, 1), (10_000_000, 50), (1_000_000_000, 3)] {
        let got = shared_out(rate, sessions, 4);
        let total: u64 = got.iter().sum();
        assert!(total <= rate * 4 + rate / 25, "{total} of {rate} by {sessions}");
        assert!(total >= rate * 4 * 9 / 10, "{total} of {rate} by {sessions}");
        let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
        assert!(*least * 2 >= *most, "{sessions} sessions at {rate} got {got:?}");
    }
}

/// Greedy sessions that sleep until the instant that each was told, and are woken up to 1 ms late; among those that
/// were told the same, always the same one first. After two seconds everything stands still for one.
fn slept_for(rate: u64, sessions: usize, secs: u64) -> Vec<u64> {
    let start = Instant::now();
    let common = Common::new(Rate(rate), start);
    let mut shares: Vec<_> = (0..sessions).map(|_| (start, Share::new(Arc::clone(&common), start), 0)).collect();
    let (mut now, mut lateness, mut stalled) = (start, 0, false);
    while now < start + Duration::from_secs(secs) {
        let Some((at, share, got)) = shares.iter_mut().min_by_key(|(at, ..)| *at) else { break };
        lateness = (lateness + 337) % 1000;
        now = now.max(*at + Duration::from_micros(lateness));
        if !stalled && now > start + Duration::from_secs(2) {
            (now, stalled) = (now + Duration::from_secs(1), true);
        }
        *at = loop {
            match share.allowance(0, now) {
                Ok(bytes) => {
                    share.take(0, bytes, now);
                    *got += bytes;
                }
                Err(again) => break again,
            }
        };
    }
    shares.into_iter().map(|(_, _, got)| got).collect()
}

#[test]
fn being_woken_late_costs_nobody_his_part() {
    for rate in [50_000, 300_000, 1_000_000, 3_000_000, 20_000_000] {
        for sessions in [4, 20] {
            let got = slept_for(rate, sessions, 13);
            let total: u64 = got.iter().sum();
            assert!(total <= rate * 13 && total >= rate * 11, "{total} of {rate} by {sessions}");
            let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
            assert!(*least * 4 >= *most * 3, "{sessions} sessions at {rate} got {got:?}");
        }
    }
}

/// Greedy sessions as above, and beside them one that says 100 bytes every 5 ms. What the greedy ones got in `secs`,
/// all that went with its time, and how long the quiet one had to wait at most, after a second.
fn beside_a_quiet_one(rate: u64, sessions: usize, secs: u64) -> (Vec<u64>, Vec<(Instant, u64)>, Duration) {
    let start = Instant::now();
    let common = Common::new(Rate(rate), start);
    let mut shares: Vec<_> = (0..sessions).map(|_| (start, Share::new(Arc::clone(&common), start), 0)).collect();
    let (mut quiet, mut asks, mut since) = (Share::new(common, start), start, start);
    let (mut now, mut lateness, mut log, mut worst) = (start, 0, Vec::new(), Duration::ZERO);
    while now < start + Duration::from_secs(secs) {
        lateness = (lateness + 337) % 1000;
        let Some((at, share, got)) = shares.iter_mut().min_by_key(|(at, ..)| *at) else { break };
        if asks <= *at {
            now = now.max(asks + Duration::from_micros(lateness));
            match quiet.allowance(0, now) {
                Ok(bytes) => {
                    quiet.take(0, bytes.min(100), now);
                    log.push((now, bytes.min(100)));
                    if now > start + Duration::from_secs(1) {
                        worst = worst.max(now - since);
                    }
                    // a session looks at once whether there is more
                    if quiet.allowance(0, now).is_ok() {
                        quiet.leave(0);
                    }
                    asks = now + Duration::from_millis(5);
                    since = asks;
                }
                Err(again) => asks = again,
            }
            continue;
        }
        now = now.max(*at + Duration::from_micros(lateness));
        *at = loop {
            match share.allowance(0, now) {
                Ok(bytes) => {
                    share.take(0, bytes, now);
                    log.push((now, bytes));
                    *got += bytes;
                }
                Err(again) => break again,
            }
        };
    }
    (shares.into_iter().map(|(_, _, got)| got).collect(), log, worst)
}

// A ping-pong beside sessions that are at the limit has its answers at once, and costs them what it takes and no more.
#[test]
fn who_says_little_does_not_wait_for_who_always_has_more() {
    for rate in [500_000, 1_000_000, 20_000_000, 500_000_000] {
        for sessions in [1, 2, 9] {
            let (got, log, worst) = beside_a_quiet_one(rate, sessions, 8);
            assert!(worst <= Duration::from_millis(2), "{worst:?} at {rate} beside {sessions}");
            let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
            assert!(*least * 4 >= *most * 3, "{sessions} sessions at {rate} got {got:?}");
            let total: u64 = log.iter().map(|(_, bytes)| bytes).sum();
            assert!(total >= rate * 8 * 97 / 100, "{total} of {rate} by {sessions}");
            for (index, (from, _)) in log.iter().enumerate().step_by(17) {
                let within = log[index..].iter().take_while(|(at, _)| *at <= *from + Duration::from_secs(2));
                let moved: u64 = within.skip(1).map(|(_, bytes)| bytes).sum();
                assert!(moved <= rate * 2 * 102 / 100, "{moved} in two seconds at {rate} beside {sessions}");
            }
        }
    }
}

// However many say little: the rate is used, and who has much to say gets a helping in every round.
#[test]
fn a_crowd_of_quiet_ones_starves_nobody_and_wastes_nothing() {
    let (start, rate) = (Instant::now(), 1_000_000);
    let common = Common::new(Rate(rate), start);
    let mut crowd: Vec<_> = (0..1000).map(|_| Share::new(Arc::clone(&common), start)).collect();
    let (mut greedy, mut got, mut quiet) = (Share::new(common, start), 0, 0);
    for tick in 0..8000 {
        let now = start + Duration::from_millis(tick);
        for share in &mut crowd {
            if let Ok(bytes) = share.allowance(0, now) {
                share.take(0, bytes.min(100), now);
                quiet += bytes.min(100);
            }
        }
        while let Ok(bytes) = greedy.allowance(0, now) {
            greedy.take(0, bytes, now);
            got += bytes;
        }
    }
    assert!(got + quiet <= rate * 8 * 102 / 100 && got + quiet >= rate * 8 * 9 / 10, "{got} and {quiet}");
    assert!(got >= rate * 8 / 20 && quiet >= rate * 8 / 2, "{got} and {quiet}");
}

// Who waits behind a crowd that has left does not sleep as long as if it had stayed.
#[test]
fn a_crowd_that_leaves_is_not_waited_for() {
    let start = Instant::now();
    let common = Common::new(Rate(1_000_000), start);
    let mut crowd: Vec<_> = (0..20).map(|_| Share::new(Arc::clone(&common), start)).collect();
    assert!(crowd.iter_mut().all(|share| share.allowance(0, start).is_err()));
    let mut behind = Share::new(common, start);
    let at = behind.allowance(0, start).unwrap_err();
    drop(crowd);
    // it would take 20 helpings of 10 ms each
    assert!(at <= start + Duration::from_millis(60), "it sleeps {:?}", at - start);
    assert!(behind.allowance(0, at).is_ok());
}

// Who is told to come back at once is asleep already: nothing would wake it.
#[test]
fn a_refusal_names_a_later_instant_and_stands_until_then() {
    let start = Instant::now();
    let common = Common::new(Rate(4_000_000), start);
    let mut late = Share::new(Arc::clone(&common), start);
    assert!(late.allowance(0, start).is_err());
    // turns come late on a busy machine: nobody has come to that appointment, and there is enough for all
    for millis in [100, 101, 150, 300] {
        let now = start + Duration::from_millis(millis);
        let mut share = Share::new(Arc::clone(&common), start);
        match share.allowance(0, now) {
            Ok(bytes) => share.take(0, bytes, now),
            Err(at) => {
                assert!(at > now, "after {millis} ms it is to come back at once");
                assert_eq!(share.allowance(0, now), Err(at), "after {millis} ms");
            }
        }
    }
}

#[test]
fn directions_do_not_share() {
    let start = Instant::now();
    let mut share = Share::new(Common::new(Rate(1_000_000), start), start);
    let later = start + Duration::from_secs(1);
    let up = share.allowance(0, later).unwrap();
    share.take(0, up, later);
    assert_eq!(share.allowance(1, later).unwrap(), up);
}

// Nobody gets less because somebody does not come to an appointment any more.
#[test]
fn who_leaves_is_not_waited_for() {
    let start = Instant::now();
    let common = Common::new(Rate(1_000_000), start);
    let mut gone = Share::new(Arc::clone(&common), start);
    assert!(gone.allowance(0, start).is_err());
    let later = start + Duration::from_secs(1);
    let all = Share::new(Arc::clone(&common), start).allowance(1, later).unwrap();
    assert!(Share::new(Arc::clone(&common), start).allowance(0, later).unwrap() < all, "half is somebody else's");
    gone.leave(1);
    gone.leave(0);
    gone.leave(0);
    assert_eq!(Share::new(common, start).allowance(0, later).unwrap(), all);
}

// A crowd that has gone away without having taken anything leaves no time behind that nobody may use.
#[test]
fn the_time_of_those_who_have_left_is_given_back() {
    let start = Instant::now();
    let common = Common::new(Rate(1_000_000), start);
    let mut crowd: Vec<_> = (0..500).map(|_| Share::new(Arc::clone(&common), start)).collect();
    assert!(crowd.iter_mut().all(|share| share.allowance(0, start).is_err()));
    drop(crowd);
    let mut left = Share::new(common, start);
    let at = left.allowance(0, start).unwrap_err();
    assert!(at < start + Duration::from_millis(20), "it waits {:?}", at - start);
    assert!(left.allowance(0, at).is_ok());
}
