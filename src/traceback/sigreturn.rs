//! The frame between a signal handler and what it interrupted, where no table describes it: musl
//! and hosts with a restorer of their own.

use super::memory::Memory;
use super::modules::Maps;
use super::unwind::Cursor;
use crate::arch::Regs;

/// The registers that a return from the signal handler would restore, if `at` stands before the
/// system call that does so.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(super) fn interrupted(at: &Cursor, maps: &mut Maps, memory: &mut Memory) -> Option<Regs> {
    /// `mov rax, 15; syscall`.
    const CODE: &[u8] = &[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
    /// From the stack pointer (a `ucontext_t`) to the registers.
    const OFFSET: usize = 40;
    /// DWARF numbers in the kernel's order: r8-r15 rdi rsi rbp rbx rdx rax rcx rsp rip.
    const ORDER: [usize; 17] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, Regs::SP, Regs::PC];
    if !maps.code_from(at.pc())?.starts_with(CODE) {
        return None;
    }
    let saved = at.regs.0[Regs::SP].wrapping_add(OFFSET);
    let mut regs = Regs([0; 17]);
    for (i, &register) in ORDER.iter().enumerate() {
        regs.0[register] = memory.word(saved.wrapping_add(8 * i))?;
    }
    Some(regs)
}

/// Elsewhere the vDSO holds that frame, with tables.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub(super) fn interrupted(_at: &Cursor, _maps: &mut Maps, _memory: &mut Memory) -> Option<Regs> {
    None
}
