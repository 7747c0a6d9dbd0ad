//! The library as the loader sees it: once loaded, it stays.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;

/// A `dlopen` reference of the library on itself: there is none here.
pub(crate) enum SelfReference {}

/// `Ok(None)`: there is nothing to refer to, since nothing is unloaded.
pub(crate) fn self_reference(_symbol: *const c_void) -> Result<Option<SelfReference>, ()> {
    Ok(None)
}

impl SelfReference {
    pub(crate) fn release(self) -> c_int {
        match self {}
    }
}

/// Whether the host's libc is ours too: there is one.
pub(crate) fn shares_host_libc() -> bool {
    // Reading its address keeps the initialiser in the library.
    !core::hint::black_box(at_load as *const ()).is_null()
}

#[used]
#[unsafe(link_section = "__DATA,__mod_init_func,mod_init_funcs")]
static ASK_AT_LOAD: extern "C" fn() = at_load;

extern "C" fn at_load() {
    crate::arch::tls_settle();
    stay();
    super::find_images();
    unsafe extern "C" {
        fn pthread_atfork(
            before: *const c_void,
            parent: *const c_void,
            child: Option<extern "C" fn()>,
        ) -> c_int;
    }
    // SAFETY: the function stays, as the library does.
    unsafe { pthread_atfork(ptr::null(), ptr::null(), Some(super::wipe)) };
    // What the unwinder does at its first use is done now.
    crate::sys::unwind::backtrace(&mut |_| false);
}

/// Keeps the library in the process: what it asks libc to call in the child of a fork cannot be called off, and the key
/// of the TLS word would have to be given back under threads that use it.
fn stay() {
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: `info` is written when the answer is not 0; the name lives as long as the library.
    unsafe {
        if libc::dladdr(stay as *const c_void, info.as_mut_ptr()) != 0 {
            let how = libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
            libc::dlopen(info.assume_init_ref().dli_fname, how);
        }
    }
}

/// In a finaliser: whether the process's exit runs it: nothing else does.
pub(crate) fn is_finalised_by_exit() -> Option<bool> {
    Some(true)
}

/// Has `at_exit` called when the process exits, before any library's finalisers; false if there is no
/// memory.
pub(crate) fn call_at_exit(at_exit: extern "C" fn(*mut c_void)) -> bool {
    unsafe extern "C" {
        fn __cxa_atexit(f: extern "C" fn(*mut c_void), arg: *mut c_void, dso: *const c_void) -> c_int;
        static __dso_handle: c_void;
    }
    // SAFETY: the function stays, as the library does.
    unsafe { __cxa_atexit(at_exit, ptr::null_mut(), &raw const __dso_handle) == 0 }
}
