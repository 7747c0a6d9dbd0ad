//! `make bench`: the figures of a release, in one table, with what each must not exceed.
//!
//! Contenders take turns, in the hosts and in the rounds. The figure is the difference to the same program with a
//! plain function pointer where a row names one: least round less least round (what the machine adds only adds),
//! and median less median, which shows how bad the noise was. `BENCH_ROUNDS` is the number of rounds.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

#[allow(dead_code, reason = "made for two tests")]
mod figures;

use std::collections::BTreeMap;

use figures::{Bench, Figures, idle_threads};
use support::have_tool;

/// The hosts of a round, with their arguments.
const RUNS: [(&str, &[&str]); 8] = [
    ("calls", &[]),
    ("attach", &[]),
    ("attach", &["1000"]),
    ("attach", &["4000"]),
    ("idle", &["runtime"]),
    ("border", &["steps"]),
    ("border", &["stack"]),
    ("death", &[]),
];

/// What is asked of a figure.
struct Row {
    what: &'static str,
    figure: &'static str,
    /// What it is compared with: the figure is the difference.
    beside: Option<&'static str>,
    limit: f64,
    unit: &'static str,
}

const fn row(
    what: &'static str,
    figure: &'static str,
    beside: Option<&'static str>,
    limit: f64,
    unit: &'static str,
) -> Row {
    Row { what, figure, beside, limit, unit }
}

#[rustfmt::skip]
const ROWS: [Row; 36] = [
    row("warm call, instructions (callgrind)", "instructions", None, 60.0, ""),
    row("warm call, instructions (single steps)", "steps.call", Some("steps.plain"), 60.0, ""),
    row("warm call, time", "call", Some("plain"), 4.5, "ns"),
    row("... a library that only calls back, time", "bare", Some("plain"), f64::INFINITY, "ns"),
    row("the same on two threads at once", "call.2", Some("plain.2"), 4.5, "ns"),
    row("warm call, system calls in 100 000", "syscalls", None, 0.0, ""),
    row("warm call, allocations in 100 000", "allocations", None, 0.0, ""),
    row("warm call, atomic read-modify-writes", "atomics.call", None, 0.0, ""),
    row("warm call, lines shared by two threads", "lines", None, 0.0, ""),
    row("nested call, instructions (single steps)", "steps.nested", Some("steps.plain"), 60.0, ""),
    row("nested call, time", "nested", Some("plain.on_g"), 3.0, "ns"),
    row("out to the host's stack and back, time", "on_host", Some("plain.on_g"), 5.0, "ns"),
    row("first call of a thread, spare M", "first.pooled", Some("first.plain"), 600.0, "ns"),
    row("first call of a thread, fresh M", "first.fresh", Some("first.plain"), 5000.0, "ns"),
    row("thread that calls once, less one that does not", "life", Some("life.plain"), 1300.0, "ns"),
    row("1 000 threads at a barrier, first call each", "storm.1000", None, 50.0, "ms"),
    row("... a plain call each", "storm.1000.plain", None, f64::INFINITY, "ms"),
    row("4 000 threads at a barrier, first call each", "storm.4000", None, 250.0, "ms"),
    row("... a plain call each", "storm.4000.plain", None, f64::INFINITY, "ms"),
    row("idle thread, memory", "idle.rss", None, 6.5, "KiB"),
    row("idle thread, memory and page tables", "idle.with_tables", None, 15.0, "KiB"),
    row("ended thread after a trim, memory", "trimmed.rss", None, 1.0, "KiB"),
    row("ended thread after a trim, with page tables", "trimmed.with_tables", None, 1.0, "KiB"),
    row("allocator arenas opened by 1 000 first calls", "idle.arenas", None, 0.0, ""),
    row("host's stack in a first call, spare M", "stack.pooled", None, 1024.0, "bytes"),
    row("host's stack in a first call, fresh M", "stack.fresh", None, 1024.0, "bytes"),
    row("host's stack in a first call that starts wharf", "stack.starting", None, 1024.0, "bytes"),
    row("host's stack in a warm call", "stack.warm", None, 256.0, "bytes"),
    row("dlopen, start and first call", "load.us", None, 750.0, "µs"),
    row("idle runtime, threads", "load.threads", None, 0.0, ""),
    row("idle runtime, address space", "load.space_mb", None, 64.0, "MiB"),
    row("idle runtime, memory", "load.rss", None, 1024.0, "KiB"),
    row("the library's file, stripped", "file", None, 600.0, "KiB"),
    row("panic to the end of the process, to /dev/null", "panic.null", None, 400.0, "µs"),
    row("panic to the end of the process, to a pipe", "panic.pipe", None, 400.0, "µs"),
    row("... a bare abort()", "abort", None, f64::INFINITY, "µs"),
];

/// Figures that cannot be had without it.
const COUNTED_BY_VALGRIND: [&str; 2] = ["instructions", "lines"];

/// What the rounds brought, by figure.
type Rounds = BTreeMap<String, Vec<f64>>;

fn add(rounds: &mut Rounds, suffix: &str, figures: Figures) {
    for (name, value) in figures {
        let name = match name.split_once('.') {
            _ if !name.starts_with("storm") => name,
            None => format!("{name}.{suffix}"),
            Some((first, rest)) => format!("{first}.{suffix}.{rest}"),
        };
        rounds.entry(name).or_default().push(value);
    }
}

/// What changes from round to round.
fn timed(bench: &Bench, rounds: &mut Rounds, count: usize) {
    for round in 0..count {
        let mut runs: Vec<_> = RUNS.to_vec();
        if round % 2 == 1 {
            runs.reverse();
        }
        for (host, args) in runs {
            let suffix = args.first().copied().unwrap_or_default();
            add(rounds, suffix, bench.run(host, args));
        }
    }
}

/// What is the same in every round.
fn counted(bench: &Bench, rounds: &mut Rounds) {
    add(rounds, "", idle_threads(bench, 1000));
    for what in ["syscalls", "allocations"] {
        add(rounds, "", bench.run("border", &[what]));
    }
    let mut one = |name: &str, value: f64| add(rounds, "", Figures::from([(name.to_string(), value)]));
    one("file", bench.library_bytes() as f64 / 1024.0);
    if have_tool("valgrind") {
        one("instructions", bench.instructions_of_call("call", "plain"));
        one("lines", bench.lines_shared()[0] as f64);
    }
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A row of the table, and whether its limit was kept.
fn print(row: &Row, rounds: &Rounds) -> bool {
    if COUNTED_BY_VALGRIND.contains(&row.figure) && !have_tool("valgrind") {
        println!("| {} | not measured: valgrind is missing | | | |", row.what);
        return true;
    }
    let of = |name| rounds.get(name).unwrap_or_else(|| panic!("{}: no host says {name}", row.what));
    let (values, zero) = (of(row.figure), vec![0.0]);
    let beside = row.beside.map_or(&zero, of);
    let figure = |pick: fn(&[f64]) -> f64| pick(values) - pick(beside);
    let plain = row.beside.map_or_else(String::new, |_| number(least(beside)));
    let kept = figure(least) <= row.limit;
    let limit = match row.limit.is_finite() {
        true => format!("<= {} {}", row.limit, row.unit).trim_end().to_string(),
        false => String::new(),
    };
    let missed = if kept { "" } else { " **missed**" };
    let [least, median] = [least, median].map(|pick| number(figure(pick)));
    println!("| {} | {least} {} | {median} | {plain} | {limit}{missed} |", row.what, row.unit);
    kept
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0..0.005 => "0".to_string(),
        0.005..100.0 => format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_string(),
        _ => format!("{value:.0}"),
    }
}

/// How many processes want to run, on average of the last minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_string()
}

#[test]
#[ignore = "takes a quiet machine: make bench"]
fn figures_of_a_release() {
    let count = std::env::var("BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(7);
    let bench = Bench::open();
    let before = load();
    let mut rounds = Rounds::new();
    timed(&bench, &mut rounds, count);
    counted(&bench, &mut rounds);
    println!("\n| {count} rounds | min | median | plain | target |\n|---|---:|---:|---:|---|");
    let missed = ROWS.iter().filter(|row| !print(row, &rounds)).count();
    println!(
        "\n{missed} targets missed. Load average before {before}, after {}: at more than 1 or 2, others",
        load()
    );
    println!("were at work on this machine and the times say little.");
}
