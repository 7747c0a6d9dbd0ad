//! What can be told at a glance of a record: of a callback that the books say is on. `[record]`

use super::g::GStack;
use crate::arch;
use crate::base::atomic::Ordering;
use crate::sys;

/// What is known of a callback's frame on the host's stack.
pub(crate) enum Record {
    /// It is gone: our own frames lie over it, its memory is unmapped, or its last word no longer
    /// names the record.
    Dead,
    /// Out on the host's stack, with us below: most likely it called us.
    Ancestor,
    /// It stands untouched on some stack: a fiber that comes back, a callback that a signal handler
    /// interrupted, or left by `longjmp` and not overwritten yet.
    Untouched,
}

/// Looks at a busy stack's record, at an entry from a host stack whose frames span `sp..=entry_sp`.
/// `[sig]`
pub(crate) fn record(slot: &GStack, sp: usize, entry_sp: usize) -> Record {
    let host_sp = slot.record.host_sp.load(Ordering::Relaxed);
    if (sp..=entry_sp).contains(&host_sp) {
        return Record::Dead;
    }
    if slot.record.sched_sp.load(Ordering::Relaxed) != 0 && sp < host_sp {
        return Record::Ancestor;
    }
    let names = slot.record.host_sp.as_ptr() as usize;
    // SAFETY: readable, or not read; [g0-sp] the switch left its slot's address there.
    if !sys::readable(host_sp) || unsafe { *(host_sp as *const usize) } != names {
        return Record::Dead;
    }
    Record::Untouched
}

/// Whether the callback on `on`, which the books say is out on the host's stack, is so indeed,
/// although code runs on its stack, in a frame at `entry_sp`: a signal handler or a fiber whose own
/// stack lies in one of the callback's frames. Else it was jumped back to. `[sig]`
#[cold]
#[inline(never)]
pub(crate) fn still_out(on: &GStack, entry_sp: usize) -> bool {
    let sched_sp = on.record.sched_sp.load(Ordering::Relaxed);
    let names = on.record.sched_sp.as_ptr() as usize;
    let overlaid = (arch::stack_pointer()..=entry_sp).contains(&sched_sp);
    // SAFETY: [slab] an address on a stack that is in use.
    !overlaid && on.contains(sched_sp) && unsafe { *(sched_sp as *const usize) } == names
}
