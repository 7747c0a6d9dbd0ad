//! The end of the process.

use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::limits::{self, Limits};

/// Signals held back while a thread reports its end, the timer that bounds that, and limits that would hinder it.
pub(crate) struct Shield {
    before: libc::sigset_t,
    alarm: Alarm,
    limits: Limits,
}

/// The process's one timer as it was, and what was done about its signal.
struct Alarm {
    timer: libc::itimerval,
    action: super::Action,
}

/// Holds back every signal on the calling thread but faults, SIGABRT and SIGALRM, and has the process killed after
/// `bound_ns` and `kill_ns`: whatever holds the report up, it ends. `signal` is not sent before: the system has one
/// timer for a process, of SIGALRM, which is borrowed from the host; its default action is the end. `[sig]`
pub(crate) fn shield(_signal: libc::c_int, bound_ns: i64, kill_ns: i64) -> Shield {
    const THROUGH: [libc::c_int; 7] = [
        libc::SIGABRT,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGALRM,
    ];
    let mut before = 0;
    // SAFETY: the sets are initialised before use.
    unsafe {
        let mut held = 0;
        libc::sigfillset(&mut held);
        for signal in THROUGH {
            libc::sigdelset(&mut held, signal);
        }
        let action = super::Action::of(libc::SIGALRM);
        super::Action::default().install(libc::SIGALRM);
        let alarm = Alarm { timer: set_timer(&once(bound_ns + kill_ns)), action };
        libc::pthread_sigmask(libc::SIG_SETMASK, &held, &mut before);
        Shield { before, alarm, limits: limits::raise() }
    }
}

fn once(ns: i64) -> libc::itimerval {
    let zero = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let at = libc::timeval { tv_sec: ns / 1_000_000_000, tv_usec: (ns % 1_000_000_000 / 1000) as i32 };
    libc::itimerval { it_interval: zero, it_value: at }
}

/// The one before.
fn set_timer(to: &libc::itimerval) -> libc::itimerval {
    const REAL: libc::c_int = 0;
    unsafe extern "C" {
        fn setitimer(
            which: libc::c_int,
            to: *const libc::itimerval,
            from: *mut libc::itimerval,
        ) -> libc::c_int;
    }
    let mut before = once(0);
    // SAFETY: reads one and writes the other.
    unsafe { setitimer(REAL, to, &mut before) };
    before
}

impl Shield {
    /// Mask and limits as they were before, and the host's timer, which starts again where it was. What the report's
    /// writing earned is taken back, and what else has come meanwhile stays held back: the process is to die of
    /// something else.
    pub(crate) fn lift(self) {
        self.limits.restore();
        set_timer(&self.alarm.timer);
        self.alarm.action.restore(libc::SIGALRM);
        for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
            if super::pending() & super::bit(signal as usize) != 0 {
                let mut taken = 0;
                // SAFETY: it is there to be taken, for nobody else waits for it; the set is one word.
                unsafe { libc::sigwait(&(super::bit(signal as usize) as libc::sigset_t), &mut taken) };
            }
        }
        let mask = self.before | super::pending() as libc::sigset_t;
        // SAFETY: reads the set.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &mask, ptr::null_mut()) };
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
        super::raise(libc::SIGABRT);
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
    super::Action::default().install(libc::SIGABRT);
    mask_abort(libc::SIG_UNBLOCK);
    super::raise(libc::SIGABRT);
    // SAFETY: not reached unless the signal could not be sent.
    unsafe { libc::_exit(128 + libc::SIGABRT) }
}

fn mask_abort(how: libc::c_int) {
    let set = super::bit(libc::SIGABRT as usize) as libc::sigset_t;
    // SAFETY: reads the set.
    unsafe { libc::pthread_sigmask(how, &set, ptr::null_mut()) };
}
