//! Panics.

use core::ffi::{CStr, c_char};

use crate::panic;

/// Ends the process with a report: `panic: msg`, a blank line, `goroutine N [running, locked to
/// thread]:` and the trace of the calling thread, from the caller through `wharf_call` down to the
/// host's thread function; then SIGABRT, with the host's handler in its place.
///
/// The report goes to standard error. It is made on a stack that is kept for it, allocates nothing,
/// takes no lock, and has two seconds; then the process dies whatever holds it up. One thread
/// reports; others that panic meanwhile wait for the end.
///
/// `msg`: a string; NULL is said to be NULL. Line breaks are indented.
///
/// Never returns. Context: any. Signals: safe. Source: Go's panic.
///
/// # Safety
/// `msg` is NULL or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn wharf_panic(msg: *const c_char) -> ! {
    let text: &[u8] = if msg.is_null() {
        b"wharf_panic was given NULL"
    } else {
        // SAFETY: by the caller's word.
        unsafe { CStr::from_ptr(msg) }.to_bytes()
    };
    panic::fatal(&|out| out.indented(text))
}
