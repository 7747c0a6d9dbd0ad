//! Linux, glibc or musl.

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
