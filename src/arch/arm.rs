//! ARMv7, AAPCS with hard floats, ELF. All here is ARM code, which Thumb code calls and is called by: a code address's
//! lowest bit tells which it is. Frames are described as EHABI has it, and for debuggers once more.

use super::{Frame, ON_SIGNAL, Regs};
use core::arch::{asm, global_asm, naked_asm};

// ---- The TLS word ----------------------------------------------------------------------------

/// What the word's descriptor answers, and what it holds.
pub(super) fn tls_descriptor() -> (usize, usize) {
    /// The answer in the low half.
    #[unsafe(naked)]
    unsafe extern "C" fn ask() -> u64 {
        // A linker that knew the place of the word has left no descriptor: then there is no call, and the
        // word is in static TLS.
        naked_asm!(
            ".fnstart",
            "push {{r4, lr}}",
            ".save {{r4, lr}}",
            "ldr r0, 4f",
            "adr r4, 2f + 4",
            "add r4, r4, r0",
            "2: bl __wharf_tls_word(tlscall)",
            "ldr r1, 2b",
            "lsr r1, r1, #24",
            "cmp r1, #0xeb",
            "cmpne r1, #0xfa",
            "movne r1, r0",
            "ldreq r1, [r4]",
            "pop {{r4, pc}}",
            "4: .word __wharf_tls_word(tlsdesc) + (. - 2b)",
            ".fnend",
        )
    }
    // SAFETY: as `tls_word_addr`.
    let both = unsafe { ask() };
    (both as usize, (both >> 32) as usize)
}

/// The word at `offset` from the thread pointer; at 0 the address of the thread's module vector.
#[inline(always)]
pub(super) fn tls_load(offset: usize) -> usize {
    let word: usize;
    // SAFETY: reads a word of this thread.
    unsafe { asm!("mrc p15, 0, {0}, c13, c0, 3", "ldr {0}, [{0}, {1}]", out(reg) word, in(reg) offset) };
    word
}

/// The address of the thread's TLS word, valid until the thread ends.
///
/// # Safety
/// None beyond the C ABI; `unsafe` because it is assembly.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn tls_word_addr() -> *mut usize {
    naked_asm!(
        ".fnstart",
        "push {{r4, lr}}",
        ".save {{r4, lr}}",
        "ldr r0, 3f",
        "2: bl __wharf_tls_word(tlscall)",
        "mrc p15, 0, r1, c13, c0, 3",
        "add r0, r0, r1",
        "pop {{r4, pc}}",
        "3: .word __wharf_tls_word(tlsdesc) + (. - 2b)",
        ".fnend",
    )
}

// ---- The switch ------------------------------------------------------------------------------

// Not naked functions: those would have debug information, and in it the names of the Rust functions,
// which gdb would take over the symbols'.
global_asm!(
    ".cfi_sections .debug_frame",
    ".macro wharf_switch name",
    ".globl \\name",
    ".hidden \\name",
    ".type \\name,%function",
    ".p2align 4",
    "\\name:",
    ".fnstart",
    ".cfi_startproc",
    "push {{r11, lr}}",
    ".save {{r11, lr}}",
    ".cfi_def_cfa_offset 8",
    ".cfi_offset r11, -8",
    ".cfi_offset lr, -4",
    "mov r11, sp",
    cfi_switch!(".setfp r11, sp"),
    cfi_switch!(".cfi_def_cfa_register r11"),
    // For `gogo`.
    "vpush {{d8-d15}}",
    "push {{r3-r10}}",
    g0_sp_store!("str sp, [r3]"),
    ".endm",
    ".macro wharf_switch_back",
    "mov sp, r11",
    "pop {{r11, pc}}",
    ".endm",
    ".macro wharf_switch_end name",
    ".cfi_endproc",
    ".fnend",
    ".size \\name, . - \\name",
    ".endm",
    ".pushsection .text.__morestack,\"ax\",%progbits",
    "wharf_switch __morestack",
    "mov sp, r2",
    "mov r12, r0",
    "mov r0, r1",
    "blx r12",
    "2:",
    "ldr r12, [r11, #-96]",
    "ldr r0, [r12, #4]",
    "cmp r0, #0",
    "bne 3f",
    "wharf_switch_back",
    "3:",
    "mov r1, r0",
    "mov r0, r12",
    "blx r1",
    "b 2b",
    "wharf_switch_end __morestack",
    "wharf_switch __wharf_call_here",
    "mov r12, r0",
    "mov r0, r1",
    "blx r12",
    "mov r0, #0",
    "wharf_switch_back",
    "wharf_switch_end __wharf_call_here",
    ".globl __wharf_switch_end",
    ".hidden __wharf_switch_end",
    "__wharf_switch_end:",
    ".popsection",
);

/// Eight registers of two words, seven of one, and the name.
pub(super) const FRAME: Frame = Frame::with_record_on_top(24);

/// Goes back to the switch that left `sp`, as if its function had returned; it gives `value`.
///
/// # Safety
/// The frame at `sp` is whole, and what lies below it on its stack, and on the present one, is given
/// up.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn gogo(sp: usize, value: u32) -> ! {
    naked_asm!(
        ".fnstart",
        ".cantunwind",
        "ldmib r0, {{r4-r10}}",
        "add r2, r0, #32",
        "vldmia r2!, {{d8-d15}}",
        "mov r0, r1",
        "mov sp, r2",
        "pop {{r11, pc}}",
        ".fnend",
    )
}

/// `regs` of a switch's caller, with what the switch keeps for it beside the frame pointer: in Thumb code another register
/// is that.
///
/// # Safety
/// The switch's frame can be read.
pub(crate) unsafe fn recall(mut regs: Regs) -> Regs {
    let from = (regs.0[Regs::SP] - FRAME.bytes + size_of::<usize>()) as *const [usize; 7];
    // SAFETY: as the caller says.
    regs.0[4..11].copy_from_slice(unsafe { &*from });
    regs
}

/// valgrind.h: `VALGRIND_DO_CLIENT_REQUEST_EXPR`.
pub(super) fn valgrind(request: [usize; 6]) -> usize {
    let mut answer = 0;
    // SAFETY: without valgrind no register changes: the rotations add up to two full turns.
    unsafe {
        asm!(
            "ror r12, r12, #3",
            "ror r12, r12, #13",
            "ror r12, r12, #29",
            "ror r12, r12, #19",
            "orr r10, r10, r10",
            in("r4") &request,
            inout("r3") answer,
            options(nostack),
        );
    }
    answer
}

// ---- The signals -----------------------------------------------------------------------------

/// What a signal handler is called with, and on which stack; the next one is called with it in turn.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Delivery {
    pub(crate) signal: usize,
    pub(crate) info: usize,
    pub(crate) context: usize,
    /// Keeps the stack aligned.
    pub(crate) _unused: usize,
    /// The stack pointer when the handler was entered.
    pub(crate) sp: usize,
    pub(crate) return_address: usize,
}

/// Asks, then jumps: the next handler returns to where this one would have, and nothing of ours is
/// left on the stack.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enter_signal() {
    naked_asm!(
        ".fnstart",
        "mov r12, sp",
        "push {{r0-r3, r12, lr}}",
        ".save {{r12, lr}}",
        ".pad #16",
        "ldr r3, 4f",
        "3: add r3, pc, r3",
        "ldr r3, [r3]",
        "mov r0, sp",
        "blx r3",
        "mov r12, r0",
        "ldm sp, {{r0-r3}}",
        "ldr lr, [sp, #20]",
        "ldr sp, [sp, #16]",
        "cmp r12, #0",
        "bxne r12",
        "bx lr",
        "4: .word {ask} - 3b - 8",
        ".fnend",
        ask = sym ON_SIGNAL,
    )
}

/// Has misaligned accesses allowed again: here no thread can forbid them. `[sig]`
#[inline(always)]
pub(crate) fn allow_misaligned() {}

// ---- The readers -----------------------------------------------------------------------------

/// r0-r15.
impl Regs {
    pub(super) const COUNT: usize = 16;
    /// DWARF number of the frame pointer.
    pub(crate) const FP: usize = 11;
    /// DWARF number of the stack pointer.
    pub(crate) const SP: usize = 13;
    /// DWARF number of the program counter.
    pub(crate) const PC: usize = 15;
    /// DWARF number of the register in which a call leaves the return address, if it is not on the stack.
    pub(crate) const LINK: Option<usize> = Some(14);
    /// Bytes from a frame's record up to where the frame pointer points.
    pub(crate) const RECORD_TO_FP: usize = 0;
    /// Names and numbers in the order in which Go prints them, and whether a function keeps it for its
    /// caller.
    #[rustfmt::skip]
    pub(crate) const NAMES: [(&str, usize, bool); Regs::COUNT] = [
        ("r0", 0, false), ("r1", 1, false), ("r2", 2, false), ("r3", 3, false), ("r4", 4, true),
        ("r5", 5, true), ("r6", 6, true), ("r7", 7, true), ("r8", 8, true), ("r9", 9, true),
        ("r10", 10, true), ("fp", 11, true), ("ip", 12, false), ("sp", 13, true), ("lr", 14, false),
        ("pc", 15, true),
    ];
}

/// Fills `regs` with the registers as they are when this function has returned.
///
/// # Safety
/// `regs` is writable.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn capture(regs: *mut Regs) {
    naked_asm!(
        ".fnstart",
        "add r0, r0, #16",
        "stmia r0, {{r4-r11}}",
        "str sp, [r0, #36]",
        "str lr, [r0, #44]",
        "bx lr",
        ".fnend",
    )
}

/// The stack pointer, somewhere in the caller's frame.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// A return address without the bit that says it is one of Thumb code.
#[inline(always)]
pub(crate) fn strip(pc: usize) -> usize {
    pc & !1
}
