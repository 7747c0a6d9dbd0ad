//! Runs the C and C++ hosts of `c_host/scenarios`, each case in a process of its own.
//!
//! What a host proves and what is expected of it stands in its head comment; `support/head.rs` says how
//! that is written. `WHARF_SCENARIO=substring` runs some, `WHARF_LIB=path` names the library under test.

mod support;

use support::build::Workshop;
use support::head::{Case, Source};
use support::{Outcome, in_parallel, run};

/// How many cases run beside each other.
const BESIDE: usize = 2;

#[test]
fn scenarios() {
    let chosen = std::env::var("WHARF_SCENARIO").unwrap_or_default();
    let sources = Source::find_all(&support::root().join("c_host/scenarios"))
        .expect("the head comments are well written");
    let sources: Vec<Source> = sources.into_iter().filter_map(|source| source.only(&chosen)).collect();
    assert!(!sources.is_empty(), "no scenario is named like WHARF_SCENARIO={chosen}");
    let workshop = Workshop::open().expect("the library under test is there");

    let built = in_parallel(BESIDE, sources, |source| {
        let host = workshop.build(&source);
        (source, host)
    });
    let mut shared = Vec::new();
    let mut alone = Vec::new();
    for (source, host) in &built {
        for case in &source.cases {
            let list = if case.serial { &mut alone } else { &mut shared };
            list.push((case, host));
        }
    }
    let told = |(case, host): (&Case, &Result<_, _>)| {
        (run::case(case, host.as_ref(), &workshop).told(&case.name), case.name.clone())
    };
    let mut outcomes = in_parallel(BESIDE, shared, told);
    outcomes.extend(in_parallel(1, alone, told));

    let passed = outcomes.iter().filter(|(one, _)| matches!(one, Outcome::Passed)).count();
    let failed: Vec<_> =
        outcomes.iter().filter(|(one, _)| matches!(one, Outcome::Failed(_))).map(|(_, name)| name).collect();
    let skipped = outcomes.len() - passed - failed.len();
    println!("{passed} passed, {} failed, {skipped} skipped", failed.len());
    assert!(failed.is_empty(), "scenarios that failed: {failed:?}");
}
