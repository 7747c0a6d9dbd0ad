//! What the tests of the delivered files share: commands, and directories to work in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

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

/// The sample plugin in Rust, built once.
pub fn plugin() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let dir = support::target_dir().join("face");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // Not the flags and the profile of this test's own build.
        run(Command::new(cargo)
            .current_dir(support::root().join("c_host/plugins/rust"))
            .args(["build", "--offline", "--locked", "--quiet", "--release", "--target-dir"])
            .arg(&dir)
            .env_remove("RUSTFLAGS"));
        dir.join("release/libplugin.so")
    })
}

/// Puts a copy of [`plugin`] where the hosts find it.
pub fn place_plugin(workshop: &support::build::Workshop, name: &str) {
    let path = workshop.dir.join(name);
    // Another file, and not the old one's bytes: a copy of it may be loaded.
    let _ = fs::remove_file(&path);
    fs::copy(plugin(), path).expect("the workshop can be written to");
}
