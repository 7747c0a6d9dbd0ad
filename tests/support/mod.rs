//! The driver of the scenarios: `head` reads what is expected, `build` compiles for `target`, `run` runs, `check`
//! compares.

pub mod build;
pub mod check;
pub mod head;
pub mod json;
pub mod regex;
pub mod run;
pub mod target;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// What became of a case.
pub enum Outcome {
    /// All expectations were met.
    Passed,
    /// It could not run here, and why.
    Skipped(String),
    /// The whole story: what was expected, what came, and how to run it again.
    Failed(String),
}

impl Outcome {
    /// What it comes to that something is missing here: the case is skipped; with `CI=true` it has failed.
    pub fn of_missing(why: String) -> Outcome {
        match std::env::var("CI").as_deref() {
            Ok("true") => Outcome::Failed(why),
            _ => Outcome::Skipped(why),
        }
    }

    /// Says at once, past the harness, what became of a case that did not pass.
    pub fn told(self, name: &str) -> Outcome {
        let line = match &self {
            Outcome::Passed => return self,
            Outcome::Skipped(why) => format!("skipped {name}: {why}\n"),
            Outcome::Failed(why) => format!("FAILED  {name}\n{why}\n").replace('\n', "\n        "),
        };
        drop(writeln!(std::io::stderr(), "\n{}", line.trim_end()));
        self
    }
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files in and below a directory of the repository whose names end in one of `extensions`.
#[allow(dead_code, reason = "for the tests that read the sources")]
pub fn files(under: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(under)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("the directory can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if extensions.iter().any(|end| path.extension().is_some_and(|have| have == *end)) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {under}");
    found
}

/// The directory that builds go to.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Whether `tool` stands in a directory of PATH.
pub fn have_tool(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(tool).is_file())
}

/// Whether a test can go on with `tool`. What that means where it is missing: see [`Outcome::of_missing`].
#[allow(dead_code, reason = "scenarios name their tools in their heads")]
pub fn can_use(tool: &str) -> bool {
    if have_tool(tool) {
        return true;
    }
    match Outcome::of_missing(format!("{tool} is missing")) {
        Outcome::Failed(why) => panic!("{why}"),
        // Shown even where the test passes.
        _ => drop(writeln!(std::io::stderr(), "skipped: {tool} is missing")),
    }
    false
}

/// A command as one would type it, without its environment.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Does `work` on all items, `workers` at a time; the results stand in the order of the items.
pub fn in_parallel<T: Send, R: Send>(workers: usize, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let results = Mutex::new(Vec::new());
    let queue = Mutex::new(items.into_iter().enumerate());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no worker panics with the queue").next();
                    let Some((number, item)) = next else { return };
                    let result = work(item);
                    results.lock().expect("no worker panics with the results").push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("all workers have ended");
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
