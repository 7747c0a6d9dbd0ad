//! Signals: what is done about them, what they interrupted, alternate stacks. All of it `[sig]`.

use core::mem::MaybeUninit;
use core::ptr;

pub(crate) use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV};

use super::context::{held_back, hold_back};
use crate::arch::{self, Delivery};

/// The kernel's set of signals.
const SET_BYTES: usize = 8;

/// What is done about a signal.
#[derive(Clone, Copy)]
pub(crate) struct Action(libc::sigaction);

/// As the kernel has it.
#[repr(C)]
struct KernelAction {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: [u32; 2],
}

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
            let mask = unsafe { (&raw const self.0.sa_mask).cast::<[u32; 2]>().read_unaligned() };
            let action = KernelAction {
                handler: self.0.sa_sigaction,
                flags: self.0.sa_flags as usize,
                restorer: 0,
                mask,
            };
            // SAFETY: no handler is called.
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
            let held = if holds { pending() } else { 0 };
            let set = held_back(delivery) | first_word(&self.0.sa_mask) | own | held;
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &set, 0, SET_BYTES);
        }
    }
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
        hold_back(delivery, held_back(delivery) | others);
        let queue = || libc::syscall(libc::SYS_rt_tgsigqueueinfo, pid, tid, signal, delivery.info);
        // valgrind takes a fault's `siginfo` for a fault of its own.
        if arch::is_in_valgrind() || queue() != 0 {
            libc::syscall(libc::SYS_tgkill, pid, tid, signal);
        }
    }
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
