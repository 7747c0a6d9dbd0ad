//! What can be told at a glance of a record: of a callback that the books say is on. `[record]`

use super::g::GStack;
use crate::arch;
use crate::sys;

/// Whether the frame on the host's stack of a busy `slot` is gone, seen from an entry from a host
/// stack whose frames span `sp..=entry_sp`: our own frames lie over it, its memory is unmapped, or
/// its name is no longer the record's. `[sig]`
pub(crate) fn is_dead(slot: &GStack, sp: usize, entry_sp: usize) -> bool {
    let host_sp = slot.host_sp();
    // What we call next would lie over it, too.
    if (sp - NEXT_FRAME..=entry_sp).contains(&host_sp) {
        return true;
    }
    // Out on the host's stack, with us below: it called us.
    if slot.sched_sp() != 0 && sp < host_sp && host_sp - sp < NEAR {
        return false;
    }
    let names = &raw const slot.record.host as usize;
    let name = arch::name_of_switch(host_sp);
    // SAFETY: readable, or not read; [g0-sp] the switch left its slot's address there.
    !sys::readable(name as usize) || unsafe { *name } != names
}

/// Whether the callback on `on` is out on the host's stack, and code that it called there runs at `sp`,
/// as far as that can be told from outside. `[sig]`
pub(crate) fn is_out_at(on: &GStack, sp: usize) -> bool {
    /// The most that such code may take of the stack.
    const FAR: usize = 16 << 20;
    let (host_sp, names) = (on.host_sp(), &raw const on.record.host as usize);
    let below = on.sched_sp() != 0 && sp < host_sp && host_sp - sp < FAR;
    let name = arch::name_of_switch(host_sp);
    // SAFETY: readable, or not read; [g0-sp] the switch left its slot's address there.
    below && sys::readable(name as usize) && unsafe { *name } == names
}

/// More than the switch's frame takes.
const NEXT_FRAME: usize = arch::SWITCH_BYTES + 64;

/// So close below the frame of a callback that is out, a call is believed to come from it.
const NEAR: usize = 4096;

/// Whether the callback on `on`, which the books say is out on the host's stack, is so indeed,
/// although code runs on its stack, in a frame at `entry_sp`: a signal handler or a fiber whose own
/// stack lies in one of the callback's frames. Else it was jumped back to. `[sig]`
#[cold]
#[inline(never)]
pub(crate) fn still_out(on: &GStack, entry_sp: usize) -> bool {
    let sched_sp = on.sched_sp();
    let names = &raw const on.record.out as usize;
    let overlaid = (arch::stack_pointer() - NEXT_FRAME..=entry_sp).contains(&sched_sp);
    // SAFETY: [slab] an address on a stack that is in use.
    !overlaid && on.contains(sched_sp) && unsafe { *arch::name_of_switch(sched_sp) } == names
}
