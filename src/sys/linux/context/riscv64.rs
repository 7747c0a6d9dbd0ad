//! RISC-V, 64 bits: `siginfo_t`, `struct ucontext`, which ends with the floating-point state and a list of further
//! state.

use super::{WORD, add, place};
use crate::arch::{Delivery, Regs};

/// `li a7, 139; ecall`.
pub(crate) const SIGRETURN: &[u8] = &[0x93, 0x08, 0xb0, 0x08, 0x73, 0, 0, 0];
pub(crate) const CONTEXT_AT_RETURN: usize = CONTEXT;
pub(super) const INFO: usize = 0;
pub(super) const CONTEXT: usize = 128;
pub(super) const RED_ZONE: usize = 0;
pub(super) const SIGMASK: usize = 40;
pub(super) const REGISTERS: usize = 176;
/// pc, x1-x31.
pub(super) const ORDER: [usize; 32] = {
    let mut order = [0; 32];
    let mut at = 0;
    while at < order.len() {
        order[at] = at;
        at += 1;
    }
    order
};

/// From the context: the list, in the floating-point state's last words.
const LIST: usize = REGISTERS + 8 * 32 + 520;

/// Has the thread go on with `f(a, b)`.
///
/// # Safety
/// The context is the system's.
pub(super) unsafe fn start_at(context: usize, f: usize, a: usize, b: usize) {
    // SAFETY: as the caller says.
    unsafe {
        *place(context, Regs::PC) = f;
        *place(context, 10) = a;
        *place(context, 11) = b;
    }
}

/// One past all that the system wrote: an alternate stack's end, where it begins one.
///
/// # Safety
/// The delivery's context is the system's.
pub(super) unsafe fn frame_end(delivery: &Delivery) -> Option<usize> {
    // SAFETY: as the caller says.
    let alternate = unsafe { &*((delivery.context + 2 * WORD) as *const libc::stack_t) };
    Some(alternate.ss_sp as usize + alternate.ss_size)
}

/// What points into the frame goes with it.
///
/// # Safety
/// The delivery is of the moved frame.
pub(super) unsafe fn relocate(delivery: &mut Delivery, delta: usize) {
    /// The vector registers, which the entry points at.
    const VECTORS: u32 = 0x5346_5457;
    const POINTER: usize = 48;
    // SAFETY: as the caller says: each entry begins with its kind and its size; one of neither ends the list, which
    // an emulator's shorter frame has not got.
    unsafe {
        let end = frame_end(delivery).map_or(0, |end| end.wrapping_add(delta));
        let mut at = delivery.context + LIST;
        while at + WORD <= end {
            let [kind, bytes] = *(at as *const [u32; 2]);
            match kind {
                0 => return,
                VECTORS => add(at + POINTER, delta),
                _ => {}
            }
            at += (bytes as usize).max(WORD);
        }
    }
}
