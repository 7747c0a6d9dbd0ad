//! Memory and a stack for looks at frames outside the report, which waits for nobody.

use core::cell::UnsafeCell;
use core::ffi::c_void;

use super::{Area, Shared};
use crate::arch::{Gobuf, call_on_stack};
use crate::base::atomic::{AtomicI32, AtomicUsize, Ordering};
use crate::stack::KeptStack;
use crate::symbolize;
use crate::sys;

/// Memory and stack for one look at a time.
pub(super) struct Spare {
    area: Shared,
    stack: KeptStack,
    /// The process in which both are in use, or 0: a fork leaves the parent's there.
    looking: AtomicI32,
    /// Where the switch to the look left the stack; 0: none goes on.
    left: AtomicUsize,
}

/// For walks, which are short.
pub(super) static WALKS: Spare = Spare::new();
/// For texts, which take files, and time.
pub(super) static TEXTS: Spare = Spare::new();

impl Spare {
    const fn new() -> Spare {
        let area = Shared(UnsafeCell::new(Area::new()));
        Spare { area, stack: KeptStack::new(), looking: AtomicI32::new(0), left: AtomicUsize::new(0) }
    }

    /// Runs `look` with the memory, on a stack of its own: the present one may be small. It may be left at
    /// any instruction, if it faults. False if somebody else looks just now. `[sig]`
    pub(super) fn look(&self, look: &mut dyn FnMut(&mut Area)) -> bool {
        let me = sys::getpid();
        let before = self.looking.load(Ordering::Relaxed);
        let taken =
            || self.looking.compare_exchange(before, me, Ordering::Acquire, Ordering::Relaxed).is_ok();
        // Acquire: pairs with the release below.
        if before == me || !taken() {
            return false;
        }
        let mut work = || {
            // SAFETY: ours until `looking` is 0 again.
            let area = unsafe { &mut *self.area.0.get() };
            // Whoever was there before us may have been left behind by a fork.
            area.reset();
            area.lines.is_spare = true;
            look(area);
            area.reset();
        };
        let mut work: &mut dyn FnMut() = &mut work;
        let mut left = Gobuf::default();
        self.left.store(left.as_ptr() as usize, Ordering::Relaxed);
        // SAFETY: the stack is ours as `looking` is.
        unsafe { call_on_stack(run, (&raw mut work).cast(), self.stack.top(), &raw mut left) };
        self.left.store(0, Ordering::Relaxed);
        self.looking.store(0, Ordering::Release);
        true
    }
}

/// As [`symbolize::landing`], for looks too.
pub(crate) fn landing(sp: usize) -> Option<usize> {
    let look = || [&WALKS, &TEXTS].into_iter().find(|spare| spare.stack.holds(sp));
    let left = || {
        let left = look()?.left.load(Ordering::Relaxed) as *const Gobuf;
        // SAFETY: null, or `look` waits with it.
        unsafe { left.as_ref() }.map(|left| left.sp.load(Ordering::Relaxed))
    };
    symbolize::landing(sp).or_else(left)
}

unsafe extern "C-unwind" fn run(work: *mut c_void) {
    // SAFETY: `look` hands over its own, and waits.
    let work = unsafe { &mut *work.cast::<&mut dyn FnMut()>() };
    work();
}
