//! Whether a frame on the thread's own stack was given up. `[record]`

use core::cell::UnsafeCell;
use core::ffi::c_void;

use super::{Area, Cursor, End, Shared};
use crate::arch::{Regs, call_on_stack};
use crate::base::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::stack::KeptStack;

/// A frame smaller than this holds no fiber's stack.
const NO_STACK: usize = 512;

// Not those of a report: that waits for nobody.
static AREA: Shared = Shared(UnsafeCell::new(Area::new()));
static STACK: KeptStack = KeptStack::new();
/// Whether both are in use.
static WALKING: AtomicBool = AtomicBool::new(false);

/// Whether the frame whose caller has stack pointer `end` is surely given up, seen from `here` on
/// the same memory: the frames from here outward lead to the thread's first one by their tables (a
/// fiber's do not, as long as nobody describes its first frame), and it lies below them, or they
/// pass over it in a frame that has no room for a fiber's stack. False also if another thread asks
/// just now. Runs on a stack of its own: the present one may be small. `[sig]`
pub(crate) fn is_passed(here: &Regs, end: usize) -> bool {
    // Acquire: pairs with the release below.
    if WALKING.swap(true, Ordering::Acquire) {
        return false;
    }
    let mut walk = Walk { here, end, passed: false };
    let sp = AtomicUsize::new(0);
    // SAFETY: the stack is ours as WALKING is.
    unsafe { call_on_stack(Walk::run, (&raw mut walk).cast(), STACK.top(), sp.as_ptr()) };
    WALKING.store(false, Ordering::Release);
    walk.passed
}

struct Walk<'a> {
    here: &'a Regs,
    end: usize,
    passed: bool,
}

impl Walk<'_> {
    unsafe extern "C-unwind" fn run(walk: *mut c_void) {
        // SAFETY: `is_passed` hands over its own, and waits.
        let walk = unsafe { &mut *walk.cast::<Walk<'_>>() };
        // SAFETY: ours until WALKING is false again.
        let area = unsafe { &mut *AREA.0.get() };
        area.maps.open();
        let end = walk.end;
        let mut inner = walk.here.0[Regs::SP];
        let mut given_up = end < inner;
        let start = Cursor { regs: *walk.here, exact: false };
        let whole = area.follow(start, None, &mut |_, at, _| {
            let sp = at.regs.0[Regs::SP];
            given_up |= inner < end && end < sp && sp - inner < NO_STACK;
            inner = sp;
            true
        });
        walk.passed = given_up && matches!(whole, End::First);
        area.reset();
    }
}
