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

/// The code by lines, but a `use` group that is broken over lines is one piece, with the number of its first line.
fn pieces(text: &str) -> Vec<(usize, String)> {
    let mut pieces: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (n, line) in code(text) {
        match pieces.last_mut().filter(|_| open) {
            Some((_, piece)) => *piece += line,
            None => pieces.push((n, line.to_owned())),
        }
        open = pieces.last().is_some_and(|(_, piece)| piece.contains("crate::{") && !piece.contains(';'));
    }
    pieces
}

/// Every room that the code names by `crate::room` or in a `crate::{room, …}` group, and where.
fn named_rooms(text: &str, floors: &[String]) -> Vec<(usize, String)> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut named = Vec::new();
    for (n, piece) in pieces(text) {
        for path in piece.split("crate::").skip(1) {
            let words = match path.strip_prefix('{') {
                Some(group) => group.split(|c| !is_name(c)).collect(),
                None => vec![path.split(|c| !is_name(c)).next().unwrap_or("")],
            };
            let rooms = words.into_iter().filter(|word| floors.iter().any(|room| room == word));
            named.extend(rooms.map(|room| (n, room.to_owned())));
        }
    }
    named
}

/// The rooms that a text in `room` names although they are above it, and where.
fn named_above(room: &str, text: &str, floors: &[String]) -> Vec<(usize, String)> {
    let floor_of = |room: &str| floors.iter().position(|floor| floor == room);
    let floor = floor_of(room).unwrap_or_else(|| panic!("{room} has no floor"));
    let mut named = named_rooms(text, floors);
    named.retain(|(_, other)| floor_of(other) > Some(floor));
    named
}

#[test]
fn a_file_names_only_rooms_below_its_own() {
    let floors = floors();
    let mut wrong = Vec::new();
    for path in files("src", &["rs"]) {
        let Some(room) = room_of(&path) else { continue };
        let text = fs::read_to_string(&path).unwrap();
        let above = named_above(&room, &text, &floors);
        wrong.extend(
            above.iter().map(|(n, named)| format!("{}:{n} names {named}, which is above", path.display())),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_room_above_is_seen_however_it_is_named() {
    let floors = floors();
    for (text, seen) in [
        ("use crate::{\n    base::atomic,\n    callback::{\n        Running,\n    },\n};\n", true),
        ("use crate::{base, callback};\n", true),
        ("use crate::callback;\n", true),
        ("use crate::callback as upstairs;\n", true),
        ("fn up() {\n    crate::callback::call()\n}\n", true),
        ("use crate::{\n    base::atomic,\n    stack, // and not callback\n};\nfn callback() {}\n", false),
        ("use crate::stack;\n// crate::callback is above.\n", false),
    ] {
        assert_eq!(!named_above("stack", text, &floors).is_empty(), seen, "{text}");
    }
}

/// The room that is compiled without the others, into plugins: it goes by no door of theirs.
const FACE: &str = "face";

#[test]
fn the_face_names_no_other_room() {
    let floors = floors();
    let mut seen = 0;
    for path in files("src/face", &["rs"]) {
        let mut named = named_rooms(&fs::read_to_string(&path).unwrap(), &floors);
        named.retain(|(_, room)| room != FACE);
        assert!(named.is_empty(), "{}: {named:?}", path.display());
        seen += 1;
    }
    assert!(seen > 1);
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
        if room == FACE {
            continue;
        }
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

/// The SAFETY comments of a text, each with the number of its first line, as one line without slashes.
fn safety_comments(text: &str) -> Vec<(usize, String)> {
    let mut comments: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (n, line) in text.lines().enumerate() {
        let comment = line.split_once("//").map(|(before, rest)| (before.trim().is_empty(), rest));
        match comment {
            Some((_, rest)) if rest.contains("SAFETY:") => comments.push((n + 1, rest.to_owned())),
            Some((true, rest)) if inside => comments.last_mut().expect("one began").1 += rest,
            _ => {
                inside = false;
                continue;
            }
        }
        inside = true;
    }
    comments
}

/// What stands in square brackets, if it looks like a name.
fn cited(comment: &str) -> impl Iterator<Item = &str> {
    let inside = comment.split('[').skip(1).filter_map(|rest| rest.split_once(']'));
    let is_name = |name: &&str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    inside.map(|(name, _)| name).filter(is_name)
}

#[test]
fn safety_comments_cite_known_invariants() {
    let known = invariants();
    assert!(known.contains("g0-sp"), "{known:?}");
    let unknown = |text: &str| {
        let comments = safety_comments(text).into_iter();
        let names = comments
            .flat_map(|(n, comment)| cited(&comment).map(|name| (n, name.to_owned())).collect::<Vec<_>>());
        names.filter(|(_, name)| !known.contains(name)).collect::<Vec<_>>()
    };
    assert_eq!(unknown("// SAFETY: [slab] and [slap]; `a[0]`, [`x`].\n").len(), 1);
    assert_eq!(unknown("{} // SAFETY: said\n    // over lines, by [nobody].\n").len(), 1);
    assert_eq!(unknown("// SAFETY: [gate].\nlet a = b[index]; // [index]\n").len(), 0);
    let mut wrong = Vec::new();
    for path in files("src", &["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        wrong.extend(unknown(&text).iter().map(|(n, name)| format!("{}:{n} [{name}]", path.display())));
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
        let padded = format!(" {}", line.trim_start());
        // Neither a comment nor a declaration nor `r#fn`.
        let skipped = padded.starts_with(" //") || line.ends_with(';');
        let Some(name) = padded.split(" fn ").nth(1).filter(|_| !skipped) else { continue };
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

/// Nothing else lies there, and no build leaves anything.
#[test]
fn the_top_level_has_its_entries_and_no_others() {
    const ENTRIES: [&str; 18] = [
        ".ci",
        ".git",
        ".gitignore",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "Makefile",
        "README.md",
        "c_host",
        "cbindgen.toml",
        "include",
        "rustfmt.toml",
        "src",
        "target",
        "tests",
    ];
    let there = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let others: Vec<String> = there.filter(|name| !ENTRIES.contains(&name.as_str())).collect();
    assert!(others.is_empty(), "{others:?}");
}
