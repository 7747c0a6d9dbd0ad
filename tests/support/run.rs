//! Runs one case: own process, own process group, time limit, output to files.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::build::{Workshop, takes_flag};
use super::head::{Case, Status};
use super::target::target;
use super::{Outcome, check, have_tool};

/// More output than this is a host gone wild.
const MAX_OUTPUT_BYTES: u64 = 16 << 20;

/// A case may take this many times as long as it says: the limit is to end a host that hangs, not to
/// time one on a machine that is busy with other things.
const PATIENCE: u32 = 5;

/// What a case did.
pub struct Ran {
    /// How it ended.
    pub status: Status,
    /// It was ended by us, and why.
    pub killed: Option<String>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a case and compares; `host` is the built host, or what the compiler said.
pub fn case(case: &Case, host: Result<&PathBuf, &String>, workshop: &Workshop) -> Outcome {
    if let Some(outcome) = cannot_run(case) {
        return outcome;
    }
    let host = match host {
        Ok(host) => host,
        Err(why) => return Outcome::Failed(format!("does not compile:\n{why}")),
    };
    match attempt(case, host, workshop) {
        // What takes an emulator's threads how long is not the library's.
        Outcome::Failed(why) if !target().runner.is_empty() => {
            println!("once more {}: {why}", case.name);
            attempt(case, host, workshop)
        }
        outcome => outcome,
    }
}

fn attempt(case: &Case, host: &Path, workshop: &Workshop) -> Outcome {
    let line = format!(
        "WHARF_LIB={} SCENARIO_DIR={} {}",
        workshop.library.display(),
        workshop.dir.display(),
        typed(case, host)
    );
    let ran = match run(case, command(case, host, workshop), workshop) {
        Ok(ran) => ran,
        Err(error) => return Outcome::Failed(format!("{line}\n{error}")),
    };
    let mut complaints: Vec<String> = ran.killed.iter().cloned().collect();
    complaints.extend(check::differences(case, &ran, host));
    if complaints.is_empty() {
        return Outcome::Passed;
    }
    Outcome::Failed(format!(
        "{line}\n{}\n--- ended by {:?}\n--- stdout\n{}\n--- stderr\n{}",
        complaints.join("\n"),
        ran.status,
        start(&ran.stdout),
        start(&ran.stderr)
    ))
}

/// What is shown of a stream: all of it, unless a host went wild.
fn start(text: &str) -> String {
    const MOST_BYTES: usize = 64 << 10;
    let text = text.trim_end();
    match text.char_indices().map(|(at, _)| at).find(|at| *at >= MOST_BYTES) {
        Some(at) => format!("{}\n... and {} bytes more", &text[..at], text.len() - at),
        None => text.to_string(),
    }
}

/// What to type to run it by hand.
fn typed(case: &Case, host: &Path) -> String {
    let env = case.env.iter().map(|(name, value)| format!("{name}={value}"));
    let wrap =
        case.wrap.iter().map(|word| if word.contains(' ') { format!("'{word}'") } else { word.clone() });
    let runner = target().runner.iter().map(|word| word.to_string());
    let host = std::iter::once(host.display().to_string());
    env.chain(wrap).chain(runner).chain(host).chain(case.args.iter().cloned()).collect::<Vec<_>>().join(" ")
}

fn cannot_run(case: &Case) -> Option<Outcome> {
    if !case.arch.is_empty() && !case.arch.iter().any(|arch| arch == target().arch) {
        return Some(Outcome::Skipped(format!("only for {}", case.arch.join(", "))));
    }
    if let Some(why) = target().why_not(&case.name, &case.needs) {
        return Some(Outcome::Skipped(why.to_string()));
    }
    let has = |need: &String| match need.as_str() {
        // Only some targets lack these.
        "c++" => true,
        function if function.ends_with("()") => true,
        flag if flag.starts_with('-') => takes_flag(flag),
        tool => have_tool(tool),
    };
    let missing = case.needs.iter().find(|need| !has(need))?;
    Some(Outcome::of_missing(format!("{missing} is missing")))
}

fn command(case: &Case, host: &Path, workshop: &Workshop) -> Command {
    let mut line = case
        .wrap
        .iter()
        .map(PathBuf::from)
        .chain(target().runner.iter().map(PathBuf::from))
        .chain([host.to_path_buf()])
        .chain(case.args.iter().map(PathBuf::from));
    // The shell only lowers the soft limit: no core files, but a host that wants one can have it.
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "ulimit -S -c 0; exec \"$@\"", "sh"])
        .arg(line.next().expect("the host at least"))
        .args(line);
    // SAFETY: the closures make system calls only.
    unsafe { command.pre_exec(default_signals) };
    if !target().runner.is_empty() {
        // SAFETY: as above.
        unsafe { command.pre_exec(no_huge_pages) };
    }
    command.env("WHARF_LIB", &workshop.library).env("SCENARIO_DIR", &workshop.dir).env("LC_ALL", "C");
    for (name, value) in &case.env {
        if value.is_empty() {
            command.env_remove(name);
        } else {
            command.env(name, value);
        }
    }
    command
}

/// A host begins with no signal ignored or blocked, whoever has started the tests: `nohup`, a shell's
/// background and some CI's runners leave some so.
fn default_signals() -> std::io::Result<()> {
    // SAFETY: of a set that is all ours. Signals whose handling is not for us to say are left as they are.
    unsafe {
        for number in 1..=64 {
            libc::signal(number, libc::SIG_DFL);
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
    Ok(())
}

/// An emulator does not hand on that a host wants none for its stacks.
fn no_huge_pages() -> std::io::Result<()> {
    // SAFETY: of numbers.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    Ok(())
}

fn run(case: &Case, mut command: Command, workshop: &Workshop) -> std::io::Result<Ran> {
    let base = workshop.dir.join("out").join(case.name.replace('/', "."));
    fs::create_dir_all(base.parent().expect("it was just joined"))?;
    let [out, err] = ["stdout", "stderr"].map(|end| PathBuf::from(format!("{}.{end}", base.display())));
    command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&err)?).process_group(0);
    let mut child = command.spawn()?;
    let killed = watch(&child, case.timeout * PATIENCE, [&out, &err]);
    end_group(&child);
    let status = child.wait()?;
    let status = match status.signal() {
        Some(signal) => Status::Signal(signal),
        None => Status::Exit(status.code().expect("it exited or died of a signal")),
    };
    let read = |path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Ran { status, killed, stdout: read(&out)?, stderr: without_runner(read(&err)?) })
}

/// What the host wrote: its runner says it too when it dies of a signal.
fn without_runner(text: String) -> String {
    const LAST_WORD: &str = "qemu: uncaught target signal ";
    if target().runner.is_empty() {
        return text;
    }
    text.split_inclusive('\n').filter(|line| !line.starts_with(LAST_WORD)).collect()
}

/// Waits until the child has ended, but leaves it unreaped, so that its number stays its own.
fn watch(child: &Child, limit: Duration, outputs: [&PathBuf; 2]) -> Option<String> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if has_ended(child) {
            return None;
        }
        if start.elapsed() > limit {
            return Some(format!("not finished after {} s", limit.as_secs()));
        }
        if outputs.iter().any(|path| fs::metadata(path).is_ok_and(|meta| meta.len() > MAX_OUTPUT_BYTES)) {
            return Some("too much output".to_string());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

fn has_ended(child: &Child) -> bool {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: all zeroes is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is good for the call; the child is ours and not reaped yet.
    let status = unsafe { libc::waitid(libc::P_PID, child.id(), &mut info, flags) };
    // SAFETY: si_pid stays 0 unless a child's end was reported.
    status == 0 && unsafe { info.si_pid() } != 0
}

/// Ends what is left of the child's group. The child is not reaped yet: nobody else has this number.
fn end_group(child: &Child) {
    let group = i32::try_from(child.id()).expect("a process number is an i32");
    // SAFETY: a system call on numbers.
    unsafe { libc::kill(-group, libc::SIGKILL) };
}
