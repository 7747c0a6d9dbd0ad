//! How a panic goes on. Go: `gopanic`, `gorecover`, `Goexit` in runtime/panic.go.
//!
//! * If a `wharf_try` stands that the frames lead to, the panic is unwound, scope by scope: the frames
//!   inside a scope first, so that destructors of C++ and Rust run, then what was deferred in it, then
//!   outward. A scope with nothing to do is passed.
//! * If none stands, what was deferred runs on top of the panicking frames, which stay whole for the
//!   report. If a deferred call recovers, the frames are unwound to its scope; if none does, the
//!   process dies here and now.
//!
//! Unwinding is the forced unwinding of the process's own unwinder, then a jump to the scope's switch
//! (`gogo`). Where the unwinder knows no way on, the jump is made from there: the cut.

use core::ffi::{c_int, c_void};

use super::defer::{call_deferred, top_of};
use super::info::{Panic, of_exception, print_before, print_text, wharf_panic_info};
use super::{fatal, noexcept, reach};
use crate::arch::{self, Regs};
use crate::base::atomic::Ordering;
use crate::gmp::{self, GStack, Kind, M, Scope};
use crate::report;
use crate::sys::unwind::{self, Context, Exception, Unwinding};

/// What a switch gives to which a panic has come back.
pub(super) const LANDED: u32 = 1;

/// Raises a panic. `raised`: the stack pointer of the function that the host called. `frames`: where it
/// comes from, if those frames are gone already. Not inlined, as nothing here that the host's calls lead
/// to: what a `longjmp` left is told by lying below `raised`, and a large frame would reach below that, too.
#[inline(never)]
pub(crate) fn gopanic(message: &[u8], raised: usize, frames: &[usize]) -> ! {
    let Some(on) = living_g() else { fatal(&|_| {}, &|out| out.indented(message)) };
    settle(on, raised);
    let before = Panic::innermost(on);
    if cfg!(not(wharf_mutate = "panic_left")) && is_awaited(on) {
        reach::find_left(on);
    }
    let panic = if is_awaited(on) { Panic::new(Some(message)) } else { None };
    let Some(panic) = panic else {
        let all = || before.into_iter().flat_map(Panic::and_before);
        fatal(&|out| print_before(all(), message, out), &|out| print_text(before, message, out))
    };
    panic.begin(on);
    if frames.is_empty() {
        panic.tracing.set(Some(raised));
    }
    for &pc in frames {
        panic.trace(pc);
    }
    go_on(panic, on)
}

/// Ends the innermost scope with `WHARF_CANCELED`, after what was deferred in it. `raised`: as above.
#[inline(never)]
pub(crate) fn goexit(raised: usize) -> ! {
    let refuse = |why: &[u8]| -> ! { fatal(&|_| {}, &|out| out.bytes(why)) };
    let Some(on) = reach::innermost().filter(|_| !report::is_in_hook()) else {
        refuse(b"wharf_goexit outside a callback")
    };
    settle(on, raised);
    reach::find_left(on);
    if on.scope().kind() == Kind::Wall {
        refuse(b"wharf_goexit in a deferred call that somebody else's unwinding runs");
    }
    let Some(panic) = Panic::new(None) else { refuse(b"wharf_goexit without memory") };
    panic.ends.set(Some(on.scope()));
    panic.begin(on);
    go_on(panic, on)
}

/// The G that we are, unless its thread dies already. The frames are asked only where somebody may wait
/// for a panic, or did: a report must not need the process's unwinder.
fn living_g() -> Option<&'static GStack> {
    let m = gmp::getm().filter(|m| m.gate.busy() && !report::is_in_hook())?;
    match m.stacks().any(|on| on.busy() && (is_awaited(on) || Panic::innermost(on).is_some())) {
        true => reach::innermost(),
        false => gmp::innermost_g(),
    }
}

/// Whether a panic now would not end the process at once.
#[inline(never)]
pub(crate) fn is_recoverable(asked: usize) -> bool {
    living_g().is_some_and(|on| {
        settle(on, asked);
        is_awaited(on)
    })
}

/// The panic because of which the calling deferred call runs; it ends here. Null if there is none.
#[inline(never)]
pub(crate) fn gorecover(asked: usize) -> *mut wharf_panic_info {
    let recoverable = living_g().and_then(|on| {
        settle(on, asked);
        let panic = Panic::innermost(on)?;
        let deferred = panic.deferred.get()?;
        let direct = deferred.mark == on.position().0;
        (direct && !panic.is_goexit && !panic.recovered.get()).then_some(panic)
    });
    recoverable.map_or(core::ptr::null_mut(), |panic| {
        panic.recovered.set(true);
        panic.share()
    })
}

/// Drops the scopes that were left by `longjmp`, and the panics whose deferred calls or destructors were. `sp`:
/// of the function that the host called.
fn settle(on: &'static GStack, sp: usize) {
    let top = top_of(on, sp);
    on.drop_lost_scopes(top);
    drop_where(
        on,
        |place, is_deferred| {
            if is_deferred { reach::is_left(on, place, top) } else { place < top }
        },
    );
}

/// As [`settle`], by addresses alone: where the frames of `on` end at `top`.
pub(super) fn settle_at(on: &'static GStack, top: usize) {
    on.drop_lost_scopes(top);
    drop_left(on, top);
}

/// Drops the panics whose deferred calls or destructors were left: their frames lay below `top`.
pub(super) fn drop_left(on: &'static GStack, top: usize) {
    drop_where(on, |place, _| place < top);
}

/// Drops those that were left, by where on `on` a deferred call or a destructor of theirs was called.
fn drop_where(on: &'static GStack, is_left: impl Fn(usize, bool) -> bool) {
    while let Some(panic) = Panic::innermost(on) {
        let deferred = panic.deferred.get();
        let place = deferred.map_or(panic.at.get(), |deferred| deferred.sp);
        if !on.contains(place) || !is_left(place, deferred.is_some()) {
            return;
        }
        panic.end(on);
        panic.drop_it();
    }
}

/// Every scope from the innermost of `on` outward, with the one inward of it on the same stack; a
/// wall ends it.
pub(super) fn scopes(on: &'static GStack) -> impl Iterator<Item = (Scope, Option<Scope>)> {
    let outward = |&(scope, _): &(Scope, Option<Scope>)| {
        scope
            .outward()
            .map(|outer| (outer, Some(scope)))
            .or_else(|| scope.on.parent().map(|parent| (parent.scope(), None)))
    };
    core::iter::successors(Some((on.scope(), None)), outward)
        .take_while(|(scope, _)| scope.kind() != Kind::Wall)
        .filter(|(scope, _)| scope.kind() != Kind::Left)
}

/// Whether a try or a deferred call stands on the thread.
fn is_awaited(on: &'static GStack) -> bool {
    scopes(on).any(|(scope, inner)| scope.kind() == Kind::Try || scope.has_deferred(inner))
}

/// The try that the frames from here lead to.
fn standing_try(on: &'static GStack) -> Option<Scope> {
    let (found, _) = scopes(on).find(|(scope, _)| scope.kind() == Kind::Try)?;
    let here = arch::stack_pointer();
    // On the way over the host's stack there may be a fiber's end.
    let straight = core::ptr::eq(found.on, on) && on.contains(here);
    (straight || reach::leads_to(found)).then_some(found)
}

#[inline(always)]
fn go_on(panic: &'static Panic, on: &'static GStack) -> ! {
    if standing_try(on).is_some() {
        unwind_to_next(panic, on, scopes(on))
    }
    if let Some(raised) = panic.tracing.take() {
        reach::trace(panic, raised);
    }
    // SAFETY: by the word of whoever deferred it.
    match unsafe { run_on_top(panic, on) } {
        Some(scope) => unwind_to(panic, on, scope),
        None => die(panic, b""),
    }
}

/// Runs what was deferred, from the innermost scope outward, until the panic is recovered: the scope
/// then. Scopes whose deferred calls have run are ended.
unsafe fn run_on_top(panic: &Panic, on: &'static GStack) -> Option<Scope> {
    let mut scope = on.scope();
    while scope.kind() != Kind::Wall {
        if scope.kind() == Kind::Left {
            scope.on.pop_scope(scope.mark);
            scope = scope.on.scope();
            continue;
        }
        // What a deferred call defers is put where it runs.
        while let Some((f, arg)) = on.pop_deferred().or_else(|| scope.on.pop_deferred()) {
            // SAFETY: as the caller says.
            unsafe { call_deferred(panic, on, f, arg) };
            if panic.recovered.get() {
                return Some(scope);
            }
        }
        if panic.is_goexit {
            return Some(scope);
        }
        scope = match scope.mark {
            0 => scope.on.parent()?.scope(),
            mark => {
                scope.on.pop_scope(mark);
                scope.on.scope()
            }
        };
    }
    None
}

/// Goes on outward from a scope that is done, the innermost of its stack.
pub(super) fn unwind_outward(panic: &'static Panic, from: Scope) -> ! {
    unwind_to_next(panic, from.on, scopes(from.on).skip(1))
}

/// Unwinds to the first scope that has something to do. Inlined, as its neighbours are: each frame of
/// wharf's own takes the unwinder as long as one of the host's.
#[inline(always)]
fn unwind_to_next(
    panic: &'static Panic,
    on: &'static GStack,
    mut scopes: impl Iterator<Item = (Scope, Option<Scope>)>,
) -> ! {
    let has_work =
        |scope: Scope, inner| panic.is_goexit || scope.kind() == Kind::Try || scope.has_deferred(inner);
    match scopes.find(|&(scope, inner)| has_work(scope, inner)) {
        Some((scope, _)) => unwind_to(panic, on, scope),
        None => die(panic, b""),
    }
}

/// Reports the panic, and why it ends here.
fn die(panic: &'static Panic, why: &[u8]) -> ! {
    let before = || panic.and_before().skip(1);
    fatal(&|out| print_before(before(), panic.text(), out), &|out| {
        panic.print_text(before().next(), out);
        out.bytes(why);
    })
}

/// Unwinds to the switch of `scope`. Until it is there, the panic is among those of the scope's stack:
/// the stacks inward are left on the way.
#[inline(always)]
fn unwind_to(panic: &'static Panic, from: &'static GStack, scope: Scope) -> ! {
    panic.end(from);
    panic.landed.set(None);
    panic.target.set(Some(scope));
    let mut on = Some(from);
    while let Some(stack) = on {
        let last = core::ptr::eq(stack, scope.on);
        while let Some(other) = Panic::innermost(stack).filter(|other| !last || other.is_left_by(scope)) {
            other.end(stack);
            panic.replace(other);
        }
        on = if last { None } else { stack.parent() };
    }
    panic.begin(scope.on);
    let panic = core::ptr::from_ref(panic).cast_mut();
    // SAFETY: the panic lives until it has come back.
    unsafe {
        unwind::forced_unwind(&raw mut (*panic).exception, panic);
        land(&*panic)
    }
}

impl Unwinding for Panic {
    unsafe fn visit(panic: *mut Panic, frame: Context, is_last: bool) {
        // SAFETY: as `unwind_to` says.
        let panic = unsafe { &*panic };
        let pc = frame.pc();
        panic.at.set(frame.sp());
        // The first frame of a thread or a fiber has no caller.
        if pc != 0 {
            panic.trace_unwound(frame.sp(), pc);
        }
        if is_last {
            panic.set_cut();
            land(panic)
        }
        if arch::is_switch(pc) {
            let sp = arch::switch_sp(frame.register(Regs::FP));
            if panic.target.get().is_some_and(|scope| scope.sp() == sp) {
                land(panic)
            }
        } else if noexcept::ends_in_terminate(&frame) {
            die(panic, b" [stopped by noexcept]")
        }
    }
}

/// Comes back to the target: everything inward of it has ended.
fn land(panic: &Panic) -> ! {
    let (Some(scope), Some(m)) = (panic.target.take(), gmp::getm()) else { unreachable!() };
    // Stacks that were cut over; those that were unwound are left already.
    let mut inward = if panic.is_cut() { reach::innermost() } else { None };
    let cut_over = inward.is_some_and(|on| !core::ptr::eq(on, scope.on));
    while let Some(on) = inward.filter(|on| !core::ptr::eq(*on, scope.on)) {
        inward = on.parent();
        gmp::abandon_own(on);
        if cfg!(not(wharf_mutate = "panic_leave")) {
            m.leave(on);
        }
    }
    if cut_over {
        gmp::cut_to(scope.on);
    }
    m.curg.store(core::ptr::from_ref(scope.on).cast_mut(), Ordering::Relaxed);
    if cfg!(not(wharf_mutate = "panic_out")) {
        scope.on.record.out.sp.store(0, Ordering::Relaxed);
    }
    let sp = come_back(panic, m, scope);
    // SAFETY: [g0-sp] the scope stands, and all inward of it is given up.
    unsafe { arch::gogo(sp, LANDED) }
}

/// Says that the panic has come back to `scope`, of `m`; where its switch was left. A call from the host is to find
/// something deferred in it: it looks at nothing else.
pub(super) fn come_back(panic: &Panic, m: &M, scope: Scope) -> usize {
    unsafe extern "C-unwind" fn nothing(_: *mut c_void) {}
    let sp = scope.sp();
    panic.landed.set(Some(scope.mark));
    if scope.mark == 0 {
        m.forget_frame(scope.on);
        let _else_there_is = scope.on.push_deferred(nothing, core::ptr::null_mut());
    }
    sp
}

/// A `catch (...)` that does not throw on has ended a panic: nothing it was meant to end has.
pub(super) unsafe extern "C" fn swallowed(_: c_int, exception: *mut Exception) {
    // SAFETY: the exception of a Panic.
    let panic = unsafe { of_exception(exception) };
    die(panic, b" [swallowed by catch (...)]")
}
