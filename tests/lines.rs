//! Traces have the lines of the sources whatever compiled the host, and wherever its debug information is; and fewer of
//! them, but a whole report, where that is missing, broken or hostile.

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::build::Workshop;
use support::{can_use, in_parallel, root, shown};

const COMPILERS: [[&str; 2]; 2] = [["gcc", "g++"], ["clang", "clang++"]];

/// What a trace of the host must hold.
#[derive(Clone, Copy, PartialEq)]
enum Tells {
    /// Lines, and what was inlined.
    All,
    /// The line of each frame.
    Lines,
    Names,
    /// Of what the host exports; else the place and the build id.
    Exports,
}

/// Flags, and what is done with the host then: its name follows.
const VARIANTS: [(&str, &[&str], Tells); 16] = [
    ("-g -O0", &[], Tells::All),
    ("-g -O1 -gdwarf-4", &[], Tells::All),
    ("-g -O1 -gdwarf-5", &[], Tells::All),
    ("-g -O2 -gdwarf-3", &[], Tells::All),
    ("-g -O2 -ffunction-sections -Wl,--gc-sections", &[], Tells::All),
    ("-g -O2 -flto", &[], Tells::All),
    ("-g -O1 -no-pie -fno-pie", &[], Tells::All),
    ("-g -O1 -fdebug-types-section", &[], Tells::All),
    ("-g1 -O1", &[], Tells::All),
    (
        "-g -O1",
        &[
            "objcopy --only-keep-debug HOST HOST.debug",
            "strip HOST",
            "objcopy --add-gnu-debuglink=HOST.debug HOST",
        ],
        Tells::All,
    ),
    ("-g -O1 -gsplit-dwarf", &[], Tells::Lines),
    ("-g -O1 -gz=zlib", &[], Tells::Names),
    ("-g -O1", &["objcopy --compress-debug-sections=zlib-gnu HOST"], Tells::Names),
    ("-g0 -O1", &[], Tells::Names),
    ("-g0 -O1 -s -rdynamic -Wl,--build-id=sha1", &[], Tells::Exports),
    ("-g -O1 -rdynamic -Wl,--build-id=sha1", &["strip HOST"], Tells::Exports),
];

impl Tells {
    /// Texts that stand in the report, in this order; a `…` is anything in a line.
    const fn texts(self) -> &'static [&'static str] {
        match self {
            Tells::All => &[
                "\nshapes::raise(char const*)…+0x…\n\thost.cpp:103 /…+0x…\n",
                "area<shapes::circle>…(...)\n\tinlined.h:202\nshapes::Deep<int, char>::operator()(int) const…+0x…\n\thost.cpp:115 /",
                "\nvisit(void*)::…::operator()(int) const…+0x…\n\thost.cpp:123 /",
                "\nlibrary_inlined(...)\n\tlibrary.c:12\nlibrary_calls+0x…\n\tlibrary.c:18 /",
                "\nthread(void*)…+0x…\n\thost.cpp:143 /",
            ],
            Tells::Lines => &[
                "\nshapes::raise(char const*)…+0x…\n\thost.cpp:103 /…+0x…\n",
                "\nlibrary_calls+0x…\n\tlibrary.c:12 /",
            ],
            Tells::Names => &[
                "\nshapes::raise(char const*)+0x…\n\t/…+0x…\n",
                "\nshapes::Deep<int, char>::operator()(int) const…+0x…\n\t/…+0x…\n",
                "\nlibrary_calls+0x…\n\t/…+0x…\n",
                "\nthread(void*)+0x…\n\t/…+0x…\n",
            ],
            Tells::Exports => &[
                "\nshapes::raise(char const*)+0x…\n\t/…+0x…\n",
                "\nlibrary_calls+0x…\n\t/…+0x…\n",
                "\n0x…\n\t/…+0x… (BuildId: …)\n",
            ],
        }
    }
}

/// What is missing of those texts.
fn missing(report: &str, texts: &[&str]) -> Option<String> {
    let mut rest = report;
    for text in texts {
        match find(rest, text) {
            // The last line break may begin the next text.
            Some(end) => rest = &rest[end - 1..],
            None => return Some(format!("{text:?} is missing in\n{report}")),
        }
    }
    None
}

/// Where the pattern ends in the text.
fn find(text: &str, pattern: &str) -> Option<usize> {
    let parts: Vec<&str> = pattern.split('…').collect();
    let at = |start: usize| {
        let mut end = start + parts[0].len();
        for part in &parts[1..] {
            let line = text[end..].find('\n').map_or(text.len(), |length| end + length + 1);
            let limit = (line + part.len()).min(text.len());
            end += text.get(end..limit)?.find(part)? + part.len();
        }
        Some(end)
    };
    text.match_indices(parts[0]).find_map(|(start, _)| at(start))
}

fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{}: {error}", shown(command)))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{}\n{}\n{}", shown(command), output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Compiles the host and its library into the directory; the host's path.
fn compile([c, cpp]: [&str; 2], flags: &str, after: &[&str], dir: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(dir).map_err(|error| error.to_string())?;
    let host = dir.join("host");
    let library = dir.join("trace_lines_library.so");
    let common = ["-fno-optimize-sibling-calls", "-D_GNU_SOURCE", "-pthread"];
    let [include, c_host] = ["include", "c_host"].map(|name| root().join(name));
    for (compiler, source, more, out) in [
        (cpp, "trace_lines.cpp", &["-ldl"][..], &host),
        (c, "trace_lines_library.c", &["-shared", "-fPIC"], &library),
    ] {
        let mut command = Command::new(compiler);
        // Split debug information goes to where the compiler runs.
        command
            .current_dir(dir)
            .args(common)
            .args(flags.split(' '))
            .arg("-I")
            .arg(&include)
            .arg("-I")
            .arg(&c_host);
        command.arg(c_host.join("scenarios").join(source)).args(more).arg("-o").arg(out);
        run(&mut command)?;
        for step in after {
            let step = step.replace("HOST", out.to_str().expect("the path is text"));
            let mut words = step.split(' ');
            run(Command::new(words.next().expect("a tool")).args(words))?;
        }
    }
    Ok(host)
}

/// A run of the host; a shell does `before` when all is loaded.
fn command(library: &Path, host: &Path, args: &[&str], before: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -c 0; exec \"$0\" \"$@\""]).arg(host).args(args).env("BEFORE", before);
    command.env("WHARF_LIB", library).env("SCENARIO_DIR", host.parent().expect("a directory"));
    command
}

/// The report of the host's panic, of which it dies as it should.
fn report(library: &Path, host: &Path, before: &str) -> Result<String, String> {
    let mut command = command(library, host, &["panic"], before);
    let output = command.output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let head = "panic: BOOM\n\ngoroutine 1 [running, locked to thread]:\npcs: …\n";
    match output.status.signal() {
        Some(libc::SIGABRT) if text.starts_with("panic: BOOM\n") && find(&text, head).is_some() => Ok(text),
        _ => Err(format!("{}\n{}\n{text}", shown(&command), output.status)),
    }
}

#[test]
fn lines_are_told_whatever_compiled_the_host() {
    let workshop = Workshop::open().expect("the library under test is there");
    let dir = workshop.dir.join("lines");
    let compilers = COMPILERS.into_iter().filter(|[c, cpp]| can_use(c) && can_use(cpp));
    let variants: Vec<_> =
        compilers.flat_map(|one| VARIANTS.iter().enumerate().map(move |(n, what)| (one, n, what))).collect();
    let wrong = in_parallel(2, variants, |(compilers, n, (flags, after, tells))| {
        let host = compile(compilers, flags, after, &dir.join(format!("{}{n}", compilers[0])));
        let report = host.and_then(|host| report(&workshop.library, &host, ""));
        let wrong = match report {
            Ok(report) => missing(&report, tells.texts()),
            Err(why) => Some(why),
        };
        wrong.map(|why| format!("{} {flags} {after:?}: {why}", compilers[0]))
    });
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is done to the files of a process that lives, and what its trace still tells.
const CHANGES: [(&str, &[&str]); 5] = [
    ("rm $SCENARIO_DIR/host", Tells::All.texts()),
    (
        "rm $SCENARIO_DIR/trace_lines_library.so",
        &[
            "\n\thost.cpp:124 /",
            "\nlibrary_calls+0x…\n\t/…trace_lines_library.so+0x…\n",
            "\n\thost.cpp:132 /",
        ],
    ),
    (
        "cd $SCENARIO_DIR && mv trace_lines_library.so old && cp host trace_lines_library.so",
        &["\n\thost.cpp:124 /", "\nlibrary_calls+0x…\n\tlibrary.c:18 /…/old+0x…\n", "\n\thost.cpp:132 /"],
    ),
    (
        "cd $SCENARIO_DIR && cp host other && mv other trace_lines_library.so",
        &["\n\thost.cpp:124 /", "\nlibrary_calls+0x…\n\t/…+0x…\n", "\n\thost.cpp:132 /"],
    ),
    (
        "truncate -s 16000 $SCENARIO_DIR/trace_lines_library.so",
        &["\n\thost.cpp:124 /", "\nlibrary_calls+0x…\n\t/…+0x…\n", "\n\thost.cpp:132 /"],
    ),
];

#[test]
fn files_may_go_and_change() {
    let workshop = Workshop::open().expect("the library under test is there");
    for (n, (before, texts)) in CHANGES.into_iter().enumerate() {
        let dir = workshop.dir.join(format!("lines/changed{n}"));
        let _ = fs::remove_dir_all(&dir);
        let host = compile(COMPILERS[0], "-g -O1", &[], &dir).expect("it compiles");
        let report = report(&workshop.library, &host, before);
        let wrong = report.map_or_else(Some, |report| missing(&report, texts));
        assert_eq!(wrong, None, "{before}");
    }
}

/// A file that is written anew in its place has pages that cannot be read.
#[test]
fn a_file_that_changes_under_the_reader_does_no_harm() {
    const ROUNDS: usize = 40;
    const REWRITE: &str = "cd $SCENARIO_DIR; cp host.debug whole; parent=$PPID; \
        (while kill -0 $parent; do truncate -s 4096 host.debug; truncate -s 40960 host.debug; cat whole > host.debug; done) \
        >/dev/null 2>&1 &";
    let after =
        VARIANTS.iter().find_map(|(_, after, _)| after.first().map(|_| *after)).expect("one with a link");
    let workshop = Workshop::open().expect("the library under test is there");
    let dir = workshop.dir.join("lines/rewritten");
    let _ = fs::remove_dir_all(&dir);
    let host = compile(COMPILERS[0], "-g -O1", after, &dir).expect("it compiles");
    for _ in 0..ROUNDS {
        report(&workshop.library, &host, REWRITE).unwrap();
        // What a try got is printed where the process lives on; its handlers are there from the start.
        let mut tries = command(&workshop.library, &host, &["start", "try", "panic"], REWRITE);
        let text = run(&mut tries).unwrap().stdout;
        assert!(text.starts_with(b"panic: BOOM\n\n"), "{}", String::from_utf8_lossy(&text));
    }
}

/// Where what is loaded of an ELF file for 64 bits ends.
fn loaded_end(file: &[u8]) -> usize {
    let number = |at: usize, bytes: usize| {
        file[at..at + bytes].iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
    };
    let headers = (0..number(56, 2)).map(|n| number(32, 8) + n * number(54, 2));
    headers
        .filter(|at| number(*at, 4) == 1)
        .map(|at| number(at + 8, 8) + number(at + 32, 8))
        .max()
        .unwrap_or(0)
}

#[test]
fn broken_tables_do_no_harm() {
    const ROUNDS: u64 = 60;
    let workshop = Workshop::open().expect("the library under test is there");
    let dir = workshop.dir.join("lines/broken");
    let host = compile(COMPILERS[0], "-g -O1", &[], &dir).expect("it compiles");
    let whole = fs::read(&host).expect("it was just made");
    let first = loaded_end(&whole);
    let broken = dir.join("host_broken");
    for round in 0..ROUNDS {
        // Numerical Recipes' generator: the same in every run.
        let mut state = round;
        let mut draw = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut bytes = whole.clone();
        for _ in 0..[1, 10, 100, 5000][round as usize % 4] {
            let at = first + draw(whole.len() - first);
            bytes[at] = draw(256) as u8;
        }
        fs::write(&broken, bytes).expect("the directory is ours");
        fs::set_permissions(&broken, fs::metadata(&host).expect("it is there").permissions()).expect("ours");
        let report =
            report(&workshop.library, &broken, "").unwrap_or_else(|why| panic!("round {round}: {why}"));
        assert!(!report.contains("has faulted"), "round {round}: {report}");
    }
}
