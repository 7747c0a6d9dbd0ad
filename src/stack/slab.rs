//! Slabs and the pool over them.

use core::ptr;

use crate::arch;
use crate::base::Freelist;
use crate::base::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use crate::sys;

/// The most stacks that one slab holds; a slot's number is `slab << SHIFT | index`.
const SHIFT: u32 = 10;
/// The most slabs: enough for 65 536 stacks, although the first three are smaller.
const SLABS: usize = 80;
/// Stacks in the first slab: what an idle runtime reserves. The next ones grow eightfold.
const FIRST: u32 = 2;
const GROWTH: usize = 3;

/// How long a thread waits for another to make stacks.
const PATIENCE_NS: i64 = 1_000_000_000;

/// How many stacks are made ahead at a time.
const AHEAD: u32 = 15;
/// Kept for the user above the first frame: in memory as soon as the stack is in use. More than the
/// frame's arguments on the stack would take: libc's `syscall` reads them, whatever it was given.
pub(crate) const KEPT_BYTES: usize = 512;

/// The sizes of all stacks, in bytes, multiples of a page.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Geometry {
    pub(crate) stack_bytes: usize,
    pub(crate) guard_bytes: usize,
}

/// One stack and the record of its user. A line of its own: the user's thread writes it at each call.
#[repr(align(64))]
pub(crate) struct Slot<T> {
    /// Lowest usable address.
    pub(crate) lo: usize,
    /// Where the first frame starts and what is kept for the user ends, 16-byte aligned.
    pub(crate) top: usize,
    /// The slot's number.
    pub(crate) number: u32,
    /// The user's.
    pub(crate) record: T,
    link: AtomicU32,
    accessible: AtomicBool,
    /// Whether a trim has it in hand.
    in_trim: AtomicBool,
    /// What valgrind calls it.
    known_as: AtomicUsize,
}

impl<T> Slot<T> {
    /// One past the highest usable address.
    #[inline(always)]
    pub(crate) fn hi(&self) -> usize {
        self.top + KEPT_BYTES
    }

    /// Whether `sp` lies on this stack.
    #[inline(always)]
    pub(crate) fn contains(&self, sp: usize) -> bool {
        sp.wrapping_sub(self.lo) < self.top - self.lo
    }

    /// Gives the pages back that lie deeper than `keep_bytes` from the top.
    ///
    /// # Safety
    /// The caller has taken the stack, and nothing runs on it that deep, nor will until this returns.
    pub(crate) unsafe fn discard_below(&self, keep_bytes: usize) {
        let keep = keep_bytes.min(self.hi() - self.lo);
        // SAFETY: a taken stack is committed; by the caller's word the range is not in use.
        unsafe { sys::discard(self.lo, self.hi() - self.lo - keep) };
    }

    /// Brings the top `bytes` into memory. Only while nothing runs on the stack.
    pub(crate) fn touch(&self, bytes: usize) {
        let page = sys::page_bytes();
        for at in (self.hi() - bytes..self.hi()).step_by(page) {
            // SAFETY: the caller holds the stack; `bytes` is at most its size.
            unsafe { (at as *mut u8).write_volatile(0) };
        }
    }

    /// Bytes of the stack that are in memory.
    pub(crate) fn resident_bytes(&self) -> usize {
        sys::resident_bytes(self.lo, self.hi() - self.lo)
    }
}

/// The head of a slab, at the start of its reservation; the slots follow.
#[repr(C)]
struct Slab<T> {
    bytes: usize,
    /// Lowest address of the first stack's guard.
    stacks: usize,
    /// From one stack to the next.
    stride: usize,
    count: u32,
    /// Slots handed out once.
    used: AtomicU32,
    slots: [Slot<T>; 0],
}

impl<T> Slab<T> {
    fn slot(&self, index: u32) -> &Slot<T> {
        debug_assert!(index < self.count);
        // SAFETY: [slab] the slots follow the head, `count` of them, written when the slab was made.
        unsafe { &*self.slots.as_ptr().add(index as usize) }
    }
}

/// All stacks of one kind. Const-made, for a static.
pub(crate) struct Stacks<T> {
    slabs: [AtomicPtr<Slab<T>>; SLABS],
    free: Freelist,
    /// The tid of the thread that makes stacks, or 0.
    maker: AtomicU32,
    /// How many wait for it.
    waiting: AtomicU32,
    stack_bytes: AtomicUsize,
    guard_bytes: AtomicUsize,
    /// Where the first slab would best be.
    place: AtomicUsize,
}

impl<T: Default> Stacks<T> {
    pub(crate) const fn new() -> Stacks<T> {
        Stacks {
            slabs: [const { AtomicPtr::new(ptr::null_mut()) }; SLABS],
            free: Freelist::new(),
            maker: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            stack_bytes: AtomicUsize::new(0),
            guard_bytes: AtomicUsize::new(0),
            place: AtomicUsize::new(0),
        }
    }

    /// Sets the sizes, and draws the place; only while there is no slab.
    pub(crate) fn configure(&self, geometry: Geometry) {
        debug_assert!(self.slabs().next().is_none());
        self.stack_bytes.store(geometry.stack_bytes, Ordering::Relaxed);
        self.guard_bytes.store(geometry.guard_bytes, Ordering::Relaxed);
        self.place.store(place(), Ordering::Relaxed);
    }

    /// The sizes now in force.
    pub(crate) fn geometry(&self) -> Geometry {
        Geometry {
            stack_bytes: self.stack_bytes.load(Ordering::Relaxed),
            guard_bytes: self.guard_bytes.load(Ordering::Relaxed),
        }
    }

    /// Takes a stack that nobody uses; `None` if the system gives no memory. `[sig]`
    ///
    /// When there is none, one thread makes some and the others wait: a crowd that makes one each
    /// stands in its own way. A handler that interrupted the maker makes its own.
    pub(crate) fn take(&self) -> Option<&Slot<T>> {
        // The maker that we wait for, and until when.
        let mut patience = (0, 0);
        loop {
            if let Some(number) = self.free.pop(|number| &self.numbered(number).link) {
                let slot = self.numbered(number);
                return self.make_accessible(slot).then_some(slot);
            }
            let me = sys::gettid() as u32;
            let maker = self.maker.load(Ordering::Relaxed);
            if maker == me {
                return self.unused();
            }
            let now_ns = sys::now_ns();
            if maker != 0 && patience.0 != maker {
                patience = (maker, now_ns + PATIENCE_NS);
            }
            // One that takes this long is one that a fork has left behind.
            if maker == 0 || now_ns > patience.1 {
                if self.maker.compare_exchange(maker, me, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    return self.make();
                }
            } else {
                self.waiting.fetch_add(1, Ordering::Relaxed);
                sys::futex_wait(&self.maker, maker, PATIENCE_NS);
                self.waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Makes a stack for the calling thread, which is the maker, one for each who waits, and a few
    /// ahead as long as the slab has some: the next threads find them ready.
    fn make(&self) -> Option<&Slot<T>> {
        let slot = self.unused();
        let left = self.slabs().last().map_or(0, |slab| slab.count - slab.used.load(Ordering::Relaxed));
        let wanted = self.waiting.load(Ordering::Relaxed).min(1 << SHIFT).max(left.min(AHEAD));
        let made = (0..wanted).map_while(|_| self.unused()).map(|slot| self.give(slot)).count();
        self.maker.store(0, Ordering::Release);
        // One more than there are stacks: that one makes the next.
        sys::futex_wake(&self.maker, made as u32 + 1);
        slot
    }

    /// Makes a taken slot's stack accessible; gives it back if that fails.
    fn make_accessible(&self, slot: &Slot<T>) -> bool {
        if !slot.accessible.load(Ordering::Relaxed) {
            // SAFETY: [slab] the range is the slot's own, and we are its only taker.
            if !unsafe { sys::commit(slot.lo, slot.hi() - slot.lo) } {
                self.give(slot);
                return false;
            }
            slot.accessible.store(true, Ordering::Relaxed);
        }
        true
    }

    /// Gives back a stack that nothing runs on. `[sig]`
    pub(crate) fn give(&self, slot: &Slot<T>) {
        self.free.push(slot.number, &slot.link);
    }

    /// The stack that `sp` lies on. `[sig]`
    pub(crate) fn find(&self, sp: usize) -> Option<&Slot<T>> {
        let slab =
            self.slabs().find(|slab| sp.wrapping_sub(slab.stacks) < slab.stride * slab.count as usize)?;
        let slot = slab.slot(((sp - slab.stacks) / slab.stride) as u32);
        slot.contains(sp).then_some(slot)
    }

    /// Whether `addr` lies in one of the slabs, be it in a guard. `[sig]`
    pub(crate) fn holds(&self, addr: usize) -> bool {
        self.slabs().any(|slab| addr.wrapping_sub(ptr::from_ref(slab) as usize) < slab.bytes)
    }

    /// Every slot that was ever handed out.
    pub(crate) fn each(&self) -> impl Iterator<Item = &Slot<T>> {
        self.slabs().flat_map(|slab| {
            // Acquire: pairs with `unused`.
            let used = slab.used.load(Ordering::Acquire).min(slab.count);
            (0..used).map(|index| slab.slot(index))
        })
    }

    /// Address space held, in bytes.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.slabs().map(|slab| slab.bytes).sum()
    }

    /// Of the slabs' heads, how much is in memory, in bytes.
    pub(crate) fn resident_head_bytes(&self) -> usize {
        self.slabs()
            .map(|slab| {
                let base = ptr::from_ref(slab) as usize;
                sys::resident_bytes(base, slab.stacks - base)
            })
            .sum()
    }

    /// Turns every stack in the pool back into bare address space. Neighbours together: the tables of
    /// the pages go only where nothing else needs them.
    pub(crate) fn trim(&self) {
        for number in self.free.drain(|number| &self.numbered(number).link) {
            self.numbered(number).in_trim.store(true, Ordering::Relaxed);
        }
        let guard = self.guard_bytes.load(Ordering::Relaxed);
        for slab in self.slabs() {
            // Only those that we took from the pool are marked, and only we see the marks.
            let is_ours = |index: &u32| slab.slot(*index).in_trim.load(Ordering::Relaxed);
            let mut at = 0;
            while at < slab.count {
                let run = at..(at..slab.count).find(|index| !is_ours(index)).unwrap_or(slab.count);
                if let Some(last) = run.clone().last() {
                    let lo = slab.slot(at).lo - guard;
                    // SAFETY: [slab] the run's stacks are ours: nobody uses them.
                    let bare = unsafe { sys::uncommit(lo, slab.slot(last).hi() - lo) };
                    for slot in run.clone().map(|index| slab.slot(index)) {
                        let accessible = slot.accessible.load(Ordering::Relaxed) && !bare;
                        slot.accessible.store(accessible, Ordering::Relaxed);
                        slot.in_trim.store(false, Ordering::Relaxed);
                        self.give(slot);
                    }
                }
                at = run.end + 1;
            }
        }
    }

    /// In the child of a fork: what other threads had in hand is in nobody's. `used`: those that are in
    /// use. Nobody else calls any function of this value.
    pub(crate) fn after_fork<'a>(&'a self, used: impl Iterator<Item = &'a Slot<T>>) {
        self.free.clear();
        self.maker.store(0, Ordering::Relaxed);
        self.waiting.store(0, Ordering::Relaxed);
        for slot in self.each() {
            slot.in_trim.store(false, Ordering::Relaxed);
        }
        for slot in used {
            slot.in_trim.store(true, Ordering::Relaxed);
        }
        for slot in self.each() {
            if !slot.in_trim.swap(false, Ordering::Relaxed) {
                self.give(slot);
            }
        }
    }

    /// Ends every reservation.
    ///
    /// # Safety
    /// No stack is in use, and nobody calls any function of this value until it returns.
    pub(crate) unsafe fn release_all(&self) {
        self.free.clear();
        for slot in self.each() {
            arch::valgrind_forget_stack(slot.known_as.load(Ordering::Relaxed));
        }
        for place in &self.slabs {
            let slab = place.swap(ptr::null_mut(), Ordering::Relaxed);
            if let Some(bytes) = ptr::NonNull::new(slab).map(|slab| {
                // SAFETY: [slab] alive until the next line.
                unsafe { slab.as_ref().bytes }
            }) {
                // SAFETY: the reservation is ours, and by the caller's word unused.
                unsafe { sys::release(slab as usize, bytes) };
            }
        }
    }

    fn slabs(&self) -> impl Iterator<Item = &Slab<T>> {
        // Acquire: pairs with the release in `add_slab`: a slab that is seen is written.
        self.slabs.iter().map_while(|place| {
            // SAFETY: [slab] a slab lives until `release_all`, which nobody runs beside us.
            unsafe { place.load(Ordering::Acquire).as_ref() }
        })
    }

    fn numbered(&self, number: u32) -> &Slot<T> {
        let slab = self.slabs[(number >> SHIFT) as usize].load(Ordering::Acquire);
        // SAFETY: [slab] numbers come from slots, and their slab lives.
        unsafe { (*slab).slot(number & ((1 << SHIFT) - 1)) }
    }

    /// A slot that was never used, accessible now, from a new slab if need be.
    fn unused(&self) -> Option<&Slot<T>> {
        let mut at = self.slabs().count().saturating_sub(1);
        loop {
            let place = self.slabs.get(at)?;
            let mut slab = place.load(Ordering::Acquire);
            if slab.is_null() {
                slab = self.add_slab(at)?;
            }
            // SAFETY: [slab] alive.
            let slab = unsafe { &*slab };
            let next = slab.used.load(Ordering::Relaxed);
            if next >= slab.count {
                at += 1;
            // Release: pairs with `each`.
            } else if slab.used.compare_exchange(next, next + 1, Ordering::Release, Ordering::Relaxed).is_ok()
            {
                let slot = slab.slot(next);
                slot.known_as.store(arch::valgrind_know_stack(slot.lo, slot.hi()), Ordering::Relaxed);
                return self.make_accessible(slot).then_some(slot);
            }
        }
    }

    /// Makes slab `at`, or finds the one that a handler or another thread made meanwhile.
    fn add_slab(&self, at: usize) -> Option<*mut Slab<T>> {
        let mut count = FIRST.checked_shl((GROWTH * at) as u32).map_or(1 << SHIFT, |n| n.min(1 << SHIFT));
        let new = loop {
            match make_slab::<T>(at as u32, count, self.geometry(), self.place.load(Ordering::Relaxed)) {
                Some(slab) => break slab,
                None if count == 1 => return None,
                None => count /= 2,
            }
        };
        // Release: pairs with the acquire of everyone who reads the place.
        match self.slabs[at].compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(new),
            Err(theirs) => {
                // SAFETY: [slab] ours, and nobody saw it.
                unsafe { sys::release(new as usize, (*new).bytes) };
                Some(theirs)
            }
        }
    }
}

/// Where the slabs would best be: low, and not to be guessed. A fortified `longjmp` lets
/// a callback jump to the host's frames only upward, and the kernel puts threads' stacks high.
fn place() -> usize {
    const WIDE: bool = size_of::<usize>() > 4;
    const LOW: usize = if WIDE { 64 << 30 } else { 1536 << 20 };
    const SPREAD: usize = if WIDE { 32 << 30 } else { 256 << 20 };
    (LOW + sys::draw() % SPREAD) & !(sys::page_bytes() - 1)
}

fn make_slab<T: Default>(slab: u32, count: u32, geometry: Geometry, place: usize) -> Option<*mut Slab<T>> {
    let page = sys::page_bytes();
    let head = (size_of::<Slab<T>>() + count as usize * size_of::<Slot<T>>()).next_multiple_of(page);
    let stride = geometry.stack_bytes + geometry.guard_bytes;
    // One more guard at the end, so that the highest stack has one above it too.
    let bytes = head + stride * count as usize + geometry.guard_bytes;
    // Where an address space is too small for it, anywhere.
    let hint = (stride << SHIFT).checked_mul(slab as usize).and_then(|away| place.checked_add(away));
    let base = sys::reserve(bytes, hint.unwrap_or(0))?;
    // SAFETY: the head lies in the reservation just made.
    if !unsafe { sys::commit(base, head) } {
        // SAFETY: as above; nobody has seen it.
        unsafe { sys::release(base, bytes) };
        return None;
    }
    let stacks = base + head;
    let made = base as *mut Slab<T>;
    // SAFETY: the head is writable, page-aligned and large enough for the slab and its slots.
    unsafe {
        made.write(Slab { bytes, stacks, stride, count, used: AtomicU32::new(0), slots: [] });
        let slots = (&raw mut (*made).slots).cast::<Slot<T>>();
        for index in 0..count {
            let lo = stacks + stride * index as usize + geometry.guard_bytes;
            slots.add(index as usize).write(Slot {
                lo,
                top: lo + geometry.stack_bytes - KEPT_BYTES,
                number: slab << SHIFT | index,
                record: T::default(),
                link: AtomicU32::new(0),
                accessible: AtomicBool::new(false),
                in_trim: AtomicBool::new(false),
                known_as: AtomicUsize::new(0),
            });
        }
    }
    Some(made)
}
