//! A loaded ELF file as its own headers in memory describe it: no loader is asked, for the loader
//! has a lock.

use super::memory;
use core::mem::size_of;
use gimli::{BaseAddresses, EhFrameHdr, Pointer};
use object::elf;
use object::read::elf::{Dyn, FileHeader, GnuHashTable, NoteIterator, ProgramHeader, SectionHeader};
use object::{NativeEndian, ReadRef};

#[cfg(target_pointer_width = "64")]
pub(super) type Elf = elf::FileHeader64<NativeEndian>;
#[cfg(target_pointer_width = "32")]
pub(super) type Elf = elf::FileHeader32<NativeEndian>;
pub(super) type Sym = <Elf as FileHeader>::Sym;
type Header = <Elf as FileHeader>::ProgramHeader;
type Dynamic = <Elf as FileHeader>::Dyn;

pub(super) const ENDIAN: NativeEndian = NativeEndian {};

/// One loaded file.
#[derive(Clone, Copy)]
pub(super) struct Image {
    /// What the loader added to the addresses in the file.
    pub(super) bias: usize,
    /// The mapping that holds the ELF header: the file's first bytes.
    pub(super) head: &'static [u8],
    /// Where the call frame information is.
    pub(super) frames: Option<Frames>,
    /// ARM's tables.
    #[cfg(target_arch = "arm")]
    pub(super) index: Option<&'static [crate::sys::unwind::Entry]>,
    pub(super) exported: Option<Exported>,
    /// What the linker called this very file.
    pub(super) build_id: Option<&'static [u8]>,
    headers: &'static [Header],
}

/// `.eh_frame_hdr`, if there is one, and `.eh_frame`: each to the end of its segment, for the sizes
/// are not known.
#[derive(Clone, Copy)]
pub(super) struct Frames {
    pub(super) index: Option<&'static [u8]>,
    pub(super) entries: &'static [u8],
}

/// The symbols that a loaded file needs at run time, which are in memory.
#[derive(Clone, Copy)]
pub(super) struct Exported {
    pub(super) symbols: &'static [Sym],
    pub(super) strings: &'static [u8],
}

impl Image {
    /// The image whose header lies at `lo`, if the code at `pc`, which is `offset` in the file, is
    /// part of it.
    ///
    /// # Safety
    /// `lo..hi` is a mapping of a file or the vDSO, and stays as long as the image is used.
    pub(super) unsafe fn at(lo: usize, hi: usize, pc: usize, offset: usize) -> Option<Image> {
        // SAFETY: as the caller says; the headers of a loaded file are written by nobody.
        let head = unsafe { memory::mapped(lo, hi - lo) }?;
        let header = Elf::parse(head).ok()?;
        let headers = header.program_headers(ENDIAN, head).ok()?;
        let first = headers.iter().find(|header| header.p_type(ENDIAN) == elf::PT_LOAD)?;
        // Where the file's offset 0 would have been linked to.
        let start = (first.p_vaddr(ENDIAN) as usize).wrapping_sub(first.p_offset(ENDIAN) as usize);
        let bias = lo.wrapping_sub(start);
        let mut image = Image {
            bias,
            head,
            frames: None,
            #[cfg(target_arch = "arm")]
            index: None,
            exported: None,
            build_id: None,
            headers,
        };
        let code = image.segment(pc)?;
        // Another head may be so near that the PC seems to lie in its code.
        let in_file = pc.wrapping_sub(image.address(code)).wrapping_add(code.p_offset(ENDIAN) as usize);
        if code.p_flags(ENDIAN) & elf::PF_X == 0 || in_file != offset {
            return None;
        }
        image.frames = image.frames();
        #[cfg(target_arch = "arm")]
        {
            image.index = image.index();
        }
        image.exported = image.exported();
        image.build_id = image.find_build_id();
        Some(image)
    }

    fn frames(&self) -> Option<Frames> {
        let header = self.headers.iter().find(|header| header.p_type(ENDIAN) == elf::PT_GNU_EH_FRAME)?;
        let index = self.from(self.address(header))?;
        let bases = BaseAddresses::default().set_eh_frame_hdr(index.as_ptr() as u64);
        let parsed =
            EhFrameHdr::new(index, gimli::NativeEndian).parse(&bases, size_of::<usize>() as u8).ok()?;
        let Pointer::Direct(start) = parsed.eh_frame_ptr() else { return None };
        Some(Frames { index: Some(index), entries: self.from(start as usize)? })
    }

    #[cfg(target_arch = "arm")]
    fn index(&self) -> Option<&'static [crate::sys::unwind::Entry]> {
        let header = self.headers.iter().find(|header| header.p_type(ENDIAN) == elf::PT_ARM_EXIDX)?;
        let count = header.p_filesz(ENDIAN) as usize / size_of::<crate::sys::unwind::Entry>();
        self.from(self.address(header))?.read_slice_at(0, count).ok()
    }

    /// The call frame information by the section headers in the image's `file`: a static program
    /// has no index of it.
    pub(super) fn frames_by(&self, file: &[u8]) -> Option<Frames> {
        let sections = Elf::parse(file).ok()?.sections(ENDIAN, file).ok()?;
        let (_, section) = sections.section_by_name(ENDIAN, b".eh_frame")?;
        let addr = self.bias.wrapping_add(section.sh_addr(ENDIAN) as usize);
        let entries = self.from(addr)?.get(..section.sh_size(ENDIAN) as usize)?;
        Some(Frames { index: None, entries })
    }

    fn find_build_id(&self) -> Option<&'static [u8]> {
        let notes = self.headers.iter().filter(|header| header.p_type(ENDIAN) == elf::PT_NOTE);
        notes
            .filter_map(|header| {
                let data = self.from(self.address(header))?.get(..header.p_filesz(ENDIAN) as usize)?;
                build_id_among(NoteIterator::new(ENDIAN, header.p_align(ENDIAN), data).ok()?)
            })
            .next()
    }

    /// Where in the file an address in memory, which holds what the file does, came from.
    pub(super) fn offset_in_file(&self, addr: usize) -> Option<u64> {
        let segment = self.segment(addr)?;
        Some((addr.wrapping_sub(self.address(segment)) + segment.p_offset(ENDIAN) as usize) as u64)
    }

    /// What is mapped from `addr` to the end of its segment.
    pub(super) fn from(&self, addr: usize) -> Option<&'static [u8]> {
        let segment = self.segment(addr)?;
        let end = self.address(segment).wrapping_add(segment.p_filesz(ENDIAN) as usize);
        // SAFETY: a segment is mapped whole; the code on the stack keeps the file loaded; what is
        // read through this (tables, names) is constant once loaded.
        unsafe { memory::mapped(addr, end.checked_sub(addr)?) }
    }

    /// Whether the file calls itself `prefix`... (its DT_SONAME).
    pub(super) fn soname_starts_with(&self, prefix: &[u8]) -> bool {
        let name = || {
            let dynamic = self.dynamic()?;
            self.from(self.pointer(value(dynamic, elf::DT_STRTAB)?))?.get(value(dynamic, elf::DT_SONAME)?..)
        };
        name().is_some_and(|name| name.starts_with(prefix))
    }

    /// The symbols that other files can refer to.
    fn exported(&self) -> Option<Exported> {
        let dynamic = self.dynamic()?;
        let table = |tag| self.from(self.pointer(value(dynamic, tag)?));
        let count = match table(elf::DT_GNU_HASH) {
            Some(hash) => GnuHashTable::<Elf>::parse(ENDIAN, hash).ok()?.symbol_table_length(ENDIAN)?,
            None => *table(elf::DT_HASH)?.read_at::<[u32; 2]>(0).ok()?.last()?,
        };
        let symbols = table(elf::DT_SYMTAB)?.read_slice_at(0, count as usize).ok()?;
        Some(Exported { symbols, strings: table(elf::DT_STRTAB)? })
    }

    fn dynamic(&self) -> Option<&'static [Dynamic]> {
        let header = self.headers.iter().find(|header| header.p_type(ENDIAN) == elf::PT_DYNAMIC)?;
        let count = header.p_filesz(ENDIAN) as usize / size_of::<Dynamic>();
        self.from(self.address(header))?.read_slice_at(0, count).ok()
    }

    /// A pointer in the dynamic section: glibc relocates these in place, musl and the vDSO do not.
    fn pointer(&self, value: usize) -> usize {
        if self.segment(value).is_some() { value } else { value.wrapping_add(self.bias) }
    }

    fn segment(&self, addr: usize) -> Option<&'static Header> {
        let is_inside = |header: &&Header| {
            let offset = addr.wrapping_sub(self.address(header));
            header.p_type(ENDIAN) == elf::PT_LOAD && offset < header.p_filesz(ENDIAN) as usize
        };
        self.headers.iter().find(is_inside)
    }

    fn address(&self, header: &Header) -> usize {
        self.bias.wrapping_add(header.p_vaddr(ENDIAN) as usize)
    }
}

/// The build id among the notes of a file.
pub(super) fn build_id_among<'a>(mut notes: NoteIterator<'a, Elf>) -> Option<&'a [u8]> {
    while let Ok(Some(note)) = notes.next() {
        if note.name() == elf::ELF_NOTE_GNU && note.n_type(ENDIAN) == elf::NT_GNU_BUILD_ID {
            return Some(note.desc());
        }
    }
    None
}

fn value(dynamic: &[Dynamic], tag: u32) -> Option<usize> {
    let entry = dynamic.iter().find(|entry| entry.tag32(ENDIAN) == Some(tag))?;
    Some(entry.d_val(ENDIAN) as usize)
}
