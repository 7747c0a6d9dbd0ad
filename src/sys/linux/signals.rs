//! Signals: what is done about them, what they interrupted, alternate stacks. All of it `[sig]`.

use core::mem::MaybeUninit;
use core::ptr;

pub(crate) use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV};

use crate::arch::{self, Delivery, Regs};

/// The kernel's set of signals.
const SET_BYTES: usize = 8;

/// What is done about a signal.
#[derive(Clone, Copy)]
pub(crate) struct Action(libc::sigaction);

/// Who gets a signal.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Receiver {
    Default,
    Nobody,
    Handler(usize),
}

impl Action {
    pub(crate) const fn default() -> Action {
        // SAFETY: all-zero is the default action.
        Action(unsafe { MaybeUninit::zeroed().assume_init() })
    }

    /// Has `entry` called, on the alternate stack if there is one, with all signals held back but
    /// those that the thread itself causes.
    pub(crate) fn ours(entry: usize) -> Action {
        const THROUGH: [libc::c_int; 6] = [SIGSEGV, SIGBUS, SIGFPE, SIGILL, libc::SIGTRAP, libc::SIGSYS];
        let mut action = Action::default();
        action.0.sa_sigaction = entry;
        action.0.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        // SAFETY: a set of ours.
        unsafe {
            libc::sigfillset(&mut action.0.sa_mask);
            for signal in THROUGH {
                libc::sigdelset(&mut action.0.sa_mask, signal);
            }
        }
        action
    }

    /// What is in force.
    pub(crate) fn of(signal: i32) -> Action {
        let mut now = Action::default();
        // SAFETY: writes the action.
        unsafe { libc::sigaction(signal, ptr::null(), &mut now.0) };
        now
    }

    /// Puts it in force.
    pub(crate) fn install(&self, signal: i32) {
        // SAFETY: by the word of whoever made the action.
        unsafe { libc::sigaction(signal, &self.0, ptr::null_mut()) };
    }

    /// Puts what [`of`](Action::of) gave in force again, as if nothing had been there between: libc adds
    /// a flag of its own to what never had a handler.
    pub(crate) fn restore(&self, signal: i32) {
        const RESTORER: libc::c_int = 0x0400_0000;
        self.install(signal);
        if self.0.sa_flags & RESTORER == 0 && !matches!(self.receiver(), Receiver::Handler(_)) {
            // SAFETY: the head of libc's set is the kernel's.
            let mask = unsafe { (&raw const self.0.sa_mask).cast::<u64>().read_unaligned() };
            let action = [self.0.sa_sigaction as u64, self.0.sa_flags as u64, 0, mask];
            // SAFETY: the kernel's struct: handler, flags, restorer, set; no handler is called.
            unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &action, 0, SET_BYTES) };
        }
    }

    pub(crate) fn receiver(&self) -> Receiver {
        match self.0.sa_sigaction {
            libc::SIG_DFL => Receiver::Default,
            libc::SIG_IGN => Receiver::Nobody,
            handler => Receiver::Handler(handler),
        }
    }

    /// Whether its handler runs on the alternate stack.
    pub(crate) fn is_on_altstack(&self) -> bool {
        self.0.sa_flags & libc::SA_ONSTACK != 0
    }

    /// Whether it is in force for one signal only.
    pub(crate) fn is_oneshot(&self) -> bool {
        self.0.sa_flags & libc::SA_RESETHAND != 0
    }

    /// Whether it lets its own signal through while its handler is at work.
    pub(crate) fn is_nodefer(&self) -> bool {
        self.0.sa_flags & libc::SA_NODEFER != 0
    }

    /// Gives the thread the mask that this action's handler would have been called with; if it `holds`, what is
    /// pending does not strike first.
    pub(crate) fn mask(&self, delivery: &Delivery, holds: bool) {
        let bit = |signal: usize| 1u64 << (signal - 1);
        let own = if self.is_nodefer() { 0 } else { bit(delivery.signal) };
        // SAFETY: the context is the system's.
        unsafe {
            let set = interrupted_mask(delivery)
                | first_word(&self.0.sa_mask)
                | own
                | if holds { pending() } else { 0 };
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &set, 0, SET_BYTES);
        }
    }
}

/// The signals that the interrupted thread held back, and will again when the handler has returned.
///
/// # Safety
/// The delivery's context is the system's.
pub(crate) unsafe fn interrupted_mask(delivery: &Delivery) -> u64 {
    // SAFETY: as the caller says.
    first_word(unsafe { &(*(delivery.context as *const libc::ucontext_t)).uc_sigmask })
}

/// Changes them.
///
/// # Safety
/// The delivery's context is the system's.
pub(crate) unsafe fn set_interrupted_mask(delivery: &Delivery, mask: u64) {
    let context = delivery.context as *mut libc::ucontext_t;
    // SAFETY: as the caller says; the head of libc's set is the kernel's.
    unsafe { (&raw mut (*context).uc_sigmask).cast::<u64>().write_unaligned(mask) }
}

/// As [`interrupted_mask`], of the `ucontext_t` at `context`, if that can be read.
pub(crate) fn kept_mask(context: usize) -> Option<u64> {
    let at = context.checked_add(core::mem::offset_of!(libc::ucontext_t, uc_sigmask))?;
    // SAFETY: it can be read.
    (super::readable(at) && super::readable(at + SET_BYTES - 1))
        .then(|| unsafe { (at as *const u64).read_unaligned() })
}

/// What the kernel knows of libc's set.
pub(super) fn first_word(set: &libc::sigset_t) -> u64 {
    // SAFETY: the head of libc's set is the kernel's.
    unsafe { ptr::from_ref(set).cast::<u64>().read_unaligned() }
}

/// The signals that have come for the thread, or for the process, and that the thread holds back.
pub(super) fn pending() -> u64 {
    let mut set = 0u64;
    // SAFETY: writes the set.
    unsafe { libc::syscall(libc::SYS_rt_sigpending, &mut set, SET_BYTES) };
    set
}

/// Why a signal came.
pub(crate) struct Cause {
    pub(crate) code: i32,
    /// Of a fault.
    pub(crate) address: usize,
}

impl Cause {
    /// # Safety
    /// The delivery's `info` is the system's, or the host's.
    pub(crate) unsafe fn of(delivery: &Delivery) -> Cause {
        let info = delivery.info as *const libc::siginfo_t;
        // SAFETY: as the caller says.
        unsafe { Cause { code: (*info).si_code, address: (*info).si_addr() as usize } }
    }

    /// Whether the thread did something to earn it; else somebody sent it.
    pub(crate) fn is_fault(&self) -> bool {
        self.code > 0
    }
}

/// DWARF numbers in the order of the context.
#[cfg(target_arch = "x86_64")]
const ORDER: [usize; 17] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, Regs::SP, Regs::PC];

/// The registers of what was interrupted.
///
/// # Safety
/// The delivery's context is the system's.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn interrupted(delivery: &Delivery) -> Regs {
    let mut regs = Regs([0; 17]);
    // SAFETY: as the caller says.
    let saved = unsafe { &(*(delivery.context as *const libc::ucontext_t)).uc_mcontext.gregs };
    for (&register, &value) in ORDER.iter().zip(saved) {
        regs.0[register] = value as usize;
    }
    regs
}

/// Has the interrupted thread go on with a jump to `f(a, b)`, on the stack that it is on.
///
/// # Safety
/// The delivery's context is the system's, and `f` may be jumped to.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn go_on_with(delivery: &Delivery, f: usize, a: usize, b: usize) {
    /// Direction, single step and alignment check: off, as the ABI wants them at a function's start.
    const FLAGS: i64 = 0x400 | 0x100 | 0x40000;
    // SAFETY: as the caller says.
    unsafe {
        let context = &mut (*(delivery.context as *mut libc::ucontext_t)).uc_mcontext;
        context.gregs[libc::REG_RIP as usize] = f as i64;
        context.gregs[libc::REG_RDI as usize] = a as i64;
        context.gregs[libc::REG_RSI as usize] = b as i64;
        context.gregs[libc::REG_EFL as usize] &= !FLAGS;
        if !context.fpregs.is_null() {
            // No exception pending, no register in use.
            (*context.fpregs).swd = 0;
            (*context.fpregs).ftw = 0;
        }
    }
}

/// Ends the process by this very signal, with its default action, when the handler has returned: by
/// then the registers are those of the fault, and the thread is its own. What else has come does not strike first.
///
/// # Safety
/// The delivery is the system's, or the host's.
pub(crate) unsafe fn die_by_default(delivery: &Delivery) {
    let signal = delivery.signal as i32;
    Action::default().install(signal);
    let (pid, tid) = (super::getpid(), super::gettid());
    // SAFETY: sends to ourselves what we were sent; the mask is in the context, which is the system's.
    unsafe {
        let others = pending() & !(1 << (signal - 1));
        set_interrupted_mask(delivery, interrupted_mask(delivery) | others);
        let queue = || libc::syscall(libc::SYS_rt_tgsigqueueinfo, pid, tid, signal, delivery.info);
        // valgrind takes a fault's `siginfo` for a fault of its own.
        if arch::is_in_valgrind() || queue() != 0 {
            libc::syscall(libc::SYS_tgkill, pid, tid, signal);
        }
    }
}

/// The kernel's frame of a signal on x86-64: return address, `struct ucontext`, `siginfo_t`.
#[cfg(target_arch = "x86_64")]
mod frame {
    pub(super) const CONTEXT: usize = 8;
    pub(super) const CONTEXT_BYTES: usize = 304;
    pub(super) const INFO: usize = CONTEXT + CONTEXT_BYTES;
    pub(super) const BYTES: usize = INFO + 128;
    /// What a function may use below its stack pointer.
    pub(super) const RED_ZONE: usize = 128;
    /// Room for the handler's first steps.
    pub(super) const ROOM: usize = 512;
    /// In the floating-point state: whether there is more of it, and how much.
    pub(super) const MAGIC_AT: usize = 464;
    pub(super) const MAGIC: u32 = 0x4650_5853;
    pub(super) const LEAST_FP_BYTES: usize = 512;
}

/// Whether the system called the handler, and not another handler of the host's.
pub(crate) fn is_from_system(delivery: &Delivery) -> bool {
    delivery.context == delivery.sp + frame::CONTEXT
}

/// If the handler runs on the alternate stack, and was called by the system, moves the signal's frame
/// to the stack that was interrupted, as if the system had put it there. False if there is no room.
///
/// # Safety
/// The delivery's context is the system's.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn move_to_interrupted_stack(delivery: &mut Delivery) -> bool {
    use frame::*;
    // SAFETY: the frame is the kernel's if the context stands in it; the new one is written where the
    // kernel says that it can be.
    unsafe {
        let context = delivery.context as *mut libc::ucontext_t;
        let alternate = &(*context).uc_stack;
        let within = |sp: usize| sp.wrapping_sub(alternate.ss_sp as usize) < alternate.ss_size;
        let interrupted = (*context).uc_mcontext.gregs[libc::REG_RSP as usize] as usize;
        if !is_from_system(delivery) || !within(delivery.sp) || within(interrupted) {
            return true;
        }
        let state = (*context).uc_mcontext.fpregs as usize;
        let word = |at: usize| ((state + MAGIC_AT + at) as *const u32).read_unaligned();
        let state_bytes = match state {
            0 => 0,
            _ if word(0) == MAGIC => word(4) as usize,
            _ => LEAST_FP_BYTES,
        };
        let new_state = (interrupted - RED_ZONE - state_bytes) & !63;
        // As a call leaves it: 8 above a multiple of 16.
        let new = ((new_state - BYTES) & !15) - 8;
        let page = super::page_bytes();
        let mut places = (new - ROOM..interrupted).step_by(page).chain([interrupted - RED_ZONE]);
        if !places.all(|at| writable(at)) {
            return false;
        }
        ptr::copy_nonoverlapping(state as *const u8, new_state as *mut u8, state_bytes);
        ptr::copy_nonoverlapping(delivery.sp as *const u8, new as *mut u8, BYTES);
        let context = (new + CONTEXT) as *mut libc::ucontext_t;
        if state != 0 {
            (*context).uc_mcontext.fpregs = new_state as *mut _;
        }
        delivery.sp = new;
        delivery.info = new + INFO;
        delivery.context = context as usize;
        true
    }
}

/// Whether the eight bytes at `addr` can be written, asked of the kernel, which overwrites them.
unsafe fn writable(addr: usize) -> bool {
    // SAFETY: no set is given: the mask stays as it is, and is written.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, 0, addr & !7, SET_BYTES) == 0 }
}

/// The calling thread's alternate stack.
#[derive(Clone, Copy)]
pub(crate) struct AltStack(libc::stack_t);

impl AltStack {
    /// None at all, if `bytes` is 0.
    pub(crate) fn new(lo: usize, bytes: usize) -> AltStack {
        // SAFETY: plain data.
        let mut stack: libc::stack_t = unsafe { MaybeUninit::zeroed().assume_init() };
        stack.ss_sp = lo as *mut _;
        stack.ss_size = bytes;
        stack.ss_flags = if bytes == 0 { libc::SS_DISABLE } else { 0 };
        AltStack(stack)
    }

    /// What the system knows.
    pub(crate) fn current() -> AltStack {
        let mut now = AltStack::new(0, 0);
        // SAFETY: writes it.
        unsafe { libc::sigaltstack(ptr::null(), &mut now.0) };
        now
    }

    /// Makes it the thread's. Whether that was possible: not while a handler runs on the present one.
    ///
    /// # Safety
    /// It stays mapped as long as it is the thread's.
    pub(crate) unsafe fn set(&self) -> bool {
        // SAFETY: as the caller says.
        unsafe { libc::sigaltstack(&self.0, ptr::null_mut()) == 0 }
    }

    /// Its lowest address and its size; `None` if there is none.
    pub(crate) fn bounds(&self) -> Option<(usize, usize)> {
        (self.0.ss_flags & libc::SS_DISABLE == 0).then_some((self.0.ss_sp as usize, self.0.ss_size))
    }

    /// What a handler like ours needs: the system's frame, and as much as a small host's.
    pub(crate) fn least_bytes() -> usize {
        const AT_MINSIGSTKSZ: libc::c_ulong = 51;
        // SAFETY: reads the auxiliary vector.
        unsafe { libc::getauxval(AT_MINSIGSTKSZ) as usize }.max(2048) + 4096
    }
}
