//! A lock-free last-in-first-out list of numbered things that are never freed, only reused.
//!
//! The head packs a number and a tag that changes with every success, so that a slow taker cannot
//! mistake a thing that came back for one that never left. Safe in signal handlers: a handler that
//! interrupts a push or pop completes first, and the interrupted one tries again.

use super::atomic::{AtomicU32, AtomicU64, Ordering};

/// The list's head. The links are kept by the things themselves.
pub(crate) struct Freelist(AtomicU64);

/// "No number" in a link.
const NONE: u32 = u32::MAX;

impl Freelist {
    pub(crate) const fn new() -> Freelist {
        Freelist(AtomicU64::new(NONE as u64))
    }

    /// Puts thing `number`, whose link is `link`, at the front. Release: pairs with `pop`.
    pub(crate) fn push(&self, number: u32, link: &AtomicU32) {
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            link.store(head as u32, Ordering::Relaxed);
            let new = retag(head, number);
            match self.0.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes the thing at the front. `link_of` gives a thing's link; it may be asked about a thing
    /// that has just been taken by another, which is why things are never freed.
    pub(crate) fn pop<'a>(&self, link_of: impl Fn(u32) -> &'a AtomicU32) -> Option<u32> {
        // Acquire: pairs with the release in `push`, whoever pushed.
        let mut head = self.0.load(Ordering::Acquire);
        loop {
            let number = head as u32;
            if number == NONE {
                return None;
            }
            let next = link_of(number).load(Ordering::Relaxed);
            let new = retag(head, next);
            match self.0.compare_exchange_weak(head, new, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(number),
                Err(now) => head = now,
            }
        }
    }

    /// Takes everything at once and gives it out one by one.
    pub(crate) fn drain<'a>(&self, link_of: impl Fn(u32) -> &'a AtomicU32) -> impl Iterator<Item = u32> {
        let mut head = self.0.load(Ordering::Acquire);
        // Acquire: as in `pop`.
        while let Err(now) =
            self.0.compare_exchange_weak(head, retag(head, NONE), Ordering::Acquire, Ordering::Acquire)
        {
            head = now;
        }
        let mut next = head as u32;
        core::iter::from_fn(move || {
            let number = next;
            if number == NONE {
                return None;
            }
            // Read before it is given out: the thing may go to another list then.
            next = link_of(number).load(Ordering::Relaxed);
            Some(number)
        })
    }

    /// Forgets what is in it, for one who has given up all of the things.
    pub(crate) fn clear(&self) {
        self.0.store(NONE as u64, Ordering::Release);
    }
}

fn retag(head: u64, number: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | number as u64
}
