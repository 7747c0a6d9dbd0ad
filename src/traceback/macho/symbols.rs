//! The name of the function that a code address lies in, as `../symbols.rs` tells it of an ELF file. Nothing is kept:
//! a report shows few frames.

use super::image::{ENDIAN, Exported, Sym};
use super::modules::Maps;
use object::macho;
use object::read::macho::Nlist;

/// A function's name and its first instruction.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub(super) start: usize,
    pub(super) text: &'static [u8],
}

pub(super) struct Names;

impl Names {
    pub(super) const fn new() -> Names {
        Names
    }

    pub(super) fn reset(&mut self) {}

    /// The function at `addr`, which lies in the module.
    pub(super) fn find(&mut self, addr: usize, module: usize, maps: &mut Maps) -> Option<Name> {
        nearest(addr, module, maps, |_| true)
    }
}

/// The name of the exported function at `addr`.
pub(super) fn exported(addr: usize, module: usize, maps: &Maps) -> Option<&'static [u8]> {
    let is_exported = |symbol: &Sym| symbol.n_type & macho::N_EXT != 0 && symbol.n_type & macho::N_PEXT == 0;
    // What lies between is another function's.
    let found = nearest(addr, module, maps, |_| true)?;
    let named = nearest(addr, module, maps, is_exported)?;
    (found.start == named.start).then_some(named.text)
}

/// The last of these symbols that is not behind `addr`: none has a size. Without the `_` that C's names begin with.
fn nearest(addr: usize, module: usize, maps: &Maps, counts: impl Fn(&Sym) -> bool) -> Option<Name> {
    let image = maps.image(module)?;
    let Exported { symbols, strings } = image.exported?;
    let offset = addr.wrapping_sub(image.bias);
    let start = |symbol: &Sym| symbol.n_value(ENDIAN) as usize;
    let mut found: Option<&Sym> = None;
    for symbol in symbols {
        let is_placed = symbol.n_type & (macho::N_STAB | macho::N_TYPE) == macho::N_SECT;
        let is_nearer = start(symbol) <= offset && found.is_none_or(|found| start(found) < start(symbol));
        if is_placed && is_nearer && counts(symbol) {
            found = Some(symbol);
        }
    }
    let symbol = found?;
    let text = strings.get(symbol.n_strx(ENDIAN) as usize..)?.split(|&byte| byte == 0).next()?;
    let text = text.strip_prefix(b"_").unwrap_or(text);
    (!text.is_empty()).then_some(Name { start: image.bias.wrapping_add(start(symbol)), text })
}
