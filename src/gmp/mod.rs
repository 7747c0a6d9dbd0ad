//! G and M, as in Go: a G is a task with a stack of its own, an M is a thread's tie to wharf.
//!
//! * [`G`]: the record on a stack's slot. `host.sp` is the host's side of it (`g0.sched.sp`): where
//!   on the host's stack the thread stood when it switched over, 0 when nothing runs on the stack.
//! * [`M`]: one per host thread that has called in, in a table that outlives everything else. It
//!   stays with its thread until the thread ends or detaches, over stops and starts.
//!
//! Every call from a host stack has a G of its own, so there is nothing to guess about which stack
//! a call came from: fibers, handlers on alternate stacks and nested calls may end in any order
//! (`[record]`).

mod extra;
mod g;
mod gate;
mod m;
mod owner;
mod record;
mod scope;
mod switch;
mod table;

pub(crate) use extra::*;
pub(crate) use g::*;
pub(crate) use gate::{CLOSED, CLOSING, OPEN};
pub(crate) use m::*;
pub(crate) use record::*;
pub(crate) use scope::*;
pub(crate) use switch::*;
pub(crate) use table::{MAX_THREADS, table_abandon, table_bytes};
