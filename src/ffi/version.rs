//! Version and status.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;

use super::table::{API, wharf_api};
use crate::base::status::*;

/// The ABI that this header describes; what `wharf_get_api` is asked for.
pub const WHARF_ABI: u32 = 1;

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("the version is no C string"),
};

/// The library's version as a number: major * 65536 + minor * 256 + patch.
///
/// Context: any. Signals: safe.
#[unsafe(no_mangle)]
pub extern "C" fn wharf_version() -> u32 {
    const fn number(text: &str) -> u32 {
        match u32::from_str_radix(text, 10) {
            Ok(number) => number,
            Err(_) => panic!("a version's part is no number"),
        }
    }
    number(env!("CARGO_PKG_VERSION_MAJOR")) << 16
        | number(env!("CARGO_PKG_VERSION_MINOR")) << 8
        | number(env!("CARGO_PKG_VERSION_PATCH"))
}

/// The library's version as text, "major.minor.patch". Static, never NULL.
///
/// Context: any. Signals: safe.
#[unsafe(no_mangle)]
pub extern "C" fn wharf_version_string() -> *const c_char {
    VERSION.as_ptr()
}

/// What a status means, in a few words. Static, never NULL, not for any program to parse.
///
/// `status`: what a function of this header returned; an unknown number is answered too.
///
/// Context: any. Signals: safe.
#[unsafe(no_mangle)]
pub extern "C" fn wharf_strerror(status: c_int) -> *const c_char {
    known(status).1.as_ptr()
}

/// The name of a status, "WHARF_TIMEOUT" for -3. Static; "WHARF_?" if there is none of that number.
///
/// Context: any. Signals: safe.
#[unsafe(no_mangle)]
pub extern "C" fn wharf_status_name(status: c_int) -> *const c_char {
    known(status).0.as_ptr()
}

/// The table of all functions: the one name that a host which loads wharf by `dlopen` looks up.
///
/// `abi`: `WHARF_ABI` of the header that the host was compiled with.
///
/// Returns the table, static, valid until the library is unloaded (a call through it after that is
/// a crash); NULL if this library does not speak that ABI. A later library of the same ABI has more
/// functions at the table's end: look at its `size` before calling one that your header has and the
/// library may not.
///
/// Context: any. Signals: safe.
#[unsafe(no_mangle)]
pub extern "C" fn wharf_get_api(abi: u32) -> *const wharf_api {
    if abi == WHARF_ABI { &raw const API } else { ptr::null() }
}

fn known(status: c_int) -> (&'static CStr, &'static CStr) {
    match status {
        WHARF_OK => (c"WHARF_OK", c"done"),
        WHARF_TIMEOUT => (c"WHARF_TIMEOUT", c"the deadline passed first"),
        WHARF_CANCELED => (c"WHARF_CANCELED", c"the callback ended by wharf_goexit"),
        WHARF_PANICKED => (c"WHARF_PANICKED", c"the callback panicked"),
        WHARF_RECOVERED => (c"WHARF_RECOVERED", c"the callback panicked, and a deferred call recovered"),
        WHARF_STOPPED => (c"WHARF_STOPPED", c"the runtime is stopping or stopped"),
        WHARF_EINVAL => (c"WHARF_EINVAL", c"an argument is not valid"),
        WHARF_ENOMEM => (c"WHARF_ENOMEM", c"no memory or address space"),
        WHARF_ESTATE => (c"WHARF_ESTATE", c"not possible in this state or from this place"),
        WHARF_EABI => (c"WHARF_EABI", c"the library does not speak this ABI"),
        WHARF_ESYS => (c"WHARF_ESYS", c"the system refused; see errno"),
        WHARF_ELIMIT => (c"WHARF_ELIMIT", c"a limit was reached"),
        _ => (c"WHARF_?", c"no status of this library"),
    }
}
