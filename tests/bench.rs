//! `make bench`: the figures of a release, in one table, with what each must not exceed.
//!
//! Contenders take turns, in the hosts and in the rounds. The figure is the difference to the same program with a
//! plain function pointer where a row names one: least round less least round (what the machine adds only adds),
//! and median less median, which shows how bad the noise was. `BENCH_ROUNDS` is the number of rounds.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

#[allow(dead_code, reason = "made for the tests of the delivered files")]
mod common;

#[allow(dead_code, reason = "made for two tests")]
mod figures;

use std::collections::BTreeMap;

use figures::rows::{ROWS, Row};
use figures::{Bench, Figures, targets};
use support::have_tool;

/// The hosts of a round, with their arguments.
const RUNS: [(&str, &[&str]); 8] = [
    ("calls", &[]),
    ("attach", &[]),
    ("attach", &["1000"]),
    ("attach", &["4000"]),
    ("idle", &["runtime"]),
    ("panics", &[]),
    ("rust", &[]),
    ("death", &[]),
];

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
    if row.takes_valgrind() && !have_tool("valgrind") {
        println!("| {} | not measured: valgrind is missing | | | |", row.what);
        return true;
    }
    let figure = |pick: fn(&[f64]) -> f64| row.value(|name| Some(pick(rounds.get(name)?)));
    let plain = row.beside.map_or_else(String::new, |name| number(least(&rounds[name])));
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
    common::place_plugin(&bench.workshop, "face_a.so");
    let before = load();
    let mut rounds = Rounds::new();
    timed(&bench, &mut rounds, count);
    add(&mut rounds, "", bench.counted());
    println!("\n| {count} rounds | min | median | plain | target |\n|---|---:|---:|---:|---|");
    let missed = ROWS.iter().filter(|row| !print(row, &rounds)).count();
    println!(
        "\n{missed} targets missed. Load average before {before}, after {}: at more than 1 or 2, others",
        load()
    );
    println!("were at work on this machine and the times say little.");
}

#[test]
#[ignore = "takes emulators: make bench"]
fn figures_of_other_targets() {
    let missed = targets::print();
    println!("\n{missed} targets missed.");
}
