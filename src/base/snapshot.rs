//! A few words that are read whole, by whoever dies, without waiting for a writer.

use super::atomic::{AtomicU32, AtomicUsize, Ordering, fence};

/// `N` words, zero at first. One writer at a time; a reader gets all of one write or nothing.
pub(crate) struct Snapshot<const N: usize> {
    /// Odd while the words change.
    turn: AtomicU32,
    words: [AtomicUsize; N],
}

impl<const N: usize> Snapshot<N> {
    pub(crate) const fn new() -> Snapshot<N> {
        Snapshot { turn: AtomicU32::new(0), words: [const { AtomicUsize::new(0) }; N] }
    }

    /// Changes the words; the caller sees to it that nobody else does.
    pub(crate) fn write(&self, words: &[usize; N]) {
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, &value) in self.words.iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
        // Release: pairs with the first look of `read`.
        self.turn.store(turn.wrapping_add(2), Ordering::Release);
    }

    /// The words, unless they change just now: the writer may be the thread that reads. `[sig]`
    pub(crate) fn read(&self) -> Option<[usize; N]> {
        const LOOKS: u32 = 1000;
        for _ in 0..LOOKS {
            let turn = self.turn.load(Ordering::Acquire);
            let mut words = [0; N];
            for (value, word) in words.iter_mut().zip(&self.words) {
                *value = word.load(Ordering::Relaxed);
            }
            fence(Ordering::Acquire);
            if turn.is_multiple_of(2) && self.turn.load(Ordering::Relaxed) == turn {
                return Some(words);
            }
            core::hint::spin_loop();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_nothing() {
        let snapshot = Snapshot::<3>::new();
        assert_eq!(snapshot.read(), Some([0; 3]));
        snapshot.turn.store(1, Ordering::Relaxed);
        assert_eq!(snapshot.read(), None);
        snapshot.turn.store(2, Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| (0..10_000).for_each(|n| snapshot.write(&[n; 3])));
            for _ in 0..10_000 {
                let words = snapshot.read();
                assert!(words.is_none_or(|[a, b, c]| a == b && b == c), "{words:?}");
            }
        });
        assert_eq!(snapshot.read(), Some([9_999; 3]));
    }
}
