//! ARM: `siginfo_t`, `struct ucontext` with the floating-point state at its end, and code that nobody runs any more.

use super::place;
use crate::arch::{Delivery, Regs};

/// glibc's, in Thumb code: `mov.w r7, #173; svc 0`.
pub(crate) const SIGRETURN: &[u8] = &[0x4f, 0xf0, 0xad, 0x07, 0, 0xdf];
pub(crate) const CONTEXT_AT_RETURN: usize = CONTEXT;
pub(super) const INFO: usize = 0;
pub(super) const CONTEXT: usize = 128;
pub(super) const RED_ZONE: usize = 0;
pub(super) const SIGMASK: usize = 104;
/// Behind three words of the fault's.
pub(super) const REGISTERS: usize = 32;
pub(super) const ORDER: [usize; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// From the context: the processor's state.
const STATE: usize = REGISTERS + 4 * 16;

/// Has the thread go on with `f(a, b)`.
///
/// # Safety
/// The context is the system's.
pub(super) unsafe fn start_at(context: usize, f: usize, a: usize, b: usize) {
    const THUMB: usize = 0x20;
    /// Thumb, in which conditional instructions, Jazelle, the order of bytes.
    const OFF: usize = THUMB | 0x600_fc00 | 0x100_0000 | 0x200;
    // SAFETY: as the caller says.
    unsafe {
        *place(context, Regs::PC) = f & !1;
        *place(context, 0) = a;
        *place(context, 1) = b;
        let state = (context + STATE) as *mut usize;
        *state = *state & !OFF | if f & 1 == 0 { 0 } else { THUMB };
    }
}

/// One past all that the system wrote.
///
/// # Safety
/// The delivery's context is the system's.
pub(super) unsafe fn frame_end(delivery: &Delivery) -> Option<usize> {
    /// The context with the floating-point state, and the code.
    const BYTES: usize = CONTEXT + 744 + 16;
    Some(delivery.sp + BYTES)
}

/// Nothing points into the frame.
///
/// # Safety
/// The delivery is of the moved frame.
pub(super) unsafe fn relocate(_: &mut Delivery, _: usize) {}
