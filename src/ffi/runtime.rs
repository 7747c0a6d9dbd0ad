//! The runtime.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;

use super::{read_options, status};
use crate::base::Status;
use crate::base::status::*;
use crate::lifecycle::{self, Config};
pub use crate::lifecycle::{WHARF_FAULTS_DIE, WHARF_FAULTS_PANIC, WHARF_SIGNALS_FAULTS, WHARF_SIGNALS_NONE};
use crate::report::{Level, PATH_BYTES, Settings};
use crate::{callback, gmp, sys};

/// How the runtime is to be. Fill it with `WHARF_CONFIG_INIT`, then set fields; 0 is the default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wharf_config {
    /// `sizeof(wharf_config)`. So that programs built with another version of this header go on
    /// working, the library takes 8 up to the `sizeof` that it knows (fields that are missing are
    /// 0), and more, up to 4096, where every byte beyond what it knows is 0. Any other `size` is
    /// `WHARF_EINVAL`.
    pub size: u32,
    /// The most host threads that may be attached at a time, 1 to 65536; default 65536. More is
    /// `WHARF_EINVAL`. One thread too many gets `WHARF_ELIMIT`. Threads that were attached before a stop
    /// stay so over a start that asks for fewer, and count.
    pub max_threads: u32,
    /// Bytes of a callback's stack, 16 KiB to 1 GiB, rounded up to pages; default 8 MiB on 64-bit
    /// machines, 256 KiB on 32-bit ones. Less or more is `WHARF_EINVAL`. Reserved, not spent: memory
    /// is what callbacks touch.
    pub callback_stack_bytes: u64,
    /// Bytes below each stack that nobody can access, one page to 1 GiB, rounded up to pages;
    /// default 64 KiB. Less or more is `WHARF_EINVAL`. A single frame larger than this may jump over
    /// it, into another stack: set more, or compile with `-fstack-clash-protection`.
    pub guard_bytes: u64,
    /// The most frames that the trace of a caught panic keeps; default 32, at most 65536; less than
    /// 0: none. A report's trace has no such bound.
    pub trace_depth: i64,
    /// How much a report tells: `WHARF_TRACEBACK_NONE` and so on. `WHARF_TRACEBACK_DEFAULT`: what the
    /// environment variable `WHARF_TRACEBACK` says, `none`, `single`, `all` or `system`; if it says
    /// nothing else, `single`. Another number is `WHARF_EINVAL`.
    pub traceback: u32,
    /// Where a report goes, besides standard error, as JSON: an object a line, `{"wharf":"panic",
    /// "message":…}` first, then one for each goroutine, `{"wharf":"end"}` last; always valid, whatever
    /// bytes a message has (what is no UTF-8 becomes U+FFFD). A descriptor of the host's, open for
    /// writing when the process dies; a reader that takes nothing is waited for half a second. 0 and
    /// -1: none, so it cannot be descriptor 0; less is `WHARF_EINVAL`.
    pub report_fd: i32,
    /// A file to which the same is appended; NULL: none. Copied; at most 1023 bytes, and not empty, else
    /// `WHARF_EINVAL`. It is opened at the start, made with mode 0600 if it is not there: a process that
    /// dies may have no free descriptor, another root and fewer rights. If the host has closed that
    /// descriptor by then (what it has opened under the same number is not written to), or the file was
    /// removed, or could not be opened at the start, it is opened by its name then; relative to the
    /// working directory of then. If that fails too, the report goes to standard error alone.
    pub report_path: *const c_char,
    /// `WHARF_SIGNALS_FAULTS`, the default of `wharf_start`: handlers for SIGSEGV, SIGBUS, SIGFPE, SIGILL
    /// and SIGABRT stand before the host's until the stop. `WHARF_SIGNALS_NONE`: no handler; so it is
    /// after a start by the first call. Else `WHARF_EINVAL`.
    ///
    /// A fault in a callback, be it out on the host's stack by `wharf_on_host`, is reported:
    /// `SIGSEGV: segmentation violation`, PC and address, the goroutine, its trace. Then it goes to the
    /// handler that the host had installed before the start; without one the process dies of the
    /// signal, with the registers of the fault. One such report is made per start. So is `abort` in a
    /// callback. A callback that outgrows its stack: `fatal error: stack overflow`, the trace, SIGABRT.
    ///
    /// Whatever else comes goes to the host's earlier handler at once, with the mask, stack and
    /// arguments that it would have had; from out on the host's stack so does what the host has a handler for.
    /// Without one the process dies of it, when a report that another thread is at is whole.
    /// A handler that the host installs later takes our place; `wharf_stop` leaves it there, and it
    /// must not pass signals on to the one before it after that. Another copy of wharf does: of several
    /// with handlers, stop first the one that was started last. A host that lives on after faults in
    /// callbacks, by handlers from before the start, wants `WHARF_SIGNALS_NONE`.
    ///
    /// A thread without an alternate stack, or with one of less than some 8 KiB, is lent one of 64 KiB when
    /// it is attached, be it by a call; it gets back what it had by `wharf_detach`, or when it stops the
    /// runtime. Other threads keep what was lent, which stays mapped, over `dlclose` too: until they end,
    /// as long as the library is there to see it.
    pub signals: u32,
    /// `WHARF_FAULTS_DIE`, the default: a fault in a callback ends the process, as `signals` says.
    /// `WHARF_FAULTS_PANIC`, for `WHARF_SIGNALS_FAULTS` only: inside a `wharf_try` a fault in a callback,
    /// or a callback that outgrows its stack, comes back as `WHARF_PANICKED`, with `kind` and `address`,
    /// and the thread goes on. It is cut to the try, as by `siglongjmp`: no destructor runs, locks stay
    /// held, what was deferred in scopes inside the try is dropped; what was deferred in the try's own
    /// function runs. Signals are held back as in the callback, also where the fault is in a signal handler
    /// that has interrupted it on its own stack, unless a frame between has no unwind tables, or on i386 a
    /// handler there no `SA_SIGINFO`. The try must stand on the same managed stack: not beyond
    /// `wharf_on_host`. A fault on the host's own stack, one whose stack pointer points nowhere, a signal
    /// that was sent, and `abort` are not caught. Else `WHARF_EINVAL`.
    pub fault_policy: u32,
    /// Zero.
    pub reserved: [u64; 4],
}

impl Default for wharf_config {
    fn default() -> wharf_config {
        wharf_config {
            size: 0,
            max_threads: 0,
            callback_stack_bytes: 0,
            guard_bytes: 0,
            trace_depth: 0,
            traceback: 0,
            report_fd: 0,
            report_path: ptr::null(),
            signals: 0,
            fault_policy: 0,
            reserved: [0; 4],
        }
    }
}

/// `wharf_config.traceback`: what the environment says, else `WHARF_TRACEBACK_SINGLE`.
pub const WHARF_TRACEBACK_DEFAULT: u32 = 0;
/// A report is its message alone.
pub const WHARF_TRACEBACK_NONE: u32 = 1;
/// The message and the trace of the thread that dies.
pub const WHARF_TRACEBACK_SINGLE: u32 = 2;
/// ... and the traces of the other threads that are inside callbacks, the first hundred, as far as
/// they can be told without stopping them: of one that is out on the host's stack the frames from
/// there outward; of one that is inside its callback the host's frames below it.
pub const WHARF_TRACEBACK_ALL: u32 = 3;
/// ... and the library's own frames, the registers that are known, its version and configuration.
pub const WHARF_TRACEBACK_SYSTEM: u32 = 4;

/// Starts the runtime, or counts one more start of a running one.
///
/// Optional: the first `wharf_call` starts it with defaults (that start is not counted), reads no
/// environment and touches nothing of the host's: no thread is made, no handler installed. An explicit
/// start installs handlers for faults, unless `signals` says otherwise. Of the environment the first
/// `wharf_start` reads `WHARF_TRACEBACK`, but not in a process that runs with more rights than whoever
/// started it. From here to the last stop the library holds a reference on itself, and `dlclose`
/// unloads nothing; after a start by the first call alone, `dlclose` waits for running callbacks,
/// stops, and unloads. It has the loader's lock meanwhile: a callback that needs that before it ends
/// (`dlopen`, `dlsym`, `getaddrinfo`, a thread's first `pthread_exit`) hangs both; stop first.
/// `dlclose` inside a callback is forbidden: the code that the callback returns to may be gone. So
/// are calls through a table or a pointer that was got before the library was unloaded. Both crash.
///
/// `config`: what is wanted; NULL is all defaults; read during the call. Of a runtime that was started
/// so nothing here can be changed; of one that a first call has started, what is not about threads and stacks can.
/// A field that asks for something else than is in force is `WHARF_ESTATE`, and `wharf_dump` names it.
///
/// Returns `WHARF_OK`; `WHARF_EINVAL`: a field is out of range, `size` is none that is taken (see
/// there), or a reserved word is not zero; `WHARF_ESTATE`: see above; `WHARF_STOPPED`: the runtime
/// is just being stopped; `WHARF_ENOMEM`.
///
/// Context: any thread, in a callback too (then it runs already). Signals: not safe.
///
/// # Safety
/// `config` is NULL or readable for its `size`, and its `report_path` NULL or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wharf_start(config: *const wharf_config) -> c_int {
    // SAFETY: by the caller's word.
    let config = match unsafe { read_options(config, 8) } {
        Ok(config) => config,
        Err(status) => return status,
    };
    // SAFETY: by the caller's word.
    status(|| lifecycle::start(unsafe { checked(&config) }?))
}

/// # Safety
/// The path is NULL or a string.
unsafe fn checked(config: &wharf_config) -> Result<Config<'_>, c_int> {
    let page = sys::page_bytes() as u64;
    let sized = |bytes: u64, least: u64| match bytes {
        0 => Ok(0),
        _ if bytes < least || bytes > 1 << 30 => Err(WHARF_EINVAL),
        _ => Ok(bytes.next_multiple_of(page) as usize),
    };
    let faults_panic = config.fault_policy == WHARF_FAULTS_PANIC;
    if config.max_threads > gmp::MAX_THREADS
        || config.signals > WHARF_SIGNALS_FAULTS
        || config.fault_policy > WHARF_FAULTS_PANIC
        || faults_panic && config.signals == WHARF_SIGNALS_NONE
        || config.reserved != [0; 4]
    {
        return Err(WHARF_EINVAL);
    }
    // SAFETY: by the caller's word.
    let path = (!config.report_path.is_null()).then(|| unsafe { CStr::from_ptr(config.report_path) });
    if path.is_some_and(|path| !(1..PATH_BYTES).contains(&path.count_bytes())) {
        return Err(WHARF_EINVAL);
    }
    Ok(Config {
        max_threads: config.max_threads,
        stack_bytes: sized(config.callback_stack_bytes, 16 << 10)?,
        guard_bytes: sized(config.guard_bytes, page)?,
        trace_depth: i32::try_from(config.trace_depth.max(-1))
            .ok()
            .filter(|depth| *depth <= 65_536)
            .ok_or(WHARF_EINVAL)?,
        signals: config.signals,
        fault_policy: config.fault_policy,
        report: Settings {
            level: Level::numbered(config.traceback).ok_or(WHARF_EINVAL)?,
            fd: match config.report_fd {
                -1 | 0 => None,
                1.. => Some(config.report_fd),
                _ => return Err(WHARF_EINVAL),
            },
            path,
        },
    })
}

/// Takes one start back; the last one stops the runtime.
///
/// Stopping: new calls get `WHARF_STOPPED`, calls inside running callbacks still work, and this
/// waits until the callbacks have returned. Then threads are let go, memory goes back, the pthread
/// key is deleted, and the library's reference on itself is dropped: a plain `dlclose` unloads it,
/// although threads that once called in live on. Only `wharf_start` brings the runtime back.
///
/// `until`: when to give up, in ns on the clock of `wharf_now`; `WHARF_NEVER`; a time that has
/// passed tries once.
///
/// Returns `WHARF_OK`; `WHARF_TIMEOUT`: a callback was still on (`wharf_dump` shows which), the
/// runtime runs as before; `WHARF_STOPPED`: it was stopped already; `WHARF_ESTATE`: never started,
/// or called from inside a callback. A callback that was left by `longjmp` counts as on until its
/// thread calls in again or ends.
///
/// Context: a host thread outside callbacks. Signals: not safe.
#[cfg_attr(target_arch = "x86", unsafe(naked))]
#[unsafe(no_mangle)]
pub extern "C" fn wharf_stop(until: i64) -> c_int {
    #[cfg(target_arch = "x86")]
    crate::arch::call_then_leave!(stop_then_leave);
    #[cfg(not(target_arch = "x86"))]
    match stopped(until) {
        Ok(None) => WHARF_OK,
        Ok(Some(own)) => own.release(),
        Err(status) => status,
    }
}

#[cfg(target_arch = "x86")]
extern "C" fn stop_then_leave(until: i64) -> u64 {
    match stopped(until) {
        Ok(None) => crate::arch::leave(WHARF_OK as usize, 0),
        Ok(Some(own)) => own.release(),
        Err(status) => crate::arch::leave(status as usize, 0),
    }
}

#[inline(never)]
fn stopped(until: i64) -> Result<Option<sys::SelfReference>, Status> {
    let _errno = sys::ErrnoGuard::new();
    if callback::reap_then_inside() {
        return Err(WHARF_ESTATE);
    }
    lifecycle::stop(until)
}

/// 1 if the runtime runs, else 0.
///
/// Context: any. Signals: safe.
#[unsafe(no_mangle)]
pub extern "C" fn wharf_running() -> c_int {
    lifecycle::running() as c_int
}

/// Gives memory back that nobody uses: what threads that have ended left, stacks in the pool, and
/// what callbacks of threads that are outside now once used deep down in their stacks (not of
/// threads that attached as real-time). A thread that calls in meanwhile may wait a moment.
///
/// Returns `WHARF_OK`; `WHARF_ESTATE`: not started; `WHARF_STOPPED`.
///
/// Context: any thread, in a callback too. Signals: not safe.
#[unsafe(no_mangle)]
pub extern "C" fn wharf_trim() -> c_int {
    status(lifecycle::trim)
}
