//! Work that needs an allocator where there is none to be had, and that may fail: on a stack of its
//! own, with an arena beside it, both reserved when it is needed. Whatever goes wrong, it can be left
//! at once. `[sig]`
//!
//! The library's global allocator knows such work by the stack pointer, and touches no
//! thread-local. Everything else comes from the process's heap as ever.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::ptr;
use std::alloc::System;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::arch::{self, Gobuf};
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::sys;

/// What nothing is in, at the low end: for a frame of any size; and valgrind takes a move of the stack
/// pointer by less than 2 MiB, from a stack that happens to be near, for frames that come or go.
const GUARD_BYTES: usize = 4 << 20;
const STACK_BYTES: usize = 512 << 10;
/// Guard, stack, memory.
const BYTES: usize = GUARD_BYTES + STACK_BYTES + (32 << 20);
/// So much becomes writable at a time.
const STEP: usize = 512 << 10;

/// A place for such work. Only one thread at a time uses it.
pub(crate) struct Aside {
    /// The reservation; 0: there is none.
    lo: AtomicUsize,
    /// The end of what is allocated.
    next: AtomicUsize,
    /// The end of what is writable.
    end: AtomicUsize,
    /// Where the switch to the work left the stack; 0: none is going on.
    left: AtomicUsize,
}

/// One for the report, one for looks outside it; one more for tests of this file.
pub(crate) static ASIDES: [Aside; COUNT] = [const { Aside::new() }; COUNT];
const COUNT: usize = 2 + cfg!(test) as usize;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

impl Aside {
    const fn new() -> Aside {
        let [lo, next, end, left] = [const { AtomicUsize::new(0) }; 4];
        Aside { lo, next, end, left }
    }

    /// Reserves the place, if it is not. Whether there is one.
    pub(crate) fn open(&self) -> bool {
        if self.lo.load(Ordering::Relaxed) != 0 {
            return true;
        }
        let Some(lo) = sys::reserve(BYTES, 0) else { return false };
        let stack = lo + GUARD_BYTES;
        // SAFETY: the reservation just made.
        if !unsafe { sys::commit(stack, STACK_BYTES + STEP) } {
            // SAFETY: nobody knows of it.
            unsafe { sys::release(lo, BYTES) };
            return false;
        }
        self.next.store(stack + STACK_BYTES, Ordering::Relaxed);
        self.end.store(stack + STACK_BYTES + STEP, Ordering::Relaxed);
        self.lo.store(lo, Ordering::Release);
        true
    }

    /// Gives the place back.
    ///
    /// # Safety
    /// Nothing that was allocated there is used any more.
    pub(crate) unsafe fn close(&self) {
        // Release: who gets the addresses next for its heap finds them forgotten here.
        let lo = self.lo.swap(0, Ordering::AcqRel);
        if lo != 0 {
            // SAFETY: as the caller says.
            unsafe { sys::release(lo, BYTES) };
        }
    }

    /// Runs `work` to its end, or until it gives up: then false, and what it worked on is half done.
    /// It leaves nothing behind that must be dropped.
    pub(crate) fn run(&self, mut work: &mut dyn FnMut()) -> bool {
        let top = self.lo.load(Ordering::Relaxed) + GUARD_BYTES + STACK_BYTES;
        let mut left = Gobuf::default();
        self.left.store(left.as_ptr() as usize, Ordering::Relaxed);
        // SAFETY: the stack is the calling thread's, as the place is.
        let value = unsafe { arch::call_on_stack(run, (&raw mut work).cast(), top, &raw mut left) };
        self.left.store(0, Ordering::Relaxed);
        value == 0
    }

    /// The one that the calling thread works in.
    #[inline(never)] // Each place that allocates would get it.
    fn present() -> Option<&'static Aside> {
        let sp = arch::stack_pointer();
        ASIDES.iter().find(|aside| aside.holds(sp, GUARD_BYTES + STACK_BYTES))
    }

    #[inline(never)]
    fn of(block: *mut u8) -> Option<&'static Aside> {
        ASIDES.iter().find(|aside| aside.holds(block as usize, BYTES))
    }

    fn holds(&self, addr: usize, bytes: usize) -> bool {
        let lo = self.lo.load(Ordering::Acquire);
        lo != 0 && addr.wrapping_sub(lo) < bytes
    }

    /// Allocates, or leaves the work.
    #[inline(never)]
    fn take(&self, layout: Layout) -> *mut u8 {
        let block = self.next.load(Ordering::Relaxed).next_multiple_of(layout.align());
        self.extend(block, layout.size());
        ptr::with_exposed_provenance_mut(block)
    }

    /// Makes the block at `block` the last one.
    fn extend(&self, block: usize, bytes: usize) {
        let lo = self.lo.load(Ordering::Relaxed);
        let end = self.end.load(Ordering::Relaxed);
        let Some(next) = block.checked_add(bytes).filter(|&next| next <= lo + BYTES) else { give_up() };
        if next > end {
            let more = (next - end).next_multiple_of(STEP).min(lo + BYTES - end);
            // SAFETY: in our reservation.
            if !unsafe { sys::commit(end, more) } {
                give_up();
            }
            self.end.store(end + more, Ordering::Relaxed);
        }
        self.next.store(next, Ordering::Relaxed);
    }

    fn is_last(&self, block: *mut u8, bytes: usize) -> bool {
        block as usize + bytes == self.next.load(Ordering::Relaxed)
    }
}

/// How much the calling thread's work has allocated.
pub(super) fn mark() -> usize {
    Aside::present().map_or(0, |aside| aside.next.load(Ordering::Relaxed))
}

/// Takes back what it has allocated since.
///
/// # Safety
/// Nothing of it is used any more.
pub(super) unsafe fn release(mark: usize) {
    if let Some(aside) = Aside::present() {
        aside.next.store(mark, Ordering::Relaxed);
    }
}

/// Where the thread that is at `sp` goes on, by `gogo` with 1, to leave the work that it does aside, if it
/// does any: a fault in it ends it so, and not the process. `[sig]`
pub(crate) fn landing(sp: usize) -> Option<usize> {
    let aside = ASIDES.iter().find(|aside| aside.holds(sp, GUARD_BYTES + STACK_BYTES))?;
    let buf = aside.left.load(Ordering::Relaxed) as *const Gobuf;
    // SAFETY: null, or `run` waits with it.
    unsafe { buf.as_ref() }.map(|buf| buf.sp.load(Ordering::Relaxed))
}

/// Whether the calling thread does such work.
pub(crate) fn is_aside() -> bool {
    landing(arch::stack_pointer()).is_some()
}

/// Leaves the calling thread's work: its memory or its time is at an end.
pub(super) fn give_up() -> ! {
    if let Some(sp) = landing(arch::stack_pointer()) {
        // SAFETY: `run` waits there; the work leaves nothing behind that must be dropped.
        unsafe { arch::gogo(sp, 1) }
    }
    sys::die_of_default_abort()
}

unsafe extern "C-unwind" fn run(work: *mut c_void) {
    // SAFETY: `Aside::run` hands over its own, and waits.
    let work = unsafe { &mut *work.cast::<&mut dyn FnMut()>() };
    // What broken tables lead to in a crate that reads them must not get further than here.
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        give_up()
    }
}

/// Memory for work aside from its place, all other from the process's heap.
struct Allocator;

// SAFETY: blocks are apart and writable: each place has one thread, and hands out each byte once;
// the rest is the system's.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match Aside::present() {
            Some(aside) => aside.take(layout),
            // SAFETY: as the caller says.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match Aside::present() {
            Some(aside) => {
                let block = aside.take(layout);
                // It may have been in use before a `release`.
                // SAFETY: just allocated.
                unsafe { block.write_bytes(0, layout.size()) };
                block
            }
            // SAFETY: as the caller says.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match Aside::of(block) {
            Some(aside) if aside.is_last(block, layout.size()) => {
                aside.next.store(block as usize, Ordering::Relaxed);
            }
            Some(_) => {}
            // SAFETY: as the caller says; it is none of ours.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let Some(aside) = Aside::of(block) else {
            // SAFETY: as the caller says; it is none of ours.
            return unsafe { System.realloc(block, layout, bytes) };
        };
        if aside.is_last(block, layout.size()) {
            aside.extend(block as usize, bytes);
            return block;
        }
        // SAFETY: the size was checked by the caller; both blocks are there, and apart.
        unsafe {
            let new = aside.take(Layout::from_size_align_unchecked(bytes, layout.align()));
            ptr::copy_nonoverlapping(block, new, layout.size().min(bytes));
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    #[test]
    fn what_is_allocated_there_stands_there() {
        let _one = ONE_AT_A_TIME.lock();
        let aside = &ASIDES[COUNT - 1];
        assert!(aside.open());
        let outside = Box::new(7);
        assert!(Aside::of((&raw const *outside).cast_mut().cast()).is_none());
        let mut sum = 0;
        let before = aside.next.load(Ordering::Relaxed);
        let done = aside.run(&mut || {
            let mut numbers = Vec::new();
            let mut texts = Vec::new();
            for i in 0..100_000usize {
                numbers.push(i);
                if i % 100 == 0 {
                    texts.push(i.to_string());
                }
            }
            assert!(Aside::of(numbers.as_mut_ptr().cast()).is_some());
            sum = numbers.iter().sum::<usize>() + texts.iter().map(String::len).sum::<usize>() + *outside;
        });
        assert!(done);
        assert_eq!(sum, 4_999_950_000 + 4888 + 7);
        assert!(aside.next.load(Ordering::Relaxed) > before + (1 << 20));
        // SAFETY: all is dropped.
        unsafe { aside.close() };
        assert!(!aside.holds(before, 1));
    }

    #[test]
    fn work_that_gives_up_is_left() {
        let _one = ONE_AT_A_TIME.lock();
        let aside = &ASIDES[COUNT - 1];
        for how in 0..4 {
            assert!(aside.open());
            let mut reached = false;
            let done = aside.run(&mut || {
                reached = true;
                match how {
                    0 => give_up(),
                    1 => drop(Vec::<u8>::with_capacity(BYTES)),
                    2 => std::panic::resume_unwind(Box::new(how)),
                    _ => loop {
                        Box::leak(Box::new([0u8; 1000]));
                    },
                }
            });
            assert!(reached && !done);
            assert!(aside.run(&mut || ()));
            // SAFETY: nothing is used.
            unsafe { aside.close() };
        }
    }
}
