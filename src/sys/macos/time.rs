//! Clocks and naps.

/// Nanoseconds on the monotonic clock. `[sig]`
pub(crate) fn now_ns() -> i64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since 1970. `[sig]`
pub(crate) fn wall_ns() -> i64 {
    read(libc::CLOCK_REALTIME)
}

fn read(clock: libc::clockid_t) -> i64 {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `at` is writable.
    unsafe { libc::clock_gettime(clock, &mut at) };
    at.tv_sec * 1_000_000_000 + at.tv_nsec
}

/// Sleeps about `ns` nanoseconds, in whole milliseconds. `[sig]`
pub(crate) fn nap(ns: i64) {
    // A wait for nothing: `nanosleep` is a cancellation point.
    // SAFETY: no descriptors are given.
    unsafe { super::io::poll(core::ptr::null_mut(), 0, super::io::milliseconds(ns)) };
}
