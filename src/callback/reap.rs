//! Freeing the stacks of callbacks that were jumped out of: by `longjmp`, by `pthread_exit` over
//! frames without unwind tables, with a fiber that was destroyed. `[record]`
//!
//! Most are seen at a glance. What stands untouched is dead only if that is certain, for a fiber may
//! come back to it: `traceback::is_passed` walks over the frames. That costs 100 µs and more, so it
//! is done less and less often while it finds nothing.

use crate::arch::{self, Regs};
use crate::base::atomic::Ordering;
use crate::gmp::{M, Record, record};
use crate::traceback::{self, Frame};

/// So many nested callbacks that seem to be each other's callers are believed.
const BELIEVED: usize = 4;
/// At most every so many calls (a power of two) the untouched are looked at closely.
const MOST_PATIENT: u32 = 10;

/// Frees the stacks of this thread's dead callbacks, at an entry from a host stack whose frames
/// begin at `entry_sp`. `thorough`: looks closely now. Only by the owner. `[sig]`
#[inline(never)]
pub(super) fn reap(m: &M, entry_sp: usize, thorough: bool) {
    let sp = arch::stack_pointer();
    let mut ancestors = 0;
    let mut untouched = 0;
    for slot in m.stacks().filter(|slot| slot.busy()) {
        match record(slot, sp, entry_sp) {
            Record::Dead => m.leave(slot),
            Record::Ancestor => ancestors += 1,
            Record::Untouched => untouched += 1,
        }
    }
    if thorough && ancestors + untouched > 0 || (untouched > 0 || ancestors > BELIEVED) && m.is_due() {
        let freed = search(m);
        m.be_patient(if freed { 0 } else { MOST_PATIENT });
    }
}

/// Looks closely at every busy stack. Whether one was freed.
fn search(m: &M) -> bool {
    let here = Regs::capture();
    let mut freed = false;
    for slot in m.stacks().filter(|slot| slot.busy()) {
        let host_sp = slot.record.host_sp.load(Ordering::Relaxed);
        // SAFETY: [g0-sp] `record` found the switch's frame readable, at this same entry.
        let [sp, fp, pc] = unsafe { arch::behind_switch(host_sp) };
        if traceback::is_passed(&here, Frame { sp, fp, pc }) {
            m.leave(slot);
            freed = true;
        }
    }
    freed
}
