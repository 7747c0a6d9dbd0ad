//! Figures: what the hosts of `c_host/bench` measure, and what valgrind counts in them.

pub mod rows;
#[allow(dead_code, reason = "made for the bench")]
pub mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::support;
use support::build::Workshop;
use support::can_use;
use support::head::{Library, Source, With};

/// What hosts count: the same in every run.
const COUNTS: [(&str, &str); 5] = [
    ("border", "steps"),
    ("border", "syscalls"),
    ("border", "allocations"),
    ("border", "stack"),
    ("idle", "runtime"),
];

/// Figures that are known, or nearly: others would say that a counter does not count.
const CONTROLS: [(&str, RangeInclusive<f64>); 7] = [
    ("atomics.control", 3.0..=3.0),
    ("syscalls.control", 1.0..=1.0),
    ("allocations.control", 1.0..=1.0),
    ("stack.control", 512.0..=4096.0),
    ("lines.control", 1.0..=f64::INFINITY),
    // More than the way to a function and back; at least a page for a thread that is tied up.
    ("steps.call", 10.0..=f64::INFINITY),
    ("idle.rss", 1.0..=f64::INFINITY),
];

/// What hosts bring.
const LIBRARIES: [(&str, &str); 3] = [("calls", "bare.c"), ("death", "deep.c"), ("death", "large.c")];

/// Figures by their names.
pub type Figures = BTreeMap<String, f64>;

/// The hosts, built, and the library they open.
pub struct Bench {
    pub workshop: Workshop,
}

impl Bench {
    /// The library of the workshop, as it is delivered.
    pub fn open() -> Bench {
        Bench { workshop: Workshop::open().expect("the library under test is there") }
    }

    /// All that is the same in every run.
    pub fn counted(&self) -> Figures {
        let mut all = self.idle_threads(1000);
        all.extend(COUNTS.iter().flat_map(|(host, what)| self.run(host, &[what])));
        all.insert("file".to_string(), self.kib_of_library());
        if can_use("valgrind") {
            all.insert("instructions".to_string(), self.instructions_of_call());
            let [shared, control] = self.lines_shared();
            all.insert("lines".to_string(), shared as f64);
            all.insert("lines.control".to_string(), control as f64);
        }
        for (name, known) in CONTROLS {
            let right = all.get(name).map_or(name.starts_with("lines"), |figure| known.contains(figure));
            assert!(right, "the counter of {name} does not count: {:?}, not {known:?}", all.get(name));
        }
        all
    }

    fn kib_of_library(&self) -> f64 {
        let library = std::fs::metadata(&self.workshop.library).expect("the library is there");
        library.len() as f64 / 1024.0
    }

    /// Builds the host `c_host/bench/NAME.c`, or `NAME.cpp`.
    fn build(&self, name: &str) -> PathBuf {
        // Tests run beside each other, and want the same hosts.
        static BUILDING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = BUILDING.lock();
        let dir = support::root().join("c_host/bench");
        let stamp = std::fs::metadata(dir.join("bench.h")).and_then(|meta| meta.modified());
        let stamp = stamp.map(|at| format!("-DBENCH_H=\"{at:?}\"")).expect("bench.h is there");
        let file =
            ["c", "cpp"].map(|end| dir.join(format!("{name}.{end}"))).into_iter().find(|file| file.exists());
        let source = Source {
            stem: format!("bench_{name}"),
            files: file.into_iter().collect(),
            libraries: LIBRARIES
                .iter()
                .filter(|(host, _)| *host == name)
                .map(|(_, file)| Library { file: dir.join(file), with: With::Nothing })
                .collect(),
            // Without frame pointers, as programs are; a change of the header is a change of the command.
            cflags: vec!["-O2".to_string(), "-fomit-frame-pointer".to_string(), stamp],
            linked: With::Nothing,
            cases: Vec::new(),
        };
        self.workshop.build(&source).unwrap_or_else(|why| panic!("bench_{name} does not compile:\n{why}"))
    }

    /// A host with its arguments, under a tool if one is named; of an emulator these are options.
    fn command(&self, tool: &[&str], host: &str, args: &[&str]) -> Command {
        let words = self.workshop.target.runner.iter().chain(tool);
        let words: Vec<PathBuf> = words.map(PathBuf::from).chain([self.build(host)]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(args).env("WHARF_LIB", &self.workshop.library);
        command.env("SCENARIO_DIR", &self.workshop.dir).env("LC_ALL", "C");
        command
    }

    /// Runs a host and reads its figures: lines "name value".
    pub fn run(&self, host: &str, args: &[&str]) -> Figures {
        let mut command = self.command(&[], host, args);
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
        let figure = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_string(), value.parse().ok()?))
        };
        text.lines().map(|line| figure(line).unwrap_or_else(|| panic!("no figure: {line}"))).collect()
    }

    /// Instructions per turn of a loop of `bench_calls`, by the difference of two runs.
    fn instructions_of_loop(&self, name: &str) -> f64 {
        // An emulator writes a line for each.
        let more = if self.workshop.target.runner.is_empty() { 10000 } else { 1000 };
        let [short, long] = [1000, 1000 + more].map(|turns: u32| {
            let mut command = self.command(self.counter(), "calls", &["loop", name, &turns.to_string()]);
            let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
            let text = String::from_utf8_lossy(&output.stderr);
            let count = collected(&text).filter(|_| output.status.success());
            count.unwrap_or_else(|| {
                panic!("{command:?}: {}\n{}", output.status, &text[..text.len().min(4096)])
            })
        });
        (long - short) / f64::from(more)
    }

    /// What counts the instructions of a host: callgrind, or the emulator, which notes each block of code that it enters,
    /// here of one instruction.
    fn counter(&self) -> &'static [&'static str] {
        match self.workshop.target.runner {
            [] => &["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"],
            _ => &["-singlestep", "-d", "exec,nochain"],
        }
    }

    /// Instructions of a warm call: what the loop takes more than with a plain function pointer. A whole number: the two
    /// runs begin a few instructions apart.
    fn instructions_of_call(&self) -> f64 {
        (self.instructions_of_loop("call") - self.instructions_of_loop("plain")).round()
    }

    /// What threads that have called take more than threads that have not, per thread and in KiB.
    fn idle_threads(&self, count: u32) -> Figures {
        let count = count.to_string();
        let [plain, calling] = ["plain", "call"].map(|how| self.run("idle", &["threads", &count, how]));
        calling.into_iter().map(|(name, value)| (name.clone(), value - plain[&name])).collect()
    }

    /// What two threads that call in turn touch, four sections of it; see `bench_border lines`.
    fn touched(&self) -> Vec<Section> {
        // Where the host lays its marks.
        const MARK: u64 = 0x57a7_0000_0000;
        let tool = ["valgrind", "--tool=lackey", "--trace-mem=yes"];
        let mut command = self.command(&tool, "border", &["lines"]);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("valgrind starts");
        let mut sections: Vec<Section> = Vec::new();
        let mut inside = false;
        for line in BufReader::new(child.stderr.take().expect("it was just piped")).lines() {
            let line = line.expect("valgrind writes text");
            let Some((kind, start, bytes)) = access(&line) else { continue };
            if start == MARK && kind != b'L' {
                inside = !inside;
                if inside {
                    sections.push(Section::default());
                }
            } else if let Some(section) = sections.last_mut().filter(|_| inside) {
                let lines = start / LINE_BYTES..=(start + bytes - 1) / LINE_BYTES;
                if kind != b'L' {
                    section.written.extend(lines.clone());
                }
                section.touched.extend(lines);
            }
        }
        let status = child.wait().expect("valgrind ends");
        assert!(status.success() && !inside && sections.len() == 4, "{status}, {} sections", sections.len());
        sections
    }

    /// Cache lines that one thread's warm calls write and another's touch; then the same with a callback
    /// that counts in a common variable.
    fn lines_shared(&self) -> [usize; 2] {
        let sections = self.touched();
        [[0, 1], [2, 3]].map(|[one, other]| {
            let [one, other] = [&sections[one], &sections[other]];
            assert!(!one.written.is_empty() && !other.written.is_empty(), "a section without stores");
            let shared = |writer: &Section, reader: &Section| -> BTreeSet<u64> {
                writer.written.intersection(&reader.touched).copied().collect()
            };
            shared(one, other).union(&shared(other, one)).count()
        })
    }
}

/// The instructions that a run took, by what its counter wrote.
fn collected(text: &str) -> Option<f64> {
    let sum = text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    sum.or_else(|| Some(text.lines().filter(|line| line.starts_with("Trace ")).count() as f64))
        .filter(|sum| *sum > 0.0)
}

const LINE_BYTES: u64 = 64;

/// The cache lines of one thread's calls.
#[derive(Default)]
struct Section {
    written: BTreeSet<u64>,
    touched: BTreeSet<u64>,
}

/// A line of lackey's record: ` S 1ffefff0,8` is a store, `L` a load, `M` both.
fn access(line: &str) -> Option<(u8, u64, u64)> {
    let kind = *line.as_bytes().get(1)?;
    let (start, bytes) = line.strip_prefix(' ')?.get(2..)?.split_once(',')?;
    let known = b"SLM".contains(&kind);
    known.then_some((kind, u64::from_str_radix(start, 16).ok()?, bytes.parse().ok()?))
}
