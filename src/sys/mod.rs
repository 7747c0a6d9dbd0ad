//! The one door to the operating system: every libc call is here, and no policy.
//!
//! A function that may run in a signal handler says `[sig]`. Functions that fail leave errno as the
//! system set it; [`ErrnoGuard`] keeps the host's.

pub(crate) mod unwind;

mod errno;
mod files;
pub(crate) use errno::*;
pub(crate) use files::*;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub(crate) use macos::*;
