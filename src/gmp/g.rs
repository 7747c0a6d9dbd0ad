//! Go: the `g` of runtime/runtime2.go, as far as a callback needs it.

use crate::base::atomic::{AtomicPtr, AtomicUsize, Ordering};
use crate::stack::{Slot, Stacks};

/// The record of what runs on a managed stack. Written by the thread that runs it.
#[derive(Default)]
pub(crate) struct G {
    /// `g0.sched.sp`: the host's stack pointer while a callback is on this stack, else 0 (`[g0-sp]`).
    pub(crate) host_sp: AtomicUsize,
    /// `sched.sp`: this stack's pointer while the callback is out on the host's stack.
    pub(crate) sched_sp: AtomicUsize,
    /// The next stack of the same M.
    pub(crate) next: AtomicPtr<Slot<G>>,
}

/// A stack with its G.
pub(crate) type GStack = Slot<G>;

/// All of them.
pub(crate) static STACKS: Stacks<G> = Stacks::new();

impl Slot<G> {
    /// The goroutine's number, as Go prints it: fixed when the stack is made, reused with it.
    pub(crate) fn goid(&self) -> u32 {
        self.number + 1
    }

    /// Whether a callback is on this stack, or was when its thread jumped away.
    pub(crate) fn busy(&self) -> bool {
        self.record.host_sp.load(Ordering::Relaxed) != 0
    }

    /// Nothing is on this stack any more.
    pub(crate) fn vacate(&self) {
        self.record.sched_sp.store(0, Ordering::Relaxed);
        self.record.host_sp.store(0, Ordering::Relaxed);
    }
}
