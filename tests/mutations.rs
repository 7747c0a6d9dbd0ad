//! Whether the tests can fail: each mutation build leaves one line of the library out, and a named scenario
//! must then turn red, for the reason that is looked for, while it is green with the library as it is.
//!
//! So that it is not the whole library that is broken, one scenario must stay green with each of them. A name after
//! `wharf_mutate` in `src` that `MUTATIONS` lacks is a failure.

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::build::Workshop;
use support::head::Source;
use support::regex::matches;
use support::target::target;
use support::{Outcome, files, in_parallel, root, run, target_dir};

/// How many builds run beside each other.
const BESIDE: usize = 2;

/// Stays green with each mutation.
const SOUND: &str = "EnsureBindM";

/// A scenario that turns red.
struct Red {
    scenario: &'static str,
    /// What is in its complaint, as a regular expression.
    sign: &'static str,
}

struct Mutation {
    name: &'static str,
    reds: &'static [Red],
}

/// Above each stands what is left out.
const MUTATIONS: &[Mutation] = &[
    // The switch writes the host's stack pointer to the G.
    Mutation {
        name: "g0_sp_store",
        reds: &[Red {
            scenario: "CgoExternalThreadPanic/host",
            sign: "^ended by Signal\\(11\\), expected Signal\\(6\\)",
        }],
    },
    // The switch has its frame told by the frame pointer.
    Mutation {
        name: "cfi_switch",
        reds: &[
            Red { scenario: "CgoExternalThreadPanic/host", sign: "^trace: " },
            Red { scenario: "CxxException", sign: "^ended by Signal\\((6|11)\\), expected Exit" },
        ],
    },
    // A callback that has returned leaves its stack.
    Mutation {
        name: "g0_sp_restore",
        reds: &[Red { scenario: "Callback", sign: "CHECK\\(stats\\(\\).stacks_used == 0\\) failed" }],
    },
    // An entry frees what was jumped out of.
    Mutation {
        name: "reap",
        reds: &[Red { scenario: "LongjmpLoop/on_host", sign: "CHECK\\(now == \\*first\\) failed" }],
    },
    // A panic that was cut leaves the stacks that it jumps over.
    Mutation {
        name: "panic_leave",
        reds: &[Red { scenario: "PanicFrames/main", sign: "CHECK\\(stats\\(\\).stacks_used == 0\\) failed" }],
    },
    // A callback to which a panic comes back is no longer out on the host's stack.
    Mutation {
        name: "panic_out",
        reds: &[Red {
            scenario: "PanicFrames/main",
            sign: "CHECK\\(inside\\(thread_stack\\(\\), out\\)\\) failed",
        }],
    },
    // A panic looks which scopes `longjmp` has left.
    Mutation {
        name: "panic_left",
        reds: &[Red { scenario: "PanicExits/longjmp", sign: "CHECK\\(not reached\\) failed" }],
    },
    // A try that has returned is over: the next call is none.
    Mutation {
        name: "panic_try",
        reds: &[Red {
            scenario: "PanicRecover/plain",
            sign: "CHECK\\(W->recoverable\\(\\) == \\(intptr_t\\)expected\\) failed",
        }],
    },
];

#[test]
fn mutations_turn_their_scenarios_red() {
    let whole = Workshop::open().expect("the library under test is there").library;
    let tables = in_parallel(BESIDE, MUTATIONS.iter().collect(), |mutation| match build(mutation.name) {
        Ok(built) => lines(mutation, &Pair { name: mutation.name, whole: whole.clone(), built }),
        Err(why) => vec![line(mutation.name, "", Err(why))],
    });
    println!("\n{:<14} {:<28} result", "mutation", "scenario");
    let mut failed = 0;
    for (text, good) in tables.iter().flatten() {
        println!("{text}");
        failed += usize::from(!good);
    }
    assert_eq!(failed, 0, "mutations that no scenario told, or that broke more");
}

/// The library as it is and as a mutation has it.
struct Pair {
    name: &'static str,
    whole: PathBuf,
    built: PathBuf,
}

fn lines(mutation: &Mutation, pair: &Pair) -> Vec<(String, bool)> {
    let mut lines = vec![line(mutation.name, SOUND, stays_green(pair))];
    lines.extend(mutation.reds.iter().map(|red| line(mutation.name, red.scenario, turns_red(red, pair))));
    lines
}

/// A line of the table, and whether it is as it should be.
fn line(mutation: &str, scenario: &str, result: Result<&str, String>) -> (String, bool) {
    let good = result.is_ok();
    let text = result.map_or_else(|why| format!("FAILED: {why}"), str::to_string);
    (format!("{mutation:<14} {scenario:<28} {text}"), good)
}

fn build(name: &str) -> Result<PathBuf, String> {
    let out = target_dir().join(target().suffixed("mutate")).join(name);
    let mut make = Command::new("make");
    make.args(["-s", "lib"])
        .arg(format!("TARGET={}", target().name))
        .arg(format!("OUT={}", out.display()))
        .arg(format!("RUSTFLAGS=--cfg wharf_mutate=\"{name}\""));
    // Not part of the make that may run us.
    make.current_dir(root()).env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    let output = make.output().map_err(|error| format!("make: {error}"))?;
    if !output.status.success() {
        return Err(format!("not built\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(out.join("libwharf.so.0"))
}

fn stays_green(pair: &Pair) -> Result<&'static str, String> {
    match outcome(SOUND, &pair.built, pair.name) {
        Outcome::Passed => Ok("green, as without"),
        Outcome::Skipped(why) | Outcome::Failed(why) => {
            Err(format!("more is broken than was left out\n{why}"))
        }
    }
}

fn turns_red(red: &Red, pair: &Pair) -> Result<&'static str, String> {
    if let Outcome::Skipped(why) | Outcome::Failed(why) = outcome(red.scenario, &pair.whole, pair.name) {
        return Err(format!("red without the mutation, too\n{why}"));
    }
    match outcome(red.scenario, &pair.built, pair.name) {
        Outcome::Failed(why) if matches(red.sign, &why) => Ok("red, green without"),
        Outcome::Failed(why) => Err(format!("red, but not for {}\n{why}", red.sign)),
        Outcome::Passed | Outcome::Skipped(_) => Err("green with the mutation".to_string()),
    }
}

/// Runs one scenario with one library, in a directory of the mutation's own.
fn outcome(scenario: &str, library: &Path, mutation: &str) -> Outcome {
    let mut workshop = Workshop::open().expect("the library under test is there");
    workshop.library = library.to_path_buf();
    workshop.dir = target_dir().join(target().suffixed("mutations")).join(mutation);
    fs::create_dir_all(&workshop.dir).unwrap_or_else(|error| panic!("{}: {error}", workshop.dir.display()));
    let sources =
        Source::find_all(&root().join("c_host/scenarios")).expect("the head comments are well written");
    let source = sources.into_iter().find(|source| source.cases.iter().any(|case| case.name == scenario));
    let source = source.unwrap_or_else(|| panic!("there is no scenario {scenario}"));
    let case = source.cases.iter().find(|case| case.name == scenario).expect("it was just found");
    let host = workshop.build(&source);
    run::case(case, host.as_ref(), &workshop)
}

#[test]
fn table_is_complete() {
    let mut used = BTreeSet::new();
    for path in files("src", &["rs"]) {
        let text = fs::read_to_string(&path).expect("sources are text");
        let names = text.split("wharf_mutate = \"").skip(1).filter_map(|rest| rest.split('"').next());
        used.extend(names.map(str::to_string));
    }
    let named: BTreeSet<String> = MUTATIONS.iter().map(|mutation| mutation.name.to_string()).collect();
    assert_eq!(used, named, "left: in src; right: in the table");
}
