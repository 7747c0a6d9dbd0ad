//! The frames of a fault, for whoever keeps them.

use super::End;
use super::spare::WALKS;
use super::unwind::{Cursor, Link};
use crate::arch::Regs;
use crate::sys;

/// A frame of a fault.
pub(crate) struct Faulted {
    /// A return address: names are looked up one before.
    pub(crate) pc: usize,
    pub(crate) sp: usize,
    /// A signal handler's return to what it has interrupted, before the system call that does so.
    pub(crate) is_sigreturn: bool,
}

/// Shows `see` every frame from the interrupted one at `regs` outward, as long as it says so, up to one whose caller
/// cannot be found: whether there is one; `None` if somebody else looks just now. `link` tells where the stack that
/// holds an SP was entered from: nothing is missing only if the frames lead there. `[sig]`
pub(crate) fn trace(regs: &Regs, link: Link<'_>, see: &mut dyn FnMut(Faulted) -> bool) -> Option<bool> {
    let mut is_lost = false;
    let has_looked = WALKS.look(&mut |area| {
        area.maps.open();
        let start = Cursor { regs: *regs, exact: true };
        let end = area.follow(start, Some(link), &mut |area, at, exact| {
            if area.past.is_some() {
                is_lost = true;
                return false;
            }
            // Where it would return to, if it had called. A jump to nowhere stays what it was.
            let pc = at.pc() + usize::from(exact && area.maps.is_code(at.pc()));
            let mut code = || area.maps.code_from(at.pc());
            let sp = at.regs.0[Regs::SP];
            let is_sigreturn =
                exact && !at.exact && code().is_some_and(|code| sys::context_at_return(code, sp).is_some());
            see(Faulted { pc, sp, is_sigreturn })
        });
        is_lost |= matches!(end, End::Lost(_));
    });
    has_looked.then_some(is_lost)
}
