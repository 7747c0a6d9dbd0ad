//! The file that a stripped file's debug information was put into.

use super::image::{self, ENDIAN, Elf, Image};
use super::more::Link;
use crate::sys::{InFile, MappedFile};
use core::ffi::CStr;
use object::elf;
use object::read::elf::{FileHeader, SectionHeader, SectionTable};

/// The longest path that is tried.
const PATH_BYTES: usize = 1024;
const SYSTEM: &[u8] = b"/usr/lib/debug";

/// Whether `file` holds DWARF that can be read as it is.
pub(super) fn is_in(file: &[u8]) -> bool {
    !section(file, b".debug_info").is_empty()
}

/// What the file holds under a section's name: nothing, if it is not there or compressed.
pub(super) fn section<'a>(file: &'a [u8], name: &[u8]) -> &'a [u8] {
    sections(file).map_or(&[], |sections| section_of(&sections, file, name))
}

pub(super) fn sections(file: &[u8]) -> Option<SectionTable<'_, Elf>> {
    Elf::parse(file).ok()?.sections(ENDIAN, file).ok()
}

/// As [`section`].
pub(super) fn section_of<'a>(sections: &SectionTable<'a, Elf>, file: &'a [u8], name: &[u8]) -> &'a [u8] {
    let found = sections.section_by_name(ENDIAN, name).map(|(_, section)| section);
    let found = found.filter(|section| section.sh_flags(ENDIAN) as usize & elf::SHF_COMPRESSED as usize == 0);
    found.and_then(|section| section.data(ENDIAN, file).ok()).unwrap_or_default()
}

/// The debug file of the image at `path`, whose own file may have a `link` to it: by the build id, then by
/// the name, as gdb looks.
pub(super) fn find(image: &Image, path: &CStr, link: Option<&Link>) -> Option<MappedFile> {
    let id = image.build_id;
    if let Some([first, rest @ ..]) = id {
        let mut path = Path::new();
        path.push(SYSTEM).push(b"/.build-id/").hex(&[*first]).push(b"/").hex(rest).push(b".debug");
        if let Some(file) = path.map().filter(|file| build_id_of(file.bytes()) == id) {
            return Some(file);
        }
    }
    let (name, sum) = link?.parts()?;
    let is_it = |file: &MappedFile| match (id, build_id_of(file.bytes())) {
        (Some(wanted), Some(id)) => wanted == id,
        _ => crc32(file.bytes()) == sum,
    };
    let path = path.to_bytes();
    let dir = &path[..path.iter().rposition(|&byte| byte == b'/')? + 1];
    [[dir, b"", b""], [dir, b".debug/", b""], [SYSTEM, dir, b""]].iter().find_map(|parts| {
        let mut path = Path::new();
        for part in parts.iter().chain([&name]) {
            path.push(part);
        }
        path.map().filter(is_it)
    })
}

fn build_id_of(file: &[u8]) -> Option<&[u8]> {
    let sections = sections(file)?;
    let notes = sections.iter().filter_map(|section| section.notes(ENDIAN, file).ok().flatten());
    notes.filter_map(image::build_id_among).next()
}

/// The sum that `.gnu_debuglink` holds: zlib's, without a table. Large files take too long.
fn crc32(bytes: &[u8]) -> u32 {
    const LONGEST: usize = 16 << 20;
    if bytes.len() > LONGEST {
        return 0;
    }
    let mut table = [0u32; 256];
    for (i, entry) in table.iter_mut().enumerate() {
        *entry = (0..8).fold(i as u32, |sum, _| sum >> 1 ^ if sum & 1 != 0 { 0xedb8_8320 } else { 0 });
    }
    !bytes.iter().fold(!0, |sum, &byte| sum >> 8 ^ table[((sum ^ u32::from(byte)) & 0xff) as usize])
}

/// A path in the making; one that does not fit becomes empty, which is no file's.
struct Path {
    bytes: [u8; PATH_BYTES],
    len: usize,
}

impl Path {
    fn new() -> Path {
        Path { bytes: [0; PATH_BYTES], len: 0 }
    }

    fn push(&mut self, part: &[u8]) -> &mut Path {
        // The last byte stays NUL.
        match self.bytes[..PATH_BYTES - 1].get_mut(self.len..self.len + part.len()) {
            Some(room) => {
                room.copy_from_slice(part);
                self.len += part.len();
            }
            None => *self = Path { bytes: [0; PATH_BYTES], len: PATH_BYTES },
        }
        self
    }

    fn hex(&mut self, bytes: &[u8]) -> &mut Path {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in bytes {
            self.push(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        self
    }

    fn map(&self) -> Option<MappedFile> {
        MappedFile::of(&InFile::open(CStr::from_bytes_until_nul(&self.bytes).ok()?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_zlibs() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_path_fits_or_is_none() {
        let mut path = Path::new();
        path.push(b"/a/").hex(&[0x0f, 0xa0]).push(b".debug");
        assert_eq!(&path.bytes[..path.len], b"/a/0fa0.debug");
        path.push(&[b'x'; PATH_BYTES]).push(b"y");
        assert!(path.map().is_none() && path.bytes[0] == 0);
    }

    #[test]
    fn what_is_no_file_has_nothing() {
        for bytes in [&b""[..], b"\x7fELF", &[0; 64], &[0xff; 4096]] {
            assert!(!is_in(bytes) && build_id_of(bytes).is_none() && section(bytes, b".text").is_empty());
        }
    }
}
