//! The figures that are the same in every run, held to their limits. `make bench` shows these and the times.
//!
//! Linux on x86-64: some are read off single steps.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

mod figures;

use std::io::Write;

use figures::Bench;
use figures::rows::ROWS;
use support::have_tool;

#[test]
fn counted_figures_keep_their_limits() {
    let figures = Bench::open().counted();
    let mut over = Vec::new();
    for row in ROWS.iter().filter(|row| !row.is_time()) {
        if row.takes_valgrind() && !have_tool("valgrind") {
            continue;
        }
        let figure = row.value(|name| figures.get(name).copied());
        let line = format!("{}: {figure:.2}, at most {} {}", row.what, row.limit, row.unit);
        // Shown even where the test passes.
        let _ = writeln!(std::io::stderr(), "gate: {line}");
        if figure > row.limit {
            over.push(line);
        }
    }
    assert!(over.is_empty(), "{over:#?}");
}
