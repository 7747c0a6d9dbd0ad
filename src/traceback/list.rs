//! The frames one by one, for whoever does not want them as one text.

use super::unwind::{Cursor, Link};
use super::{Area, End, HALF, Shown};
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
    area.maps.open();
    area.find_own();
    let mut shown = 0;
    let end = area.follow(Cursor { regs: *regs, exact: is_exact }, Some(link), &mut |area, at, exact| {
        let frame = Shown { pc: at.pc(), place: at.place(exact) };
        if !area.hides(frame) {
            match shown < HALF {
                true => area.show(frame, see),
                false => area.last[shown % HALF] = frame,
            }
            shown += 1;
        }
        true
    });
    let elided = shown.saturating_sub(2 * HALF);
    if elided > 0 {
        see(Listed::Elided(elided));
    }
    for i in HALF + elided..shown {
        area.show(area.last[i % HALF], see);
    }
    if let End::Lost(_) = end {
        see(Listed::Lost);
    }
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
