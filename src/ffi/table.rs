//! The table.

use core::ffi::{c_char, c_int, c_void};

use super::callbacks::*;
use super::looking::*;
use super::panics::*;
use super::runtime::*;
use super::time::*;
use super::version::*;
use super::wharf_fn;

/// Every function of this header, for hosts that load the library by `dlopen`. What each does is
/// said at its prototype.
#[repr(C)]
#[allow(missing_docs)]
pub struct wharf_api {
    /// Bytes of this table. New functions come at the end only.
    pub size: u32,
    /// `WHARF_ABI` of the library.
    pub abi: u32,
    pub version: extern "C" fn() -> u32,
    pub version_string: extern "C" fn() -> *const c_char,
    pub strerror: extern "C" fn(status: c_int) -> *const c_char,
    pub status_name: extern "C" fn(status: c_int) -> *const c_char,
    pub start: unsafe extern "C" fn(config: *const wharf_config) -> c_int,
    pub stop: extern "C" fn(until: i64) -> c_int,
    pub running: extern "C" fn() -> c_int,
    pub trim: extern "C" fn() -> c_int,
    pub call: unsafe extern "C-unwind" fn(r#fn: wharf_fn, arg: *mut c_void) -> c_int,
    pub on_host: unsafe extern "C-unwind" fn(r#fn: wharf_fn, arg: *mut c_void) -> c_int,
    pub attach: unsafe extern "C" fn(options: *const wharf_attach_options) -> c_int,
    pub detach: extern "C" fn() -> c_int,
    pub panic: unsafe extern "C-unwind" fn(msg: *const c_char) -> !,
    pub now: extern "C" fn() -> i64,
    pub after: extern "C" fn(ns: i64) -> i64,
    pub stats_read: unsafe extern "C" fn(out: *mut wharf_stats) -> c_int,
    pub dump: extern "C" fn(fd: c_int) -> c_int,
    pub r#try: unsafe extern "C-unwind" fn(
        r#fn: wharf_fn,
        arg: *mut c_void,
        out: *mut *mut wharf_panic_info,
    ) -> c_int,
    pub panic_from:
        unsafe extern "C-unwind" fn(msg: *const c_char, trace: *const *const c_void, count: u32) -> !,
    pub recoverable: extern "C" fn() -> c_int,
    pub defer: unsafe extern "C-unwind" fn(r#fn: wharf_fn, arg: *mut c_void) -> c_int,
    pub recover: extern "C" fn() -> *mut wharf_panic_info,
    pub goexit: extern "C-unwind" fn() -> !,
    pub panic_info_format:
        unsafe extern "C" fn(info: *const wharf_panic_info, out: *mut c_char, bytes: usize) -> usize,
    pub panic_info_free: unsafe extern "C" fn(info: *mut wharf_panic_info),
    pub on_fatal: unsafe extern "C" fn(r#fn: wharf_fatal_fn, arg: *mut c_void) -> c_int,
}

pub(super) static API: wharf_api = wharf_api {
    size: size_of::<wharf_api>() as u32,
    abi: WHARF_ABI,
    version: wharf_version,
    version_string: wharf_version_string,
    strerror: wharf_strerror,
    status_name: wharf_status_name,
    start: wharf_start,
    stop: wharf_stop,
    running: wharf_running,
    trim: wharf_trim,
    call: wharf_call,
    on_host: wharf_on_host,
    attach: wharf_attach,
    detach: wharf_detach,
    panic: wharf_panic,
    now: wharf_now,
    after: wharf_after,
    stats_read: wharf_stats_read,
    dump: wharf_dump,
    r#try: wharf_try,
    panic_from: wharf_panic_from,
    recoverable: wharf_recoverable,
    defer: wharf_defer,
    recover: wharf_recover,
    goexit: wharf_goexit,
    panic_info_format: wharf_panic_info_format,
    panic_info_free: wharf_panic_info_free,
    on_fatal: wharf_on_fatal,
};
