//! The library as the loader sees it.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;

/// A `dlopen` reference of the library on itself.
pub(crate) struct SelfReference(*mut c_void);

// SAFETY: a loader's handle may be used from any thread.
unsafe impl Send for SelfReference {}

/// Takes a reference on the object that holds `symbol`. `None` where there is nothing to refer to:
/// wharf is part of the program itself.
pub(crate) fn self_reference(symbol: *const c_void) -> Option<SelfReference> {
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: `info` is written when the answer is not 0; the name lives as long as the object.
    let handle = unsafe {
        if libc::dladdr(symbol, info.as_mut_ptr()) == 0 {
            return None;
        }
        libc::dlopen(info.assume_init_ref().dli_fname, libc::RTLD_NOW | libc::RTLD_NOLOAD)
    };
    (!handle.is_null()).then_some(SelfReference(handle))
}

impl SelfReference {
    pub(crate) fn release(self) {
        // SAFETY: the handle came from dlopen and is given back once.
        unsafe { libc::dlclose(self.0) };
    }
}

/// Whether the host's libc is ours too: not in a namespace of its own (`dlmopen`), not below a
/// static program that brought its own.
pub(crate) fn shares_host_libc() -> bool {
    // A program without an interpreter is static. (One started as `ld.so program` looks the same.)
    // SAFETY: reads the auxiliary vector.
    let interpreter = unsafe { libc::getauxval(libc::AT_BASE) };
    interpreter != 0 && in_base_namespace()
}

#[cfg(target_env = "gnu")]
fn in_base_namespace() -> bool {
    const RTLD_DI_LMID: libc::c_int = 1;
    const LM_ID_BASE: libc::c_long = 0;
    unsafe extern "C" {
        fn dlinfo(handle: *mut c_void, request: libc::c_int, info: *mut c_void) -> libc::c_int;
    }
    let this = in_base_namespace as *const c_void;
    // The object that holds this function or, where that is the program itself, the program.
    let handle = self_reference(this).map_or_else(
        // SAFETY: null asks for the program.
        || SelfReference(unsafe { libc::dlopen(ptr::null(), libc::RTLD_NOW) }),
        |own| own,
    );
    let mut id: libc::c_long = -1;
    // SAFETY: `id` has the type that this request writes.
    let status = unsafe { dlinfo(handle.0, RTLD_DI_LMID, (&raw mut id).cast()) };
    handle.release();
    status == 0 && id == LM_ID_BASE
}

/// musl has no namespaces.
#[cfg(target_env = "musl")]
fn in_base_namespace() -> bool {
    true
}
