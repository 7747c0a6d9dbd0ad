//! The C face, one file per chapter of the header: checks, one call down, status back.
//!
//! Every doc comment here becomes the header's. A contract says: what it does; each parameter with
//! unit, whether it may be NULL, and who owns it; what is returned; *Context*, from where it may be
//! called; *Signals*, whether a signal handler may call it; *Source*, the Go function it answers to.

#![allow(non_camel_case_types)]

pub mod version;

pub mod runtime;

pub mod callbacks;

pub mod panics;

pub mod time;

pub mod looking;

pub mod table;

use core::ffi::{c_int, c_void};

use crate::base::Status;
use crate::base::status::*;
use crate::sys;

/// What wharf calls back: a function of the host's and the pointer that the host gave with it.
pub type wharf_fn = Option<unsafe extern "C-unwind" fn(arg: *mut c_void)>;

/// What `work` comes to, in C; the host's errno stays.
fn status(work: impl FnOnce() -> Result<(), Status>) -> c_int {
    let _errno = sys::ErrnoGuard::new();
    match work() {
        Ok(()) => WHARF_OK,
        Err(status) => status,
    }
}

/// Reads an option struct whose first field is `uint32_t size`: NULL is all defaults, a shorter one
/// than ours (an older host's) is filled with zeros, and what a longer one (a newer host's) has
/// more must be zero, since we cannot do what it asks.
///
/// # Safety
/// `from` is NULL or readable for the `size` bytes that it says. `[abi]`
unsafe fn read_options<T: Default + Copy>(from: *const T, least: usize) -> Result<T, Status> {
    let mut options = T::default();
    if from.is_null() {
        return Ok(options);
    }
    // SAFETY: by the caller's word.
    let size = unsafe { from.cast::<u32>().read_unaligned() } as usize;
    let known = size_of::<T>();
    if size < least || size > 4096 {
        return Err(WHARF_EINVAL);
    }
    // SAFETY: `size` bytes are readable; T is plain data.
    unsafe {
        core::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut options).cast(), size.min(known));
        if (known..size).any(|at| from.cast::<u8>().add(at).read() != 0) {
            return Err(WHARF_EINVAL);
        }
    }
    Ok(options)
}
