//! x86-64, System V ABI, ELF and Mach-O.

use super::{Frame, ON_SIGNAL, Regs};
use core::arch::{asm, global_asm, naked_asm};

// ---- The TLS word ----------------------------------------------------------------------------

/// What the word's descriptor answers, and what it holds.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn tls_descriptor() -> (usize, usize) {
    let (offset, held): (usize, usize);
    // SAFETY: as `tls_word_addr`. A linker that knew the place of the word has left no descriptor:
    // then the first instruction is no `lea` any more, and the word is in static TLS.
    unsafe {
        asm!(
            "lea rdx, [rip + 2f]",
            "2:",
            "lea rax, __wharf_tls_word@tlsdesc[rip]",
            "mov rcx, rax",
            "cmp byte ptr [rdx + 1], 0x8d",
            "jne 3f",
            "mov rcx, [rax + 8]",
            "3:",
            "call [rax + __wharf_tls_word@tlscall]",
            out("rax") offset,
            out("rcx") held,
            out("rdx") _,
            clobber_abi("C"),
        );
    }
    (offset, held)
}

/// The word at `offset` from the thread pointer; at 0 the control block's own address. On Apple's systems the thread
/// pointer is the other segment register.
#[inline(always)]
pub(super) fn tls_load(offset: usize) -> usize {
    let word: usize;
    // SAFETY: reads a word of this thread.
    unsafe { asm!(elf_or_macho!("mov {}, fs:[{}]", "mov {}, gs:[{}]"), out(reg) word, in(reg) offset) };
    word
}

/// The thread's TLS word, by its descriptor, which keeps all registers but this one.
#[cfg(target_env = "musl")]
#[inline(always)]
pub(super) fn tls_ask() -> usize {
    let word: usize;
    // SAFETY: as `tls_word_addr`; a word of this thread.
    unsafe {
        asm!(
            "lea rax, __wharf_tls_word@tlsdesc[rip]",
            "call [rax + __wharf_tls_word@tlscall]",
            "mov {word}, fs:[rax]",
            word = lateout(reg) word,
            out("rax") _,
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
        "sub rsp, 8",
        ".cfi_adjust_cfa_offset 8",
        "lea rax, __wharf_tls_word@tlsdesc[rip]",
        "call [rax + __wharf_tls_word@tlscall]",
        "add rax, fs:[0]",
        "add rsp, 8",
        ".cfi_adjust_cfa_offset -8",
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
    elf_or_macho!(".type \\name,@function", ""),
    ".p2align 4",
    "\\name:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    cfi_switch!(".cfi_def_cfa_register rbp"),
    // For `gogo`.
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push rcx",
    g0_sp_store!("mov [rcx], rsp"),
    ".endm",
    ".macro wharf_switch_back",
    "mov rsp, rbp",
    ".cfi_remember_state",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_restore_state",
    ".endm",
    ".macro wharf_switch_end name",
    ".cfi_endproc",
    elf_or_macho!(".size \\name, . - \\name", ""),
    ".endm",
    elf_or_macho!(
        ".pushsection .text.__morestack,\"ax\",@progbits",
        ".pushsection __TEXT,__text,regular,pure_instructions"
    ),
    elf_or_macho!("wharf_switch __morestack", "wharf_switch ___morestack"),
    "mov rsp, rdx",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "2:",
    "mov rdi, [rbp - 8*6]",
    "mov rax, [rdi + 8]",
    "test rax, rax",
    "jne 3f",
    "wharf_switch_back",
    "3:",
    "call rax",
    "jmp 2b",
    elf_or_macho!("wharf_switch_end __morestack", "wharf_switch_end ___morestack"),
    elf_or_macho!("wharf_switch __wharf_call_here", "wharf_switch ___wharf_call_here"),
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "xor eax, eax",
    "wharf_switch_back",
    elf_or_macho!("wharf_switch_end __wharf_call_here", "wharf_switch_end ___wharf_call_here"),
    elf_or_macho!(".globl __wharf_switch_end", ".globl ___wharf_switch_end"),
    elf_or_macho!(".hidden __wharf_switch_end", ".private_extern ___wharf_switch_end"),
    // Of one piece with what is before it, whatever the linker leaves out.
    elf_or_macho!("", ".alt_entry ___wharf_switch_end"),
    elf_or_macho!("__wharf_switch_end:", "___wharf_switch_end:"),
    ".popsection",
);

/// Five registers and the name.
pub(super) const FRAME: Frame = Frame::with_record_on_top(6);

/// Goes back to the switch that left `sp`, as if its function had returned; it gives `value`.
///
/// # Safety
/// The frame at `sp` is whole, and what lies below it on its stack, and on the present one, is given
/// up.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn gogo(sp: usize, value: u32) -> ! {
    naked_asm!(
        ".cfi_startproc",
        "mov eax, esi",
        "lea rsp, [rdi + 8]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
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
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") &request,
            inout("rdx") answer,
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
    /// The stack pointer when the handler was entered; the return address is there.
    pub(crate) sp: usize,
    pub(crate) signal: usize,
    pub(crate) info: usize,
    pub(crate) context: usize,
}

/// Asks, then jumps: the next handler returns to where this one would have, and nothing of ours is
/// left on the stack.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enter_signal() {
    naked_asm!(
        ".cfi_startproc",
        "mov rcx, rsp",
        "sub rsp, 8*5",
        ".cfi_adjust_cfa_offset 8*5",
        "mov [rsp], rcx",
        "mov [rsp + 8], rdi",
        "mov [rsp + 8*2], rsi",
        "mov [rsp + 8*3], rdx",
        // The system clears the direction flag alone.
        "pushfq",
        ".cfi_adjust_cfa_offset 8",
        "and dword ptr [rsp], {but_alignment_check}",
        "popfq",
        ".cfi_adjust_cfa_offset -8",
        "mov rdi, rsp",
        "call [rip + {ask}]",
        "mov r11, rax",
        "mov rcx, [rsp]",
        "mov rdi, [rsp + 8]",
        "mov rsi, [rsp + 8*2]",
        "mov rdx, [rsp + 8*3]",
        "mov rsp, rcx",
        ".cfi_adjust_cfa_offset -8*5",
        "xor eax, eax",
        "test r11, r11",
        "jz 2f",
        "jmp r11",
        "2:",
        "ret",
        ".cfi_endproc",
        but_alignment_check = const !ALIGNMENT_CHECK,
        ask = sym ON_SIGNAL,
    )
}

/// The flag that has the processor fault on misaligned accesses.
const ALIGNMENT_CHECK: i32 = 0x40000;

/// Has misaligned accesses allowed again, which the compiler and the C library make. `[sig]`
pub(crate) fn allow_misaligned() {
    // SAFETY: a flag that no code of ours wants.
    unsafe { clear_alignment_check() }
}

/// A function, for the sake of its frame's description.
#[unsafe(naked)]
unsafe extern "C" fn clear_alignment_check() {
    naked_asm!(
        ".cfi_startproc",
        "pushfq",
        ".cfi_adjust_cfa_offset 8",
        "and dword ptr [rsp], {}",
        "popfq",
        ".cfi_adjust_cfa_offset -8",
        "ret",
        ".cfi_endproc",
        const !ALIGNMENT_CHECK,
    )
}

// ---- The readers -----------------------------------------------------------------------------

/// rax rdx rcx rbx rsi rdi rbp rsp r8-r15, and the return address.
impl Regs {
    pub(super) const COUNT: usize = 17;
    /// DWARF number of the frame pointer.
    pub(crate) const FP: usize = 6;
    /// DWARF number of the stack pointer.
    pub(crate) const SP: usize = 7;
    /// DWARF number of the program counter (the return address column).
    pub(crate) const PC: usize = 16;
    /// DWARF number of the register in which a call leaves the return address, if it is not on the stack.
    pub(crate) const LINK: Option<usize> = None;
    /// Bytes from a frame's record up to where the frame pointer points.
    pub(crate) const RECORD_TO_FP: usize = 0;
    /// Names and numbers in the order in which Go prints them, and whether a function keeps it for its
    /// caller.
    #[rustfmt::skip]
    pub(crate) const NAMES: [(&str, usize, bool); Regs::COUNT] = [
        ("rax", 0, false), ("rbx", 3, true), ("rcx", 2, false), ("rdx", 1, false), ("rdi", 5, false),
        ("rsi", 4, false), ("rbp", 6, true), ("rsp", 7, true), ("r8", 8, false), ("r9", 9, false),
        ("r10", 10, false), ("r11", 11, false), ("r12", 12, true), ("r13", 13, true), ("r14", 14, true),
        ("r15", 15, true), ("rip", 16, true),
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
        "mov [rdi + 8*3], rbx",
        "mov [rdi + 8*6], rbp",
        "lea rax, [rsp + 8]",
        "mov [rdi + 8*7], rax",
        "mov [rdi + 8*12], r12",
        "mov [rdi + 8*13], r13",
        "mov [rdi + 8*14], r14",
        "mov [rdi + 8*15], r15",
        "mov rax, [rsp]",
        "mov [rdi + 8*16], rax",
        "ret",
        ".cfi_endproc",
    )
}

/// The stack pointer, somewhere in the caller's frame.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// A return address as it is: here nothing signs them.
#[inline(always)]
pub(crate) fn strip(pc: usize) -> usize {
    pc
}
