//! Which CPU and libc the hosts are compiled for, and what runs them: this machine's, or what `WHARF_TARGET` names.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::root;

/// A target as Rust names it.
pub struct Target {
    pub name: &'static str,
    /// As `arch:` names it in a scenario's head.
    pub arch: &'static str,
    /// What the names of its compilers begin with; empty: they are looked for.
    pub tools: &'static str,
    /// Further flags for its compilers.
    pub flags: &'static [&'static str],
    /// What a host is run by.
    pub runner: &'static [&'static str],
    /// What cannot be shown there: the front of a scenario's name, and why.
    pub cannot: &'static [(&'static str, &'static str)],
}

pub static TARGETS: [Target; 2] = [
    Target {
        name: "aarch64-unknown-linux-gnu",
        arch: "aarch64",
        tools: "aarch64-linux-gnu-",
        flags: &[],
        runner: &["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"],
        cannot: QEMU,
    },
    Target {
        name: "i686-unknown-linux-gnu",
        arch: "x86",
        tools: "i686-linux-gnu-",
        // It runs natively, with the libraries that its compiler brings.
        flags: &[
            "-Wl,--dynamic-linker=/usr/i686-linux-gnu/lib/ld-linux.so.2",
            "-Wl,--disable-new-dtags,-rpath,/usr/i686-linux-gnu/lib",
        ],
        runner: &[],
        cannot: I686,
    },
];

/// qemu-user 7.2.
const QEMU: &[(&str, &str)] = &[
    ("GdbBacktrace", GDB),
    ("FaultCore", GDB),
    ("Fault/valgrind", VALGRIND),
    ("FaultPanic/overflow_valgrind", VALGRIND),
    ("PanicExits/valgrind", VALGRIND),
    ("PanicInfo/dropped", VALGRIND),
    ("PanicInside/valgrind", VALGRIND),
    ("PanicRecover/valgrind", VALGRIND),
    ("StopStorm/valgrind", VALGRIND),
    ("Sanitized/valgrind", VALGRIND),
    ("SanitizedThread", SANITIZER),
    ("SanitizedAddress", SANITIZER),
    ("StopStormTsan", SANITIZER),
    ("CgoExternalThreadPanic/nomain", "the emulator tells mappings by the main thread alone"),
    ("CgoPprofCallback", "the linker makes no tables for the stubs by which libc is called"),
    ("Signals/panic_in_handler", NO_VDSO),
    ("Signals/exec_signal_mask", EXEC),
    ("Spawn", EXEC),
    ("WarmCall/main", SECCOMP),
    ("WarmCall/thread", SECCOMP),
    ("Altstack/autodisarm", "the emulator knows no SS_AUTODISARM"),
    ("Errno/start", RLIMIT),
    ("Limits", RLIMIT),
    ("Failures", STATUS),
    ("Reload", STATUS),
    ("ThreadExit", STATUS),
    ("Unload/reload", STATUS),
    ("Unload/ended_unseen", STATUS),
    ("Copies/reload", RELOAD),
    ("Fork", "the emulator can make no thread in the child of a program that has several"),
    ("Fault/segv", REQUEUED),
    ("Fault/wild_jump", REQUEUED),
    ("Fault/bus", REQUEUED),
    ("Fault/host", REQUEUED),
    ("FaultHandlers/oneshot", REQUEUED),
    ("FaultHandlers/overflow_host", REQUEUED),
    ("FaultHandlers/ignored", REQUEUED),
    ("FaultHandlers/later_chains", REQUEUED),
    ("FaultPanic/masks", NO_VDSO),
    ("FaultPanic/no_try", REQUEUED),
    ("FaultPanic/out", REQUEUED),
    ("FaultStorm/default", REQUEUED),
    ("FaultStorm/mixed", REQUEUED),
    ("FaultStorm/panics", REQUEUED),
    ("ReportHook/raises_fault", REQUEUED),
    ("SigabrtJumps/overflow", REQUEUED),
    ("Signals/fault_in_handler", REQUEUED),
    ("Fault/forked", REQUEUED),
    ("Fault/enormous_frame", REQUEUED),
    ("FaultStorm/outside", REQUEUED),
    ("TraceLines/fault", REQUEUED),
    ("WholeReport/fault_", REQUEUED),
    ("WholeReport/panic_deleted", EXEC),
    ("WholeReport/panic_replaced", EXEC),
    ("WholeReport/panic_path", EXEC),
    ("WholeReport/panic_no_memory", RLIMIT),
    ("LongjmpLoop/ever_shallower", SLOW),
    ("PanicInfo/all", SLOW),
    ("Stderr/full_pipe", FULL_PIPE),
    ("Stderr/full_eight", FULL_PIPE),
];

const SANITIZER: &str = "there is no room for a sanitizer's address space in the emulator";
const GDB: &str = "gdb sees the emulator, and not the program";
const VALGRIND: &str = "valgrind runs programs for this CPU alone";
const NO_VDSO: &str = "without a vDSO, the frame that a handler returns to is in no file";
const EXEC: &str = "a program that starts another needs the system to know the emulator";
const SECCOMP: &str = "the emulator refuses seccomp";
const RLIMIT: &str = "the emulator takes no limits of address space";
const STATUS: &str = "what /proc says of memory and threads is the emulator's";
const SLOW: &str = "open: the emulator is too slow for the time that is given";
const FULL_PIPE: &str = "open: it outlasts its six seconds; the emulator writes to the full pipe, too";
const REQUEUED: &str = "the emulator takes a fault that is queued again for one of its own, and gives up";

const RELOAD: &str = "open: beside other copies, a reloaded one finds what the last one left in its TLS word";

const I686: &[(&str, &str)] = &[
    ("Fault/valgrind", CROSS_VALGRIND),
    ("FaultPanic/overflow_valgrind", CROSS_VALGRIND),
    ("PanicExits/valgrind", CROSS_VALGRIND),
    ("PanicInfo/dropped", CROSS_VALGRIND),
    ("PanicInside/valgrind", CROSS_VALGRIND),
    ("PanicRecover/valgrind", CROSS_VALGRIND),
    ("StopStorm/valgrind", CROSS_VALGRIND),
    ("Sanitized/valgrind", CROSS_VALGRIND),
    ("SanitizedThread", "there is no ThreadSanitizer for 32-bit programs"),
    ("StopStormTsan", "there is no ThreadSanitizer for 32-bit programs"),
    ("PanicFatal/fiber_call", "glibc's i386 makecontext does not mark a fiber's first frame"),
    ("Copies/panics", "open: a panic through the frames of another namespace's copy finds no try"),
    ("Copies/reload", RELOAD),
];

const CROSS_VALGRIND: &str = "valgrind wants a loader with symbols, and the cross compiler's has none";

const THIS_MACHINE: Target =
    Target { name: "", arch: std::env::consts::ARCH, tools: "", flags: &[], runner: &[], cannot: &[] };

/// The one that is tested.
pub fn target() -> &'static Target {
    static TARGET: OnceLock<&'static Target> = OnceLock::new();
    TARGET.get_or_init(|| match std::env::var("WHARF_TARGET") {
        Ok(name) if !name.is_empty() => {
            let known = TARGETS.iter().find(|target| target.name == name);
            known.unwrap_or_else(|| panic!("WHARF_TARGET={name} is not among those of {}", file!()))
        }
        _ => &THIS_MACHINE,
    })
}

impl Target {
    /// Why a scenario cannot be shown there, if so.
    pub fn why_not(&self, scenario: &str) -> Option<&'static str> {
        self.cannot.iter().find(|(front, _)| scenario.starts_with(front)).map(|(_, why)| *why)
    }

    /// Where `make lib` puts its library.
    pub fn library(&self) -> PathBuf {
        root().join("target").join(self.suffixed("wharf")).join("libwharf.so.0")
    }

    /// What its own part of a directory or file's name is.
    pub fn suffixed(&self, name: &str) -> String {
        if self.name.is_empty() { name.to_string() } else { format!("{name}-{}", self.name) }
    }
}
