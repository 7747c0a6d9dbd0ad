//! The frames one by one, for whoever does not want them as one text.

use super::unwind::{Cursor, Link};
use super::{Area, Piece, Shown};
use crate::arch::Regs;
use crate::base::Printer;

/// More of a frame's text is not given.
const TEXT_BYTES: usize = 4096;

/// A piece of a trace.
pub(crate) enum Listed<'a> {
    /// Its PC, and its lines of the text.
    Frame(usize, &'a [u8]),
    /// So many frames are left out here.
    Elided(usize),
    /// The caller of the last frame cannot be found.
    Lost,
}

/// Shows what [`print`](super::print) prints.
pub(crate) fn list(
    regs: &Regs,
    is_exact: bool,
    area: &mut Area,
    link: Link<'_>,
    see: &mut dyn FnMut(Listed<'_>),
) {
    area.ends(Cursor { regs: *regs, exact: is_exact }, link, &mut |area, piece| match piece {
        Piece::Frame(frame) => area.show(frame, see),
        Piece::Half => {}
        Piece::Elided(frames) => see(Listed::Elided(frames)),
        Piece::Lost(_) => see(Listed::Lost),
    });
}

impl Area {
    fn show(&mut self, frame: Shown, see: &mut dyn FnMut(Listed<'_>)) {
        let mut text = [0; TEXT_BYTES];
        // SAFETY: the array is ours.
        let mut printer = unsafe { Printer::to_memory(text.as_mut_ptr(), text.len()) };
        self.print_frame(&mut printer, frame);
        let length = printer.printed().min(text.len());
        see(Listed::Frame(frame.pc, &text[..length]));
    }
}
