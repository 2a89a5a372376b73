//! What a person sees of `--progress`: a real terminal, read back.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use crate::harness::tmux::Screen;

/// What has passed when the bar is looked at, and what will.
const HALF: usize = 50_000;
const SIZE: usize = 100_000;

/// A screen on which `haul pipe --progress` has moved half of what it will; the way to give it the rest.
fn half_way(columns: u16) -> Option<(Screen, File)> {
    let screen = Screen::open(columns)?;
    let fifo: PathBuf = screen.home().join("f");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // short enough for one row of a narrow screen
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_haul"), screen.home().join("haul")).unwrap();
    screen.enter(&format!("./haul pipe --progress --size {SIZE} <f >/dev/null"));
    let mut source = OpenOptions::new().write(true).open(&fifo).unwrap();
    source.write_all(&vec![7; HALF]).unwrap();
    Some((screen, source))
}

/// Rows that belong to a bar.
fn bars(lines: &[&str]) -> Vec<usize> {
    lines.iter().enumerate().filter(|(_, line)| line.contains('%')).map(|(row, _)| row).collect()
}

#[test]
fn the_bar_is_drawn_in_place_and_leaves_nothing() {
    let Some((screen, mut source)) = half_way(100) else { return };
    let half = screen.shows("half a bar", |lines| lines.iter().any(|line| line.contains("50%")));
    let lines: Vec<&str> = half.iter().map(String::as_str).collect();
    assert_eq!(bars(&lines), [1], "below the command, once: {lines:#?}");
    assert!(lines[1].contains('[') && lines[1].contains("ETA") && lines[1].len() <= 99, "{lines:#?}");
    assert_eq!(lines.len(), 2, "{lines:#?}");
    source.write_all(&vec![7; HALF / 2]).unwrap();
    let more = screen.shows("three quarters", |lines| lines.iter().any(|line| line.contains("75%")));
    let lines: Vec<&str> = more.iter().map(String::as_str).collect();
    assert_eq!((bars(&lines), lines.len()), (vec![1], 2), "{lines:#?}");
    drop(source);
    screen.shows("a prompt below the command, and nothing else", |lines| lines.len() == 2 && lines[1] == "$");
}

#[test]
fn a_narrow_screen_has_a_narrow_line() {
    for columns in [24, 40, 60] {
        let Some((screen, source)) = half_way(columns) else { return };
        let shown = screen.shows("a line", |lines| lines.iter().any(|line| line.contains("50%")));
        // the command itself takes some rows; nothing stands below the one of the bar
        let (last, above) = shown.split_last().unwrap();
        assert!(last.contains("50%") && last.len() < usize::from(columns), "{shown:#?}");
        assert!(above.iter().all(|line| !line.contains('%')), "{shown:#?}");
        drop(source);
        screen.shows("a prompt, and no bar", |lines| lines.last() == Some(&"$") && bars(lines).is_empty());
    }
}

#[test]
fn a_bar_follows_the_width_of_its_screen() {
    let Some((screen, source)) = half_way(100) else { return };
    let ends = |lines: &[&str]| lines.iter().find(|line| line.contains("50%")).map_or(0, |line| line.len());
    screen.shows("a wide bar", |lines| ends(lines) > 90);
    screen.resize(140);
    screen.shows("a wider bar", |lines| (131..140).contains(&ends(lines)) && bars(lines) == [1]);
    drop(source);
    screen.shows("a prompt, and no bar", |lines| lines.last() == Some(&"$") && bars(lines).is_empty());
}

// ^Z takes it off the screen before the shell speaks, fg brings it back.
#[test]
fn a_bar_that_is_stopped_is_gone_and_comes_back() {
    let Some((screen, source)) = half_way(100) else { return };
    screen.shows("a bar", |lines| bars(lines) == [1]);
    screen.press("C-z");
    screen.shows("a prompt, and no bar", |lines| {
        lines.iter().any(|line| line.contains("Stopped")) && lines.last() == Some(&"$") && bars(lines).is_empty()
    });
    screen.enter("fg");
    screen.shows("the bar", |lines| bars(lines).len() == 1 && lines.last().is_some_and(|line| line.contains("50%")));
    drop(source);
    screen.shows("a prompt, and no bar", |lines| lines.last() == Some(&"$") && bars(lines).is_empty());
}
