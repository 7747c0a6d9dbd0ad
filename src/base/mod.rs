//! What every room above uses: atomics' door, the lock-free list, the start/stop lock, the printer,
//! words that are read whole.

mod freelist;
mod lock;
mod print;
mod snapshot;
pub mod status;

pub(crate) mod atomic;
pub(crate) use freelist::Freelist;
pub(crate) use lock::{Held, Lock, Refused};
pub(crate) use print::Printer;
pub(crate) use snapshot::Snapshot;
pub(crate) use status::Status;
