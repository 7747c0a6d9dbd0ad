//! Freeing the stacks of callbacks that were jumped out of: by `longjmp`, by `pthread_exit` over
//! frames without unwind tables, with a fiber that was destroyed. `[record]`
//!
//! A call looks at a glance: a record is dead if its frame is gone. One whose frame still stands may
//! be a fiber's that comes back, and counts as alive: its stack is kept until the frame is written
//! over, or the thread says that it is outside. That is what stop, attach and detach mean, and
//! there is time then: on the thread's own stack, what the present frames have passed is dead.

use crate::arch::{self, Regs};
use crate::gmp::{self, GStack, M, is_dead};
use crate::{sys, traceback};

/// Frees the stacks of this thread's dead callbacks, at an entry from a host stack whose frames
/// begin at `entry_sp`. Only by the owner. `[sig]`
#[inline(never)]
pub(super) fn reap(m: &M, entry_sp: usize) {
    let sp = arch::stack_pointer();
    for slot in busy_stacks(m) {
        if is_dead(slot, sp, entry_sp) {
            gmp::abandon_own(slot);
            m.leave(slot);
        }
    }
}

/// As [`reap`], and frees what the thread's own stack has lost as well. Allocates.
#[inline(never)]
pub(super) fn reap_thoroughly(m: &M) {
    let sp = arch::stack_pointer();
    reap(m, sp);
    if !m.gate.busy() {
        return;
    }
    let own = sys::thread_stack();
    let here = Regs::capture();
    for slot in busy_stacks(m) {
        let host_sp = slot.host_sp();
        let both_own = own.contains(&sp) && own.contains(&host_sp);
        if both_own && traceback::is_passed(&here, arch::sp_behind_switch(host_sp), own.end) {
            gmp::abandon_own(slot);
            m.leave(slot);
        }
    }
}

/// The stacks of `m` that are busy. Ends with the last one that is left: from then on a stop may take
/// them all away.
fn busy_stacks(m: &M) -> impl Iterator<Item = &'static GStack> {
    let mut stacks = m.stacks();
    core::iter::from_fn(move || if m.gate.busy() { stacks.find(|slot| slot.busy()) } else { None })
}
