//! The driver of the scenarios: `head` reads what is expected, `build` compiles, `run` runs, `check` compares.

pub mod build;
pub mod check;
pub mod head;
pub mod regex;
pub mod run;

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

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
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
