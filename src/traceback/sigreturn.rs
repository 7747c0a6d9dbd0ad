//! The frame between a signal handler and what it interrupted, where no table describes it: musl
//! and hosts with a restorer of their own; and on AArch64, where the table knows two registers.

use super::memory::Memory;
use super::modules::Maps;
use super::unwind::Cursor;
use crate::arch::Regs;
use crate::sys;

/// The registers that a return from the signal handler would restore, if `at` stands before the
/// system call that does so.
pub(super) fn interrupted(at: &Cursor, maps: &mut Maps, memory: &mut Memory) -> Option<Regs> {
    let context = sys::context_at_return(maps.code_from(at.pc())?, at.regs.0[Regs::SP])?;
    sys::registers(context, |addr| memory.word(addr))
}
