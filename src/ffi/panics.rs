//! Panics.

use core::ffi::{CStr, c_char, c_int, c_void};

use super::{status, wharf_fn};
use crate::arch::{allow_misaligned, stack_pointer};
use crate::base::Printer;
use crate::base::status::*;
use crate::panic;
pub use crate::panic::{WHARF_PANIC_FAULT, WHARF_PANIC_MESSAGE, WHARF_PANIC_OVERFLOW, wharf_panic_info};
use crate::report;
pub use crate::report::wharf_fatal_fn;

/// Panics. If a `wharf_try` stands on this thread, it gets the panic; else if a deferred call recovers,
/// its callback ends with `WHARF_RECOVERED`; else the process ends with a report: `panic: msg`, a
/// blank line, `goroutine N [running, locked to thread]:` (outside callbacks `host thread N`) and
/// the trace of the calling thread, from the caller through `wharf_call` down to the host's thread
/// function; then SIGABRT, with the host's handler in its place.
///
/// The report goes to standard error, and where `report_fd` and `report_path` of `wharf_config` say;
/// `traceback` there says how much it tells. It is made on a stack that is kept for it, allocates
/// nothing, takes no lock, and has five seconds, of which a reader who takes nothing gets four; then
/// the process dies whatever holds it up. One thread reports; others that panic meanwhile wait for
/// the end, and for the host's handler of SIGABRT, however long that takes. If the handler jumps out
/// (`siglongjmp`), the thread's next panic is a death of its own, with a report; another thread's is
/// as soon as the thread has ended, or has let SIGABRT through for 0.3 seconds: not after a `longjmp`
/// that leaves the mask as it was, nor where the handler has `SA_NODEFER`, which looks the same while
/// it is at work.
///
/// `msg`: a string, copied; NULL is said to be NULL. Line breaks are indented.
///
/// Never returns. Without memory for a panic that is waited for, it is fatal. Context: any. Signals: safe
/// where it is fatal; else it allocates. Source: Go's panic.
///
/// # Safety
/// `msg` is NULL or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn wharf_panic(msg: *const c_char) -> ! {
    allow_misaligned();
    // SAFETY: by the caller's word.
    panic::gopanic(unsafe { text(msg) }, stack_pointer(), &[])
}

/// `wharf_panic` for languages that have unwound their own frames already, and know from where.
///
/// `msg`: as for `wharf_panic`. `trace`: return addresses, from the panic outward; copied. `count`: how
/// many there are.
///
/// Never returns. Context: any. Signals: as `wharf_panic`.
///
/// # Safety
/// `msg` is NULL or a string; `trace` is readable for `count` addresses.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn wharf_panic_from(
    msg: *const c_char,
    trace: *const *const c_void,
    count: u32,
) -> ! {
    allow_misaligned();
    let frames = match count {
        0 => &[],
        // SAFETY: by the caller's word.
        _ => unsafe { core::slice::from_raw_parts(trace.cast(), count as usize) },
    };
    // SAFETY: by the caller's word.
    panic::gopanic(unsafe { text(msg) }, stack_pointer(), frames)
}

unsafe fn text<'a>(msg: *const c_char) -> &'a [u8] {
    if msg.is_null() {
        return b"wharf_panic was given NULL";
    }
    // SAFETY: by the caller's word.
    unsafe { CStr::from_ptr(msg) }.to_bytes()
}

/// Whether a panic here and now has a chance: 1 if a `wharf_try` or a deferred call stands on this
/// thread, 0 if it would end the process.
///
/// Context: any. Signals: safe, as the process's unwinder is: not in a program linked by `-static`, in a
/// handler that interrupts an unwinding.
#[unsafe(no_mangle)]
pub extern "C" fn wharf_recoverable() -> c_int {
    panic::is_recoverable(stack_pointer()).into()
}

/// Has `fn(arg)` called when the innermost `wharf_call` or `wharf_try` ends, however it ends: by a
/// return, a panic, `wharf_goexit`, a C++ exception, `pthread_exit`. Last deferred, first called.
/// Not when a `longjmp` leaves it.
///
/// Deferred calls run on the callback's stack. In a panic that a `wharf_try` gets, the frames inside
/// are unwound when they run; else the panicking frames still stand. Out of one that an exception or
/// `pthread_exit` runs no panic gets, and no `wharf_goexit`: that is fatal.
///
/// `fn`: not NULL. `arg`: handed on, never looked at.
///
/// Returns `WHARF_OK`; `WHARF_EINVAL`: `fn` is NULL; `WHARF_ESTATE`: not inside a callback;
/// `WHARF_ENOMEM`.
///
/// Context: inside a callback, a deferred call too. Signals: only in a callback that the handler made
/// itself. Source: Go's defer.
///
/// # Safety
/// `fn` may be called with `arg` then.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn wharf_defer(r#fn: wharf_fn, arg: *mut c_void) -> c_int {
    let Some(f) = r#fn else { return WHARF_EINVAL };
    panic::deferproc(f, arg)
}

/// In a deferred call that runs because of a panic: the panic ends here. When the deferred call
/// returns, the `wharf_call` or `wharf_try` that it was deferred in returns `WHARF_RECOVERED`, after
/// the deferred calls that are left.
///
/// Returns the panic, the caller's, to be freed by `wharf_panic_info_free`; NULL where there is none to
/// recover: outside deferred calls, in a callback that a deferred call makes, without a panic, in a
/// `wharf_goexit`, for the second time.
///
/// Context: any. Signals: not safe. Source: Go's recover.
#[unsafe(no_mangle)]
pub extern "C" fn wharf_recover() -> *mut wharf_panic_info {
    panic::gorecover(stack_pointer())
}

/// Ends the innermost `wharf_call` or `wharf_try` with `WHARF_CANCELED`, after its deferred calls. The
/// frames between are unwound as in a panic. No deferred call can recover it. (Go dies there.)
///
/// Never returns. Outside a callback it is a panic. Context: inside a callback. Signals: not safe.
/// Source: Go's runtime.Goexit.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn wharf_goexit() -> ! {
    allow_misaligned();
    panic::goexit(stack_pointer())
}

/// Prints a panic as the report would: `panic: msg`, those before it, a blank line and the trace with
/// names and source lines, for which it reads files, each time anew: milliseconds where there is DWARF. A
/// file that is cut short while it is read is left alone with `WHARF_SIGNALS_FAULTS`, and a SIGBUS
/// without. The modules of the trace must still be loaded to be named.
///
/// `info`: not NULL. `out`: gets the text, cut to what has room, and a NUL; NULL if `bytes` is 0.
/// `bytes`: room at `out`.
///
/// Returns the length of the whole text without the NUL, as `snprintf` does.
///
/// Context: any thread. Signals: not safe.
///
/// # Safety
/// `info` was given out and not freed; `out` is writable for `bytes`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wharf_panic_info_format(
    info: *const wharf_panic_info,
    out: *mut c_char,
    bytes: usize,
) -> usize {
    if info.is_null() {
        return 0;
    }
    // SAFETY: by the caller's word.
    let length = unsafe {
        let mut printer = Printer::to_memory(out.cast(), bytes.saturating_sub(1));
        panic::format(info, &mut printer);
        printer.printed()
    };
    if bytes > 0 {
        // SAFETY: by the caller's word.
        unsafe { *out.add(length.min(bytes - 1)) = 0 };
    }
    length
}

/// Frees what `wharf_try` or `wharf_recover` gave out.
///
/// `info`: NULL does nothing.
///
/// Context: any thread, after `wharf_stop` too. Signals: not safe.
///
/// # Safety
/// `info` was given out and not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wharf_panic_info_free(info: *mut wharf_panic_info) {
    if !info.is_null() {
        // SAFETY: by the caller's word.
        unsafe { panic::free(info) };
    }
}

/// Has `fn(report, bytes, arg)` called when a report is finished and written, before the process ends
/// as it will.
///
/// `report` is the text that went to standard error, its first 64 KiB, then `...cut...`; a NUL follows.
/// It and the function's stack, 64 KiB at least, are there until the function returns. It runs on the
/// thread that dies, with all signals held back but faults and SIGABRT, while other threads go on, and
/// whatever lock the thread had it still has: a function that is fit for a signal handler is fit for
/// this. Signals that came for the thread meanwhile stay held back in a handler of the host's that gets
/// the death's signal: no other is what the process ends by.
///
/// It cannot keep the process alive. If it has not returned five seconds after the report began, or
/// has jumped away, SIGABRT is sent; if a handler of the host's comes back from that, five seconds
/// later, SIGKILL. A panic in it, caught or not, a fault, and an exception or `pthread_exit` that leaves it
/// end the process at once.
///
/// `fn`: NULL takes away what was set before; else it takes its place. Kept over `wharf_stop`: the code
/// must be there as long as the library is. `arg`: for `fn`.
///
/// Returns `WHARF_OK`; `WHARF_ESTATE`: a signal handler has interrupted this very function;
/// `WHARF_TIMEOUT`: another thread was in this function for a second.
///
/// Context: any. Signals: safe. Source: none of Go's; its `debug.SetCrashOutput` is `report_fd`.
///
/// # Safety
/// `fn` may be called with `arg` at any time from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wharf_on_fatal(r#fn: wharf_fatal_fn, arg: *mut c_void) -> c_int {
    status(|| report::on_fatal(r#fn, arg))
}
