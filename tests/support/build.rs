//! Compiles the hosts into `target/scenarios`, when they or their flags have changed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use super::head::{Source, With};
use super::target::{Target, target};
use super::{root, shown, target_dir};

/// What every host is compiled with. There is no library here: hosts open it.
const FLAGS: &[&str] = &[
    "-g",
    "-O1",
    "-D_GNU_SOURCE",
    "-fno-omit-frame-pointer",
    "-pthread",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Iinclude",
    "-Ic_host",
    "-Ic_host/plugins",
];

/// Where hosts are built, and the library they are run with.
pub struct Workshop {
    /// The library under test.
    pub library: PathBuf,
    /// What it and the hosts are compiled for.
    pub target: &'static Target,
    /// Where the built hosts stand.
    pub dir: PathBuf,
    /// What the hosts are compiled with beside what all are.
    flags: &'static [&'static str],
    headers: Option<SystemTime>,
}

impl Workshop {
    /// Finds the library (`WHARF_LIB`, else what `make lib` builds), and makes the directory.
    pub fn open() -> Result<Workshop, String> {
        Workshop::open_variant("scenarios", &[])
    }

    /// As [`open`](Workshop::open) for hosts with further flags, which stand in a directory of their own.
    pub fn open_variant(name: &str, flags: &'static [&'static str]) -> Result<Workshop, String> {
        let library = match std::env::var_os("WHARF_LIB") {
            Some(path) => PathBuf::from(path),
            None => make_lib()?,
        };
        Workshop::of(target(), &library, name, flags)
    }

    /// The same for any target, and a library that is there.
    pub fn of(
        target: &'static Target,
        library: &Path,
        name: &str,
        flags: &'static [&'static str],
    ) -> Result<Workshop, String> {
        let library = fs::canonicalize(library).map_err(|error| format!("{}: {error}", library.display()))?;
        let dir = target_dir().join(target.suffixed(name));
        fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let headers = ["include", "c_host", "c_host/scenarios", "c_host/plugins"]
            .iter()
            .flat_map(|dir| headers_in(&root().join(dir)))
            .max();
        Ok(Workshop { library, target, dir, flags, headers })
    }

    /// Builds the host of a scenario, and the libraries that it brings.
    pub fn build(&self, source: &Source) -> Result<PathBuf, String> {
        for library in &source.libraries {
            let stem = library.file.file_stem().expect("a file has a name").to_string_lossy();
            let flags = ["-shared".to_string(), "-fPIC".to_string()];
            let end = if library.with == With::Static { "_static" } else { "" };
            let out = self.dir.join(format!("{stem}{end}.so"));
            let last = self.linked(library.with, "-lgcc_s");
            self.compile(std::slice::from_ref(&library.file), &flags, &out, &last)?;
        }
        let host = self.dir.join(&source.stem);
        self.compile(&source.files, &source.cflags, &host, &self.linked(source.linked, "-lgcc_eh"))?;
        Ok(host)
    }

    /// What is linked last. `unwinder`: what a wharf inside takes.
    fn linked(&self, with: With, unwinder: &str) -> Vec<String> {
        let dir = self.library.parent().expect("a file stands in a directory");
        let beside = |name| dir.join(name).display().to_string();
        let mut last = match with {
            With::Nothing => Vec::new(),
            With::Shared => {
                vec![self.library.display().to_string(), format!("-Wl,-rpath,{}", dir.display())]
            }
            // It stands there for targets without a libgcc_s.
            With::Static if dir.join("unwinder.a").exists() => {
                vec![beside("libwharf.a"), beside("unwinder.a")]
            }
            With::Static => vec![beside("libwharf.a"), unwinder.to_string()],
        };
        last.extend(["-ldl", "-lm"].map(String::from));
        last
    }

    fn compile(
        &self,
        files: &[PathBuf],
        flags: &[String],
        out: &Path,
        last: &[String],
    ) -> Result<(), String> {
        let cpp = files.iter().any(|file| file.extension().is_some_and(|end| end == "cpp"));
        let mut command = compiler_of(self.target, cpp);
        if !flags.iter().any(|flag| flag == "-static-pie") {
            command.args(self.target.loaded);
        }
        if !self.target.runner.is_empty() {
            command.arg("-DEMULATED=1");
        }
        command
            .current_dir(root())
            .args(FLAGS)
            .args(self.flags)
            .args(flags)
            .args(files)
            .arg("-o")
            .arg(out)
            .args(last);
        let line = shown(&command);
        let record = PathBuf::from(format!("{}.command", out.display()));
        // What is linked may be an archive.
        let used = files.iter().map(PathBuf::as_path).chain(last.iter().map(Path::new));
        let newest = used.map(changed).chain(files.iter().map(|file| included(file))).max();
        let newest = newest.flatten().max(self.headers);
        if changed(out) >= newest && fs::read_to_string(&record).is_ok_and(|before| before == line) {
            return Ok(());
        }
        let output = command.output().map_err(|error| format!("{line}: {error}"))?;
        if !output.status.success() {
            return Err(format!("{line}\n{}", String::from_utf8_lossy(&output.stderr)));
        }
        fs::write(&record, &line).map_err(|error| format!("{}: {error}", record.display()))
    }
}

/// The C or C++ compiler: the target's; for this machine what `CC` or `CXX` names, as for make, else what the `cc`
/// package finds.
pub fn compiler(cpp: bool) -> Command {
    let mut command = compiler_of(target(), cpp);
    command.args(target().loaded);
    command
}

fn compiler_of(target: &Target, cpp: bool) -> Command {
    if !target.tools.is_empty() {
        let mut command = Command::new(format!("{}{}", target.tools, if cpp { "g++" } else { "gcc" }));
        command.args(target.flags);
        return command;
    }
    // `cc` is made for build scripts, which cargo tells these.
    let machine = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build = cc::Build::new();
    build.target(&machine).host(&machine).opt_level(1).cargo_metadata(false);
    let found = build.no_default_flags(true).cpp(cpp).get_compiler();
    // Not its `to_command`, which brings the whole environment into every message.
    let mut command = Command::new(found.path());
    command.args(found.args());
    command
}

/// Whether the C compiler makes programs with this flag.
pub fn takes_flag(flag: &str) -> bool {
    let mut command = compiler(false);
    command.args([flag, "-o", "/dev/null", "-xc", "-"]).stderr(Stdio::null()).stdin(Stdio::piped());
    let Ok(mut child) = command.spawn() else { return false };
    let written =
        child.stdin.take().is_some_and(|mut text| text.write_all(b"int main(void) { return 0; }").is_ok());
    child.wait().is_ok_and(|status| status.success()) && written
}

/// The library that `make lib` builds, which has been done then.
fn make_lib() -> Result<PathBuf, String> {
    let of_target = format!("TARGET={}", target().name);
    let output = Command::new("make").args(["-s", "lib", &of_target]).current_dir(root()).output();
    let output = output.map_err(|error| format!("make -s lib: {error}"))?;
    if !output.status.success() {
        return Err(format!("make -s lib failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(target().library())
}

fn headers_in(dir: &Path) -> Vec<SystemTime> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "h" || end == "hpp"))
        .filter_map(|path| changed(&path))
        .collect()
}

/// When the last of the sources beside it that it includes has changed.
fn included(file: &Path) -> Option<SystemTime> {
    let text = fs::read_to_string(file).ok()?;
    let names = text.lines().filter_map(|line| line.strip_prefix("#include \"")?.strip_suffix('"'));
    names.map(|name| changed(&file.with_file_name(name))).max().flatten()
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}
