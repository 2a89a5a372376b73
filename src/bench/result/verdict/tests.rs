use proptest::prelude::*;

use super::*;
use crate::bench::result::testing::{requests, run};
use crate::bench::result::{Direction, Protocol};

fn judged(thresholds: Thresholds, results: &Results) -> Vec<(bool, String)> {
    let verdicts = thresholds.judge(&results.figures());
    verdicts.iter().map(|verdict| (verdict.is_met(), verdict.to_string())).collect()
}

fn chance(text: &str) -> Chance {
    text.parse().unwrap()
}

// 500 Mbit/s were sent in 2 s, and received in 2.01 s: the receiver's figure counts.
#[test]
fn the_least_rate_is_judged_by_what_was_received() {
    let tcp = run(Protocol::Tcp, Direction::Forward, 1);
    let min = |text: &str| Thresholds { min: Some(text.parse().unwrap()), ..Thresholds::default() };
    let told = "rate 498 Mbits/sec, at least 490 Mbits/sec wanted".to_owned();
    assert_eq!(judged(min("490Mbit"), &tcp), [(true, told)]);
    let told = "rate 498 Mbits/sec, at least 500 Mbits/sec wanted".to_owned();
    assert_eq!(judged(min("500Mbit"), &tcp), [(false, told)]);
}

// What was sent has not come because of that.
#[test]
fn a_rate_that_no_receiver_told_is_not_met() {
    let mut tcp = run(Protocol::Tcp, Direction::Both, 1);
    tcp.totals[0].received = None;
    let min = Thresholds { min: Some("8bit".parse().unwrap()), ..Thresholds::default() };
    let told = "rate was not measured, at least 8.00 bits/sec wanted".to_owned();
    assert_eq!(judged(min, &tcp)[0], (false, told));
    assert_eq!(tcp.figures().reverse_bits_per_second.map(f64::round), Some(497_512_438.0));
}

#[test]
fn both_directions_have_to_reach_it() {
    let mut both = run(Protocol::Tcp, Direction::Both, 2);
    let min = Thresholds { min: Some("900Mbit".parse().unwrap()), ..Thresholds::default() };
    assert!(judged(min, &both).iter().all(|(met, _)| *met));
    both.totals[2].received.as_mut().unwrap().bytes = 0;
    let verdicts = judged(min, &both);
    assert_eq!(verdicts.iter().map(|(met, _)| *met).collect::<Vec<_>>(), [true, false]);
    assert_eq!(verdicts[1].1, "reverse rate 498 Mbits/sec, at least 900 Mbits/sec wanted");
}

#[test]
fn latency_and_loss_are_judged_both_ways() {
    let p99 = |micros| Thresholds { max_p99: Some(Duration::from_micros(micros)), ..Thresholds::default() };
    assert!(judged(p99(100), &requests())[0].0);
    let told = "p99 latency 99.0 us, at most 98.0 us wanted".to_owned();
    assert_eq!(judged(p99(98), &requests()), [(false, told)]);
    let loss = |text| Thresholds { max_loss: Some(chance(text)), ..Thresholds::default() };
    let udp = run(Protocol::Udp, Direction::Forward, 1);
    assert!(judged(loss("2%"), &udp)[0].0);
    assert_eq!(judged(loss("1.9%"), &udp), [(false, "loss 2%, at most 1.9% wanted".to_owned())]);
}

// A threshold on what nobody measured must not let a broken check pass.
#[test]
fn what_was_not_measured_is_not_met() {
    let tcp = run(Protocol::Tcp, Direction::Forward, 1);
    let all = Thresholds { min: None, max_p99: Some(Duration::from_secs(1)), max_loss: Some(Chance::ALWAYS) };
    let verdicts = judged(all, &tcp);
    assert_eq!(verdicts[0], (false, "p99 latency was not measured, at most 1.00 s wanted".to_owned()));
    assert_eq!(verdicts[1], (false, "loss was not measured, at most 100% wanted".to_owned()));
    let loss = Thresholds { max_loss: Some(Chance::ALWAYS), ..Thresholds::default() };
    let mut udp = run(Protocol::Udp, Direction::Forward, 1);
    udp.totals[0].received.as_mut().unwrap().datagrams = Some(Default::default());
    assert_eq!(judged(loss, &udp), verdicts[1..]);
    let mut asked = requests();
    asked.setup.protocol = Protocol::Udp;
    asked.exchange.as_mut().unwrap().transactions = 0;
    assert_eq!(judged(loss, &asked), verdicts[1..]);
}

#[test]
fn a_failure_is_one_line_with_the_figure_and_exit_8() {
    let udp = run(Protocol::Udp, Direction::Forward, 1);
    let min = Some("1Gbit".parse().unwrap());
    let one = Thresholds { min, ..Thresholds::default() };
    let error = failure(&one.judge(&udp.figures())).unwrap();
    assert_eq!(error.to_string(), "threshold not met: rate 498 Mbits/sec, at least 1.00 Gbits/sec wanted");
    assert_eq!(error.status(), ExitStatus::Expectation);
    let two = Thresholds { min, max_p99: None, max_loss: Some(chance("1%")) };
    let error = failure(&two.judge(&udp.figures())).unwrap();
    assert_eq!(
        error.to_string(),
        "thresholds not met: 2 of 2\n  rate 498 Mbits/sec, at least 1.00 Gbits/sec wanted\n  loss 2%, at most 1% wanted"
    );
    assert!(failure(&[]).is_none());
}

#[test]
fn a_comparison_allows_the_tolerance_and_no_more() {
    let before = Figures { bits_per_second: Some(100e6), lost_percent: Some(0.0), ..Figures::default() };
    let now = |bits, lost| Figures { bits_per_second: Some(bits), lost_percent: Some(lost), ..Figures::default() };
    let met = |now: Figures| {
        let verdicts = compare(Kind::Throughput, &now, &before, chance("5%"));
        verdicts.iter().map(Verdict::is_met).collect::<Vec<_>>()
    };
    assert_eq!(met(now(95e6, 0.0)), [true, true]);
    assert_eq!(met(now(94e6, 0.0)), [false, true]);
    assert_eq!(met(now(200e6, 6.0)), [true, false]);
    let verdicts = compare(Kind::Throughput, &now(94e6, 0.0), &before, chance("5%"));
    assert_eq!(
        verdicts[0].to_string(),
        "rate 94.0 Mbits/sec, at least 95.0 Mbits/sec wanted (it was 100 Mbits/sec, tolerance 5%)"
    );
}

// Less latency is better: the bound lies on the other side.
#[test]
fn requests_are_compared_by_transactions_median_and_tail() {
    let before = requests().figures();
    let slower = Figures { p50_ns: before.p50_ns.map(|p50| p50 * 1.06), ..before };
    let met = |now: &Figures| {
        let verdicts = compare(Kind::Requests, now, &before, chance("5%"));
        verdicts.iter().map(Verdict::is_met).collect::<Vec<_>>()
    };
    assert_eq!(met(&before), [true, true, true]);
    assert_eq!(met(&slower), [true, false, true]);
    assert_eq!(met(&Figures { p99_ns: before.p99_ns.map(|p99| p99 * 1.06), ..before }), [true, true, false]);
}

proptest! {
    // A run compared with itself passes at any tolerance, and one that is better in everything as well.
    #[test]
    fn a_run_is_as_good_as_itself(bits in 1.0f64..1e12, lost in 0.0f64..100.0, tolerance in 0u32..100) {
        let before = Figures { bits_per_second: Some(bits), lost_percent: Some(lost), ..Figures::default() };
        let better = Figures { bits_per_second: Some(bits * 1.5), lost_percent: Some(lost / 2.0), ..before };
        let tolerance = chance(&format!("{tolerance}%"));
        for now in [before, better] {
            let verdicts = compare(Kind::Throughput, &now, &before, tolerance);
            prop_assert!(verdicts.iter().all(Verdict::is_met), "{:?}", verdicts);
        }
    }
}
