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
use core::ptr;

use crate::arch::{self, EntryFn};
use crate::base::Status;
use crate::base::atomic::Ordering;
use crate::base::status::*;
use crate::gmp::{self, CLOSED, GStack, M, OPEN, getm};
use crate::{lifecycle, sys};
use reap::{reap, reap_thoroughly};

/// Runs `f(arg)` as a callback.
///
/// # Safety
/// `f` may be called with `arg`. `[abi]`
#[inline(always)]
pub(crate) unsafe fn cgocallback(f: EntryFn, arg: *mut c_void) -> Status {
    let Some(m) = getm() else {
        // SAFETY: `f` by the caller's word.
        return unsafe { first_call(f, arg) };
    };
    if m.busy() {
        out_of_line();
        // SAFETY: `f` by the caller's word.
        return unsafe { nested(m, f, arg) };
    }
    if !m.enter_home() {
        m.leave_home();
        // SAFETY: `f` by the caller's word.
        return unsafe { at_closed_gate(m, f, arg) };
    }
    // SAFETY: [gate] an open gate means that the M is armed, and not busy that home is free.
    let home = unsafe { &*m.home.load(Ordering::Relaxed) };
    let _running = Running { m, home };
    // SAFETY: [g0-sp] the top of a free stack; the slot is the G's own. `f` by the caller's word.
    unsafe { arch::call_on_stack(f, arg, home.top(), home.record.host_sp.as_ptr()) };
    WHARF_OK
}

/// Keeps the branch that names it out of the straight way of a call from the host's stack.
#[cold]
fn out_of_line() {}

/// A callback that is on the home stack, until it returns or is unwound. Go: `unwindm`.
struct Running<'a> {
    m: &'a M,
    home: &'a GStack,
}

impl Drop for Running<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if cfg!(not(wharf_mutate = "g0_sp_restore")) {
            self.home.vacate();
        }
        self.m.count();
        self.m.leave_home();
    }
}

/// The first call of a thread, or of one whose M was freed.
#[cold]
#[inline(never)]
unsafe fn first_call(f: EntryFn, arg: *mut c_void) -> Status {
    match needm() {
        // SAFETY: `f` by the caller's word. Bound now: this does not come back here.
        Ok(_) => unsafe { cgocallback(f, arg) },
        Err(status) => status,
    }
}

#[cold]
#[inline(never)]
unsafe fn at_closed_gate(m: &M, f: EntryFn, arg: *mut c_void) -> Status {
    let errno = sys::ErrnoGuard::new();
    let opened = lifecycle::at_closed_gate(m);
    drop(errno);
    match opened {
        // SAFETY: `f` by the caller's word.
        Ok(()) => unsafe { cgocallback(f, arg) },
        Err(status) => status,
    }
}

/// A call while a callback of this thread is on: from the callback itself, most likely.
#[inline(always)]
unsafe fn nested(m: &M, f: EntryFn, arg: *mut c_void) -> Status {
    let sp = arch::stack_pointer();
    if m.hinted(sp).is_none() {
        // SAFETY: `f` by the caller's word.
        return unsafe { elsewhere(m, f, arg, sp) };
    }
    m.count();
    // SAFETY: on a managed stack already; `f` by the caller's word.
    unsafe { f(arg) };
    WHARF_OK
}

/// A call from another stack than the hint names while, so the books say, a callback of this thread
/// is on: from `wharf_on_host`, another fiber or a signal handler; or the callback was jumped out of;
/// or we are in a handler that interrupted an entry, which says so too early.
#[cold]
#[inline(never)]
unsafe fn elsewhere(m: &M, f: EntryFn, arg: *mut c_void, entry_sp: usize) -> Status {
    if m.look_for(entry_sp).is_some() {
        // Another fiber's callback: the hint was wrong.
        m.count();
        // SAFETY: on a managed stack already; `f` by the caller's word.
        unsafe { f(arg) };
        return WHARF_OK;
    }
    let errno = sys::ErrnoGuard::new();
    // [gate] We are busy: from here on no trim touches the stacks, and no stop behind a gate that is not
    // closed.
    if let Err(status) = lifecycle::wait_for_trim(m) {
        return status;
    }
    let gate = m.gate.load(Ordering::Relaxed);
    if gate != CLOSED && cfg!(not(wharf_mutate = "reap")) {
        reap(m, entry_sp);
    }
    let alone = !m.busy();
    let is_on = || gate != CLOSED && m.stacks().any(|slot| slot.busy());
    if !alone && gate != OPEN && !is_on() {
        drop(errno);
        // SAFETY: `f` by the caller's word.
        return unsafe { at_closed_gate(m, f, arg) };
    }
    let on = if alone { None } else { m.idle_stack() };
    drop(errno);
    if alone {
        // SAFETY: `f` by the caller's word. Not busy: this does not come back here.
        return unsafe { cgocallback(f, arg) };
    }
    let Some(on) = on else { return WHARF_ENOMEM };
    let _inside = Inside::enter(m, on);
    // SAFETY: [g0-sp] as in `cgocallback`; the stack is idle.
    unsafe { arch::call_on_stack(f, arg, on.top(), on.record.host_sp.as_ptr()) };
    WHARF_OK
}

/// A callback inside another of the same thread, on a stack of its own.
struct Inside<'a> {
    m: &'a M,
    on: &'a GStack,
    curg: *mut GStack,
}

impl<'a> Inside<'a> {
    fn enter(m: &'a M, on: &'a GStack) -> Inside<'a> {
        m.enter(on);
        let curg = m.curg.swap(ptr::from_ref(on).cast_mut(), Ordering::Relaxed);
        Inside { m, on, curg }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.m.curg.store(self.curg, Ordering::Relaxed);
        self.m.count();
        self.m.leave(self.on);
    }
}

/// Runs `f(arg)` on the host's stack, below the frames that called in. On a host stack already, it
/// is a plain call. Go: `systemstack`.
///
/// # Safety
/// As [`cgocallback`].
#[inline(always)]
pub(crate) unsafe fn on_host(f: EntryFn, arg: *mut c_void) {
    let Some(on) = running_on() else {
        // SAFETY: by the caller's word.
        return unsafe { f(arg) };
    };
    let host_sp = on.record.host_sp.load(Ordering::Relaxed);
    let before = on.record.sched_sp.load(Ordering::Relaxed);
    if before != 0 && gmp::still_out(on, arch::stack_pointer()) {
        // SAFETY: by the caller's word.
        return unsafe { f(arg) };
    }
    let _out = Out { on };
    // SAFETY: [g0-sp] below all live frames of the host's stack, 8 above a multiple of 16.
    unsafe { arch::call_on_stack(f, arg, host_sp & !15, on.record.sched_sp.as_ptr()) };
}

/// A callback that is out on the host's stack.
struct Out<'a> {
    on: &'a GStack,
}

impl Drop for Out<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.on.record.sched_sp.store(0, Ordering::Relaxed);
    }
}

/// The managed stack that we are on. `[where]` `[sig]`
#[inline(always)]
pub(crate) fn running_on() -> Option<&'static GStack> {
    let m = getm()?;
    if !m.busy() {
        return None;
    }
    m.on(arch::stack_pointer())
}

/// Frees what the calling thread's callbacks were jumped out of, then tells whether one is on, be it
/// out on the host's stack. Allocates.
pub(crate) fn reap_then_inside() -> bool {
    let Some(m) = getm() else { return false };
    if m.busy() && running_on().is_none() {
        reap_thoroughly(m);
    }
    m.busy()
}

/// Ties the calling thread to an M, starting the runtime if nothing has. `[sig]` once it runs.
#[inline(never)]
pub(crate) fn needm() -> Result<&'static M, Status> {
    if let Some(m) = getm() {
        return Ok(m);
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
        getm().ok_or(WHARF_ESTATE)
    })
}

/// Ties the calling thread up ahead of its first call.
pub(crate) fn attach(name: Option<&CStr>, realtime: bool, touch_bytes: usize) -> Result<(), Status> {
    if reap_then_inside() {
        return Err(WHARF_ESTATE);
    }
    let m = needm()?;
    // As a call does: while we are on, no stop takes the stack away.
    while !m.enter_home() {
        m.leave_home();
        lifecycle::at_closed_gate(m)?;
    }
    // SAFETY: [gate] as in `cgocallback`.
    let home = unsafe { &*m.home.load(Ordering::Relaxed) };
    let fits = touch_bytes <= home.hi - home.lo;
    if fits {
        m.set_name(name.map_or(b"", CStr::to_bytes));
        m.realtime.store(realtime as u32, Ordering::Relaxed);
        home.touch(touch_bytes);
    }
    m.leave_home();
    if fits { Ok(()) } else { Err(WHARF_EINVAL) }
}

/// Unties the calling thread. Go: `dropm`.
pub(crate) fn dropm() -> Result<(), Status> {
    let m = getm().filter(|_| !reap_then_inside()).ok_or(WHARF_ESTATE)?;
    m.unbind();
    Ok(())
}
