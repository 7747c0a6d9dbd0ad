//! Whether every unwinder sees a callback's thread from its innermost frame to its start: from outside, at every
//! instruction of the way in and out (a tracer on libunwind), gdb on a live process and on a core file,
//! backtrace(3) and `_Unwind_Backtrace` inside. What is expected stands in the head of `c_host/unwind/host.c`;
//! each case is run
//!
//! - in a host built with `-O0` and in one built with `-O2`;
//! - with the managed stacks below the host's stack and above it;
//! - where gdb looks: with the library's debug information beside it, and with the stripped file alone.

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::build::{Workshop, compiler};
use support::head::{Case, Source, With};
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
    let outcomes = in_parallel(BESIDE, runs, |one| {
        let name = one.case.name.clone();
        execute(one, &place).told(&name)
    });
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
    if !cfg!(target_arch = "x86_64") {
        return Err("the tracer knows x86_64 only".to_string());
    }
    let mut header = compiler(false);
    header.args(["-E", "-include", "libunwind-ptrace.h", "-x", "c", "/dev/null"]);
    if !header.output().is_ok_and(|output| output.status.success()) {
        return Err("libunwind-ptrace.h is missing (apt-get install libunwind-dev)".to_string());
    }
    let dir = root().join("c_host/unwind/tracer");
    let libraries = ["-Wl,--no-as-needed", "-lunwind-ptrace", "-lunwind-x86_64", "-lunwind"];
    let source = Source {
        stem: "unwind_tracer".to_string(),
        files: ["main.c", "process.c", "walk.c"].map(|file| dir.join(file)).to_vec(),
        libraries: Vec::new(),
        cflags: libraries.map(String::from).to_vec(),
        linked: With::Nothing,
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
    match (tool.as_str(), &place.tracer) {
        ("tracer", Ok(tracer)) => one.case.wrap[0] = tracer.display().to_string(),
        ("tracer", Err(why)) if cfg!(target_arch = "x86_64") => return Outcome::of_missing(why.clone()),
        ("core", _) if support::have_tool("gdb") => return with_core(one),
        _ => {}
    }
    run::case(&one.case, one.host.as_ref(), one.workshop)
}

/// Has the host leave a core file, then gdb look at it.
fn with_core(mut one: Run) -> Outcome {
    let dir = one.workshop.dir.join("core").join(one.case.name.replace('/', "."));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    one.case.wrap.remove(0);
    match leave_core(&one, &dir) {
        Ok(core) => one.case.args = vec![core.display().to_string()],
        Err(why) => return Outcome::Failed(why),
    }
    let outcome = run::case(&one.case, one.host.as_ref(), one.workshop);
    if matches!(outcome, Outcome::Passed) {
        let _ = fs::remove_dir_all(&dir);
    }
    outcome
}

/// Lets the host die of its panic; returns the core file: the kernel's, or, where that sends them elsewhere, one
/// that gdb writes in its place.
fn leave_core(one: &Run, dir: &Path) -> Result<PathBuf, String> {
    let host = one.host.as_ref().map_err(String::clone)?;
    let die = |wrap: &[&str]| {
        let mut command = Command::new(wrap[0]);
        command.args(&wrap[1..]).arg(host).args(&one.case.args);
        command.env("WHARF_LIB", &one.workshop.library).current_dir(dir).stdin(Stdio::null());
        command.output().map_err(|error| format!("{}: {error}", wrap[0]))
    };
    die(&["/bin/sh", "-c", "ulimit -c unlimited; exec timeout 60 \"$@\"", "sh"])?;
    if let Some(core) = core_in(dir) {
        return Ok(core);
    }
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    println!("        gdb writes the core file: the kernel does not, core_pattern is {}", pattern.trim_end());
    let mut wrap = vec!["gdb", "-q", "-nx", "-batch"];
    for order in ["set debuginfod enabled off", "run", "generate-core-file core"] {
        wrap.extend(["-ex", order]);
    }
    wrap.push("--args");
    let output = die(&wrap)?;
    core_in(dir).ok_or_else(|| format!("no core file\n{}", String::from_utf8_lossy(&output.stdout)))
}

fn core_in(dir: &Path) -> Option<PathBuf> {
    let paths = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    paths
        .into_iter()
        .find(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"core")))
}
