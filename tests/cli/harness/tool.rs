//! Other people's programs: used where they are installed, and in CI they have to be.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// The path of an installed program. Where it is missing the running test says that it is skipped, and CI fails.
#[track_caller]
pub fn require(program: &str) -> Option<PathBuf> {
    let found = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .map(|directory| directory.join(program))
        .find(|path| path.is_file() && is_the_one(program, path));
    if found.is_none() {
        let name = thread::current().name().unwrap_or("test").to_string();
        let line = format!("skipped: {name}: {program} is not installed");
        assert!(env::var_os("CI").is_none(), "{line}: in CI a missing peer is a failure");
        println!("{line}");
    }
    found
}

/// Several programs are called nc; the tests know the one of OpenBSD.
fn is_the_one(program: &str, path: &Path) -> bool {
    if program != "nc" {
        return true;
    }
    let Ok(help) = Command::new(path).arg("-h").output() else { return false };
    String::from_utf8_lossy(&help.stderr).starts_with("OpenBSD")
}
