//! The border: how a host's thread gets in, runs on a managed stack, and comes back.
//!
//! # The trip of a callback
//!
//! A host thread calls `wharf_call(fn, arg)`. [`cgocallback`] reads the thread's TLS word and finds
//! its M, or finds none: then [`needm`] takes a spare M, gives it a stack and ties it to the thread;
//! that happens once in a thread's life. The M says that a callback is on (`busy`), looks whether it
//! may (`gate`), and the switch carries the thread onto the stack. The host's stack pointer is
//! written to the G before `fn` runs (`[g0-sp]`), so that from that instant on everything knows the
//! way back: `wharf_on_host`, the panic report, an unwinder. `fn` returns, the switch returns, the
//! guard takes `busy` back. When the thread ends, its M is found by the sweep.
//!
//! A call from inside a callback is on a managed stack already and runs there. A call from a host
//! stack while a callback of the same thread is on gets a stack of its own, whatever stack it came
//! from (`elsewhere`).
//!
//! An exception of C++, `pthread_exit` and `pthread_cancel` unwind through all of this: the guards
//! run, nothing is caught. A `longjmp` leaves a record behind, which the thread's next call finds.
//!
//! Go: runtime/cgocall.go (`cgocallbackg`), runtime/proc.go (`needm`, `dropm`).

mod reap;

use core::ffi::{CStr, c_void};

use crate::arch::{self, EntryFn};
use crate::base::Status;
use crate::base::atomic::Ordering;
use crate::base::status::*;
use crate::gmp::{self, CLOSED, GStack, Kind, M, OPEN, Scope, getm};
use crate::panic::{self, wharf_panic_info};
use crate::{lifecycle, signal, sys};
use reap::{reap, reap_thoroughly};

/// Where a try says which panic it caught: null or writable.
pub(crate) type Caught = *mut *mut wharf_panic_info;

/// Runs `f(arg)` as a callback, which is a try or not.
///
/// # Safety
/// `f` may be called with `arg`; `caught` is as it says. `[abi]`
#[inline(always)]
pub(crate) unsafe fn cgocallback<const TRY: bool>(f: EntryFn, arg: *mut c_void, caught: Caught) -> Status {
    match gmp::getm_quickly() {
        // SAFETY: the caller's word, handed on; so in all functions of a call.
        Some(m) => unsafe { call::<TRY, true>(f, arg, m, caught, arch::stack_pointer) },
        // SAFETY: handed on.
        None => unsafe { first_call::<TRY>(f, arg, caught, arch::stack_pointer()) },
    }
}

/// `DIRECT`: the M was found quickly, so that no sanitizer watches the switch, and no callback runs on another stack.
/// `entry_sp`: the stack pointer of the function that the host called.
#[inline(always)]
unsafe fn call<const TRY: bool, const DIRECT: bool>(
    f: EntryFn,
    arg: *mut c_void,
    m: &'static M,
    caught: Caught,
    entry_sp: impl FnOnce() -> usize,
) -> Status {
    let busy = if DIRECT { m.gate.home_busy() } else { m.gate.busy() };
    if busy {
        // SAFETY: handed on.
        return unsafe { nested::<TRY>(f, arg, m, caught, entry_sp()) };
    }
    if !m.gate.enter_home() {
        m.gate.leave_home();
        // SAFETY: handed on.
        return unsafe { at_closed_gate::<TRY>(f, arg, m, caught, entry_sp()) };
    }
    let running = Running { m };
    let home = running.home();
    // Every end of a try takes it back.
    if TRY {
        home.set_base(Kind::Try);
    }
    let host = home.record.host.as_ptr();
    // SAFETY: [g0-sp] the top of a free stack; the buffer is the G's own. `f` by the caller's word.
    // Behind it the base's switch has come back here.
    unsafe {
        // What it gives is not looked at: a panic that has come back has left something deferred.
        if DIRECT {
            arch::call_on_stack(f, arg, home.top, host)
        } else {
            gmp::switch(f, arg, home.top, host)
        };
        running.end::<TRY>(caught)
    }
}

/// A callback that is on the home stack, until it returns. Dropped when it is unwound. Go: `unwindm`.
struct Running {
    m: &'static M,
}

impl Running {
    #[inline(always)]
    fn home(&self) -> &'static GStack {
        // SAFETY: [gate] an open gate means that the M is armed, and so it stays while it is busy.
        unsafe { &*self.m.home.load(Ordering::Relaxed) }
    }

    /// When it has returned, or a panic has come back to it.
    ///
    /// # Safety
    /// The base's switch has come back to the caller.
    #[inline(always)]
    unsafe fn end<const TRY: bool>(self, caught: Caught) -> Status {
        let home = self.home();
        if home.has_scopes() || !self.m.calls.increment_quickly() {
            // SAFETY: handed on.
            return unsafe { end_slowly(self, caught) };
        }
        if cfg!(not(wharf_mutate = "g0_sp_restore")) {
            home.vacate_returned();
        }
        if TRY && cfg!(not(wharf_mutate = "panic_try")) {
            home.set_base(Kind::Call);
        }
        self.m.gate.leave_home();
        core::mem::forget(self);
        WHARF_OK
    }

    /// However it has ended.
    fn abort(self) {
        self.home().set_base(Kind::Call);
        self.home().vacate();
        self.m.calls.increment();
        self.m.gate.leave_home();
        core::mem::forget(self);
    }
}

/// The end of one to which a panic has come back, or that has left scopes, which are dropped; or the count of calls comes
/// around.
///
/// # Safety
/// The base's switch has come back to the caller.
#[cold]
#[inline(never)]
unsafe fn end_slowly(running: Running, caught: Caught) -> Status {
    let scope = Scope { on: running.home(), mark: 0 };
    // SAFETY: handed on.
    let status = if panic::has_come_back(scope) { unsafe { panic::finish(scope, caught) } } else { WHARF_OK };
    running.abort();
    status
}

impl Drop for Running {
    #[inline(always)]
    fn drop(&mut self) {
        unwound_home();
    }
}

/// Of the thread's own M, which so takes the warm path no register for this.
#[cold]
#[inline(never)]
fn unwound_home() {
    let Some(m) = getm() else { return };
    let running = Running { m };
    m.forget_frame(running.home());
    panic::unwound(Scope { on: running.home(), mark: 0 });
    running.abort();
}

/// The first call of a thread, or of one whose M was freed or is not found quickly.
#[cold]
#[inline(never)]
unsafe fn first_call<const TRY: bool>(
    f: EntryFn,
    arg: *mut c_void,
    caught: Caught,
    entry_sp: usize,
) -> Status {
    match needm() {
        // SAFETY: handed on.
        Ok(m) => unsafe { call::<TRY, false>(f, arg, m, caught, || entry_sp) },
        Err(status) => status,
    }
}

#[cold]
#[inline(never)]
unsafe fn at_closed_gate<const TRY: bool>(
    f: EntryFn,
    arg: *mut c_void,
    m: &'static M,
    caught: Caught,
    entry_sp: usize,
) -> Status {
    let errno = sys::ErrnoGuard::new();
    let opened = lifecycle::at_closed_gate(m);
    drop(errno);
    match opened {
        // SAFETY: handed on.
        Ok(()) => unsafe { call::<TRY, false>(f, arg, m, caught, || entry_sp) },
        Err(status) => status,
    }
}

const fn kind(is_try: bool) -> Kind {
    if is_try { Kind::Try } else { Kind::Call }
}

/// A call while a callback of this thread is on: from the callback itself, most likely. `sp`: of the
/// function that the host called, above the switch of any call that it has made from there before.
#[cold] // For the layout of the warm path.
#[inline(never)]
unsafe fn nested<const TRY: bool>(
    f: EntryFn,
    arg: *mut c_void,
    m: &'static M,
    caught: Caught,
    sp: usize,
) -> Status {
    let Some(on) = m.hinted(sp) else {
        // SAFETY: handed on.
        return unsafe { elsewhere::<TRY>(f, arg, m, caught, sp) };
    };
    // SAFETY: handed on.
    unsafe { in_place::<TRY, false>(f, arg, m, on, caught) }
}

/// A call from inside the callback on `on`: it runs where it is.
#[inline(always)]
unsafe fn in_place<const TRY: bool, const DEEP: bool>(
    f: EntryFn,
    arg: *mut c_void,
    m: &'static M,
    on: &'static GStack,
    caught: Caught,
) -> Status {
    let shallow = DEEP || !on.is_deep();
    let straight = shallow && !on.has_dead_scope(arch::stack_pointer());
    let Some((mark, slot)) = (if straight { on.push_scope(kind(TRY)) } else { None }) else {
        // SAFETY: handed on.
        return unsafe { tidy_and_call::<TRY>(f, arg, m, on, caught) };
    };
    // Now, so that nothing of the M is needed when it is over.
    m.calls.increment();
    let scope = Scope { on, mark };
    let nested = Nested { scope };
    keep_in_memory(&nested);
    // SAFETY: an entry of the list. `f` by the caller's word.
    let landed = unsafe { arch::call_here(f, arg, 0, slot) };
    core::mem::forget(nested);
    if landed != 0 || on.position().1 != mark {
        // SAFETY: the scope's switch has come back here.
        return unsafe { finish_nested(scope, caught) };
    }
    on.pop_last_scope(mark);
    WHARF_OK
}

/// A call inside a callback whose list of scopes is deep, or has dead ones, or no room.
#[cold]
#[inline(never)]
unsafe fn tidy_and_call<const TRY: bool>(
    f: EntryFn,
    arg: *mut c_void,
    m: &'static M,
    on: &'static GStack,
    caught: Caught,
) -> Status {
    on.drop_dead_scopes(arch::stack_pointer());
    let errno = sys::ErrnoGuard::new();
    let grown = on.grow_scopes();
    drop(errno);
    match grown {
        None => WHARF_ENOMEM,
        // SAFETY: handed on.
        Some(()) => unsafe { in_place::<TRY, true>(f, arg, m, on, caught) },
    }
}

/// A panic has come back to a call inside a callback, or something was deferred in it.
///
/// # Safety
/// The scope's switch has come back to the caller.
#[cold]
#[inline(never)]
unsafe fn finish_nested(scope: Scope, caught: Caught) -> Status {
    let nested = Nested { scope };
    // SAFETY: handed on.
    let status = unsafe { panic::finish(scope, caught) };
    core::mem::forget(nested);
    scope.on.pop_scope(scope.mark);
    status
}

/// Where unwinding finds it: a C function that does not return need not keep its caller's registers, and is unwound
/// all the same.
#[inline(always)]
fn keep_in_memory<T>(guard: &T) {
    core::hint::black_box(guard);
}

/// A call inside a callback. Dropped when it is unwound.
struct Nested {
    scope: Scope,
}

impl Drop for Nested {
    #[cold]
    fn drop(&mut self) {
        panic::unwound(self.scope);
    }
}

/// A call from another stack than the hint names while, so the books say, a callback of this thread
/// is on: from `wharf_on_host`, another fiber or a signal handler; or the callback was jumped out of;
/// or we are in a handler that interrupted an entry, which says so too early.
#[cold]
#[inline(never)]
unsafe fn elsewhere<const TRY: bool>(
    f: EntryFn,
    arg: *mut c_void,
    m: &'static M,
    caught: Caught,
    entry_sp: usize,
) -> Status {
    if let Some(on) = m.look_for(entry_sp) {
        // Another fiber's callback: the hint was wrong.
        // SAFETY: handed on.
        return unsafe { in_place::<TRY, false>(f, arg, m, on, caught) };
    }
    let errno = sys::ErrnoGuard::new();
    // [gate] We are busy: from here on no trim touches the stacks, and no stop behind a gate that is not
    // closed.
    if let Err(status) = lifecycle::wait_for_trim(m) {
        return status;
    }
    let gate = m.gate.state();
    if gate != CLOSED && cfg!(not(wharf_mutate = "reap")) {
        reap(m, entry_sp);
    }
    let alone = !m.gate.busy();
    let is_on = || gate != CLOSED && m.stacks().any(|slot| slot.busy());
    if !alone && gate != OPEN && !is_on() {
        drop(errno);
        // SAFETY: handed on.
        return unsafe { at_closed_gate::<TRY>(f, arg, m, caught, entry_sp) };
    }
    let on = if alone { None } else { m.idle_stack() };
    drop(errno);
    if alone {
        // SAFETY: handed on. Not busy: this does not come back here.
        return unsafe { call::<TRY, false>(f, arg, m, caught, || entry_sp) };
    }
    let Some(on) = on else { return WHARF_ENOMEM };
    let further = Further::enter(m, on, kind(TRY));
    keep_in_memory(&further);
    // SAFETY: [g0-sp] as in `cgocallback`; the stack is idle.
    let landed = unsafe { gmp::switch(f, arg, on.top, on.record.host.as_ptr()) };
    let status = match landed {
        0 => WHARF_OK,
        // SAFETY: the base's switch has come back here.
        _ => unsafe { panic::finish(Scope { on, mark: 0 }, caught) },
    };
    further.end();
    core::mem::forget(further);
    status
}

/// A callback beside another of the same thread, on a stack of its own. Dropped when it is unwound.
struct Further<'a> {
    m: &'a M,
    on: &'static GStack,
}

impl<'a> Further<'a> {
    fn enter(m: &'a M, on: &'static GStack, kind: Kind) -> Further<'a> {
        on.set_base(kind);
        m.enter(on);
        Further { m, on }
    }

    fn end(&self) {
        self.m.calls.increment();
        self.m.leave(self.on);
    }
}

impl Drop for Further<'_> {
    fn drop(&mut self) {
        panic::unwound(Scope { on: self.on, mark: 0 });
        self.end();
    }
}

/// Runs `f(arg)` on the host's stack, below the frames that called in. On a host stack already, it
/// is a plain call. Go: `systemstack`.
///
/// # Safety
/// As [`cgocallback`].
#[inline(always)]
pub(crate) unsafe fn on_host(f: EntryFn, arg: *mut c_void) {
    let Some(on) = gmp::getg() else {
        // SAFETY: by the caller's word.
        return unsafe { f(arg) };
    };
    if on.sched_sp() != 0 && gmp::still_out(on, arch::stack_pointer()) {
        // SAFETY: by the caller's word.
        return unsafe { f(arg) };
    }
    let out = Out { on };
    keep_in_memory(&out);
    // SAFETY: [g0-sp] below all live frames of the host's stack, 8 above a multiple of 16.
    unsafe { gmp::switch(f, arg, on.host_sp() & !15, on.record.out.as_ptr()) };
}

/// A callback that is out on the host's stack.
struct Out<'a> {
    on: &'a GStack,
}

impl Drop for Out<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.on.record.out.sp.store(0, Ordering::Relaxed);
    }
}

/// Frees what the calling thread's callbacks were jumped out of, then tells whether one is on, be it
/// out on the host's stack. Allocates.
pub(crate) fn reap_then_inside() -> bool {
    let Some(m) = getm() else { return false };
    if m.gate.busy() && gmp::getg().is_none() {
        reap_thoroughly(m);
    }
    m.gate.busy()
}

/// Ties the calling thread to an M, starting the runtime if nothing has. `[sig]` once it runs.
#[inline(never)]
pub(crate) fn needm() -> Result<&'static M, Status> {
    if let Some(m) = getm() {
        if !lifecycle::is_fresh() {
            return Ok(m);
        }
        gmp::forget(m);
    }
    let _errno = sys::ErrnoGuard::new();
    lifecycle::start_lazily()?;
    lifecycle::entering(|| {
        let m = gmp::getextram().ok_or(WHARF_ELIMIT)?;
        if m.arm().is_none() {
            gmp::putextram(m);
            return Err(WHARF_ENOMEM);
        }
        gmp::bind(m, sys::gettid());
        // Ours, or the one that a signal handler bound meanwhile.
        let m = getm().ok_or(WHARF_ESTATE)?;
        signal::lend(m);
        Ok(m)
    })
}

/// Ties the calling thread up ahead of its first call.
pub(crate) fn attach(name: Option<&CStr>, realtime: bool, touch_bytes: usize) -> Result<(), Status> {
    if reap_then_inside() {
        return Err(WHARF_ESTATE);
    }
    let m = needm()?;
    // As a call does: while we are on, no stop takes the stack away.
    while !m.gate.enter_home() {
        m.gate.leave_home();
        lifecycle::at_closed_gate(m)?;
    }
    // SAFETY: [gate] as in `cgocallback`.
    let home = unsafe { &*m.home.load(Ordering::Relaxed) };
    signal::lend(m);
    let fits = touch_bytes <= home.hi() - home.lo;
    if fits {
        m.set_name(name.map_or(b"", CStr::to_bytes));
        m.realtime.store(realtime as u32, Ordering::Relaxed);
        home.touch(touch_bytes);
    }
    m.gate.leave_home();
    if fits { Ok(()) } else { Err(WHARF_EINVAL) }
}

/// Unties the calling thread. Go: `dropm`.
pub(crate) fn dropm() -> Result<(), Status> {
    let m = getm().filter(|_| !reap_then_inside()).ok_or(WHARF_ESTATE)?;
    signal::take_back(m);
    m.unbind();
    Ok(())
}
