//! The libraries as they are delivered: what `readelf` and `nm` see in them, and that programs can be linked with them.

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

#[allow(dead_code, reason = "made for three tests")]
mod common;

use std::collections::BTreeSet;
use std::ffi::{c_int, c_void};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libloading::{Library, Symbol};

use common::{fresh_dir, libraries, make, run};
use support::build::compiler;
use support::{can_use, root};

fn shared() -> PathBuf {
    libraries().join("libwharf.so.0")
}

fn readelf(flags: &[&str], file: &Path) -> String {
    run(Command::new("readelf").arg("-W").args(flags).arg(file))
}

fn nm(flags: &[&str], file: &Path) -> Vec<String> {
    run(Command::new("nm").args(flags).arg(file)).lines().map(str::to_string).collect()
}

/// The functions that the header declares, and a program therefore finds in the library.
fn declared() -> BTreeSet<String> {
    let header = fs::read_to_string(root().join("include/wharf.h")).expect("include/wharf.h is there");
    let lines: String =
        header.lines().map(|line| format!("{}\n", line.split("//").next().unwrap_or_default())).collect();
    let code: String = lines.split("*/").map(|part| part.split("/*").next().unwrap_or_default()).collect();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices('(') {
        let before = &code[..at];
        let start = before.rfind(|c| !is_name(c)).map_or(0, |last| last + 1);
        if before[start..].starts_with("wharf_") {
            names.insert(before[start..].to_string());
        }
    }
    // In the header itself, for its arguments.
    names.remove("wharf_panicf");
    names
}

#[test]
fn exports_are_the_headers_functions_with_our_version() {
    let lines = nm(&["-D", "--defined-only", "--with-symbol-versions"], &shared());
    let mut exported = BTreeSet::new();
    for line in &lines {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [_, "A", "WHARF_0"] => {}
            [_, "T", symbol] => {
                let name =
                    symbol.strip_suffix("@@WHARF_0").unwrap_or_else(|| panic!("{symbol} is not of WHARF_0"));
                exported.insert(name.to_string());
            }
            _ => panic!("exported, but not a function of ours: {line}"),
        }
    }
    assert_eq!(exported, declared());
}

#[test]
fn loader_sees_what_it_should() {
    let dynamic = readelf(&["-d"], &shared());
    assert!(dynamic.contains("Library soname: [libwharf.so.0]"), "{dynamic}");
    for wanted in ["BIND_NOW", "(SYMBOLIC)"] {
        assert!(dynamic.contains(wanted), "no {wanted}\n{dynamic}");
    }
    for unwanted in ["TEXTREL", "NODELETE", "RPATH", "RUNPATH", "STATIC_TLS"] {
        assert!(!dynamic.contains(unwanted), "{unwanted}\n{dynamic}");
    }
    let needed: BTreeSet<&str> = dynamic
        .lines()
        .filter_map(|line| line.split_once("Shared library: [")?.1.strip_suffix(']'))
        .collect();
    let mut allowed = BTreeSet::from(["libc.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"]);
    if libraries().join("glibc.o").exists() {
        // Made for a glibc that has them apart: `make GLIBC=2.17`.
        allowed.extend(["libpthread.so.0", "libdl.so.2"]);
    }
    assert!(needed.is_subset(&allowed), "needs {needed:?}");
    // The loader never unmaps a library that holds a unique symbol.
    let symbols = readelf(&["--dyn-syms"], &shared());
    assert!(!symbols.contains(" UNIQUE "), "{symbols}");
}

#[test]
fn nothing_is_both_writable_and_executable() {
    let segments = readelf(&["-l"], &shared());
    let mut stack = false;
    for line in segments.lines() {
        let kind = line.split_whitespace().next().unwrap_or_default();
        if !["LOAD", "GNU_STACK", "TLS", "GNU_RELRO"].contains(&kind) {
            continue;
        }
        let flags = line.rsplit_once("0x").map_or("", |(before, _)| &before[before.len() - 4..]);
        assert!(!(flags.contains('W') && flags.contains('E')), "{line}");
        stack |= kind == "GNU_STACK" && !flags.contains('E');
    }
    assert!(stack, "the stack may be executable\n{segments}");
    assert!(segments.contains("GNU_RELRO") && segments.contains("GNU_EH_FRAME"), "{segments}");
}

#[test]
fn thread_word_is_reached_by_a_descriptor() {
    let relocations = readelf(&["-r"], &shared());
    assert_eq!(relocations.matches("R_X86_64_TLSDESC").count(), 1, "{relocations}");
    assert!(!relocations.contains("R_X86_64_TPOFF64"), "initial-exec\n{relocations}");
}

/// Shadow stacks know nothing of our switch: a note that allows them would be a lie.
#[test]
fn no_note_allows_shadow_stacks() {
    let notes = readelf(&["-n"], &shared());
    assert!(!notes.contains("SHSTK"), "{notes}");
}

#[test]
fn stripped_file_keeps_the_names_that_gdb_and_traces_need() {
    let symbols = readelf(&["--symbols"], &shared());
    let (_, table) = symbols.split_once("Symbol table '.symtab'").expect("there is a .symtab");
    let names: BTreeSet<&str> = table.lines().filter_map(|line| line.split_whitespace().nth(7)).collect();
    for name in declared().iter().map(String::as_str).chain(["__morestack"]) {
        assert!(names.contains(name), "{name} was stripped");
    }
    assert!(names.len() < 60, "not stripped: {} names", names.len());
    let sections = readelf(&["-S"], &shared());
    assert!(!sections.contains(".debug_") && sections.contains(".gnu_debuglink"), "{sections}");
}

#[test]
fn debug_file_belongs_to_the_library() {
    let debug = shared().with_extension("0.debug");
    let id = |file: &Path| {
        let notes = readelf(&["-n"], file);
        notes.split_once("Build ID: ").expect("a build id").1.lines().next().map(str::to_string)
    };
    assert_eq!(id(&shared()), id(&debug));
    assert!(readelf(&["-S"], &debug).contains(".debug_line"));
}

#[test]
fn library_tells_nothing_of_the_machine_that_built_it() {
    let bytes = fs::read(shared()).expect("the library is there");
    let home = std::env::var("HOME").unwrap_or_default();
    for place in [root().display().to_string(), home] {
        let found = place.len() > 1 && bytes.windows(place.len()).any(|window| window == place.as_bytes());
        assert!(!found, "holds the path {place}");
    }
}

#[test]
fn archive_defines_our_names_only() {
    let lines = nm(&["-g", "--defined-only"], &libraries().join("libwharf.a"));
    let names: BTreeSet<String> =
        lines.iter().filter_map(|line| line.split_whitespace().nth(2)).map(str::to_string).collect();
    assert_eq!(names, declared());
}

/// The functions of the header's table, in its order: what stands in its struct as `(*name)(`.
fn tabled() -> Vec<String> {
    let header = fs::read_to_string(root().join("include/wharf.h")).expect("include/wharf.h is there");
    let table = header.split("typedef struct wharf_api {").nth(1).and_then(|rest| rest.split('}').next());
    let fields = table.expect("the header has a table").split("(*").skip(1);
    // `try_`, where C++ has a keyword.
    let names = fields.filter_map(|field| field.split(')').next()).map(|name| name.trim_end_matches('_'));
    names.map(|name| format!("wharf_{name}")).collect()
}

/// What the library has under a name.
fn named<'l, T>(library: &'l Library, name: &str) -> Symbol<'l, T> {
    // SAFETY: whoever calls what is found knows its type from the header.
    unsafe { library.get(name.as_bytes()) }.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The table's functions, as addresses, after a look at its two numbers.
fn table_of(library: &Library) -> Vec<*const c_void> {
    let get_api = named::<unsafe extern "C" fn(u32) -> *const u32>(library, "wharf_get_api");
    // SAFETY: the table has as many bytes as its first number says, and stays while the library does.
    unsafe {
        assert!(get_api(0).is_null() && get_api(2).is_null(), "an ABI that nobody knows");
        let table = get_api(1);
        assert_eq!(table.add(1).read(), 1, "the table's ABI");
        let count = (table.read() as usize - 8) / size_of::<*const c_void>();
        std::slice::from_raw_parts(table.add(2).cast(), count).to_vec()
    }
}

/// A host in another language, which knows names and the table's order only. It calls in from a thread that lives on.
#[test]
fn opened_library_has_every_function_and_leaves_when_closed() {
    extern "C" fn count(arg: *mut c_void) {
        // SAFETY: the number of the caller, who waits for us.
        unsafe { *arg.cast::<u32>() += 1 }
    }
    let path = shared();
    let is_mapped = || {
        let maps = fs::read_to_string("/proc/self/maps").expect("a process can read its maps");
        maps.contains(path.to_str().expect("the path is text"))
    };
    // SAFETY: to load it runs nothing that could be in anybody's way.
    let library = unsafe { Library::new(&path) }.expect("the library loads");
    assert!(is_mapped());
    let [tabled, mut rest] = [tabled(), declared().into_iter().collect()];
    rest.retain(|name| !tabled.contains(name));
    assert_eq!(rest, ["wharf_get_api"], "declared, but not in the table");
    let exported: Vec<_> = tabled.iter().map(|name| *named::<*const c_void>(&library, name)).collect();
    assert_eq!(table_of(&library), exported, "the table and the names: {tabled:?}");

    let call = named::<unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void) -> c_int>;
    let mut counted = 0u32;
    // SAFETY: as the header declares it.
    let status = unsafe { call(&library, "wharf_call")(count, (&raw mut counted).cast()) };
    assert_eq!((status, counted), (0, 1));
    library.close().expect("the library closes");
    assert!(!is_mapped(), "closed, but still there");
}

#[test]
fn make_does_nothing_twice() {
    let out = libraries();
    make(&out, &["lib"]);
    assert_eq!(make(&out, &["--no-print-directory", "lib"]), "");
}

/// A host that calls in from a thread of its own, and, with RUST, another Rust library too.
const HOST: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <wharf.h>

static void callback(void *arg) { *(int *)arg += 1; }

static void *body(void *arg)
{
    return wharf_call(callback, arg) == WHARF_OK ? arg : NULL;
}

#ifdef RUST
extern int other_rust(int);
#endif

int main(void)
{
    int count = 0;
    void *result = NULL;
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, &count) != 0 || pthread_join(thread, &result) != 0)
        return 1;
#ifdef RUST
    count += other_rust(-1) + other_rust(5);
#endif
    printf("%s %d\n", result != NULL ? "called" : "failed", count);
    return 0;
}
"#;

/// Panics, catches, keeps a thread-local and prints: most of what two copies of std could fight over.
const OTHER_RUST: &str = r#"
use std::cell::RefCell;
thread_local!(static SEEN: RefCell<Vec<i32>> = const { RefCell::new(Vec::new()) });
#[unsafe(no_mangle)]
pub extern "C" fn other_rust(number: i32) -> i32 {
    let caught = std::panic::catch_unwind(|| {
        SEEN.with_borrow_mut(|seen| seen.push(number));
        assert!(number >= 0, "negative");
        number
    });
    caught.unwrap_or_else(|_| SEEN.with_borrow(|seen| seen.len() as i32))
}
"#;

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).expect("the directory is ours");
    path
}

fn cc(source: &Path, host: &Path) -> Command {
    let mut command = compiler(false);
    command.args(["-Wall", "-Wextra", "-Werror", "-pthread"]).arg(source).arg("-o").arg(host);
    command
}

#[test]
fn links_shared() {
    let dir = fresh_dir("shared");
    let (source, host) = (write(&dir, "host.c", HOST), dir.join("host"));
    let out = libraries();
    run(cc(&source, &host).arg("-I").arg(root().join("include")).arg("-L").arg(&out).arg("-lwharf"));
    assert_eq!(run(Command::new(&host).env("LD_LIBRARY_PATH", &out)), "called 1\n");
}

#[test]
fn links_static_beside_another_rust_library() {
    let dir = fresh_dir("static");
    let (source, other) = (write(&dir, "host.c", HOST), write(&dir, "other.rs", OTHER_RUST));
    let archive = dir.join("libother.a");
    run(Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition=2024", "--crate-type=staticlib", "-O", "-o"])
        .arg(&archive)
        .arg(&other));
    let ours = libraries().join("libwharf.a");
    for (name, order, flags) in [
        ("first", [&ours, &archive], [].as_slice()),
        ("last", [&archive, &ours], &[]),
        ("wholly", [&ours, &archive], &["-static"]),
    ] {
        let host = dir.join(name);
        let mut command = cc(&source, &host);
        command.arg("-DRUST").arg("-I").arg(root().join("include")).args(order);
        run(command.args(flags));
        assert_eq!(run(&mut Command::new(&host)), "called 7\n");
    }
}

#[test]
fn installs_for_pkg_config() {
    if !can_use("pkg-config") {
        return;
    }
    let dir = fresh_dir("install");
    let place = dir.join("root");
    let [destdir, prefix] = [format!("DESTDIR={}", place.display()), "PREFIX=/opt/wharf".to_string()];
    make(&libraries(), &["install", &destdir, &prefix]);
    let lib = place.join("opt/wharf/lib");
    let ask = |what: &[&str]| {
        let mut command = Command::new("pkg-config");
        command.env("PKG_CONFIG_PATH", lib.join("pkgconfig")).env("PKG_CONFIG_SYSROOT_DIR", &place);
        let told = run(command.args(what).arg("wharf"));
        told.split_whitespace().map(str::to_string).collect::<Vec<_>>()
    };
    assert_eq!(ask(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);
    let (source, host) = (write(&dir, "host.c", HOST), dir.join("host"));
    run(cc(&source, &host).args(ask(&["--cflags", "--libs"])));
    assert_eq!(run(Command::new(&host).env("LD_LIBRARY_PATH", &lib)), "called 1\n");
    // Nothing to load: the program holds all of it.
    run(cc(&source, &host).arg("-static").args(ask(&["--static", "--cflags", "--libs"])));
    assert_eq!(run(&mut Command::new(&host)), "called 1\n");
    finds_debug_information(&lib.join("libwharf.so.0"));

    make(&libraries(), &["uninstall", &destdir, &prefix]);
    let left = run(Command::new("find").arg(&place).args(["!", "-type", "d"]));
    assert_eq!(left, "");
    assert!(!lib.join(".debug").exists());
}

/// gdb and addr2line go from the installed library to the file that has its lines.
fn finds_debug_information(library: &Path) {
    let entry = nm(&["-D", "--defined-only"], library)
        .iter()
        .find_map(|line| line.strip_suffix(" T wharf_call@@WHARF_0").map(str::to_string));
    let entry = entry.expect("wharf_call is exported");
    let line = run(Command::new("addr2line").arg("-e").arg(library).arg(entry));
    assert!(line.contains("src/ffi/callbacks.rs:"), "{line}");
    if can_use("gdb") {
        let mut gdb = Command::new("gdb");
        gdb.args(["-q", "-nx", "-batch", "-ex", "set debuginfod enabled off", "-ex", "info line wharf_call"]);
        let line = run(gdb.arg(library));
        assert!(line.contains("\"src/ffi/callbacks.rs\""), "{line}");
    }
}
