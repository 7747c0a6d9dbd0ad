//! Frames as C++'s ABI on Itanium has them, which all CPUs but ARM have adopted.

use core::ffi::{c_int, c_void};

use super::{Exception, Unwinding};

/// A frame, while the unwinder looks at it.
#[repr(transparent)]
pub(crate) struct Context(*mut c_void);

type TraceFn = unsafe extern "C-unwind" fn(Context, *mut c_void) -> c_int;

unsafe extern "C-unwind" {
    fn _Unwind_Backtrace(see: TraceFn, arg: *mut c_void) -> c_int;
}
unsafe extern "C" {
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
    fn _Unwind_GetGR(context: *mut c_void, register: c_int) -> usize;
    fn _Unwind_GetCFA(context: *mut c_void) -> usize;
    fn _Unwind_GetLanguageSpecificData(context: *mut c_void) -> *const u8;
    fn _Unwind_GetRegionStart(context: *mut c_void) -> usize;
}

impl Context {
    pub(crate) fn pc(&self) -> usize {
        // SAFETY: alive while the unwinder looks at it; so for all below.
        unsafe { _Unwind_GetIP(self.0) }
    }

    /// The stack pointer as the frame's callee will leave it.
    pub(crate) fn sp(&self) -> usize {
        // SAFETY: as above.
        unsafe { _Unwind_GetCFA(self.0) }
    }

    /// A register that every callee keeps, by its DWARF number.
    pub(crate) fn register(&self, number: usize) -> usize {
        // SAFETY: as above.
        unsafe { _Unwind_GetGR(self.0, number as c_int) }
    }

    /// Whether it is of `function`.
    pub(crate) fn is_of(&self, function: usize) -> bool {
        // SAFETY: as above.
        unsafe { _Unwind_GetRegionStart(self.0) == function }
    }

    /// The function's start and its language's own table, if it has one.
    pub(crate) fn language_table(&self) -> Option<(usize, *const u8)> {
        // SAFETY: as above.
        let table = unsafe { _Unwind_GetLanguageSpecificData(self.0) };
        // SAFETY: as above.
        (!table.is_null()).then(|| (unsafe { _Unwind_GetRegionStart(self.0) }, table))
    }
}

/// Shows `see` every frame from the caller's outward, as long as it says so. The last one has pc 0
/// if it is the thread's first; else nothing is known of its caller.
pub(crate) fn backtrace(see: &mut dyn FnMut(&Context) -> bool) {
    type See<'a> = &'a mut dyn FnMut(&Context) -> bool;
    unsafe extern "C-unwind" fn one(frame: Context, see: *mut c_void) -> c_int {
        const NO_REASON: c_int = 0;
        const NORMAL_STOP: c_int = 4;
        // SAFETY: handed over below.
        let see = unsafe { &mut *see.cast::<See<'_>>() };
        if see(&frame) { NO_REASON } else { NORMAL_STOP }
    }
    let mut see: See<'_> = see;
    // SAFETY: `see` outlives the call.
    unsafe { _Unwind_Backtrace(one, (&raw mut see).cast()) };
}

/// Called by the unwinder for each frame, before its language is asked.
pub(super) unsafe extern "C-unwind" fn stop<T: Unwinding>(
    _: c_int,
    actions: c_int,
    _: u64,
    _: *mut Exception,
    context: Context,
    arg: *mut c_void,
) -> c_int {
    const END_OF_STACK: c_int = 16;
    const NO_REASON: c_int = 0;
    // SAFETY: what `forced_unwind` was given.
    unsafe { T::visit(arg.cast(), context, actions & END_OF_STACK != 0) };
    NO_REASON
}
