//! The table: every figure with what it must not exceed. `tests/gates.rs` holds those that are the same in every run;
//! `make bench` shows all.

/// What is asked of a figure.
pub struct Row {
    pub what: &'static str,
    pub figure: &'static str,
    /// What it is compared with: asked about is the difference.
    pub beside: Option<&'static str>,
    pub limit: f64,
    pub unit: &'static str,
}

impl Row {
    /// Whether it differs from run to run and says little on a busy machine.
    pub fn is_time(&self) -> bool {
        ["ns", "µs", "ms", "×"].contains(&self.unit)
    }

    /// Whether only valgrind can tell.
    pub fn takes_valgrind(&self) -> bool {
        ["instructions", "lines"].contains(&self.figure)
    }

    /// What is asked about, of what `measured` has by name.
    pub fn value(&self, measured: impl Fn(&str) -> Option<f64>) -> f64 {
        let of = |name| measured(name).unwrap_or_else(|| panic!("{}: nothing measured {name}", self.what));
        of(self.figure) - self.beside.map_or(0.0, of)
    }
}

const fn row(
    what: &'static str,
    figure: &'static str,
    beside: Option<&'static str>,
    limit: f64,
    unit: &'static str,
) -> Row {
    Row { what, figure, beside, limit, unit }
}

/// The rows, as `make bench` prints them.
#[rustfmt::skip]
pub const ROWS: [Row; 57] = [
    row("warm call, instructions (callgrind)", "instructions", None, 60.0, ""),
    row("warm call, instructions (single steps)", "steps.call", Some("steps.plain"), 60.0, ""),
    row("warm call, time", "call", Some("plain"), 4.5, "ns"),
    row("... a library that only calls back, time", "bare", Some("plain"), f64::INFINITY, "ns"),
    row("... a library that only switches stacks, time", "switch", Some("plain"), f64::INFINITY, "ns"),
    row("the same on two threads at once", "call.2", Some("plain.2"), 4.5, "ns"),
    row("warm call, system calls in 100 000", "syscalls", None, 0.0, ""),
    row("warm call, allocations in 100 000", "allocations", None, 0.0, ""),
    row("warm call, atomic read-modify-writes", "atomics.call", None, 0.0, ""),
    row("warm call, lines shared by two threads", "lines", None, 0.0, ""),
    row("nested call, instructions (single steps)", "steps.nested", Some("steps.plain"), 95.0, ""),
    row("nested call, atomic read-modify-writes", "atomics.nested", None, 0.0, ""),
    row("nested call, time", "nested", Some("plain.on_g"), 3.0, "ns"),
    row("... a library that only calls back, time", "bare.on_g", Some("plain.on_g"), f64::INFINITY, "ns"),
    row("out to the host's stack and back, atomics", "atomics.on_host", None, 0.0, ""),
    row("out to the host's stack and back, time", "on_host", Some("plain.on_g"), 5.0, "ns"),
    row("... a library that only calls back, time", "bare.on_g", Some("plain.on_g"), f64::INFINITY, "ns"),
    row("... a library that only switches stacks, time", "switch.on_g", Some("plain.on_g"), f64::INFINITY, "ns"),
    row("first call of a thread, spare M", "first.pooled", Some("first.plain"), 600.0, "ns"),
    row("first call of a thread, fresh M", "first.fresh", Some("first.plain"), 5000.0, "ns"),
    row("... only a stack of the kernel's, and a page", "first.kernel", Some("first.plain"), f64::INFINITY, "ns"),
    row("thread that calls once, less one that does not", "life", Some("life.plain"), 1300.0, "ns"),
    row("1 000 threads at a barrier, first call each", "storm.1000", None, 50.0, "ms"),
    row("... a plain call each", "storm.1000.plain", None, f64::INFINITY, "ms"),
    row("4 000 threads at a barrier, first call each", "storm.4000", None, 250.0, "ms"),
    row("... a plain call each", "storm.4000.plain", None, f64::INFINITY, "ms"),
    row("idle thread, memory", "idle.rss", None, 6.5, "KiB"),
    row("idle thread, memory and page tables", "idle.with_tables", None, 15.0, "KiB"),
    row("ended thread after a trim, memory", "trimmed.rss", None, 1.0, "KiB"),
    row("ended thread after a trim, with page tables", "trimmed.with_tables", None, 1.0, "KiB"),
    row("allocator arenas opened by 1 000 first calls", "idle.arenas", None, 0.0, ""),
    row("host's stack in a first call, spare M", "stack.pooled", None, 1024.0, "bytes"),
    row("host's stack in a first call, fresh M", "stack.fresh", None, 1024.0, "bytes"),
    row("host's stack in a first call that starts wharf", "stack.starting", None, 1024.0, "bytes"),
    row("host's stack in a warm call", "stack.warm", None, 256.0, "bytes"),
    row("dlopen, start and first call", "load.us", None, 750.0, "µs"),
    row("idle runtime, threads", "load.threads", None, 0.0, ""),
    row("idle runtime, address space", "load.space_mb", None, 64.0, "MiB"),
    row("idle runtime, memory", "load.rss", None, 1024.0, "KiB"),
    row("the library's file, stripped", "file", None, 600.0, "KiB"),
    row("wharf_try over wharf_call, time", "try", Some("try.call"), 2.0, "ns"),
    row("wharf_defer and its run, time", "defer", Some("defer.plain"), 3.0, "ns"),
    row("panic to its caught status, one frame", "caught", None, 1500.0, "ns"),
    row("... each further frame", "frame.plain", None, 350.0, "ns"),
    row("... each further frame with a destructor", "frame.cpp", None, f64::INFINITY, "ns"),
    row("... a C++ exception through a call, one frame", "thrown", None, f64::INFINITY, "ns"),
    row("Rust panic! to WHARF_PANICKED, over catch_unwind", "rust.ratio", None, 1.3, "×"),
    row("... the same, time", "rust.panicked", None, f64::INFINITY, "ns"),
    row("... a library that only unwinds, over catch_unwind", "rust.floor_ratio", None, f64::INFINITY, "×"),
    row("panic to the end of the process, with names, to /dev/null", "panic.null", None, 400.0, "µs"),
    row("... the same, over a bare abort", "panic.over", None, 4.0, "×"),
    row("panic to the end of the process, with names, to a pipe", "panic.pipe", None, 400.0, "µs"),
    row("... with the host's source lines", "panic.lines", None, 3000.0, "µs"),
    row("... and wharf's", "panic.own", None, 3000.0, "µs"),
    row("... through 32 libraries with source lines", "panic.deep", None, f64::INFINITY, "µs"),
    row("... through one with 1 000 functions", "panic.large", None, f64::INFINITY, "µs"),
    row("... a bare abort()", "abort", None, f64::INFINITY, "µs"),
];
