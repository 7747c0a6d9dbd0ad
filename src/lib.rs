//! wharf: the runtime that a C program loads with `dlopen`.
//!
//! The order of the modules is the order of the floors, from the ground up; a file names only rooms
//! below its own. ARCHITECTURE.md is the map.
//!
//! With the feature `plugin`, and without the default ones, it is the face that plugins in Rust are
//! written with, and nothing else: `face`.

#![doc(test(attr(deny(warnings))))]

#[cfg(feature = "runtime")]
mod arch;
#[cfg(feature = "runtime")]
mod sys;

#[cfg(feature = "runtime")]
mod base;
#[cfg(feature = "runtime")]
mod stack;

#[cfg(feature = "runtime")]
mod gmp;

#[cfg(feature = "runtime")]
mod symbolize;
#[cfg(feature = "runtime")]
mod traceback;

#[cfg(feature = "runtime")]
mod report;

#[cfg(feature = "runtime")]
mod panic;

#[cfg(feature = "runtime")]
mod signal;

#[cfg(feature = "runtime")]
mod lifecycle;

#[cfg(feature = "runtime")]
mod callback;
#[cfg(feature = "runtime")]
mod census;

#[cfg(feature = "runtime")]
pub mod ffi;

#[cfg(feature = "plugin")]
pub mod face;
#[cfg(feature = "plugin")]
#[doc(hidden)]
pub use face::enter as __enter;
#[cfg(feature = "plugin")]
#[doc(inline)]
pub use face::{
    Api, Error, NoLibrary, PanicInfo, RawFn, call, defer, find, goexit, init, on_host, raw, recover, try_call,
};

#[cfg(all(feature = "plugin", feature = "runtime"))]
compile_error!("a plugin must not have a runtime inside: it takes wharf with default-features = false");

#[cfg(all(feature = "plugin", not(panic = "unwind")))]
compile_error!("a plugin's panics must unwind: panic = \"unwind\" in its profile");
