//! Whether the frames lead from here to a scope. On the host's stack they may not: a fiber that ends
//! in itself has nothing to do with the try that some other fiber stands in.

use core::ptr;

use super::info::Panic;
use crate::arch::{self, Regs};
use crate::gmp::{self, Scope};
use crate::sys::{self, unwind};

/// Whether unwinding from here comes to the switch of `scope`. Where it comes to a frame without
/// tables, the stack itself is looked at.
pub(super) fn leads_to(scope: Scope) -> bool {
    let (mut found, mut last) = (false, (0, 0));
    unwind::backtrace(&mut |frame| {
        last = (frame.pc(), frame.sp());
        found = arch::is_switch(last.0) && arch::switch_sp(frame.register(Regs::FP)) == scope.sp();
        !found
    });
    let (pc, sp) = last;
    // A thread's or a fiber's first frame has no caller.
    found || pc != 0 && goes_on(sp, scope)
}

/// Whether `sp` is on a stack of those from here to `scope`, or on the host's below one of them.
fn goes_on(sp: usize, scope: Scope) -> bool {
    let inward = core::iter::successors(gmp::innermost_g(), |on| on.parent());
    let mut ended = false;
    inward
        .take_while(|on| !core::mem::replace(&mut ended, ptr::eq(*on, scope.on)))
        .any(|on| on.contains(sp) || is_one_stack(sp, on.host_sp()))
}

/// Whether no guard lies between two places on a stack.
fn is_one_stack(lo: usize, hi: usize) -> bool {
    const FAR: usize = 1 << 20;
    lo < hi && hi - lo < FAR && (lo..hi).step_by(sys::page_bytes()).all(sys::readable)
}

/// Puts the frames from here outward into a panic's trace.
pub(super) fn trace(panic: &Panic, raised: usize) {
    unwind::backtrace(&mut |frame| frame.pc() != 0 && (frame.sp() <= raised || panic.trace(frame.pc())));
}
