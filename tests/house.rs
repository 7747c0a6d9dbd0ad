//! The rules of the house, read off the sources: floors, doors, sizes, names.

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use support::{files, root};

/// The rooms, from the ground up: the `mod` lines of lib.rs.
fn floors() -> Vec<String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    lib.lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect()
}

fn room_of(path: &Path) -> Option<String> {
    let inner = path.strip_prefix(root().join("src")).unwrap();
    let first = inner.components().next()?.as_os_str().to_str()?;
    (first != "lib.rs").then(|| first.trim_end_matches(".rs").to_owned())
}

/// The lines of a file without comments, numbered from 1.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(n, line)| (n + 1, line.split("//").next().unwrap_or("")))
        .filter(|(_, line)| !line.trim().is_empty())
}

/// Every room that a line names by `crate::room` or in a `use crate::{room, …}` group.
fn named_rooms<'a>(line: &'a str, floors: &'a [String]) -> impl Iterator<Item = &'a String> {
    let group = line.split("crate::{").nth(1).unwrap_or("");
    floors.iter().filter(move |room| {
        line.contains(&format!("crate::{room}::"))
            || line.contains(&format!("crate::{room};"))
            || line.contains(&format!("crate::{room}("))
            || group.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == room.as_str())
    })
}

#[test]
fn a_file_names_only_rooms_below_its_own() {
    let floors = floors();
    let mut wrong = Vec::new();
    for path in files("src", &["rs"]) {
        let Some(room) = room_of(&path) else { continue };
        let floor = floors.iter().position(|f| *f == room).unwrap_or_else(|| panic!("{room} has no floor"));
        let text = fs::read_to_string(&path).unwrap();
        for (n, line) in code(&text) {
            for named in named_rooms(line, &floors) {
                if floors.iter().position(|f| f == named) > Some(floor) {
                    wrong.push(format!("{}:{n} names {named}, which is above", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What only one room may hold.
const DOORS: [(&str, &str); 6] = [
    ("libc::", "sys"),
    ("naked_asm!", "arch"),
    ("global_asm!", "arch"),
    ("asm!(", "arch"),
    ("thread_local!", "nowhere"),
    ("core::sync::atomic", "base"),
];

#[test]
fn every_door_is_in_its_room() {
    let mut wrong = Vec::new();
    for path in files("src", &["rs"]) {
        let room = room_of(&path).unwrap_or_default();
        let text = fs::read_to_string(&path).unwrap();
        for (n, line) in code(&text) {
            for (door, home) in DOORS {
                // Those below `base` cannot come through its door.
                let excused = door.contains("atomic") && ["arch", "sys"].contains(&room.as_str());
                if line.contains(door) && room != home && !excused {
                    wrong.push(format!("{}:{n} {door}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The names in ARCHITECTURE.md's table of invariants.
fn invariants() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("| `[")?.split_once("]`"))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[test]
fn safety_comments_cite_known_invariants() {
    let known = invariants();
    assert!(known.contains("g0-sp"), "{known:?}");
    let mut wrong = Vec::new();
    for path in files("src", &["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        for (n, line) in text.lines().enumerate().filter(|(_, line)| line.contains("SAFETY: [")) {
            let name = line.split("SAFETY: [").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or("");
            if !known.contains(name) {
                wrong.push(format!("{}:{} [{name}]", path.display(), n + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Rules of thumb, kept: a file that needs more is two files.
const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;

#[test]
fn files_and_functions_are_small() {
    let mut wrong = Vec::new();
    let sources =
        ["src", "tests", "c_host"].into_iter().flat_map(|under| files(under, &["rs", "c", "cpp", "h"]));
    for path in sources {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        if lines > FILE_LINES {
            wrong.push(format!("{}: {lines} lines", path.display()));
        }
        if path.extension().is_some_and(|e| e == "rs") {
            wrong.extend(long_functions(&text).map(|name| format!("{}: {name}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Functions, told by rustfmt's layout: from a line with `fn ` to the `}` of the same indentation.
fn long_functions(text: &str) -> impl Iterator<Item = String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut long = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let Some(name) = line.split("fn ").nth(1).filter(|_| !line.trim_start().starts_with("//")) else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let end = lines[n..]
            .iter()
            .position(|l| l.starts_with(&" ".repeat(indent)) && l.trim() == "}" && l.len() == indent + 1);
        if end.is_some_and(|end| end > FUNCTION_LINES) {
            long.push(name.split('(').next().unwrap_or("?").to_owned());
        }
    }
    long.into_iter()
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = ["todo!", "unimplemented!", concat!("FIX", "ME"), concat!("XX", "X")];
    let mut wrong = Vec::new();
    for path in files("src", &["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        for mark in marks.iter().filter(|mark| text.contains(**mark)) {
            wrong.push(format!("{}: {mark}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
