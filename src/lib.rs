//! wharf: the runtime that a C program loads with `dlopen`.
//!
//! The order of the modules is the order of the floors, from the ground up; a file names only rooms
//! below its own. ARCHITECTURE.md is the map.

#![doc(test(attr(deny(warnings))))]

mod arch;
mod sys;

mod base;
mod stack;

mod gmp;

mod traceback;

mod report;

mod panic;

mod signal;

mod lifecycle;

mod callback;
mod census;

pub mod ffi;
