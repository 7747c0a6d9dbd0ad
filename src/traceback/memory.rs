//! Reading what may not be there: the kernel is asked about a page before it is read.

use crate::sys;
use core::mem::size_of;

/// The unit of asking; real pages are as large or larger.
const PAGE: usize = 4096;

/// Remembers the last pages that could be read: two frames, each with its code.
pub(super) struct Memory {
    pages: [usize; 4],
    turn: usize,
}

impl Memory {
    pub(super) const fn new() -> Memory {
        Memory { pages: [0; 4], turn: 0 }
    }

    /// Forgets, since pages may have gone.
    pub(super) fn reset(&mut self) {
        *self = Memory::new();
    }

    /// The word at `addr`, aligned or not.
    #[inline]
    pub(super) fn word(&mut self, addr: usize) -> Option<usize> {
        let last = addr.checked_add(size_of::<usize>() - 1)?;
        if !self.page_readable(addr) || !self.page_readable(last) {
            return None;
        }
        // SAFETY: the kernel could read both pages that the word touches; they are stack or code of
        // the dying thread, which nobody unmaps.
        Some(unsafe { (addr as *const usize).read_unaligned() })
    }

    #[inline]
    fn page_readable(&mut self, addr: usize) -> bool {
        let page = addr & !(PAGE - 1);
        if page != 0 && self.pages.contains(&page) {
            return true;
        }
        let readable = can_read(page);
        if readable {
            self.pages[self.turn] = page;
            self.turn = (self.turn + 1) % self.pages.len();
        }
        readable
    }
}

/// Whether the page at `page` can be read. The first one never is: null means "no question" to the
/// kernel.
fn can_read(page: usize) -> bool {
    page != 0 && sys::readable(page)
}

/// The bytes of a mapped file, if its first and last page can be read.
///
/// # Safety
/// The range belongs to one mapping, and nobody unmaps it or writes to it while the slice is used.
pub(super) unsafe fn mapped(addr: usize, bytes: usize) -> Option<&'static [u8]> {
    let last = addr.checked_add(bytes.checked_sub(1)?)?;
    if !can_read(addr & !(PAGE - 1)) || !can_read(last & !(PAGE - 1)) {
        return None;
    }
    // SAFETY: readable at both ends, and one mapping as the caller says.
    Some(unsafe { core::slice::from_raw_parts(addr as *const u8, bytes) })
}
