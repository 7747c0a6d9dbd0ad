//! AArch64: `siginfo_t`, `struct ucontext` with a list of further state, which may go on behind it, and
//! a frame record, which the handler's frame pointer points at.

use super::{add, place};
use crate::arch::{Delivery, Regs};

/// `mov x8, #139; svc #0`.
pub(crate) const SIGRETURN: &[u8] = &[0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4];
pub(crate) const CONTEXT_AT_RETURN: usize = CONTEXT;
pub(super) const INFO: usize = 0;
pub(super) const CONTEXT: usize = 128;
pub(super) const RED_ZONE: usize = 0;
pub(super) const SIGMASK: usize = 40;
pub(super) const REGISTERS: usize = 184;
/// x0-x30, sp, pc.
pub(super) const ORDER: [usize; 33] = {
    let mut order = [0; 33];
    let mut at = 0;
    while at < order.len() {
        order[at] = at;
        at += 1;
    }
    order
};

/// From the context: the processor's state, and the list.
const STATE: usize = REGISTERS + 8 * 33;
const LIST: usize = 464;
const LIST_BYTES: usize = 4096;

/// Has the thread go on with `f(a, b)`.
///
/// # Safety
/// The context is the system's.
pub(super) unsafe fn start_at(context: usize, f: usize, a: usize, b: usize) {
    /// By what kind of jump the interrupted instruction was reached.
    const BRANCH_TYPE: usize = 0xc00;
    // SAFETY: as the caller says.
    unsafe {
        *place(context, Regs::PC) = f;
        *place(context, 0) = a;
        *place(context, 1) = b;
        *((context + STATE) as *mut usize) &= !BRANCH_TYPE;
    }
}

/// One past all that the system wrote; `None` if the frame pointer has been changed since.
///
/// # Safety
/// The delivery's context is the system's.
pub(super) unsafe fn frame_end(delivery: &Delivery) -> Option<usize> {
    const MOST_BYTES: usize = 1 << 20;
    let (least, end) = (delivery.context + LIST + LIST_BYTES, delivery.fp.wrapping_add(16));
    (end >= least && end - least < MOST_BYTES).then_some(end)
}

/// What points into the frame goes with it.
///
/// # Safety
/// The delivery is of the moved frame.
pub(super) unsafe fn relocate(delivery: &mut Delivery, delta: usize) {
    /// Tells where the list goes on.
    const EXTRA: u32 = 0x4558_5401;
    delivery.fp = delivery.fp.wrapping_add(delta);
    let list = delivery.context + LIST;
    let mut at = list;
    while at + 16 <= list + LIST_BYTES {
        // SAFETY: as the caller says: each entry begins with its kind and its size; one of neither ends it.
        unsafe {
            let [kind, bytes] = *(at as *const [u32; 2]);
            match kind {
                0 => return,
                EXTRA => add(at + 8, delta),
                _ => {}
            }
            at += (bytes as usize).max(8);
        }
    }
}
