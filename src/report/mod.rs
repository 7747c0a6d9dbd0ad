//! The report of a death, and the death. Go: `startpanic_m`, `dopanic_m`, `crash` in runtime/panic.go.
//!
//! The order of the end, which never depends on the patient:
//!
//! 1. One thread reports; others that are to die wait where they are.
//! 2. The thread switches to a stack that is kept for this. From here on: no TLS, no lock, no
//!    allocation, no cancellation point.
//! 3. Signals are held back, but for faults and SIGABRT; a timer on this thread sends SIGABRT when
//!    the bound has passed, whatever holds the report up.
//! 4. The report is printed.
//! 5. The mask is as it was, and the process dies as its [`Death`] says.

use core::ffi::c_void;
use core::fmt::Write;
use core::ptr;

use crate::arch::{self, Gobuf, Regs};
use crate::base::Printer;
use crate::base::atomic::{AtomicI32, Ordering};
use crate::gmp::{self, M};
use crate::stack::KeptStack;
use crate::sys;
use crate::traceback::{self, Frame};

/// How long the report may take.
const REPORT_NS: i64 = 2_000_000_000;
/// When the timer ends a report that did not heed its own bound.
const END_NS: i64 = REPORT_NS + 200_000_000;

/// The tid of the thread that reports, or 0.
static DYING: AtomicI32 = AtomicI32::new(0);

/// Only the thread that DYING names runs on it.
static REPORT_STACK: KeptStack = KeptStack::new();

/// Why a thread takes the process with it, and how.
pub(crate) struct Death<'a> {
    /// Prints what happened, `panic: BOOM`, without the last line break.
    pub(crate) what: &'a dyn Fn(&mut Printer),
    /// Where.
    pub(crate) regs: Regs,
    /// Whether their PC is the next instruction, of a frame that was interrupted, and not a return
    /// address.
    pub(crate) is_exact: bool,
    /// Ends the process from the report's stack; or does nothing, and who told it goes on.
    pub(crate) end: &'a dyn Fn(),
}

struct Report<'a> {
    death: &'a Death<'a>,
    /// Of the calling thread, if callbacks of it are on: then no stop takes away what is looked at.
    m: Option<&'static M>,
}

/// Reports a death of the calling thread, and ends it. `[sig]`
pub(crate) fn tell(death: &Death<'_>) {
    const LOOK_NS: i64 = 1_000_000;
    let me = sys::gettid();
    while let Err(dying) = DYING.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed) {
        if dying == me {
            again(death);
        }
        // The end, most likely; see `survived`.
        sys::nap(LOOK_NS);
    }
    let mut report = Report { death, m: gmp::getm().filter(|m| m.busy()) };
    let mut left = Gobuf::default();
    // SAFETY: we are the only one on that stack; its top is page-aligned.
    unsafe {
        arch::call_on_stack(
            print_and_end,
            ptr::from_mut(&mut report).cast(),
            REPORT_STACK.top(),
            &raw mut left,
        )
    };
}

/// The reported death is left to a handler of the host's, which may let the process live: the next death
/// is reported too. `[sig]`
pub(crate) fn survived() {
    DYING.store(0, Ordering::Relaxed);
}

/// A second death of the thread that dies already: in the host's handler of SIGABRT, say.
fn again(death: &Death<'_>) -> ! {
    let mut out = Printer::new(2, sys::now_ns() + REPORT_NS);
    out.bytes(b"panic during panic\n\t");
    (death.what)(&mut out);
    out.bytes(b"\n");
    out.flush();
    sys::die_of_default_abort()
}

unsafe extern "C-unwind" fn print_and_end(report: *mut c_void) {
    // SAFETY: `tell` passes its own, which it waits with.
    let report = unsafe { &*report.cast::<Report<'_>>() };
    let shield = sys::shield(END_NS);
    report.print(&mut Printer::new(2, sys::now_ns() + REPORT_NS));
    shield.lift();
    (report.death.end)()
}

impl Report<'_> {
    fn print(&self, out: &mut Printer) {
        // At once: it is out before anything more is tried.
        (self.death.what)(out);
        out.bytes(b"\n\n");
        out.flush();
        self.print_goroutine(out);
        // SAFETY: we are the only thread that reports.
        let area = unsafe { traceback::area() };
        let Death { regs, is_exact, .. } = self.death;
        traceback::print(out, regs, *is_exact, area, &|sp| host_side(self.m?, sp));
        out.flush();
    }

    fn print_goroutine(&self, out: &mut Printer) {
        let on = self.m.and_then(|m| {
            // Or out on the host's stack.
            // SAFETY: [gate] the hint goes before the stacks of a busy M do.
            m.on(self.death.regs.0[Regs::SP]).or_else(|| unsafe { m.curg.load(Ordering::Relaxed).as_ref() })
        });
        let _ = match on {
            Some(slot) => writeln!(out, "goroutine {} [running, locked to thread]:", slot.goid()),
            None => writeln!(out, "host thread {} [running]:", sys::gettid()),
        };
    }
}

/// Where the host's stack goes on for a walk that found no way down from `sp` on a managed stack.
fn host_side(m: &M, sp: usize) -> Option<Frame> {
    let host_sp = m.on(sp)?.host_sp();
    if host_sp == 0
        || !sys::readable(host_sp)
        || !sys::readable(arch::sp_behind_switch(host_sp) - size_of::<usize>())
    {
        return None;
    }
    // SAFETY: [g0-sp] where the switch left the host's stack, and it can be read.
    let [sp, fp, pc] = unsafe { arch::behind_switch(host_sp) };
    Some(Frame { sp, fp, pc })
}
