//! What a file on disk has beyond what is loaded of it: nothing, for dyld has its symbols in memory, and linkers leave
//! DWARF in files of their own.

use super::image::Image;
use crate::sys::InFile;

#[derive(Default)]
pub(super) struct More {
    pub(super) symbols: bool,
    pub(super) dwarf: bool,
    pub(super) link: Option<Link>,
}

/// A file's name for the one with its DWARF: here it goes by a rule.
pub(super) enum Link {}

impl More {
    pub(super) fn of(_image: &Image, _file: &mut InFile) -> Option<More> {
        None
    }
}
