//! The rooms of the house: who may import whom, where unsafe code and platform names may stand, how long a file may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Root files that import only std and each other, and may be used everywhere.
const VOCABULARY: [&str; 10] =
    ["digest", "error", "escape", "event", "dice", "meter", "outcome", "secret", "units", "buffer"];

/// What each room may use besides the vocabulary; a name with `::` is that one file of a room.
const MAY_USE: &[(&str, &[&str])] = &[
    ("sys", &[]),
    ("plan", &[]),
    ("layer", &[]),
    ("report", &[]),
    ("reactor", &["sys"]),
    ("endpoint", &["plan::address", "layer", "reactor", "sys"]),
    ("session", &["plan", "endpoint", "layer", "reactor", "sys"]),
    ("datagram", &["endpoint", "layer", "reactor", "sys"]),
    ("bench", &["session", "datagram", "endpoint", "layer", "reactor", "sys"]),
    ("command", &["plan", "endpoint", "layer", "session", "datagram", "bench", "reactor", "report", "sys"]),
    ("cli", &["plan"]),
    ("lib", &["cli", "command"]),
    ("main", &["cli", "command"]),
];

const MOST_LINES: usize = 600;

/// One source file: the room it is in, its path, its lines without comments.
struct Source {
    room: String,
    path: PathBuf,
    lines: Vec<String>,
}

impl Source {
    /// A file of unit tests may make real sockets, and leave out what only one platform has.
    fn is_test(&self) -> bool {
        self.path
            .components()
            .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs" | "testing.rs")))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let inside = path.strip_prefix(&root).unwrap();
                let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
                let room = first.trim_end_matches(".rs").to_string();
                let text = fs::read_to_string(&path).unwrap();
                let lines = text.lines().map(|line| without_comment(line).to_string()).collect();
                found.push(Source { room, path, lines });
            }
        }
    }
    assert!(found.len() > 5, "the sources were not found");
    found
}

/// The line up to a comment; a `//` inside a string cuts too much, which hides nothing that is looked for here.
fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Every `crate::a::b` in a file, with braces of a `use` spelled out, as `a` or `a::b`.
fn uses(source: &Source) -> BTreeSet<String> {
    let text: String = source.lines.join(" ");
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        for path in spelled_out(rest) {
            found.insert(path);
        }
    }
    found
}

/// The paths that `rest` of a `crate::…` names, two segments deep: `a::{b, c::d}` gives `a::b` and `a::c`.
fn spelled_out(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let entries = |text: &str| -> Vec<String> {
        let (mut depth, mut entries, mut entry) = (0, Vec::new(), String::new());
        for c in text.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => (),
            }
            if depth == 0 || (depth == 1 && c == ',') {
                entries.push(std::mem::take(&mut entry));
                if depth == 0 {
                    break;
                }
            } else if !(depth == 1 && c == '{') {
                entry.push(c);
            }
        }
        entries.into_iter().map(|entry| entry.trim().to_string()).filter(|entry| !entry.is_empty()).collect()
    };
    if rest.starts_with('{') {
        return entries(rest).iter().flat_map(|entry| spelled_out(entry)).collect();
    }
    let first = word(rest);
    match rest[first.len()..].strip_prefix("::") {
        Some(more) if more.starts_with('{') => {
            entries(more).iter().map(|entry| format!("{first}::{}", word(entry))).collect()
        }
        Some(more) => vec![format!("{first}::{}", word(more))],
        None => vec![first],
    }
}

#[test]
fn paths_of_imports_are_spelled_out() {
    assert_eq!(spelled_out("plan::address::Address;"), ["plan::address"]);
    assert_eq!(spelled_out("plan::{self, address::{A, B}, Plan};"), ["plan::self", "plan::address", "plan::Plan"]);
    assert_eq!(spelled_out("{error::Error, units};"), ["error::Error", "units"]);
    assert_eq!(spelled_out("run(plan)"), ["run"]);
}

// No room uses a room that it must not know: the flow has one direction.
#[test]
fn rooms_import_only_what_the_design_allows() {
    let mut wrong = Vec::new();
    for source in sources() {
        let allowed = MAY_USE.iter().find(|(room, _)| *room == source.room).map(|(_, allowed)| *allowed);
        let allowed = match allowed {
            Some(allowed) => allowed,
            None if VOCABULARY.contains(&source.room.as_str()) => &[],
            None => panic!("{} is in a room that the design does not know", source.path.display()),
        };
        for used in uses(&source) {
            let room = used.split("::").next().unwrap_or_default();
            let known = MAY_USE.iter().any(|(name, _)| *name == room) || VOCABULARY.contains(&room);
            let fine = room == source.room
                || VOCABULARY.contains(&room)
                || allowed.contains(&room)
                || allowed.contains(&used.as_str())
                || (!known && matches!(source.room.as_str(), "lib" | "main"));
            if !fine {
                wrong.push(format!("{} uses crate::{used}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// Unsafe code stands in one room.
#[test]
fn unsafe_code_stands_only_in_sys() {
    for source in sources().iter().filter(|source| source.room != "sys" && !source.is_test()) {
        for (number, line) in source.lines.iter().enumerate() {
            let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            assert!(!words.any(|word| word == "unsafe"), "{}:{}: {line}", source.path.display(), number + 1);
        }
    }
}

// The platform is known in one room.
#[test]
fn platforms_are_named_only_in_sys() {
    for source in sources().iter().filter(|source| source.room != "sys" && !source.is_test()) {
        for (number, line) in source.lines.iter().enumerate() {
            let named = line.contains("cfg") && (line.contains("target_os") || line.contains("target_family"));
            assert!(!named, "{}:{}: {line}", source.path.display(), number + 1);
        }
    }
}

// clap is known in one room, mio and socket2 below the plan only.
#[test]
fn libraries_stay_in_their_rooms() {
    for (library, rooms) in [
        ("clap", &["cli"][..]),
        ("indicatif", &["report"]),
        ("mio", &["reactor", "endpoint", "session", "datagram", "sys", "command"]),
        ("socket2", &["endpoint", "sys"]),
        ("rustls", &["layer", "endpoint"]),
    ] {
        let elsewhere = |source: &&Source| !rooms.contains(&source.room.as_str()) && !source.is_test();
        for source in sources().iter().filter(elsewhere) {
            let used = source.lines.iter().find(|line| {
                line.trim_start().starts_with(&format!("use {library}::")) || line.contains(&format!(" {library}::"))
            });
            assert!(used.is_none(), "{} uses {library}: {}", source.path.display(), used.unwrap());
        }
    }
}

// A file that has grown past this has a noun in it that wants a file of its own.
#[test]
fn no_file_is_too_long() {
    for source in sources() {
        let lines = source.lines.len();
        assert!(lines <= MOST_LINES, "{}: {lines} lines", source.path.display());
    }
}

// Nothing of the code ends a run by panicking on purpose, outside of tests.
#[test]
fn unfinished_code_is_not_shipped() {
    for source in sources() {
        for (number, line) in source.lines.iter().enumerate() {
            let found = ["todo!(", "unimplemented!(", "dbg!("].iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{}:{}: {line}", source.path.display(), number + 1);
        }
    }
}
