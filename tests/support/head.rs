//! A scenario's head comment: what it proves, how it is built and run, what is expected.
//!
//! ```text
//! /* EnsureDropM: a thread's M goes back when the thread ends, and the next thread gets it.
//!  * source: Go TestEnsureDropM
//!  * args: sequential
//!  * stdout: OK
//!  * case cancel
//!  * args: cancel
//!  */
//! ```
//!
//! The first line names the scenario; prose may follow. Then come keys, one a line. Keys before the first
//! `case NAME` line hold for all cases, which add to them; without such a line the file is one case.
//!
//! | Key | Meaning |
//! |---|---|
//! | `source:` | where the scenario comes from |
//! | `also: f.c` | further sources of the host, in the same directory |
//! | `library: f.c` | built as `f.so`, which the host finds in `$SCENARIO_DIR` |
//! | `plugin: f.c` | the same, linked with libwharf |
//! | `static: f.c` | built as `f_static.so`, with libwharf.a in it |
//! | `cflags:` | further flags for compiler and linker |
//! | `linked: yes`, `linked: static` | the host is linked with libwharf, or has it in it, instead of opening it |
//! | `args:`, `env: X=Y`, `timeout:` | arguments, environment (`X=` alone takes it away), seconds (default 20) |
//! | `wrap: tool ...` | run under a tool; the host and its arguments follow; `'...'` keeps words together |
//! | `needs: tool`, `needs: -flag` | skipped where the tool, or what the compiler wants for the flag, is missing; with `CI=true` that is a failure |
//! | `needs: function()` | skipped for a target whose C library lacks what the function does; so are hosts in C++ without a compiler |
//! | `arch: x86_64` | not for other CPUs |
//! | `serial: yes` | nothing else runs beside it |
//! | `status: 0`, `status: signal SIGABRT` | how it ends (default 0) |
//! | `stdout: regex` | exactly these lines, one key a line, in this order |
//! | `table: f.txt` | stdout is that file, but for spaces at the ends of lines |
//! | `stdout~ regex`, `stdout!~ regex` | matches somewhere, nowhere; `\n` and `\t` are understood |
//! | `json: yes` | every line of stdout is a JSON object |
//! | `stderr: stderr~ stderr!~` | the same; a stream without any key must stay empty |
//! | `frames: a b\|c <libc> <end>` | the panic's trace is well formed and names these functions in this order; any function of the C library; nothing more |
//! | `symbols: yes` | the offsets of the host's frames in that trace name the same functions to addr2line |

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// By this exit status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

/// What a stream must and must not hold.
#[derive(Clone, Default)]
pub struct Expected {
    /// Every line, in order.
    pub lines: Vec<String>,
    /// Each matches somewhere.
    pub holds: Vec<String>,
    /// None matches anywhere.
    pub lacks: Vec<String>,
}

/// One run of a host.
#[derive(Clone)]
pub struct Case {
    /// `Scenario` or `Scenario/case`.
    pub name: String,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub wrap: Vec<String>,
    pub needs: Vec<String>,
    pub arch: Vec<String>,
    pub timeout: Duration,
    pub serial: bool,
    pub status: Status,
    pub stdout: Expected,
    pub stderr: Expected,
    /// Functions of the panic's trace, in this order; `a|b` is one of them.
    pub frames: Vec<String>,
    pub symbols: bool,
    pub json: bool,
}

/// A library that a host brings.
pub struct Library {
    pub file: PathBuf,
    pub with: With,
}

/// Which wharf is linked into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum With {
    Nothing,
    Shared,
    Static,
}

/// One host: its sources, and its cases.
pub struct Source {
    /// The name of the main file without its extension.
    pub stem: String,
    pub files: Vec<PathBuf>,
    pub libraries: Vec<Library>,
    pub cflags: Vec<String>,
    pub linked: With,
    pub cases: Vec<Case>,
}

impl Source {
    /// All sources of `dir` that open with a scenario's head comment.
    pub fn find_all(dir: &Path) -> Result<Vec<Source>, String> {
        let mut paths: Vec<PathBuf> = fs::read_dir(dir)
            .map_err(|error| format!("{}: {error}", dir.display()))?
            .map(|entry| entry.expect("the directory can be read").path())
            .filter(|path| path.extension().is_some_and(|end| end == "c" || end == "cpp"))
            .collect();
        paths.sort();
        let mut sources = Vec::new();
        let mut parts = Vec::new();
        for path in &paths {
            let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            match head_of(&text) {
                Some(head) => {
                    sources.push(parse(path, head).map_err(|why| format!("{}: {why}", path.display()))?)
                }
                None => parts.push(path),
            }
        }
        for part in parts {
            let used = sources.iter().any(|one| {
                one.files.contains(part) || one.libraries.iter().any(|library| library.file == **part)
            });
            if !used {
                return Err(format!("{}: no head comment, and no scenario names it", part.display()));
            }
        }
        Ok(sources)
    }

    /// The source with those of its cases whose name holds `part`, if there is one.
    pub fn only(mut self, part: &str) -> Option<Source> {
        self.cases.retain(|case| case.name.contains(part));
        (!self.cases.is_empty()).then_some(self)
    }
}

/// The head comment's inside, if the file opens with `/* Name: `.
fn head_of(text: &str) -> Option<&str> {
    let head = text.strip_prefix("/* ")?.split_once("*/")?.0;
    let (name, _) = head.split_once(": ")?;
    name.chars().all(|c| c.is_ascii_alphanumeric()).then_some(head)
}

fn parse(path: &Path, head: &str) -> Result<Source, String> {
    let dir = path.parent().expect("a file stands in a directory");
    let (name, _) = head.split_once(": ").expect("head_of looked for it");
    let mut source = Source {
        stem: path.file_stem().expect("a file has a name").to_string_lossy().into_owned(),
        files: vec![path.to_path_buf()],
        libraries: Vec::new(),
        cflags: Vec::new(),
        linked: With::Nothing,
        cases: Vec::new(),
    };
    let mut shared = Case::new(name);
    let mut in_keys = false;
    for line in head.lines().skip(1) {
        let line = line.trim_start();
        let line = line.strip_prefix('*').unwrap_or(line);
        let line = line.strip_prefix(' ').unwrap_or(line).trim_end();
        if let Some(case) = line.strip_prefix("case ") {
            source.cases.push(Case { name: format!("{name}/{case}"), ..shared.clone() });
        } else if let Some((key, value)) = split_key(line) {
            in_keys = true;
            let first = source.cases.is_empty();
            let case = source.cases.last_mut().unwrap_or(&mut shared);
            if key == "table" {
                let table = fs::read_to_string(dir.join(value)).map_err(|e| format!("{value}: {e}"))?;
                case.stdout.lines.extend(table.lines().map(literal));
                continue;
            }
            let known = case.set(key, value)? || first && source.set(dir, key, value);
            if !known {
                return Err(format!("unknown or misplaced key: {line}"));
            }
        } else if in_keys && !line.is_empty() {
            return Err(format!("prose after the keys: {line}"));
        }
    }
    if source.cases.is_empty() {
        source.cases.push(shared);
    }
    let mut files = source.files.iter().chain(source.libraries.iter().map(|library| &library.file));
    if files.any(|file| file.extension().is_some_and(|end| end == "cpp")) {
        source.cases.iter_mut().for_each(|case| case.needs.push("c++".to_string()));
    }
    Ok(source)
}

/// A regex for exactly this line, and spaces after it.
fn literal(line: &str) -> String {
    let escape = |c: char| match c {
        '_' | ' ' => c.to_string(),
        c if c.is_ascii_alphanumeric() => c.to_string(),
        c => format!("\\{c}"),
    };
    line.trim_end().chars().map(escape).collect::<String>() + " *"
}

/// `key: value`, `key~ value` or `key!~ value`; the key keeps its sign, but not a colon.
fn split_key(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(' ').unwrap_or((line, ""));
    let word = key.trim_end_matches(['!', '~', ':']);
    let sign = &key[word.len()..];
    let is_key =
        !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase()) && ["~", "!~", ":"].contains(&sign);
    is_key.then(|| (key.trim_end_matches(':'), value))
}

impl Source {
    fn bring(&mut self, dir: &Path, files: &str, with: With) {
        let library = |file| Library { file: dir.join(file), with };
        self.libraries.extend(files.split_whitespace().map(library));
    }

    /// Takes a key that holds for the whole file; false if it is not one.
    fn set(&mut self, dir: &Path, key: &str, value: &str) -> bool {
        match key {
            "source" => {}
            "also" => self.files.extend(value.split_whitespace().map(|file| dir.join(file))),
            "library" => self.bring(dir, value, With::Nothing),
            "plugin" => self.bring(dir, value, With::Shared),
            "static" => self.bring(dir, value, With::Static),
            "cflags" => self.cflags.extend(words(value)),
            "linked" if value == "yes" => self.linked = With::Shared,
            "linked" if value == "static" => self.linked = With::Static,
            _ => return false,
        }
        true
    }
}

impl Case {
    fn new(name: &str) -> Case {
        Case {
            name: name.to_string(),
            args: Vec::new(),
            env: Vec::new(),
            wrap: Vec::new(),
            needs: Vec::new(),
            arch: Vec::new(),
            timeout: Duration::from_secs(20),
            serial: false,
            status: Status::Exit(0),
            stdout: Expected::default(),
            stderr: Expected::default(),
            frames: Vec::new(),
            symbols: false,
            json: false,
        }
    }

    /// Takes a key that holds for a case; false if it is not one.
    fn set(&mut self, key: &str, value: &str) -> Result<bool, String> {
        match key {
            "args" => self.args.extend(words(value)),
            "env" => {
                let (name, value) = value.split_once('=').ok_or_else(|| format!("env without =: {value}"))?;
                self.env.push((name.to_string(), value.to_string()));
            }
            "wrap" => self.wrap.extend(words(value)),
            "needs" => self.needs.extend(words(value)),
            "arch" => self.arch.extend(words(value)),
            "timeout" => {
                let seconds = value.parse().map_err(|error| format!("timeout {value}: {error}"))?;
                self.timeout = Duration::from_secs(seconds);
            }
            "serial" => self.serial = value == "yes",
            "symbols" => self.symbols = value == "yes",
            "json" => self.json = value == "yes",
            "status" => self.status = status(value)?,
            "frames" => self.frames.extend(words(value)),
            "stdout" => self.stdout.lines.push(value.to_string()),
            "stdout~" => self.stdout.holds.push(value.to_string()),
            "stdout!~" => self.stdout.lacks.push(value.to_string()),
            "stderr" => self.stderr.lines.push(value.to_string()),
            "stderr~" => self.stderr.holds.push(value.to_string()),
            "stderr!~" => self.stderr.lacks.push(value.to_string()),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The signals that a host may die of by their names.
pub const SIGNALS: [(&str, i32); 10] = [
    ("SIGABRT", libc::SIGABRT),
    ("SIGSEGV", libc::SIGSEGV),
    ("SIGBUS", libc::SIGBUS),
    ("SIGFPE", libc::SIGFPE),
    ("SIGILL", libc::SIGILL),
    ("SIGTRAP", libc::SIGTRAP),
    ("SIGKILL", libc::SIGKILL),
    ("SIGTERM", libc::SIGTERM),
    ("SIGPIPE", libc::SIGPIPE),
    ("SIGSYS", libc::SIGSYS),
];

fn status(value: &str) -> Result<Status, String> {
    if let Some(name) = value.strip_prefix("signal ") {
        let known = SIGNALS.iter().find(|(known, _)| *known == name);
        return known
            .map(|(_, number)| Status::Signal(*number))
            .ok_or_else(|| format!("unknown signal {name}"));
    }
    value.parse().map(Status::Exit).map_err(|error| format!("status {value}: {error}"))
}

/// Words between blanks; single quotes keep words together.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in text.split('\'').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_string());
        } else {
            words.extend(part.split_whitespace().map(String::from));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(head: &str) -> Result<Source, String> {
        parse(Path::new("dir/some_name.c"), head)
    }

    #[test]
    fn cases_add_to_what_is_shared() {
        let source = parsed(
            "Name: says\n * more.\n * args: a\n * linked: yes\n * case one\n * args: 'b c'\n * status: 3\n * case two\n",
        );
        let source = source.expect("well written");
        assert_eq!(source.linked, With::Shared);
        let [one, two] = &source.cases[..] else { panic!("two cases") };
        assert_eq!((one.name.as_str(), two.name.as_str()), ("Name/one", "Name/two"));
        assert_eq!(one.args, ["a", "b c"]);
        assert_eq!(one.status, Status::Exit(3));
        assert_eq!(two.args, ["a"]);
        assert_eq!(two.status, Status::Exit(0));
    }

    #[test]
    fn slips_of_the_pen_are_found() {
        for head in [
            "Name: says\n * sttaus: 0\n",
            "Name: says\n * status: 0\n * and more prose\n",
            "Name: says\n * status: signal SIGNOTHING\n",
            "Name: says\n * case one\n * linked: yes\n",
            "Name: says\n * timeout: soon\n",
        ] {
            assert!(parsed(head).is_err(), "{head}");
        }
    }

    #[test]
    fn only_a_named_head_makes_a_scenario() {
        assert!(head_of("/* Name: says\n */\n").is_some());
        assert!(head_of("/* The other half of something. */\n").is_none());
        assert!(head_of("#include <stdio.h>\n").is_none());
    }
}
