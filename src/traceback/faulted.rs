//! The frames of a fault, for whoever keeps them.

use super::spare::WALKS;
use super::unwind::Cursor;
use crate::arch::Regs;

/// Shows `see` every frame from the interrupted one at `regs` outward, as a return address and the stack
/// pointer, as long as it says so. Nothing if somebody else looks just now. `[sig]`
pub(crate) fn trace(regs: &Regs, see: &mut dyn FnMut(usize, usize) -> bool) {
    WALKS.look(&mut |area| {
        area.maps.open();
        let start = Cursor { regs: *regs, exact: true };
        area.follow(start, Some(&|_| None), &mut |_, at, exact| {
            // Where it would return to, if it had called: names are looked up one before.
            see(at.pc() + usize::from(exact), at.regs.0[Regs::SP])
        });
    });
}
