//! The shipped list and lock, above this folder's atomics.

#[path = "../../src/base/freelist.rs"]
mod freelist;
#[path = "../../src/base/lock.rs"]
mod lock;
#[path = "../../src/base/status.rs"]
pub(crate) mod status;

pub(crate) mod atomic {
    pub(crate) use crate::atomic::*;
}
pub(crate) use freelist::Freelist;
pub(crate) use lock::{Held, Lock, Refused};
pub(crate) use status::Status;
