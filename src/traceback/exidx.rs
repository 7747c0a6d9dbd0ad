//! One step of the walk by ARM's tables.

use super::image::Image;
use super::memory::Memory;
use super::unwind::{Cursor, Step};
use crate::arch::{Regs, strip};
use crate::sys::unwind::{Rules, entry_of, is_first};

/// `None` when the tables say nothing about this place. A function without any has an entry which says that it cannot be
/// unwound, as a thread's first one has.
pub(super) fn by_index(from: &Cursor, image: &Image, memory: &mut Memory) -> Option<Step> {
    let mut word = |addr: usize| memory.word(addr);
    let entry = entry_of(image.index?, from.place(from.exact))?;
    if let Some(rules) = Rules::of(entry, from.pc(), &mut word) {
        return Some(Step::To(Cursor { regs: rules.apply(&from.regs, &mut word)?, exact: false }));
    }
    if is_first(from.pc()) { Some(Step::End) } else { from_second(from, memory) }
}

/// glibc has no tables for the function that a thread's first one calls: that one's frame lies right behind it.
fn from_second(from: &Cursor, memory: &mut Memory) -> Option<Step> {
    const BYTES: usize = 512;
    let sp = from.regs.0[Regs::SP];
    for at in (sp..sp.checked_add(BYTES)?).step_by(size_of::<usize>()) {
        let pc = strip(memory.word(at)?);
        if is_first(pc) {
            let mut regs = from.regs;
            regs.0[Regs::SP] = at + size_of::<usize>();
            regs.0[Regs::PC] = pc;
            return Some(Step::To(Cursor { regs, exact: false }));
        }
    }
    None
}
