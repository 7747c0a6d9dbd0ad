//! Managed stacks: address space in slabs, a guard below each stack, a pool of those not in use.
//!
//! ```text
//!   slab   [ head: bounds, count, one Slot per stack ][ guard | stack 0 ][ guard | stack 1 ] ...
//!                                                             lo .. hi
//! ```
//!
//! A slab is one reservation. A stack is made accessible when it is first taken and pays for pages
//! as it touches them. Slots are numbered and never freed while the runtime runs, only reused, and
//! carry a record `T` of whoever uses the stack: from a stack pointer alone the record is found by
//! arithmetic (`[where]`). Taking and giving take no lock and are fit for signal handlers.

mod kept;
mod slab;

pub(crate) use kept::KeptStack;
pub(crate) use slab::{Geometry, KEPT_BYTES, Slot, Stacks};
