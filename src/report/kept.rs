//! The text of the report, as it is kept for the hook, in memory that is there from the beginning.

use core::cell::UnsafeCell;

use crate::base::Printer;

/// More text than this is cut.
const ROOM: usize = 64 << 10;
/// Stands at the end of a text that was cut.
const CUT: &[u8] = b"\n...cut...\n";

/// The memory, and room for a NUL.
struct Memory(UnsafeCell<[u8; ROOM + CUT.len() + 1]>);

// SAFETY: the one thread that reports has it.
unsafe impl Sync for Memory {}

static MEMORY: Memory = Memory(UnsafeCell::new([0; ROOM + CUT.len() + 1]));

/// A printer to `fd` that keeps what it prints; see [`Printer::to_both`].
///
/// # Safety
/// One at a time.
pub(super) unsafe fn printer(fd: i32, soon_ns: i64, last_ns: i64) -> Printer {
    // SAFETY: as the caller says.
    unsafe { Printer::to_both(fd, soon_ns, last_ns, MEMORY.0.get().cast(), ROOM) }
}

/// The whole text, with a mark where it was cut; a NUL follows.
///
/// # Safety
/// `of` was made by [`printer`] and is flushed.
pub(super) unsafe fn text(of: &Printer) -> &[u8] {
    let (kept, whole) = of.kept();
    let mark = if whole { b"" } else { CUT };
    let len = kept.len() + mark.len();
    let base = MEMORY.0.get().cast::<u8>();
    // SAFETY: behind what is kept there is room for the mark and the NUL, and it is ours as `of` is.
    unsafe {
        base.add(kept.len()).copy_from_nonoverlapping(mark.as_ptr(), mark.len());
        base.add(len).write(0);
        core::slice::from_raw_parts(base, len)
    }
}
