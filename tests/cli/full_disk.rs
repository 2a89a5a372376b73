//! A disk that fills up under a transfer: a tmpfs of one mebibyte in a mount namespace of its own.

use std::path::Path;
use std::process::Command;
use std::thread;

use crate::data::bytes;
use crate::harness::{Input, haul, require, scratch};

/// More than the disk holds.
const SIZE: usize = 3 << 20;

/// The words before a program that has a small disk at `$1`, with a file `out` on it. At its end it tells the program's
/// status, what is on the disk, and the first bytes of the file.
const ON_A_SMALL_DISK: &str = r#"
    disk=$1; shift
    mount -t tmpfs -o size=1m none "$disk" && printf old >"$disk/out" || exit 99
    "$@"
    echo "status $?, $(ls -A "$disk" | tr '\n' ' '), $(head -c 3 "$disk/out" | tr -d '\0')"
"#;

/// The words that run a program so; `None`, with a line that says so, where this user may not mount anything.
fn small_disk(at: &Path) -> Option<Vec<String>> {
    let unshare = require("unshare")?.display().to_string();
    let at = at.display().to_string();
    let words = [&unshare, "-Urm", "sh", "-c", ON_A_SMALL_DISK, "sh", &at].map(str::to_string).to_vec();
    let may = Command::new(&words[0]).args(&words[1..]).arg("true").output().unwrap();
    if may.status.success() {
        return Some(words);
    }
    let name = thread::current().name().unwrap_or("test").to_string();
    println!("skipped: {name}: no mount namespace: {}", String::from_utf8_lossy(&may.stderr));
    None
}

/// What a sink on a small disk ends with, and what a sender under receipts hears of it.
#[track_caller]
fn fill_up(words: impl Fn(&str) -> Vec<String>, left: &str) {
    let home = scratch();
    let Some(disk) = small_disk(home.path()) else { return };
    let out = home.path().join("out").display().to_string();
    let receiver = haul(words(&out)).under(&disk).spawn();
    let address = receiver.address().to_string();
    let sender = haul(["connect", "--verify", &address]).stdin(Input::Bytes(bytes(1, SIZE))).run();
    let line = sender.code(4).one_error();
    assert!(line.ends_with(": the receiver could not write: no space left on device"), "{line}");
    let receiver = receiver.wait();
    assert_eq!(String::from_utf8_lossy(&receiver.stdout).trim_end(), format!("status 5, out , {left}"));
    let line = format!("haul: cannot write {out}: no space left on device");
    assert!(receiver.stderr.contains(&format!("{line}\n")), "{}", receiver.stderr);
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_string).to_vec()
}

#[test]
fn the_file_of_out_stays_the_old_one() {
    fill_up(|out| words(["listen", "--verify", "--out", out, "127.0.0.1:0"]), "old");
}

#[test]
fn an_atomic_sink_stays_the_old_one() {
    fill_up(|out| words(["pipe", "--verify", "tcp,listen:127.0.0.1:0", &format!("file,atomic:{out}")]), "old");
}

#[test]
fn a_plain_sink_has_what_fitted_and_is_no_success() {
    let head = String::from_utf8_lossy(&bytes(1, 3)).replace('\0', "");
    fill_up(|out| words(["pipe", "--verify", "tcp,listen:127.0.0.1:0", &format!("file:{out}")]), &head);
}

// The one that fails is named, and the other has it all.
#[test]
fn a_full_disk_ends_only_its_own_sink() {
    let home = scratch();
    let Some(disk) = small_disk(home.path()) else { return };
    let out = home.path().join("out").display().to_string();
    let program = haul(["pipe", "-", "sh:wc -c", &format!("file,atomic:{out}")]);
    let ended = program.under(&disk).stdin(Input::Bytes(bytes(2, SIZE))).run();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(said, format!("{SIZE}\nstatus 5, out , old\n"));
    let line = format!("haul: {out} stopped after ");
    assert!(ended.stderr.starts_with(&line) && ended.stderr.contains(": no space left on device"), "{}", ended.stderr);
}
