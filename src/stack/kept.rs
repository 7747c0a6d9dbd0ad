//! Stacks that are kept for one purpose, in the library's own zeroed memory: there before anything
//! else is, and paid for when touched.

use core::cell::UnsafeCell;

/// Enough for a walk over frames with names, in a debug build too.
const BYTES: usize = 128 << 10;

/// A stack for a static; whoever runs on it sees to it that nobody else does.
#[repr(align(4096))]
pub(crate) struct KeptStack(UnsafeCell<[u8; BYTES]>);

// SAFETY: only its address is taken here.
unsafe impl Sync for KeptStack {}

impl KeptStack {
    pub(crate) const fn new() -> KeptStack {
        KeptStack(UnsafeCell::new([0; BYTES]))
    }

    /// Where the first frame starts.
    pub(crate) fn top(&self) -> usize {
        self.lo() + BYTES
    }

    pub(crate) fn lo(&self) -> usize {
        self.0.get() as usize
    }

    pub(crate) fn bytes(&self) -> usize {
        BYTES
    }

    pub(crate) fn holds(&self, sp: usize) -> bool {
        (self.lo()..self.top()).contains(&sp)
    }
}
