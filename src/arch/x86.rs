//! i386 and up, System V ABI as Linux has it (the stack is aligned to 16 at a call), ELF.

use super::{Frame, ON_SIGNAL, Regs};
use core::arch::{asm, global_asm, naked_asm};

// ---- The TLS word ----------------------------------------------------------------------------

/// What the word's descriptor answers, and what it holds.
pub(super) fn tls_descriptor() -> (usize, usize) {
    /// The answer in the low half.
    #[unsafe(naked)]
    unsafe extern "C" fn ask() -> u64 {
        // A linker that knew the place of the word has left no descriptor: then the instruction is
        // another, and the word is in static TLS.
        naked_asm!(
            "pushl %ebx",
            "subl $8, %esp",
            "call 2f",
            "2: popl %ebx",
            "leal 4f-2b(%ebx), %ecx",
            "3: addl $_GLOBAL_OFFSET_TABLE_+(3b-2b), %ebx",
            "4: leal __wharf_tls_word@tlsdesc(%ebx), %eax",
            "movl %eax, %edx",
            "cmpw $0x838d, (%ecx)",
            "jne 5f",
            "movl 4(%eax), %edx",
            "5: call *__wharf_tls_word@tlscall(%eax)",
            "addl $8, %esp",
            "popl %ebx",
            "ret",
            options(att_syntax)
        )
    }
    // SAFETY: as `tls_word_addr`.
    let both = unsafe { ask() };
    (both as usize, (both >> 32) as usize)
}

/// The word at `offset` from the thread pointer; at 0 the control block's own address.
#[inline(always)]
pub(super) fn tls_load(offset: usize) -> usize {
    let word: usize;
    // SAFETY: reads a word of this thread.
    unsafe { asm!("mov {}, gs:[{}]", out(reg) word, in(reg) offset) };
    word
}

/// The address of the thread's TLS word, valid until the thread ends.
///
/// # Safety
/// None beyond the C ABI; `unsafe` because it is assembly.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn tls_word_addr() -> *mut usize {
    naked_asm!(
        ".cfi_startproc",
        "pushl %ebx",
        ".cfi_def_cfa_offset 8",
        ".cfi_offset ebx, -8",
        "subl $8, %esp",
        ".cfi_def_cfa_offset 16",
        "call 2f",
        ".cfi_def_cfa_offset 20",
        "2: popl %ebx",
        ".cfi_def_cfa_offset 16",
        "3: addl $_GLOBAL_OFFSET_TABLE_+(3b-2b), %ebx",
        "leal __wharf_tls_word@tlsdesc(%ebx), %eax",
        "call *__wharf_tls_word@tlscall(%eax)",
        "addl %gs:0, %eax",
        "addl $8, %esp",
        ".cfi_def_cfa_offset 8",
        "popl %ebx",
        ".cfi_restore ebx",
        ".cfi_def_cfa_offset 4",
        "ret",
        ".cfi_endproc",
        options(att_syntax)
    )
}

// ---- The switch ------------------------------------------------------------------------------

// Not naked functions: those would have debug information, and in it the names of the Rust functions,
// which gdb would take over the symbols'.
global_asm!(
    ".macro wharf_switch name",
    ".globl \\name",
    ".hidden \\name",
    ".type \\name,@function",
    ".p2align 4",
    "\\name:",
    ".cfi_startproc",
    "push ebp",
    ".cfi_def_cfa_offset 8",
    ".cfi_offset ebp, -8",
    "mov ebp, esp",
    cfi_switch!(".cfi_def_cfa_register ebp"),
    "mov ecx, [ebp + 20]",
    // For `gogo`.
    "push ebx",
    "push esi",
    "push edi",
    g0_sp_store!("mov [ecx], esp"),
    ".endm",
    // The argument stands where the called function looks for it.
    ".macro wharf_switch_call",
    "sub esp, 12",
    "push dword ptr [ebp + 12]",
    "call dword ptr [ebp + 8]",
    ".endm",
    ".macro wharf_switch_back",
    ".cfi_remember_state",
    "leave",
    ".cfi_def_cfa esp, 4",
    ".cfi_restore ebp",
    "ret 16",
    ".cfi_restore_state",
    ".endm",
    ".macro wharf_switch_end name",
    ".cfi_endproc",
    ".size \\name, . - \\name",
    ".endm",
    ".pushsection .text.__morestack,\"ax\",@progbits",
    "wharf_switch __morestack",
    "mov esp, [ebp + 16]",
    "wharf_switch_call",
    "2:",
    "mov ecx, [ebp + 20]",
    "mov eax, [ecx + 4]",
    "test eax, eax",
    "jne 3f",
    "wharf_switch_back",
    "3:",
    "mov [esp], ecx",
    "call eax",
    "jmp 2b",
    "wharf_switch_end __morestack",
    "wharf_switch __wharf_call_here",
    // Three words and the frame pointer are below the return address: aligned as at a function's entry.
    "sub esp, 12",
    "wharf_switch_call",
    "xor eax, eax",
    "wharf_switch_back",
    "wharf_switch_end __wharf_call_here",
    ".globl __wharf_switch_end",
    ".hidden __wharf_switch_end",
    "__wharf_switch_end:",
    ".popsection",
);

/// Three registers. The name is the last argument.
pub(super) const FRAME: Frame = Frame { name: 8 * size_of::<usize>(), ..Frame::with_record_on_top(3) };

/// Goes back to the switch that left `sp`, as if its function had returned; it gives `value`. Both come in
/// registers: a handler has it jumped to on a stack that may be full.
///
/// # Safety
/// The frame at `sp` is whole, and what lies below it on its stack, and on the present one, is given
/// up.
#[unsafe(naked)]
pub(crate) unsafe extern "fastcall" fn gogo(sp: usize, value: u32) -> ! {
    naked_asm!(
        ".cfi_startproc",
        "mov eax, edx",
        "mov esp, ecx",
        "pop edi",
        "pop esi",
        "pop ebx",
        "pop ebp",
        "ret 16",
        ".cfi_endproc",
    )
}

/// The body of a function of one `i64`, which calls `inner` with it. That gives what [`leave`] does: what the function
/// returns, or a jump by which it ends. The compiler has no such jump here, where arguments are on the stack: the
/// other function's is put where this one had its own.
macro_rules! call_then_leave {
    ($inner:path) => {
        core::arch::naked_asm!(
            ".cfi_startproc",
            "sub esp, 4",
            ".cfi_adjust_cfa_offset 4",
            "push dword ptr [esp + 12]",
            ".cfi_adjust_cfa_offset 4",
            "push dword ptr [esp + 12]",
            ".cfi_adjust_cfa_offset 4",
            "call {}",
            "add esp, 12",
            ".cfi_adjust_cfa_offset -12",
            "test edx, edx",
            "jz 2f",
            "mov [esp + 4], edx",
            "jmp eax",
            "2: ret",
            ".cfi_endproc",
            sym $inner,
        )
    };
}
pub(crate) use call_then_leave;

/// Of [`call_then_leave`]: with `arg` 0 what is returned, else the address of a function that gets `arg`.
pub(crate) fn leave(value_or_function: usize, arg: usize) -> u64 {
    value_or_function as u64 | (arg as u64) << 32
}

/// valgrind.h: `VALGRIND_DO_CLIENT_REQUEST_EXPR`.
pub(super) fn valgrind(request: [usize; 6]) -> usize {
    let mut answer = 0;
    // SAFETY: without valgrind no register changes: the rotations add up to two full turns.
    unsafe {
        asm!(
            "rol edi, 3",
            "rol edi, 13",
            "rol edi, 29",
            "rol edi, 19",
            "xchg ebx, ebx",
            in("eax") &request,
            inout("edx") answer,
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
    /// The stack pointer when the handler was entered; the return address is there, and what follows.
    pub(crate) sp: usize,
    pub(crate) signal: usize,
    pub(crate) info: usize,
    pub(crate) context: usize,
}

/// Asks, then jumps: the next handler returns to where this one would have, with the arguments that stand
/// there, and nothing of ours is left on the stack.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enter_signal() {
    naked_asm!(
        ".cfi_startproc",
        "movl %esp, %ecx",
        "subl $28, %esp",
        ".cfi_def_cfa_offset 32",
        "movl %ebx, 24(%esp)",
        ".cfi_offset ebx, -8",
        // The system clears the direction flag alone.
        "pushfl",
        ".cfi_def_cfa_offset 36",
        "andl ${but_alignment_check}, (%esp)",
        "popfl",
        ".cfi_def_cfa_offset 32",
        "call 2f",
        ".cfi_def_cfa_offset 36",
        "2: popl %ebx",
        ".cfi_def_cfa_offset 32",
        "3: addl $_GLOBAL_OFFSET_TABLE_+(3b-2b), %ebx",
        "movl %ecx, 8(%esp)",
        "movl 4(%ecx), %eax",
        "movl %eax, 12(%esp)",
        "movl 8(%ecx), %eax",
        "movl %eax, 16(%esp)",
        "movl 12(%ecx), %eax",
        "movl %eax, 20(%esp)",
        "leal 8(%esp), %eax",
        "movl %eax, (%esp)",
        "call *{ask}@GOTOFF(%ebx)",
        "movl 24(%esp), %ebx",
        ".cfi_restore ebx",
        "movl 8(%esp), %esp",
        ".cfi_def_cfa_offset 4",
        "testl %eax, %eax",
        "jz 2f",
        "jmpl *%eax",
        "2: ret",
        ".cfi_endproc",
        ask = sym ON_SIGNAL,
        but_alignment_check = const !ALIGNMENT_CHECK,
        options(att_syntax)
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
        "pushfd",
        ".cfi_adjust_cfa_offset 4",
        "and dword ptr [esp], {}",
        "popfd",
        ".cfi_adjust_cfa_offset -4",
        "ret",
        ".cfi_endproc",
        const !ALIGNMENT_CHECK,
    )
}

// ---- The readers -----------------------------------------------------------------------------

/// eax ecx edx ebx esp ebp esi edi, and the return address.
impl Regs {
    pub(super) const COUNT: usize = 9;
    /// DWARF number of the frame pointer.
    pub(crate) const FP: usize = 5;
    /// DWARF number of the stack pointer.
    pub(crate) const SP: usize = 4;
    /// DWARF number of the program counter (the return address column).
    pub(crate) const PC: usize = 8;
    /// DWARF number of the register in which a call leaves the return address, if it is not on the stack.
    pub(crate) const LINK: Option<usize> = None;
    /// Bytes from a frame's record up to where the frame pointer points.
    pub(crate) const RECORD_TO_FP: usize = 0;
    /// Names and numbers in the order in which Go prints them, and whether a function keeps it for its
    /// caller.
    #[rustfmt::skip]
    pub(crate) const NAMES: [(&str, usize, bool); Regs::COUNT] = [
        ("eax", 0, false), ("ebx", 3, true), ("ecx", 1, false), ("edx", 2, false), ("edi", 7, true),
        ("esi", 6, true), ("ebp", 5, true), ("esp", 4, true), ("eip", 8, true),
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
        "mov eax, [esp + 4]",
        "mov [eax + 4*3], ebx",
        "mov [eax + 4*5], ebp",
        "mov [eax + 4*6], esi",
        "mov [eax + 4*7], edi",
        "lea ecx, [esp + 4]",
        "mov [eax + 4*4], ecx",
        "mov ecx, [esp]",
        "mov [eax + 4*8], ecx",
        "ret",
        ".cfi_endproc",
    )
}

/// The stack pointer, somewhere in the caller's frame.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, esp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// A return address as it is: here nothing signs them.
#[inline(always)]
pub(crate) fn strip(pc: usize) -> usize {
    pc
}
