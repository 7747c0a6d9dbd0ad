//! Callbacks.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;

use super::panics::wharf_panic_info;
use super::{read_options, status, wharf_fn};
use crate::arch::keep_frame;
use crate::base::status::*;
use crate::callback;

/// Runs `fn(arg)` as a callback: on a managed stack, with the thread's own stack kept for
/// `wharf_on_host` and for whoever unwinds. Returns when `fn` has returned.
///
/// The first call of a thread ties the thread up (starting the runtime if nothing has); this lasts
/// until the thread ends or detaches. After that a call takes no lock, no system call, no memory and
/// no atomic read-modify-write. Called from inside a callback it runs `fn` on the stack it is on.
/// Called on any other stack of the thread while a callback is on (from `wharf_on_host`, a fiber, a
/// handler on an alternate stack) it takes another managed stack; such calls may end in any order,
/// on the thread that they began on.
///
/// The callback has the host's floating-point environment, signal mask and errno, and what it
/// changes of them stays changed, as with any C call. A C++ exception, `pthread_exit` and
/// `pthread_cancel` pass through to the host's frames; `longjmp` to a frame of the host's is
/// allowed. What it leaves untouched on the host's stack keeps its managed stack until it is written
/// over, or the thread detaches, stops the runtime or ends.
///
/// Not for fibers whose stacks are copied or made inaccessible while a callback of theirs is on, or lie
/// in a callback's own frames. An `mlockall(MCL_CURRENT)` brings the managed stacks of attached threads
/// into memory whole. In the child of a `fork` everything works on (before Linux 4.14: warm calls only).
///
/// `fn`: not NULL. `arg`: handed on, never looked at.
///
/// Returns `WHARF_OK`: `fn` has returned; `WHARF_RECOVERED`: it panicked, and one of its deferred calls
/// recovered; `WHARF_CANCELED`: it called `wharf_goexit`. Otherwise it has not run: `WHARF_EINVAL`:
/// `fn` is NULL; `WHARF_STOPPED`; `WHARF_ENOMEM`; `WHARF_ELIMIT`: `max_threads` are attached, or a
/// signal handler interrupted the start of the runtime or a trim on this thread.
///
/// Context: any thread, any stack with 1 KiB left (256 bytes once the thread is attached). Signals:
/// safe, but for the call that starts the runtime: it takes locks of libc's, and may wait for ever in
/// a handler that interrupted `malloc` or `exit`. Source: Go's cgocallback.
///
/// # Safety
/// `fn` may be called with `arg`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn wharf_call(r#fn: wharf_fn, arg: *mut c_void) -> c_int {
    let Some(f) = r#fn else { return no_function() };
    // SAFETY: by the caller's word.
    let status = unsafe { callback::cgocallback::<false>(f, arg, ptr::null_mut()) };
    keep_frame();
    status
}

/// Out of the warm path.
#[cold]
#[inline(never)]
fn no_function() -> c_int {
    WHARF_EINVAL
}

/// `wharf_call` that a panic does not get past: a panic inside `fn` that no deferred call recovers ends
/// `fn`, and comes back here as a status. So does a panic inside callbacks that `fn` makes, also
/// through host functions (`wharf_on_host`), as long as no other `wharf_try` is further inward.
///
/// The frames between are unwound: C++ and Rust destructors run, deferred calls run. At the first
/// frame without unwind tables (C that was compiled without them, a JIT's) the rest is cut: those
/// frames are left as by `longjmp`, and `cut` says so. C compiled with `-fexceptions` may have
/// cleanups of its own. What is locked in C frames stays locked.
///
/// A panic out of a signal handler of the host's leaves that handler's signals held back, as `longjmp` does.
///
/// A C++ exception of the host's passes through untouched. A `catch (...)` between that does not
/// throw on, or a `noexcept` function that is met, makes the panic fatal.
///
/// `fn`: not NULL. `arg`: handed on. `out`: where the panic is written to, only for
/// `WHARF_PANICKED`; then the caller's, to be freed by `wharf_panic_info_free`. NULL: not wanted.
///
/// Returns `WHARF_OK`; `WHARF_PANICKED`; `WHARF_RECOVERED`: a deferred call of `fn`'s own recovered;
/// `WHARF_CANCELED`: by `wharf_goexit`; else as `wharf_call`, and `fn` has not run.
///
/// Context: as `wharf_call`. Signals: safe; a panic inside allocates. Source: Go's recover.
///
/// # Safety
/// `fn` may be called with `arg`; `out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn wharf_try(
    r#fn: wharf_fn,
    arg: *mut c_void,
    out: *mut *mut wharf_panic_info,
) -> c_int {
    let Some(f) = r#fn else { return WHARF_EINVAL };
    // SAFETY: by the caller's word.
    let status = unsafe { callback::cgocallback::<true>(f, arg, out) };
    keep_frame();
    status
}

/// Runs `fn(arg)` on the host's stack, below the frames that made the call: from inside a callback,
/// for host functions that want the thread's own stack. On a host's stack already, it is a plain
/// call.
///
/// `fn`: not NULL. `arg`: handed on, never looked at.
///
/// Returns `WHARF_OK`: `fn` has run; `WHARF_EINVAL`: `fn` is NULL.
///
/// Context: any. Signals: safe. Source: Go's systemstack.
///
/// # Safety
/// `fn` may be called with `arg`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn wharf_on_host(r#fn: wharf_fn, arg: *mut c_void) -> c_int {
    let Some(f) = r#fn else { return WHARF_EINVAL };
    // SAFETY: by the caller's word.
    unsafe { callback::on_host(f, arg) };
    keep_frame();
    WHARF_OK
}

/// `wharf_attach_options.flags`: the thread must never wait for wharf. `wharf_trim` leaves its
/// stack alone.
pub const WHARF_ATTACH_REALTIME: u32 = 1;

/// How a thread is to be attached. Fill it with `WHARF_ATTACH_OPTIONS_INIT`, then set fields.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wharf_attach_options {
    /// `sizeof(wharf_attach_options)`; what else is taken, and what is not, as in
    /// `wharf_config.size`.
    pub size: u32,
    /// 0 or `WHARF_ATTACH_REALTIME`.
    pub flags: u32,
    /// The thread's name in `wharf_dump`, its first 15 bytes; copied. NULL: the system's name.
    pub name: *const c_char,
    /// Bytes of the callback stack to bring into memory now, so that no call faults them in; at
    /// most what a stack has, more is `WHARF_EINVAL`.
    pub touch_bytes: u64,
    /// Zero.
    pub reserved: [u64; 4],
}

impl Default for wharf_attach_options {
    fn default() -> Self {
        wharf_attach_options { size: 0, flags: 0, name: core::ptr::null(), touch_bytes: 0, reserved: [0; 4] }
    }
}

/// Ties the calling thread up before its first call, for threads that must not pay then. Starts the
/// runtime if nothing has. On a thread that is attached already, applies the options.
///
/// `options`: NULL is all defaults; read during the call.
///
/// Returns `WHARF_OK`; `WHARF_EINVAL`: an unknown flag, `size` or non-zero reserved word, or more
/// `touch_bytes` than a stack has: then the thread is attached, without the options; `WHARF_ESTATE`:
/// from inside a callback; else as `wharf_call`.
///
/// Context: a host thread outside callbacks. Signals: safe on a thread that is not attached, once the
/// runtime runs (see `wharf_call`). Source: Go's needm.
///
/// # Safety
/// `options` is NULL or readable for its `size`; its name is NULL or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wharf_attach(options: *const wharf_attach_options) -> c_int {
    // SAFETY: by the caller's word.
    let options = match unsafe { read_options(options, 8) } {
        Ok(options) => options,
        Err(status) => return status,
    };
    if options.flags & !WHARF_ATTACH_REALTIME != 0 || options.reserved != [0; 4] {
        return WHARF_EINVAL;
    }
    // SAFETY: not NULL, then a string.
    let name = (!options.name.is_null()).then(|| unsafe { CStr::from_ptr(options.name) });
    let realtime = options.flags & WHARF_ATTACH_REALTIME != 0;
    let touch = usize::try_from(options.touch_bytes).unwrap_or(usize::MAX);
    status(|| callback::attach(name, realtime, touch))
}

/// Lets the calling thread go before it ends. Its next call ties it up anew.
///
/// Returns `WHARF_OK`; `WHARF_ESTATE`: it is not attached, or inside a callback.
///
/// Context: a host thread outside callbacks. Signals: not safe. Source: Go's dropm.
#[unsafe(no_mangle)]
pub extern "C" fn wharf_detach() -> c_int {
    status(callback::dropm)
}
