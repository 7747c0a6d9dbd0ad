//! The switch between stacks, as sanitizers must know of it. Where the program is built with
//! AddressSanitizer or ThreadSanitizer, each switch of a callback's goes by [`watched`], else straight to
//! `arch`.
//!
//! AddressSanitizer knows one pair of bounds per thread, and keeps variables beside the stack: it is told
//! which stack is next. It fences each frame in, and takes the fences of frames that do not return away
//! where it sees a throw or a jump, on the stack that it happens on: those on others are for us.
//! ThreadSanitizer is told that whoever used a managed stack before is done with it.

use core::ffi::c_void;
use core::mem;

use super::g::{GStack, STACKS};
use super::m::getg;
use crate::arch::{self, Beside, EntryFn, Gobuf, Hooks};
use crate::base::atomic::{AtomicBool, Ordering};

static WATCHED: AtomicBool = AtomicBool::new(false);

/// As [`arch::call_on_stack`], to a managed stack, or from the one that we are on to the host's.
///
/// # Safety
/// As there.
#[inline(always)]
pub(crate) unsafe fn switch(f: EntryFn, arg: *mut c_void, top: usize, buf: *mut Gobuf) -> u32 {
    // SAFETY: handed on.
    unsafe { if is_watched() { watched(f, arg, top, buf) } else { arch::call_on_stack(f, arg, top, buf) } }
}

/// Looks whether a sanitizer is in the process. At start.
pub(crate) fn look_for_sanitizers() {
    let hooks = arch::hooks();
    if hooks.start_switch.is_some() || hooks.acquire.is_some() {
        WATCHED.store(true, Ordering::Relaxed);
    }
}

/// Told at a start, before any thread is bound that calls.
pub(super) fn is_watched() -> bool {
    WATCHED.load(Ordering::Relaxed)
}

/// Goes by way of the sanitizer.
#[cold]
#[inline(never)]
unsafe fn watched(f: EntryFn, arg: *mut c_void, top: usize, buf: *mut Gobuf) -> u32 {
    let crossing = match STACKS.find(top - 1) {
        Some(to) => Crossing::into(to),
        None => Crossing::out_of(getg()),
    };
    // SAFETY: handed on.
    let landed = unsafe { arch::call_on_stack(f, arg, top, buf) };
    if landed == 0 {
        crossing.back();
        mem::forget(crossing);
    }
    landed
}

/// A stack's lowest address, and its bytes.
type Bounds = [usize; 2];

fn bounds(on: &GStack) -> Bounds {
    [on.lo, on.top - on.lo]
}

/// Of the stack that `on` was entered from.
fn came_from(on: &GStack) -> Bounds {
    on.record.from.get()
}

/// Tells AddressSanitizer that the thread goes to the stack of these bounds, where `kept` was kept. What it kept
/// on the one that is left goes to `beside`, or is dropped; gives that one's bounds.
fn tell([low, bytes]: Bounds, kept: Beside, beside: Option<&mut Beside>) -> Bounds {
    let mut left = [0; 2];
    if let Hooks { start_switch: Some(start), finish_switch: Some(finish), .. } = arch::hooks() {
        start(beside, low, bytes);
        let [low, bytes] = &mut left;
        finish(kept, low, bytes);
    }
    left
}

/// A switch that the sanitizer was told of. Dropped when what it led to was unwound.
struct Crossing {
    /// The managed stack that it leads to.
    on: Option<&'static GStack>,
    /// What was kept beside the stack that it came from.
    beside: Beside,
    /// That stack's.
    from: Bounds,
}

impl Crossing {
    fn into(on: &'static GStack) -> Crossing {
        if let Some(acquire) = arch::hooks().acquire {
            acquire(on.top);
        }
        let mut beside = 0;
        let mut from = tell(bounds(on), 0, Some(&mut beside));
        let believed = STACKS.find(from[0]).filter(|left| !left.contains(arch::stack_pointer()));
        if let Some(left) = believed {
            // The host has jumped out of there: what was kept beside it is dropped.
            tell(from, beside, None);
            from = came_from(left);
            tell(from, 0, None);
            tell(bounds(on), 0, Some(&mut beside));
            unpoison(left.host_sp(), from);
        }
        on.record.from.set(from);
        Crossing { on: Some(on), beside, from }
    }

    fn out_of(on: Option<&'static GStack>) -> Crossing {
        let mut beside = 0;
        let from = tell(on.map_or([0; 2], came_from), 0, Some(&mut beside));
        // The host may have jumped back there.
        Crossing { on: None, beside, from: on.map_or(from, bounds) }
    }

    fn back(&self) {
        tell(self.from, self.beside, None);
        if let (Some(on), Some(release)) = (self.on, arch::hooks().release) {
            release(on.top);
        }
    }
}

impl Drop for Crossing {
    fn drop(&mut self) {
        self.back();
        unpoison(arch::stack_pointer(), self.from);
    }
}

/// Takes the fences away from `sp` to the top of its stack.
fn unpoison(sp: usize, [low, bytes]: Bounds) {
    if let Some(unpoison) = arch::hooks().unpoison.filter(|_| sp.wrapping_sub(low) < bytes) {
        unpoison(sp, low + bytes - sp);
    }
}

/// What runs on `on` is given up without a return, as its thread has ended.
pub(super) fn abandon(on: &GStack) {
    if on.busy() {
        unpoison(on.lo, bounds(on));
    }
}

/// What runs on `on` was jumped out of, or is cut over.
pub(crate) fn abandon_own(on: &GStack) {
    if is_watched() {
        unpoison(on.host_sp(), came_from(on));
        abandon(on);
    }
}

/// The thread is on `on` again, by a cut over other stacks.
pub(crate) fn cut_to(on: &GStack) {
    if is_watched() {
        tell(bounds(on), 0, None);
    }
}
