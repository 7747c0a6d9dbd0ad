//! The door that every atomic comes through, so that a model checker can stand behind it: the models in
//! `tests/loom` have a door of their own, and the shipped protocols above it.

pub(crate) use core::sync::atomic::*;

/// Reads what the calling thread alone writes: one instruction less than an atomic load.
///
/// # Safety
/// Nobody else writes `word` meanwhile.
#[inline(always)]
pub(crate) unsafe fn load_own(word: &AtomicU32) -> u32 {
    // SAFETY: by the caller's word.
    unsafe { *word.as_ptr() }
}

/// What one thread counts and others read.
#[cfg(target_pointer_width = "64")]
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

#[cfg(target_pointer_width = "64")]
impl Counter {
    /// By the thread that counts.
    #[inline(always)]
    pub(crate) fn increment(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// As [`increment`](Counter::increment), without a branch to what is rare: false if it is now, and nothing is done.
    #[inline(always)]
    pub(crate) fn increment_quickly(&self) -> bool {
        self.increment();
        true
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(target_pointer_width = "32")]
pub(crate) use Halves as Counter;

/// The same where a word has 32 bits, and an atomic of 64 is a loop.
#[cfg(any(target_pointer_width = "32", test))]
#[derive(Default)]
pub(crate) struct Halves {
    low: AtomicU32,
    /// Twice the number of times that `low` has come around; odd while it does.
    high: AtomicU32,
}

#[cfg(any(target_pointer_width = "32", test))]
impl Halves {
    /// By the thread that counts.
    #[inline(always)]
    pub(crate) fn increment(&self) {
        if !self.increment_quickly() {
            self.come_around();
        }
    }

    /// As [`increment`](Halves::increment), without a branch to what is rare: false if it is now, and nothing is done.
    #[inline(always)]
    pub(crate) fn increment_quickly(&self) -> bool {
        let low = self.low.load(Ordering::Relaxed).wrapping_add(1);
        if low != 0 {
            self.low.store(low, Ordering::Relaxed);
        }
        low != 0
    }

    /// Release: who sees the 0 sees `high` odd, or later. So do those who see what comes after it, on all CPUs that we
    /// know, though no rule of the language's says so: it is for figures.
    #[cold]
    #[inline(never)]
    fn come_around(&self) {
        let high = self.high.load(Ordering::Relaxed);
        self.high.store(high + 1, Ordering::Relaxed);
        self.low.store(0, Ordering::Release);
        self.high.store(high + 2, Ordering::Release);
    }

    pub(crate) fn get(&self) -> u64 {
        loop {
            // Acquire: pairs with `come_around`.
            let high = self.high.load(Ordering::Acquire);
            let low = self.low.load(Ordering::Acquire);
            if high % 2 == 1 {
                return u64::from(high / 2 + 1) << 32;
            }
            if high == self.high.load(Ordering::Relaxed) {
                return u64::from(high / 2) << 32 | u64::from(low);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_come_around() {
        let count = Halves { low: AtomicU32::new(u32::MAX - 1), high: AtomicU32::new(0) };
        let counted = [(); 4].map(|()| (count.get(), count.increment()).0);
        assert_eq!(counted, [0xffff_fffe, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001]);
        // A look in the middle of it.
        count.high.store(3, Ordering::Relaxed);
        assert_eq!(count.get(), 0x2_0000_0000);
    }
}
