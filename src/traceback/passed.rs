//! Whether a frame on the thread's own stack was given up. `[record]`

use super::spare::WALKS;
use super::{Cursor, End};
use crate::arch::{Regs, is_switch};

/// A frame smaller than this holds no fiber's stack; our own, with registers in them, are.
const NO_STACK: usize = 256 + 2 * size_of::<Regs>();

/// Whether the frame whose caller has stack pointer `end` is surely given up, seen from `here` on
/// the same memory, which ends at `top`: the frames from here outward lead to the thread's first one by
/// their tables (a fiber's do not, as long as nobody describes its first frame), or to where nothing but
/// that has room, and it lies below them, or they pass over it in a frame that has no room for a fiber's
/// stack. False also if another thread asks just now. `[sig]`
pub(crate) fn is_passed(here: &Regs, end: usize, top: usize) -> bool {
    let mut passed = false;
    WALKS.look(&mut |area| {
        area.maps.open();
        let mut inner = here.0[Regs::SP];
        let mut given_up = end <= inner;
        let mut by_switch = false;
        let whole = area.follow(Cursor { regs: *here, exact: false }, None, &mut |_, at, _| {
            let sp = at.regs.0[Regs::SP];
            // The caller of the switch itself, if it stands.
            let is_it = end == sp && by_switch;
            given_up |= inner < end && end <= sp && !is_it && sp - inner < NO_STACK;
            by_switch = is_switch(at.pc());
            inner = sp;
            true
        });
        passed = given_up && (matches!(whole, End::First) || top.wrapping_sub(inner) < NO_STACK);
    });
    passed
}
