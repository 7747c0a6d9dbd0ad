//! Compiles the hosts into `target/scenarios`, when they or their flags have changed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use super::head::{Source, With};
use super::target::target;
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
    /// Where the built hosts stand.
    pub dir: PathBuf,
    headers: Option<SystemTime>,
}

impl Workshop {
    /// Finds the library (`WHARF_LIB`, else what `make lib` builds), and makes the directory.
    pub fn open() -> Result<Workshop, String> {
        let library = match std::env::var_os("WHARF_LIB") {
            Some(path) => PathBuf::from(path),
            None => make_lib()?.join("libwharf.so.0"),
        };
        let library =
            fs::canonicalize(&library).map_err(|error| format!("{}: {error}", library.display()))?;
        let dir = target_dir().join(target().suffixed("scenarios"));
        fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let headers = ["include", "c_host", "c_host/scenarios", "c_host/plugins"]
            .iter()
            .flat_map(|dir| headers_in(&root().join(dir)))
            .max();
        Ok(Workshop { library, dir, headers })
    }

    /// Builds the host of a scenario, and the libraries that it brings.
    pub fn build(&self, source: &Source) -> Result<PathBuf, String> {
        for library in &source.libraries {
            let stem = library.file.file_stem().expect("a file has a name").to_string_lossy();
            let flags = ["-shared".to_string(), "-fPIC".to_string()];
            let (end, last) = match library.with {
                With::Nothing => ("", Vec::new()),
                With::Shared => ("", self.link_flags()),
                With::Static => {
                    let beside = |name| self.library.with_file_name(name);
                    let archive = beside("libwharf.a").display().to_string();
                    // It stands there for targets without a libgcc_s.
                    let unwinder = Some(beside("unwinder.a")).filter(|path| path.exists());
                    let unwinder = unwinder.map_or("-lgcc_s".to_string(), |path| path.display().to_string());
                    ("_static", [&archive, &unwinder, "-ldl", "-lm"].map(String::from).to_vec())
                }
            };
            let out = self.dir.join(format!("{stem}{end}.so"));
            self.compile(std::slice::from_ref(&library.file), &flags, &out, &last)?;
        }
        let mut last = vec!["-ldl".to_string(), "-lm".to_string()];
        if source.linked {
            last.extend(self.link_flags());
        }
        let host = self.dir.join(&source.stem);
        self.compile(&source.files, &source.cflags, &host, &last)?;
        Ok(host)
    }

    fn link_flags(&self) -> Vec<String> {
        let dir = self.library.parent().expect("a file stands in a directory");
        vec![self.library.display().to_string(), format!("-Wl,-rpath,{}", dir.display())]
    }

    fn compile(
        &self,
        files: &[PathBuf],
        flags: &[String],
        out: &Path,
        last: &[String],
    ) -> Result<(), String> {
        let cpp = files.iter().any(|file| file.extension().is_some_and(|end| end == "cpp"));
        let mut command = compiler(cpp);
        command.current_dir(root()).args(FLAGS).args(flags).args(files).arg("-o").arg(out).args(last);
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
    if !target().tools.is_empty() {
        let mut command = Command::new(format!("{}{}", target().tools, if cpp { "g++" } else { "gcc" }));
        command.args(target().flags);
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

/// The directory of what `make lib` builds, which has been done then.
fn make_lib() -> Result<PathBuf, String> {
    let of_target = format!("TARGET={}", target().name);
    let output = Command::new("make").args(["-s", "lib", &of_target]).current_dir(root()).output();
    let output = output.map_err(|error| format!("make -s lib: {error}"))?;
    if !output.status.success() {
        return Err(format!("make -s lib failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(root().join("target").join(target().suffixed("wharf")))
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
