//! Which file is mapped where, from `/proc/thread-self/maps`. Not `/proc/self`: that is the main
//! thread, and may have ended.
//!
//! Only what a walk asks for is kept: code, and the mappings that hold an ELF header. The headers
//! themselves are read when a frame lies in their file, and not before: another thread may be
//! unloading some other file.

use super::image::Image;
use crate::sys::{InFile, MappedFile};
use core::ffi::CStr;
use core::ops::Range;

const MAPPINGS: usize = 1024;
const PATH_BYTES: usize = 64 * 1024;
const MODULES: usize = 64;
const BUFFER_BYTES: usize = 8 * 1024;

/// A file's name and place, once a frame was found in it. An empty one is all zero, so that the
/// table costs nothing in the library's file.
struct Module {
    image: Option<Image>,
    path: usize,
    file: Content,
}

/// The whole of a module's file.
enum Content {
    NotAsked,
    Gone,
    Mapped(MappedFile),
}

#[derive(Clone, Copy)]
struct Mapping {
    lo: usize,
    hi: usize,
    /// Where its path starts in `Maps::paths`; 0: none.
    path: u32,
    readable: bool,
    code: bool,
    /// It is readable and starts with the file's first byte.
    head: bool,
    /// 1 + index of its module; 0: not yet asked for.
    module: u8,
}

const VDSO: &CStr = c"[vdso]";
const NO_MODULE: u8 = u8::MAX;

/// Every file of the process that holds code.
pub(super) struct Maps {
    mappings: [Mapping; MAPPINGS],
    count: usize,
    /// Paths, each with its NUL; the first is the empty one.
    paths: [u8; PATH_BYTES],
    paths_len: usize,
    modules: [Module; MODULES],
    buffer: [u8; BUFFER_BYTES],
}

/// The lines of one file, which become final when one of them is code.
struct Group {
    path: usize,
    first: usize,
    has_code: bool,
}

/// A line of `/proc/thread-self/maps`.
pub(super) struct Line {
    pub(super) lo: usize,
    pub(super) hi: usize,
    pub(super) readable: bool,
    pub(super) code: bool,
    pub(super) offset: usize,
    /// Where in the line; without the mark of a deleted file.
    pub(super) path: Range<usize>,
}

impl Module {
    const EMPTY: Module = Module { image: None, path: 0, file: Content::NotAsked };
}

impl Maps {
    pub(super) const fn new() -> Maps {
        let none = Mapping { lo: 0, hi: 0, path: 0, readable: false, code: false, head: false, module: 0 };
        Maps {
            mappings: [none; MAPPINGS],
            count: 0,
            paths: [0; PATH_BYTES],
            paths_len: 0,
            modules: [const { Module::EMPTY }; MODULES],
            buffer: [0; BUFFER_BYTES],
        }
    }

    /// Forgets everything, mapped files included.
    pub(super) fn reset(&mut self) {
        self.count = 0;
        self.paths_len = 0;
        for module in &mut self.modules {
            *module = Module::EMPTY;
        }
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.paths_len != 0
    }

    /// Reads the process's mappings, unless they are known.
    pub(super) fn load(&mut self) {
        if self.is_loaded() {
            return;
        }
        self.paths_len = 1;
        let Some(mut file) = InFile::open(c"/proc/thread-self/maps") else { return };
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
    }

    fn line(&mut self, start: usize, end: usize, group: &mut Group) {
        let Some(line) = Line::parse(&self.buffer[start..end]) else { return };
        let Line { lo, hi, readable, code, .. } = line;
        let path_at = start + line.path.start..start + line.path.end;
        let path = &self.buffer[path_at.clone()];
        if path.first() != Some(&b'/') && path != VDSO.to_bytes() {
            if code {
                // Made at run time; it has no header, and no group.
                self.finish(group);
                *group = Group { path: 0, first: self.count, has_code: true };
                self.push(Mapping { lo, hi, path: 0, readable, code, head: false, module: NO_MODULE });
            }
            return;
        }
        let head = readable && line.offset == 0;
        if group.path == 0 || self.path(group.path).to_bytes() != path {
            self.finish(group);
            *group = Group { path: self.keep_path(path_at), first: self.count, has_code: false };
        }
        if code || head {
            group.has_code |= code;
            let module = if group.path == 0 { NO_MODULE } else { 0 };
            self.push(Mapping { lo, hi, path: group.path as u32, readable, code, head, module });
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
            self.mappings[self.count] = mapping;
            self.count += 1;
        }
    }

    /// Copies a path from the buffer; 0 when there is no room.
    fn keep_path(&mut self, from: Range<usize>) -> usize {
        let (at, end) = (self.paths_len, self.paths_len + from.len());
        if end >= PATH_BYTES {
            return 0;
        }
        self.paths[at..end].copy_from_slice(&self.buffer[from]);
        self.paths[end] = 0;
        self.paths_len = end + 1;
        at
    }

    fn path(&self, at: usize) -> &CStr {
        CStr::from_bytes_until_nul(&self.paths[at..]).unwrap_or_default()
    }

    fn find(&self, addr: usize) -> Option<usize> {
        let after = self.mappings[..self.count].partition_point(|mapping| mapping.lo <= addr);
        let at = after.checked_sub(1)?;
        (self.mappings[at].code && addr < self.mappings[at].hi).then_some(at)
    }

    /// Whether there is code at `addr`, of a file or made at run time.
    pub(super) fn is_code(&self, addr: usize) -> bool {
        self.find(addr).is_some()
    }

    /// The instructions from `addr` on, which is where a frame stands.
    pub(super) fn code_from(&self, addr: usize) -> Option<&'static [u8]> {
        let mapping = &self.mappings[self.find(addr)?];
        // SAFETY: readable as the kernel says, and nobody unmaps code that is on the stack.
        let code = || unsafe { core::slice::from_raw_parts(addr as *const u8, mapping.hi - addr) };
        mapping.readable.then(code)
    }

    /// The module that holds the code at `addr`.
    pub(super) fn module_of(&mut self, addr: usize) -> Option<usize> {
        let at = self.find(addr)?;
        if self.mappings[at].module == 0 {
            self.mappings[at].module = self.identify(at, addr).map_or(NO_MODULE, |index| index as u8 + 1);
        }
        match self.mappings[at].module {
            NO_MODULE => None,
            module => Some(module as usize - 1),
        }
    }

    /// What a module's headers say.
    pub(super) fn image(&self, module: usize) -> Option<Image> {
        self.modules.get(module)?.image
    }

    /// Finds the header that the code at `addr` belongs to: one of the same file, at or below it,
    /// whose segments say so. (The same file may be loaded twice, side by side.)
    fn identify(&mut self, at: usize, addr: usize) -> Option<usize> {
        let path = self.mappings[at].path;
        for i in (0..=at).rev().take_while(|&i| self.mappings[i].path == path) {
            let Mapping { lo, hi, head, module, .. } = self.mappings[i];
            if !head {
                continue;
            }
            // SAFETY: a file's mapping, with code on the stack of the thread that is being walked.
            let Some(mut image) = (unsafe { Image::at(lo, hi, addr) }) else { continue };
            if module != 0 {
                return (module != NO_MODULE).then(|| module as usize - 1);
            }
            let free = self.modules.iter().position(|module| module.image.is_none())?;
            self.modules[free] = Module { image: Some(image), path: path as usize, file: Content::NotAsked };
            self.mappings[i].module = free as u8 + 1;
            if image.frames.is_none() {
                image.frames = self.file(free).and_then(|file| image.frames_by(file));
                self.modules[free].image = Some(image);
            }
            return Some(free);
        }
        None
    }

    /// A module's path as the kernel gives it.
    pub(super) fn module_path(&self, module: usize) -> &[u8] {
        self.modules.get(module).map_or(c"", |module| self.path(module.path)).to_bytes()
    }

    /// A module's file, all of it: section headers and most symbols are not loaded.
    pub(super) fn file(&mut self, module: usize) -> Option<&[u8]> {
        let head = self.image(module)?.head;
        let path = self.path(self.modules[module].path);
        if path == VDSO {
            return None;
        }
        if matches!(self.modules[module].file, Content::NotAsked) {
            let file = open_same(path, head).or_else(|| open_same(c"/proc/thread-self/exe", head));
            self.modules[module].file = file.map_or(Content::Gone, Content::Mapped);
        }
        match &self.modules[module].file {
            Content::Mapped(file) => Some(file.bytes()),
            _ => None,
        }
    }
}

/// Maps the file at `path` if it is the one that was loaded: the first bytes hold the headers and,
/// as linkers lay files out, the build id. What was deleted may have been replaced.
fn open_same(path: &CStr, head: &[u8]) -> Option<MappedFile> {
    const COMPARED_BYTES: usize = 1024;
    let file = MappedFile::open(path)?;
    let compared = COMPARED_BYTES.min(head.len()).min(file.bytes().len());
    (file.bytes()[..compared] == head[..compared]).then_some(file)
}

impl Line {
    /// `55d0c6a3b000-55d0c6a3c000 r-xp 00001000 fe:01 1234     /usr/bin/host (deleted)`
    pub(super) fn parse(line: &[u8]) -> Option<Line> {
        let (lo, rest) = hex(line);
        let (hi, rest) = hex(rest.strip_prefix(b"-")?);
        let (access, rest) = rest.strip_prefix(b" ")?.split_at_checked(5)?;
        let (offset, rest) = hex(rest);
        // Neither the device nor the inode has these.
        let is_path = |byte: &u8| matches!(byte, b'/' | b'[');
        let path = rest.iter().position(is_path).map_or(&rest[..0], |at| &rest[at..]);
        let start = if path.is_empty() { 0 } else { line.len() - path.len() };
        let end = start + path.strip_suffix(b" (deleted)").unwrap_or(path).len();
        Some(Line { lo, hi, readable: access[0] == b'r', code: access[2] == b'x', offset, path: start..end })
    }
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
