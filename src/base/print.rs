//! Text to a descriptor: formatted into a small buffer, no allocation, no lock. `[sig]`

use core::fmt;

/// A buffered writer over `write(2)` that gives up at its deadline.
pub(crate) struct Printer {
    fd: i32,
    deadline_ns: i64,
    failed: bool,
    len: usize,
    buffer: [u8; 1024],
}

impl Printer {
    /// A printer to `fd` that stops trying at `deadline_ns` on the monotonic clock.
    pub(crate) fn new(fd: i32, deadline_ns: i64) -> Printer {
        Printer { fd, deadline_ns, failed: false, len: 0, buffer: [0; 1024] }
    }

    /// Sends what is buffered. Whether everything went out so far.
    pub(crate) fn flush(&mut self) -> bool {
        if !self.failed {
            self.failed = !crate::sys::write_all(self.fd, &self.buffer[..self.len], self.deadline_ns);
        }
        self.len = 0;
        !self.failed
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
