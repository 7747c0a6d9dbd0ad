//! The functions around an address, by a unit's entries.

use super::dwarf::{Bytes, Time};
use gimli::{
    Attribute, AttributeValue, DebugInfoOffset, DwAt, DwTag, Dwarf, EntriesRaw, Unit, UnitOffset,
    constants as dw,
};

/// Entries between two looks at the clock.
const ENTRIES: u32 = 1024;
/// Functions of a unit that are remembered.
const PASSED: usize = 1 << 16;
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

    fn holds(&self, Reading { dwarf, unit, .. }: Reading<'_>, at: u64) -> bool {
        let mut found = false;
        let _ = self.each(dwarf, unit, &mut |low, high| found |= low <= at && at < high);
        found
    }

    /// The lowest address: of the first range, which a call enters.
    fn start(&self, Reading { dwarf, unit, .. }: Reading<'_>) -> Option<u64> {
        let mut start = None;
        let low = &mut |low: u64, _| start = Some(start.unwrap_or(low).min(low));
        let _ = self.each(dwarf, unit, low);
        start
    }

    /// Whether it is nothing at all.
    fn is_none(&self) -> bool {
        self.low.is_none() && self.ranges.is_none()
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

/// A unit, and how long it may be read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) dwarf: &'a Dwarf<Bytes>,
    pub(super) unit: &'a Unit<Bytes>,
    pub(super) time: Time,
}

/// The functions of a unit that were passed on the way to another: the next one may be among them.
pub(super) struct Passed {
    /// From where to where, and their entries.
    functions: Vec<(u64, u64, UnitOffset)>,
    /// Where those that are not known begin; `None`: nowhere.
    next: Option<UnitOffset>,
}

impl Passed {
    pub(super) fn none(unit: &Unit<Bytes>) -> Passed {
        let first = unit.entries_raw(None).ok();
        Passed { functions: Vec::new(), next: first.map(|entries| entries.next_offset()) }
    }

    /// The entry of the function at an address.
    fn find(&mut self, within: Reading<'_>, at: u64) -> Option<UnitOffset> {
        let holds = |&&(low, high, _): &&(u64, u64, UnitOffset)| low <= at && at < high;
        if let Some(&(.., entry)) = self.functions.iter().find(holds) {
            return Some(entry);
        }
        let mut walk = Walk::from(within, self.next.take()?)?;
        while let Some(function) = walk.next_function(isize::MIN) {
            if self.functions.len() >= PASSED {
                self.next.get_or_insert(function.offset);
            }
            if self.next.is_none() {
                let mut keep = |low, high| self.functions.push((low, high, function.offset));
                let _ = function.entry.extent.each(within.dwarf, within.unit, &mut keep);
            }
            if function.entry.extent.holds(within, at) {
                self.next.get_or_insert(walk.entries.next_offset());
                return Some(function.offset);
            }
            // What has no code itself may hold what has: an abstract function a concrete one.
            if !function.entry.extent.is_none() {
                walk.skip(&function);
            }
        }
        None
    }
}

/// The functions around an address; `None`, if none is described.
pub(super) fn around(within: Reading<'_>, passed: &mut Passed, at: u64, with_name: bool) -> Option<Function> {
    let mut offset = passed.find(within, at)?;
    let mut walk = Walk::from(within, offset)?;
    let mut function = Function::default();
    let mut depth = -1;
    while let Some(met) = walk.next_function(depth) {
        if !met.entry.extent.holds(within, at) {
            if !met.entry.extent.is_none() {
                walk.skip(&met);
            }
        } else if met.tag == dw::DW_TAG_subprogram {
            function = Function { start: met.entry.extent.start(within), ..Function::default() };
            (offset, depth) = (met.offset, met.depth);
        // A sibling of the last one cannot hold the address too, but for wrong tables.
        } else if function.inlined.last().is_none_or(|outer| outer.depth < met.depth) {
            let name = name_at(within, met.offset, STEPS).unwrap_or_default();
            let Entry { call_file, call_line, .. } = met.entry;
            function.inlined.push(Inlined { name, call_file, call_line, depth: met.depth });
        }
    }
    if with_name {
        function.name = name_at(within, offset, STEPS).unwrap_or_default();
    }
    Some(function)
}

/// A way through a unit's entries, which ends where they are broken.
struct Walk<'a> {
    within: Reading<'a>,
    entries: EntriesRaw<'a, 'a, Bytes>,
    /// What is added to the depth that the reader counts.
    base: isize,
    count: u32,
}

/// An entry of a function, inlined or not.
struct Met {
    tag: DwTag,
    offset: UnitOffset,
    depth: isize,
    has_children: bool,
    entry: Entry,
}

impl<'a> Walk<'a> {
    fn from(within: Reading<'a>, at: UnitOffset) -> Option<Walk<'a>> {
        Some(Walk { within, entries: within.unit.entries_raw(Some(at)).ok()?, base: 0, count: 0 })
    }

    fn heed(&mut self) {
        self.count += 1;
        if self.count.is_multiple_of(ENTRIES) {
            self.within.time.heed();
        }
    }

    /// The next entry of a function that is deeper than `above`; what is between is passed. `None` where the
    /// entries deeper than that end.
    fn next_function(&mut self, above: isize) -> Option<Met> {
        while !self.entries.is_empty() {
            self.heed();
            let depth = self.base + self.entries.next_depth();
            let offset = self.entries.next_offset();
            let Some(abbreviation) = self.entries.read_abbreviation().ok()? else { continue };
            if depth <= above {
                return None;
            }
            let tag = abbreviation.tag();
            if !matches!(tag, dw::DW_TAG_subprogram | dw::DW_TAG_inlined_subroutine) {
                self.entries.skip_attributes(abbreviation.attributes()).ok()?;
                continue;
            }
            let mut entry = Entry::default();
            for spec in abbreviation.attributes() {
                entry.learn(&self.entries.read_attribute(*spec).ok()?);
            }
            return Some(Met { tag, offset, depth, has_children: abbreviation.has_children(), entry });
        }
        None
    }

    /// Goes on behind what is inside the entry just read.
    fn skip(&mut self, met: &Met) {
        if !met.has_children {
            return;
        }
        let is_ahead = |sibling: &UnitOffset| sibling.0 > self.entries.next_offset().0;
        if let Some(sibling) = met.entry.sibling.filter(is_ahead)
            && let Ok(entries) = self.within.unit.entries_raw(Some(sibling))
        {
            self.entries = entries;
            self.base = met.depth;
            return;
        }
        while !self.entries.is_empty() && self.base + self.entries.next_depth() > met.depth {
            self.heed();
            let skipped = match self.entries.read_abbreviation() {
                Ok(Some(abbreviation)) => self.entries.skip_attributes(abbreviation.attributes()),
                Ok(None) => Ok(()),
                Err(why) => Err(why),
            };
            if skipped.is_err() {
                return;
            }
        }
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
fn name_at(within: Reading<'_>, at: UnitOffset, steps: u32) -> Option<&'static [u8]> {
    let Reading { dwarf, unit, time } = within;
    let steps = steps.checked_sub(1)?;
    let mut plain = None;
    let mut further = None;
    let mut entries = unit.entries_raw(Some(at)).ok()?;
    for spec in entries.read_abbreviation().ok()??.attributes() {
        let attribute = entries.read_attribute(*spec).ok()?;
        let text = |value| dwarf.attr_string(unit, value).ok().map(|text| text.slice());
        match (attribute.name(), attribute.value()) {
            (dw::DW_AT_linkage_name | dw::DW_AT_MIPS_linkage_name, value) => return text(value),
            (dw::DW_AT_name, value) => plain = text(value),
            (dw::DW_AT_abstract_origin | dw::DW_AT_specification, value) => further = Some(value),
            _ => {}
        }
    }
    let further = match further {
        Some(AttributeValue::UnitRef(at)) => name_at(within, at, steps),
        // In another unit, as link-time optimisation has it.
        Some(AttributeValue::DebugInfoRef(at)) => unit_with(dwarf, at)
            .and_then(|(unit, at)| name_at(Reading { dwarf, unit: &unit, time }, at, steps)),
        _ => None,
    };
    further.or(plain)
}

fn unit_with(dwarf: &Dwarf<Bytes>, offset: DebugInfoOffset) -> Option<(Unit<Bytes>, UnitOffset)> {
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        if let Some(inner) = offset.to_unit_offset(&header) {
            return Some((dwarf.unit(header).ok()?, inner));
        }
    }
    None
}
