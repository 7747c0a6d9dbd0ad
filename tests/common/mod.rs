//! What the tests of the delivered files share: commands, and directories to work in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support;

/// Runs to the end, whatever that is.
pub fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What the command writes to its stdout; it must succeed.
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{command:?}\n{}\n{out}{err}", output.status);
    out
}

/// The directory of the libraries under test, freshly made where they were out of date.
pub fn libraries() -> PathBuf {
    let workshop = support::build::Workshop::open().expect("the library under test is there");
    workshop.library.parent().expect("a file stands in a directory").to_path_buf()
}

/// `make` with arguments, for the libraries in `out`.
pub fn make(out: &Path, args: &[&str]) -> String {
    run(Command::new("make").current_dir(support::root()).arg(format!("OUT={}", out.display())).args(args))
}

/// An empty directory of this test's own.
pub fn fresh_dir(name: &str) -> PathBuf {
    let dir = support::target_dir().join("tests").join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    dir
}
