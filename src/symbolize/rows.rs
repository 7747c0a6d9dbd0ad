//! The rows of a unit's line table. Not by gimli's reader of them, which takes a table of a megabyte to
//! its end before it answers, without a look at the clock.

use super::dwarf::{Bytes, Time};
use gimli::{LineProgramHeader, constants as dw};

/// Instructions between two looks at the clock.
const INSTRUCTIONS: u32 = 4096;
/// Sequences of a unit that are remembered.
const PASSED: usize = 1 << 16;

/// A row, as far as it matters here.
#[derive(Clone, Copy)]
struct Row {
    address: u64,
    file: u64,
    line: u64,
}

/// The table's state machine, up to the first row behind an address.
struct Machine<'a> {
    header: &'a LineProgramHeader<Bytes>,
    at: u64,
    /// The first special instruction.
    opcode_base: u8,
    /// How far each special instruction goes, in bytes and lines.
    special: [(u64, i64); 256],
    program: &'a [u8],
    row: Row,
    /// The last row of this sequence.
    before: Row,
    /// Whether the linker has thrown away what this sequence describes.
    is_dead: bool,
    /// Where this sequence begins.
    low: u64,
    /// Where the one that has just ended begins and ends.
    ended: Option<(u64, u64)>,
}

/// The sequences of a unit's rows that were passed on the way to another one: the next address may be in one
/// of them.
pub(super) struct Passed {
    /// From where to where, and where their instructions begin.
    sequences: Vec<(u64, u64, usize)>,
    /// Where those begin that are not known.
    next: usize,
}

impl Passed {
    pub(super) const NONE: Passed = Passed { sequences: Vec::new(), next: 0 };

    /// The file's number and the line of the instruction at an address.
    pub(super) fn line_at(
        &mut self,
        header: &LineProgramHeader<Bytes>,
        at: u64,
        time: Time,
    ) -> Option<(u64, u64)> {
        let program = header.raw_program_buf().slice();
        let holds = |&&(low, high, _): &&(u64, u64, usize)| low <= at && at < high;
        let known = self.sequences.iter().find(holds).map(|sequence| sequence.2);
        let mut machine = Machine::at(header, at, program.get(known.unwrap_or(self.next)..)?);
        loop {
            for _ in 0..INSTRUCTIONS {
                if machine.step()? {
                    return Some((machine.before.file, machine.before.line));
                }
                if let Some((low, high)) = machine.ended.take()
                    && known.is_none()
                    && self.sequences.len() < PASSED
                {
                    self.sequences.push((low, high, self.next));
                    self.next = program.len() - machine.program.len();
                }
            }
            time.heed();
        }
    }
}

fn special(header: &LineProgramHeader<Bytes>) -> [(u64, i64); 256] {
    let mut special = [(0, 0); 256];
    for opcode in header.opcode_base()..=255 {
        let above = opcode - header.opcode_base();
        let operations = above.checked_div(header.line_range()).unwrap_or(0);
        let lines = above.checked_rem(header.line_range()).unwrap_or(0);
        let bytes = u64::from(operations) * u64::from(header.minimum_instruction_length());
        special[usize::from(opcode)] = (bytes, i64::from(header.line_base()) + i64::from(lines));
    }
    special
}

impl Row {
    const FIRST: Row = Row { address: 0, file: 1, line: 1 };
    /// Behind all addresses.
    const NONE: Row = Row { address: u64::MAX, ..Row::FIRST };
}

impl<'a> Machine<'a> {
    fn at(header: &'a LineProgramHeader<Bytes>, at: u64, program: &'a [u8]) -> Machine<'a> {
        let (row, before) = (Row::FIRST, Row::NONE);
        let (opcode_base, special) = (header.opcode_base(), special(header));
        Machine {
            header,
            at,
            opcode_base,
            special,
            program,
            row,
            before,
            is_dead: false,
            low: 0,
            ended: None,
        }
    }

    /// Takes an instruction. Whether `before` is the row of the address; `None` at the end.
    #[inline]
    fn step(&mut self) -> Option<bool> {
        let opcode = self.byte()?;
        if opcode < self.opcode_base {
            return self.standard(opcode);
        }
        let (bytes, lines) = self.special[usize::from(opcode)];
        self.advance(bytes);
        self.row.line = self.row.line.wrapping_add_signed(lines);
        Some(self.push())
    }

    fn standard(&mut self, opcode: u8) -> Option<bool> {
        match gimli::DwLns(opcode) {
            gimli::DwLns(0) => return self.extended(),
            dw::DW_LNS_copy => return Some(self.push()),
            dw::DW_LNS_advance_pc => {
                let operations = self.leb128()?.0;
                self.advance(operations.wrapping_mul(self.header.minimum_instruction_length().into()));
            }
            dw::DW_LNS_advance_line => {
                let (value, bits) = self.leb128()?;
                // Its highest bit is the sign.
                let lines = (value << (64 - bits)) as i64 >> (64 - bits);
                self.row.line = self.row.line.wrapping_add_signed(lines);
            }
            dw::DW_LNS_set_file => self.row.file = self.leb128()?.0,
            dw::DW_LNS_const_add_pc => self.advance(self.special[255].0),
            dw::DW_LNS_fixed_advance_pc => {
                let bytes = self.take(2)?.try_into().ok()?;
                self.advance(u16::from_ne_bytes(bytes).into());
            }
            _ => {
                let lengths = self.header.standard_opcode_lengths().slice();
                for _ in 0..*lengths.get(usize::from(opcode) - 1)? {
                    self.leb128()?;
                }
            }
        }
        Some(false)
    }

    fn extended(&mut self) -> Option<bool> {
        let length = self.leb128()?.0 as usize;
        let Some((&code, rest)) = self.take(length)?.split_first() else { return Some(false) };
        match gimli::DwLne(code) {
            dw::DW_LNE_end_sequence => {
                let found = self.push();
                if !found {
                    self.ended = Some(if self.is_dead { (0, 0) } else { (self.low, self.row.address) });
                    (self.row, self.before, self.is_dead, self.low) = (Row::FIRST, Row::NONE, false, 0);
                }
                return Some(found);
            }
            dw::DW_LNE_set_address => {
                let bytes = rest.get(..size_of::<usize>())?.try_into().ok()?;
                self.row.address = usize::from_ne_bytes(bytes) as u64;
                self.is_dead = self.row.address == 0;
                if self.before.address == u64::MAX {
                    self.low = self.row.address;
                }
            }
            _ => {}
        }
        Some(false)
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.program.split_first()?;
        self.program = rest;
        Some(byte)
    }

    fn take(&mut self, bytes: usize) -> Option<&[u8]> {
        let (taken, rest) = self.program.split_at_checked(bytes)?;
        self.program = rest;
        Some(taken)
    }

    /// A number, and how many bits it was given in, at most 64.
    fn leb128(&mut self) -> Option<(u64, u32)> {
        let (mut value, mut bits) = (0, 0);
        loop {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(bits).unwrap_or(0);
            bits += 7;
            if byte < 0x80 {
                return Some((value, bits.min(64)));
            }
        }
    }

    fn advance(&mut self, bytes: u64) {
        self.row.address = self.row.address.wrapping_add(bytes);
    }

    /// Ends the row before this one. Whether it was the one.
    fn push(&mut self) -> bool {
        let is_it = self.before.address <= self.at && self.at < self.row.address && !self.is_dead;
        if !is_it {
            self.before = self.row;
        }
        is_it
    }
}
