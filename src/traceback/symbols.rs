//! The name of the function that a code address lies in.

use super::image::{ENDIAN, Elf, Sym};
use super::modules::Maps;
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

const KNOWN: usize = 64;

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

fn look_up(addr: usize, module: usize, maps: &mut Maps) -> Option<Name> {
    let image = maps.image(module)?;
    let offset = addr.wrapping_sub(image.bias);
    let found = match maps.file(module) {
        Some(file) => in_file(file, offset),
        None => {
            // The file is gone: what it exports is still in memory.
            let exported = image.exported()?;
            search(exported.symbols, None, offset).and_then(|symbol| {
                let name = exported.strings.get(symbol.st_name(ENDIAN) as usize..)?;
                Some((symbol, name.split(|&byte| byte == 0).next()?))
            })
        }
    };
    let (symbol, text) = found?;
    // SAFETY: the file stays mapped until `Maps` is reset, and with it the names.
    let text = unsafe { core::slice::from_raw_parts(text.as_ptr(), text.len()) };
    Some(Name { start: image.bias.wrapping_add(symbol.st_value(ENDIAN) as usize), text })
}

/// Looks in `.symtab`, then in `.dynsym`.
fn in_file(file: &[u8], offset: usize) -> Option<(&Sym, &[u8])> {
    let sections = Elf::parse(file).ok()?.sections(ENDIAN, file).ok()?;
    [elf::SHT_SYMTAB, elf::SHT_DYNSYM].into_iter().find_map(|kind| {
        let table = sections.symbols(ENDIAN, file, kind).ok()?;
        let symbol = search(table.symbols(), Some(&sections), offset)?;
        Some((symbol, table.symbol_name(ENDIAN, symbol).ok()?))
    })
}

/// The innermost function that spans `offset`; else the label before it, if no function lies
/// between: assembly often has no sizes.
fn search<'a>(symbols: &'a [Sym], sections: Option<&SectionTable<'_, Elf>>, offset: usize) -> Option<&'a Sym> {
    let offset = offset as u64;
    let mut around: Option<&Sym> = None;
    let mut before: Option<&Sym> = None;
    let mut nearest = 0;
    for symbol in symbols {
        let start = symbol.st_value(ENDIAN);
        let spans = offset.wrapping_sub(start) < symbol.st_size(ENDIAN);
        let is_nearer = start > nearest && start <= offset;
        if !(spans || is_nearer) || !is_function(symbol) {
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

fn is_function(symbol: &Sym) -> bool {
    let kind = symbol.st_type();
    matches!(kind, elf::STT_FUNC | elf::STT_NOTYPE | elf::STT_GNU_IFUNC)
        && symbol.st_shndx(ENDIAN) != elf::SHN_UNDEF
        && symbol.st_name(ENDIAN) != 0
}

/// Of several names for one place, the one that is meant for the world.
fn rank(symbol: &Sym) -> (u64, bool, bool) {
    (symbol.st_value(ENDIAN), symbol.st_type() != elf::STT_NOTYPE, symbol.st_bind() == elf::STB_GLOBAL)
}

fn shares_section(label: &Sym, sections: &SectionTable<'_, Elf>, offset: u64) -> bool {
    let index = object::SectionIndex(label.st_shndx(ENDIAN) as usize);
    sections.section(index).is_ok_and(|section| {
        let is_code = section.sh_flags(ENDIAN) & u64::from(elf::SHF_EXECINSTR) != 0;
        is_code && offset.wrapping_sub(section.sh_addr(ENDIAN)) < section.sh_size(ENDIAN)
    })
}
