//! The figures that are the same on every run, held to their limits. `make bench` shows these and the times.
//!
//! Linux on x86-64: some are read off single steps.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

#[allow(dead_code, reason = "made for two tests")]
mod figures;

use std::io::Write;

use figures::{Bench, idle_threads};
use support::can_use;

/// Says so even where the test passes.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "gate: {line}");
}

/// Shows the figure, and fails where it is over its limit.
fn at_most(limit: f64, what: &str, figure: f64) {
    say(&format!("{what}: {figure:.2}, at most {limit}"));
    assert!(figure <= limit, "{what}: {figure}, more than {limit}");
}

#[test]
fn warm_call_takes_few_instructions() {
    if can_use("valgrind") {
        at_most(60.0, "instructions of a warm call", Bench::open().instructions_of_call("call", "plain"));
    }
}

#[test]
fn warm_call_locks_nothing() {
    let steps = Bench::open().run("border", &["steps"]);
    assert_eq!(steps["atomics.control"], 3.0, "the counter does not count");
    assert!(steps["steps.call"] > steps["steps.plain"], "the steps are not those of a call");
    for which in ["call", "nested", "on_host"] {
        at_most(0.0, &format!("locked instructions of a warm {which}"), steps[&format!("atomics.{which}")]);
    }
}

#[test]
fn warm_call_asks_nobody() {
    let bench = Bench::open();
    for what in ["syscalls", "allocations"] {
        let counted = bench.run("border", &[what]);
        at_most(0.0, &format!("{what} of 100 000 warm calls"), counted[what]);
        assert_eq!(counted[&format!("{what}.control")], 1.0, "the counter does not count");
    }
}

#[test]
fn warm_calls_of_two_threads_share_no_line() {
    if can_use("valgrind") {
        let [shared, control] = Bench::open().lines_shared();
        assert!(control > 0, "the counter does not count");
        at_most(0.0, "lines that two threads share in warm calls", shared as f64);
    }
}

#[test]
fn call_needs_little_of_the_hosts_stack() {
    let stack = Bench::open().run("border", &["stack"]);
    assert!(stack["stack.control"] >= 512.0, "the paint shows nothing");
    at_most(256.0, "bytes of the host's stack in a warm call", stack["stack.warm"]);
    for which in ["pooled", "fresh", "starting"] {
        let what = format!("bytes of the host's stack in a first call, {which}");
        at_most(1024.0, &what, stack[&format!("stack.{which}")]);
    }
}

#[test]
fn idle_thread_takes_little_memory_and_gives_it_back() {
    let idle = idle_threads(&Bench::open(), 1000);
    // A thread that wharf ties up touches a page at least: else nothing was measured.
    assert!(idle["idle.rss"] > 1.0, "{idle:?}");
    at_most(6.5, "KiB in memory of an idle thread", idle["idle.rss"]);
    at_most(15.0, "KiB with page tables of an idle thread", idle["idle.with_tables"]);
    at_most(0.0, "allocator arenas opened by first calls", idle["idle.arenas"]);
    at_most(1.0, "KiB that stay of an ended thread after a trim", idle["trimmed.rss"]);
    at_most(1.0, "KiB with page tables that stay of it", idle["trimmed.with_tables"]);
}

#[test]
fn idle_runtime_is_small() {
    let bench = Bench::open();
    let load = bench.run("idle", &["runtime"]);
    at_most(0.0, "threads of an idle runtime", load["load.threads"]);
    at_most(64.0, "MiB of address space of an idle runtime", load["load.space_mb"]);
    at_most(1024.0, "KiB in memory of an idle runtime", load["load.rss"]);
    at_most(600.0, "KiB of the library's file", bench.library_bytes() as f64 / 1024.0);
}
