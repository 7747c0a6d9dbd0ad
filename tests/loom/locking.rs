//! The lock: one owner at a time, nobody waits for ever, and who has it is told.

use loom::sync::Arc;

use crate::atomic::Memory;
use crate::base::{Lock, Refused};
use crate::{host, model, sys};

fn new() -> Arc<Lock<Memory>> {
    sys::begin();
    let lock = Lock::new(Memory::new());
    lock.take(0).unwrap_or_else(|_| panic!("a new lock is free")).work();
    Arc::new(lock)
}

fn wait_and_work(lock: &Lock<Memory>) {
    let held = lock.take(i64::MAX).unwrap_or_else(|_| panic!("refused"));
    held.work();
    assert!(lock.is_mine());
    assert!(matches!(lock.take(i64::MAX), Err(Refused::Mine)));
}

#[test]
fn one_owner_at_a_time_and_all_are_woken() {
    model(Some(4), || {
        let lock = new();
        let threads = [2, 3].map(|tid| {
            let lock = lock.clone();
            host(tid, move || wait_and_work(&lock))
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn who_does_not_wait_is_told_that_it_is_late() {
    model(None, || {
        let lock = new();
        let other = lock.clone();
        let other = host(2, move || wait_and_work(&other));
        match lock.take(0) {
            Ok(held) => held.work(),
            Err(why) => assert!(matches!(why, Refused::Late)),
        }
        other.join().unwrap();
    });
}
