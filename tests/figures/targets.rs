//! The table of the other targets: what a warm call takes there, the library's size, and the time to load it.

use super::Bench;
use super::rows::ROWS;
use crate::support;
use support::build::Workshop;
use support::have_tool;
use support::target::{TARGETS, Target};

/// Prints a row for each target of the scenarios', or what is missing for it. How many miss the limit.
pub fn print() -> usize {
    println!(
        "\n| other targets | warm call, instructions | library, stripped | dlopen, start and first call |"
    );
    println!("|---|---:|---:|---:|");
    TARGETS.iter().filter(|target| !print_one(target)).count()
}

/// Whether the limit was kept, as far as is known.
fn print_one(target: &'static Target) -> bool {
    if let Some(why) = missing(target) {
        println!("| {} | not measured: {why} | | |", target.name);
        return true;
    }
    let bench = Bench {
        workshop: Workshop::of(target, &target.library(), "scenarios", &[]).expect("its library is there"),
    };
    let instructions = bench.instructions_of_call();
    let row = ROWS.iter().find(|row| row.figure == "instructions").expect("there is such a row");
    let kept = instructions <= row.limit;
    let missed = if kept { "" } else { " **missed**" };
    // An emulator's time is its own.
    let load = match target.runner {
        [] => format!("{:.0} µs", bench.run("idle", &["runtime"])["load.us"]),
        _ => "emulated".to_string(),
    };
    let size = bench.kib_of_library();
    println!("| {} | {instructions:.0}, <= {}{missed} | {size:.0} KiB | {load} |", target.name, row.limit);
    kept
}

/// What a target lacks here.
fn missing(target: &Target) -> Option<String> {
    let compiler = format!("{}gcc", target.tools);
    let runner = target.runner.first().copied().unwrap_or("valgrind");
    let tool = [compiler.as_str(), runner].into_iter().find(|tool| !have_tool(tool));
    let tool = tool.map(|tool| format!("{tool} is missing"));
    let library = (!target.library().exists()).then(|| format!("make lib TARGET={}", target.name));
    tool.or(library)
}
