//! The generated files in the tree are what the program generates: man pages and completion scripts.
//!
//! After a change of the surface, `BLESS=1 cargo test surface` writes them anew.

use std::path::Path;
use std::process::Command;

/// Each generated file, and the word that `haul --generate` wants for it.
const GENERATED: &[(&str, &str)] = &[
    ("man/haul.1", "man"),
    ("man/haul-listen.1", "man-listen"),
    ("man/haul-connect.1", "man-connect"),
    ("man/haul-pipe.1", "man-pipe"),
    ("man/haul-send-udp.1", "man-send-udp"),
    ("man/haul-relay.1", "man-relay"),
    ("man/haul-bench.1", "man-bench"),
    ("completions/haul.bash", "complete-bash"),
    ("completions/_haul", "complete-zsh"),
    ("completions/haul.fish", "complete-fish"),
    ("completions/_haul.ps1", "complete-powershell"),
];

fn generated(kind: &str) -> std::io::Result<Vec<u8>> {
    // whatever the terminal of the person who runs the tests is like
    let output = Command::new(env!("CARGO_BIN_EXE_haul")).args(["--generate", kind]).env("COLUMNS", "40").output()?;
    assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

#[test]
fn surface_files_equal_what_the_program_generates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut stale = Vec::new();
    for (file, kind) in GENERATED {
        let (path, text) = (root.join(file), generated(kind).unwrap());
        if std::env::var_os("BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        } else if std::fs::read(&path).ok() != Some(text) {
            stale.push(*file);
        }
    }
    assert!(stale.is_empty(), "{stale:?} are out of date; BLESS=1 cargo test surface writes them");
}

#[test]
fn surface_files_are_all_generated() {
    // a page of a subcommand that is gone must go as well
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["man", "completions"] {
        // a folder that is missing is the other test's matter
        for entry in std::fs::read_dir(root.join(folder)).into_iter().flatten() {
            let name = format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy());
            assert!(GENERATED.iter().any(|(file, _)| *file == name), "{name} is not generated");
        }
    }
}

#[test]
fn surface_kinds_are_all_in_the_tree() {
    // the error for an unknown kind names all that there are
    let output = Command::new(env!("CARGO_BIN_EXE_haul")).args(["--generate", "nothing"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    let line = text.lines().next().unwrap();
    let kinds = line.rsplit("one of ").next().unwrap().split(", ");
    assert_eq!(kinds.collect::<Vec<_>>(), GENERATED.iter().map(|(_, kind)| *kind).collect::<Vec<_>>());
}
