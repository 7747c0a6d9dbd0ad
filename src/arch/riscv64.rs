//! RISC-V, 64 bits with double floats (rv64gc), LP64D, ELF. Nothing is jumped to by t0: with it, a call or a jump
//! is a return to the processor's prediction. The frame pointer is the CFA; below it stand the return address and
//! the old one. gp and tp are the platform's.

use super::{Frame, ON_SIGNAL, Regs};
use core::arch::{asm, global_asm, naked_asm};

// ---- The TLS word ----------------------------------------------------------------------------
//
// Initial-exec, since binutils 2.40 and glibc 2.36 have no descriptors here: the word is in static TLS, or the
// library is not loaded. Places are counted from the last word of the thread's control block, right below the
// thread pointer, so that none is 0.

/// What the word's descriptor would answer, and hold.
pub(super) fn tls_descriptor() -> (usize, usize) {
    let offset: usize;
    // SAFETY: reads what the loader wrote.
    unsafe { asm!("la.tls.ie {}, __wharf_tls_word", out(reg) offset, options(nostack, preserves_flags)) };
    let place = offset + size_of::<usize>();
    (place, place)
}

/// The word at that place; at 0 what is null in glibc and an address in musl.
#[inline(always)]
pub(super) fn tls_load(place: usize) -> usize {
    let word: usize;
    // SAFETY: reads a word of this thread.
    unsafe { asm!("add {0}, tp, {1}", "ld {0}, -8({0})", out(reg) word, in(reg) place) };
    word
}

/// The address of the thread's TLS word, valid until the thread ends.
///
/// # Safety
/// None beyond the C ABI; `unsafe` because it is assembly.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn tls_word_addr() -> *mut usize {
    naked_asm!(".cfi_startproc", "la.tls.ie a0, __wharf_tls_word", "add a0, a0, tp", "ret", ".cfi_endproc",)
}

// ---- The switch ------------------------------------------------------------------------------

// Not naked functions: those would have debug information, and in it the names of the Rust functions,
// which gdb would take over the symbols'.
global_asm!(
    ".macro wharf_switch name",
    ".globl \\name",
    ".hidden \\name",
    ".type \\name,%function",
    ".p2align 4",
    "\\name:",
    ".cfi_startproc",
    "addi sp, sp, -208",
    ".cfi_def_cfa_offset 208",
    "sd ra, 200(sp)",
    "sd s0, 192(sp)",
    ".cfi_offset ra, -8",
    ".cfi_offset s0, -16",
    "addi s0, sp, 208",
    cfi_switch!(".cfi_def_cfa s0, 0"),
    // For `gogo`.
    "fsd fs0, 8(sp)",
    "fsd fs1, 16(sp)",
    "fsd fs2, 24(sp)",
    "fsd fs3, 32(sp)",
    "fsd fs4, 40(sp)",
    "fsd fs5, 48(sp)",
    "fsd fs6, 56(sp)",
    "fsd fs7, 64(sp)",
    "fsd fs8, 72(sp)",
    "fsd fs9, 80(sp)",
    "fsd fs10, 88(sp)",
    "fsd fs11, 96(sp)",
    "sd s1, 104(sp)",
    "sd s2, 112(sp)",
    "sd s3, 120(sp)",
    "sd s4, 128(sp)",
    "sd s5, 136(sp)",
    "sd s6, 144(sp)",
    "sd s7, 152(sp)",
    "sd s8, 160(sp)",
    "sd s9, 168(sp)",
    "sd s10, 176(sp)",
    "sd s11, 184(sp)",
    "sd a3, 0(sp)",
    g0_sp_store!("sd sp, 0(a3)"),
    ".endm",
    ".macro wharf_switch_back",
    "li a0, 0",
    "addi sp, s0, -16",
    ".cfi_remember_state",
    ".cfi_def_cfa sp, 16",
    "ld ra, 8(sp)",
    ".cfi_restore ra",
    "ld s0, 0(sp)",
    ".cfi_restore s0",
    "addi sp, sp, 16",
    ".cfi_def_cfa_offset 0",
    "ret",
    ".cfi_restore_state",
    ".endm",
    ".macro wharf_switch_end name",
    ".cfi_endproc",
    ".size \\name, . - \\name",
    ".endm",
    ".pushsection .text.__morestack,\"ax\",%progbits",
    "wharf_switch __morestack",
    "mv sp, a2",
    "mv t1, a0",
    "mv a0, a1",
    "jalr t1",
    "2:",
    "ld a0, -208(s0)",
    "ld t1, 8(a0)",
    "bnez t1, 3f",
    "wharf_switch_back",
    "3:",
    "jalr t1",
    "j 2b",
    "wharf_switch_end __morestack",
    "wharf_switch __wharf_call_here",
    "mv t1, a0",
    "mv a0, a1",
    "jalr t1",
    "wharf_switch_back",
    "wharf_switch_end __wharf_call_here",
    ".globl __wharf_switch_end",
    ".hidden __wharf_switch_end",
    "__wharf_switch_end:",
    ".popsection",
);

/// Twenty-three registers and the name.
pub(super) const FRAME: Frame = Frame::with_record_on_top(24);

/// Goes back to the switch that left `sp`, as if its function had returned; it gives `value`.
///
/// # Safety
/// The frame at `sp` is whole, and what lies below it on its stack, and on the present one, is given
/// up.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn gogo(sp: usize, value: u32) -> ! {
    naked_asm!(
        ".cfi_startproc",
        "fld fs0, 8(a0)",
        "fld fs1, 16(a0)",
        "fld fs2, 24(a0)",
        "fld fs3, 32(a0)",
        "fld fs4, 40(a0)",
        "fld fs5, 48(a0)",
        "fld fs6, 56(a0)",
        "fld fs7, 64(a0)",
        "fld fs8, 72(a0)",
        "fld fs9, 80(a0)",
        "fld fs10, 88(a0)",
        "fld fs11, 96(a0)",
        "ld s1, 104(a0)",
        "ld s2, 112(a0)",
        "ld s3, 120(a0)",
        "ld s4, 128(a0)",
        "ld s5, 136(a0)",
        "ld s6, 144(a0)",
        "ld s7, 152(a0)",
        "ld s8, 160(a0)",
        "ld s9, 168(a0)",
        "ld s10, 176(a0)",
        "ld s11, 184(a0)",
        "ld s0, 192(a0)",
        "ld ra, 200(a0)",
        "addi sp, a0, 208",
        "mv a0, a1",
        "ret",
        ".cfi_endproc",
    )
}

/// valgrind.h: `VALGRIND_DO_CLIENT_REQUEST_EXPR`.
pub(super) fn valgrind(request: [usize; 6]) -> usize {
    let mut answer = 0;
    // SAFETY: without valgrind no register changes: what is shifted is zero.
    unsafe {
        asm!(
            ".option push",
            ".option norvc",
            "srli zero, zero, 3",
            "srli zero, zero, 13",
            "srli zero, zero, 51",
            "srli zero, zero, 61",
            "or a0, a0, a0",
            ".option pop",
            in("a4") &request,
            inout("a3") answer,
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
    pub(crate) return_address: usize,
}

/// Asks, then jumps: the next handler returns to where this one would have, and nothing of ours is
/// left on the stack.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enter_signal() {
    naked_asm!(
        ".cfi_startproc",
        "mv t0, sp",
        "addi sp, sp, -48",
        ".cfi_def_cfa_offset 48",
        "sd t0, 0(sp)",
        "sd a0, 8(sp)",
        "sd a1, 16(sp)",
        "sd a2, 24(sp)",
        "sd ra, 32(sp)",
        ".cfi_offset ra, -16",
        "lla t1, {ask}",
        "ld t1, 0(t1)",
        "mv a0, sp",
        "jalr t1",
        "mv t1, a0",
        "ld t0, 0(sp)",
        "ld a0, 8(sp)",
        "ld a1, 16(sp)",
        "ld a2, 24(sp)",
        "ld ra, 32(sp)",
        ".cfi_restore ra",
        "mv sp, t0",
        ".cfi_def_cfa_offset 0",
        "beqz t1, 2f",
        "jr t1",
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

/// The program counter, in the place of x0, which is always zero; x1-x31.
impl Regs {
    pub(super) const COUNT: usize = 32;
    /// DWARF number of the frame pointer.
    pub(crate) const FP: usize = 8;
    /// DWARF number of the stack pointer.
    pub(crate) const SP: usize = 2;
    /// What stands for a DWARF number of the program counter, which has none.
    pub(crate) const PC: usize = 0;
    /// DWARF number of the register in which a call leaves the return address, if it is not on the stack.
    pub(crate) const LINK: Option<usize> = Some(1);
    /// Bytes from a frame's record up to where the frame pointer points.
    pub(crate) const RECORD_TO_FP: usize = 2 * size_of::<usize>();
    /// Names and numbers in the order in which Go prints them, and whether a function keeps it for its
    /// caller.
    #[rustfmt::skip]
    pub(crate) const NAMES: [(&str, usize, bool); Regs::COUNT] = [
        ("ra", 1, false), ("sp", 2, true), ("gp", 3, false), ("tp", 4, false),
        ("t0", 5, false), ("t1", 6, false), ("t2", 7, false), ("s0", 8, true),
        ("s1", 9, true), ("a0", 10, false), ("a1", 11, false), ("a2", 12, false),
        ("a3", 13, false), ("a4", 14, false), ("a5", 15, false), ("a6", 16, false),
        ("a7", 17, false), ("s2", 18, true), ("s3", 19, true), ("s4", 20, true),
        ("s5", 21, true), ("s6", 22, true), ("s7", 23, true), ("s8", 24, true),
        ("s9", 25, true), ("s10", 26, true), ("s11", 27, true), ("t3", 28, false),
        ("t4", 29, false), ("t5", 30, false), ("t6", 31, false), ("pc", 0, true),
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
        "sd ra, 0(a0)",
        "sd sp, 8*2(a0)",
        "sd s0, 8*8(a0)",
        "sd s1, 8*9(a0)",
        "sd s2, 8*18(a0)",
        "sd s3, 8*19(a0)",
        "sd s4, 8*20(a0)",
        "sd s5, 8*21(a0)",
        "sd s6, 8*22(a0)",
        "sd s7, 8*23(a0)",
        "sd s8, 8*24(a0)",
        "sd s9, 8*25(a0)",
        "sd s10, 8*26(a0)",
        "sd s11, 8*27(a0)",
        "ret",
        ".cfi_endproc",
    )
}

/// The stack pointer, somewhere in the caller's frame.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mv {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// A return address as it is: here nothing signs them.
#[inline(always)]
pub(crate) fn strip(pc: usize) -> usize {
    pc
}
