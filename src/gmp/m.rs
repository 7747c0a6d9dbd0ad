//! Go: the extra `m` of runtime/runtime2.go.

use core::ptr;

use super::g::{GStack, STACKS};
use super::gate::{CLOSED, Gate};
use super::owner::{End, Owner};
use super::scope::Kind;
use super::switch::{abandon, is_watched};
use crate::arch;
use crate::base::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Counter, Ordering, compiler_fence};
use crate::sys::{self, Knot};

/// A host thread's tie to wharf. The first line is what a call touches.
#[repr(C, align(128))]
pub(crate) struct M {
    pub(crate) gate: Gate,
    /// The stack of the first call in; null until the M is armed.
    pub(crate) home: AtomicPtr<GStack>,
    /// Where a callback was last seen to run: a hint, checked against the stack pointer.
    pub(crate) curg: AtomicPtr<GStack>,
    /// Calls so far, by all threads that had this M. Written by the owner only.
    pub(crate) calls: Counter,
    /// More stacks, for nested calls.
    pub(crate) more: AtomicPtr<GStack>,

    /// See [`Knot`].
    end: End,
    knot: core::cell::UnsafeCell<Knot>,
    /// Its number in the table.
    pub(crate) number: AtomicU32,
    /// Of the list of spare Ms.
    pub(crate) link: AtomicU32,
    /// The name given at attach.
    name: [AtomicU64; 2],
    /// Whether the thread attached as real-time: its stack is left alone while it lives.
    pub(crate) realtime: AtomicU32,
    /// The alternate stacks that were lent to its threads; the signal room's.
    pub(crate) altstacks: AtomicUsize,
    /// The thread that bound it last, by a mark that a fork leaves as it is.
    thread: AtomicUsize,
}

// SAFETY: the knot is written by the owner while nobody else looks at it.
unsafe impl Sync for M {}

/// In the TLS word, an M's address has one of two bits set. A word without is no M: 0 before the thread's
/// first call, the address of its former M's `end` when it has ended.
const BOUND: usize = 1;
/// Likewise, but such an M is not found quickly: a callback is on another stack than home, or a sanitizer watches each
/// switch.
const SLOW: usize = 2;
const EITHER: usize = BOUND | SLOW;
const _: () = assert!(core::mem::offset_of!(M, end) & EITHER == 0);

/// Of an M with no callback on another stack than home.
fn usual_tag() -> usize {
    if is_watched() { SLOW } else { BOUND }
}

/// The calling thread's M, if it has one. `[sig]`
#[inline(always)]
pub(crate) fn getm() -> Option<&'static M> {
    let word = arch::tls_word();
    // SAFETY: [table] a word with such a bit was stored by `bind`, and the table lives as long as a
    // bound M's thread.
    (word & EITHER != 0).then(|| unsafe { &*((word & !EITHER) as *const M) })
}

/// As [`getm`], but finds none where the word is not found quickly, or says so. `[sig]`
#[inline(always)]
pub(crate) fn getm_quickly() -> Option<&'static M> {
    let word = arch::tls_word_quickly();
    // Opaque: less by one first, then looked at, is one instruction less on x86-64.
    let at = arch::opaque(word.wrapping_sub(BOUND));
    // SAFETY: as above; what else may be read is an even number. Said to be an address, it is not asked again whether
    // it is one.
    (at & BOUND == 0).then(|| unsafe {
        core::hint::assert_unchecked(at != 0);
        &*(at as *const M)
    })
}

/// Unties the calling thread from what a former load of the library has bound: glibc may show a thread's dynamic
/// TLS of that one to the next. `[sig]`
pub(crate) fn forget(m: &'static M) {
    // SAFETY: the thread's own word.
    let word = unsafe { AtomicUsize::from_ptr(arch::tls_word_addr()) };
    // That load may have tagged it otherwise than this one knows yet. A signal handler may have bound another
    // meanwhile. The same one again is found by its owner's tid.
    let before = word.load(Ordering::Relaxed);
    if before & !EITHER == ptr::from_ref(m) as usize {
        let _raced = word.compare_exchange(before, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// The managed stack that we are on. `[where]` `[sig]`
#[inline(always)]
pub(crate) fn getg() -> Option<&'static GStack> {
    getm().filter(|m| m.gate.busy())?.on(arch::stack_pointer())
}

/// The G that we are, be it out on the host's stack. `[sig]`
pub(crate) fn innermost_g() -> Option<&'static GStack> {
    getg().or_else(|| {
        let m = getm().filter(|m| m.gate.busy())?;
        // SAFETY: [gate] the hint goes before the stacks of a busy M do.
        let curg = unsafe { m.curg.load(Ordering::Relaxed).as_ref() }?;
        (curg.busy() && curg.sched_sp() != 0).then_some(curg)
    })
}

impl M {
    /// Whether the thread that had this M has ended, by its own sign.
    pub(crate) fn ended(&self) -> bool {
        self.end.told()
    }

    /// Begins a callback inside another on `on`, whatever the gate says.
    pub(crate) fn enter(&self, on: &'static GStack) {
        self.orphan(on);
        let curg = self.curg.swap(ptr::from_ref(on).cast_mut(), Ordering::Relaxed);
        // SAFETY: [slab] null, or a stack of ours.
        let parent = unsafe { curg.as_ref() }.filter(|curg| curg.busy() && !ptr::eq(*curg, on));
        on.record
            .parent
            .store(parent.map_or(ptr::null_mut(), |g| ptr::from_ref(g).cast_mut()), Ordering::Relaxed);
        if self.is_home(on) {
            self.gate.enter_home_anyway();
        } else {
            self.gate.enter_more();
            self.retag(BOUND, SLOW);
        }
    }

    /// Ends a callback on `on`. Release: as `leave_home`.
    pub(crate) fn leave(&self, on: &GStack) {
        let parent = on.record.parent.swap(ptr::null_mut(), Ordering::Relaxed);
        if ptr::eq(self.curg.load(Ordering::Relaxed), on) && !parent.is_null() {
            self.curg.store(parent, Ordering::Relaxed);
        }
        on.set_base(Kind::Call);
        if self.is_home(on) {
            on.vacate();
            self.gate.leave_home();
        } else if on.vacate_once() && self.gate.leave_more() {
            // While the word says so, the M is ours; a signal handler may have left a callback on it meanwhile.
            if self.retag(SLOW, usual_tag()) && self.gate.more_busy() {
                self.retag(BOUND, SLOW);
            }
        }
    }

    /// The switch to `on` has come back, or is about to, while there is more to do before the call from the host is over.
    /// No signal handler that calls in is to look for its frame, and take the call for one that was jumped out of.
    /// Home alone: that it is not free, the gate says.
    pub(crate) fn forget_frame(&self, on: &GStack) {
        if self.is_home(on) {
            on.record.host.sp.store(0, Ordering::Relaxed);
        }
    }

    /// No stack was entered from what was on `ended`.
    fn orphan(&self, ended: &GStack) {
        for slot in self.stacks() {
            // Not `parent()`, which no longer knows one that has ended.
            if ptr::eq(slot.record.parent.load(Ordering::Relaxed), ended) {
                slot.record.parent.store(ptr::null_mut(), Ordering::Relaxed);
            }
        }
    }

    fn is_home(&self, on: &GStack) -> bool {
        ptr::eq(self.home.load(Ordering::Relaxed), on)
    }

    /// No callback is on any more: the thread has ended.
    pub(crate) fn forget_callbacks(&self) {
        self.stacks().for_each(abandon);
        self.drop_more();
        for home in self.stacks() {
            home.set_base(Kind::Call);
            home.vacate();
        }
        self.gate.forget_callbacks();
        self.curg.store(self.home.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Sets the name that a dump shows, its first 15 bytes.
    pub(crate) fn set_name(&self, name: &[u8]) {
        let mut bytes = [0; 16];
        let len = name.len().min(15);
        bytes[..len].copy_from_slice(&name[..len]);
        for (word, part) in self.name.iter().zip(bytes.chunks_exact(8)) {
            word.store(u64::from_ne_bytes(part.try_into().unwrap_or_default()), Ordering::Relaxed);
        }
    }

    /// The name, padded with zeros; empty if none was given.
    pub(crate) fn name(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        for (word, part) in self.name.iter().zip(bytes.chunks_exact_mut(8)) {
            part.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        bytes
    }

    /// The stack that `sp` lies on, if a callback of this M is on it. Only while the M is busy. `[where]`
    /// `[sig]`
    #[inline(always)]
    pub(crate) fn on(&self, sp: usize) -> Option<&'static GStack> {
        self.hinted(sp).or_else(|| self.look_for(sp))
    }

    /// As [`on`](M::on), by the hint alone.
    #[inline(always)]
    pub(crate) fn hinted(&self, sp: usize) -> Option<&'static GStack> {
        // SAFETY: [gate] the hint goes before the stacks of a busy M do.
        unsafe { self.curg.load(Ordering::Relaxed).as_ref() }.filter(|curg| curg.contains(sp))
    }

    /// As [`on`](M::on), without the hint, which is set.
    #[cold]
    #[inline(never)]
    pub(crate) fn look_for(&self, sp: usize) -> Option<&'static GStack> {
        if self.gate.state() == CLOSED {
            return None;
        }
        let on = STACKS.find(sp)?;
        self.curg.store(ptr::from_ref(on).cast_mut(), Ordering::Relaxed);
        Some(on)
    }

    /// The stacks of this M, home first.
    pub(crate) fn stacks(&self) -> impl Iterator<Item = &'static GStack> + use<> {
        let home = self.home.load(Ordering::Relaxed);
        let mut next = self.more.load(Ordering::Relaxed);
        // SAFETY: [slab] slots live while an M has them.
        let home = unsafe { home.as_ref() };
        home.into_iter().chain(core::iter::from_fn(move || {
            // SAFETY: as above.
            let slot = unsafe { next.as_ref() }?;
            next = slot.record.next.load(Ordering::Relaxed);
            Some(slot)
        }))
    }

    /// Gives an M that has none a home stack, and opens its gate. `None` if there is no memory.
    /// Only by the thread that holds the M. `[sig]`
    pub(crate) fn arm(&self) -> Option<()> {
        let none = ptr::null_mut();
        if self.home.load(Ordering::Relaxed).is_null() {
            let taken = STACKS.take()?;
            taken.init_scopes();
            let home = ptr::from_ref(taken).cast_mut();
            match self.home.compare_exchange(none, home, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => self.curg.store(home, Ordering::Relaxed),
                // A handler was quicker.
                Err(_) => STACKS.give(taken),
            }
        }
        // Also for a handler that interrupted us here.
        self.gate.open_closed();
        Some(())
    }

    /// Shuts the gate for a stop: [`CLOSING`], then [`CLOSED`].
    pub(crate) fn close(&self, gate: u32) {
        if gate == CLOSED {
            self.curg.store(ptr::null_mut(), Ordering::Relaxed);
        }
        self.gate.close(gate);
    }

    /// Takes [`close`](M::close) back.
    pub(crate) fn reopen(&self) {
        let home = self.home.load(Ordering::Relaxed);
        if self.gate.state() == CLOSED {
            self.curg.store(home, Ordering::Relaxed);
        }
        if home.is_null() {
            self.gate.close(CLOSED);
        } else {
            self.gate.open();
        }
    }

    /// Takes every stack away; the M must be armed again. Only while nothing runs on them.
    pub(crate) fn disarm(&self) {
        self.gate.close(CLOSED);
        self.drop_more();
        self.curg.store(ptr::null_mut(), Ordering::Relaxed);
        let home = self.home.swap(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: [slab] ours until given.
        if let Some(home) = unsafe { home.as_ref() } {
            home.vacate();
            home.clear_scopes();
            STACKS.give(home);
        }
    }

    /// Gives the stacks of nested calls back. Only while nothing runs on them.
    pub(crate) fn drop_more(&self) {
        let more = self.more.swap(ptr::null_mut(), Ordering::Relaxed);
        let mut next = more;
        // SAFETY: [slab] ours until given.
        while let Some(slot) = unsafe { next.as_ref() } {
            next = slot.record.next.load(Ordering::Relaxed);
            slot.vacate();
            slot.clear_scopes();
            STACKS.give(slot);
        }
    }

    /// Gives back what this M's callbacks used beyond the top `keep_bytes` of the home stack. Only
    /// while nothing runs on its stacks.
    pub(crate) fn shrink(&self, keep_bytes: usize) {
        self.drop_more();
        for home in self.stacks() {
            // SAFETY: [slab] ours, and nothing runs on it.
            unsafe { home.discard_below(keep_bytes) };
        }
    }

    /// A stack for a nested call, this M's own if one is idle. `[sig]`
    pub(crate) fn idle_stack(&self) -> Option<&'static GStack> {
        // Home is taken before it is busy: we may have interrupted that.
        let home_busy = self.gate.home_busy();
        if let Some(idle) = self.stacks().find(|slot| !(slot.busy() || home_busy && self.is_home(slot))) {
            return Some(idle);
        }
        let slot = STACKS.take()?;
        slot.init_scopes();
        let mut first = self.more.load(Ordering::Relaxed);
        loop {
            slot.record.next.store(first, Ordering::Relaxed);
            let this = ptr::from_ref(slot).cast_mut();
            // A handler may have put one there meanwhile.
            match self.more.compare_exchange(first, this, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(slot),
                Err(now) => first = now,
            }
        }
    }

    /// What the TLS word of its thread holds.
    fn word(&self, tag: usize) -> usize {
        ptr::from_ref(self) as usize | tag
    }

    /// Changes the tag in the calling thread's word, if it is `from` there, and the M this one, of which nothing is read;
    /// whether it was so.
    fn retag(&self, from: usize, to: usize) -> bool {
        // SAFETY: the thread's own word, for as long as the thread lives.
        let word = unsafe { AtomicUsize::from_ptr(arch::tls_word_addr()) };
        word.compare_exchange(self.word(from), self.word(to), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Makes this M the calling thread's, unless a signal handler has bound another meanwhile: then
    /// false, and the M is still the caller's to give back. `[sig]`
    pub(super) fn bind(&'static self, owner: &Owner, tid: i32) -> bool {
        self.end.clear();
        // SAFETY: the thread's own word, for as long as the thread lives.
        let word = unsafe { AtomicUsize::from_ptr(arch::tls_word_addr()) };
        let before = word.load(Ordering::Relaxed);
        if before & EITHER != 0
            || word
                .compare_exchange(before, self.word(usual_tag()), Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return false;
        }
        self.thread.store(sys::thread_mark(), Ordering::Relaxed);
        // After the word: an owner whose thread has no word is a thread that is gone.
        owner.give(tid);
        self.tie();
        true
    }

    /// Whether the thread of that [mark](sys::thread_mark) bound it last.
    pub(super) fn is_of(&self, mark: usize) -> bool {
        self.thread.load(Ordering::Relaxed) == mark
    }

    /// Has the calling thread's end told to this M, its own.
    pub(crate) fn tie(&self) {
        let Some(key) = exit_key() else { return };
        // SAFETY: [exit] the knot is ours alone; TLS word and table outlive the thread.
        // `remque` stores `back` at `forw + 8`, then `forw` at `back`: the TLS word becomes the
        // address of `end`, then `end` becomes non-zero.
        unsafe {
            let word = arch::tls_word_addr() as usize;
            *self.knot.get() =
                Knot { forw: word - size_of::<usize>(), back: ptr::from_ref(&self.end) as usize };
            key.set(self.knot.get());
        }
    }

    /// Unties the calling thread from this M, its own, on which nothing runs: a thread's end, told by
    /// the thread itself, with the stores that [`tie`](M::tie) has made at the real one. From the last
    /// on the M is for a sweep, and its memory may go with a stop.
    pub(crate) fn unbind(&self) {
        if let Some(key) = exit_key() {
            // SAFETY: null ties nothing.
            unsafe { key.set(ptr::null()) };
        }
        // SAFETY: the thread's own word.
        let word = unsafe { AtomicUsize::from_ptr(arch::tls_word_addr()) };
        word.store(ptr::from_ref(&self.end) as usize, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        self.end.tell();
    }

    /// Whether the calling thread is between the two stores by which it leaves this M: we are in a
    /// signal handler, and the second is still to come.
    pub(super) fn is_being_left(&self) -> bool {
        arch::tls_word() == ptr::from_ref(&self.end) as usize && !self.ended()
    }
}

/// The key whose destructor tells a thread's end, as [`sys::ExitKey::to_word`]; 0 is none.
static EXIT_KEY: AtomicU32 = AtomicU32::new(0);

fn exit_key() -> Option<sys::ExitKey> {
    sys::ExitKey::from_word(EXIT_KEY.load(Ordering::Relaxed))
}

/// Gets the key, at start. Without one, ends are found by the sweep alone.
pub(crate) fn exit_key_create() {
    let word = sys::ExitKey::create().map_or(0, sys::ExitKey::to_word);
    EXIT_KEY.store(word, Ordering::Relaxed);
}

/// Gives the key back, at stop.
pub(crate) fn exit_key_delete() {
    if let Some(key) = sys::ExitKey::from_word(EXIT_KEY.swap(0, Ordering::Relaxed)) {
        key.delete();
    }
}
