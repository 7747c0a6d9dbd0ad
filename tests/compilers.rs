//! Panics come back through what any compiler makes: the host of `PanicRecover`, by gcc and by clang, with and without
//! optimisation, frame pointers, unwind tables, and what distributions harden their programs with.

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
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
        match compile(compiler, flags, "panic_recover.c", &host) {
            Ok(()) => {
                CASES.into_iter().filter_map(|case| run(&workshop.library, &host, case).err()).collect()
            }
            Err(why) => vec![why],
        }
    });
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is `noexcept` is told before C++ terminates, as it does by SIGABRT: where clang has destructors to run, by
/// C++ alone.
#[test]
fn noexcept_stops_panics_whatever_compiled_the_host() {
    let workshop = Workshop::open().expect("the library under test is there");
    let compilers = ["g++", "clang++"].into_iter().filter(|compiler| can_use(compiler));
    let flags = ["-O0", "-O2", "-O2 -fcf-protection -fno-omit-frame-pointer", "-O2 -fno-plt"];
    let variants: Vec<(&str, &str)> = compilers.flat_map(|one| flags.map(|flags| (one, flags))).collect();
    for (compiler, flags) in variants {
        let host = workshop.dir.join(format!("noexcept_{compiler}{}", flags.replace(' ', "")));
        let flags = format!("{flags} -fno-inline -fno-optimize-sibling-calls");
        compile(compiler, &flags, "panic_fatal.cpp", &host).unwrap_or_else(|why| panic!("{why}"));
        let told = "panic: BOOM [stopped by noexcept]\n";
        for (case, expected) in [
            ("noexcept", told),
            ("noexcept_held", if compiler == "g++" { told } else { "terminate called without" }),
        ] {
            let output = Command::new(&host).arg(case).env("WHARF_LIB", &workshop.library).output();
            let output = output.unwrap_or_else(|error| panic!("{}: {error}", host.display()));
            let stderr = String::from_utf8_lossy(&output.stderr);
            let status = output.status;
            let as_expected = status.signal() == Some(libc::SIGABRT) && stderr.starts_with(expected);
            assert!(as_expected, "{} {case}: {status}\n{stderr}", host.display());
        }
    }
}

fn compile(compiler: &str, flags: &str, source: &str, host: &PathBuf) -> Result<(), String> {
    let mut command = Command::new(compiler);
    command.current_dir(root()).args(flags.split(' '));
    command.args(["-g", "-D_GNU_SOURCE", "-pthread", "-Iinclude", "-Ic_host"]);
    command.arg(format!("c_host/scenarios/{source}")).arg("-o").arg(host).arg("-ldl");
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
