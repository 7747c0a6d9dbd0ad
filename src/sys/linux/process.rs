//! The end of the process.

use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::limits::{self, Limits};

/// Signals held back while a thread reports its end, the timers that bound that, and limits that would
/// hinder it.
pub(crate) struct Shield {
    before: libc::sigset_t,
    timers: [Option<libc::c_int>; 2],
    limits: Limits,
}

/// Holds back every signal on the calling thread but faults and SIGABRT, and has `signal` sent to it
/// after `bound_ns`: whatever holds the report up, the process ends. Where the host has a handler that
/// comes back, it ends by SIGKILL, `kill_ns` later. `[sig]`
pub(crate) fn shield(signal: libc::c_int, bound_ns: i64, kill_ns: i64) -> Shield {
    const THROUGH: [libc::c_int; 6] =
        [libc::SIGABRT, libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];
    // SAFETY: the sets are initialised before use.
    unsafe {
        let mut held = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        libc::sigfillset(held.as_mut_ptr());
        for signal in THROUGH {
            libc::sigdelset(held.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, held.as_ptr(), before.as_mut_ptr());
        let timers = [
            signal_after(signal, libc::SIGEV_THREAD_ID, bound_ns),
            signal_after(libc::SIGKILL, libc::SIGEV_SIGNAL, bound_ns + kill_ns),
        ];
        Shield { before: before.assume_init(), timers, limits: limits::raise() }
    }
}

/// Sends `signal` to the calling thread, or to the process, after `ns`.
fn signal_after(signal: libc::c_int, to: libc::c_int, ns: i64) -> Option<libc::c_int> {
    // SAFETY: all-zero is a valid sigevent and itimerspec; the raw calls read them and write `timer`.
    unsafe {
        let mut event: libc::sigevent = core::mem::zeroed();
        event.sigev_notify = to;
        event.sigev_signo = signal;
        event.sigev_notify_thread_id = super::gettid();
        let mut timer: libc::c_int = 0;
        if libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, &event, &mut timer) != 0 {
            return None;
        }
        let mut spec: libc::itimerspec = core::mem::zeroed();
        spec.it_value = super::timespec(ns);
        libc::syscall(libc::SYS_timer_settime, timer, 0, &spec, 0);
        Some(timer)
    }
}

impl Shield {
    /// Mask and limits as they were before, and no bound. What the report's writing earned is taken back, and what else
    /// has come meanwhile stays held back: the process is to die of something else.
    pub(crate) fn lift(self) {
        self.limits.restore();
        // SAFETY: timers of ours; the sets are initialised.
        unsafe {
            for timer in self.timers.into_iter().flatten() {
                libc::syscall(libc::SYS_timer_delete, timer);
            }
            let mut earned = MaybeUninit::<libc::sigset_t>::uninit();
            libc::sigemptyset(earned.as_mut_ptr());
            libc::sigaddset(earned.as_mut_ptr(), libc::SIGPIPE);
            libc::sigaddset(earned.as_mut_ptr(), libc::SIGXFSZ);
            let at_once = super::timespec(0);
            while libc::syscall(libc::SYS_rt_sigtimedwait, earned.as_ptr(), 0, &at_once, 8) > 0 {}
            let mask = super::first_word(&self.before) | super::pending();
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &mask, 0, 8);
        }
    }
}

/// Sends SIGABRT to the calling thread, for a handler of the host's. Comes back if that does, or if there is none.
/// `told`: is told that the handler is called next, and whether SIGABRT is held back as long as it is at work.
/// Takes no lock, unlike `abort`. `[sig]`
pub(crate) fn ask_abort_handler(told: &dyn Fn(bool)) {
    let action = super::Action::of(libc::SIGABRT);
    let super::Receiver::Handler(handler) = action.receiver() else { return };
    if handler != IDLE_HANDLER.load(Ordering::Relaxed) {
        // So that it is held back from here on.
        mask_abort(libc::SIG_BLOCK);
        told(!action.is_nodefer());
        raise_abort();
        mask_abort(libc::SIG_UNBLOCK);
    }
}

/// A handler that would only take the default action: [`ask_abort_handler`] does not call it. On an alternate
/// stack it would overwrite frames that a core file wants.
static IDLE_HANDLER: AtomicUsize = AtomicUsize::new(0);

/// Names that handler; 0 is none.
pub(crate) fn set_idle_abort_handler(handler: usize) {
    IDLE_HANDLER.store(handler, Ordering::Relaxed);
}

/// Ends the process by SIGABRT, and no handler is asked. `[sig]`
pub(crate) fn die_of_default_abort() -> ! {
    // SAFETY: all-zero is a valid sigaction: the default action. `_exit` is not reached unless the
    // signal could not be sent.
    unsafe {
        let default: libc::sigaction = MaybeUninit::zeroed().assume_init();
        libc::sigaction(libc::SIGABRT, &default, ptr::null_mut());
        mask_abort(libc::SIG_UNBLOCK);
        raise_abort();
        libc::_exit(128 + libc::SIGABRT)
    }
}

fn raise_abort() {
    // SAFETY: a signal to ourselves.
    unsafe { libc::syscall(libc::SYS_tgkill, super::getpid(), super::gettid(), libc::SIGABRT) };
}

fn mask_abort(how: libc::c_int) {
    // SAFETY: the set is initialised before it is used.
    unsafe {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGABRT);
        libc::pthread_sigmask(how, set.as_ptr(), ptr::null_mut());
    }
}
