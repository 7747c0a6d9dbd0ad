//! What a report needs that a process in trouble may have used up.

use core::ptr;

const RESOURCES: [libc::c_uint; 2] = [libc::RLIMIT_NOFILE as _, libc::RLIMIT_AS as _];

/// The limits as they were.
pub(super) struct Limits([libc::rlimit64; 2]);

/// Raises the soft limits on descriptors and address space as far as the hard ones allow: a report opens and
/// maps files for its names, and may be wanted because those ran out. `[sig]`
pub(super) fn raise() -> Limits {
    let mut limits = Limits([libc::rlimit64 { rlim_cur: 0, rlim_max: 0 }; 2]);
    for (resource, before) in RESOURCES.into_iter().zip(&mut limits.0) {
        change(resource, ptr::null(), before);
        change(resource, &libc::rlimit64 { rlim_cur: before.rlim_max, ..*before }, ptr::null_mut());
    }
    limits
}

impl Limits {
    pub(super) fn restore(&self) {
        for (resource, before) in RESOURCES.into_iter().zip(&self.0) {
            change(resource, before, ptr::null_mut());
        }
    }
}

fn change(resource: libc::c_uint, to: *const libc::rlimit64, from: *mut libc::rlimit64) {
    // SAFETY: each is null or a limit; the raw call reads and writes them.
    unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, to, from) };
}
