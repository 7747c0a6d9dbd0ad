//! Looking in.

use core::ffi::c_int;

use crate::base::status::*;
use crate::{census, sys};

/// What the runtime has and has done. Fill it with `WHARF_STATS_INIT`, then read.
///
/// An M is wharf's record of an attached thread. When its thread ends or detaches, the M is kept
/// for the next thread that attaches.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct wharf_stats {
    /// In: `sizeof(wharf_stats)`, or any number of bytes that are there, 8 or more; less is
    /// `WHARF_EINVAL`. Out: how many of them were filled: never more than the library knows.
    pub size: u32,
    /// Ms made so far: the most threads that were attached at a time, about.
    pub threads_made: u32,
    /// Ms of threads that are attached now.
    pub threads_bound: u32,
    /// Ms that no thread has now, kept for the next ones.
    pub threads_spare: u32,
    /// Managed stacks made. Each has a number, from 1, for as long as it exists: a report and
    /// `wharf_dump` name it as `goroutine 3`. The number is that of the stack, so callbacks that run
    /// on it one after the other have the same.
    pub stacks_made: u32,
    /// Of those, how many a callback is on now; one that was left by `longjmp` counts until its
    /// thread calls in again or ends.
    pub stacks_used: u32,
    /// Calls that have returned since the start.
    pub calls: u64,
    /// Address space held, in bytes.
    pub bytes_reserved: u64,
    /// Of that, how much is in memory, in bytes.
    pub bytes_committed: u64,
}

/// Counts what the runtime has. Finds threads that have ended first.
///
/// `out`: not NULL, its `size` set; written only on success, as much as both sides know: the first
/// `size` bytes of the struct, or all of it if `size` is larger.
///
/// Returns `WHARF_OK`; in a runtime that does not run, all is 0. `WHARF_EINVAL`: `out` is NULL, or
/// its `size` is less than 8.
///
/// Context: any thread, in a callback too. The figures of other threads may be a moment old.
/// Signals: not safe.
///
/// # Safety
/// `out` is NULL or writable for its `size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wharf_stats_read(out: *mut wharf_stats) -> c_int {
    let _errno = sys::ErrnoGuard::new();
    // SAFETY: by the caller's word.
    let size = if out.is_null() { 0 } else { unsafe { (*out).size as usize } };
    if size < 8 {
        return WHARF_EINVAL;
    }
    let count = census::count();
    let filled = size.min(size_of::<wharf_stats>());
    let stats = wharf_stats {
        size: filled as u32,
        threads_made: count.threads_made,
        threads_bound: count.threads_bound,
        threads_spare: count.threads_spare,
        stacks_made: count.stacks_made,
        stacks_used: count.stacks_used,
        calls: count.calls,
        bytes_reserved: count.bytes_reserved as u64,
        bytes_committed: count.bytes_committed as u64,
    };
    // SAFETY: `filled` bytes are writable; plain data.
    unsafe { core::ptr::copy_nonoverlapping((&raw const stats).cast::<u8>(), out.cast(), filled) };
    WHARF_OK
}

/// Prints what the runtime has, as text for people: its state and sizes, and for each attached
/// thread a line with its M (`M3`, the number of wharf's record of it), tid, name, state and depth
/// of callbacks, then a line for each managed stack that it holds (`goroutine 3`, the number of the
/// stack) with its bounds and use. While a stop waits, and after it gave up, these are who is in its way.
///
/// `fd`: where to; stays the caller's. A reader that takes nothing is waited for, two seconds in all.
///
/// Returns `WHARF_OK`; `WHARF_EINVAL`: `fd` is negative; `WHARF_ESYS`: not all could be written, errno
/// says why, EAGAIN if the reader was too slow.
///
/// Context: any. Signals: safe; errno is kept on success.
#[unsafe(no_mangle)]
pub extern "C" fn wharf_dump(fd: c_int) -> c_int {
    if fd < 0 {
        return WHARF_EINVAL;
    }
    let errno = sys::ErrnoGuard::new();
    if census::dump(fd) {
        return WHARF_OK;
    }
    core::mem::forget(errno);
    WHARF_ESYS
}
