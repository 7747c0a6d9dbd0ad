//! The README's programs do what the README says.
//!
//! A program is a `c` or `cpp` block whose first line is `/* name.c ... */` or `/* name.cpp ... */`. The `sh` block after it compiles and runs it,
//! the `text` block after that is what it prints (stdout and stderr). There, `...` stands for anything in its
//! line, and alone in a line for any number of lines.

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

#[allow(dead_code, reason = "made for three tests")]
mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{fresh_dir, libraries, make, output, run};
use support::root;

struct Program {
    name: String,
    source: String,
    commands: String,
    printed: String,
}

/// The fenced blocks of a text: what stands behind the fence, and the lines between.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let body: String =
                lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            blocks.push((kind.to_string(), body));
        }
    }
    blocks
}

fn programs(text: &str) -> Vec<Program> {
    let blocks = blocks(text);
    let mut programs = Vec::new();
    for (at, (kind, source)) in blocks.iter().enumerate() {
        let first = source.lines().next().unwrap_or_default();
        let name = first.strip_prefix("/* ").and_then(|rest| rest.split_whitespace().next());
        let is_program =
            |name: &&str| ["c", "cpp"].iter().any(|end| kind == end && name.ends_with(&format!(".{end}")));
        let Some(name) = name.filter(is_program) else { continue };
        let after = |offset: usize, wanted: &str| {
            let block = blocks.get(at + offset).filter(|(kind, _)| kind == wanted);
            block
                .unwrap_or_else(|| panic!("{name}: the block {offset} further on is no `{wanted}`"))
                .1
                .clone()
        };
        let program = Program {
            name: name.to_string(),
            source: source.clone(),
            commands: after(1, "sh"),
            printed: after(2, "text"),
        };
        programs.push(program);
    }
    programs
}

/// Whether `line` is what `pattern` says, `...` being anything.
fn line_matches(pattern: &str, line: &str) -> bool {
    match pattern.split_once("...") {
        None => pattern == line,
        Some((start, rest)) => line.strip_prefix(start).is_some_and(|tail| {
            let ends = tail.char_indices().map(|(at, _)| at).chain([tail.len()]);
            ends.into_iter().any(|at| line_matches(rest, &tail[at..]))
        }),
    }
}

fn text_matches(patterns: &[&str], lines: &[&str]) -> bool {
    match (patterns, lines) {
        ([], []) => true,
        (["...", rest @ ..], _) => (0..=lines.len()).any(|skipped| text_matches(rest, &lines[skipped..])),
        ([pattern, patterns @ ..], [line, lines @ ..]) => {
            line_matches(pattern, line) && text_matches(patterns, lines)
        }
        _ => false,
    }
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).expect("README.md is there")
}

/// Puts the program beside the library that is installed in `dir`, does what the README says to, and returns what
/// is printed.
fn printed_by(program: &Program, dir: &Path) -> String {
    fs::write(dir.join(&program.name), &program.source).expect("the directory is ours");
    let lib = dir.join("lib");
    let script = format!("ulimit -c 0\nexec 2>&1\n{}", program.commands);
    let mut command = Command::new("sh");
    command.current_dir(dir).args(["-c", &script]);
    command.env("CPATH", dir.join("include")).env("LIBRARY_PATH", &lib).env("LD_LIBRARY_PATH", &lib);
    command.env("PKG_CONFIG_PATH", lib.join("pkgconfig"));
    // For the plugin in Rust: where it says, as it says, from what is there.
    command.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS").env("CARGO_NET_OFFLINE", "true");
    String::from_utf8_lossy(&output(&mut command).stdout).into_owned()
}

/// Writes the plugin in Rust that a program loads.
fn write_plugin(dir: &Path) {
    let blocks = blocks(&readme());
    let block = |wanted: &str| &blocks.iter().find(|(kind, _)| kind == wanted).expect(wanted).1;
    let own = root().display().to_string();
    let manifest = block("toml").replace("../wharf", &own);
    assert!(manifest.contains(&own), "{manifest}");
    fs::create_dir_all(dir.join("src")).expect("the directory is ours");
    fs::write(dir.join("Cargo.toml"), manifest).expect("the directory is ours");
    fs::write(dir.join("src/lib.rs"), block("rust")).expect("the directory is ours");
}

/// As after `make install`, but to a place that the compiler and the loader must be told.
fn install(dir: &Path) {
    make(&libraries(), &["install", &format!("PREFIX={}", dir.display())]);
}

#[test]
fn programs_print_what_the_readme_says() {
    let programs = programs(&readme());
    assert!(programs.len() >= 5, "only {} programs found", programs.len());
    let dir = fresh_dir("readme");
    install(&dir);
    write_plugin(&dir.join("events"));
    for program in programs {
        let printed = printed_by(&program, &dir);
        let [patterns, lines] = [&program.printed, &printed].map(|text| text.lines().collect::<Vec<_>>());
        assert!(
            text_matches(&patterns, &lines),
            "{}\n--- the README says\n{}--- but it prints\n{printed}",
            program.name,
            program.printed
        );
    }
}

/// The places in a report are those of the calls, not of what comes after them.
#[test]
fn addr2line_gives_the_lines_of_the_calls() {
    let dir = fresh_dir("readme_lines");
    install(&dir);
    let program = programs(&readme()).into_iter().find(|program| program.name == "boom.c");
    let program = program.expect("README.md has boom.c");
    let report = printed_by(&program, &dir);
    for (function, call) in [
        ("parse", "wharf_panicf(\"cannot read"),
        ("callback", "parse(line);"),
        ("reader", "wharf_call(callback, line);"),
    ] {
        let start = format!("{function}+0x");
        let mut lines = report.lines().skip_while(|line| !line.starts_with(&start)).skip(1);
        let place = lines.next().and_then(|line| line.rsplit_once("/boom+"));
        let (_, place) = place.unwrap_or_else(|| panic!("no place of {function} in boom\n{report}"));
        let told = run(Command::new("addr2line").current_dir(&dir).args(["-e", "boom", place]));
        let number = told.trim().rsplit_once("/boom.c:").and_then(|(_, number)| number.parse::<usize>().ok());
        let number = number.unwrap_or_else(|| panic!("{function} at {place}: {told}"));
        let line = program.source.lines().nth(number - 1).unwrap_or_default();
        assert!(line.contains(call), "{function} at {place}: line {number}: {line}");
    }
}
