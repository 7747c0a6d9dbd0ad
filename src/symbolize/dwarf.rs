//! The DWARF of one file: its units, found as they are asked for, and their lines.

use super::functions::{self, Extent, Function, Reading};
use super::{Call, aside, readable, rows};
use crate::sys;
use core::mem::ManuallyDrop;
use gimli::{
    Abbreviations, ArangeHeaderIter, AttributeValue, DebugAddrBase, DebugInfoOffset, DebugLocListsBase,
    DebugRngListsBase, DebugStrOffsetsBase, Dwarf, DwarfFileType, EndianSlice, LineProgramHeader,
    NativeEndian, SectionId, Unit, UnitHeader,
};
use std::sync::Arc;

pub(super) type Bytes = EndianSlice<'static, NativeEndian>;

/// A file's DWARF. It lives aside, and is never dropped.
pub(crate) struct Source {
    dwarf: Dwarf<Bytes>,
    time: Time,
    /// Of all units, once one was not found by `.debug_aranges`.
    ranges: Option<Vec<Range>>,
    /// Those that were asked about.
    units: Vec<Open>,
}

/// A unit, and how far it was read.
struct Open {
    unit: Unit<Bytes>,
    functions: functions::Passed,
    rows: rows::Passed,
}

#[derive(Clone, Copy)]
struct Range {
    lo: u64,
    hi: u64,
    unit: DebugInfoOffset,
}

/// What a unit says of an address.
pub(crate) struct There {
    /// The innermost function first; the last is the one that was not inlined.
    pub(crate) calls: &'static [Call],
    /// Where the last one starts, if it was asked for.
    pub(crate) start: Option<u64>,
}

/// How long the work may take.
#[derive(Clone, Copy)]
pub(super) struct Time {
    until_ns: i64,
}

impl Time {
    /// Looks at the clock, and gives the work up when it is late.
    pub(super) fn heed(self) {
        if sys::now_ns() > self.until_ns {
            aside::give_up()
        }
    }
}

/// A place in the sources.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) dir: &'static [u8],
    pub(super) file: &'static [u8],
    pub(super) line: u64,
}

impl Source {
    /// Takes the sections of a file, by their names.
    pub(crate) fn open(sections: &dyn Fn(&str) -> &'static [u8], until_ns: i64) -> &'static mut Source {
        let Ok(dwarf) = Dwarf::load(|id| section(id, sections));
        let time = Time { until_ns };
        Box::leak(Box::new(Source { dwarf, time, ranges: None, units: Vec::new() }))
    }

    /// The functions at an address of the file, with their lines; the name and the start of the one that was
    /// not inlined if `wants_name`.
    pub(crate) fn describe(&mut self, at: u64, wants_name: bool) -> Option<There> {
        let index = self.unit_at(at)?;
        let Source { dwarf, units, .. } = self;
        let Open { unit, functions, rows } = &mut units[index];
        let within = Reading { dwarf, unit, time: self.time };
        let Function { inlined, name, start } =
            functions::around(within, functions, at, wants_name).unwrap_or_default();
        let lines = unit.line_program.as_ref()?.header();
        let file_of = |number| file_of(within, lines, number).unwrap_or_default();
        let (file, line) = rows.line_at(lines, at, self.time).unwrap_or_default();
        let mut place = Place { line, ..file_of(file) };
        let mut calls = Vec::with_capacity(inlined.len() + 1);
        // From the innermost outward: each stands where it says, and was called where it was inlined.
        for inline in inlined.iter().rev() {
            let name = readable::name_or(inline.name);
            calls.push(Call { name, dir: place.dir, file: place.file, line: place.line });
            place = Place { line: inline.call_line, ..file_of(inline.call_file) };
        }
        let name = readable::name_or(name);
        calls.push(Call { name, dir: place.dir, file: place.file, line: place.line });
        Some(There { calls: calls.leak(), start })
    }

    /// The unit that describes an address, by its place among those that are open.
    fn unit_at(&mut self, at: u64) -> Option<usize> {
        let offset = match by_aranges(&mut self.dwarf.debug_aranges.headers(), at, self.time) {
            Some(offset) => offset,
            None => self.by_ranges(at)?,
        };
        let is_it = |open: &Open| open.unit.header.offset().as_debug_info_offset() == Some(offset);
        if let Some(open) = self.units.iter().position(is_it) {
            return Some(open);
        }
        let header = self.dwarf.debug_info.header_from_offset(offset).ok()?;
        let unit = self.dwarf.unit(header).ok()?;
        let functions = functions::Passed::none(&unit);
        self.units.push(Open { unit, functions, rows: rows::Passed::NONE });
        Some(self.units.len() - 1)
    }

    fn by_ranges(&mut self, at: u64) -> Option<DebugInfoOffset> {
        if self.ranges.is_none() {
            self.ranges = Some(all_ranges(&self.dwarf, self.time));
        }
        let holds = |range: &&Range| range.lo <= at && at < range.hi;
        self.ranges.iter().flatten().find(holds).map(|range| range.unit)
    }
}

fn by_aranges(headers: &mut ArangeHeaderIter<Bytes>, at: u64, time: Time) -> Option<DebugInfoOffset> {
    while let Some(header) = headers.next().ok()? {
        time.heed();
        let mut entries = header.entries();
        while let Ok(Some(entry)) = entries.next() {
            if at.wrapping_sub(entry.address()) < entry.length() {
                return Some(header.debug_info_offset());
            }
        }
    }
    None
}

#[inline(never)] // Once, not for each section.
fn section(
    id: SectionId,
    sections: &dyn Fn(&str) -> &'static [u8],
) -> Result<Bytes, core::convert::Infallible> {
    Ok(EndianSlice::new(sections(id.name()), NativeEndian))
}

/// The ranges of all units: of each only the first entry is read.
fn all_ranges(dwarf: &Dwarf<Bytes>, time: Time) -> Vec<Range> {
    let none = Arc::<Abbreviations>::default();
    let mut ranges = Vec::new();
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        time.heed();
        let mark = aside::mark();
        let first = First::of(dwarf, &header);
        // SAFETY: what the first entry was read with is dropped, and it points to the file alone.
        unsafe { aside::release(mark) };
        let (Ok(first), Some(unit)) = (first, header.offset().as_debug_info_offset()) else { continue };
        let mut push = |lo, hi| ranges.push(Range { lo, hi, unit });
        let _ = first.ranges(dwarf, header, none.clone(), &mut push);
    }
    ranges
}

/// What a unit's first entry says of its ranges.
#[derive(Default)]
struct First {
    extent: Extent,
    addr_base: Option<DebugAddrBase>,
    rnglists_base: Option<DebugRngListsBase>,
}

impl First {
    fn of(dwarf: &Dwarf<Bytes>, header: &UnitHeader<Bytes>) -> gimli::Result<First> {
        // Never dropped: its memory is taken back as a whole.
        let abbreviations = ManuallyDrop::new(dwarf.abbreviations(header)?);
        let mut entries = header.entries_raw(&abbreviations, None)?;
        let mut first = First::default();
        let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(first) };
        for spec in abbreviation.attributes() {
            let attribute = entries.read_attribute(*spec)?;
            match attribute.value() {
                AttributeValue::DebugAddrBase(base) => first.addr_base = Some(base),
                AttributeValue::DebugRngListsBase(base) => first.rnglists_base = Some(base),
                value => first.extent.learn(attribute.name(), value),
            }
        }
        Ok(first)
    }

    fn ranges(
        &self,
        dwarf: &Dwarf<Bytes>,
        header: UnitHeader<Bytes>,
        abbreviations: Arc<Abbreviations>,
        push: &mut dyn FnMut(u64, u64),
    ) -> gimli::Result<()> {
        let encoding = header.encoding();
        let kind = DwarfFileType::Main;
        // Not `Dwarf::unit`, which takes the head of the line table apart too.
        let mut unit = Unit {
            header,
            abbreviations,
            name: None,
            comp_dir: None,
            low_pc: 0,
            str_offsets_base: DebugStrOffsetsBase::default_for_encoding_and_file(encoding, kind),
            addr_base: self.addr_base.unwrap_or(DebugAddrBase(0)),
            loclists_base: DebugLocListsBase::default_for_encoding_and_file(encoding, kind),
            rnglists_base: self
                .rnglists_base
                .unwrap_or(DebugRngListsBase::default_for_encoding_and_file(encoding, kind)),
            line_program: None,
            dwo_id: None,
        };
        if let Some(low) = self.extent.low {
            unit.low_pc = dwarf.attr_address(&unit, low)?.unwrap_or(0);
        }
        self.extent.each(dwarf, &unit, push)
    }
}

/// A file by its number in the unit's line table: as the compiler was told, and not where it ran.
fn file_of(
    Reading { dwarf, unit, .. }: Reading<'_>,
    header: &LineProgramHeader<Bytes>,
    number: u64,
) -> Option<Place> {
    let entry = header.file(number)?;
    let text = |value| dwarf.attr_string(unit, value).ok().map(|text| text.slice());
    let file = text(entry.path_name())?;
    let has_dir = entry.directory_index() != 0 && !file.starts_with(b"/");
    let dir = entry.directory(header).filter(|_| has_dir).and_then(text).unwrap_or_default();
    Some(Place { dir, file, line: 0 })
}
