//! Text to a descriptor or into memory: formatted in a small buffer, no allocation, no lock. `[sig]`

use core::fmt;
use core::ptr;

/// A buffered writer.
pub(crate) struct Printer {
    to: To,
    failed: bool,
    len: usize,
    buffer: [u8; 1024],
}

enum To {
    /// Over `write(2)`, until the deadline.
    Descriptor { fd: i32, deadline_ns: i64 },
    /// As much as there is room for; `len` counts all.
    Memory { at: *mut u8, room: usize, len: usize },
}

impl Printer {
    /// A printer to `fd` that stops trying at `deadline_ns` on the monotonic clock.
    pub(crate) fn new(fd: i32, deadline_ns: i64) -> Printer {
        Printer::to(To::Descriptor { fd, deadline_ns })
    }

    /// A printer to `room` bytes at `at`.
    ///
    /// # Safety
    /// They are writable, and nobody else's until it is dropped.
    pub(crate) unsafe fn to_memory(at: *mut u8, room: usize) -> Printer {
        Printer::to(To::Memory { at, room, len: 0 })
    }

    fn to(to: To) -> Printer {
        Printer { to, failed: false, len: 0, buffer: [0; 1024] }
    }

    /// Sends what is buffered. Whether everything went out so far.
    pub(crate) fn flush(&mut self) -> bool {
        let bytes = &self.buffer[..self.len];
        match &mut self.to {
            To::Descriptor { fd, deadline_ns } => {
                self.failed = self.failed || !crate::sys::write_all(*fd, bytes, *deadline_ns);
            }
            To::Memory { at, room, len } => {
                let fits = bytes.len().min(room.saturating_sub(*len));
                // SAFETY: within what `to_memory` was given.
                unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at.wrapping_add(*len), fits) };
                *len += bytes.len();
            }
        }
        self.len = 0;
        !self.failed
    }

    /// Flushes, and says how many bytes were printed into memory, those without room included.
    pub(crate) fn printed(mut self) -> usize {
        self.flush();
        match self.to {
            To::Memory { len, .. } => len,
            To::Descriptor { .. } => 0,
        }
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let n = bytes.len().min(self.buffer.len() - self.len);
            self.buffer[self.len..self.len + n].copy_from_slice(&bytes[..n]);
            self.len += n;
            bytes = &bytes[n..];
            if self.len == self.buffer.len() {
                self.flush();
            }
        }
    }

    /// Prints text of the host's: line breaks get a tab, as Go prints a panic's message.
    pub(crate) fn indented(&mut self, text: &[u8]) {
        for (n, line) in text.split(|&byte| byte == b'\n').enumerate() {
            if n > 0 {
                self.bytes(b"\n\t");
            }
            self.bytes(line);
        }
    }
}

impl fmt::Write for Printer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}
