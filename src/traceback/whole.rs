//! Whether the present stack is a thread's own, from its first frame on.

use core::cell::UnsafeCell;
use core::ffi::c_void;

use super::{Area, Cursor, End, Shared};
use crate::arch::{Regs, call_on_stack};
use crate::base::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::stack::KeptStack;

// Not those of a report: that waits for nobody.
static AREA: Shared = Shared(UnsafeCell::new(Area::new()));
static STACK: KeptStack = KeptStack::new();
/// Whether both are in use.
static WALKING: AtomicBool = AtomicBool::new(false);

/// Whether the frames from `here` outward lead to a first frame, by their tables and nothing else: a
/// fiber's do not, as long as nobody describes its first frame. False also if another thread asks
/// just now. Runs on a stack of its own: the present one may be small. `[sig]`
pub(crate) fn is_whole(here: &Regs) -> bool {
    // Acquire: pairs with the release below.
    if WALKING.swap(true, Ordering::Acquire) {
        return false;
    }
    let mut walk = Walk { here, whole: false };
    let sp = AtomicUsize::new(0);
    // SAFETY: the stack is ours as WALKING is.
    unsafe { call_on_stack(Walk::run, (&raw mut walk).cast(), STACK.top(), sp.as_ptr()) };
    WALKING.store(false, Ordering::Release);
    walk.whole
}

struct Walk<'a> {
    here: &'a Regs,
    whole: bool,
}

impl Walk<'_> {
    unsafe extern "C-unwind" fn run(walk: *mut c_void) {
        // SAFETY: `is_whole` hands over its own, and waits.
        let walk = unsafe { &mut *walk.cast::<Walk<'_>>() };
        // SAFETY: ours until WALKING is false again.
        let area = unsafe { &mut *AREA.0.get() };
        area.reset();
        area.maps.load();
        let end = area.follow(Cursor { regs: *walk.here, exact: false }, None, &mut |_, _, _| true);
        walk.whole = matches!(end, End::First);
    }
}
