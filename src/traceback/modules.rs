//! Which file holds the code at an address.
//!
//! A file's headers are read when a frame lies in it, and not before: another thread may be
//! unloading some other file.

use super::debug;
use super::image::Image;
use super::mappings::{Mappings, VDSO};
use super::more::More;
use crate::sys::{InFile, MappedFile};
use core::ffi::CStr;

/// How many can be told apart.
pub(super) const MODULES: usize = 64;

/// A file's name and place, once a frame was found in it. An empty one is all zero, so that the
/// table costs nothing in the library's file.
struct Module {
    image: Option<Image>,
    path: u32,
    file: Content,
    /// Whether DWARF is in its file.
    has_dwarf: bool,
    /// The one that its debug information was put into.
    debug: Content,
}

/// The whole of a module's file.
enum Content {
    NotAsked,
    /// It is gone, or tells no more than what is loaded.
    Nothing,
    /// It has symbols, which nobody has asked for.
    Symbols,
    Mapped(MappedFile),
}

/// In a mapping's note: 1 + index of its module, or this.
const NO_MODULE: u8 = u8::MAX;

/// Every file of the process that holds code.
#[repr(C)]
pub(super) struct Maps {
    /// How many of the modules are in use.
    count: usize,
    mappings: Mappings,
    modules: [Module; MODULES],
}

impl Module {
    const EMPTY: Module =
        Module { image: None, path: 0, file: Content::NotAsked, has_dwarf: false, debug: Content::NotAsked };
}

impl Maps {
    pub(super) const fn new() -> Maps {
        Maps { count: 0, mappings: Mappings::new(), modules: [const { Module::EMPTY }; MODULES] }
    }

    /// Forgets everything, mapped files included.
    pub(super) fn reset(&mut self) {
        self.mappings.reset();
        self.modules[..self.count].fill_with(|| Module::EMPTY);
        self.count = 0;
    }

    pub(super) fn is_open(&self) -> bool {
        self.mappings.is_open()
    }

    /// Makes ready to look up what is mapped, if it is not.
    pub(super) fn open(&mut self) {
        if !self.is_open() {
            self.mappings.open();
        }
    }

    /// As where the kernel answers no questions.
    #[cfg(test)]
    pub(super) fn read_all(&mut self) {
        self.open();
        assert!(self.mappings.read_all());
    }

    /// Whether there is code at `addr`, of a file or made at run time.
    pub(super) fn is_code(&mut self, addr: usize) -> bool {
        self.mappings.code_at(addr).is_some()
    }

    /// The instructions from `addr` on, which is where a frame stands.
    pub(super) fn code_from(&mut self, addr: usize) -> Option<&'static [u8]> {
        let at = self.mappings.code_at(addr)?;
        let mapping = self.mappings.get(at);
        // SAFETY: readable as the kernel or the loader says, and nobody unmaps code that is on the stack.
        let code = || unsafe { core::slice::from_raw_parts(addr as *const u8, mapping.hi - addr) };
        mapping.readable.then(code)
    }

    /// The module that holds the code at `addr`.
    pub(super) fn module_of(&mut self, addr: usize) -> Option<usize> {
        let at = self.mappings.code_at(addr)?;
        let mut note = self.mappings.get(at).module;
        if note == 0 {
            let module = self.identify(addr);
            note = module.map_or(NO_MODULE, |module| module as u8 + 1);
            // Others may have been found meanwhile.
            let at = self.mappings.code_at(addr)?;
            self.mappings.get(at).module = note;
        }
        (note != NO_MODULE).then(|| note as usize - 1)
    }

    /// What a module's headers say.
    pub(super) fn image(&self, module: usize) -> Option<Image> {
        self.modules.get(module)?.image
    }

    /// Finds the module that the code at `addr` belongs to, which the mappings down to the file's
    /// head tell, or else the whole list does.
    fn identify(&mut self, addr: usize) -> Option<usize> {
        let at = self.mappings.code_at(addr)?;
        if self.mappings.get(at).path == 0 {
            return None; // Made at run time.
        }
        let (image, path) = match self.image_of(addr) {
            None if self.mappings.read_all() => self.image_of(addr),
            found => found,
        }?;
        self.module_at(image, path)
    }

    /// The header of the same file, at or below the code at `addr`, whose segments say that it is
    /// theirs. (The same file may be loaded twice, side by side.)
    fn image_of(&mut self, addr: usize) -> Option<(Image, u32)> {
        let mut at = self.mappings.code_at(addr)?;
        let code = *self.mappings.get(at);
        let offset = addr - code.lo + code.offset;
        loop {
            let mapping = *self.mappings.get(at);
            if mapping.is_head() {
                // SAFETY: a file's mapping, with code on the stack of the thread that is walked.
                if let Some(image) = unsafe { Image::at(mapping.lo, mapping.hi, addr, offset) } {
                    return Some((image, code.path));
                }
            }
            at = self.mappings.below(at)?;
        }
    }

    /// The module whose header is the image's; a new one, if there is none yet.
    fn module_at(&mut self, mut image: Image, path: u32) -> Option<usize> {
        let is_it = |known: Image| known.head.as_ptr() == image.head.as_ptr();
        let known = &self.modules[..self.count];
        if let Some(at) = known.iter().position(|module| module.image.is_some_and(is_it)) {
            return Some(at);
        }
        let at = self.count;
        *self.modules.get_mut(at)? = Module { image: Some(image), path, ..Module::EMPTY };
        self.count += 1;
        if image.frames.is_none() {
            image.frames = self.file(at).and_then(|file| image.frames_by(file));
            self.modules[at].image = Some(image);
        }
        Some(at)
    }

    /// A module's path as the kernel gives it.
    pub(super) fn module_path(&self, module: usize) -> &[u8] {
        self.modules.get(module).map_or(c"", |module| self.mappings.path(module.path)).to_bytes()
    }

    /// A module's file, all of it, if it has symbols beyond what is loaded.
    pub(super) fn file(&mut self, module: usize) -> Option<&[u8]> {
        self.look_into(module, true)?.file.bytes()
    }

    /// The file with a module's debug information, all of it, if that is not in its own file.
    #[cfg(not(target_vendor = "apple"))]
    pub(super) fn debug_file(&mut self, module: usize) -> Option<&[u8]> {
        self.look_into(module, false)?.debug.bytes()
    }

    /// The file with a module's DWARF, all of it.
    pub(super) fn dwarf_file(&mut self, module: usize) -> Option<&[u8]> {
        let module = self.look_into(module, false)?;
        match module.has_dwarf {
            true => module.file.bytes(),
            false => module.debug.bytes().filter(|file| debug::is_in(file)),
        }
    }

    /// Maps those of a module's files that tell what is wanted: DWARF, and symbols if it `wants_symbols`.
    fn look_into(&mut self, module: usize, wants_symbols: bool) -> Option<&Module> {
        let image = self.image(module)?;
        let path = self.mappings.path(self.modules[module].path);
        let module = &mut self.modules[module];
        let is_new = match module.file {
            Content::NotAsked => path != VDSO,
            Content::Symbols => wants_symbols,
            _ => false,
        };
        if is_new {
            let mut file = open_same(path, &image).or_else(|| open_same(c"/proc/thread-self/exe", &image));
            let more = file.as_mut().and_then(|file| More::of(&image, file)).unwrap_or_default();
            module.has_dwarf = more.dwarf;
            // The frames of a static program, which has no index of them, are found by its sections.
            let is_needed = more.dwarf || wants_symbols && more.symbols || image.frames.is_none();
            let mapped = file.filter(|_| is_needed).and_then(|file| MappedFile::of(&file));
            module.file = match mapped {
                Some(file) => Content::Mapped(file),
                None if more.symbols && !is_needed => Content::Symbols,
                None => Content::Nothing,
            };
            if matches!(module.debug, Content::NotAsked) {
                let found = if more.dwarf { None } else { debug::find(&image, path, more.link.as_ref()) };
                module.debug = found.map_or(Content::Nothing, Content::Mapped);
            }
        }
        Some(module)
    }
}

impl Content {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Content::Mapped(file) => Some(file.bytes()),
            _ => None,
        }
    }
}

/// Opens the file at `path` if it is the one that was loaded: the first bytes hold the headers and,
/// as linkers lay files out, the build id. What was deleted may have been replaced.
fn open_same(path: &CStr, image: &Image) -> Option<InFile> {
    const COMPARED_BYTES: usize = 1024;
    let mut file = InFile::open(path)?;
    let mut start = [0; COMPARED_BYTES];
    let got = file.read_at(0, &mut start);
    let compared = got.min(image.head.len());
    let same = compared > 0 && start[..compared] == image.head[..compared];
    (same && has_build_id(&mut file, image, compared)).then_some(file)
}

/// Whether the file has the image's build id, if there is one and it lies behind what was `compared`.
fn has_build_id(file: &mut InFile, image: &Image, compared: usize) -> bool {
    const LONGEST: usize = 64;
    let Some(id) = image.build_id.filter(|id| id.len() <= LONGEST) else { return true };
    let Some(at) = image.offset_in_file(id.as_ptr() as usize) else { return true };
    let mut there = [0; LONGEST];
    at + id.len() as u64 <= compared as u64
        || file.read_at(at, &mut there[..id.len()]) == id.len() && &there[..id.len()] == id
}
