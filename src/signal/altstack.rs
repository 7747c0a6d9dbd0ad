//! Alternate stacks that are lent to threads without one, so that a fault on an exhausted stack can be
//! told. Go: `minitSignalStack`.
//!
//! The system cannot be told from outside to forget a thread's alternate stack. So each is a mapping
//! of its own, without code, that stays until its thread is known to be gone, over a stop and over
//! the library's unloading too; its head names it to whatever load of the library meets it next, on
//! the same thread.
//!
//! ```text
//!   [ guard page | the stack ... | head ]
//! ```

use core::ptr;

use super::installed;
use crate::base::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use crate::gmp::M;
use crate::sys::{self, AltStack};

/// All but the guard: room for the system's frame, for ours, and for a handler of the host's.
const BYTES: usize = 64 << 10;
/// The size that the system is told, which no host is likely to choose.
const STACK_BYTES: usize = BYTES - size_of::<Lent>();
const MAGIC: u64 = u64::from_be_bytes(*b"WHRFALT1");

/// The head of a mapping, at its upper end.
#[repr(C, align(64))]
struct Lent {
    magic: u64,
    lo: usize,
    /// The thread whose it is, or was last; 0: nobody's.
    tid: AtomicI32,
    /// The next one of the same M.
    next: AtomicUsize,
    /// Whether some M has it: not the thread's, when an earlier load lent it.
    is_listed: AtomicBool,
    /// What the thread had before: lowest address and size, or 0.
    before: [AtomicUsize; 2],
}

impl Lent {
    fn make() -> Option<&'static Lent> {
        let page = sys::page_bytes();
        let base = sys::reserve(page + BYTES, 0)?;
        let lo = base + page;
        // SAFETY: the reservation just made, whose end is the head.
        unsafe {
            if !sys::commit(lo, BYTES) {
                sys::release(base, page + BYTES);
                return None;
            }
            let head = (lo + STACK_BYTES) as *mut Lent;
            head.write(Lent {
                magic: MAGIC,
                lo,
                tid: AtomicI32::new(0),
                next: AtomicUsize::new(0),
                is_listed: AtomicBool::new(false),
                before: [AtomicUsize::new(0), AtomicUsize::new(0)],
            });
            Some(&*head)
        }
    }

    /// The one that is the thread's present alternate stack, be it an earlier load's.
    fn of(now: &AltStack) -> Option<&'static Lent> {
        let (lo, bytes) = now.bounds()?;
        if bytes != STACK_BYTES || !sys::readable(lo + bytes) || (lo + bytes) % align_of::<Lent>() != 0 {
            return None;
        }
        // SAFETY: it can be read, and tells whether it is one.
        let head = unsafe { &*((lo + bytes) as *const Lent) };
        (head.magic == MAGIC && head.lo == lo).then_some(head)
    }

    fn at(head: usize) -> Option<&'static Lent> {
        // SAFETY: 0, or a mapping that is only released by `release`.
        unsafe { (head as *const Lent).as_ref() }
    }

    /// Whether no thread has it any more.
    fn is_free(&self) -> bool {
        let tid = self.tid.load(Ordering::Relaxed);
        tid == 0 || !sys::thread_lives(tid)
    }
}

/// All that were lent to threads of this M.
fn lent_by(m: &M) -> impl Iterator<Item = &'static Lent> + use<> {
    let first = Lent::at(m.altstacks.load(Ordering::Relaxed));
    core::iter::successors(first, |lent| Lent::at(lent.next.load(Ordering::Relaxed)))
}

fn add(m: &M, lent: &'static Lent) {
    if !lent.is_listed.swap(true, Ordering::Relaxed) {
        let first = m.altstacks.load(Ordering::Relaxed);
        lent.next.store(first, Ordering::Relaxed);
        m.altstacks.store(ptr::from_ref(lent) as usize, Ordering::Relaxed);
    }
}

/// Gives the calling thread, `m`'s, an alternate stack if faults are ours and it has none that is large
/// enough; takes ours back if they are not. `[sig]`
pub(crate) fn lend(m: &M) {
    if !installed() {
        return take_back(m);
    }
    let (now, me) = (AltStack::current(), sys::gettid());
    if let Some(lent) = Lent::of(&now) {
        lent.tid.store(me, Ordering::Relaxed);
        return add(m, lent);
    }
    let bounds = now.bounds();
    if bounds.is_some_and(|(_, bytes)| bytes >= AltStack::least_bytes()) {
        return;
    }
    // Ours already: the host has put another one in its place, or a handler that interrupted this was
    // quicker.
    let fits = |lent: &&Lent| lent.tid.load(Ordering::Relaxed) == me || lent.is_free();
    let Some(lent) = lent_by(m).find(fits).or_else(Lent::make) else { return };
    let (lo, bytes) = bounds.unwrap_or_default();
    lent.before[0].store(lo, Ordering::Relaxed);
    lent.before[1].store(bytes, Ordering::Relaxed);
    lent.tid.store(me, Ordering::Relaxed);
    add(m, lent);
    // SAFETY: [lent] mapped until the thread is gone or has given it back.
    if !unsafe { AltStack::new(lent.lo, STACK_BYTES).set() } {
        lent.tid.store(0, Ordering::Relaxed);
    }
}

/// Takes the calling thread's, `m`'s, alternate stack away if it was lent; it gets back what it had. One
/// that the thread does not have now, or that a handler runs on, stays until the thread is gone. `[sig]`
pub(crate) fn take_back(m: &M) {
    if !installed() && m.altstacks.load(Ordering::Relaxed) == 0 {
        return;
    }
    let Some(lent) = Lent::of(&AltStack::current()) else { return };
    let [lo, bytes] = [&lent.before[0], &lent.before[1]].map(|word| word.load(Ordering::Relaxed));
    // SAFETY: the host's own.
    if unsafe { AltStack::new(lo, bytes).set() } {
        lent.tid.store(0, Ordering::Relaxed);
    }
}

/// In the child of a fork the thread that lives has another id.
pub(super) fn after_fork() {
    if let Some(lent) = Lent::of(&AltStack::current()) {
        lent.tid.store(sys::gettid(), Ordering::Relaxed);
    }
}

/// Gives back the memory of those that no thread has any more. Only while `m` is nobody's, or no
/// thread enters.
pub(crate) fn release(m: &M) {
    let page = sys::page_bytes();
    let mut next = m.altstacks.swap(0, Ordering::Relaxed);
    while let Some(lent) = Lent::at(next) {
        next = lent.next.load(Ordering::Relaxed);
        lent.is_listed.store(false, Ordering::Relaxed);
        if lent.is_free() {
            // SAFETY: [lent] nobody's, and on no list.
            unsafe { sys::release(lent.lo - page, page + BYTES) };
        } else {
            add(m, lent);
        }
    }
}
