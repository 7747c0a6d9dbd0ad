//! i386: return address, the handler's three arguments, `siginfo_t`, `struct ucontext`; above them the
//! floating-point state, twice: as `fsave` and as `fxsave` write it.

use super::{add, place};
use crate::arch::{Delivery, Regs};

/// `mov eax, 173; int 0x80`.
pub(crate) const SIGRETURN: &[u8] = &[0xb8, 0xad, 0, 0, 0, 0xcd, 0x80];
pub(crate) const CONTEXT_AT_RETURN: usize = CONTEXT - 4;
pub(super) const INFO: usize = 16;
pub(super) const CONTEXT: usize = INFO + 128;
pub(super) const RED_ZONE: usize = 0;
pub(super) const SIGMASK: usize = 108;
/// Behind four segment registers.
pub(super) const REGISTERS: usize = 36;
/// edi esi ebp esp ebx edx ecx eax, two words of a trap's that the program counter comes after, eip.
pub(super) const ORDER: [usize; 11] = [7, 6, 5, Regs::SP, 3, 2, 1, 0, Regs::PC, Regs::PC, Regs::PC];

/// From the context: the flags, and the address of the floating-point state.
const FLAGS: usize = REGISTERS + 4 * 12;
const STATE: usize = 96;

/// Has the thread go on with `f(a, b)`, which takes both in registers (`fastcall`).
///
/// # Safety
/// The context is the system's.
pub(super) unsafe fn start_at(context: usize, f: usize, a: usize, b: usize) {
    /// Direction, single step and alignment check: off, as the ABI wants them at a function's start.
    const OFF: usize = 0x400 | 0x100 | 0x40000;
    /// Of the x87: status, and which registers are in use, two bits each.
    const STATUS: usize = 4;
    const TAGS: usize = 8;
    // SAFETY: as the caller says.
    unsafe {
        *place(context, Regs::PC) = f;
        *place(context, 1) = a;
        *place(context, 2) = b;
        *((context + FLAGS) as *mut usize) &= !OFF;
        let state = *((context + STATE) as *const usize);
        if state != 0 {
            // No exception pending, no register in use.
            *((state + STATUS) as *mut u16) = 0;
            *((state + TAGS) as *mut u16) = u16::MAX;
        }
    }
}

/// One past all that the system wrote.
///
/// # Safety
/// The delivery's context is the system's.
pub(super) unsafe fn frame_end(delivery: &Delivery) -> Option<usize> {
    /// The context without the floating-point state, and code that nobody runs any more.
    const BYTES: usize = CONTEXT + 116 + 8;
    const FSAVE_BYTES: usize = 112;
    /// In the state: whether there is more of it, and how much.
    const MAGIC_AT: usize = FSAVE_BYTES + 464;
    const MAGIC: u32 = 0x4650_5853;
    const LEAST_BYTES: usize = FSAVE_BYTES + 512;
    // SAFETY: as the caller says.
    unsafe {
        let state = *((delivery.context + STATE) as *const usize);
        let word = |at: usize| ((state + MAGIC_AT + at) as *const u32).read_unaligned();
        Some(match state {
            0 => delivery.sp + BYTES,
            _ if word(0) == MAGIC => state + word(4) as usize,
            _ => state + LEAST_BYTES,
        })
    }
}

/// What points into the frame goes with it.
///
/// # Safety
/// The delivery is of the moved frame.
pub(super) unsafe fn relocate(delivery: &mut Delivery, delta: usize) {
    /// The handler's arguments.
    const INFO_ARGUMENT: usize = 8;
    const CONTEXT_ARGUMENT: usize = 12;
    let state = delivery.context + STATE;
    // SAFETY: as the caller says.
    unsafe {
        add(delivery.sp + INFO_ARGUMENT, delta);
        add(delivery.sp + CONTEXT_ARGUMENT, delta);
        if *(state as *const usize) != 0 {
            add(state, delta);
        }
    }
}
