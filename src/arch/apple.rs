//! The TLS word on Apple's systems: the slot of a key of pthread's. It is in every thread from its start to its last
//! destructor, is 0 at first, and no access to it allocates. A thread-local of Mach-O's is made by `malloc` at its
//! first touch, and may be gone before a thread's end is told.
//!
//! The library is never unloaded there, and so the key is never given back.

use core::ffi::{c_int, c_ulong, c_void};
use core::sync::atomic::{AtomicUsize, Ordering};

unsafe extern "C" {
    fn pthread_key_create(key: *mut c_ulong, destructor: *const c_void) -> c_int;
    fn abort() -> !;
}

/// The slot's offset from the thread pointer. Relaxed: written as we are loaded, before anybody can call.
static OFFSET: AtomicUsize = AtomicUsize::new(0);

/// Gets the slot, once, as the library is loaded. Without one nobody could tell threads apart: the process ends.
pub(crate) fn tls_settle() {
    if OFFSET.load(Ordering::Relaxed) != 0 {
        return;
    }
    let mut key = 0;
    // SAFETY: writes the key, which has no destructor.
    unsafe {
        if pthread_key_create(&mut key, core::ptr::null()) != 0 {
            abort();
        }
    }
    // As compilers and other runtimes have it, the slots are an array at the thread pointer, by the key's number.
    OFFSET.store(key as usize * size_of::<usize>(), Ordering::Relaxed);
}

/// The thread's TLS word, read anew each time: a volatile statement, so that no compiler keeps the
/// value over a switch. `[sig]`
#[inline(always)]
pub(crate) fn tls_word() -> usize {
    tls_word_quickly()
}

/// As [`tls_word`], which is one load everywhere.
#[inline(always)]
pub(crate) fn tls_word_quickly() -> usize {
    let offset = OFFSET.load(Ordering::Relaxed);
    #[cfg(target_arch = "x86_64")]
    return super::cpu::tls_load(offset);
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a word of this thread; volatile, for the compiler knows of no switch.
    return unsafe { ((thread_pointer() + offset) as *const usize).read_volatile() };
}

/// The address of the thread's TLS word, valid until the thread ends.
///
/// # Safety
/// None; as on other systems.
pub(crate) unsafe fn tls_word_addr() -> *mut usize {
    (thread_pointer() + OFFSET.load(Ordering::Relaxed)) as *mut usize
}

/// Where the slots begin. The first one holds the address of the thread's block, in which they lie at a distance that
/// is part of the system's ABI.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn thread_pointer() -> usize {
    const SLOTS_IN_BLOCK: usize = 224;
    super::cpu::tls_load(0) + SLOTS_IN_BLOCK
}

/// Where the slots begin. The lowest bits may hold the processor's number.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mrs {}, tpidrro_el0", out(reg) pointer, options(nomem, nostack, preserves_flags))
    };
    pointer & !7
}
