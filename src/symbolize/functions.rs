//! The functions around an address, by a unit's entries.

use super::dwarf::{Bytes, Source};
use gimli::{
    Attribute, AttributeValue, DebugInfoOffset, DwAt, Dwarf, EntriesRaw, Unit, UnitOffset, constants as dw,
};

/// Entries between two looks at the clock.
const ENTRIES: u32 = 1024;
/// Entries that are asked for one name.
const STEPS: u32 = 4;

/// The function that was not inlined, and those in it.
#[derive(Default)]
pub(super) struct Function {
    pub(super) name: &'static [u8],
    pub(super) start: Option<u64>,
    /// From the outermost inward.
    pub(super) inlined: Vec<Inlined>,
}

pub(super) struct Inlined {
    pub(super) name: &'static [u8],
    pub(super) call_file: u64,
    pub(super) call_line: u64,
    depth: isize,
}

/// What of the address space an entry says it covers.
#[derive(Clone, Copy, Default)]
pub(super) struct Extent {
    pub(super) low: Option<AttributeValue<Bytes>>,
    high: Option<AttributeValue<Bytes>>,
    ranges: Option<AttributeValue<Bytes>>,
}

impl Extent {
    pub(super) fn learn(&mut self, name: DwAt, value: AttributeValue<Bytes>) {
        match name {
            dw::DW_AT_low_pc => self.low = Some(value),
            dw::DW_AT_high_pc => self.high = Some(value),
            dw::DW_AT_ranges => self.ranges = Some(value),
            _ => {}
        }
    }

    pub(super) fn each(
        &self,
        dwarf: &Dwarf<Bytes>,
        unit: &Unit<Bytes>,
        see: &mut dyn FnMut(u64, u64),
    ) -> gimli::Result<()> {
        if let Some(mut ranges) =
            self.ranges.map(|value| dwarf.attr_ranges(unit, value)).transpose()?.flatten()
        {
            while let Some(range) = ranges.next()? {
                see(range.begin, range.end);
            }
            return Ok(());
        }
        let (Some(low), Some(high)) = (self.low, self.high) else { return Ok(()) };
        let Some(low) = dwarf.attr_address(unit, low)? else { return Ok(()) };
        let high = match high.udata_value() {
            Some(bytes) => low.saturating_add(bytes),
            None => dwarf.attr_address(unit, high)?.unwrap_or(low),
        };
        see(low, high);
        Ok(())
    }

    fn holds(&self, dwarf: &Dwarf<Bytes>, unit: &Unit<Bytes>, at: u64) -> bool {
        let mut found = false;
        let _ = self.each(dwarf, unit, &mut |low, high| found |= low <= at && at < high);
        found
    }
}

/// An entry of a function, as far as it matters here.
#[derive(Default)]
struct Entry {
    extent: Extent,
    sibling: Option<UnitOffset>,
    call_file: u64,
    call_line: u64,
}

/// The functions around an address; `None`, if none is described.
pub(super) fn around(source: &Source, unit: &Unit<Bytes>, at: u64, with_name: bool) -> Option<Function> {
    let mut walk = Walk { source, unit, at, found: None, depth: 0, base: 0 };
    // What is broken further on does not matter to what was found.
    let _ = walk.run();
    let (offset, mut function) = walk.found?;
    if with_name {
        function.name = name_at(source, unit, offset, STEPS).unwrap_or_default();
    }
    Some(function)
}

struct Walk<'a> {
    source: &'a Source,
    unit: &'a Unit<Bytes>,
    at: u64,
    found: Option<(UnitOffset, Function)>,
    /// Of the entry that was found.
    depth: isize,
    /// What is added to the depth that the reader counts.
    base: isize,
}

impl<'a> Walk<'a> {
    fn run(&mut self) -> gimli::Result<()> {
        let mut entries = self.unit.entries_raw(None)?;
        let mut count = 0;
        while !entries.is_empty() {
            count += 1;
            if count % ENTRIES == 0 {
                self.source.time.heed();
            }
            let depth = self.base + entries.next_depth();
            let offset = entries.next_offset();
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            if self.found.is_some() && depth <= self.depth {
                return Ok(()); // Behind the function.
            }
            let tag = abbreviation.tag();
            if !matches!(tag, dw::DW_TAG_subprogram | dw::DW_TAG_inlined_subroutine) {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            let mut entry = Entry::default();
            for spec in abbreviation.attributes() {
                entry.learn(&entries.read_attribute(*spec)?);
            }
            if entry.extent.holds(&self.source.dwarf, self.unit, self.at) {
                self.enter(tag, offset, depth, &entry);
            } else if abbreviation.has_children() && !self.declares(&entry) {
                self.skip(&mut entries, depth, entry.sibling)?;
            }
        }
        Ok(())
    }

    /// Whether code may be described by what is inside an entry that has none itself: an abstract
    /// function may hold a concrete one.
    fn declares(&self, entry: &Entry) -> bool {
        entry.extent.low.is_none() && entry.extent.ranges.is_none()
    }

    fn enter(&mut self, tag: gimli::DwTag, offset: UnitOffset, depth: isize, entry: &Entry) {
        if tag == dw::DW_TAG_subprogram {
            let mut start = u64::MAX;
            let low = &mut |low, _| start = start.min(low);
            // The first range is the one that a call enters.
            let _ = entry.extent.each(&self.source.dwarf, self.unit, low);
            let function = Function { start: Some(start), ..Function::default() };
            self.found = Some((offset, function));
            self.depth = depth;
        } else if let Some((_, function)) = &mut self.found {
            // A sibling of the last one cannot hold the address too, but for wrong tables.
            if function.inlined.last().is_none_or(|outer| outer.depth < depth) {
                let name = name_at(self.source, self.unit, offset, STEPS).unwrap_or_default();
                let Entry { call_file, call_line, .. } = *entry;
                function.inlined.push(Inlined { name, call_file, call_line, depth });
            }
        }
    }

    /// Goes on behind the entry just read, which is at `depth`.
    fn skip(
        &mut self,
        entries: &mut EntriesRaw<'a, 'a, Bytes>,
        depth: isize,
        sibling: Option<UnitOffset>,
    ) -> gimli::Result<()> {
        if let Some(sibling) = sibling.filter(|sibling| sibling.0 > entries.next_offset().0) {
            *entries = self.unit.entries_raw(Some(sibling))?;
            self.base = depth;
            return Ok(());
        }
        let mut count = 0;
        while !entries.is_empty() && self.base + entries.next_depth() > depth {
            if let Some(abbreviation) = entries.read_abbreviation()? {
                entries.skip_attributes(abbreviation.attributes())?;
            }
            count += 1;
            if count % ENTRIES == 0 {
                self.source.time.heed();
            }
        }
        Ok(())
    }
}

impl Entry {
    fn learn(&mut self, attribute: &Attribute<Bytes>) {
        match attribute.name() {
            dw::DW_AT_low_pc | dw::DW_AT_high_pc | dw::DW_AT_ranges => {
                self.extent.learn(attribute.name(), attribute.value());
            }
            dw::DW_AT_sibling => {
                if let AttributeValue::UnitRef(offset) = attribute.value() {
                    self.sibling = Some(offset);
                }
            }
            dw::DW_AT_call_file => {
                if let AttributeValue::FileIndex(file) = attribute.value() {
                    self.call_file = file;
                }
            }
            dw::DW_AT_call_line => self.call_line = attribute.udata_value().unwrap_or(0),
            _ => {}
        }
    }
}

/// The name of the function that the entry `at` is about: the linker's, if there is one. `steps` lead
/// from a concrete entry to the abstract one and its declaration.
fn name_at(source: &Source, unit: &Unit<Bytes>, at: UnitOffset, steps: u32) -> Option<&'static [u8]> {
    let steps = steps.checked_sub(1)?;
    let mut plain = None;
    let mut further = None;
    let mut entries = unit.entries_raw(Some(at)).ok()?;
    for spec in entries.read_abbreviation().ok()??.attributes() {
        let attribute = entries.read_attribute(*spec).ok()?;
        let text = |value| source.dwarf.attr_string(unit, value).ok().map(|text| text.slice());
        match (attribute.name(), attribute.value()) {
            (dw::DW_AT_linkage_name | dw::DW_AT_MIPS_linkage_name, value) => return text(value),
            (dw::DW_AT_name, value) => plain = text(value),
            (dw::DW_AT_abstract_origin | dw::DW_AT_specification, value) => further = Some(value),
            _ => {}
        }
    }
    let further = match further {
        Some(AttributeValue::UnitRef(at)) => name_at(source, unit, at, steps),
        // In another unit, as link-time optimisation has it.
        Some(AttributeValue::DebugInfoRef(at)) => {
            unit_with(source, at).and_then(|(unit, at)| name_at(source, &unit, at, steps))
        }
        _ => None,
    };
    further.or(plain)
}

fn unit_with(source: &Source, offset: DebugInfoOffset) -> Option<(Unit<Bytes>, UnitOffset)> {
    let mut units = source.dwarf.units();
    while let Ok(Some(header)) = units.next() {
        if let Some(inner) = offset.to_unit_offset(&header) {
            return Some((source.dwarf.unit(header).ok()?, inner));
        }
    }
    None
}
