//! Panics. In this version nobody recovers: a panic is reported and the process dies of SIGABRT,
//! with every frame in place for the core file.

mod fatal;
mod hook;

pub(crate) use fatal::fatal;
pub(crate) use hook::Hook;
