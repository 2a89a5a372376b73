//! What `/proc` tells about a process and about sockets, where no event does.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::DEADLINE;

/// Looks until `look` finds something, with a short wait in between; panics at the deadline.
#[track_caller]
pub fn poll_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    let (_never, clock) = mpsc::channel::<()>();
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited {DEADLINE:?} for {what}");
        let _ = clock.recv_timeout(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// The state letter of `/proc/PID/stat`.
pub fn state(pid: Pid) -> char {
    stat(pid).first().and_then(|word| word.chars().next()).unwrap_or('?')
}

/// What the process runs now: the first 15 bytes of the program's name.
pub fn name(pid: Pid) -> String {
    let text = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap_or_default();
    text.trim_end().to_owned()
}

/// The fields of `/proc/PID/stat` behind the name: index 0 is the state.
fn stat(pid: Pid) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let after_name = text.rsplit(") ").next().unwrap_or_default();
    after_name.split_whitespace().map(str::to_owned).collect()
}

/// CPU ticks used and context switches made so far: all that a process that waits does not change.
pub fn effort(pid: Pid) -> Vec<u64> {
    let fields = stat(pid);
    let mut effort: Vec<u64> = [11, 12].iter().filter_map(|&i| fields.get(i)?.parse().ok()).collect();
    effort.push(status_number(pid, "voluntary_ctxt_switches:"));
    effort
}

/// The most memory that was ever resident, in KiB, without the program itself, whose size differs from build to build.
pub fn peak_memory(pid: Pid) -> u64 {
    status_number(pid, "VmHWM:").saturating_sub(status_number(pid, "RssFile:"))
}

fn status_number(pid: Pid, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line[key.len().min(line.len())..].split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Waits until a process sleeps and stays asleep: no CPU and no wake-up between two looks 100 ms apart.
#[track_caller]
pub fn wait_until_idle(pid: Pid) {
    let (_never, clock) = mpsc::channel::<()>();
    poll_until("the process to be idle", || {
        let before = effort(pid);
        let _ = clock.recv_timeout(Duration::from_millis(100));
        (state(pid) == 'S' && effort(pid) == before).then_some(())
    });
}

/// The TCP port on which this very process listens, as soon as it does.
#[track_caller]
pub fn listening_port(pid: Pid) -> u16 {
    poll_until("a listening TCP socket", || {
        let inodes = socket_inodes(pid);
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
            let text = fs::read_to_string(table).ok()?;
            text.lines().skip(1).find_map(|line| {
                let fields: Vec<_> = line.split_whitespace().collect();
                let listens = fields.get(3) == Some(&"0A") && inodes.contains(*fields.get(9)?);
                let port = fields.get(1)?.rsplit(':').next()?;
                listens.then(|| u16::from_str_radix(port, 16).ok()).flatten()
            })
        })
    })
}

fn socket_inodes(pid: Pid) -> HashSet<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())) else { return HashSet::new() };
    entries
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect()
}

/// Waits until some process listens on this Unix socket name (`@name` for an abstract one).
#[track_caller]
pub fn wait_for_unix_listener(name: &Path) {
    // Num RefCount Protocol Flags Type St Inode Path; __SO_ACCEPTCON is 0x10000
    poll_until("a listening Unix socket", || {
        let text = fs::read_to_string("/proc/net/unix").ok()?;
        let listens = |line: &str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields.get(3) == Some(&"00010000") && fields.get(7).copied() == name.to_str()
        };
        text.lines().any(listens).then_some(())
    });
}

/// How many descriptors a process has open.
pub fn open_descriptors(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).map_or(0, |entries| entries.count())
}
