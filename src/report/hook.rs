//! The host's function that gets the finished report.

#![allow(non_camel_case_types)]

use core::ffi::{c_char, c_void};

use crate::base::atomic::{AtomicBool, Ordering};
use crate::base::status::*;
use crate::base::{Lock, Refused, Snapshot, Status};
use crate::sys;

/// What gets a report: its text, which is followed by a NUL, its bytes, and the pointer that the host gave.
pub type wharf_fatal_fn =
    Option<unsafe extern "C-unwind" fn(report: *const c_char, bytes: usize, arg: *mut c_void)>;

/// How long one who sets it waits for another.
const PATIENCE_NS: i64 = 1_000_000_000;

/// The function, 0 for none, and its argument.
static HOOK: Snapshot<2> = Snapshot::new();
/// Whether it runs; for ever, if it is left by a jump.
pub(super) static RUNS: AtomicBool = AtomicBool::new(false);
static SETTING: Lock<()> = Lock::new(());

/// Takes the place of what was set before.
pub(crate) fn on_fatal(f: wharf_fatal_fn, arg: *mut c_void) -> Result<(), Status> {
    let _held = SETTING.take(sys::now_ns() + PATIENCE_NS).map_err(|why| match why {
        Refused::Mine => WHARF_ESTATE,
        Refused::Late => WHARF_TIMEOUT,
    })?;
    HOOK.write(&[f.map_or(0, |f| f as usize), arg as usize]);
    Ok(())
}

/// Hands the report over, if anybody wants it.
///
/// # Safety
/// A NUL follows the text.
pub(super) unsafe fn call(text: &[u8]) {
    let [f, arg] = HOOK.read().unwrap_or_default();
    // SAFETY: what `on_fatal` was given, or 0.
    let f = unsafe { core::mem::transmute::<usize, wharf_fatal_fn>(f) };
    if let Some(f) = f {
        RUNS.store(true, Ordering::Relaxed);
        let left = DiesWhenLeft;
        // SAFETY: by the word of whoever set it.
        unsafe { f(text.as_ptr().cast(), text.len(), arg as *mut c_void) };
        core::mem::forget(left);
        RUNS.store(false, Ordering::Relaxed);
    }
}

/// An exception of the host's, or `pthread_exit`, has ended the function: nobody is left whom the timer could
/// send its signal to.
struct DiesWhenLeft;

impl Drop for DiesWhenLeft {
    fn drop(&mut self) {
        sys::die_of_default_abort()
    }
}
