//! Time.

use crate::sys;

/// A deadline that never comes.
pub const WHARF_NEVER: i64 = i64::MAX;

/// Now, in ns since an arbitrary moment (CLOCK_MONOTONIC): what deadlines are told in.
///
/// Context: any. Signals: safe. Source: Go's nanotime.
#[unsafe(no_mangle)]
pub extern "C" fn wharf_now() -> i64 {
    sys::now_ns()
}

/// The deadline `ns` nanoseconds from now; `WHARF_NEVER` if that is out of range.
///
/// Context: any. Signals: safe.
#[unsafe(no_mangle)]
pub extern "C" fn wharf_after(ns: i64) -> i64 {
    sys::now_ns().saturating_add(ns)
}
