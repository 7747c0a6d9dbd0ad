//! x86-64: return address, `struct ucontext`, `siginfo_t`; above them the floating-point state.

use super::{add, place};
use crate::arch::{Delivery, Regs};

/// `mov rax, 15; syscall`.
pub(crate) const SIGRETURN: &[u8] = &[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
pub(crate) const CONTEXT_AT_RETURN: usize = 0;
pub(super) const CONTEXT: usize = 8;
pub(super) const INFO: usize = CONTEXT + 304;
/// What a function may use below its stack pointer.
pub(super) const RED_ZONE: usize = 128;
pub(super) const SIGMASK: usize = 296;
pub(super) const REGISTERS: usize = 40;
/// r8-r15 rdi rsi rbp rbx rdx rax rcx rsp rip.
pub(super) const ORDER: [usize; 17] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, Regs::SP, Regs::PC];

/// From the context: the flags, and the address of the floating-point state.
const FLAGS: usize = REGISTERS + 8 * 17;
const STATE: usize = 224;

/// Has the thread go on with `f(a, b)`.
///
/// # Safety
/// The context is the system's.
pub(super) unsafe fn start_at(context: usize, f: usize, a: usize, b: usize) {
    /// Direction, single step and alignment check: off, as the ABI wants them at a function's start.
    const OFF: usize = 0x400 | 0x100 | 0x40000;
    /// Of the x87: status, and which registers are in use.
    const STATUS: usize = 2;
    const TAGS: usize = 4;
    // SAFETY: as the caller says.
    unsafe {
        *place(context, Regs::PC) = f;
        *place(context, 5) = a;
        *place(context, 4) = b;
        *((context + FLAGS) as *mut usize) &= !OFF;
        let state = *((context + STATE) as *const usize);
        if state != 0 {
            // No exception pending, no register in use.
            *((state + STATUS) as *mut u16) = 0;
            *((state + TAGS) as *mut u16) = 0;
        }
    }
}

/// One past all that the system wrote.
///
/// # Safety
/// The delivery's context is the system's.
pub(super) unsafe fn frame_end(delivery: &Delivery) -> Option<usize> {
    const BYTES: usize = INFO + 128;
    /// In the state: whether there is more of it, and how much.
    const MAGIC_AT: usize = 464;
    const MAGIC: u32 = 0x4650_5853;
    const LEAST_BYTES: usize = 512;
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
    let state = delivery.context + STATE;
    // SAFETY: as the caller says.
    unsafe {
        if *(state as *const usize) != 0 {
            add(state, delta);
        }
    }
}
