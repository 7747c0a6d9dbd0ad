//! The file that a file's debug information was put into: `FILE.dSYM/Contents/Resources/DWARF/FILE`, as `dsymutil`
//! makes it.

use super::image::{self, ENDIAN, Image};
use super::more::Link;
use crate::sys::{InFile, MappedFile};
use core::ffi::CStr;
use object::read::macho::Section;

const PATH_BYTES: usize = 1024;
const NAME_BYTES: usize = 16;

/// Whether `file` holds DWARF that can be read as it is.
pub(super) fn is_in(file: &[u8]) -> bool {
    !section_of(&(), file, b".debug_info").is_empty()
}

/// The table of a file's sections, which is not kept.
pub(super) fn sections(file: &[u8]) -> Option<()> {
    image::segments(file).map(|_| ())
}

/// What the file holds under a section's name in ELF: nothing, if it is not there.
pub(super) fn section_of<'a>(_: &(), file: &'a [u8], name: &[u8]) -> &'a [u8] {
    // `__` in place of the point, and cut.
    let name = name.strip_prefix(b".").unwrap_or(name);
    let name = &name[..name.len().min(NAME_BYTES - 2)];
    let is_it = |found: &[u8]| found.strip_prefix(b"__") == Some(name);
    let sections = image::segments(file).into_iter().flatten().flat_map(|(_, sections)| sections);
    let found = sections.filter(|section| is_it(section.name())).find_map(|one| one.data(ENDIAN, file).ok());
    found.unwrap_or_default()
}

/// The debug file of the image at `path`, if it has its UUID.
pub(super) fn find(image: &Image, path: &CStr, _link: Option<&Link>) -> Option<MappedFile> {
    let path = path.to_bytes();
    let name = path.rsplit(|&byte| byte == b'/').next()?;
    // The last byte stays NUL.
    let (mut text, mut len) = ([0; PATH_BYTES], 0);
    for part in [path, b".dSYM/Contents/Resources/DWARF/", name] {
        text[..PATH_BYTES - 1].get_mut(len..len + part.len())?.copy_from_slice(part);
        len += part.len();
    }
    let file = MappedFile::of(&InFile::open(CStr::from_bytes_until_nul(&text).ok()?)?)?;
    (image.build_id.is_some() && image::build_id(file.bytes()) == image.build_id).then_some(file)
}
