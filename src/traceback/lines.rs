//! Where in the sources a frame stands, by the DWARF of its file, and names as people write them.
//!
//! All of it is done aside (`symbolize`): it allocates, and may be left at any instruction. After it was
//! left once, frames have the names and places that need none of this.

use super::debug;
use super::modules::{MODULES, Maps};
use super::symbols::Name;
use crate::symbolize::{ASIDES, Aside, Call, Source, is_cpp, name};
use crate::sys;

/// How long all look-ups of a trace may take together; the tests' own file is large, and not optimised.
const MAX_NS: i64 = if cfg!(test) { 60_000_000_000 } else { 1_000_000_000 };
const KNOWN: usize = 32;

/// What there is to say about a place beyond its symbol.
#[derive(Clone, Copy, Default)]
pub(super) struct Described {
    /// The symbol as people write it; empty: as it is.
    pub(super) name: &'static [u8],
    /// The innermost function first; the last is the one that was not inlined. Empty: nothing is known.
    pub(super) calls: &'static [Call],
    /// Where the function starts, if DWARF told its name too; else 0.
    pub(super) start: usize,
}

/// What holds a module's DWARF, if anything does.
struct File {
    is_asked: bool,
    content: Option<&'static [u8]>,
    source: Option<&'static mut Source>,
}

impl File {
    const EMPTY: File = File { is_asked: false, content: None, source: None };
}

/// The sources of a trace's files, opened as frames ask for them.
pub(super) struct Lines {
    /// Not the report's: those of other looks. Zero, like all here at first: it costs nothing in the
    /// library's file.
    pub(super) is_spare: bool,
    is_off: bool,
    /// When the time of all look-ups has passed; 0: none was made.
    until_ns: i64,
    files: [File; MODULES],
    known: [(usize, Option<Described>); KNOWN],
}

impl Lines {
    pub(super) const fn new() -> Lines {
        Lines {
            is_spare: false,
            is_off: false,
            until_ns: 0,
            files: [const { File::EMPTY }; MODULES],
            known: [(0, None); KNOWN],
        }
    }

    fn aside(&self) -> &'static Aside {
        &ASIDES[usize::from(self.is_spare)]
    }

    pub(super) fn reset(&mut self) {
        self.files.iter_mut().filter(|file| file.is_asked).for_each(|file| *file = File::EMPTY);
        self.known = [(0, None); KNOWN];
        if self.until_ns != 0 {
            // SAFETY: what was found there has just been forgotten.
            unsafe { self.aside().close() };
        }
        self.is_off = false;
        self.until_ns = 0;
    }

    /// Describes the `place` in a module, where `symbol` is.
    pub(super) fn find(
        &mut self,
        place: usize,
        module: usize,
        symbol: Option<&Name>,
        maps: &mut Maps,
    ) -> Described {
        let slot = (place ^ place >> 6) % KNOWN;
        if let (known, Some(found)) = self.known[slot]
            && known == place
        {
            return found;
        }
        let found = self.look_up(place, module, symbol, maps);
        self.known[slot] = (place, Some(found));
        found
    }

    fn look_up(&mut self, place: usize, module: usize, symbol: Option<&Name>, maps: &mut Maps) -> Described {
        let mut found = Described::default();
        let mangled = symbol.map(|symbol| symbol.text).filter(|text| is_cpp(text));
        let Some(image) = maps.image(module) else { return found };
        let file = &mut self.files[module];
        if !file.is_asked {
            // SAFETY: it stays mapped until `Maps` is reset, and the lines with it.
            let forever = |file: &[u8]| unsafe { core::slice::from_raw_parts(file.as_ptr(), file.len()) };
            *file = File { is_asked: true, content: maps.dwarf_file(module).map(forever), source: None };
        }
        let content = file.content;
        if self.is_off || content.is_none() && mangled.is_none() || !self.open() {
            return found;
        }
        let (aside, until_ns) = (self.aside(), self.until_ns);
        let source = &mut self.files[module].source;
        let at = place.wrapping_sub(image.bias) as u64;
        let wants_name = symbol.is_none();
        let done = aside.run(&mut || {
            if let Some(mangled) = mangled {
                found.name = name(mangled);
            }
            let Some(content) = content else { return };
            let source = source.get_or_insert_with(|| open(content, until_ns));
            if let Some(there) = source.describe(at, wants_name) {
                found.calls = there.calls;
                found.start = there.start.map_or(0, |start| image.bias.wrapping_add(start as usize));
            }
        });
        // What was written before it was left is whole, for it is written last.
        self.is_off = !done;
        if done { found } else { Described::default() }
    }

    fn open(&mut self) -> bool {
        if self.until_ns == 0 {
            self.until_ns = sys::now_ns() + MAX_NS;
            self.is_off = !self.aside().open();
        }
        !self.is_off
    }
}

fn open(file: &'static [u8], until_ns: i64) -> &'static mut Source {
    let sections = debug::sections(file);
    let section = |name: &str| match &sections {
        Some(table) => debug::section_of(table, file, name.as_bytes()),
        None => b"",
    };
    Source::open(&section, until_ns)
}
