//! A Rust panic inside the library itself takes the fatal path too, instead of unwinding into C.

use core::fmt::Write;
use std::panic::{self, PanicHookInfo};

use super::fatal;
use crate::symbolize;

/// The library's hook in its own std, from start to stop.
pub(crate) struct Hook(());

impl Hook {
    pub(crate) fn install() -> Hook {
        // A function's box takes no memory.
        panic::set_hook(Box::new(report));
        Hook(())
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        // Else std would keep a pointer into a library that is unloaded.
        drop(panic::take_hook());
    }
}

fn report(info: &PanicHookInfo<'_>) {
    if symbolize::is_aside() {
        return; // A broken file ends the look into it, and nothing else.
    }
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("?");
    fatal(&|_| {}, &|out| {
        let _ = write!(out, "wharf: internal error: {text}");
        if let Some(at) = info.location() {
            let _ = write!(out, " ({}:{})", at.file(), at.line());
        }
    })
}
