//! Whether every unwinder sees a callback's thread from its innermost frame to its start: from outside, at every
//! instruction of the way in and out (a tracer on libunwind), gdb on a live process and on a core file, and backtrace(3)
//! and `_Unwind_Backtrace` inside. What is expected stands in the head of `c_host/unwind/host.c`; each case is run
//!
//! - in a host built with `-O0` and in one built with `-O2`;
//! - with the managed stacks below the host's stack and above it;
//! - where gdb looks: with the library's debug information beside it, and with the stripped file alone.

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::build::Workshop;
use support::head::{Case, Source};
use support::{Outcome, in_parallel, root, run};

/// How many cases run beside each other.
const BESIDE: usize = 2;
const LEVELS: [&str; 2] = ["-O0", "-O2"];
const ORDERS: [&str; 2] = ["below", "above"];

/// A case with all that was chosen for it.
struct Run<'w> {
    case: Case,
    host: &'w Result<PathBuf, String>,
    workshop: &'w Workshop,
}

/// Where hosts run, and what they run under.
struct Place {
    /// With the library as it was built.
    whole: Workshop,
    /// With a copy that nothing stands beside.
    stripped: Workshop,
    /// The built tracer, or why there is none.
    tracer: Result<PathBuf, String>,
}

#[test]
fn frames_are_seen_from_everywhere() {
    let place = place();
    let chosen = std::env::var("WHARF_SCENARIO").unwrap_or_default();
    let built = in_parallel(BESIDE, LEVELS.to_vec(), |level| {
        let source = source(level);
        let host = place.whole.build(&source);
        (source.only(&chosen), host)
    });
    let mut runs = Vec::new();
    for (source, host) in &built {
        for case in source.iter().flat_map(|source| &source.cases) {
            runs.extend(variants(case, host, &place));
        }
    }
    let outcomes = in_parallel(BESIDE, runs, |one| report(&one.case.name.clone(), execute(one, &place)));
    let failed = outcomes.iter().filter(|one| matches!(one, Outcome::Failed(_))).count();
    assert_eq!(failed, 0, "of {} cases", outcomes.len());
}

/// The host's source, to be built at one level of optimisation.
fn source(level: &str) -> Source {
    let mut sources =
        Source::find_all(&root().join("c_host/unwind")).expect("the head comment is well written");
    let mut source = sources.pop().expect("host.c has a head comment");
    assert!(sources.is_empty(), "one host serves all cases");
    source.stem = format!("unwind_host{level}");
    source.cflags.push(level.to_string());
    for case in &mut source.cases {
        case.name += level;
    }
    source
}

fn place() -> Place {
    let whole = Workshop::open().expect("the library under test is there");
    let mut stripped = Workshop::open().expect("it still is");
    let dir = whole.dir.join("stripped");
    fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    stripped.library = dir.join("libwharf.so.0");
    fs::copy(&whole.library, &stripped.library).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let tracer = tracer(&whole);
    Place { whole, stripped, tracer }
}

fn tracer(workshop: &Workshop) -> Result<PathBuf, String> {
    let header = Command::new("cc")
        .args(["-E", "-include", "libunwind-ptrace.h", "-x", "c", "/dev/null"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !header.is_ok_and(|status| status.success()) {
        return Err("libunwind-ptrace.h is missing (apt-get install libunwind-dev)".to_string());
    }
    let dir = root().join("c_host/unwind/tracer");
    let machine = if cfg!(target_arch = "x86_64") { "-lunwind-x86_64" } else { "-lunwind-generic" };
    let source = Source {
        stem: "unwind_tracer".to_string(),
        files: ["main.c", "process.c", "walk.c"].map(|file| dir.join(file)).to_vec(),
        libraries: Vec::new(),
        cflags: ["-Wl,--no-as-needed", "-lunwind-ptrace", machine, "-lunwind"].map(String::from).to_vec(),
        linked: false,
        cases: Vec::new(),
    };
    // Built anew each time: nobody looks whether its headers have changed.
    let _ = fs::remove_file(workshop.dir.join("unwind_tracer.command"));
    Ok(workshop.build(&source).expect("the tracer compiles"))
}

/// The case with the stacks in both orders, and what gdb looks at with and without debug information.
fn variants<'w>(case: &Case, host: &'w Result<PathBuf, String>, place: &'w Place) -> Vec<Run<'w>> {
    let mut runs = Vec::new();
    for order in ORDERS {
        let mut case = case.clone();
        case.name += &format!("/{order}");
        case.args.push(order.to_string());
        if !case.wrap.iter().any(|word| word == "gdb") {
            runs.push(Run { case, host, workshop: &place.whole });
            continue;
        }
        // A name of the library's own, which only debug information has.
        let own = "src/callback/mod.rs".to_string();
        let mut stripped = case.clone();
        stripped.name += "/stripped";
        stripped.stdout.lacks.push(own.clone());
        case.stdout.holds.push(own);
        runs.push(Run { case, host, workshop: &place.whole });
        runs.push(Run { case: stripped, host, workshop: &place.stripped });
    }
    runs
}

fn execute(mut one: Run, place: &Place) -> Outcome {
    let tool = one.case.wrap.first().cloned().unwrap_or_default();
    if tool == "tracer"
        && (one.case.arch.is_empty() || one.case.arch.iter().any(|arch| arch == std::env::consts::ARCH))
    {
        match &place.tracer {
            Ok(tracer) => one.case.wrap[0] = tracer.display().to_string(),
            Err(why) => return missing(why),
        }
    }
    if tool == "core" && support::have_tool("gdb") {
        one.case.wrap.remove(0);
        let host = one.host.as_ref().expect("the host compiles");
        match leave_core(&one, host) {
            Ok(core) => one.case.args = vec![core.display().to_string()],
            Err(why) => return Outcome::Failed(why),
        }
    }
    run::case(&one.case, one.host.as_ref(), one.workshop)
}

/// What a missing tool comes to.
fn missing(why: &str) -> Outcome {
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    if in_ci { Outcome::Failed(why.to_string()) } else { Outcome::Skipped(why.to_string()) }
}

/// Lets the host die of its panic; returns the core file: the kernel's, or, where it sends them elsewhere, one that
/// gdb writes in its place.
fn leave_core(one: &Run, host: &Path) -> Result<PathBuf, String> {
    let dir = one.workshop.dir.join("core").join(one.case.name.replace('/', "."));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let die = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).arg(host).args(&one.case.args).env("WHARF_LIB", &one.workshop.library);
        command.current_dir(&dir).stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))
    };
    let left = || {
        let names = fs::read_dir(&dir).into_iter().flatten().flatten();
        names
            .map(|entry| entry.path())
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core")))
    };
    die("/bin/sh", &["-c", "ulimit -c unlimited; exec \"$@\"", "sh"])?;
    if let Some(core) = left() {
        return Ok(core);
    }
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    println!(
        "        {}: no core file from the kernel (core_pattern is {}): gdb writes it",
        one.case.name,
        pattern.trim()
    );
    let output = die(
        "gdb",
        &[
            "-q",
            "-nx",
            "-batch",
            "-ex",
            "set debuginfod enabled off",
            "-ex",
            "run",
            "-ex",
            "generate-core-file core",
            "--args",
        ],
    )?;
    left().ok_or_else(|| format!("gdb writes no core file:\n{}", String::from_utf8_lossy(&output.stdout)))
}

/// Prints one line for a case that passed, and all there is to know about one that did not.
fn report(name: &str, outcome: Outcome) -> Outcome {
    match &outcome {
        Outcome::Passed => println!("ok      {name}"),
        Outcome::Skipped(why) => println!("skipped {name}: {why}"),
        Outcome::Failed(why) => println!("FAILED  {name}\n        {}", why.replace('\n', "\n        ")),
    }
    outcome
}
