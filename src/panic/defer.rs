//! Deferred calls, and how a scope ends. Go: `deferproc`, `deferreturn` in runtime/panic.go.

use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;

use super::gopanic::{drop_left, unwind_outward};
use super::info::{Deferred, Panic, wharf_panic_info};
use super::reach;
use crate::arch::{self, EntryFn, FinishFn, Gobuf};
use crate::base::Status;
use crate::base::atomic::Ordering;
use crate::base::status::*;
use crate::gmp::{self, G, GStack, Kind, Scope};
use crate::sys;

/// Has `f(arg)` called when the innermost scope ends, however it ends.
#[inline(always)]
pub(crate) fn deferproc(f: EntryFn, arg: *mut c_void) -> Status {
    let sp = arch::stack_pointer();
    let quick = gmp::getm_quickly().filter(|m| m.gate.busy()).and_then(|m| m.hinted(sp));
    match quick.filter(|on| !on.has_lost_scope(sp)).and_then(|on| push_deferred(on, f, arg)) {
        Some(()) => WHARF_OK,
        None => deferproc_slowly(f, arg),
    }
}

/// From anywhere, also where the list of scopes has dead ones, or no room.
#[cold]
#[inline(never)]
fn deferproc_slowly(f: EntryFn, arg: *mut c_void) -> Status {
    let sp = arch::stack_pointer();
    let here = gmp::getm().filter(|m| m.gate.busy()).and_then(|m| m.hinted(sp));
    let Some(on) = here.or_else(reach::innermost) else { return WHARF_ESTATE };
    let _errno = sys::ErrnoGuard::new();
    on.drop_lost_scopes(top_of(on, sp));
    match on.grow_scopes().and_then(|()| push_deferred(on, f, arg)) {
        Some(()) => WHARF_OK,
        None => WHARF_ENOMEM,
    }
}

/// `None` if there is no room.
#[inline(always)]
fn push_deferred(on: &'static GStack, f: EntryFn, arg: *mut c_void) -> Option<()> {
    on.push_deferred(f, arg)?;
    if on.scope().mark == 0 {
        ask_for_return(on);
    }
    Some(())
}

/// Has [`deferreturn`] called when the call from the host on `on` has returned.
#[inline(always)]
pub(super) fn ask_for_return(on: &GStack) {
    let finish: FinishFn = deferreturn;
    on.record.host.finish.store(finish as usize, Ordering::Relaxed);
}

/// Where the frames of `on` end: at `sp`, or where it left its stack.
#[inline(always)]
pub(super) fn top_of(on: &GStack, sp: usize) -> usize {
    match on.sched_sp() {
        _ if on.contains(sp) => sp,
        0 => reach::left_at(on),
        out => out,
    }
}

/// Runs what was deferred in a call from the host, and drops the panics that were left there: called by the switch when
/// its function has returned.
unsafe extern "C-unwind" fn deferreturn(buf: *mut Gobuf) {
    const OFFSET: usize = offset_of!(GStack, record) + offset_of!(G, host);
    // SAFETY: the host's side of a G, which lives in its slot. [slab]
    let on: &'static GStack = unsafe { &*buf.byte_sub(OFFSET).cast() };
    let scope = Scope { on, mark: 0 };
    close(scope);
    // If one has come back, it is `run_deferred` that has returned, to `finish`, which sees to the rest.
    while landed(scope).is_none() {
        let Some((f, arg)) = on.pop_deferred() else { return };
        let depth = on.position().1;
        // SAFETY: by the word of whoever deferred it.
        unsafe { f(arg) };
        drop_inside(on, depth);
    }
}

/// Drops what `longjmp` left inside a scope whose function has ended. The switch of a base has nothing to do
/// any more.
fn close(scope: Scope) {
    if scope.mark == 0 {
        scope.on.record.host.finish.store(0, Ordering::Relaxed);
    }
    drop_inside(scope.on, scope.mark);
}

/// Drops the scopes of `on` that began when its list was at `depth`, or later.
#[inline(always)]
fn drop_inside(on: &'static GStack, depth: usize) {
    while on.scope().mark > depth {
        on.pop_scope(on.scope().mark);
    }
}

/// Runs what was deferred in the innermost scope of the stack at `on`, as [`run_until_recovered`]. Its switch is done
/// then, but the scope is not.
unsafe extern "C-unwind" fn run_deferred(on: *mut c_void) {
    // SAFETY: `again` passes a stack.
    let on: &'static GStack = unsafe { &*on.cast::<GStack>() };
    run_until_recovered(on);
    if let Some(m) = gmp::getm().filter(|_| on.scope().mark == 0) {
        m.forget_frame(on);
    }
}

/// Runs what was deferred in the innermost scope of `on`, until a deferred call has recovered the panic that has come back
/// to it.
fn run_until_recovered(on: &'static GStack) {
    while let Some((f, arg)) = on.pop_deferred() {
        let depth = on.position().1;
        match landed(on.scope()) {
            None => {
                // SAFETY: by the word of whoever deferred it.
                unsafe { f(arg) };
                drop_inside(on, depth);
            }
            Some(panic) => {
                // SAFETY: as above.
                unsafe { call_deferred(panic, on, f, arg) };
                if panic.recovered.get() {
                    return;
                }
            }
        }
    }
}

/// A deferred call that may recover `panic`. A function of its own: by it [`reach::is_left`] knows the frame.
///
/// # Safety
/// `f` may be called with `arg`.
#[inline(never)]
pub(super) unsafe fn call_deferred(panic: &Panic, on: &'static GStack, f: EntryFn, arg: *mut c_void) {
    let (mark, depth) = on.position();
    panic.deferred.set(Some(Deferred { sp: arch::stack_pointer(), mark, depth }));
    // SAFETY: as the caller says.
    unsafe { f(arg) };
    panic.deferred.set(None);
    // What `longjmp` has left in there.
    drop_inside(on, depth);
    while let Some(left) = Panic::innermost(on).filter(|innermost| !ptr::eq(*innermost, panic)) {
        left.end(on);
        left.drop_it();
    }
}

/// Whether a panic has come back to this scope, the innermost that lives on its stack.
pub(crate) fn has_come_back(scope: Scope) -> bool {
    drop_inside(scope.on, scope.mark);
    landed(scope).is_some()
}

/// The panic that has come back to this scope, the innermost of its stack, whose function has ended. Those that
/// `longjmp` has left inside it are dropped.
fn landed(scope: Scope) -> Option<&'static Panic> {
    loop {
        let panic = Panic::innermost(scope.on)?;
        // In a deferred call that ended otherwise than by a return, it was left, maybe by a scope with this mark.
        if panic.landed.get() == Some(scope.mark) && panic.deferred.get().is_none() {
            return Some(panic);
        }
        if !panic.is_left_by(scope) {
            return None;
        }
        panic.end(scope.on);
        panic.drop_it();
    }
}

/// Calls `run_deferred` in the scope's own switch: a panic comes back to it again.
unsafe fn again(scope: Scope) {
    let on = ptr::from_ref(scope.on).cast_mut();
    // SAFETY: [g0-sp] the base's function has ended, its stack is free again; a mark is alive until
    // its scope ends.
    unsafe {
        match scope.slot() {
            None => gmp::switch(run_deferred, on.cast(), scope.on.top, (*on).record.host.as_ptr()),
            Some(sp) => arch::call_here(run_deferred, on.cast(), 0, sp),
        };
    }
}

/// Ends a scope whose function has returned or was unwound: runs what was deferred, and says what
/// became of it. A panic that was not recovered is written to `caught` by a try; else it goes on.
///
/// # Safety
/// Called by the frame that the scope's switch has come back to. `caught`: as [`deliver`].
#[cold]
#[inline(never)]
pub(crate) unsafe fn finish(scope: Scope, caught: *mut *mut wharf_panic_info) -> Status {
    let mut status = WHARF_OK;
    close(scope);
    loop {
        let panic = landed(scope);
        if let Some(panic) = panic.filter(|panic| panic.recovered.get()) {
            status = if panic.hides_goexit_of(scope) { WHARF_CANCELED } else { WHARF_RECOVERED };
            panic.end(scope.on);
            panic.drop_it();
        } else if panic.is_some() {
            status = WHARF_OK;
        }
        if !scope.has_deferred(None) {
            return match landed(scope) {
                None => status,
                // SAFETY: as the caller says.
                Some(panic) => unsafe { deliver(panic, scope, caught) },
            };
        }
        // SAFETY: the scope is the innermost, and its function has ended.
        unsafe { again(scope) };
        close(scope);
    }
}

/// What a panic or exit means that has come back to a scope, when all is run.
///
/// # Safety
/// `caught` is null or writable.
unsafe fn deliver(panic: &'static Panic, scope: Scope, caught: *mut *mut wharf_panic_info) -> Status {
    if !panic.is_goexit && scope.kind() != Kind::Try {
        unwind_outward(panic, scope)
    }
    panic.end(scope.on);
    let status = if panic.is_goexit { WHARF_CANCELED } else { WHARF_PANICKED };
    // SAFETY: as the caller says.
    if let Some(caught) = unsafe { caught.as_mut() }.filter(|_| !panic.is_goexit) {
        *caught = panic.share();
    }
    panic.drop_it();
    status
}

/// Ends a scope that is being unwound, by a panic that goes further or by somebody else: a C++ exception,
/// `pthread_exit`. Runs what was deferred in it; no panic gets out of that.
#[cold]
#[inline(never)]
pub(crate) fn unwound(scope: Scope) {
    close(scope);
    // What unwinds may come from a deferred call: the panic because of which that ran is over.
    drop_left(scope.on, if scope.mark == 0 { scope.on.top } else { scope.sp() });
    if scope.on.scope().mark != scope.mark {
        // It has ended: what was deferred in it has run on top of the frames that are unwound now.
        return;
    }
    if scope.has_deferred(None) {
        scope.set_kind(Kind::Wall);
        // SAFETY: the scope is the innermost, and its function was unwound.
        unsafe { again(scope) };
    }
    if scope.mark != 0 {
        scope.on.pop_last_scope(scope.mark);
    }
}
