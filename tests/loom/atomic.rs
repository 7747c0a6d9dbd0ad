//! The door of atomics: loom's behind it. Loom's cannot be made in constants, and live for one execution;
//! these are made anew by whoever comes first in an execution, which is the model's first thread, before
//! it makes others (loom says so where it is not).

use std::cell::UnsafeCell;
use std::sync::atomic::AtomicU64 as Counter;

pub(crate) use loom::sync::atomic::{Ordering, fence};

static EXECUTION: Counter = Counter::new(0);

/// Begins an execution.
pub(crate) fn begin() {
    EXECUTION.fetch_add(1, Ordering::Relaxed);
}

/// A thing of loom's, one in each execution.
pub(crate) struct Each<T>(UnsafeCell<Option<(u64, T)>>);

// SAFETY: loom's threads take turns on one thread of the system's.
unsafe impl<T> Sync for Each<T> {}
// SAFETY: as above.
unsafe impl<T> Send for Each<T> {}

impl<T> Each<T> {
    pub(crate) const fn new() -> Each<T> {
        Each(UnsafeCell::new(None))
    }

    pub(crate) fn get(&self, make: impl FnOnce() -> T) -> &T {
        let now = EXECUTION.load(Ordering::Relaxed);
        // SAFETY: as above, and `make` does not come back here. What is replaced is an execution's that
        // has ended.
        let place = unsafe { &mut *self.0.get() };
        if place.as_ref().is_none_or(|(execution, _)| *execution != now) {
            *place = Some((now, make()));
        }
        &place.as_ref().expect("made").1
    }
}

/// Changed by each load: to find what comes in another order, loom looks back from a store to the last
/// access of the word only, and so past another thread's load to one of its own.
type Looks = loom::sync::atomic::AtomicU32;

macro_rules! atomics {
    ($($name:ident $value:ty),*) => { $(
        pub(crate) struct $name($value, Each<(loom::sync::atomic::$name, Looks)>);

        impl $name {
            pub(crate) const fn new(value: $value) -> $name {
                $name(value, Each::new())
            }
            fn it(&self) -> &loom::sync::atomic::$name {
                &self.both().0
            }
            fn both(&self) -> &(loom::sync::atomic::$name, Looks) {
                self.1.get(|| (loom::sync::atomic::$name::new(self.0), Looks::new(0)))
            }
            pub(crate) fn load(&self, order: Ordering) -> $value {
                self.both().1.fetch_add(0, Ordering::Relaxed);
                self.it().load(order)
            }
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                self.it().store(value, order);
            }
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                self.it().swap(value, order)
            }
            pub(crate) fn compare_exchange(
                &self, old: $value, new: $value, order: Ordering, failed: Ordering,
            ) -> Result<$value, $value> {
                self.it().compare_exchange(old, new, order, failed)
            }
            pub(crate) fn compare_exchange_weak(
                &self, old: $value, new: $value, order: Ordering, failed: Ordering,
            ) -> Result<$value, $value> {
                self.it().compare_exchange_weak(old, new, order, failed)
            }
            pub(crate) fn fetch_update(
                &self, order: Ordering, failed: Ordering, f: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                self.it().fetch_update(order, failed, f)
            }
        }

        impl Default for $name {
            fn default() -> $name {
                $name::new(Default::default())
            }
        }
    )* };
}

atomics!(AtomicBool bool, AtomicI32 i32, AtomicU32 u32, AtomicU64 u64, AtomicUsize usize);

impl AtomicU32 {
    pub(crate) fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
        self.it().fetch_add(value, order)
    }
    pub(crate) fn fetch_sub(&self, value: u32, order: Ordering) -> u32 {
        self.it().fetch_sub(value, order)
    }
    pub(crate) fn fetch_max(&self, value: u32, order: Ordering) -> u32 {
        self.it().fetch_max(value, order)
    }
}

/// The owner's half of the process-wide barrier.
pub(crate) fn compiler_fence(order: Ordering) {
    fence(order);
}

/// As the shipped one.
///
/// # Safety
/// Loom fails where another writes `word` meanwhile.
pub(crate) unsafe fn load_own(word: &AtomicU32) -> u32 {
    // SAFETY: by the caller's word.
    unsafe { word.it().unsync_load() }
}

/// Memory that one thread works in at a time: loom fails where two are at it.
pub(crate) struct Memory(Each<loom::cell::UnsafeCell<u32>>);

impl Memory {
    pub(crate) const fn new() -> Memory {
        Memory(Each::new())
    }

    fn it(&self) -> &loom::cell::UnsafeCell<u32> {
        self.0.get(|| loom::cell::UnsafeCell::new(0))
    }

    /// Changes it.
    pub(crate) fn work(&self) {
        // SAFETY: loom sees to it.
        self.it().with_mut(|value| unsafe { *value += 1 });
    }

    /// Does what several may do at once, but not while another works.
    pub(crate) fn clean(&self) {
        self.it().with(|_| ());
    }
}
