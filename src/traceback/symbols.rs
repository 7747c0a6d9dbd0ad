//! The name of the function that a code address lies in.

use super::image::{ENDIAN, Elf, Exported, Sym};
use super::modules::Maps;
use crate::arch::strip;
use object::elf;
use object::read::elf::{FileHeader, SectionHeader, SectionTable, Sym as _};

/// A function's name and its first instruction.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub(super) start: usize,
    pub(super) text: &'static [u8],
}

#[derive(Clone, Copy)]
struct Known {
    addr: usize,
    name: Option<Name>,
}

const KNOWN: usize = 32;

/// Names that were looked up: a deep recursion asks for the same few again and again.
pub(super) struct Names {
    known: [Known; KNOWN],
}

impl Names {
    pub(super) const fn new() -> Names {
        Names { known: [Known { addr: 0, name: None }; KNOWN] }
    }

    pub(super) fn reset(&mut self) {
        *self = Names::new();
    }

    /// The function at `addr`, which lies in the module.
    pub(super) fn find(&mut self, addr: usize, module: usize, maps: &mut Maps) -> Option<Name> {
        let slot = (addr ^ addr >> 6) % KNOWN;
        if self.known[slot].addr != addr {
            self.known[slot] = Known { addr, name: look_up(addr, module, maps) };
        }
        self.known[slot].name
    }
}

/// The name of the exported function at `addr`.
pub(super) fn exported(addr: usize, module: usize, maps: &Maps) -> Option<&'static [u8]> {
    let image = maps.image(module)?;
    Some(in_memory(image.exported?, addr.wrapping_sub(image.bias))?.text)
}

/// Looks among what the module exports, which is in memory, then in its files.
fn look_up(addr: usize, module: usize, maps: &mut Maps) -> Option<Name> {
    let image = maps.image(module)?;
    let offset = addr.wrapping_sub(image.bias);
    let found = image
        .exported
        .and_then(|exported| in_memory(exported, offset))
        .or_else(|| in_file(maps.file(module)?, offset))
        // What it was stripped into.
        .or_else(|| in_file(maps.debug_file(module)?, offset))?;
    Some(Name { start: image.bias.wrapping_add(found.start), ..found })
}

/// As from the module's start, as all below.
fn in_memory(exported: Exported, offset: usize) -> Option<Name> {
    let symbol = search(exported.symbols, None, offset)?;
    let name = exported.strings.get(symbol.st_name(ENDIAN) as usize..)?;
    let text = name.split(|&byte| byte == 0).next().filter(|text| !text.is_empty())?;
    Some(Name { start: start_of(symbol), text })
}

fn in_file(file: &[u8], offset: usize) -> Option<Name> {
    let sections = Elf::parse(file).ok()?.sections(ENDIAN, file).ok()?;
    let table = sections.symbols(ENDIAN, file, elf::SHT_SYMTAB).ok()?;
    let symbol = search(table.symbols(), Some(&sections), offset)?;
    let text = table.symbol_name(ENDIAN, symbol).ok().filter(|text| !text.is_empty())?;
    // SAFETY: the file stays mapped until `Maps` is reset, and with it the names.
    let text = unsafe { core::slice::from_raw_parts(text.as_ptr(), text.len()) };
    Some(Name { start: start_of(symbol), text })
}

/// The innermost function that spans `offset`; else the label before it, if no function lies
/// between: assembly often has no sizes.
fn search<'a>(
    symbols: &'a [Sym],
    sections: Option<&SectionTable<'_, Elf>>,
    offset: usize,
) -> Option<&'a Sym> {
    let mut around: Option<&Sym> = None;
    let mut before: Option<&Sym> = None;
    let mut nearest = 0;
    for symbol in symbols {
        // Quickly: a large program has a million of them, in any order. Both are seldom true, and foreseen; whether
        // one lies below the place is not.
        let start = start_of(symbol);
        let spans = offset.wrapping_sub(start) < symbol.st_size(ENDIAN) as usize;
        let is_nearer = start.wrapping_sub(nearest).wrapping_sub(1) < offset - nearest;
        if !(spans | is_nearer) || !is_function(symbol) {
            continue;
        }
        if is_nearer {
            nearest = start;
            before = Some(symbol);
        }
        if spans && around.is_none_or(|found| rank(found) < rank(symbol)) {
            around = Some(symbol);
        }
    }
    around.or_else(|| {
        let label = before.filter(|label| label.st_size(ENDIAN) == 0)?;
        shares_section(label, sections?, offset).then_some(label)
    })
}

/// On ARM, the lowest bit of a function's address says that it is Thumb code.
fn start_of(symbol: &Sym) -> usize {
    strip(symbol.st_value(ENDIAN) as usize)
}

fn is_function(symbol: &Sym) -> bool {
    let kind = symbol.st_type();
    // Which says where ARM code begins, and where Thumb code.
    let is_mark = cfg!(target_arch = "arm") && kind == elf::STT_NOTYPE && symbol.st_bind() == elf::STB_LOCAL;
    !is_mark
        && matches!(kind, elf::STT_FUNC | elf::STT_NOTYPE | elf::STT_GNU_IFUNC)
        && symbol.st_shndx(ENDIAN) != elf::SHN_UNDEF
        && symbol.st_name(ENDIAN) != 0
}

/// Of several names for one place, the one that is meant for the world.
fn rank(symbol: &Sym) -> (usize, bool, bool) {
    let start = start_of(symbol);
    (start, symbol.st_type() != elf::STT_NOTYPE, symbol.st_bind() == elf::STB_GLOBAL)
}

fn shares_section(label: &Sym, sections: &SectionTable<'_, Elf>, offset: usize) -> bool {
    let index = object::SectionIndex(label.st_shndx(ENDIAN) as usize);
    sections.section(index).is_ok_and(|section| {
        let is_code = section.sh_flags(ENDIAN) as usize & elf::SHF_EXECINSTR as usize != 0;
        is_code && offset.wrapping_sub(section.sh_addr(ENDIAN) as usize) < section.sh_size(ENDIAN) as usize
    })
}
