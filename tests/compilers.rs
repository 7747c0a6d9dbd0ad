//! Panics come back through what any compiler makes: the host of `PanicRecover`, by gcc and by clang, with and without
//! optimisation, frame pointers, unwind tables, and what distributions harden their programs with.

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::build::Workshop;
use support::{can_use, in_parallel, root, shown};

const COMPILERS: [&str; 2] = ["gcc", "clang"];

const FLAGS: [&str; 10] = [
    "-O0",
    "-O2",
    "-O3",
    "-O2 -fno-exceptions",
    "-O2 -fexceptions",
    "-O2 -fomit-frame-pointer",
    "-O2 -D_FORTIFY_SOURCE=3",
    "-O2 -fstack-protector-strong -fstack-clash-protection",
    "-O2 -fno-asynchronous-unwind-tables -fno-unwind-tables -fomit-frame-pointer",
    #[cfg(target_arch = "x86_64")]
    "-O2 -fcf-protection",
    #[cfg(not(target_arch = "x86_64"))]
    "-Os",
];

/// The host's cases.
const CASES: [&str; 5] = ["plain", "in_try", "in_call", "on_host", "handler"];

#[test]
fn panics_come_back_whatever_compiled_the_host() {
    let workshop = Workshop::open().expect("the library under test is there");
    let dir = workshop.dir.join("compilers");
    fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let compilers = COMPILERS.into_iter().filter(|compiler| can_use(compiler));
    let variants: Vec<(&str, &str)> = compilers.flat_map(|one| FLAGS.map(|flags| (one, flags))).collect();
    let wrong = in_parallel(2, variants, |(compiler, flags)| {
        let host = dir.join(format!("{compiler}{}", flags.replace(' ', "")));
        match compile(compiler, flags, &host) {
            Ok(()) => {
                CASES.into_iter().filter_map(|case| run(&workshop.library, &host, case).err()).collect()
            }
            Err(why) => vec![why],
        }
    });
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn compile(compiler: &str, flags: &str, host: &PathBuf) -> Result<(), String> {
    let mut command = Command::new(compiler);
    command.current_dir(root()).args(flags.split(' '));
    command.args(["-g", "-D_GNU_SOURCE", "-pthread", "-Iinclude", "-Ic_host"]);
    command.arg("c_host/scenarios/panic_recover.c").arg("-o").arg(host).arg("-ldl");
    succeeded(&mut command).map(drop)
}

/// Runs a case, which must say that all is well.
fn run(library: &Path, host: &PathBuf, case: &str) -> Result<(), String> {
    let mut command = Command::new(host);
    command.arg(case).env("WHARF_LIB", library);
    match succeeded(&mut command)?.as_str() {
        "OK\n" => Ok(()),
        other => Err(format!("{}\n{other}", shown(&command))),
    }
}

/// What a command has printed; if it failed, what it said of that.
fn succeeded(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{}: {error}", shown(command)))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{}\n{}\n{}", shown(command), output.status, String::from_utf8_lossy(&output.stderr)))
}
