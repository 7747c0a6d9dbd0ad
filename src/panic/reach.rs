//! Whether the frames lead from here to a scope. On the host's stack they may not: a fiber that ends
//! in itself has nothing to do with the try that some other fiber stands in.

use core::ptr;

use super::defer::call_deferred;
use super::info::Panic;
use crate::arch::{self, Regs};
use crate::gmp::{self, GStack, Kind, STACKS, Scope};
use crate::sys::{self, unwind};

/// The G that we are, with the stacks outward of it as the frames have them: with fibers, what the books
/// say of them may tell of another's. Where the frames are lost, in a function without tables, the books
/// are believed as far as the stack itself leads there.
pub(super) fn innermost() -> Option<&'static GStack> {
    let m = gmp::getm().filter(|m| m.gate.busy())?;
    if m.gate.depth() == 1 && gmp::getg().is_some() {
        return gmp::getg();
    }
    let mut innermost: Option<&'static GStack> = None;
    let mut last: Option<&'static GStack> = None;
    let mut end = (0, 0);
    unwind::backtrace(&mut |frame| {
        end = (frame.pc(), frame.sp());
        let on = STACKS.find(frame.sp()).filter(|on| on.busy());
        if let Some(on) = on.filter(|on| last.is_none_or(|last| !ptr::eq(last, *on))) {
            innermost.get_or_insert(on);
            last.inspect(|last| last.set_parent(Some(on)));
            last = Some(on);
        }
        end.0 != 0
    });
    if let Some(last) = last {
        let (pc, sp) = end;
        let goes_on = |parent: &&GStack| last.contains(sp) || is_one_stack(sp, parent.host_sp());
        last.set_parent(last.parent().filter(|parent| pc != 0 && goes_on(parent)));
    }
    innermost.or_else(gmp::innermost_g)
}

/// Where the frames from here come to `on`, which is not out by the books: another copy of wharf's, or a
/// handler, runs inside its callback. 0 if they do not.
#[cold]
#[inline(never)]
pub(super) fn left_at(on: &GStack) -> usize {
    let mut at = 0;
    unwind::backtrace(&mut |frame| {
        at = if on.contains(frame.sp()) { frame.sp() } else { 0 };
        at == 0 && frame.pc() != 0
    });
    at
}

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
    let inward = core::iter::successors(innermost(), |on| on.parent());
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

/// Whether the deferred call was left that `call_deferred` has made from `place` on `on`: the frames from here come
/// to the stack's base without it. Those of a fiber whose stack lies among them do not. Where they end in a function
/// without tables, it is told by `top`, where the living ones end.
pub(super) fn is_left(on: &GStack, place: usize, top: usize) -> bool {
    // At a call the stack pointer may be lower by what that is given.
    const ARGUMENTS: usize = 32;
    let caller = call_deferred as *const () as usize;
    let (mut stands, mut at_base, mut pc) = (false, false, 0);
    unwind::backtrace(&mut |frame| {
        pc = frame.pc();
        stands = (frame.sp()..=frame.sp() + ARGUMENTS).contains(&place) && frame.is_of(caller);
        at_base = arch::is_switch(pc) && arch::switch_sp(frame.register(Regs::FP)) == on.host_sp();
        !stands && !at_base && pc != 0
    });
    // A thread's or a fiber's first frame has no caller.
    !stands && (at_base || pc != 0 && place < top)
}

/// Finds the scopes on the stacks from `on` outward that a `longjmp` left, and that the frames from here no
/// longer lead to although others lie where theirs were. The innermost of a stack is dropped.
pub(super) fn find_left(on: &'static GStack) {
    for on in core::iter::successors(Some(on), |on| on.parent()).filter(|on| on.scope().mark != 0) {
        let mut rest = Some(on.scope());
        unwind::backtrace(&mut |frame| {
            let (pc, sp) = (frame.pc(), frame.sp());
            let switch = if arch::is_switch(pc) { arch::switch_sp(frame.register(Regs::FP)) } else { 0 };
            if switch == on.host_sp() {
                rest = passed(rest, usize::MAX);
            } else if on.contains(switch) {
                rest = passed(rest, switch);
                rest =
                    rest.and_then(|scope| if scope.sp() == switch { scope.outward() } else { Some(scope) });
            } else if on.contains(sp) {
                rest = passed(rest, sp);
            }
            pc != 0 && rest.is_some_and(|scope| scope.mark != 0)
        });
        // Behind frames without tables.
        for scope in core::iter::successors(rest, |scope| scope.outward()).filter(|scope| !scope.stands()) {
            scope.set_kind(Kind::Left);
        }
        while on.scope().kind() == Kind::Left {
            on.pop_scope(on.scope().mark);
        }
    }
}

/// The scopes from `rest` outward whose switches lie at `sp` or above; the others were left.
fn passed(rest: Option<Scope>, sp: usize) -> Option<Scope> {
    let mut rest = rest;
    while let Some(scope) = rest.filter(|scope| scope.mark != 0 && scope.sp() < sp) {
        scope.set_kind(Kind::Left);
        rest = scope.outward();
    }
    rest
}

/// Puts the frames from here outward into a panic's trace, but for those that raised it.
pub(super) fn trace(panic: &Panic, raised: usize) {
    let mut begun = false;
    unwind::backtrace(&mut |frame| {
        // Stacks further out may lie lower.
        begun |= frame.sp() > raised;
        frame.pc() != 0 && (!begun || panic.trace(frame.pc()))
    });
}
