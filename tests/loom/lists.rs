//! The free list: a thing is one taker's at a time, and none is lost.

use loom::sync::Arc;

use crate::atomic::{AtomicU32, Memory, Ordering};
use crate::base::Freelist;
use crate::{host, model};

struct Things {
    list: Freelist,
    links: [AtomicU32; 3],
    memory: [Memory; 3],
}

impl Things {
    /// Those below `count` are in the list.
    fn new(count: u32) -> Arc<Things> {
        let things =
            Things { list: Freelist::new(), links: Default::default(), memory: [const { Memory::new() }; 3] };
        for number in (0..3).rev() {
            things.give(number);
        }
        things.list.clear();
        for number in (0..count).rev() {
            things.give(number);
        }
        Arc::new(things)
    }

    fn take(&self) -> Option<u32> {
        let number = self.list.pop(|number| &self.links[number as usize])?;
        self.memory[number as usize].work();
        Some(number)
    }

    fn give(&self, number: u32) {
        self.memory[number as usize].work();
        self.list.push(number, &self.links[number as usize]);
    }

    fn drain(&self) -> Vec<u32> {
        let all = self.list.drain(|number| &self.links[number as usize]);
        all.inspect(|&number| self.memory[number as usize].work()).collect()
    }

    /// What is in the list, for sure: the threads are joined.
    fn all(&self) -> Vec<u32> {
        let mut all: Vec<u32> = core::iter::from_fn(|| self.take()).collect();
        all.sort_unstable();
        all
    }
}

#[test]
fn a_thing_has_one_taker() {
    model(Some(2), || {
        let things = Things::new(1);
        let turn = |things: Arc<Things>| move || things.take().into_iter().for_each(|n| things.give(n));
        let threads = [host(2, turn(things.clone())), host(3, turn(things.clone()))];
        turn(things.clone())();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(things.all(), [0]);
    });
}

#[test]
fn a_thing_that_came_back_is_not_mistaken() {
    model(Some(3), || {
        let things = Things::new(3);
        let slow = things.clone();
        let slow = host(2, move || _ = slow.take());
        // The front goes, the second goes and stays away, the front comes back.
        let front = things.take().expect("one of three");
        let kept = things.take().expect("one of two");
        things.give(front);
        slow.join().unwrap();
        assert!(!things.all().contains(&kept));
    });
}

#[test]
fn one_who_takes_all_gets_each_once() {
    model(Some(3), || {
        let things = Things::new(2);
        let other = things.clone();
        let other = host(2, move || other.take().into_iter().for_each(|n| other.give(n)));
        for number in things.drain() {
            things.give(number);
        }
        other.join().unwrap();
        assert_eq!(things.all(), [0, 1]);
    });
}
