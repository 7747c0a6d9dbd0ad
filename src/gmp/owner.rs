//! Whose an M is. It belongs to whoever moved its owner word:
//!
//! | owner | meaning | next |
//! |---|---|---|
//! | `SPARE` 0 | in the list, or taken from it | the taker binds it: tid |
//! | tid > 0 | bound to that thread | a sweep finds it ended, or detached: `CLAIMED` |
//! | `CLAIMED` -1 | being freed | by the claimer: `SPARE`, or back to tid |

use crate::base::atomic::{AtomicI32, AtomicUsize, Ordering};

const SPARE: i32 = 0;
const CLAIMED: i32 = -1;

/// The word, in a table of its own so that a sweep reads sixteen in a line. All-zero is spare.
#[derive(Default)]
#[repr(transparent)]
pub(super) struct Owner(AtomicI32);

/// Who an [`Owner`] names.
pub(super) enum Whose {
    Nobodys,
    Claimed,
    /// A thread's, by its id.
    Of(i32),
}

impl Owner {
    /// Acquire: what its thread did to bind it is behind us.
    pub(super) fn whose(&self) -> Whose {
        match self.0.load(Ordering::Acquire) {
            SPARE => Whose::Nobodys,
            CLAIMED => Whose::Claimed,
            tid => Whose::Of(tid),
        }
    }

    /// Whether it is thread `tid`'s, by a look.
    pub(super) fn names(&self, tid: i32) -> bool {
        self.0.load(Ordering::Relaxed) == tid
    }

    /// Makes it thread `tid`'s; the caller has taken it from the list, or claimed it. Release: pairs
    /// with the acquire of whoever claims it.
    pub(super) fn give(&self, tid: i32) {
        self.0.store(tid, Ordering::Release);
    }

    /// Makes it spare; the caller has taken it from the list, or claimed it. Release: as `give`.
    pub(super) fn put_back(&self) {
        self.0.store(SPARE, Ordering::Release);
    }

    /// Takes it from its thread if that is `gone`: then the caller has claimed it.
    pub(super) fn claim(&self, gone: impl Fn(i32) -> bool) -> bool {
        let tid = self.0.load(Ordering::Relaxed);
        // Asked again when it is ours: between the question and the claim, another may have freed the M
        // and bound it to a thread of the same tid.
        tid > 0 && gone(tid) && self.claim_from(tid, || gone(tid))
    }

    /// Takes it from thread `tid`, whether that lives or not, if it is to be `freed` still then: then the
    /// caller has claimed it.
    pub(super) fn claim_from(&self, tid: i32, freed: impl FnOnce() -> bool) -> bool {
        // Acquire: what that thread did is behind us.
        if self.0.compare_exchange(tid, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        if !freed() {
            self.give(tid);
            return false;
        }
        true
    }
}

/// An M's own sign that its thread has ended. Not 0: it has, and its TLS word says so too. A thread's
/// end writes it by a plain store of libc's; see ARCHITECTURE.md, "A thread's end".
#[derive(Default)]
#[repr(transparent)]
pub(super) struct End(AtomicUsize);

impl End {
    /// The thread that binds the M has not ended. Made known by [`Owner::give`].
    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The thread has ended, for all that the M has to do with it. Release: pairs with `told`.
    pub(super) fn tell(&self) {
        self.0.store(1, Ordering::Release);
    }

    /// Acquire: what the thread did before its end is behind us.
    pub(super) fn told(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }
}
