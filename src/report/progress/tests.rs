//! Bars, lines and objects on virtual time.

use super::super::testing::{Recorder, WAIT};
use super::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Ticks every 100 ms of virtual time, 10 MiB/s, and returns what was written.
fn watch(style: Style, size: Option<u64>, ticks: u64) -> Vec<String> {
    let seen = Recorder::default();
    let out = Outlet::new(seen.clone());
    let start = Instant::now();
    let mut view = ProgressView::new(style, size, start, out.clone());
    for tick in 1..=ticks {
        view.tick(start + ms(100 * tick), tick << 20);
        assert!(out.flush(WAIT));
    }
    view.finish(start + ms(100 * ticks + 50), ticks << 20);
    out.finish(WAIT, |_| Vec::new());
    seen.writes()
}

#[test]
fn a_bar_is_redrawn_in_place_and_never_erased_before_the_end() {
    let writes = watch(Style::Bar(|| Some(80)), Some(40 << 20), 30);
    let (last, frames) = writes.split_last().unwrap();
    assert_eq!(last, "\r\x1b[K");
    assert_eq!(frames.len(), 30);
    for frame in frames {
        assert!(frame.starts_with('\r') && frame.len() == 78, "{frame:?}");
        assert!(!frame[1..].contains(|c: char| c.is_control()), "{frame:?}");
    }
    assert_eq!(frames[19], "\r 50% [=============>             ] 20.0 MiB / 40.0 MiB  10.0 MiB/s  ETA  0:02");
}

#[test]
fn an_unknown_size_is_shown_with_a_spinner_and_both_rates() {
    let writes = watch(Style::Bar(|| None), None, 11);
    assert_eq!(writes[10].trim_end(), "\r\\ 11.0 MiB  0:01  10.0 MiB/s  10.0 MiB/s average");
    assert_eq!(writes[10].len(), 78);
}

#[test]
fn no_frame_is_wider_than_the_terminal_whatever_its_width() {
    static COLUMNS: AtomicU16 = AtomicU16::new(0);
    for size in [None, Some(0), Some(5 << 20), Some(u64::MAX)] {
        let seen = Recorder::default();
        let out = Outlet::new(seen.clone());
        let start = Instant::now();
        let columns: fn() -> Option<u16> = || Some(COLUMNS.load(Relaxed));
        let mut view = ProgressView::new(Style::Bar(columns), size, start, out.clone());
        // the terminal changes its width between any two frames
        for tick in 1..=200 {
            COLUMNS.store(1 + (tick * 37 % 200) as u16, Relaxed);
            view.tick(start + ms(100 * tick), tick << 30);
            assert!(out.flush(WAIT));
            let frame = seen.writes().pop().unwrap();
            let limit = usize::from(COLUMNS.load(Relaxed).max(4)) - 3;
            assert_eq!(frame.len() - 1, limit, "{frame:?}");
        }
        assert_eq!(seen.writes().len(), 200);
    }
}

#[test]
fn frames_come_at_most_ten_times_a_second_however_often_the_loop_ticks() {
    let seen = Recorder::default();
    let out = Outlet::new(seen.clone());
    let start = Instant::now();
    let mut view = ProgressView::new(Style::Bar(|| Some(80)), None, start, out.clone());
    for milli in 0..1000 {
        view.tick(start + ms(milli), milli);
        assert!(out.flush(WAIT));
    }
    assert!(seen.writes().len() <= 11, "{}", seen.writes().len());
}

#[test]
fn lines_and_objects_come_once_a_second_and_at_the_end() {
    let lines = watch(Style::Line, Some(40 << 20), 20);
    assert_eq!(
        lines,
        [
            "haul: 10.0 MiB of 40.0 MiB (25%) in 0:01, 10.0 MiB/s now, 10.0 MiB/s on average, 0:03 left\n",
            "haul: 20.0 MiB of 40.0 MiB (50%) in 0:02, 10.0 MiB/s now, 10.0 MiB/s on average, 0:02 left\n",
            "haul: 20.0 MiB of 40.0 MiB (50%) in 0:02, 9.76 MiB/s now, 9.76 MiB/s on average, 0:02 left\n",
        ]
    );
    let objects = watch(Style::Json, None, 20);
    assert_eq!(objects.len(), 3);
    for object in objects {
        let json: serde_json::Value = serde_json::from_str(&object).unwrap();
        assert_eq!(json["event"], "progress");
        assert!(object.ends_with('\n'));
    }
}

#[test]
fn a_stopped_program_leaves_a_clean_line_and_redraws_when_it_goes_on() {
    let seen = Recorder::default();
    let out = Outlet::new(seen.clone());
    let start = Instant::now();
    let mut view = ProgressView::new(Style::Bar(|| Some(40)), None, start, out.clone());
    view.tick(start + ms(100), 1);
    assert!(out.flush(WAIT));
    view.clear();
    assert_eq!(seen.writes().pop().unwrap(), "\r\x1b[K");
    view.tick(start + ms(200), 2);
    assert!(out.flush(WAIT));
    assert_eq!(seen.writes().len(), 2, "nothing is drawn while it is hidden");
    view.redraw(start + ms(9000));
    assert!(out.flush(WAIT));
    assert!(seen.writes().pop().unwrap().contains("2 B  0:09"));
}

#[test]
fn a_view_that_is_dropped_or_finished_draws_no_more() {
    let seen = Recorder::default();
    let out = Outlet::new(seen.clone());
    let start = Instant::now();
    let mut view = ProgressView::new(Style::Bar(|| Some(40)), Some(9), start, out.clone());
    view.finish(start, 9);
    view.tick(start + ms(500), 9);
    view.redraw(start + ms(600));
    drop(view);
    out.finish(WAIT, |_| Vec::new());
    assert_eq!(seen.text(), "");
}
