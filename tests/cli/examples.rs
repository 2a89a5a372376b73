//! The examples of the README's page on test suites run, with the haul under test.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Program, require, scratch};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/testing").join(name)
}

/// With this haul as `$HAUL`.
fn with_haul(program: Program) -> Program {
    program.under(&["env", concat!("HAUL=", env!("CARGO_BIN_EXE_haul")), "PYTHONDONTWRITEBYTECODE=1"])
}

#[test]
fn the_tests_in_bash_pass() {
    let Some(bash) = require("bash") else { return };
    let ended = with_haul(Program::new(bash, [example("bash.sh")])).run();
    ended.code(0);
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "bash: all tests have passed\n");
}

// Whichever python3 has pytest: the first in PATH may be somebody's own, without it.
#[test]
fn the_tests_in_python_pass() {
    let Some(python) = require("python3") else { return };
    let has_pytest = |python: &PathBuf| {
        let found = Command::new(python).args(["-c", "import pytest"]).output();
        found.is_ok_and(|output| output.status.success())
    };
    let Some(python) = [python, "/usr/bin/python3".into()].into_iter().find(has_pytest) else {
        assert!(std::env::var_os("CI").is_none(), "pytest is not installed: in CI a missing peer is a failure");
        println!("skipped: the_tests_in_python_pass: pytest is not installed");
        return;
    };
    let words = ["-m", "pytest", "-q", "-p", "no:cacheprovider"].map(PathBuf::from);
    let ended = with_haul(Program::new(python, words.into_iter().chain([example("test_with_haul.py")]))).run();
    ended.code(0);
    assert!(String::from_utf8_lossy(&ended.stdout).contains("5 passed"));
}

// Compiled and run as a test binary of its own: it uses the standard library only.
#[test]
fn the_tests_in_rust_pass() {
    let home = scratch();
    let binary = home.path().join("server_test");
    let words = ["--edition", "2024", "--test", "-o", binary.to_str().unwrap()];
    let mut compile = Command::new("rustc");
    let compiled = compile.args(words).arg(example("server_test.rs")).output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let ended = with_haul(Program::new(&binary, [""; 0])).run();
    ended.code(0);
    assert!(String::from_utf8_lossy(&ended.stdout).contains("4 passed"));
}
