//! Panics: who raises them, what is deferred, where they end.
//!
//! | File | Holds |
//! |---|---|
//! | `defer` | deferred calls, the end of a scope |
//! | `gopanic` | the way of a panic, `wharf_recover`, `wharf_goexit` |
//! | `fault` | a fault that a try gets |
//! | `reach`, `noexcept` | what is to be known of the frames on that way |
//! | `info` | a panic in progress, and what the host sees of it |
//! | `fatal` | the report and the end of the process |
//! | `hook` | panics of the library itself |

mod defer;
mod fatal;
mod fault;
mod gopanic;
mod hook;
mod info;
mod noexcept;
mod reach;

pub(crate) use defer::{deferproc, finish, has_come_back, unwound};
use fatal::fatal;
pub(crate) use fault::{Fault, Landing, fault};
pub(crate) use gopanic::{goexit, gopanic, gorecover, is_recoverable};
pub(crate) use hook::Hook;
pub(crate) use info::{DEFAULT_TRACE_DEPTH, format, free, set_trace_depth, trace_depth};
pub use info::{WHARF_PANIC_FAULT, WHARF_PANIC_MESSAGE, WHARF_PANIC_OVERFLOW, wharf_panic_info};
