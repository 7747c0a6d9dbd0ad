//! The gate of an M, and whether its owner is inside: where the owner meets stop and trim.
//!
//! By a plain store and a plain load each: the owner says that it is busy, then looks at the gate; the
//! other side closes the gate, asks for a process-wide barrier, then looks whether the owner is busy.
//! One of the two sees the other (`[gate]`).

use crate::base::atomic::{AtomicU32, Ordering, compiler_fence, load_own};
use crate::sys;

/// A callback may begin.
pub(crate) const OPEN: u32 = 1;
/// The M has no stack, or a stop is about to take it: the owner arms it, or is turned away. A busy M
/// is an entry that was interrupted, and no stack of it may be looked at.
pub(crate) const CLOSED: u32 = 0;
/// A trim looks at the stack: the owner waits a moment.
pub(crate) const HELD: u32 = 2;
/// A stop waits: a callback begins only inside one that is on.
pub(crate) const CLOSING: u32 = 4;

#[derive(Default)]
#[repr(C)]
pub(crate) struct Gate {
    /// 1 while a callback is on the home stack, or was when its thread jumped away. A flag and not
    /// part of a count: stored without a load, it keeps one call from waiting for the other.
    home: AtomicU32,
    /// Callbacks on the other stacks.
    more: AtomicU32,
    /// [`OPEN`], [`CLOSED`], [`HELD`] or [`CLOSING`].
    state: AtomicU32,
}

impl Gate {
    /// Whether a callback of this thread is on, as far as the owner knows.
    #[inline(always)]
    pub(crate) fn busy(&self) -> bool {
        // SAFETY: the owner alone writes it.
        self.home_busy() || unsafe { load_own(&self.more) != 0 }
    }

    /// As [`busy`](Gate::busy), on the home stack.
    #[inline(always)]
    pub(crate) fn home_busy(&self) -> bool {
        // SAFETY: the owner alone writes it.
        unsafe { load_own(&self.home) != 0 }
    }

    /// As [`busy`](Gate::busy), on another stack.
    pub(super) fn more_busy(&self) -> bool {
        self.more.load(Ordering::Relaxed) != 0
    }

    /// How many callbacks are on, jumped-out ones included.
    pub(crate) fn depth(&self) -> u32 {
        // Acquire: pairs with `leave_home` and `leave_more`; see `quiet`.
        self.home.load(Ordering::Acquire) + self.more.load(Ordering::Acquire)
    }

    /// Whether no callback is on; only after the gate was closed and a barrier passed.
    pub(crate) fn quiet(&self) -> bool {
        self.depth() == 0
    }

    /// Begins a callback from the host on the home stack: whether the gate let us through. Pairs
    /// with [`quiet`](Gate::quiet).
    #[inline(always)]
    pub(crate) fn enter_home(&self) -> bool {
        self.enter_home_anyway();
        // [gate] The other side's barrier makes this compiler fence a full one.
        compiler_fence(Ordering::SeqCst);
        self.is_open()
    }

    /// As [`enter_home`](Gate::enter_home), inside another callback: whatever the gate says.
    #[inline(always)]
    pub(super) fn enter_home_anyway(&self) {
        self.home.store(1, Ordering::Relaxed);
    }

    /// Ends what [`enter_home`](Gate::enter_home) began. Release: what the callback did is done for
    /// whoever finds us quiet.
    #[inline(always)]
    pub(crate) fn leave_home(&self) {
        self.home.store(0, Ordering::Release);
    }

    /// Begins a callback on another stack than home, inside another. In one step each: a signal handler counts, too.
    pub(super) fn enter_more(&self) {
        self.more.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends what [`enter_more`](Gate::enter_more) began; whether that was the last one. Release: as `leave_home`.
    pub(super) fn leave_more(&self) -> bool {
        self.more.fetch_sub(1, Ordering::Release) == 1
    }

    /// No callback is on any more: the thread has ended.
    pub(super) fn forget_callbacks(&self) {
        self.home.store(0, Ordering::Relaxed);
        self.more.store(0, Ordering::Relaxed);
    }

    /// [`OPEN`], [`CLOSED`], [`HELD`] or [`CLOSING`], by a look.
    pub(crate) fn state(&self) -> u32 {
        self.state.load(Ordering::Relaxed)
    }

    /// For a stop: [`CLOSING`], then [`CLOSED`].
    pub(super) fn close(&self, state: u32) {
        self.state.store(state, Ordering::Relaxed);
    }

    /// For who has claimed the M: closes it, if it is open; no trim holds it from then on. Acquire: as in
    /// `is_open`.
    pub(super) fn close_open(&self) -> bool {
        self.state.compare_exchange(OPEN, CLOSED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Opens it, whoever closed it. Release: what was done behind it is done for whoever passes.
    pub(super) fn open(&self) {
        self.state.store(OPEN, Ordering::Release);
    }

    /// Opens it for an M that has a stack again. Not if a trim holds it.
    pub(super) fn open_closed(&self) {
        let _ = self.state.compare_exchange(CLOSED, OPEN, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// For a trim: holds it, if it is open.
    pub(crate) fn hold(&self) {
        let _ = self.state.compare_exchange(OPEN, HELD, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Ends what [`hold`](Gate::hold) began.
    pub(crate) fn release(&self) {
        self.open();
        sys::futex_wake_all(&self.state);
    }

    /// Whether the owner may begin. By the bit, for which some processors have one instruction. Acquire: pairs with
    /// `open`.
    #[inline(always)]
    pub(crate) fn is_open(&self) -> bool {
        self.state.load(Ordering::Acquire) & OPEN != 0
    }

    /// Whether a trim holds it. Acquire: as in `is_open`.
    pub(crate) fn is_held(&self) -> bool {
        self.state.load(Ordering::Acquire) == HELD
    }

    /// Waits until no trim holds it, or for `timeout_ns`. `[sig]`
    pub(crate) fn wait_while_held(&self, timeout_ns: i64) {
        sys::futex_wait(&self.state, HELD, timeout_ns);
    }
}
