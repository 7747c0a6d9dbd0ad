//! What is mapped where. The kernel is asked about one address after the other; where it gives no
//! answer, or its answers do not lead to a file's header, its whole list is read; where it cannot be asked,
//! the loader is.
//!
//! What is known is kept in order of addresses: what was asked for, or of the whole list the code
//! and the mappings that hold an ELF header.

use crate::sys::{self, Asked, Maps};
use core::ffi::CStr;
use core::ops::Range;

const MAPPINGS: usize = 1024;
const PATH_BYTES: usize = 64 * 1024;
/// No shorter than a path may be.
const BUFFER_BYTES: usize = 8 * 1024;

/// The path of the code that the kernel brings.
pub(super) const VDSO: &CStr = c"[vdso]";

#[derive(Clone, Copy)]
pub(super) struct Mapping {
    pub(super) lo: usize,
    pub(super) hi: usize,
    /// Of its first byte in the file.
    pub(super) offset: usize,
    /// Where the path starts in `Mappings::paths`; 0: it is no file's.
    pub(super) path: u32,
    pub(super) readable: bool,
    pub(super) code: bool,
    /// What the modules keep here; 0 at first.
    pub(super) module: u8,
}

impl Mapping {
    const NONE: Mapping =
        Mapping { lo: 0, hi: 0, offset: 0, path: 0, readable: false, code: false, module: 0 };

    /// Whether it starts with its file's first byte.
    pub(super) fn is_head(&self) -> bool {
        self.path != 0 && self.readable && self.offset == 0
    }
}

#[repr(C)]
pub(super) struct Mappings {
    /// Where to ask, until the whole list is known.
    asked: Maps,
    count: usize,
    paths_len: usize,
    known: [Mapping; MAPPINGS],
    /// Paths, each with its NUL; the first is the empty one.
    paths: [u8; PATH_BYTES],
    buffer: [u8; BUFFER_BYTES],
}

/// The lines of one file, which become final when one of them is code.
struct Group {
    path: usize,
    first: usize,
    has_code: bool,
}

impl Mappings {
    pub(super) const fn new() -> Mappings {
        Mappings {
            known: [Mapping::NONE; MAPPINGS],
            count: 0,
            paths: [0; PATH_BYTES],
            paths_len: 0,
            buffer: [0; BUFFER_BYTES],
            asked: Maps::Nobody,
        }
    }

    pub(super) fn open(&mut self) {
        self.paths_len = 1;
        self.asked = Maps::open();
    }

    pub(super) fn is_open(&self) -> bool {
        self.paths_len != 0
    }

    /// Forgets everything.
    pub(super) fn reset(&mut self) {
        self.count = 0;
        self.paths_len = 0;
        self.asked = Maps::Nobody;
    }

    /// The code at `addr`, of a file or made at run time. The index holds until the next question.
    pub(super) fn code_at(&mut self, addr: usize) -> Option<usize> {
        let at = self.find(addr).or_else(|| self.ask(addr))?;
        self.known[at].code.then_some(at)
    }

    /// The next mapping of the same file below `at`. Until the whole list is known, only one that
    /// touches it.
    pub(super) fn below(&mut self, at: usize) -> Option<usize> {
        let Mapping { lo, path, .. } = self.known[at];
        let below = match &self.asked {
            Maps::Nobody => at.checked_sub(1),
            _ => self.find(lo.wrapping_sub(1)).or_else(|| self.ask(lo.wrapping_sub(1))),
        };
        below.filter(|&below| self.known[below].path == path)
    }

    pub(super) fn get(&mut self, at: usize) -> &mut Mapping {
        &mut self.known[at]
    }

    pub(super) fn path(&self, at: u32) -> &CStr {
        CStr::from_bytes_until_nul(&self.paths[at as usize..]).unwrap_or_default()
    }

    fn find(&self, addr: usize) -> Option<usize> {
        let at = self.after(addr).checked_sub(1)?;
        (addr < self.known[at].hi).then_some(at)
    }

    /// How many mappings start at or below `addr`.
    fn after(&self, addr: usize) -> usize {
        self.known[..self.count].partition_point(|mapping| mapping.lo <= addr)
    }

    /// Asks what is mapped at `addr`.
    fn ask(&mut self, addr: usize) -> Option<usize> {
        // Where paths are kept: no other page need be touched for it.
        match self.asked.ask(addr, &mut self.paths[self.paths_len..]) {
            Asked::Mapped(found) => self.learn(&found),
            Asked::Nothing => None,
            Asked::Refused => {
                self.read_all();
                self.find(addr)
            }
        }
    }

    /// Keeps an answer whose path is behind those that are known.
    fn learn(&mut self, found: &sys::Mapping) -> Option<usize> {
        let at = self.after(found.lo);
        if self.count == MAPPINGS {
            return None;
        }
        let (known, new) = self.paths.split_at(self.paths_len);
        let new = &new[file_path(new, &found.path)];
        // Questions go downward in a file.
        let above = if at < self.count { self.known[at].path } else { 0 };
        let path = match known[above as usize..].strip_prefix(new) {
            Some([0, ..]) => above,
            _ if new.is_empty() => 0,
            _ => {
                let path = self.paths_len;
                self.paths_len += new.len() + 1;
                self.paths[self.paths_len - 1] = 0;
                path as u32
            }
        };
        self.known.copy_within(at..self.count, at + 1);
        self.count += 1;
        let &sys::Mapping { lo, hi, offset, readable, code, .. } = found;
        self.known[at] = Mapping { lo, hi, offset, path, readable, code, module: 0 };
        Some(at)
    }

    /// Reads the whole list in place of what was asked for; paths stay. Whether this is news.
    pub(super) fn read_all(&mut self) -> bool {
        let mut file = match core::mem::replace(&mut self.asked, Maps::Nobody) {
            Maps::Kernel(file) => file,
            other => {
                self.asked = other;
                return false;
            }
        };
        self.count = 0;
        let mut group = Group { path: 0, first: 0, has_code: true };
        let mut kept = 0;
        loop {
            let got = file.read(&mut self.buffer[kept..]);
            if got == 0 {
                break;
            }
            let end = kept + got;
            let mut start = 0;
            while let Some(len) = self.buffer[start..end].iter().position(|&byte| byte == b'\n') {
                self.line(start, start + len, &mut group);
                start += len + 1;
            }
            // A line that fills the whole buffer is none of ours.
            kept = if start == 0 && end == BUFFER_BYTES { 0 } else { end - start };
            self.buffer.copy_within(end - kept..end, 0);
        }
        self.finish(&group);
        true
    }

    fn line(&mut self, start: usize, end: usize, group: &mut Group) {
        let Some(line) = parse(&self.buffer[start..end]) else { return };
        let sys::Mapping { lo, hi, offset, readable, code, path } = line;
        let path = file_path(&self.buffer, &(start + path.start..start + path.end));
        let mut mapping = Mapping { lo, hi, offset, path: 0, readable, code, module: 0 };
        if path.is_empty() {
            if code {
                // Made at run time; it has no header, and no group.
                self.finish(group);
                *group = Group { path: 0, first: self.count, has_code: true };
                self.push(mapping);
            }
            return;
        }
        if group.path == 0 || self.path(group.path as u32).to_bytes() != &self.buffer[path.clone()] {
            self.finish(group);
            *group = Group { path: self.keep_path(path), first: self.count, has_code: false };
        }
        mapping.path = group.path as u32;
        if code || mapping.is_head() {
            group.has_code |= code;
            self.push(mapping);
        }
    }

    /// Drops what a group brought when it turned out to hold no code.
    fn finish(&mut self, group: &Group) {
        if !group.has_code {
            self.count = group.first;
            self.paths_len = if group.path == 0 { self.paths_len } else { group.path };
        }
    }

    fn push(&mut self, mapping: Mapping) {
        if self.count < MAPPINGS {
            self.known[self.count] = mapping;
            self.count += 1;
        }
    }

    /// Copies a path from the buffer; 0 when it is empty, or there is no room.
    fn keep_path(&mut self, from: Range<usize>) -> usize {
        let (at, end) = (self.paths_len, self.paths_len + from.len());
        if from.is_empty() || end >= PATH_BYTES {
            return 0;
        }
        self.paths[at..end].copy_from_slice(&self.buffer[from]);
        self.paths[end] = 0;
        self.paths_len = end + 1;
        at
    }
}

/// What of the path at `path` in `text` is a file's or the vDSO's: without the mark of a deleted
/// file; nothing, if it is another name.
pub(super) fn file_path(text: &[u8], path: &Range<usize>) -> Range<usize> {
    let text = &text[path.clone()];
    let text = text.strip_suffix(b" (deleted)").unwrap_or(text);
    let is_file = text.first() == Some(&b'/') || text == VDSO.to_bytes();
    path.start..path.start + if is_file { text.len() } else { 0 }
}

/// Takes a line of the list apart:
/// `55d0c6a3b000-55d0c6a3c000 r-xp 00001000 fe:01 1234     /usr/bin/host (deleted)`
pub(super) fn parse(line: &[u8]) -> Option<sys::Mapping> {
    let (lo, rest) = hex(line);
    let (hi, rest) = hex(rest.strip_prefix(b"-")?);
    let (access, rest) = rest.strip_prefix(b" ")?.split_at_checked(5)?;
    let (offset, rest) = hex(rest);
    // Neither the device nor the inode has these.
    let is_path = |byte: &u8| matches!(byte, b'/' | b'[');
    let path = rest.iter().position(is_path).map_or(0, |at| rest.len() - at);
    let path = line.len() - path..line.len();
    Some(sys::Mapping { lo, hi, offset, readable: access[0] == b'r', code: access[2] == b'x', path })
}

/// A number at the front of `text`, and what follows it.
fn hex(text: &[u8]) -> (usize, &[u8]) {
    let mut value = 0;
    for (i, &byte) in text.iter().enumerate() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return (value, &text[i..]),
        };
        value = value << 4 | usize::from(digit);
    }
    (value, &[])
}
