//! What the kernel writes for a signal handler: a frame with the interrupted thread's registers, its
//! `ucontext`. By the kernel's layout, since libcs have names of their own for its parts. One file per CPU:
//!
//! * `SIGRETURN`, the instructions by which a handler returns, and `CONTEXT_AT_RETURN`, from the stack
//!   pointer before them to the context;
//! * `CONTEXT`, `INFO`, from the stack pointer of the handler's first instruction; `RED_ZONE`;
//! * `SIGMASK`, `REGISTERS`, from the context, and `ORDER`, the DWARF numbers of the registers there;
//! * `start_at`, `frame_end`, `relocate`, told below.
//!
//! All of it `[sig]`.

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "x86", path = "x86.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(target_arch = "riscv64", path = "riscv64.rs")]
#[cfg_attr(target_arch = "arm", path = "arm.rs")]
mod cpu;

use core::ptr;

use crate::arch::{Delivery, Regs};
use cpu::{CONTEXT_AT_RETURN, SIGRETURN};

const WORD: usize = size_of::<usize>();

/// Where the context is of a handler that is about to return, by this code and with this stack pointer.
pub(crate) fn context_at_return(code: &[u8], sp: usize) -> Option<usize> {
    code.starts_with(SIGRETURN).then(|| sp.wrapping_add(CONTEXT_AT_RETURN))
}

/// The registers that the context at `context` holds, whose words `word` reads.
pub(crate) fn registers(context: usize, mut word: impl FnMut(usize) -> Option<usize>) -> Option<Regs> {
    let mut regs = Regs([0; size_of::<Regs>() / WORD]);
    let saved = context.wrapping_add(cpu::REGISTERS);
    for (i, &register) in cpu::ORDER.iter().enumerate() {
        regs.0[register] = word(saved.wrapping_add(WORD * i))?;
    }
    Some(regs)
}

/// The registers of what was interrupted.
///
/// # Safety
/// The delivery's context is the system's.
pub(crate) unsafe fn interrupted(delivery: &Delivery) -> Regs {
    // SAFETY: as the caller says.
    let word = |at: usize| Some(unsafe { *(at as *const usize) });
    registers(delivery.context, word).unwrap_or(Regs([0; size_of::<Regs>() / WORD]))
}

/// The signals that were held back when it came.
///
/// # Safety
/// As [`interrupted`].
pub(crate) unsafe fn held_back(delivery: &Delivery) -> u64 {
    // SAFETY: as the caller says.
    unsafe { ((delivery.context + cpu::SIGMASK) as *const u64).read_unaligned() }
}

/// Changes them: they are held back when the handler has returned.
///
/// # Safety
/// As [`interrupted`].
pub(crate) unsafe fn hold_back(delivery: &Delivery, signals: u64) {
    // SAFETY: as the caller says.
    unsafe { ((delivery.context + cpu::SIGMASK) as *mut u64).write_unaligned(signals) }
}

/// The signals that were held back before a handler which is about to return, at [`SIGRETURN`] with this stack
/// pointer; if they can be read.
pub(crate) fn held_back_before(sp: usize) -> Option<u64> {
    let at = sp.checked_add(CONTEXT_AT_RETURN + cpu::SIGMASK)?;
    let can_be_read = super::readable(at) && super::readable(at + size_of::<u64>() - 1);
    // SAFETY: it can be.
    can_be_read.then(|| unsafe { (at as *const u64).read_unaligned() })
}

/// Has the interrupted thread go on with a jump to `f(a, b)`, on the stack that it is on.
///
/// # Safety
/// The delivery's context is the system's, and `f` may be jumped to.
pub(crate) unsafe fn go_on_with(delivery: &Delivery, f: usize, a: usize, b: usize) {
    // SAFETY: as the caller says.
    unsafe { cpu::start_at(delivery.context, f, a, b) }
}

/// The place of a register in the context at `context`, by its DWARF number.
fn place(context: usize, register: usize) -> *mut usize {
    // The last one: on i386 others share the program counter's number.
    let at = cpu::ORDER.iter().rposition(|&at| at == register).unwrap_or_default();
    (context + cpu::REGISTERS + WORD * at) as *mut usize
}

/// Adds to a word that holds an address.
///
/// # Safety
/// The word may be read and written.
#[cfg(not(target_arch = "arm"))]
unsafe fn add(word: usize, delta: usize) {
    let word = word as *mut usize;
    // SAFETY: as the caller says.
    unsafe { *word = (*word).wrapping_add(delta) };
}

/// Whether the system called the handler, and not another handler of the host's.
pub(crate) fn is_from_system(delivery: &Delivery) -> bool {
    delivery.context == delivery.sp + cpu::CONTEXT
}

/// If the handler runs on the alternate stack, and was called by the system, moves the signal's frame
/// to the stack that was interrupted, as if the system had put it there. False if there is no room.
///
/// # Safety
/// The delivery's context is the system's.
pub(crate) unsafe fn move_to_interrupted_stack(delivery: &mut Delivery) -> bool {
    /// Room for the handler's first steps.
    const ROOM: usize = 512;
    /// Of the frame, and of the floating-point state in it.
    const ALIGNMENT: usize = 64;
    // SAFETY: the frame is the kernel's if the context stands in it; the new one is written where the
    // kernel says that it can be.
    unsafe {
        let alternate = &*((delivery.context + 2 * WORD) as *const libc::stack_t);
        let within = |sp: usize| sp.wrapping_sub(alternate.ss_sp as usize) < alternate.ss_size;
        let interrupted = interrupted(delivery).0[Regs::SP];
        if !is_from_system(delivery) || !within(delivery.sp) || within(interrupted) {
            return true;
        }
        let Some(end) = cpu::frame_end(delivery) else { return true };
        let bytes = end - delivery.sp;
        let highest = interrupted - cpu::RED_ZONE - bytes;
        let new = highest - (highest.wrapping_sub(delivery.sp) & (ALIGNMENT - 1));
        let page = super::page_bytes();
        let mut places = (new - ROOM..interrupted).step_by(page).chain([interrupted - 2 * WORD]);
        if !places.all(|at| writable(at)) {
            return false;
        }
        ptr::copy_nonoverlapping(delivery.sp as *const u8, new as *mut u8, bytes);
        let delta = new.wrapping_sub(delivery.sp);
        delivery.sp = new;
        delivery.info = new + cpu::INFO;
        delivery.context = new + cpu::CONTEXT;
        cpu::relocate(delivery, delta);
        true
    }
}

/// Whether the eight bytes at `addr` can be written, asked of the kernel, which overwrites them.
unsafe fn writable(addr: usize) -> bool {
    const SET_BYTES: usize = 8;
    // SAFETY: no set is given: the mask stays as it is, and is written.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, 0, addr & !7, SET_BYTES) == 0 }
}
