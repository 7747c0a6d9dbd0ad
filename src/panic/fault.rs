//! A fault that a try gets as a panic. Go: `sigpanic`.
//!
//! All of it happens in the signal handler, while the frames still stand: no lock may be taken, and the
//! block comes from the system, since the fault may have hit `malloc`. The way back is a cut, as
//! `siglongjmp` would make it: no destructor runs, and what was deferred in scopes inside the try is
//! dropped; what was deferred in the try's own runs when it has come back.

use super::gopanic::{LANDED, come_back, scopes, settle_at};
use super::info::Panic;
use crate::arch::Regs;
use crate::base::atomic::Ordering;
use crate::gmp::{GStack, Kind, M};
use crate::report;
use crate::sys;
use crate::traceback::{self, Faulted};

/// What happened, and where.
pub(crate) struct Fault<'a> {
    /// `WHARF_PANIC_FAULT` or `WHARF_PANIC_OVERFLOW`.
    pub(crate) kind: u32,
    pub(crate) message: &'a [u8],
    pub(crate) address: usize,
    pub(crate) regs: &'a Regs,
    /// The signals that the thread held back.
    pub(crate) mask: u64,
}

/// Where a thread goes on.
pub(crate) struct Landing {
    /// The switch's stack pointer, for `gogo`.
    pub(crate) sp: usize,
    /// What it is given.
    pub(crate) value: u32,
    /// The signals that it holds back: those that the callback did, if the fault is in a handler of the host's.
    pub(crate) mask: u64,
}

/// Makes the fault on `on`, of `m`, a panic that has come back to the try that stands there; the caller
/// sends the thread there. `None`: there is none, or no memory. `[sig]`
pub(crate) fn fault(m: &M, on: &'static GStack, fault: &Fault<'_>) -> Option<Landing> {
    settle_at(on, fault.regs.0[Regs::SP].max(on.lo));
    let (scope, _) = scopes(on).find(|(scope, _)| scope.kind() == Kind::Try)?;
    // A way over the host's frames is not ours to cut; a scope that is just begun has no switch yet.
    if !core::ptr::eq(scope.on, on) || scope.sp() == 0 {
        return None;
    }
    let panic = Panic::of_fault(fault.message, fault.kind, fault.address)?;
    let end = scope.sp();
    let inside = |sp: usize| !on.contains(end) || sp < end;
    let mask = trace(panic, fault, &inside);
    panic.set_cut();
    while let Some(other) = Panic::innermost(on).filter(|other| other.is_left_by(scope)) {
        other.end(on);
        panic.replace(other);
    }
    panic.begin(on);
    come_back(panic, m, scope);
    m.curg.store(core::ptr::from_ref(on).cast_mut(), Ordering::Relaxed);
    on.record.out.sp.store(0, Ordering::Relaxed);
    Some(Landing { sp: end, value: LANDED, mask })
}

/// Puts the frames that are `inside` into the panic. The signals that were held back outside all handlers of the
/// host's that are among them: what the system has kept below the outermost one.
fn trace(panic: &Panic, fault: &Fault<'_>, inside: &dyn Fn(usize) -> bool) -> u64 {
    const NAP_NS: i64 = 100_000;
    /// Whoever looks may be what we have interrupted.
    const PATIENCE_NS: i64 = 2_000_000_000;
    let mut mask = fault.mask;
    let mut has_room = true;
    let mut see = |frame: Faulted| {
        if !inside(frame.sp) {
            return false;
        }
        has_room = has_room && panic.trace(frame.pc);
        if frame.is_sigreturn {
            mask = sys::held_back_before(frame.sp).unwrap_or(mask);
        }
        // A handler that holds nothing back leaves nothing behind.
        has_room || fault.mask != 0
    };
    let until_ns = sys::now_ns() + PATIENCE_NS;
    loop {
        if let Some(is_lost) = traceback::trace(fault.regs, &report::host_side_of, &mut see) {
            panic.is_lost.set(is_lost);
            break;
        }
        if fault.mask == 0 || sys::now_ns() > until_ns {
            break;
        }
        sys::nap(NAP_NS);
    }
    mask
}
