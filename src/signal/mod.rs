//! Faults, and `abort`: who gets them, what is said of them. Go: runtime/signal_unix.go.
//!
//! From an explicit start to the stop a handler of ours stands before the host's, for SIGSEGV, SIGBUS,
//! SIGFPE, SIGILL and SIGABRT. What it gets goes one of these ways:
//!
//! * Not from a callback: to the host's earlier handler at once, by a jump, with mask, stack and
//!   arguments as if the system had called it (`chain`).
//! * From a callback: one report, then the same way; without a handler of the host's, death by the
//!   signal's default action, with the registers of the fault.
//! * From a callback that has outgrown its stack: a report, then SIGABRT.
//!
//! * The same inside a try, where the host wants it so: the try gets it as a panic (`panic::fault`).
//!
//! Whose a signal is is told by the interrupted stack pointer and the thread's id alone. `[where]`

mod altstack;
mod chain;
mod fault;

pub(crate) use altstack::{lend, release, take_back};

use crate::arch::{self, Delivery, Regs};
use crate::base::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering};
use crate::report;
use crate::sys::{self, Action, Cause, Receiver};
use crate::traceback;
use chain::HOST;
use fault::place;

/// The signals that we stand before.
const SIGNALS: [i32; 5] = [sys::SIGSEGV, sys::SIGBUS, sys::SIGFPE, sys::SIGILL, sys::SIGABRT];

/// Whether our handler is to look at all.
static ACTIVE: AtomicBool = AtomicBool::new(false);
static FAULTS_PANIC: AtomicBool = AtomicBool::new(false);
/// A `fn()` that puts the books right in the child of a fork, which may fault before it enters; or null.
static LOOK_FOR_FORK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
/// How many threads are in the handler: the stop waits for them.
static HANDLING: AtomicU32 = AtomicU32::new(0);
/// Who reports a fault: 0, a tid, or [`REPORTED`].
static REPORTER: AtomicI32 = AtomicI32::new(0);
/// The one report of a fault is out, and the host's handler has let the process live, as far as we know.
const REPORTED: i32 = -1;

/// Whether handlers are installed.
pub(crate) fn installed() -> bool {
    ACTIVE.load(Ordering::Relaxed)
}

/// Whether a try gets faults as panics.
pub(crate) fn faults_panic() -> bool {
    FAULTS_PANIC.load(Ordering::Relaxed)
}

/// Puts our handler before the host's; a try gets faults if `faults_panic`. `look_for_fork`: is asked
/// before we look at anything. `[sig]`
pub(crate) fn install(faults_panic: bool, look_for_fork: fn()) {
    FAULTS_PANIC.store(faults_panic, Ordering::Relaxed);
    LOOK_FOR_FORK.store(look_for_fork as *mut (), Ordering::Relaxed);
    let entry = arch::signal_entry(on_signal);
    REPORTER.store(0, Ordering::Relaxed);
    for (signal, host) in SIGNALS.iter().zip(&HOST) {
        let now = Action::of(*signal);
        // Else the host has put ours back after a stop: what is known is still so.
        if now.receiver() != Receiver::Handler(entry) {
            host.set(now);
        }
        if *signal == sys::SIGABRT {
            let is_idle = !matches!(host.get().receiver(), Receiver::Handler(_));
            sys::set_idle_abort_handler(if is_idle { entry } else { 0 });
        }
    }
    // SeqCst: pairs with `on_signal`.
    ACTIVE.store(true, Ordering::SeqCst);
    for signal in SIGNALS {
        Action::ours(entry).install(signal);
    }
}

/// Puts the host's handlers back, where ours are still in force, and waits until no thread looks at
/// what the runtime has.
pub(crate) fn uninstall() {
    const NAP_NS: i64 = 100_000;
    if !installed() {
        return;
    }
    let entry = arch::signal_entry(on_signal);
    for (signal, host) in SIGNALS.iter().zip(&HOST) {
        if Action::of(*signal).receiver() == Receiver::Handler(entry) {
            host.get().restore(*signal);
        }
    }
    sys::set_idle_abort_handler(0);
    // SeqCst, both: either a handler sees this, or we see the handler.
    ACTIVE.store(false, Ordering::SeqCst);
    while HANDLING.load(Ordering::SeqCst) != 0 {
        sys::nap(NAP_NS);
    }
}

/// In the child of a fork: no other thread handles or reports anything.
pub(crate) fn after_fork() {
    HANDLING.store(0, Ordering::Relaxed);
    REPORTER.store(0, Ordering::Relaxed);
    altstack::after_fork();
}

/// What our handler does: it answers who is to have the signal. `[sig]`
unsafe extern "C" fn on_signal(delivery: &mut Delivery) -> usize {
    let _errno = sys::ErrnoGuard::new();
    look_for_fork();
    // SeqCst, both: pairs with `uninstall`.
    HANDLING.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the system's, or handed on by a handler of the host's.
    let looked = if ACTIVE.load(Ordering::SeqCst) { unsafe { look(delivery) } } else { Looked::Passed };
    // It may have been set to 0, after a fork.
    let less = |handling: u32| handling.checked_sub(1);
    let _ = HANDLING.fetch_update(Ordering::SeqCst, Ordering::Relaxed, less);
    match looked {
        Looked::Settled => 0,
        // SAFETY: as above.
        _ => unsafe { chain::next(delivery, looked == Looked::Told) },
    }
}

/// What came of a look at a signal.
#[derive(PartialEq)]
enum Looked {
    /// All is done.
    Settled,
    /// It was reported, and goes on to the host.
    Told,
    /// It goes on to the host.
    Passed,
}

fn look_for_fork() {
    let look = LOOK_FOR_FORK.load(Ordering::Relaxed);
    // SAFETY: null, or what `install` got.
    if let Some(look) = unsafe { core::mem::transmute::<*mut (), Option<fn()>>(look) } {
        look();
    }
}

/// Reports a signal that a callback has earned, or has a try get it.
///
/// # Safety
/// The delivery is the system's, or the host's.
unsafe fn look(delivery: &Delivery) -> Looked {
    // SAFETY: as the caller says.
    let (cause, regs) = unsafe { (Cause::of(delivery), sys::interrupted(delivery)) };
    // A look at frames, or into a broken file, outside a report.
    if let Some(sp) = traceback::landing(regs.0[Regs::SP]).filter(|_| cause.is_fault()) {
        // SAFETY: as the caller says; the switch stands, as the landing says.
        unsafe { sys::go_on_with(delivery, arch::gogo as *const () as usize, sp, 1) };
        return Looked::Settled;
    }
    let receiver = chain::receiver(delivery);
    let Some(place) = place(&cause, &regs) else {
        if chain::is_deadly(receiver, &cause) {
            report::let_finish();
        }
        return Looked::Passed;
    };
    if faults_panic() {
        // SAFETY: as the caller says.
        let mask = unsafe { sys::held_back(delivery) };
        let landing = fault::panic(delivery.signal as i32, &cause, &regs, mask, &place);
        if let Some(landing) = landing {
            // SAFETY: as the caller says; the try's switch stands.
            unsafe {
                sys::hold_back(delivery, landing.mask);
                sys::go_on_with(
                    delivery,
                    arch::gogo as *const () as usize,
                    landing.sp,
                    landing.value as usize,
                )
            };
            return Looked::Settled;
        }
    }
    let sent_to_nobody = receiver == Receiver::Nobody && !cause.is_fault();
    // On the host's own stack the host's handler comes first.
    let host_s = place.is_out && matches!(receiver, Receiver::Handler(_));
    if sent_to_nobody || host_s {
        return Looked::Passed;
    }
    if !may_report() {
        if chain::is_deadly(receiver, &cause) {
            report::let_finish();
        }
        return Looked::Passed;
    }
    fault::report(delivery.signal as i32, &cause, regs, &place);
    if matches!(receiver, Receiver::Handler(_)) {
        report::survived();
        REPORTER.store(REPORTED, Ordering::Relaxed);
    }
    Looked::Told
}

/// Whether the calling thread is the one that reports. Another one's report is waited for: if the
/// process dies of it, for ever.
fn may_report() -> bool {
    const LOOK_NS: i64 = 1_000_000;
    let me = sys::gettid();
    loop {
        match REPORTER.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(REPORTED) => return false,
            Err(reporter) if reporter == me => return false,
            Err(_) => sys::nap(LOOK_NS),
        }
    }
}
