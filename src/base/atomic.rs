//! The door that every atomic comes through, so that a model checker can stand behind it: the models in
//! `tests/loom` have a door of their own, and the shipped protocols above it.

pub(crate) use core::sync::atomic::*;

/// Reads what the calling thread alone writes: one instruction less than an atomic load.
///
/// # Safety
/// Nobody else writes `word` meanwhile.
#[inline(always)]
pub(crate) unsafe fn load_own(word: &AtomicU32) -> u32 {
    // SAFETY: by the caller's word.
    unsafe { *word.as_ptr() }
}
