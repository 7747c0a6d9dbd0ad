//! Text to a descriptor or into memory: formatted in a small buffer, no allocation, no lock. `[sig]`

use core::fmt;
use core::ptr;

use crate::sys;

/// A buffered writer.
pub(crate) struct Printer {
    to: To,
    failed: bool,
    len: usize,
    buffer: [u8; 1024],
}

enum To {
    /// Over `write(2)`, until the deadline.
    Descriptor {
        fd: i32,
        deadline_ns: i64,
    },
    /// As much as there is room for; `len` counts all.
    Memory {
        at: *mut u8,
        room: usize,
        len: usize,
    },
    Both(Both),
}

/// A descriptor, and memory for all that is printed: a descriptor that takes nothing holds nobody up, as
/// long as there is room, and gets the rest later.
struct Both {
    fd: i32,
    /// Until when it is waited for at once, and until when when there is no room or nothing more to do.
    soon_ns: i64,
    last_ns: i64,
    at: *mut u8,
    room: usize,
    len: usize,
    sent: usize,
    is_cut: bool,
}

impl Both {
    fn kept(&self) -> &[u8] {
        // SAFETY: written, and within what `to_both` was given.
        unsafe { core::slice::from_raw_parts(self.at, self.len) }
    }

    /// Keeps what there is room for, and sends what it can, if it is to. False when the descriptor will
    /// not get everything.
    fn put(&mut self, bytes: &[u8], send: bool) -> bool {
        let fits = bytes.len().min(self.room - self.len);
        // SAFETY: within what `to_both` was given.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.at.add(self.len), fits) };
        self.len += fits;
        let rest = &bytes[fits..];
        self.is_cut |= !rest.is_empty();
        if rest.is_empty() {
            return send && self.send(self.soon_ns);
        }
        send && self.send(self.last_ns)
            && self.sent == self.len
            && sys::write_all(self.fd, rest, self.last_ns)
    }

    /// Sends what is kept. False when the descriptor takes no more, ever.
    fn send(&mut self, until_ns: i64) -> bool {
        let left = &self.kept()[self.sent..];
        let written = sys::write_most(self.fd, left, until_ns);
        let all = written == left.len();
        self.sent += written;
        all || sys::was_late()
    }
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

    /// A printer to `fd` and to `room` bytes at `at`, which waits for the descriptor until `soon_ns`, and
    /// until `last_ns` where there is no room or nothing more to do.
    ///
    /// # Safety
    /// As [`to_memory`](Printer::to_memory).
    pub(crate) unsafe fn to_both(fd: i32, soon_ns: i64, last_ns: i64, at: *mut u8, room: usize) -> Printer {
        Printer::to(To::Both(Both { fd, soon_ns, last_ns, at, room, len: 0, sent: 0, is_cut: false }))
    }

    /// What was printed so far and is kept in memory, and whether there was room for all.
    pub(crate) fn kept(&self) -> (&[u8], bool) {
        match &self.to {
            To::Both(both) => (both.kept(), !both.is_cut),
            _ => (b"", false),
        }
    }

    /// Waits for a descriptor that took nothing before.
    pub(crate) fn finish(&mut self) {
        self.flush();
        if let To::Both(both) = &mut self.to {
            self.failed = self.failed || !both.send(both.last_ns);
        }
    }

    fn to(to: To) -> Printer {
        Printer { to, failed: false, len: 0, buffer: [0; 1024] }
    }

    /// Sends what is buffered. Whether everything went out so far.
    pub(crate) fn flush(&mut self) -> bool {
        let bytes = &self.buffer[..self.len];
        match &mut self.to {
            To::Descriptor { fd, deadline_ns } => {
                self.failed = self.failed || !sys::write_all(*fd, bytes, *deadline_ns);
            }
            To::Memory { at, room, len } => {
                let fits = bytes.len().min(room.saturating_sub(*len));
                // SAFETY: within what `to_memory` was given.
                unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at.wrapping_add(*len), fits) };
                *len += bytes.len();
            }
            To::Both(both) => self.failed = !both.put(bytes, !self.failed),
        }
        self.len = 0;
        !self.failed
    }

    /// Flushes, and says how many bytes were printed into memory, those without room included.
    pub(crate) fn printed(mut self) -> usize {
        self.flush();
        match self.to {
            To::Memory { len, .. } => len,
            To::Descriptor { .. } | To::Both(_) => 0,
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

    /// Prints a name or a path out of a file: a line stays a line, whatever control characters are in it.
    pub(crate) fn name(&mut self, name: &[u8]) {
        let mut parts = name.split(|byte| byte.is_ascii_control());
        self.bytes(parts.next().unwrap_or_default());
        parts.for_each(|part| {
            self.bytes(b"?");
            self.bytes(part);
        });
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
