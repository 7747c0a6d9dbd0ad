//! Rules of the usual kind, kept by place: a stack that overflowed holds the same few places a
//! hundred thousand times.

use super::memory::Memory;
use crate::arch::{Regs, strip};
use core::mem::size_of;
use gimli::{CfaRule, Register, RegisterRule, UnwindContextStorage, UnwindTableRow};

const REGISTERS: usize = size_of::<Regs>() / size_of::<usize>();

/// A frame whose caller's registers are either unchanged or saved at fixed offsets from the CFA.
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// The CFA is this register's value plus `offset`.
    base: u8,
    return_address: u8,
    offset: i32,
    /// Offset from the CFA where a register is saved; 0, the CFA itself, holds none.
    saved: [i16; REGISTERS],
}

impl Row {
    /// `None` when it takes more than offsets.
    pub(super) fn of<S>(row: &UnwindTableRow<usize, S>, return_address: Register) -> Option<Row>
    where
        S: UnwindContextStorage<usize>,
    {
        let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() else { return None };
        let mut saved = [0; REGISTERS];
        for (register, rule) in row.registers() {
            match *rule {
                RegisterRule::Offset(offset) if offset != 0 => {
                    *saved.get_mut(register.0 as usize)? = i16::try_from(offset).ok()?;
                }
                RegisterRule::SameValue => {}
                _ => return None,
            }
        }
        let is_known = |register: Register| (register.0 as usize) < REGISTERS;
        if !is_known(register) || !is_known(return_address) || saved[return_address.0 as usize] == 0 {
            return None;
        }
        let offset = i32::try_from(offset).ok()?;
        Some(Row { base: register.0 as u8, return_address: return_address.0 as u8, offset, saved })
    }

    /// The caller's registers; `None` where memory cannot be read.
    pub(super) fn apply(&self, regs: &Regs, memory: &mut Memory) -> Option<Regs> {
        let cfa = regs.0[self.base as usize].wrapping_add_signed(self.offset as isize);
        let mut caller = *regs;
        caller.0[Regs::SP] = cfa;
        for (value, &offset) in caller.0.iter_mut().zip(&self.saved) {
            if offset != 0 {
                *value = memory.word(cfa.wrapping_add_signed(offset as isize))?;
            }
        }
        caller.0[Regs::PC] = strip(caller.0[self.return_address as usize]);
        Some(caller)
    }
}

const ROWS: usize = 32;

/// The rows that were last asked for.
pub(super) struct Rows {
    rows: [(usize, Row); ROWS],
}

impl Rows {
    pub(super) const fn new() -> Rows {
        Rows { rows: [(0, Row { base: 0, return_address: 0, offset: 0, saved: [0; REGISTERS] }); ROWS] }
    }

    pub(super) fn reset(&mut self) {
        for row in &mut self.rows {
            row.0 = 0;
        }
    }

    pub(super) fn get(&self, place: usize) -> Option<Row> {
        let (known, row) = self.rows[Rows::slot(place)];
        // Place 0, where a null pointer was called, marks an empty slot.
        (known == place && place != 0).then_some(row)
    }

    pub(super) fn keep(&mut self, place: usize, row: Row) {
        self.rows[Rows::slot(place)] = (place, row);
    }

    fn slot(place: usize) -> usize {
        (place ^ place >> 5) % ROWS
    }
}
