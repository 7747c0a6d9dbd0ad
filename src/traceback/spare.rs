//! Memory and a stack for looks at frames outside the report, which waits for nobody.

use core::cell::UnsafeCell;
use core::ffi::c_void;

use super::{Area, Shared};
use crate::arch::{Gobuf, call_on_stack};
use crate::base::atomic::{AtomicI32, Ordering};
use crate::stack::KeptStack;
use crate::sys;

static AREA: Shared = Shared(UnsafeCell::new(Area::new()));
static STACK: KeptStack = KeptStack::new();
/// The process in which both are in use, or 0: a fork leaves the parent's there.
static LOOKING: AtomicI32 = AtomicI32::new(0);

/// Runs `look` with the memory, on a stack of its own: the present one may be small. False if somebody
/// else looks just now. `[sig]`
pub(super) fn look(mut look: &mut dyn FnMut(&mut Area)) -> bool {
    let me = sys::getpid();
    let before = LOOKING.load(Ordering::Relaxed);
    // Acquire: pairs with the release below.
    if before == me || LOOKING.compare_exchange(before, me, Ordering::Acquire, Ordering::Relaxed).is_err() {
        return false;
    }
    let mut left = Gobuf::default();
    // SAFETY: the stack is ours as LOOKING is.
    unsafe { call_on_stack(run, (&raw mut look).cast(), STACK.top(), &raw mut left) };
    LOOKING.store(0, Ordering::Release);
    true
}

unsafe extern "C-unwind" fn run(look: *mut c_void) {
    // SAFETY: `look` hands over its own, and waits; the memory is ours until LOOKING is false again.
    let (look, area) = unsafe { (&mut *look.cast::<&mut dyn FnMut(&mut Area)>(), &mut *AREA.0.get()) };
    // Whoever was there before us may have been left behind by a fork.
    area.reset();
    area.lines.is_spare = true;
    look(area);
    area.reset();
}
