//! Go: `fatalpanic`, `startpanic_m`, `dopanic_m` in runtime/panic.go.
//!
//! The order of the end, which never depends on the patient:
//!
//! 1. One thread reports; others that panic wait for the end where they are.
//! 2. The thread switches to a stack that is kept for this. From here on: no TLS, no lock, no
//!    allocation, no cancellation point.
//! 3. Signals are held back, but for faults and SIGABRT; a timer on this thread sends SIGABRT when
//!    the bound has passed, whatever holds the report up.
//! 4. The report is printed.
//! 5. The mask is as it was, SIGABRT let through; SIGABRT is raised with the host's handler in its
//!    place. If that returns, or the signal is ignored, it is raised with the default action.

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

struct Report<'a> {
    regs: Regs,
    before: &'a dyn Fn(&mut Printer),
    message: &'a dyn Fn(&mut Printer),
    /// Of the calling thread, if callbacks of it are on: then no stop takes away what is looked at.
    m: Option<&'static M>,
}

/// Reports what `before` prints, `panic: ` and what `message` prints, with the trace of the calling
/// thread, and ends the process.
#[inline(never)]
pub(crate) fn fatal(before: &dyn Fn(&mut Printer), message: &dyn Fn(&mut Printer)) -> ! {
    let regs = Regs::capture();
    let me = sys::gettid();
    match DYING.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {}
        Err(dying) if dying == me => again(message),
        Err(_) => sys::wait_for_the_end(),
    }
    let mut report = Report { regs, before, message, m: gmp::getm().filter(|m| m.busy()) };
    let mut left = Gobuf::default();
    // SAFETY: we are the only one on that stack; its top is page-aligned.
    unsafe {
        arch::call_on_stack(
            print_report,
            ptr::from_mut(&mut report).cast(),
            REPORT_STACK.top(),
            &raw mut left,
        )
    };
    unreachable!()
}

/// A second panic of the thread that dies of the first: from the host's handler of SIGABRT.
fn again(message: &dyn Fn(&mut Printer)) -> ! {
    let mut out = Printer::new(2, sys::now_ns() + REPORT_NS);
    out.bytes(b"panic during panic\n\t");
    message(&mut out);
    out.bytes(b"\n");
    out.flush();
    sys::die_of_default_abort()
}

unsafe extern "C-unwind" fn print_report(report: *mut c_void) {
    // SAFETY: `fatal` passes its own, which it waits with.
    let report = unsafe { &*report.cast::<Report<'_>>() };
    let shield = sys::shield(END_NS);
    let mut out = Printer::new(2, sys::now_ns() + REPORT_NS);
    print_head(&mut out, report);
    print_goroutine(&mut out, &report.regs, report.m);
    // SAFETY: we are the only thread that reports.
    let area = unsafe { traceback::area() };
    traceback::print(&mut out, &report.regs, false, area, &|sp| host_side(report.m?, sp));
    out.flush();
    shield.lift();
    sys::die_of_abort()
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

/// `panic: message`, at once: it is out before anything more is tried.
fn print_head(out: &mut Printer, report: &Report<'_>) {
    (report.before)(out);
    out.bytes(b"panic: ");
    (report.message)(out);
    out.bytes(b"\n\n");
    out.flush();
}

fn print_goroutine(out: &mut Printer, regs: &Regs, m: Option<&M>) {
    let tid = sys::gettid();
    let on = m.and_then(|m| {
        // Or out on the host's stack.
        // SAFETY: [gate] the hint goes before the stacks of a busy M do.
        m.on(regs.0[Regs::SP]).or_else(|| unsafe { m.curg.load(Ordering::Relaxed).as_ref() })
    });
    let _ = match on {
        Some(slot) => writeln!(out, "goroutine {} [running, locked to thread]:", slot.goid()),
        None => writeln!(out, "host thread {tid} [running]:"),
    };
}
