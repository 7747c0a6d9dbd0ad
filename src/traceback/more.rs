//! What a file on disk has beyond what is loaded of it. Its section headers are read, and not mapped: a
//! mapping takes longer than all of this.

use super::image::{ENDIAN, Elf, Image};
use crate::sys::InFile;
use core::mem::size_of;
use object::elf;
use object::pod;
use object::read::elf::{FileHeader, SectionHeader};

type Section = <Elf as FileHeader>::SectionHeader;

/// The longest link that is followed: a file's name with padding, and a sum.
const LINK_BYTES: usize = 264;

#[derive(Default)]
pub(super) struct More {
    /// Symbols that nobody needs at run time.
    pub(super) symbols: bool,
    /// DWARF that can be read as it is.
    pub(super) dwarf: bool,
    pub(super) link: Option<Link>,
}

/// `.gnu_debuglink`: where the debug information was put.
pub(super) struct Link([u8; LINK_BYTES]);

impl Link {
    /// The file's name, and its sum.
    pub(super) fn parts(&self) -> Option<(&[u8], u32)> {
        let name = self.0.split(|&byte| byte == 0).next()?;
        let sum = self.0.get((name.len() + 1).next_multiple_of(4)..)?.first_chunk()?;
        Some((name, u32::from_ne_bytes(*sum)))
    }
}

#[allow(clippy::useless_conversion)] // Not so on 32-bit machines.
impl More {
    /// What the image's `file` has.
    pub(super) fn of(image: &Image, file: &mut InFile) -> Option<More> {
        const AT_ONCE: usize = 32;
        const WORDS: usize = size_of::<Section>() / size_of::<u64>();
        let header = Elf::parse(image.head).ok()?;
        let start = u64::from(header.e_shoff(ENDIAN));
        let after = |count: u16| start.saturating_add(u64::from(count) * size_of::<Section>() as u64);
        let mut names = [0; WORDS];
        let names = sections(file, after(header.e_shstrndx(ENDIAN)), &mut names)?;
        let names = Names::read(file, names.first()?.sh_offset(ENDIAN).into());
        let mut more = More::default();
        // Words, for their alignment.
        let mut words = [0; AT_ONCE * WORDS];
        for first in (0..header.e_shnum(ENDIAN)).step_by(AT_ONCE) {
            let count = AT_ONCE.min(usize::from(header.e_shnum(ENDIAN) - first));
            for section in sections(file, after(first), &mut words[..count * WORDS])? {
                more.learn(section, &names, file);
            }
        }
        Some(more)
    }

    fn learn(&mut self, section: &Section, names: &Names, file: &mut InFile) {
        let kind = section.sh_type(ENDIAN);
        self.symbols |= kind == elf::SHT_SYMTAB;
        if kind != elf::SHT_PROGBITS || section.sh_flags(ENDIAN) != 0 || self.dwarf {
            return;
        }
        match names.at(section.sh_name(ENDIAN), file).split(|&byte| byte == 0).next() {
            Some(b".debug_info") => self.dwarf = u64::from(section.sh_size(ENDIAN)) > 0,
            Some(b".gnu_debuglink") => {
                let mut link = [0; LINK_BYTES];
                let bytes = LINK_BYTES.min(u64::from(section.sh_size(ENDIAN)) as usize);
                file.read_at(section.sh_offset(ENDIAN).into(), &mut link[..bytes]);
                self.link = Some(Link(link));
            }
            _ => {}
        }
    }
}

/// The names of sections, as far as they matter here.
struct Names {
    at: u64,
    /// Most files have no more.
    first: [u8; 2048],
}

impl Names {
    const LONGEST: usize = 16;

    fn read(file: &mut InFile, at: u64) -> Names {
        let mut names = Names { at, first: [0; 2048] };
        file.read_at(at, &mut names.first);
        names
    }

    /// The name at `offset`, to its NUL or longer.
    fn at(&self, offset: u32, file: &mut InFile) -> [u8; Names::LONGEST] {
        let known = self.first.get(offset as usize..).and_then(|rest| rest.first_chunk());
        known.copied().unwrap_or_else(|| {
            let mut name = [0; Names::LONGEST];
            file.read_at(self.at.saturating_add(offset.into()), &mut name);
            name
        })
    }
}

/// The headers of the sections from `at` on, as many as the memory takes.
fn sections<'a>(file: &mut InFile, at: u64, memory: &'a mut [u64]) -> Option<&'a [Section]> {
    let bytes = pod::bytes_of_slice_mut(memory);
    let is_whole = file.read_at(at, bytes) == bytes.len();
    pod::slice_from_all_bytes(bytes).ok().filter(|_| is_whole)
}
