//! Functions of a sanitizer's that the process may have: weak symbols, null where there is none.

/// What AddressSanitizer keeps beside a stack; 0 is nothing.
pub(crate) type Beside = usize;

/// They take note of what they are told, no more: all are safe to call.
#[repr(C)]
pub(crate) struct Hooks {
    /// AddressSanitizer: the thread is about to go to another stack, by its lowest address and its bytes. What
    /// is kept beside the one that it leaves goes to `beside`, or if that is null is dropped.
    pub(crate) start_switch: Option<extern "C" fn(beside: Option<&mut Beside>, low: usize, bytes: usize)>,
    /// It has gone there, where `beside` was kept. Gives the bounds of the stack that was left.
    pub(crate) finish_switch: Option<extern "C" fn(beside: Beside, low: &mut usize, bytes: &mut usize)>,
    /// All of this may be accessed.
    pub(crate) unpoison: Option<extern "C" fn(from: usize, bytes: usize)>,
    /// ThreadSanitizer: what others did before they released this is done before what we do now.
    pub(crate) acquire: Option<extern "C" fn(of: usize)>,
    pub(crate) release: Option<extern "C" fn(of: usize)>,
}

#[cfg(not(target_vendor = "apple"))]
core::arch::global_asm!(
    ".weak __sanitizer_start_switch_fiber",
    ".weak __sanitizer_finish_switch_fiber",
    ".weak __asan_unpoison_memory_region",
    ".weak __tsan_acquire",
    ".weak __tsan_release",
    ".pushsection .data.rel.ro.wharf_hooks,\"aw\"",
    ".balign 8",
    ".type __wharf_hooks,%object",
    "__wharf_hooks:",
    ".dc.a __sanitizer_start_switch_fiber",
    ".dc.a __sanitizer_finish_switch_fiber",
    ".dc.a __asan_unpoison_memory_region",
    ".dc.a __tsan_acquire",
    ".dc.a __tsan_release",
    ".size __wharf_hooks, .-__wharf_hooks",
    ".popsection",
);

/// Mach-O has no word for a function that may be in no library at all: there no sanitizer is told anything.
#[cfg(target_vendor = "apple")]
pub(crate) fn hooks() -> &'static Hooks {
    &Hooks { start_switch: None, finish_switch: None, unpoison: None, acquire: None, release: None }
}

#[cfg(not(target_vendor = "apple"))]
pub(crate) fn hooks() -> &'static Hooks {
    unsafe extern "C" {
        #[link_name = "__wharf_hooks"]
        static HOOKS: Hooks;
    }
    // SAFETY: written by the loader, and never again.
    unsafe { &HOOKS }
}
