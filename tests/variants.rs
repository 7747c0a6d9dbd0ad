//! Hosts as their compilers make them by other flags: the scenarios that cross the border, attach, panic and fault, once
//! more for each set of flags that a CPU's compiler has for its callers' code.

#[allow(dead_code, reason = "made for the scenarios")]
mod support;

use support::build::Workshop;
use support::head::Source;
use support::target::target;
use support::{Outcome, in_parallel, run};

/// How many cases run beside each other.
const BESIDE: usize = 2;

/// They name no frames of a trace, and unwind nothing of the host's.
const WITHOUT_TABLES: [&str; 8] = [
    "Callback",
    "CgoCallbackX15",
    "Cthread",
    "EnsureBindM",
    "EnsureDropM",
    "FirstCalls",
    "FloatState",
    "TailCall",
];

/// These do.
const WITH_TABLES: [&str; 10] = [
    "CallbackPanicLoop",
    "CgoExternalThreadPanic",
    "CxxException",
    "Fault/host",
    "Fault/segv",
    "FaultPanic",
    "PanicFrames",
    "PanicRecover",
    "SeedOnHost",
    "SymbolicFunctions",
];

#[test]
fn variants() {
    let sources = Source::find_all(&support::root().join("c_host/scenarios"))
        .expect("the head comments are well written");
    let mut failed = Vec::new();
    for variant in target().variants {
        let is_in = |list: &[&str], case: &str| {
            list.iter().any(|one| {
                case.strip_prefix(one).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let chosen =
            |case: &str| is_in(&WITHOUT_TABLES, case) || variant.has_tables && is_in(&WITH_TABLES, case);
        let workshop = Workshop::open_variant(&format!("variant-{}", variant.name), variant.flags)
            .expect("the library under test is there");
        let outcomes = in_parallel(BESIDE, sources.iter().collect(), |source: &Source| {
            let cases: Vec<_> = source.cases.iter().filter(|case| chosen(&case.name)).collect();
            if cases.is_empty() {
                return Vec::new();
            }
            let host = workshop.build(source);
            let told = |name: &str, outcome: Outcome| outcome.told(&format!("{name} ({})", variant.name));
            cases.iter().map(|case| told(&case.name, run::case(case, host.as_ref(), &workshop))).collect()
        });
        let count = |of: fn(&Outcome) -> bool| outcomes.iter().flatten().filter(|one| of(one)).count();
        let passed = count(|one| matches!(one, Outcome::Passed));
        let red = count(|one| matches!(one, Outcome::Failed(_)));
        let skipped = count(|one| matches!(one, Outcome::Skipped(_)));
        println!("{:<20} {passed} passed, {red} failed, {skipped} skipped", variant.name);
        assert!(passed > 0, "{}: nothing was shown", variant.name);
        if red > 0 {
            failed.push(variant.name);
        }
    }
    assert!(failed.is_empty(), "variants with scenarios that failed: {failed:?}");
}
