//! How a call ended that did not return.

use std::borrow::Cow;
use std::ffi::{CStr, c_int, c_void};
use std::fmt;
use std::panic::resume_unwind;
use std::ptr::{self, NonNull};
use std::slice;

use super::api::{RawInfo, api, table};
use super::gate::Payload;

/// Why a call has no value to give.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// It panicked, in Rust or in C, and this is what is known of it.
    Panicked(PanicInfo),
    /// It panicked, and a deferred call of its own recovered.
    Recovered,
    /// [`goexit`](crate::goexit) ended it.
    Canceled,
    /// It has not run; the number is one of the header's, such as `WHARF_STOPPED`.
    Status(i32),
}

impl Error {
    pub(super) fn of_status(status: c_int) -> Error {
        const WHARF_CANCELED: c_int = -4;
        const WHARF_RECOVERED: c_int = -6;
        match status {
            WHARF_RECOVERED => Error::Recovered,
            WHARF_CANCELED => Error::Canceled,
            other => Error::Status(other),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Panicked(info) => info.fmt(f),
            Error::Recovered => f.write_str("the callback panicked, and a deferred call recovered"),
            Error::Canceled => f.write_str("wharf_goexit ended the callback"),
            Error::Status(status) => match table() {
                Ok(api) => {
                    // SAFETY: a static string of the library's.
                    let text = unsafe { CStr::from_ptr((api.strerror)(*status)) };
                    f.write_str(&text.to_string_lossy())
                }
                Err(why) => write!(f, "status {status}; {why}"),
            },
        }
    }
}

impl std::error::Error for Error {}

/// A panic that has ended.
///
/// It prints (`Display`) as a report of wharf's does: message, then the trace with the names of the
/// functions. The modules in the trace must still be loaded to be named.
pub struct PanicInfo {
    raw: NonNull<RawInfo>,
    payload: Option<Payload>,
}

// SAFETY: the library lets any thread look at it and free it; the payload is Send.
unsafe impl Send for PanicInfo {}

impl PanicInfo {
    /// # Safety
    /// `raw` is null, or was given out by the library and belongs to the caller.
    pub(super) unsafe fn new(raw: *mut RawInfo, payload: Option<Payload>) -> Option<PanicInfo> {
        NonNull::new(raw).map(|raw| PanicInfo { raw, payload })
    }

    fn raw(&self) -> &RawInfo {
        // SAFETY: alive until it is dropped.
        unsafe { self.raw.as_ref() }
    }

    /// What `wharf_panic` was given. Of a Rust panic: what it said, and in brackets where; 1023 bytes at most.
    pub fn message(&self) -> Cow<'_, str> {
        message(self.raw())
    }

    /// The messages of those that this one took the place of, in deferred calls; the last one first.
    pub fn earlier(&self) -> impl Iterator<Item = Cow<'_, str>> {
        // SAFETY: null or alive as long as the first is.
        let next = |raw: &RawInfo| unsafe { raw.earlier.as_ref() };
        std::iter::successors(next(self.raw()), move |raw| next(raw)).map(message)
    }

    /// Return addresses, from the panic outward as far as was unwound. Of a Rust panic the first are in
    /// the face and in std.
    pub fn trace(&self) -> &[*const c_void] {
        match self.raw() {
            RawInfo { trace_count: 0, .. } => &[],
            // SAFETY: so many are there.
            raw => unsafe { slice::from_raw_parts(raw.trace, raw.trace_count as usize) },
        }
    }

    /// Whether frames without unwind tables were met: all outward of them were given up at once, and
    /// no destructor of theirs has run.
    pub fn is_cut(&self) -> bool {
        self.raw().cut != 0
    }

    /// The value that was panicked with, if that was in the very closure that `try_call` ran, not in
    /// another callback further in.
    pub fn take_payload(&mut self) -> Option<Payload> {
        self.payload.take()
    }

    /// Goes on panicking, with the same payload, or else with the message.
    pub fn resume(mut self) -> ! {
        let payload = self.take_payload().unwrap_or_else(|| Box::new(self.message().into_owned()));
        drop(self);
        resume_unwind(payload)
    }
}

fn message(raw: &RawInfo) -> Cow<'_, str> {
    // SAFETY: a string that lives as long as the info.
    unsafe { CStr::from_ptr(raw.message) }.to_string_lossy()
}

impl fmt::Display for PanicInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = api().panic_info_format;
        // SAFETY: the info is alive; no room is given.
        let len = unsafe { format(self.raw.as_ptr(), ptr::null_mut(), 0) };
        let mut text = vec![0_u8; len + 1];
        // SAFETY: as many bytes as are said.
        let written = unsafe { format(self.raw.as_ptr(), text.as_mut_ptr().cast(), text.len()) };
        f.write_str(String::from_utf8_lossy(&text[..written.min(len)]).trim_end())
    }
}

impl fmt::Debug for PanicInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PanicInfo")
            .field("message", &self.message())
            .field("frames", &self.trace().len())
            .field("is_cut", &self.is_cut())
            .finish_non_exhaustive()
    }
}

impl Drop for PanicInfo {
    fn drop(&mut self) {
        // SAFETY: ours, and not freed yet.
        unsafe { (api().panic_info_free)(self.raw.as_ptr()) };
    }
}
