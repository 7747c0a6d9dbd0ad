//! Scopes: the calls and tries on a stack, each with what was deferred in it. Go: the list of `_defer`s.
//!
//! One list per stack, last in first out, of two kinds of entries: the mark of a call from inside the
//! callback, and a deferred call. What lies above a mark, up to the next, was deferred in that call;
//! what lies above none, in the call from the host, the *base*, which needs no entry.
//!
//! A `longjmp` inside the callback leaves marks behind; they are found by their stack pointer, and
//! dropped with what was deferred above them. The list is not on the frames' own stack memory, so a
//! dead mark is stale at worst, never broken.
//!
//! An entry is taken before it is written: a handler that calls in between takes the next one.

use core::cell::Cell;
use core::ffi::c_void;

use super::g::GStack;
use crate::arch::{self, EntryFn};
use crate::base::atomic::{Ordering, compiler_fence};
use crate::stack::KEPT_BYTES;
use crate::sys;

/// What a scope is to a panic.
#[derive(Clone, Copy, PartialEq, Default)]
#[repr(u8)]
pub(crate) enum Kind {
    /// `wharf_call`: passed, unless a deferred call recovers.
    #[default]
    Call,
    /// `wharf_try`: as far as a panic goes.
    Try,
    /// A frame that is being unwound by somebody else: no panic gets past it.
    Wall,
    /// A scope that was left by `longjmp`, with others further in since: nothing ends there, and what was
    /// deferred in it is dropped.
    Left,
}

/// A mark or a deferred call.
struct Entry {
    /// Of a mark: its switch's stack pointer, written by the switch. Else null.
    sp: Cell<usize>,
    /// Of a deferred call: the function.
    f: Cell<Option<EntryFn>>,
    /// Of a deferred call: its argument. Of a mark: the mark outward of it, and the kind.
    arg: Cell<usize>,
}

/// The entries of a stack. Places in the list are in bytes from its start.
#[derive(Default)]
pub(crate) struct Scopes {
    /// Its first [`OWN`] bytes are what the stack keeps for its user. The rest is a mapping: where that
    /// would start if all of the list were there; 0 until it is needed.
    more: Cell<usize>,
    /// How much there is room for.
    room: Cell<usize>,
    /// How much is in use.
    depth: Cell<usize>,
    /// The end of the innermost mark; 0: the base.
    mark: Cell<usize>,
    /// The kind of the base.
    base: Cell<Kind>,
}

// SAFETY: [gate] touched by the thread whose callback is on the stack, and from outside only behind
// the closed gate of a quiet M.
unsafe impl Sync for Scopes {}

/// One scope of a stack, as a panic sees it.
#[derive(Clone, Copy)]
pub(crate) struct Scope {
    pub(crate) on: &'static GStack,
    /// The end of its mark; 0: the base.
    pub(crate) mark: usize,
}

const ENTRY: usize = size_of::<Entry>();
const OWN: usize = KEPT_BYTES / ENTRY * ENTRY;
/// How much address space the mapping takes, and how much of it is made accessible at a time.
const MORE: usize = 16 << 20;
const MORE_AT_A_TIME: usize = 64 << 10;
/// Of a mark's `arg`; the rest is the mark outward of it.
const KIND: usize = 3;
const TRY: usize = Kind::Try as usize;
const WALL: usize = Kind::Wall as usize;
const LEFT: usize = Kind::Left as usize;
const _: () = assert!(ENTRY.is_multiple_of(KIND + 1));

impl GStack {
    /// The entry that ends at `end`. It never moves: the switch may be about to write to it.
    #[inline(always)]
    fn entry(&self, end: usize) -> &Entry {
        let start = if end <= OWN { self.top } else { self.record.scopes.more.get() };
        // SAFETY: [slab] `take_entry` has seen to it that there is one.
        unsafe { &*((start + end - ENTRY) as *const Entry) }
    }

    /// Whether the next entry has no place in what the stack keeps.
    #[inline(always)]
    pub(crate) fn is_deep(&self) -> bool {
        self.record.scopes.depth.get() + ENTRY > OWN
    }

    /// Takes one more entry, and says where it ends; `None` if there is no room. Its contents are stale.
    #[inline(always)]
    fn take_entry(&'static self) -> Option<usize> {
        let scopes = &self.record.scopes;
        let end = scopes.depth.get() + ENTRY;
        if end > scopes.room.get() {
            return None;
        }
        scopes.depth.set(end);
        compiler_fence(Ordering::SeqCst);
        Some(end)
    }

    /// Gives the list the room that the stack keeps for its user. For a stack just taken.
    pub(crate) fn init_scopes(&self) {
        self.record.scopes.room.set(OWN);
    }

    /// Makes room for one more entry, if there is none; `None` if there is no memory.
    #[cold]
    #[inline(never)]
    pub(crate) fn grow_scopes(&self) -> Option<()> {
        let scopes = &self.record.scopes;
        let room = scopes.room.get();
        if scopes.depth.get() + ENTRY <= room {
            return Some(());
        }
        if scopes.more.get() == 0 {
            scopes.more.set(sys::reserve(MORE, 0)? - OWN);
        }
        let used = room - OWN;
        // SAFETY: the next part of our reservation.
        let grown = used < MORE && unsafe { sys::commit(scopes.more.get() + room, MORE_AT_A_TIME) };
        grown.then(|| scopes.room.set(room + MORE_AT_A_TIME))
    }

    /// Begins a scope inside the callback: its mark, and where the switch writes its stack pointer.
    /// `None` if there is no room.
    #[inline(always)]
    pub(crate) fn push_scope(&'static self, kind: Kind) -> Option<(usize, *mut usize)> {
        let scopes = &self.record.scopes;
        let mark = self.take_entry()?;
        let entry = self.entry(mark);
        entry.sp.set(0);
        entry.arg.set(scopes.mark.get() | kind as usize);
        scopes.mark.set(mark);
        Some((mark, entry.sp.as_ptr()))
    }

    /// Ends the scope of `mark`, and whatever is left inside it. Nothing if it has ended.
    #[inline(always)]
    pub(crate) fn pop_scope(&self, mark: usize) {
        if self.record.scopes.depth.get() >= mark {
            self.pop_last_scope(mark);
        }
    }

    /// As [`pop_scope`](GStack::pop_scope) for one that has not ended.
    #[inline(always)]
    pub(crate) fn pop_last_scope(&self, mark: usize) {
        let scopes = &self.record.scopes;
        scopes.mark.set(self.entry(mark).arg.get() & !KIND);
        scopes.depth.set(mark - ENTRY);
    }

    /// Ends every scope and forgets what was deferred, the base's too.
    #[cold]
    #[inline(never)]
    pub(super) fn clear_scopes(&self) {
        self.record.scopes.depth.set(0);
        self.record.scopes.mark.set(0);
        self.record.scopes.base.set(Kind::Call);
        let scopes = &self.record.scopes;
        let more = scopes.more.replace(0);
        self.init_scopes();
        if more != 0 {
            // SAFETY: mapped by `grow_scopes`, and nobody's now.
            unsafe { sys::release(more + OWN, MORE) };
        }
    }

    #[inline(always)]
    pub(crate) fn set_base(&self, kind: Kind) {
        self.record.scopes.base.set(kind);
    }

    /// Whether a `longjmp` inside the callback has left the innermost scope: its frame lies below `sp`,
    /// which is on this stack.
    #[inline(always)]
    pub(crate) fn has_dead_scope(&self, sp: usize) -> bool {
        let (mark, depth) = self.position();
        // SAFETY: a mark is an entry that is in use.
        unsafe { core::hint::assert_unchecked(mark <= depth) };
        mark != 0 && self.entry(mark).sp.get().wrapping_sub(self.lo) < sp - self.lo
    }

    /// Drops the scopes that were left so.
    #[inline(always)]
    pub(crate) fn drop_dead_scopes(&self, sp: usize) {
        while self.has_dead_scope(sp) {
            self.pop_last_scope(self.record.scopes.mark.get());
        }
    }

    /// As [`has_dead_scope`](GStack::has_dead_scope), or its frame was written over since.
    #[inline(always)]
    pub(crate) fn has_lost_scope(&'static self, sp: usize) -> bool {
        let scope = self.scope();
        scope.mark != 0 && (self.has_dead_scope(sp) || scope.kind() == Kind::Left || !scope.stands())
    }

    /// Drops the scopes that were left so.
    pub(crate) fn drop_lost_scopes(&'static self, sp: usize) {
        while self.has_lost_scope(sp) {
            self.pop_last_scope(self.scope().mark);
        }
    }

    /// The innermost scope's mark, and where the list ends.
    #[inline(always)]
    pub(crate) fn position(&self) -> (usize, usize) {
        (self.record.scopes.mark.get(), self.record.scopes.depth.get())
    }

    /// Whether there is a scope inside the callback, or something is deferred.
    #[inline(always)]
    pub(crate) fn has_scopes(&self) -> bool {
        self.position().1 != 0
    }

    /// The innermost scope.
    #[inline(always)]
    pub(crate) fn scope(&'static self) -> Scope {
        Scope { on: self, mark: self.record.scopes.mark.get() }
    }

    /// Defers `f(arg)` to the end of the innermost scope; `None` if there is no room.
    #[inline(always)]
    pub(crate) fn push_deferred(&'static self, f: EntryFn, arg: *mut c_void) -> Option<()> {
        let entry = self.entry(self.take_entry()?);
        entry.sp.set(0);
        entry.f.set(Some(f));
        entry.arg.set(arg as usize);
        Some(())
    }

    /// Takes the last call that was deferred in the innermost scope.
    #[inline(always)]
    pub(crate) fn pop_deferred(&self) -> Option<(EntryFn, *mut c_void)> {
        let scopes = &self.record.scopes;
        let top = scopes.depth.get();
        if top <= scopes.mark.get() {
            return None;
        }
        let entry = self.entry(top);
        let (f, arg) = (entry.f.get()?, entry.arg.get() as *mut c_void);
        scopes.depth.set(top - ENTRY);
        Some((f, arg))
    }
}

impl Scope {
    fn entry(self) -> Option<&'static Entry> {
        (self.mark != 0).then(|| self.on.entry(self.mark))
    }

    pub(crate) fn kind(self) -> Kind {
        let Some(entry) = self.entry() else { return self.on.record.scopes.base.get() };
        match entry.arg.get() & KIND {
            TRY => Kind::Try,
            WALL => Kind::Wall,
            LEFT => Kind::Left,
            _ => Kind::Call,
        }
    }

    pub(crate) fn set_kind(self, kind: Kind) {
        match self.entry() {
            None => self.on.set_base(kind),
            Some(entry) => entry.arg.set(entry.arg.get() & !KIND | kind as usize),
        }
    }

    /// The stack pointer of its switch, which a panic comes back to.
    pub(crate) fn sp(self) -> usize {
        self.entry().map_or(self.on.host_sp(), |entry| entry.sp.get())
    }

    /// Whether its switch's frame still names it: no other frame has been written over that.
    #[inline(always)]
    pub(crate) fn stands(self) -> bool {
        self.slot().is_none_or(|slot| self.names(slot as usize))
    }

    /// Whether this is the name of its switch's frame. As yet without a frame, it is just made.
    #[inline(always)]
    fn names(self, slot: usize) -> bool {
        let sp = self.sp();
        // SAFETY: [g0-sp] where a switch was on this stack, which is in use.
        sp == 0 || self.on.contains(sp) && unsafe { *arch::name_of_switch(sp) } == slot
    }

    /// Where its switch writes its stack pointer; the base's does so to the G.
    pub(crate) fn slot(self) -> Option<*mut usize> {
        self.entry().map(|entry| entry.sp.as_ptr())
    }

    /// Whether anything is deferred in it, where `inner` is the next scope inward on the same stack.
    #[inline(always)]
    pub(crate) fn has_deferred(self, inner: Option<Scope>) -> bool {
        let above = inner.map_or(self.on.record.scopes.depth.get(), |inner| inner.mark - ENTRY);
        above > self.mark
    }

    /// The next scope outward on the same stack.
    pub(crate) fn outward(self) -> Option<Scope> {
        Some(Scope { mark: self.entry()?.arg.get() & !KIND, ..self })
    }
}
