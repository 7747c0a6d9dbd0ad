//! Which CPU and libc the hosts are compiled for, and what runs them: this machine's, or what `WHARF_TARGET` names.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::root;

type Reasons = &'static [(&'static str, &'static str)];

/// Hosts as further flags make them.
#[allow(dead_code, reason = "for the test of variants")]
pub struct Variant {
    pub name: &'static str,
    pub flags: &'static [&'static str],
    /// Whether the hosts' frames can be unwound.
    pub has_tables: bool,
}

const OPTIMIZED: Variant =
    Variant { name: "optimized", flags: &["-O2", "-fomit-frame-pointer"], has_tables: true };
const BARE: Variant = Variant {
    name: "bare",
    flags: &["-O2", "-fomit-frame-pointer", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"],
    has_tables: false,
};
const PROTECTED_X86: Variant =
    Variant { name: "protected", flags: &["-O2", "-fcf-protection=full"], has_tables: true };
const PROTECTED_ARM: Variant =
    Variant { name: "protected", flags: &["-O2", "-mbranch-protection=standard"], has_tables: true };

const THUMB: Variant = Variant { name: "thumb", flags: &["-O2", "-mthumb"], has_tables: true };
const ARM_CODE: Variant = Variant { name: "arm", flags: &["-O2", "-marm"], has_tables: true };

const ARM_VARIANTS: &[Variant] = &[OPTIMIZED, THUMB, ARM_CODE, BARE];
const X86: &[Variant] = &[OPTIMIZED, PROTECTED_X86, BARE];

/// A target as Rust names it.
pub struct Target {
    pub name: &'static str,
    /// As `arch:` names it in a scenario's head.
    pub arch: &'static str,
    /// What the names of its compilers begin with; empty: they are looked for.
    pub tools: &'static str,
    /// Further flags for its compilers.
    pub flags: &'static [&'static str],
    /// And for programs that a loader loads.
    pub loaded: &'static [&'static str],
    /// What its compilers have for callers' code.
    #[allow(dead_code, reason = "for the test of variants")]
    pub variants: &'static [Variant],
    /// What a host is run by.
    pub runner: &'static [&'static str],
    /// The C library has tables by which its own frames are unwound.
    pub libc_tables: bool,
    /// What is not to be had there, as `needs:` in a scenario's head names it, and why.
    pub lacks: &'static [Reasons],
    /// What else cannot be shown there: the front of a scenario's name, and why.
    pub cannot: &'static [Reasons],
}

pub static TARGETS: [Target; 6] = [
    Target {
        name: "aarch64-unknown-linux-gnu",
        arch: "aarch64",
        tools: "aarch64-linux-gnu-",
        flags: &[],
        loaded: &[],
        variants: &[OPTIMIZED, PROTECTED_ARM, BARE],
        runner: &["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"],
        libc_tables: true,
        lacks: &[QEMU_LACKS],
        cannot: &[QEMU],
    },
    Target {
        name: "armv7-unknown-linux-gnueabihf",
        arch: "arm",
        tools: "arm-linux-gnueabihf-",
        // C has no tables there by itself, and no trace beyond its frames.
        flags: &["-funwind-tables"],
        loaded: &[],
        variants: ARM_VARIANTS,
        runner: &["qemu-arm", "-L", "/usr/arm-linux-gnueabihf"],
        libc_tables: true,
        lacks: &[QEMU_LACKS, NO_STATIC_PIE],
        cannot: &[QEMU, ARM],
    },
    Target {
        name: "i686-unknown-linux-gnu",
        arch: "x86",
        tools: "i686-linux-gnu-",
        flags: &[],
        // It runs natively, with the libraries that its compiler brings.
        loaded: &[
            "-Wl,--dynamic-linker=/usr/i686-linux-gnu/lib/ld-linux.so.2",
            "-Wl,--disable-new-dtags,-rpath,/usr/i686-linux-gnu/lib",
        ],
        variants: X86,
        runner: &[],
        libc_tables: true,
        lacks: &[I686_LACKS],
        cannot: &[I686],
    },
    Target {
        name: "riscv64gc-unknown-linux-gnu",
        arch: "riscv64",
        tools: "riscv64-linux-gnu-",
        // Its compiler writes them for C++ alone.
        flags: &["-fasynchronous-unwind-tables"],
        loaded: &[],
        variants: &[OPTIMIZED, BARE],
        runner: &["qemu-riscv64", "-L", "/usr/riscv64-linux-gnu"],
        libc_tables: true,
        lacks: &[QEMU_LACKS, NO_STATIC_PIE],
        cannot: &[QEMU, RISCV],
    },
    Target {
        name: "x86_64-unknown-linux-musl",
        arch: "x86_64",
        tools: "musl-",
        // What its compiler's script leaves out: the unwinder's table, and the kernel's headers.
        flags: &[
            "-Wl,--eh-frame-hdr",
            "-idirafter",
            "/usr/include",
            "-idirafter",
            "/usr/include/x86_64-linux-gnu",
        ],
        loaded: &[],
        variants: X86,
        runner: &[],
        libc_tables: false,
        lacks: &[MUSL_LACKS],
        cannot: &[MUSL],
    },
    Target {
        name: "aarch64-unknown-linux-musl",
        arch: "aarch64",
        tools: "aarch64-linux-musl-",
        flags: &["-Wl,--eh-frame-hdr", "-idirafter", "/usr/aarch64-linux-gnu/include"],
        loaded: &[],
        variants: &[OPTIMIZED, PROTECTED_ARM, BARE],
        // `make test-musl` says where it finds the loader.
        runner: &["qemu-aarch64"],
        libc_tables: false,
        lacks: &[MUSL_LACKS, QEMU_LACKS],
        cannot: &[MUSL, QEMU, MUSL_AARCH64],
    },
];

/// qemu-user 7.2.
const QEMU_LACKS: Reasons = &[
    ("gdb", "gdb sees the emulator, and not the program"),
    ("valgrind", "valgrind runs programs for this CPU alone"),
    ("-fsanitize=address", SANITIZER),
    ("-fsanitize=thread", SANITIZER),
];

const SANITIZER: &str = "there is no room for a sanitizer's address space in the emulator";

const QEMU: Reasons = &[
    ("CgoExternalThreadPanic/nomain", "the emulator tells mappings by the main thread alone"),
    ("CgoPprofCallback", "the linker makes no tables for the stubs by which libc is called"),
    ("Signals/panic_in_handler", NO_VDSO),
    ("Signals/exec_signal_mask", EXEC),
    ("Spawn", EXEC),
    ("Preload", EXEC),
    ("WarmCall/main", SECCOMP),
    ("WarmCall/thread", SECCOMP),
    ("Altstack/autodisarm", "the emulator knows no SS_AUTODISARM"),
    ("Errno/start", RLIMIT),
    ("Limits", RLIMIT),
    ("Memory/idle", STATUS),
    ("Memory/deep", STATUS),
    ("Memory/locked", STATUS),
    ("Memory/runtime", STATUS),
    ("Memory/huge", STATUS),
    ("Failures", STATUS),
    ("Reload", STATUS),
    ("Unload/reload", STATUS),
    ("Unload/ended_unseen", STATUS),
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
    ("Stderr/full_pipe", FULL_PIPE),
    ("Stderr/full_eight", FULL_PIPE),
];

const NO_VDSO: &str = "without a vDSO, the frame that a handler returns to is in no file";
const EXEC: &str = "a program that starts another needs the system to know the emulator";
const SECCOMP: &str = "the emulator refuses seccomp";
const RLIMIT: &str = "the emulator takes no limits of address space";
const STATUS: &str = "what /proc says of memory is the emulator's";
const FULL_PIPE: &str =
    "the emulator has something to say of a process's end, too, and waits for the full pipe";
const REQUEUED: &str = "the emulator takes a fault that is queued again for one of its own, and gives up";

/// glibc 2.36.
const NO_STATIC_PIE: Reasons = &[("-static-pie", "libc comes without the start of such a program")];

/// gcc 12, glibc 2.36.
const RISCV: Reasons = &[
    ("CallbackInInit/panic", BARE_LIBC),
    (
        "Copies/reload",
        "without TLS descriptors a copy takes static TLS, which glibc takes back from the last one alone",
    ),
    ("ExitCloses/closed_in_handler", BARE_LIBC),
    ("ExitCloses/namespace", BARE_LIBC),
    ("Exits/longjmp_nested", BARE_LIBC),
    ("Fault/abort", BARE_LIBC),
    ("Fault/tgkill", BARE_LIBC),
    ("LongjmpLoop/ever_shallower", BARE_LIBC),
    ("LongjmpLoop/shallow_after_deep", BARE_LIBC),
    ("LongjmpLoop/stop_after_deep", BARE_LIBC),
    ("Overflow/probed", "the compiler probes no stack"),
];

const BARE_LIBC: &str = "the loader and libc have neither tables nor frame pointers";

/// glibc 2.36.
const ARM: Reasons = &[
    ("CallbackInInit/panic", NO_TABLES_THERE),
    ("Copies/panics", "glibc shows the unwinder no tables of another namespace's"),
    ("ExitCloses/closed_in_handler", FINALISED),
    ("ExitCloses/namespace", FINALISED),
    ("Fault/tgkill", NO_TABLES_THERE),
    ("Fault/abort", NO_TABLES_THERE),
    ("LongjmpFortified", "the emulator puts the host's stacks at 1 GiB, below the managed ones"),
];

const NO_TABLES_THERE: &str = "the loader and many of libc's functions have no tables";

const FINALISED: &str =
    "the loader has no tables, so a finaliser does not see whether an exit or a dlclose runs it";

const I686_LACKS: Reasons = &[
    ("valgrind", "valgrind wants a loader with symbols, and the cross compiler's has none"),
    ("-fsanitize=thread", "there is no ThreadSanitizer for 32-bit programs"),
];

const I686: Reasons = &[
    ("PanicFatal/fiber_call", "glibc's i386 makecontext does not mark a fiber's first frame"),
    (
        "Copies/panics",
        "in a program without libgcc_s, libc finds the unwinder's tables there, and in the first namespace alone",
    ),
];

/// musl 1.2.3 by Debian's musl-tools.
const MUSL_LACKS: Reasons = &[
    ("c++", "there is no C++ compiler for musl"),
    ("makecontext()", "musl has no makecontext and swapcontext"),
    ("dlmopen()", "musl has no namespaces of libraries"),
    ("static_dlopen()", "musl's static programs open no libraries"),
    ("dlclose()", "musl unloads no library before the process ends"),
    ("backtrace()", "musl has no backtrace"),
    ("_dl_find_object()", "musl's loader tells what is mapped under a lock alone"),
    ("valgrind", "valgrind replaces free in musl, but not the malloc that musl's loader has used"),
    ("-fsanitize=address", "the sanitizers' libraries are for glibc"),
    ("-fsanitize=thread", "the sanitizers' libraries are for glibc"),
];

const MUSL: Reasons = &[
    ("Fault/tgkill", NO_TABLES),
    ("FaultCore", NO_TABLES),
    ("FaultPanic/masks", NO_TABLES),
    ("SmashedReturn/garbage", NO_TABLES),
    ("SmashedReturn/deep", NO_TABLES),
    ("Fork/stop_storm", FORKED_KEYS),
    ("EveryStep/stop", "musl holds back all signals in some functions, and a step there ends the process"),
    ("ReportHook/ends_thread", "musl's pthread_exit unwinds nothing: such a hook is ended by its clock"),
];

/// On AArch64, under qemu.
const MUSL_AARCH64: Reasons = &[
    ("Errno/detach", "what /proc says of the main thread's stack is the emulator's"),
    ("LentAltstack/small", "musl takes no alternate stack there that is too small for wharf"),
    ("ReportJson/fd", NO_TABLES),
];

const NO_TABLES: &str = "without tables, a trace ends in a function of musl's: nobody can tell its caller";
const FORKED_KEYS: &str =
    "musl 1.2.3's fork leaves the lock of thread-specific keys as it was: a child may find it held";

const THIS_MACHINE: Target = Target {
    name: "",
    arch: std::env::consts::ARCH,
    tools: "",
    flags: &[],
    loaded: &[],
    variants: if cfg!(target_arch = "x86_64") { X86 } else { &[OPTIMIZED, BARE] },
    runner: &[],
    libc_tables: true,
    lacks: &[],
    cannot: &[],
};

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
    /// Why a scenario that needs these cannot be shown there, if so.
    pub fn why_not(&self, scenario: &str, needs: &[String]) -> Option<&'static str> {
        let lacked =
            self.lacks.iter().copied().flatten().find(|(what, _)| needs.iter().any(|need| need == what));
        let cannot = self.cannot.iter().copied().flatten().find(|(front, _)| scenario.starts_with(front));
        lacked.or(cannot).map(|(_, why)| *why)
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
