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
    (is_first(from.pc()) || is_second(from, memory)).then_some(Step::End)
}

/// glibc has no tables for the function that the first one calls, which lies right below it.
fn is_second(from: &Cursor, memory: &mut Memory) -> bool {
    const WORDS: usize = 128;
    let words = (0..WORDS).map_while(|at| memory.word(from.regs.0[Regs::SP].wrapping_add(at * size_of::<usize>())));
    words.map(strip).any(is_first)
}
