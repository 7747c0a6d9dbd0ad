//! AArch64, AAPCS64, ELF and Mach-O. Landing pads for BTI stand where code is jumped to; return addresses are stored
//! unsigned, for `gogo` to find. x18 is the platform's.

use super::{Frame, ON_SIGNAL, Regs};
use core::arch::{asm, global_asm, naked_asm};

// ---- The TLS word ----------------------------------------------------------------------------

/// What the word's descriptor answers, and what it holds.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn tls_descriptor() -> (usize, usize) {
    let (offset, held): (usize, usize);
    // SAFETY: as `tls_word_addr`. A linker that knew the place of the word has left no descriptor:
    // then nothing is loaded into x1 any more, and the word is in static TLS.
    unsafe {
        asm!(
            "mov x1, xzr",
            "adrp x0, :tlsdesc:__wharf_tls_word",
            "ldr x1, [x0, :tlsdesc_lo12:__wharf_tls_word]",
            "add x0, x0, :tlsdesc_lo12:__wharf_tls_word",
            "mov x2, x0",
            "cbz x1, 2f",
            "ldr x2, [x0, #8]",
            "2:",
            ".tlsdesccall __wharf_tls_word",
            "blr x1",
            out("x0") offset,
            out("x2") held,
            clobber_abi("C"),
        );
    }
    (offset, held)
}

/// The word at `offset` from the thread pointer; at 0 the address of the thread's module vector, or none.
#[cfg(not(target_vendor = "apple"))]
#[inline(always)]
pub(super) fn tls_load(offset: usize) -> usize {
    let word: usize;
    // SAFETY: reads a word of this thread.
    unsafe { asm!("mrs {0}, tpidr_el0", "ldr {0}, [{0}, {1}]", out(reg) word, in(reg) offset) };
    word
}

/// The thread's TLS word, by its descriptor, which keeps all registers but these.
#[cfg(target_env = "musl")]
#[inline(always)]
pub(super) fn tls_ask() -> usize {
    let word: usize;
    // SAFETY: as `tls_word_addr`; a word of this thread.
    unsafe {
        asm!(
            "adrp x0, :tlsdesc:__wharf_tls_word",
            "ldr x1, [x0, :tlsdesc_lo12:__wharf_tls_word]",
            "add x0, x0, :tlsdesc_lo12:__wharf_tls_word",
            ".tlsdesccall __wharf_tls_word",
            "blr x1",
            "mrs x1, tpidr_el0",
            "ldr {word}, [x1, x0]",
            word = lateout(reg) word,
            out("x0") _,
            out("x1") _,
            out("lr") _,
        );
    }
    word
}

/// The address of the thread's TLS word, valid until the thread ends.
///
/// # Safety
/// None beyond the C ABI; `unsafe` because it is assembly.
#[cfg(not(target_vendor = "apple"))]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn tls_word_addr() -> *mut usize {
    naked_asm!(
        ".cfi_startproc",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset x29, -16",
        ".cfi_offset x30, -8",
        "adrp x0, :tlsdesc:__wharf_tls_word",
        "ldr x1, [x0, :tlsdesc_lo12:__wharf_tls_word]",
        "add x0, x0, :tlsdesc_lo12:__wharf_tls_word",
        ".tlsdesccall __wharf_tls_word",
        "blr x1",
        "mrs x1, tpidr_el0",
        "add x0, x0, x1",
        "ldp x29, x30, [sp], #16",
        ".cfi_def_cfa_offset 0",
        ".cfi_restore x29",
        ".cfi_restore x30",
        "ret",
        ".cfi_endproc",
    )
}

// ---- The switch ------------------------------------------------------------------------------

// Not naked functions: those would have debug information, and in it the names of the Rust functions,
// which gdb would take over the symbols'.
global_asm!(
    ".macro wharf_switch name",
    ".globl \\name",
    elf_or_macho!(".hidden \\name", ".private_extern \\name"),
    elf_or_macho!(".type \\name,%function", ""),
    ".p2align 4",
    "\\name:",
    ".cfi_startproc",
    "hint #34", // bti c
    "stp x29, x30, [sp, #-176]!",
    ".cfi_def_cfa_offset 176",
    ".cfi_offset x29, -176",
    ".cfi_offset x30, -168",
    "mov x29, sp",
    cfi_switch!(".cfi_def_cfa_register x29"),
    "str x3, [sp, #16]",
    // For `gogo`.
    "stp d8, d9, [sp, #24]",
    "stp d10, d11, [sp, #40]",
    "stp d12, d13, [sp, #56]",
    "stp d14, d15, [sp, #72]",
    "stp x19, x20, [sp, #88]",
    "stp x21, x22, [sp, #104]",
    "stp x23, x24, [sp, #120]",
    "stp x25, x26, [sp, #136]",
    "stp x27, x28, [sp, #152]",
    g0_sp_store!("str x29, [x3]"),
    ".endm",
    ".macro wharf_switch_back",
    "mov w0, wzr",
    "mov sp, x29",
    ".cfi_remember_state",
    "ldp x29, x30, [sp], #176",
    ".cfi_def_cfa sp, 0",
    ".cfi_restore x29",
    ".cfi_restore x30",
    "ret",
    ".cfi_restore_state",
    ".endm",
    ".macro wharf_switch_end name",
    ".cfi_endproc",
    elf_or_macho!(".size \\name, . - \\name", ""),
    ".endm",
    elf_or_macho!(
        ".pushsection .text.__morestack,\"ax\",%progbits",
        ".pushsection __TEXT,__text,regular,pure_instructions"
    ),
    elf_or_macho!("wharf_switch __morestack", "wharf_switch ___morestack"),
    "mov sp, x2",
    "mov x9, x0",
    "mov x0, x1",
    "blr x9",
    "2:",
    "ldr x0, [x29, #16]",
    "ldr x9, [x0, #8]",
    "cbnz x9, 3f",
    "wharf_switch_back",
    "3:",
    "blr x9",
    "b 2b",
    elf_or_macho!("wharf_switch_end __morestack", "wharf_switch_end ___morestack"),
    elf_or_macho!("wharf_switch __wharf_call_here", "wharf_switch ___wharf_call_here"),
    "mov x9, x0",
    "mov x0, x1",
    "blr x9",
    "wharf_switch_back",
    elf_or_macho!("wharf_switch_end __wharf_call_here", "wharf_switch_end ___wharf_call_here"),
    elf_or_macho!(".globl __wharf_switch_end", ".globl ___wharf_switch_end"),
    elf_or_macho!(".hidden __wharf_switch_end", ".private_extern ___wharf_switch_end"),
    // Of one piece with what is before it, whatever the linker leaves out.
    elf_or_macho!("", ".alt_entry ___wharf_switch_end"),
    elf_or_macho!("__wharf_switch_end:", "___wharf_switch_end:"),
    ".popsection",
);

/// The record, the name, eighteen registers, and a word that keeps the stack aligned: the frame pointer, which is the
/// stack pointer then, needs no move of its own.
pub(super) const FRAME: Frame =
    Frame { record: 0, name: 2 * size_of::<usize>(), bytes: 22 * size_of::<usize>() };

/// Goes back to the switch that left `sp`, as if its function had returned; it gives `value`.
///
/// # Safety
/// The frame at `sp` is whole, and what lies below it on its stack, and on the present one, is given
/// up.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn gogo(sp: usize, value: u32) -> ! {
    naked_asm!(
        ".cfi_startproc",
        "hint #34", // bti c
        "ldp d8, d9, [x0, #24]",
        "ldp d10, d11, [x0, #40]",
        "ldp d12, d13, [x0, #56]",
        "ldp d14, d15, [x0, #72]",
        "ldp x19, x20, [x0, #88]",
        "ldp x21, x22, [x0, #104]",
        "ldp x23, x24, [x0, #120]",
        "ldp x25, x26, [x0, #136]",
        "ldp x27, x28, [x0, #152]",
        "ldp x29, x30, [x0]",
        "add sp, x0, #176",
        "mov w0, w1",
        "ret",
        ".cfi_endproc",
    )
}

/// valgrind.h: `VALGRIND_DO_CLIENT_REQUEST_EXPR`.
pub(super) fn valgrind(request: [usize; 6]) -> usize {
    let mut answer = 0;
    // SAFETY: without valgrind no register changes: the rotations add up to two full turns.
    unsafe {
        asm!(
            "ror x12, x12, #3",
            "ror x12, x12, #13",
            "ror x12, x12, #51",
            "ror x12, x12, #61",
            "orr x10, x10, x10",
            in("x4") &request,
            inout("x3") answer,
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
    /// The stack pointer when the handler was entered.
    pub(crate) sp: usize,
    pub(crate) signal: usize,
    pub(crate) info: usize,
    pub(crate) context: usize,
    /// The frame pointer, by which the system has the handler find what it interrupted.
    pub(crate) fp: usize,
    pub(crate) return_address: usize,
}

/// Asks, then jumps: the next handler returns to where this one would have, and nothing of ours is
/// left on the stack.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enter_signal() {
    naked_asm!(
        ".cfi_startproc",
        "hint #34", // bti c
        "mov x9, sp",
        "sub sp, sp, #48",
        ".cfi_def_cfa_offset 48",
        "stp x9, x0, [sp]",
        "stp x1, x2, [sp, #16]",
        "stp x29, x30, [sp, #32]",
        ".cfi_offset x29, -16",
        ".cfi_offset x30, -8",
        "add x29, sp, #32",
        elf_or_macho!("adrp x9, {ask}", "adrp x9, {ask}@PAGE"),
        elf_or_macho!("ldr x9, [x9, :lo12:{ask}]", "ldr x9, [x9, {ask}@PAGEOFF]"),
        "mov x0, sp",
        "blr x9",
        // By x16 a jump may lead to a function's landing pad.
        "mov x16, x0",
        "ldp x9, x0, [sp]",
        "ldp x1, x2, [sp, #16]",
        "ldp x29, x30, [sp, #32]",
        "mov sp, x9",
        ".cfi_def_cfa_offset 0",
        ".cfi_restore x29",
        ".cfi_restore x30",
        "cbz x16, 2f",
        "br x16",
        "2:",
        "ret",
        ".cfi_endproc",
        ask = sym ON_SIGNAL,
    )
}

/// Has misaligned accesses allowed again: here no thread can forbid them. `[sig]`
#[inline(always)]
pub(crate) fn allow_misaligned() {}

// ---- The readers -----------------------------------------------------------------------------

/// x0-x30, the stack pointer, and the program counter.
impl Regs {
    pub(super) const COUNT: usize = 33;
    /// DWARF number of the frame pointer.
    pub(crate) const FP: usize = 29;
    /// DWARF number of the stack pointer.
    pub(crate) const SP: usize = 31;
    /// DWARF number of the program counter.
    pub(crate) const PC: usize = 32;
    /// DWARF number of the register in which a call leaves the return address, if it is not on the stack.
    pub(crate) const LINK: Option<usize> = Some(30);
    /// Bytes from a frame's record up to where the frame pointer points.
    pub(crate) const RECORD_TO_FP: usize = 0;
    /// Names and numbers in the order in which Go prints them, and whether a function keeps it for its
    /// caller.
    #[rustfmt::skip]
    pub(crate) const NAMES: [(&str, usize, bool); Regs::COUNT] = [
        ("r0", 0, false), ("r1", 1, false), ("r2", 2, false), ("r3", 3, false), ("r4", 4, false),
        ("r5", 5, false), ("r6", 6, false), ("r7", 7, false), ("r8", 8, false), ("r9", 9, false),
        ("r10", 10, false), ("r11", 11, false), ("r12", 12, false), ("r13", 13, false), ("r14", 14, false),
        ("r15", 15, false), ("r16", 16, false), ("r17", 17, false), ("r18", 18, false), ("r19", 19, true),
        ("r20", 20, true), ("r21", 21, true), ("r22", 22, true), ("r23", 23, true), ("r24", 24, true),
        ("r25", 25, true), ("r26", 26, true), ("r27", 27, true), ("r28", 28, true), ("r29", 29, true),
        ("lr", 30, false), ("sp", 31, true), ("pc", 32, true),
    ];
}

/// Fills `regs` with the registers as they are when this function has returned.
///
/// # Safety
/// `regs` is writable.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn capture(regs: *mut Regs) {
    naked_asm!(
        ".cfi_startproc",
        "stp x19, x20, [x0, #8*19]",
        "stp x21, x22, [x0, #8*21]",
        "stp x23, x24, [x0, #8*23]",
        "stp x25, x26, [x0, #8*25]",
        "stp x27, x28, [x0, #8*27]",
        "mov x1, sp",
        "str x29, [x0, #8*29]",
        "stp x1, x30, [x0, #8*31]",
        "ret",
        ".cfi_endproc",
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

/// A return address without the signature that its function may have put into it.
#[inline(always)]
pub(crate) fn strip(pc: usize) -> usize {
    let stripped: usize;
    // SAFETY: `xpaclri`, which changes x30 alone, and nothing where there are no signatures.
    unsafe { asm!("hint #7", inout("x30") pc => stripped, options(nomem, nostack, preserves_flags)) };
    stripped
}
