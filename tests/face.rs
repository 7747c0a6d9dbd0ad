//! The Rust face: a plugin in Rust is built, and hosts of `c_host/face` load two copies of it.

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

#[allow(dead_code, reason = "made for the tests of the delivered files")]
mod common;

use std::fs;
use std::process::Command;

use common::{plugin, run};
use support::build::Workshop;
use support::head::Source;
use support::{Outcome, can_use, in_parallel, root};

#[test]
fn plugins_in_rust() {
    let chosen = std::env::var("WHARF_SCENARIO").unwrap_or_default();
    let sources = Source::find_all(&root().join("c_host/face")).expect("the head comments are well written");
    let workshop = Workshop::open().expect("the library under test is there");
    for name in ["face_a.so", "face_b.so"] {
        common::place_plugin(&workshop, name);
    }
    let mut failed = 0;
    for source in sources.into_iter().filter_map(|source| source.only(&chosen)) {
        let host = workshop.build(&source);
        let told = |case| support::run::case(case, host.as_ref(), &workshop).told(&case.name);
        let outcomes = in_parallel(2, source.cases.iter().collect(), told);
        failed += outcomes.iter().filter(|one| matches!(one, Outcome::Failed(_))).count();
    }
    assert!(failed == 0, "{failed} cases failed");
}

#[test]
fn nothing_of_the_runtime_is_in_a_plugin() {
    if !can_use("nm") || !can_use("readelf") {
        return;
    }
    let symbols = run(Command::new("nm").arg(plugin()));
    assert!(symbols.contains(" T plugin_panic"), "{symbols}");
    let names = symbols.lines().filter_map(|line| line.split_whitespace().last());
    let runtime: Vec<&str> = names
        .filter(|name| name.starts_with("wharf_") || name.contains("morestack") || name.contains("wharf_tls"))
        .collect();
    assert!(runtime.is_empty(), "{runtime:?}");
    let exported = run(Command::new("nm").args(["-D", "--defined-only"]).arg(plugin()));
    assert!(exported.lines().all(|line| line.contains(" T plugin_")), "{exported}");
    // Such a symbol would keep it loaded for ever, and such a library must be there to load it.
    let dynamic = run(Command::new("readelf").args(["-W", "-d", "--dyn-syms"]).arg(plugin()));
    for unwanted in [" UNIQUE ", "NODELETE", "libwharf"] {
        assert!(!dynamic.contains(unwanted), "{unwanted}\n{dynamic}");
    }
}

/// The names of a struct's fields and of their arguments, in order.
fn fields(text: &str, opening: &str) -> Vec<String> {
    let (_, rest) = text.split_once(opening).expect("the struct is there");
    let (body, _) = rest.split_once("\n}").expect("the struct ends");
    let code: String = body.lines().map(|line| line.split("//").next().unwrap_or("")).collect();
    let words = code.replace("pub(super) ", "").replace("pub ", "");
    let mut names = Vec::new();
    for piece in words.split(": ") {
        let name = piece.rsplit([' ', '(', ',']).next().unwrap_or("");
        names.push(name.to_string());
    }
    names.pop();
    names
}

/// The face has the tables' types a second time, since nothing of the runtime is in it.
#[test]
fn the_face_knows_the_table() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("a source is there");
    let face = read("src/face/api.rs");
    let pairs = [
        (read("src/ffi/table.rs"), "pub struct wharf_api {", "pub struct Api {"),
        (read("src/panic/info.rs"), "pub struct wharf_panic_info {", "pub(super) struct RawInfo {"),
    ];
    let renamed = |names: Vec<String>| -> Vec<String> {
        names.into_iter().map(|name| if name == "r#fn" { "f".to_string() } else { name }).collect()
    };
    for (ours, opening, theirs) in pairs {
        let ours = renamed(fields(&ours, opening));
        assert!(ours.len() > 5);
        // What is at the end may be newer than the face.
        assert!(ours.starts_with(&fields(&face, theirs)), "{ours:?}");
    }
}
