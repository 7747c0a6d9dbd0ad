//! What a report needs that a process in trouble may have used up.

/// What the system has as `OPEN_MAX`.
const MOST_FILES: libc::rlim_t = 10240;

const RESOURCES: [libc::c_int; 2] = [libc::RLIMIT_NOFILE, libc::RLIMIT_AS];

/// The limits as they were.
pub(super) struct Limits([libc::rlimit; 2]);

/// Raises the soft limits on descriptors and address space as far as the hard ones allow: a report opens and
/// maps files for its names, and may be wanted because those ran out. `[sig]`
pub(super) fn raise() -> Limits {
    let mut limits = Limits([libc::rlimit { rlim_cur: 0, rlim_max: 0 }; 2]);
    for (resource, before) in RESOURCES.into_iter().zip(&mut limits.0) {
        // SAFETY: reads and writes the limits.
        unsafe {
            libc::getrlimit(resource, before);
            // Of descriptors no process may ask for more than this, however high its hard limit.
            let most = if resource == libc::RLIMIT_NOFILE { MOST_FILES } else { before.rlim_max };
            let raised = before.rlim_max.min(most).max(before.rlim_cur);
            libc::setrlimit(resource, &libc::rlimit { rlim_cur: raised, ..*before });
        }
    }
    limits
}

impl Limits {
    pub(super) fn restore(&self) {
        for (resource, before) in RESOURCES.into_iter().zip(&self.0) {
            // SAFETY: reads the limit.
            unsafe { libc::setrlimit(resource, before) };
        }
    }
}
