//! The child of a fork: one thread, and the books of many.
//!
//! A word that is wiped by a fork tells, however it was made: `fork`, `_Fork`, `clone`. Not asked by a
//! warm call, which works on in the child as it did: its M and stack are its own. Asked wherever
//! somebody looks at other threads, or takes what they may have had in hand.

use super::door::{FRESH, RUNNING, STARTING, STOPPED, STOPPING};
use super::{DOOR, LOCK};
use crate::base::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use crate::{gmp, signal, sys};

/// In a page that a fork wipes; null where there is no such thing.
static WORD: AtomicPtr<AtomicU32> = AtomicPtr::new(core::ptr::null_mut());
/// The books are those of this process.
const OURS: u32 = 1;
/// A thread is putting them right.
const BUSY: u32 = 2;

/// Sees to it that forks are told, before anything is held that a fork could leave behind. The page
/// stays as long as the library does. `[sig]`
pub(super) fn watch() {
    if !WORD.load(Ordering::Relaxed).is_null() {
        return look();
    }
    let Some(page) = sys::page_wiped_by_fork() else { return };
    page.store(OURS, Ordering::Relaxed);
    let word = core::ptr::from_ref(page).cast_mut();
    let null = core::ptr::null_mut();
    // Release: pairs with `look`.
    if WORD.compare_exchange(null, word, Ordering::Release, Ordering::Relaxed).is_err() {
        release(word);
    }
}

/// Gives the page back, when the library goes.
pub(super) fn unwatch() {
    let word = WORD.swap(core::ptr::null_mut(), Ordering::Relaxed);
    if !word.is_null() {
        release(word);
    }
}

fn release(word: *mut AtomicU32) {
    // SAFETY: the page of `watch`, which nobody looks at.
    unsafe { sys::release(word as usize, sys::page_bytes()) };
}

/// Puts the books right in the first entry after a fork. `[sig]`
#[inline]
pub(super) fn look() {
    // SAFETY: null, or the page of `watch`, which lives while anybody may enter.
    let Some(word) = (unsafe { WORD.load(Ordering::Acquire).as_ref() }) else { return };
    while word.load(Ordering::Acquire) != OURS {
        if word.compare_exchange(0, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            start_afresh();
            word.store(OURS, Ordering::Release);
        }
        core::hint::spin_loop();
    }
}

/// The same for who may be in a handler of signals that interrupted the very thread that does it. `[sig]`
pub(super) fn look_once() {
    // SAFETY: as above; no handler of ours is installed when the library goes.
    let Some(word) = (unsafe { WORD.load(Ordering::Acquire).as_ref() }) else { return };
    // Acquire, where somebody else has done it, too: pairs with the release of `OURS`.
    if word.compare_exchange(0, BUSY, Ordering::Acquire, Ordering::Acquire).is_ok() {
        start_afresh();
        word.store(OURS, Ordering::Release);
    }
}

/// Whoever held anything is gone, but for the thread that forked.
#[cold]
#[inline(never)]
fn start_afresh() {
    let _errno = sys::ErrnoGuard::new();
    let taken = DOOR.after_fork();
    LOCK.after_fork();
    gmp::after_fork();
    signal::after_fork();
    match DOOR.state() {
        STARTING => DOOR.set(FRESH),
        // It was still waiting: all is there.
        STOPPING if !taken => DOOR.set(RUNNING),
        STOPPING => {
            gmp::each_m().for_each(gmp::M::disarm);
            LEFT.store(true, Ordering::Relaxed);
            DOOR.set(STOPPED);
        }
        _ => {}
    }
}

/// Whether a stop of the parent's is to be ended, which needs more than a handler may do. Relaxed: whoever asks
/// has looked first, and that acquires.
static LEFT: AtomicBool = AtomicBool::new(false);

/// Whether there is such a stop: whoever asks ends it, under the lock.
pub(super) fn left_a_stop() -> bool {
    LEFT.swap(false, Ordering::Relaxed)
}
