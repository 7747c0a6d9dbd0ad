//! `make soak`: the scenarios of start, stop, unloading, fork, exit and thread ends, again and again, on two processors that
//! have other work, too. `SOAK_ROUNDS` is the number of rounds. The result is kept in `tests/soak.txt`.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use support::build::Workshop;
use support::head::{Case, Source};
use support::{Outcome, in_parallel, run};

const SCENARIOS: [&str; 22] = [
    "CallbackInInit",
    "Copies",
    "EnsureBindM",
    "EnsureDropM",
    "Failures",
    "FirstCalls",
    "Fork",
    "HandlerAttach",
    "KeyRounds",
    "Limits",
    "ProcessEnd",
    "Reload",
    "Spawn",
    "StopBasics",
    "StopDump",
    "StopRaces",
    "StopStorm",
    "StopStormTsan",
    "ThreadEnd",
    "ThreadExit",
    "Trim",
    "Unload",
];

/// How many cases run beside each other, and beside how many threads that only take time.
const BESIDE: usize = 12;
const LOAD: usize = 2;

/// What the hosts have counted, by name: their lines `tally: ok=3 stopped=4`.
type Tally = BTreeMap<String, u64>;

#[test]
#[ignore = "takes an hour: make soak"]
fn soak() {
    let rounds = std::env::var("SOAK_ROUNDS").map_or(100, |rounds| rounds.parse().expect("a number"));
    use_two_processors();
    let workshop = Workshop::open().expect("the library under test is there");
    let (cases, missing) = cases(&workshop);
    assert!(missing.is_empty(), "no scenarios of these names: {missing:?}");

    let over = AtomicBool::new(false);
    let (mut tally, mut failed, mut skipped) = (Tally::new(), Vec::new(), 0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..LOAD {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        for round in 0..rounds {
            // The storms of the first round are long ones.
            let all = in_parallel(BESIDE, cases.iter().collect(), |(case, host)| {
                let mut case = case.clone();
                if round == 0 {
                    case.env.push(("SOAK".to_string(), "long".to_string()));
                }
                (run::case(&case, Ok(host), &workshop), case)
            });
            for (outcome, case) in all {
                match outcome {
                    Outcome::Passed => add(&mut tally, &case, &workshop),
                    Outcome::Skipped(_) => skipped += 1,
                    Outcome::Failed(why) => {
                        println!("round {round}: {}\n{why}", case.name);
                        failed.push(case.name);
                    }
                }
            }
            println!("round {round}: {} failed, {} s", failed.len(), begun.elapsed().as_secs());
        }
        over.store(true, Ordering::Relaxed);
    });

    let text = result(rounds, cases.len(), skipped, failed.len(), begun.elapsed().as_secs(), &tally);
    print!("{text}");
    fs::write(support::root().join("tests/soak.txt"), &text).expect("tests is writable");
    assert!(failed.is_empty(), "{}", failed.join(", "));
}

/// Every case of the scenarios with its host, and the scenarios that are not there.
fn cases(workshop: &Workshop) -> (Vec<(Case, PathBuf)>, Vec<&'static str>) {
    let sources = Source::find_all(&support::root().join("c_host/scenarios"));
    let mut missing = SCENARIOS.to_vec();
    let mut cases = Vec::new();
    for source in sources.expect("the head comments are well written") {
        let name = source.cases[0].name.split('/').next().expect("a name");
        if !SCENARIOS.contains(&name) {
            continue;
        }
        missing.retain(|one| *one != name);
        let host = workshop.build(&source).unwrap_or_else(|why| panic!("does not compile:\n{why}"));
        cases.extend(source.cases.iter().map(|case| (case.clone(), host.clone())));
    }
    (cases, missing)
}

fn add(tally: &mut Tally, case: &Case, workshop: &Workshop) {
    let out = workshop.dir.join("out").join(format!("{}.stdout", case.name.replace('/', ".")));
    let text = fs::read_to_string(out).unwrap_or_default();
    for pair in text.lines().filter_map(|line| line.strip_prefix("tally: ")).flat_map(str::split_whitespace) {
        let (name, count) = pair.split_once('=').expect("name=count");
        *tally.entry(name.to_string()).or_default() += count.parse::<u64>().expect("a count");
    }
}

fn result(rounds: usize, cases: usize, skipped: usize, failed: usize, seconds: u64, tally: &Tally) -> String {
    let mut text = format!(
        "{rounds} rounds of {cases} cases of {} scenarios, {BESIDE} at a time beside {LOAD} spinning threads on two\n\
         processors, {seconds} s: {failed} failed, {skipped} skipped.\n\nCounted by the storms and the failing calls:\n",
        SCENARIOS.len()
    );
    for (name, count) in tally {
        let _ = writeln!(text, "  {name} {count}");
    }
    text
}

/// This process and its children run on two of its processors.
fn use_two_processors() {
    // SAFETY: all-zero is an empty set; both calls get its size.
    unsafe {
        let mut have: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of_val(&have), &mut have);
        let mut two: libc::cpu_set_t = std::mem::zeroed();
        let all = 0..libc::CPU_SETSIZE as usize;
        for number in all.filter(|number| libc::CPU_ISSET(*number, &have)).take(2) {
            libc::CPU_SET(number, &mut two);
        }
        libc::sched_setaffinity(0, size_of_val(&two), &two);
    }
}
