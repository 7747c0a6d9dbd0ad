//! The steps of a report that read what may be broken. A fault ends the step, and not the report.

use core::ffi::c_void;

use super::REPORT_STACK;
use crate::arch;
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::stack::KeptStack;
use crate::sys::Trap;
use crate::traceback::{self, Area};

/// Where the present step goes on when it faults; 0: there is none.
static LEFT: AtomicUsize = AtomicUsize::new(0);
static HANDLER_STACK: KeptStack = KeptStack::new();

/// Has faults end steps, as long as it lives.
///
/// # Safety
/// The calling thread is the one that reports, on the report's stack.
pub(super) unsafe fn trap() -> Trap {
    // SAFETY: one thread reports; both landings are checked by who waits there.
    unsafe { Trap::set(landing, HANDLER_STACK.lo(), HANDLER_STACK.bytes()) }
}

fn landing(sp: usize) -> Option<usize> {
    let left = || Some(LEFT.load(Ordering::Relaxed)).filter(|&left| left != 0 && REPORT_STACK.holds(sp));
    traceback::landing(sp).or_else(left)
}

/// Runs a step, which leaves nothing behind that must be dropped, with the memory of the report. Whether it
/// came to its end.
pub(super) fn step(area: &mut &'static mut Area, work: &mut dyn FnMut(&mut Area)) -> bool {
    let mut work = || work(area);
    let mut work: &mut dyn FnMut() = &mut work;
    // SAFETY: the step waits for nothing that is not on this stack.
    let value = unsafe { arch::call_here(run, (&raw mut work).cast(), 0, LEFT.as_ptr()) };
    LEFT.store(0, Ordering::Relaxed);
    if value != 0 {
        // SAFETY: it is the report's, and who had it is gone.
        *area = unsafe { traceback::area() };
    }
    value == 0
}

unsafe extern "C-unwind" fn run(work: *mut c_void) {
    // SAFETY: `step` hands over its own, and waits.
    let work = unsafe { &mut *work.cast::<&mut dyn FnMut()>() };
    work();
}
