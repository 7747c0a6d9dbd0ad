//! A loaded Mach-O file as its own header in memory describes it, as `../image.rs` does of an ELF file.

use super::memory;
use core::mem::size_of;
use object::macho::{self, Nlist64, Section64, SegmentCommand64};
use object::read::macho::{LoadCommandIterator, MachHeader, Section, Segment};
use object::{NativeEndian, ReadRef};

type Header = macho::MachHeader64<NativeEndian>;
pub(super) type Sym = Nlist64<NativeEndian>;

pub(super) const ENDIAN: NativeEndian = NativeEndian {};

/// One loaded file.
#[derive(Clone, Copy)]
pub(super) struct Image {
    /// What the loader added to the addresses in the file.
    pub(super) bias: usize,
    /// From the header to the end of its segment.
    pub(super) head: &'static [u8],
    /// Where the call frame information is.
    pub(super) frames: Option<Frames>,
    pub(super) exported: Option<Exported>,
    /// The linker's UUID of this very file.
    pub(super) build_id: Option<&'static [u8]>,
}

/// `__eh_frame`, empty where there is none. Of many functions the compact tables tell alone, which nobody reads here:
/// their frames are found by the frame pointer, which the ABI has them keep.
#[derive(Clone, Copy)]
pub(super) struct Frames {
    pub(super) index: Option<&'static [u8]>,
    pub(super) entries: &'static [u8],
}

/// All symbols, which dyld has in memory.
#[derive(Clone, Copy)]
pub(super) struct Exported {
    pub(super) symbols: &'static [Sym],
    pub(super) strings: &'static [u8],
}

impl Image {
    /// The image whose header lies at `lo`.
    ///
    /// # Safety
    /// `lo..hi` is a file's `__TEXT`, and stays as long as the image is used.
    pub(super) unsafe fn at(lo: usize, hi: usize, _pc: usize, _offset: usize) -> Option<Image> {
        // SAFETY: as the caller says; nobody writes there.
        let head = unsafe { memory::mapped(lo, hi - lo) }?;
        let text = segments(head)?.find(|(segment, _)| segment.name() == b"__TEXT")?.0;
        let bias = lo.wrapping_sub(text.vmaddr(ENDIAN) as usize);
        let mut image = Image { bias, head, frames: None, exported: None, build_id: build_id(head) };
        let entries = image.section(b"__eh_frame").unwrap_or_default();
        image.frames = Some(Frames { index: None, entries });
        image.exported = image.exported();
        Some(image)
    }

    /// What is in a section that is loaded.
    fn section(&self, name: &[u8]) -> Option<&'static [u8]> {
        let section =
            segments(self.head)?.flat_map(|(_, sections)| sections).find(|one| one.name() == name)?;
        self.mapped(section.addr(ENDIAN), section.size(ENDIAN))
    }

    fn exported(&self) -> Option<Exported> {
        let table = commands(self.head)?.find_map(|command| command.ok()?.symtab().ok()?)?;
        let link = segments(self.head)?.find(|(segment, _)| segment.name() == b"__LINKEDIT")?.0;
        // Offsets in the file, as the segment's own.
        let at =
            |offset: u32| link.vmaddr(ENDIAN).wrapping_add(offset.into()).wrapping_sub(link.fileoff(ENDIAN));
        let count = table.nsyms.get(ENDIAN) as usize;
        let bytes = count.checked_mul(size_of::<Sym>())?;
        let symbols =
            self.mapped(at(table.symoff.get(ENDIAN)), bytes as u64)?.read_slice_at(0, count).ok()?;
        let strings = self.mapped(at(table.stroff.get(ENDIAN)), table.strsize.get(ENDIAN).into())?;
        Some(Exported { symbols, strings })
    }

    fn mapped(&self, addr: u64, bytes: u64) -> Option<&'static [u8]> {
        // SAFETY: part of a segment, which is mapped whole; the code on the stack keeps the file loaded; what is read
        // through this is constant.
        unsafe { memory::mapped(self.bias.wrapping_add(addr as usize), bytes as usize) }
    }

    /// Nothing beyond what [`at`](Image::at) has found.
    pub(super) fn frames_by(&self, _file: &[u8]) -> Option<Frames> {
        self.frames
    }

    /// Where in the file an address in memory came from: of its header alone.
    pub(super) fn offset_in_file(&self, addr: usize) -> Option<u64> {
        let offset = addr.wrapping_sub(self.head.as_ptr() as usize);
        (offset < self.head.len()).then_some(offset as u64)
    }

    /// Whether the file calls itself `prefix`..., wherever it is.
    pub(super) fn soname_starts_with(&self, prefix: &[u8]) -> bool {
        let name = || {
            let is_own = |command: &macho::DylibCommand<_>| command.cmd.get(ENDIAN) == macho::LC_ID_DYLIB;
            commands(self.head)?.find_map(|command| {
                let command = command.ok()?;
                let own = command.dylib().ok()?.filter(|own| is_own(own))?;
                command.string(ENDIAN, own.dylib.name).ok()
            })
        };
        let name = name().unwrap_or_default();
        name.rsplit(|&byte| byte == b'/').next().is_some_and(|name| name.starts_with(prefix))
    }
}

fn commands(file: &[u8]) -> Option<LoadCommandIterator<'_, NativeEndian>> {
    let header =
        Header::parse(file, 0).ok().filter(|header| header.is_supported() && header.is_little_endian())?;
    header.load_commands(ENDIAN, file, 0).ok()
}

type Sections<'a> = &'a [Section64<NativeEndian>];

/// Every segment of a file, be it loaded or mapped, with its sections.
pub(super) fn segments(
    file: &[u8],
) -> Option<impl Iterator<Item = (&SegmentCommand64<NativeEndian>, Sections<'_>)>> {
    let commands = commands(file)?;
    Some(commands.filter_map(|command| {
        let (segment, data) = command.ok()?.segment_64().ok()??;
        Some((segment, segment.sections(ENDIAN, data).ok()?))
    }))
}

pub(super) fn build_id(file: &[u8]) -> Option<&[u8]> {
    commands(file)?.find_map(|command| Some(&command.ok()?.uuid().ok()??.uuid[..]))
}
