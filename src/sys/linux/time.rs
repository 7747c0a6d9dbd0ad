//! Clocks and naps.

/// Nanoseconds on the monotonic clock. `[sig]`
pub(crate) fn now_ns() -> i64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since 1970. `[sig]`
pub(crate) fn wall_ns() -> i64 {
    read(libc::CLOCK_REALTIME)
}

#[allow(clippy::unnecessary_cast)] // Not so on 32-bit machines.
fn read(clock: libc::clockid_t) -> i64 {
    let mut at = timespec(0);
    // SAFETY: `at` is writable.
    unsafe { libc::clock_gettime(clock, &mut at) };
    at.tv_sec as i64 * 1_000_000_000 + at.tv_nsec as i64
}

/// Sleeps about `ns` nanoseconds. `[sig]`
pub(crate) fn nap(ns: i64) {
    // SAFETY: reads the duration; the remainder is not asked for. A raw call is no cancellation point.
    unsafe { libc::syscall(libc::SYS_clock_nanosleep, libc::CLOCK_MONOTONIC, 0, &timespec(ns), 0) };
}

pub(crate) fn timespec(ns: i64) -> libc::timespec {
    libc::timespec { tv_sec: (ns / 1_000_000_000) as _, tv_nsec: (ns % 1_000_000_000) as _ }
}
