//! The environment.

use core::ffi::CStr;

/// What `is` says of a variable's value. None where it is not set, and in a process that runs with more
/// rights than whoever started it.
pub(crate) fn variable<T>(name: &CStr, is: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
    // SAFETY: a C string; what comes back is one too, and is done with before anybody else of ours
    // runs. The host's own `setenv` beside it is the host's matter, as with every `getenv`.
    unsafe {
        if libc::issetugid() != 0 {
            return None;
        }
        let value = libc::getenv(name.as_ptr());
        if value.is_null() { None } else { is(CStr::from_ptr(value).to_bytes()) }
    }
}
