//! Signals: what is done about them, what they interrupted, alternate stacks. All of it `[sig]`.

use core::mem::MaybeUninit;
use core::ptr;

pub(crate) use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV};

use super::context::{held_back, hold_back};
use crate::arch::Delivery;

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
        action.0.sa_mask =
            !THROUGH.iter().fold(0, |set, &signal| set | bit(signal as usize) as libc::sigset_t);
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

    /// Puts what [`of`](Action::of) gave in force again, as if nothing had been there between.
    pub(crate) fn restore(&self, signal: i32) {
        self.install(signal);
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
        let own = if self.is_nodefer() { 0 } else { bit(delivery.signal) };
        let held = if holds { pending() } else { 0 };
        // SAFETY: the context is the system's; the set is read.
        unsafe {
            let set = (held_back(delivery) | u64::from(self.0.sa_mask) | own | held) as libc::sigset_t;
            libc::pthread_sigmask(libc::SIG_SETMASK, &set, ptr::null_mut());
        }
    }
}

/// A signal's place in a set.
pub(super) fn bit(signal: usize) -> u64 {
    1 << (signal - 1)
}

/// The signals that have come for the thread, or for the process, and that the thread holds back.
pub(super) fn pending() -> u64 {
    let mut set = 0;
    // SAFETY: writes the set.
    unsafe { libc::sigpending(&mut set) };
    set.into()
}

/// Sends a signal to the calling thread, by the system call: libc's function may take a lock.
pub(super) fn raise(signal: i32) {
    unsafe extern "C" {
        fn __pthread_kill(thread: libc::mach_port_t, signal: libc::c_int) -> libc::c_int;
        fn pthread_mach_thread_np(thread: libc::pthread_t) -> libc::mach_port_t;
    }
    // SAFETY: a signal to ourselves.
    unsafe { __pthread_kill(pthread_mach_thread_np(libc::pthread_self()), signal) };
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

    /// Whether the thread did something to earn it; else somebody sent it, or it was a fault that the system gives no
    /// code, as an access to an address that cannot be one.
    pub(crate) fn is_fault(&self) -> bool {
        const SENT: i32 = 0x10001;
        (1..SENT).contains(&self.code)
    }
}

/// Ends the process by this very signal, with its default action, when the handler has returned: by then the registers
/// are those of the fault, and the thread is its own. What else has come does not strike first. Why it came, its
/// `siginfo`, does not go along: the system has no such call.
///
/// # Safety
/// The delivery is the system's, or the host's.
pub(crate) unsafe fn die_by_default(delivery: &Delivery) {
    Action::default().install(delivery.signal as i32);
    // SAFETY: the mask is in the context, which is the system's.
    unsafe { hold_back(delivery, held_back(delivery) | pending() & !bit(delivery.signal)) };
    raise(delivery.signal as i32);
}

/// The calling thread's alternate stack.
#[derive(Clone, Copy)]
pub(crate) struct AltStack(libc::stack_t);

impl AltStack {
    /// None at all, if `bytes` is 0.
    pub(crate) fn new(lo: usize, bytes: usize) -> AltStack {
        let flags = if bytes == 0 { libc::SS_DISABLE } else { 0 };
        AltStack(libc::stack_t { ss_sp: lo as *mut _, ss_size: bytes, ss_flags: flags })
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

    /// What a handler like ours needs: the least that the system takes.
    pub(crate) fn least_bytes() -> usize {
        libc::MINSIGSTKSZ
    }
}
