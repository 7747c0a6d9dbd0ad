//! The library's table, and how it is found.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::mem::transmute;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// What wharf calls back: `wharf_fn` of the header.
pub type RawFn = unsafe extern "C-unwind" fn(arg: *mut c_void);

/// `wharf_panic_info` of the header.
#[repr(C)]
pub(super) struct RawInfo {
    size: u32,
    kind: u32,
    pub(super) message: *const c_char,
    pub(super) trace: *const *const c_void,
    pub(super) trace_count: u32,
    pub(super) cut: u32,
    pub(super) earlier: *const RawInfo,
}

/// `wharf_api` of the header, the table that the host got from `wharf_get_api`. What is said here of
/// types is what the face uses; the rest is only there for its place.
#[repr(C)]
pub struct Api {
    size: u32,
    abi: u32,
    version: extern "C" fn() -> u32,
    version_string: extern "C" fn() -> *const c_char,
    pub(super) strerror: extern "C" fn(status: c_int) -> *const c_char,
    status_name: extern "C" fn(status: c_int) -> *const c_char,
    start: unsafe extern "C" fn(config: *const c_void) -> c_int,
    stop: extern "C" fn(until: i64) -> c_int,
    running: extern "C" fn() -> c_int,
    trim: extern "C" fn() -> c_int,
    pub(super) call: unsafe extern "C-unwind" fn(f: RawFn, arg: *mut c_void) -> c_int,
    pub(super) on_host: unsafe extern "C-unwind" fn(f: RawFn, arg: *mut c_void) -> c_int,
    attach: unsafe extern "C" fn(options: *const c_void) -> c_int,
    detach: extern "C" fn() -> c_int,
    panic: unsafe extern "C-unwind" fn(msg: *const c_char) -> !,
    now: extern "C" fn() -> i64,
    after: extern "C" fn(ns: i64) -> i64,
    stats_read: unsafe extern "C" fn(out: *mut c_void) -> c_int,
    dump: extern "C" fn(fd: c_int) -> c_int,
    pub(super) r#try:
        unsafe extern "C-unwind" fn(f: RawFn, arg: *mut c_void, out: *mut *mut RawInfo) -> c_int,
    pub(super) panic_from:
        unsafe extern "C-unwind" fn(msg: *const c_char, trace: *const *const c_void, count: u32) -> !,
    recoverable: extern "C" fn() -> c_int,
    pub(super) defer: unsafe extern "C-unwind" fn(f: RawFn, arg: *mut c_void) -> c_int,
    pub(super) recover: extern "C" fn() -> *mut RawInfo,
    pub(super) goexit: extern "C-unwind" fn() -> !,
    pub(super) panic_info_format:
        unsafe extern "C" fn(info: *const RawInfo, out: *mut c_char, bytes: usize) -> usize,
    pub(super) panic_info_free: unsafe extern "C" fn(info: *mut RawInfo),
}

const ABI: u32 = 1;

/// Why there is no library to talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoLibrary {
    /// None is loaded in this process.
    NotLoaded,
    /// It speaks another ABI than this crate.
    OtherAbi,
    /// It is older than this crate, and lacks functions.
    TooOld,
}

impl fmt::Display for NoLibrary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoLibrary::NotLoaded => {
                "wharf: libwharf.so.0 is not loaded in this process; the host loads it before it calls the \
                 plugin, or passes its table to wharf::init"
            }
            NoLibrary::OtherAbi => {
                "wharf: the libwharf.so.0 of this process speaks another ABI than the plugin"
            }
            NoLibrary::TooOld => "wharf: the libwharf.so.0 of this process is older than the plugin needs",
        })
    }
}

impl std::error::Error for NoLibrary {}

static FOUND: AtomicPtr<Api> = AtomicPtr::new(ptr::null_mut());

/// Tells the face which library to use, for hosts that hand their table to the plugin. Without it, the
/// `libwharf.so.0` that is loaded in the process is looked up at the first use.
///
/// May be called again, after the host has unloaded the library and loaded it anew.
///
/// # Errors
/// When the table is not one that this crate can use; what was there before stays then.
///
/// # Safety
/// `api` came from `wharf_get_api`, of a library that stays loaded as long as the plugin uses it.
pub unsafe fn init(api: *const Api) -> Result<(), NoLibrary> {
    if api.is_null() {
        return Err(NoLibrary::OtherAbi);
    }
    // SAFETY: by the caller's word; these two are in every table.
    let (size, abi) = unsafe { ((*api).size, (*api).abi) };
    if abi != ABI {
        return Err(NoLibrary::OtherAbi);
    }
    if (size as usize) < size_of::<Api>() {
        return Err(NoLibrary::TooOld);
    }
    FOUND.store(api.cast_mut(), Ordering::Release);
    Ok(())
}

/// Looks the library up now, instead of at the first use; see [`init`].
///
/// # Errors
/// When there is none that can be used.
pub fn find() -> Result<(), NoLibrary> {
    table().map(drop)
}

#[inline]
pub(super) fn table() -> Result<&'static Api, NoLibrary> {
    // SAFETY: null, or what `init` was told.
    match unsafe { FOUND.load(Ordering::Acquire).as_ref() } {
        Some(api) => Ok(api),
        None => look_up(),
    }
}

/// The table, for callers that cannot go on without.
#[inline]
pub(super) fn api() -> &'static Api {
    table().unwrap_or_else(|why| panic!("{why}"))
}

#[cold]
fn look_up() -> Result<&'static Api, NoLibrary> {
    const NAME: &CStr = c"wharf_get_api";
    // By its soname, so wherever the host loaded it from. The reference is given back at once: the
    // plugin does not keep the library in the process.
    // SAFETY: strings; the handle is used before it is closed.
    let get = unsafe {
        let library = libc::dlopen(c"libwharf.so.0".as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
        // Else it may be linked into the program.
        let from = if library.is_null() { libc::RTLD_DEFAULT } else { library };
        let get = libc::dlsym(from, NAME.as_ptr());
        if !library.is_null() {
            libc::dlclose(library);
        }
        get
    };
    if get.is_null() {
        return Err(NoLibrary::NotLoaded);
    }
    // SAFETY: the type of the function of that name.
    let get: extern "C" fn(u32) -> *const Api = unsafe { transmute(get) };
    // SAFETY: just got; the host keeps the library as long as it uses the plugin.
    unsafe { init(get(ABI)) }?;
    table()
}
