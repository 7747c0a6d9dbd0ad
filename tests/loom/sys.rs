//! What the shipped files ask of the system. A time-out never comes but where the deadline is the past.

use std::cell::Cell;

use loom::sync::Mutex;
use loom::thread::yield_now;

use crate::atomic::{AtomicBool, AtomicU32, Each, Ordering, fence};

loom::thread_local! {
    static TID: Cell<i32> = Cell::new(1);
}

/// By thread id.
static LIVES: [AtomicBool; 8] = [const { AtomicBool::new(true) }; 8];

/// The thread that calls is `tid`.
pub(crate) fn be(tid: i32) {
    TID.with(|it| it.set(tid));
}

/// Thread `tid` ends, without a word, or is there again.
pub(crate) fn set_lives(tid: i32, lives: bool) {
    LIVES[tid as usize].store(lives, Ordering::Release);
}

pub(crate) fn thread_lives(tid: i32) -> bool {
    LIVES[tid as usize].load(Ordering::Acquire)
}

pub(crate) fn gettid() -> i32 {
    TID.with(Cell::get)
}

pub(crate) fn first_thread_mark() -> Option<usize> {
    None
}

pub(crate) fn getpid() -> i32 {
    0
}

pub(crate) fn now_ns() -> i64 {
    0
}

pub(crate) fn nap(_ns: i64) {
    yield_now();
}

pub(crate) fn barrier() {
    fence(Ordering::SeqCst);
}

/// How often somebody has woken all waiters, of every word.
fn wakes() -> &'static Mutex<u32> {
    static WAKES: Each<Mutex<u32>> = Each::new();
    WAKES.get(|| Mutex::new(0))
}

/// Makes what loom wants to be made by the first thread.
pub(crate) fn begin() {
    wakes();
    LIVES.iter().for_each(|lives| lives.store(true, Ordering::Relaxed));
}

/// For a while: as if it were woken for nothing. For ever: until somebody wakes it.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout_ns: i64) {
    if timeout_ns != i64::MAX {
        return yield_now();
    }
    let before = {
        let wakes = wakes().lock().unwrap();
        // By an exchange that fails: what is there, and not what this thread may see.
        let now = word.compare_exchange(u32::MAX, u32::MAX, Ordering::Relaxed, Ordering::Relaxed);
        if now != Err(expected) {
            return;
        }
        *wakes
    };
    // If nobody does, loom says that this takes too many steps.
    while *wakes().lock().unwrap() == before {
        yield_now();
    }
}

pub(crate) fn futex_wake_all(_word: &AtomicU32) {
    *wakes().lock().unwrap() += 1;
}
