//! What every call returns. Numbers are never reused; -1 to -15 is what a correct program meets.

use core::ffi::c_int;

/// The call did what it says.
pub const WHARF_OK: c_int = 0;
/// The deadline passed first.
pub const WHARF_TIMEOUT: c_int = -3;
/// `wharf_goexit` ended the callback.
pub const WHARF_CANCELED: c_int = -4;
/// The callback ended by a panic; what `wharf_try` gave out says more.
pub const WHARF_PANICKED: c_int = -5;
/// The callback ended by a panic that a deferred call recovered.
pub const WHARF_RECOVERED: c_int = -6;
/// The runtime is stopping or stopped; only `wharf_start` brings it back.
pub const WHARF_STOPPED: c_int = -7;
/// An argument is NULL, out of range, or a struct's `size` is not one that this version knows.
pub const WHARF_EINVAL: c_int = -16;
/// The system gave no memory or address space.
pub const WHARF_ENOMEM: c_int = -17;
/// Not possible in this state or from this place.
pub const WHARF_ESTATE: c_int = -18;
/// The library does not speak this ABI.
pub const WHARF_EABI: c_int = -19;
/// The system refused; errno says why.
pub const WHARF_ESYS: c_int = -20;
/// A limit was reached: `max_threads`, or nothing to be had in a signal handler.
pub const WHARF_ELIMIT: c_int = -21;

/// One of the numbers above, never `WHARF_OK`, as the error of a `Result`.
pub(crate) type Status = c_int;
