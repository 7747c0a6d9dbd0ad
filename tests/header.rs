//! The headers: `wharf.h` is what cbindgen makes of `src/ffi`, and all compile everywhere.

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

#[allow(dead_code, reason = "made for three tests")]
mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{fresh_dir, libraries, output, run};
use support::build::compiler;
use support::{have_tool, root};

/// `WHARF_HEADER_WRITE=1` (`make header`) writes the header instead of comparing it.
#[test]
fn header_is_current() {
    let config =
        cbindgen::Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml is well written");
    let mut made = Vec::new();
    cbindgen::generate_with_config(root(), config).expect("cbindgen reads the crate").write(&mut made);
    let made = String::from_utf8(made).expect("the header is text");
    let path = root().join("include/wharf.h");
    if std::env::var_os("WHARF_HEADER_WRITE").is_some() {
        fs::write(&path, &made).expect("include/wharf.h can be written");
        return;
    }
    let held = fs::read_to_string(&path).expect("include/wharf.h is there");
    let first = held.lines().zip(made.lines()).find(|(held, made)| held != made);
    assert!(
        held == made,
        "`make header` brings include/wharf.h up to date; held and made differ first in {first:#?}"
    );
}

/// Each header alone, twice, before and after the other, in every language that it is for.
#[test]
fn headers_compile_alone_and_together() {
    let orders: [&[&str]; 6] = [
        &["wharf.h"],
        &["wharf_dl.h"],
        &["wharf.h", "wharf.h"],
        &["wharf_dl.h", "wharf_dl.h"],
        &["wharf.h", "wharf_dl.h"],
        &["wharf_dl.h", "wharf.h"],
    ];
    let dir = fresh_dir("headers");
    for (number, order) in orders.iter().enumerate() {
        let text: String = order.iter().map(|header| format!("#include \"{header}\"\n")).collect();
        // ISO C wants at least one declaration of the program's own.
        let text = text + "int only_headers(void);\n";
        for (end, mut command) in compilers() {
            let source = dir.join(format!("{number}.{end}"));
            fs::write(&source, &text).expect("the directory is ours");
            run(command.arg("-fsyntax-only").arg(&source));
        }
    }
}

/// The same of the header for C++, beside the others.
#[test]
fn cpp_header_compiles_alone_and_together() {
    let orders: [&[&str]; 4] = [
        &["wharf.hpp", "wharf.hpp"],
        &["wharf.h", "wharf.hpp", "wharf.h"],
        &["wharf_dl.h", "wharf.hpp"],
        &["wharf.hpp", "wharf_dl.h"],
    ];
    let dir = fresh_dir("headers_cpp");
    for (number, order) in orders.iter().enumerate() {
        let text: String = order.iter().map(|header| format!("#include \"{header}\"\n")).collect();
        for (_, mut command) in compilers_of("cpp", "clang++", &["c++11"]) {
            let source = dir.join(format!("{number}.cpp"));
            fs::write(&source, &text).expect("the directory is ours");
            run(command.arg("-fsyntax-only").arg(&source));
        }
    }
}

/// Every function used, in every standard, with exceptions and without. A program that gives a table to it refers
/// to no function of the library.
#[test]
fn cpp_header_compiles_when_used() {
    let dir = fresh_dir("used_cpp");
    let all = ["c++11", "c++14", "c++17", "c++20"];
    for (name, from, standards) in [("opened", "rt.", all.as_slice()), ("linked", "wharf::", &all[..1])] {
        let source = dir.join(format!("{name}.cpp"));
        fs::write(&source, USES_CPP.replace("FROM::", from)).expect("the directory is ours");
        for exceptions in ["-fexceptions", "-fno-exceptions"] {
            for (_, mut command) in compilers_of("cpp", "clang++", standards) {
                let object = dir.join("used.o");
                run(command.args(["-O1", exceptions, "-c", "-o"]).arg(&object).arg(&source));
                let wanted = run(Command::new("nm").arg("-u").arg(&object));
                assert_eq!(wanted.contains(" wharf_"), name == "linked", "{command:?}\n{wanted}");
            }
        }
    }
}

/// Each function of the header for C++, as `FROM::function`.
const USES_CPP: &str = r#"
#include "wharf.hpp"
int used(wharf::runtime rt);
int used(wharf::runtime rt)
{
    static int counted;
    int held[64] = {1};
    if (rt->running() == 0)
        FROM::on_host([] { counted++; });
    int &same = FROM::call([]() -> int & { return counted; });
    const std::unique_ptr<int> moved = FROM::call([] { return std::unique_ptr<int>(new int(1)); });
    const auto tried = FROM::try_call([&] {
        FROM::defer([held] { counted += held[0]; });
        FROM::defer([&same] { same++; });
        FROM::defer([&] { counted += FROM::recover().cut(); });
        if (!FROM::recoverable())
            FROM::goexit();
        if (same == 2)
            FROM::panic("two");
        FROM::panic(std::string("other"));
        return *moved;
    });
    if (!tried.ok())
        return static_cast<int>(tried.panic().text().size() + tried.panic().trace().size());
    return FROM::try_call([] { return 4; }).value() + tried.value();
}
"#;

/// Used and optimised, so that the compiler sees what the syntax alone does not show.
#[test]
fn loader_header_compiles_when_used() {
    let dir = fresh_dir("loader");
    let text = "#include \"wharf_dl.h\"\n\
        extern wharf_dl dl;\n\
        wharf_dl dl;\n\
        int main(int argc, char **argv)\n\
        {\n\
            if (wharf_dl_open(argc > 1 ? argv[1] : NULL, &dl) != WHARF_OK)\n\
                return wharf_dl_close(&dl);\n\
            wharf_dl_panicf(&dl, \"%d of %s\", argc, argv[0]);\n\
        }\n";
    for (end, mut command) in compilers() {
        let source = dir.join(format!("used.{end}"));
        fs::write(&source, text).expect("the directory is ours");
        run(command.args(["-O2", "-c", "-o"]).arg(dir.join("used.o")).arg(&source));
    }
}

/// Every way in which `wharf_dl_open` can fail says which it was; then it opens, panics and closes.
#[test]
fn loader_header_says_what_failed() {
    let library = libraries().join("libwharf.so.0");
    let dir = fresh_dir("opening");
    let host = compile(&dir, "host", OPENS, &["-ldl"]);
    let old = compile(&dir, "old.so", &format!("#define MISSING 8\n{STAND_IN}"), &["-shared", "-fPIC"]);
    let other = compile(&dir, "other.so", &format!("#define OTHER_ABI\n{STAND_IN}"), &["-shared", "-fPIC"]);
    let empty = compile(&dir, "empty.so", "int nothing;", &["-shared", "-fPIC"]);
    let open = |library: &Path| run(Command::new(&host).arg(library));

    assert!(
        open(&dir.join("absent.so"))
            .starts_with(&format!("ESYS wharf: cannot open \"{}/absent.so\": ", dir.display()))
    );
    assert!(open(&empty).ends_with("empty.so\" is not the wharf library: it has no wharf_get_api\n"));
    assert!(open(&other).ends_with("other.so\" does not know ABI 1, which this program was built for\n"));
    let said = open(&old);
    assert!(
        said.starts_with("EABI wharf: ")
            && said.contains("old.so\" (version 0.0.9) is older than the header"),
        "{said}"
    );
    assert!(open(Path::new("")).starts_with("EINVAL wharf: cannot open \"\": the path is empty"));
    assert_eq!(open(&library), "open\nclosed\n");

    let by_name =
        run(Command::new(&host).env("LD_LIBRARY_PATH", library.parent().expect("it has a directory")));
    assert_eq!(by_name, "open\nclosed\n");
    let nowhere = run(Command::new(&host).env_remove("LD_LIBRARY_PATH").current_dir("/"));
    assert!(
        nowhere.starts_with("ESYS wharf: cannot open \"libwharf.so.0\": ") || nowhere == "open\nclosed\n",
        "{nowhere}"
    );

    let panics = output(Command::new(&host).arg(&library).arg("panic"));
    let report = String::from_utf8_lossy(&panics.stderr).into_owned();
    assert!(!panics.status.success() && report.contains("panic: 3 apples"), "{report}");
}

/// Opens the library in its first argument and says what came of it; panics if there is a second.
const OPENS: &str = r#"
#include "wharf_dl.h"
int main(int argc, char **argv)
{
    wharf_dl dl;
    int status = wharf_dl_open(argc > 1 ? argv[1] : NULL, &dl);
    if (status != WHARF_OK) {
        const char *name = status == WHARF_ESYS ? "ESYS" : status == WHARF_EABI ? "EABI" : "EINVAL";
        printf("%s %s\n", name, dl.error);
        return dl.api != NULL || dl.handle != NULL;
    }
    puts("open");
    if (argc > 2)
        wharf_dl_panicf(&dl, "%d %s", 3, "apples");
    if (wharf_dl_close(&dl) != WHARF_OK || wharf_dl_close(&dl) != WHARF_OK || dl.api != NULL)
        return 1;
    puts("closed");
    return 0;
}
"#;

/// A library with a table that ends too early, or for another ABI.
const STAND_IN: &str = r#"
#include "wharf.h"
#ifndef MISSING
#define MISSING 0
#endif
static const char *version_string(void) { return "0.0.9"; }
static wharf_api table;
const wharf_api *wharf_get_api(uint32_t abi)
{
#ifdef OTHER_ABI
    return (void)abi, (const wharf_api *)0;
#endif
    table.size = sizeof table - MISSING;
    table.abi = abi;
    table.version_string = version_string;
    return &table;
}
"#;

fn compile(dir: &Path, name: &str, text: &str, flags: &[&str]) -> std::path::PathBuf {
    let [source, made] = [format!("{name}.c"), name.to_string()].map(|file| dir.join(file));
    fs::write(&source, text).expect("the directory is ours");
    let mut command = compiler(false);
    run(command.arg("-I").arg(root().join("include")).arg(&source).arg("-o").arg(&made).args(flags));
    made
}

/// Every compiler here with every standard, as strict as they come; and how its sources end.
fn compilers() -> Vec<(&'static str, Command)> {
    let c = compilers_of("c", "clang", &["c99", "c11", "c17"]);
    c.into_iter().chain(compilers_of("cpp", "clang++", &["c++11", "c++17"])).collect()
}

fn compilers_of(end: &'static str, other: &str, standards: &[&str]) -> Vec<(&'static str, Command)> {
    let mut commands = Vec::new();
    for standard in standards {
        let mut here = vec![compiler(end == "cpp")];
        if have_tool(other) {
            here.push(Command::new(other));
        }
        for mut command in here {
            command.arg(format!("-std={standard}")).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
            command.arg("-I").arg(root().join("include"));
            commands.push((end, command));
        }
    }
    commands
}
