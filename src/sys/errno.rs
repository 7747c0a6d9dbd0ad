//! errno over what is done beside the host's own doing; where it is, the system's `thread` says.

use super::{errno, set_errno};

/// Keeps the host's errno over what happens inside. `[sig]`
pub(crate) struct ErrnoGuard(i32);

impl ErrnoGuard {
    pub(crate) fn new() -> ErrnoGuard {
        ErrnoGuard(errno())
    }
}

impl Drop for ErrnoGuard {
    fn drop(&mut self) {
        set_errno(self.0);
    }
}
