//! The frames of a fault, for whoever keeps them.

use super::spare::WALKS;
use super::unwind::Cursor;
use crate::arch::Regs;

/// A frame of a fault.
pub(crate) struct Faulted {
    /// A return address: names are looked up one before.
    pub(crate) pc: usize,
    pub(crate) sp: usize,
    /// The system's own between a signal handler and what it has interrupted: its stack pointer is the
    /// `ucontext_t`.
    pub(crate) is_signal_s: bool,
}

/// Shows `see` every frame from the interrupted one at `regs` outward, as long as it says so. False if somebody
/// else looks just now. `[sig]`
pub(crate) fn trace(regs: &Regs, see: &mut dyn FnMut(Faulted) -> bool) -> bool {
    WALKS.look(&mut |area| {
        area.maps.open();
        let start = Cursor { regs: *regs, exact: true };
        area.follow(start, Some(&|_| None), &mut |area, at, exact| {
            // Where it would return to, if it had called. A jump to nowhere stays what it was.
            let pc = at.pc() + usize::from(exact && area.maps.is_code(at.pc()));
            see(Faulted { pc, sp: at.regs.0[Regs::SP], is_signal_s: exact && !at.exact })
        });
    })
}
