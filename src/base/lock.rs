//! The lock of the rare paths: start, stop, trim. Never taken by a call.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

use super::atomic::{AtomicU32, Ordering};
use crate::sys;

/// A mutex that knows its owner, so that a signal handler on the owner's thread is told instead of
/// being stuck for ever.
pub(crate) struct Lock<T> {
    /// 0, or the owner's tid.
    owner: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by the owner only.
unsafe impl<T: Send> Sync for Lock<T> {}

/// Why a lock was not to be had.
pub(crate) enum Refused {
    /// This thread has it: we are in a handler that interrupted the owner.
    Mine,
    /// The deadline passed.
    Late,
}

/// Holds a [`Lock`] until it is dropped.
pub(crate) struct Held<'a, T>(&'a Lock<T>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Lock<T> {
        Lock { owner: AtomicU32::new(0), value: UnsafeCell::new(value) }
    }

    /// Whether this thread has it. `[sig]`
    pub(crate) fn is_mine(&self) -> bool {
        self.owner.load(Ordering::Relaxed) == sys::gettid() as u32
    }

    /// In the child of a fork: whoever had it is gone.
    pub(crate) fn after_fork(&self) {
        self.owner.store(0, Ordering::Relaxed);
    }

    /// Waits for the lock until `deadline_ns`. `[sig]`
    pub(crate) fn take(&self, deadline_ns: i64) -> Result<Held<'_, T>, Refused> {
        let me = sys::gettid() as u32;
        loop {
            // Acquire: pairs with the release in `drop`.
            match self.owner.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Ok(Held(self)),
                Err(owner) if owner == me => return Err(Refused::Mine),
                Err(owner) => {
                    let left_ns = deadline_ns.saturating_sub(sys::now_ns());
                    if left_ns <= 0 {
                        return Err(Refused::Late);
                    }
                    sys::futex_wait(&self.owner, owner, left_ns);
                }
            }
        }
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: we are the owner.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: we are the owner.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        self.0.owner.store(0, Ordering::Release);
        sys::futex_wake_all(&self.0.owner);
    }
}
