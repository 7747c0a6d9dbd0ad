//! What a Rust panic costs at least that ends in C, with its trace: `make bench` compares wharf with it.
//! std searches for a handler, finds who forces its frames to be unwound and notes each, std is told that
//! its panic is over, and a jump goes to C. A gate like wharf's, with nothing behind it.

use std::arch::{global_asm, naked_asm};
use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::panic::catch_unwind;
use std::ptr;

/// What `plugin_floor` is given, all zeroes but for `jump`: where to go in the end.
#[repr(C)]
pub struct Floor {
    jump: unsafe extern "C-unwind" fn(*mut Floor) -> !,
    /// The head of an exception: aligned as the host has it.
    own: [usize; 4],
    thrown: *mut c_void,
    /// Frames unwound behind the gate.
    behind: usize,
    count: usize,
    trace: [usize; 32],
}

thread_local! {
    static INNERMOST: UnsafeCell<*mut Floor> = const { UnsafeCell::new(ptr::null_mut()) };
}

type StopFn = unsafe extern "C-unwind" fn(c_int, c_int, u64, *mut c_void, *mut c_void, *mut Floor) -> c_int;

unsafe extern "C-unwind" {
    fn _Unwind_ForcedUnwind(exception: *mut c_void, stop: StopFn, arg: *mut Floor) -> c_int;
    fn _Unwind_Resume(exception: *mut c_void) -> !;
}
unsafe extern "C" {
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

global_asm!(
    ".pushsection .data.rel.ro.floor,\"aw\",@progbits",
    ".p2align 3",
    ".globl __plugin_floor_personality",
    ".hidden __plugin_floor_personality",
    "__plugin_floor_personality: .quad {}",
    ".popsection",
    sym personality,
);

/// Panics behind a gate.
///
/// # Safety
/// `floor` outlives the panic, and its `jump` leaves this function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn plugin_floor(floor: *mut Floor) {
    INNERMOST.with(|innermost| {
        // SAFETY: of this thread alone.
        unsafe { *innermost.get() = floor };
    });
    // SAFETY: as the caller says.
    unsafe { guarded(panics) }
}

extern "C-unwind" fn panics() {
    panic!("BOOM");
}

#[unsafe(naked)]
unsafe extern "C-unwind" fn guarded(run: extern "C-unwind" fn()) {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_personality 0x9b, __plugin_floor_personality",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "call rdi",
        "leave",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

unsafe extern "C-unwind" fn personality(
    _: c_int,
    actions: c_int,
    _: u64,
    exception: *mut c_void,
    _: *mut c_void,
) -> c_int {
    const SEARCH_PHASE: c_int = 1;
    const CONTINUE_UNWIND: c_int = 8;
    // SAFETY: of this thread alone; `plugin_floor` has set it.
    let floor = unsafe { &mut *INNERMOST.with(|innermost| *innermost.get()) };
    if actions & SEARCH_PHASE != 0 {
        (floor.thrown, floor.behind, floor.count) = (exception, 0, 0);
        let own = (&raw mut floor.own).cast();
        // SAFETY: a head of all zeroes is one.
        unsafe { _Unwind_ForcedUnwind(own, stop, floor) };
    }
    // SAFETY: thrown by this std, and not caught yet.
    let _ = catch_unwind(|| unsafe { _Unwind_Resume(floor.thrown) });
    floor.thrown = ptr::null_mut();
    CONTINUE_UNWIND
}

unsafe extern "C-unwind" fn stop(
    _: c_int,
    _: c_int,
    _: u64,
    _: *mut c_void,
    context: *mut c_void,
    floor: *mut Floor,
) -> c_int {
    // SAFETY: as `plugin_floor` says.
    let floor = unsafe { &mut *floor };
    // SAFETY: a frame that is looked at.
    let pc = unsafe { _Unwind_GetIP(context) };
    if let Some(slot) = floor.trace.get_mut(floor.count) {
        *slot = pc;
    }
    floor.count += 1;
    if floor.thrown.is_null() {
        floor.behind += 1;
    }
    // The first one is `plugin_floor`, the next one is C.
    if floor.behind == 2 {
        // SAFETY: as `plugin_floor` says.
        unsafe { (floor.jump)(floor) }
    }
    0
}
