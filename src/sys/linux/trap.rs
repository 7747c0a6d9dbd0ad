//! The faults of a thread that reads what may be broken: caught, while it reports its end. `[sig]`

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicUsize, Ordering};

use super::{Action, AltStack, Cause, Receiver, go_on_with, interrupted};
use crate::arch::{self, Delivery};

/// What reading may earn: in a file that was cut short while it was mapped, say.
const SIGNALS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Says by the stack pointer of a fault where the thread goes on, by `gogo` with 1, if that is ours to say.
pub(crate) type LandingFn = fn(usize) -> Option<usize>;

static LANDING: AtomicUsize = AtomicUsize::new(0);

struct Before(UnsafeCell<[Action; SIGNALS.len()]>);

// SAFETY: written before our handler is in force.
unsafe impl Sync for Before {}

static BEFORE: Before = Before(UnsafeCell::new([Action::default(); SIGNALS.len()]));

/// A handler before all others, as long as it lives.
pub(crate) struct Trap {
    altstack: AltStack,
}

impl Trap {
    /// Sets it, with the alternate stack `lo..lo + bytes`: the thread's own may have frames that are needed.
    ///
    /// # Safety
    /// One at a time; the thread runs on no alternate stack, and `landing` is right.
    pub(crate) unsafe fn set(landing: LandingFn, lo: usize, bytes: usize) -> Trap {
        let altstack = AltStack::current();
        LANDING.store(landing as usize, Ordering::Relaxed);
        let ours = Action::ours(on_fault as *const () as usize);
        for (at, signal) in SIGNALS.into_iter().enumerate() {
            // SAFETY: the handler is not in force yet.
            unsafe { (*BEFORE.0.get())[at] = Action::of(signal) };
        }
        // SAFETY: there as long as this is.
        unsafe { AltStack::new(lo, bytes).set() };
        SIGNALS.into_iter().for_each(|signal| ours.install(signal));
        Trap { altstack }
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        for signal in SIGNALS {
            if Action::of(signal).receiver() == Receiver::Handler(on_fault as *const () as usize) {
                before(signal).restore(signal);
            }
        }
        // SAFETY: what the thread had.
        unsafe { self.altstack.set() };
    }
}

fn before(signal: c_int) -> Action {
    let at = SIGNALS.iter().position(|&known| known == signal).unwrap_or_default();
    // SAFETY: written before the handler was installed.
    unsafe { (*BEFORE.0.get())[at] }
}

extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    arch::allow_misaligned();
    let delivery = Delivery {
        signal: signal as usize,
        info: info as usize,
        context: context as usize,
        ..Delivery::default()
    };
    // SAFETY: set before this handler was.
    let landing = unsafe { core::mem::transmute::<usize, LandingFn>(LANDING.load(Ordering::Relaxed)) };
    // SAFETY: the delivery is the system's.
    let (cause, regs) = unsafe { (Cause::of(&delivery), interrupted(&delivery)) };
    if let Some(sp) = landing(regs.0[arch::Regs::SP]).filter(|_| cause.is_fault()) {
        // SAFETY: the switch stands, as the landing says.
        return unsafe { go_on_with(&delivery, arch::gogo as *const () as usize, sp, 1) };
    }
    // Another thread's, or sent: for whoever would have had it.
    match before(signal).receiver() {
        Receiver::Handler(handler) => {
            type HandlerFn = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
            // SAFETY: a handler, called as one.
            let handler = unsafe { core::mem::transmute::<usize, HandlerFn>(handler) };
            handler(signal, info, context);
        }
        Receiver::Nobody if !cause.is_fault() => {}
        // SAFETY: as above.
        Receiver::Nobody | Receiver::Default => unsafe { super::die_by_default(&delivery) },
    }
}
