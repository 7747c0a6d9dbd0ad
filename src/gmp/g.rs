//! Go: the `g` of runtime/runtime2.go, as far as a callback needs it.

use core::cell::Cell;
use core::ptr;

use super::scope::Scopes;
use crate::arch::Gobuf;
use crate::base::atomic::{AtomicPtr, Ordering};
use crate::stack::{Slot, Stacks};

/// The record of what runs on a managed stack. Written by the thread that runs it.
#[derive(Default)]
pub(crate) struct G {
    /// `g0.sched`: where the host's stack was left while a callback is on this stack; its `sp` is 0
    /// otherwise (`[g0-sp]`).
    pub(crate) host: Gobuf,
    /// `sched`: where this stack was left while the callback is out on the host's stack.
    pub(crate) out: Gobuf,
    /// The stack that ran when this one was entered, if one of the same M's did: the next outward.
    pub(crate) parent: AtomicPtr<Slot<G>>,
    /// What the callback has deferred, and the calls and tries inside it.
    pub(crate) scopes: Scopes,
    /// The panics that go on here, innermost first; the panic room's.
    pub(crate) panics: AtomicPtr<Panicking>,
    /// The bounds of the stack that this one was entered from, as a sanitizer told them.
    pub(crate) from: Cell<[usize; 2]>,
    /// The next stack of the same M.
    pub(crate) next: AtomicPtr<Slot<G>>,
}

/// What a G knows of a panic.
pub(crate) struct Panicking {
    /// The one that went on when this one began.
    pub(crate) link: AtomicPtr<Panicking>,
    /// Ends it.
    pub(crate) discard: unsafe fn(*mut Panicking),
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

    /// The host's stack pointer while a callback is on this stack, else 0.
    #[inline(always)]
    pub(crate) fn host_sp(&self) -> usize {
        self.record.host.sp.load(Ordering::Relaxed)
    }

    /// This stack's pointer while its callback is out on the host's stack, else 0.
    #[inline(always)]
    pub(crate) fn sched_sp(&self) -> usize {
        self.record.out.sp.load(Ordering::Relaxed)
    }

    /// Whether a callback is on this stack, or was when its thread jumped away.
    pub(crate) fn busy(&self) -> bool {
        self.host_sp() != 0
    }

    /// Nothing is on this stack any more: its callback has returned, and its switch done what was left; or it was left,
    /// and the caller sees to its scopes.
    #[inline(always)]
    pub(crate) fn vacate_returned(&self) {
        self.record.out.sp.store(0, Ordering::Relaxed);
        self.record.host.sp.store(0, Ordering::Relaxed);
    }

    /// Nothing is on this stack any more, however that has ended.
    pub(crate) fn vacate(&self) {
        self.record.host.finish.store(0, Ordering::Relaxed);
        self.vacate_returned();
        if self.has_scopes() {
            self.clear_scopes();
        }
        self.discard_panics();
    }

    /// As [`vacate`](GStack::vacate); false if that was done already. By an atomic swap: a handler that
    /// interrupts a callback's end, and overwrites the switch's frame, takes its record for dead.
    pub(crate) fn vacate_once(&self) -> bool {
        let is_first = self.record.host.sp.swap(0, Ordering::Relaxed) != 0;
        self.vacate();
        is_first
    }

    /// Drops the panics whose deferred calls or destructors were left.
    fn discard_panics(&self) {
        let mut panicking = self.record.panics.swap(ptr::null_mut(), Ordering::Relaxed);
        while !panicking.is_null() {
            // SAFETY: alive until discarded, which ends this one only.
            unsafe {
                let link = (*panicking).link.load(Ordering::Relaxed);
                ((*panicking).discard)(panicking);
                panicking = link;
            }
        }
    }

    pub(crate) fn set_parent(&self, parent: Option<&GStack>) {
        let parent = parent.map_or(ptr::null_mut(), |parent| ptr::from_ref(parent).cast_mut());
        self.record.parent.store(parent, Ordering::Relaxed);
    }

    /// The stack outward of this one, as long as a callback is on it.
    pub(crate) fn parent(&self) -> Option<&'static GStack> {
        // SAFETY: [slab] stacks of the same M.
        unsafe { self.record.parent.load(Ordering::Relaxed).as_ref() }.filter(|parent| parent.busy())
    }
}
