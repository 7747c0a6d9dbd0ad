//! Which records are dead: callbacks whose frames were jumped over (`longjmp`, `pthread_exit` over
//! frames without unwind tables, a fiber that was destroyed). `[record]`

use super::g::GStack;
use super::m::M;
use crate::base::atomic::Ordering;
use crate::sys;

/// Frees the stacks of this thread's dead callbacks, at an entry from a host stack whose frames
/// span `sp..=entry_sp`. Only by the owner. `[sig]`
pub(crate) fn reap(m: &M, sp: usize, entry_sp: usize) {
    for slot in m.stacks().filter(|slot| slot.busy()) {
        if dead(slot, sp, entry_sp) {
            m.leave(slot);
        }
    }
}

/// A record is dead if its frame is gone from the host's stack: our own frames lie over it, its
/// memory is unmapped, or the last word of its frame no longer names it. What still stands
/// untouched on some stack may be a fiber that comes back, and counts as alive.
fn dead(slot: &GStack, sp: usize, entry_sp: usize) -> bool {
    let host_sp = slot.record.host_sp.load(Ordering::Relaxed);
    if (sp..=entry_sp).contains(&host_sp) {
        return true;
    }
    // Out on the host's stack, and we are below: most likely it called us.
    if slot.record.sched_sp.load(Ordering::Relaxed) != 0 && sp < host_sp {
        return false;
    }
    let names = slot.record.host_sp.as_ptr() as usize;
    // SAFETY: readable, or not read; [g0-sp] the switch left its slot's address there.
    !sys::readable(host_sp) || unsafe { *(host_sp as *const usize) } != names
}
