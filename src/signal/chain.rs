//! The host's own handlers, which ours stands before. Go: `sigfwdgo`.

use core::cell::UnsafeCell;

use super::SIGNALS;
use crate::arch::Delivery;
use crate::base::atomic::{AtomicBool, Ordering};
use crate::report;
use crate::sys::{self, Action, Receiver};

/// What the host wants done about a signal.
pub(super) struct Host {
    action: UnsafeCell<Action>,
    /// It was for one signal only, which has come.
    spent: AtomicBool,
}

// SAFETY: written before our handler is in force.
unsafe impl Sync for Host {}

/// In the order of [`SIGNALS`].
pub(super) static HOST: [Host; SIGNALS.len()] = [const { Host::new() }; SIGNALS.len()];

impl Host {
    const fn new() -> Host {
        Host { action: UnsafeCell::new(Action::default()), spent: AtomicBool::new(false) }
    }

    /// Only while our handler is not in force for the signal.
    pub(super) fn set(&self, action: Action) {
        self.spent.store(false, Ordering::Relaxed);
        // SAFETY: nobody reads it, as the contract says.
        unsafe { *self.action.get() = action };
    }

    pub(super) fn get(&self) -> Action {
        if self.spent.load(Ordering::Relaxed) {
            return Action::default();
        }
        // SAFETY: not written while it may be asked for.
        unsafe { *self.action.get() }
    }

    /// The action, for the signal that has come.
    fn take(&self) -> Action {
        let action = self.get();
        let late = action.is_oneshot() && self.spent.swap(true, Ordering::Relaxed);
        if late { Action::default() } else { action }
    }
}

fn host(delivery: &Delivery) -> Option<&'static Host> {
    let at = SIGNALS.iter().position(|&signal| signal == delivery.signal as i32)?;
    Some(&HOST[at])
}

/// Who has a signal next.
pub(super) fn receiver(delivery: &Delivery) -> Receiver {
    host(delivery).map_or(Receiver::Default, |host| host.get().receiver())
}

/// Whether the process dies of a signal that has this receiver. A fault cannot be ignored.
pub(super) fn is_deadly(receiver: Receiver, cause: &sys::Cause) -> bool {
    receiver == Receiver::Default || receiver == Receiver::Nobody && cause.is_fault()
}

/// Readies what the host wants done; the handler to be jumped to, or 0. `told`: after a report, which what came
/// meanwhile must not belie.
///
/// # Safety
/// The delivery is the system's, or the host's.
pub(super) unsafe fn next(delivery: &mut Delivery, told: bool) -> usize {
    let action = host(delivery).map_or(Action::default(), Host::take);
    // SAFETY: [chain] as the caller says.
    let cause = unsafe { sys::Cause::of(delivery) };
    match action.receiver() {
        Receiver::Handler(handler) => {
            // SAFETY: as the caller says.
            if action.is_on_altstack() || unsafe { sys::move_to_interrupted_stack(delivery) } {
                if sys::is_from_system(delivery) {
                    action.mask(delivery, told);
                    if delivery.signal as i32 == sys::SIGABRT && action.is_nodefer() {
                        report::not_masked();
                    }
                }
                return handler;
            }
        }
        // A fault cannot be ignored.
        Receiver::Nobody if !cause.is_fault() => return 0,
        Receiver::Nobody | Receiver::Default => {}
    }
    // SAFETY: as the caller says.
    unsafe { sys::die_by_default(delivery) };
    0
}
