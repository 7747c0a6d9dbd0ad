//! The unwinder that the process shares, as every ELF and Mach-O system has it: `unwind.h`. What it calls, and what it
//! tells of a frame, is of two kinds: C++'s on Itanium, and ARM's.

use core::ffi::{c_int, c_void};

#[cfg_attr(not(target_arch = "arm"), path = "unwind/itanium.rs")]
#[cfg_attr(target_arch = "arm", path = "unwind/ehabi.rs")]
mod abi;
pub(crate) use abi::{Context, backtrace};
#[cfg(target_arch = "arm")]
pub(crate) use abi::{Entry, Rules, entry_of, is_first};

/// Private words of an exception's header.
const PRIVATE: usize = if cfg!(target_arch = "arm") { 20 } else { 2 };

/// `_Unwind_Exception`, which stands at the head of what is thrown.
#[repr(C, align(16))]
pub(crate) struct Exception {
    /// Tells runtimes that it is none of theirs.
    pub(crate) class: u64,
    /// Called by one that has swallowed it.
    pub(crate) cleanup: Option<unsafe extern "C" fn(c_int, *mut Exception)>,
    private: [usize; PRIVATE],
}

impl Exception {
    // The last byte is 0: libstdc++ takes an odd one for its own `std::rethrow_exception`.
    pub(crate) fn new(cleanup: unsafe extern "C" fn(c_int, *mut Exception)) -> Exception {
        Exception { class: u64::from_be_bytes(*b"WHRFPNC\0"), cleanup: Some(cleanup), private: [0; PRIVATE] }
    }
}

/// What unwinds a stack, and ends it by going elsewhere.
pub(crate) trait Unwinding {
    /// Looks at a frame before it is unwound; `is_last`: it cannot be.
    ///
    /// # Safety
    /// `this` is what `forced_unwind` was given.
    unsafe fn visit(this: *mut Self, frame: Context, is_last: bool);
}

/// Unwinds frame by frame, running what their languages want run. Returns only if it cannot begin.
///
/// # Safety
/// `exception` and `arg` live until `visit` has gone elsewhere: not on the stack that is unwound.
#[inline(always)]
pub(crate) unsafe fn forced_unwind<T: Unwinding>(exception: *mut Exception, arg: *mut T) {
    unsafe extern "C-unwind" {
        fn _Unwind_ForcedUnwind(exception: *mut Exception, stop: *const c_void, arg: *mut c_void) -> c_int;
    }
    // SAFETY: as the caller says.
    unsafe { _Unwind_ForcedUnwind(exception, abi::stop::<T> as *const c_void, arg.cast()) };
}
