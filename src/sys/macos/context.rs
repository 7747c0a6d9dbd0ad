//! What the system writes for a signal handler: a `ucontext`, and in it the address of the interrupted thread's
//! registers. A function of the system's, `_sigtramp`, calls the handler, and returns by what it has kept itself: where,
//! its own unwind tables tell. All of it `[sig]`.

use crate::arch::{Delivery, Regs};

const WORD: usize = size_of::<usize>();
/// From the context.
const SIGMASK: usize = 4;
const MACHINE: usize = 48;
/// From where that points.
const REGISTERS: usize = 16;
/// The registers there, by their DWARF numbers: rax rbx rcx rdx rdi rsi rbp rsp r8-r15 rip.
#[cfg(target_arch = "x86_64")]
const ORDER: [usize; 17] = [0, 3, 2, 1, 5, 4, 6, Regs::SP, 8, 9, 10, 11, 12, 13, 14, 15, Regs::PC];
/// x0-x30, sp, pc.
#[cfg(target_arch = "aarch64")]
const ORDER: [usize; 33] = {
    let mut order = [0; 33];
    let mut at = 0;
    while at < order.len() {
        order[at] = at;
        at += 1;
    }
    order
};

/// Where the context is of a handler that is about to return, by this code and with this stack pointer: that cannot be
/// told here, and need not be.
pub(crate) fn context_at_return(_code: &[u8], _sp: usize) -> Option<usize> {
    None
}

/// The registers that the context at `context` holds, whose words `word` reads.
pub(crate) fn registers(context: usize, mut word: impl FnMut(usize) -> Option<usize>) -> Option<Regs> {
    let mut regs = Regs([0; size_of::<Regs>() / WORD]);
    let saved = word(context.wrapping_add(MACHINE))?.wrapping_add(REGISTERS);
    for (i, &register) in ORDER.iter().enumerate() {
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
    unsafe { *((delivery.context + SIGMASK) as *const libc::sigset_t) }.into()
}

/// Changes them: they are held back when the handler has returned.
///
/// # Safety
/// As [`interrupted`].
pub(crate) unsafe fn hold_back(delivery: &Delivery, signals: u64) {
    // SAFETY: as the caller says.
    unsafe { *((delivery.context + SIGMASK) as *mut libc::sigset_t) = signals as libc::sigset_t }
}

/// The signals that were held back before a handler which is about to return: cannot be told, as above.
pub(crate) fn held_back_before(_sp: usize) -> Option<u64> {
    None
}

/// Has the interrupted thread go on with a jump to `f(a, b)`, on the stack that it is on.
///
/// # Safety
/// The delivery's context is the system's, and `f` may be jumped to.
pub(crate) unsafe fn go_on_with(delivery: &Delivery, f: usize, a: usize, b: usize) {
    // SAFETY: as the caller says.
    unsafe {
        let machine = *((delivery.context + MACHINE) as *const usize);
        let set = |register: usize, value: usize| {
            let at = ORDER.iter().position(|&at| at == register).unwrap_or_default();
            *((machine + REGISTERS + WORD * at) as *mut usize) = value;
        };
        set(Regs::PC, f);
        for (register, value) in ARGUMENTS.into_iter().zip([a, b]) {
            set(register, value);
        }
        reset_state(machine + REGISTERS + WORD * ORDER.len());
    }
}

/// Where a function has its first two arguments.
#[cfg(target_arch = "x86_64")]
const ARGUMENTS: [usize; 2] = [5, 4];
#[cfg(target_arch = "aarch64")]
const ARGUMENTS: [usize; 2] = [0, 1];

/// Makes what stands behind the registers fit for a function's start.
///
/// # Safety
/// `state` is the address of that, in what the system wrote.
#[cfg(target_arch = "x86_64")]
unsafe fn reset_state(state: usize) {
    /// Direction, single step and alignment check: off, as the ABI wants them.
    const OFF: usize = 0x400 | 0x100 | 0x40000;
    /// Behind the flags and three segments, and eight bytes: the x87's control word, its status, and which registers
    /// are in use.
    const STATUS: usize = 4 * WORD + 8 + 2;
    const TAGS: usize = STATUS + 2;
    // SAFETY: as the caller says.
    unsafe {
        *(state as *mut usize) &= !OFF;
        // No exception pending, no register in use.
        *((state + STATUS) as *mut u16) = 0;
        *((state + TAGS) as *mut u8) = 0;
    }
}

/// As above.
///
/// # Safety
/// As above.
#[cfg(target_arch = "aarch64")]
unsafe fn reset_state(state: usize) {
    /// By what kind of jump the interrupted instruction was reached.
    const BRANCH_TYPE: u32 = 0xc00;
    // SAFETY: as the caller says.
    unsafe { *(state as *mut u32) &= !BRANCH_TYPE };
}

/// Whether the system called the handler, and not another handler of the host's: it was called from the library that
/// `_sigtramp` is in, which on AArch64 has no name to the outside.
pub(crate) fn is_from_system(delivery: &Delivery) -> bool {
    unsafe extern "C" {
        /// In that library, too.
        fn longjmp();
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the stack pointer at the handler's start.
    let caller = unsafe { *(delivery.sp as *const usize) };
    #[cfg(target_arch = "aarch64")]
    let caller = crate::arch::strip(delivery.return_address);
    super::maps::are_together(caller, longjmp as *const () as usize)
}

/// Moves nothing: what calls the handler keeps addresses in that frame which nobody else can tell. The host's handler
/// runs on the alternate stack, where its frame is.
///
/// # Safety
/// None; as on other systems.
pub(crate) unsafe fn move_to_interrupted_stack(_delivery: &mut Delivery) -> bool {
    true
}
