//! macOS 11 and later. What Linux's file of the same name promises holds here too, but for what is told otherwise.
//!
//! Type-checked and linked, never run. What is private to the system's own libraries and used here all the same, since
//! nothing public does it: `__ulock_wait`, `__ulock_wake`, the functions without cancellation, `__pthread_kill`,
//! `PROC_PIDTHREADID64INFO`.

mod context;
mod environment;
mod io;
mod limits;
mod loader;
mod maps;
mod memory;
mod process;
mod signals;
mod thread;
mod time;
#[path = "../linux/trap.rs"]
mod trap;

pub(crate) use context::*;
pub(crate) use environment::*;
pub(crate) use io::*;
pub(crate) use loader::*;
pub(crate) use maps::*;
pub(crate) use memory::*;
pub(crate) use process::*;
pub(crate) use signals::*;
pub(crate) use thread::*;
pub(crate) use time::*;
pub(crate) use trap::*;
