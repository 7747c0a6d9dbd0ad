//! x86-64, System V ABI, ELF.

use super::EntryFn;
use core::arch::{global_asm, naked_asm};
use core::ffi::c_void;
use core::sync::atomic::{AtomicUsize, Ordering};

// ---- The TLS word ----------------------------------------------------------------------------
//
// A TLS descriptor: glibc puts the word into static TLS where there is room (two instructions, no
// lock, no allocation), musl accepts it too. Initial-exec would not load on musl; general-dynamic
// may allocate at the first touch, even in a signal handler.
global_asm!(
    ".pushsection .tbss.wharf_tls_word,\"awT\",@nobits",
    ".p2align 3",
    ".globl __wharf_tls_word",
    ".hidden __wharf_tls_word",
    ".type __wharf_tls_word,@object",
    ".size __wharf_tls_word,8",
    "__wharf_tls_word: .zero 8",
    ".popsection",
);

/// The word's offset from the thread pointer where it is the same in every thread, else 0.
static TLS_OFFSET: AtomicUsize = AtomicUsize::new(0);

/// Looks whether the word lies in static TLS, where glibc and musl put it if they have room: its
/// descriptor then holds the offset that the resolver answers. Before any thread is bound.
pub(crate) fn tls_settle() {
    let (offset, held): (usize, usize);
    // SAFETY: as `tls_word_addr`. A linker that knew the place of the word has left no descriptor:
    // then the first instruction is no `lea` any more, and the word is in static TLS.
    unsafe {
        core::arch::asm!(
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
    TLS_OFFSET.store(if offset == held { offset } else { 0 }, Ordering::Relaxed);
}

/// The thread's TLS word, read anew each time: a volatile statement, so that no compiler keeps the
/// value over a switch. `[sig]`
#[inline(always)]
pub(crate) fn tls_word() -> usize {
    let offset = TLS_OFFSET.load(Ordering::Relaxed);
    if offset == 0 {
        return tls_word_described();
    }
    let word: usize;
    // SAFETY: reads a word of this thread.
    unsafe { core::arch::asm!("mov {}, fs:[{}]", out(reg) word, in(reg) offset) };
    word
}

/// Where the offset is not known, or not the same in every thread.
#[cold]
#[inline(never)]
fn tls_word_described() -> usize {
    // SAFETY: a word of this thread.
    unsafe { *tls_word_addr() }
}

/// The address of the thread's TLS word, valid until the thread ends.
///
/// # Safety
/// None beyond the C ABI; `unsafe` because it is assembly.
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

// A mutation build (`--cfg wharf_mutate="…"`) leaves one line out; a named scenario then turns red.
#[cfg(not(wharf_mutate = "g0_sp_store"))]
macro_rules! g0_sp_store {
    () => {
        "mov [rcx], rsp"
    };
}
#[cfg(wharf_mutate = "g0_sp_store")]
macro_rules! g0_sp_store {
    () => {
        ""
    };
}
#[cfg(not(wharf_mutate = "cfi_switch"))]
macro_rules! cfi_switch {
    () => {
        ".cfi_def_cfa_register rbp"
    };
}
#[cfg(wharf_mutate = "cfi_switch")]
macro_rules! cfi_switch {
    () => {
        ""
    };
}

unsafe extern "C-unwind" {
    /// Calls `f(arg)` with the stack pointer at `top`, after writing this stack's position to
    /// `*slot`; see the module's head.
    ///
    /// # Safety
    /// `top` is 16-byte aligned, with room below it for `f`, and nothing that lives below it;
    /// `slot` is writable and stays so until the return.
    #[link_name = "__morestack"]
    pub(crate) fn call_on_stack(f: EntryFn, arg: *mut c_void, top: usize, slot: *mut usize);
}

// Not a naked function: that would have debug information, and in it the name of the Rust function,
// which gdb would take over the symbol's.
global_asm!(
    ".pushsection .text.__morestack,\"ax\",@progbits",
    ".globl __morestack",
    ".hidden __morestack",
    ".type __morestack,@function",
    ".p2align 4",
    "__morestack:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    cfi_switch!(),
    "push rcx",
    g0_sp_store!(),
    "mov rsp, rdx",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "mov rsp, rbp",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
    ".size __morestack, . - __morestack",
    ".popsection",
);

// ---- The readers -----------------------------------------------------------------------------

/// What a walk over the frames starts from, indexed by DWARF register number: rax rdx rcx rbx rsi
/// rdi rbp rsp r8-r15, and the return address.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Regs(pub(crate) [usize; 17]);

impl Regs {
    /// DWARF number of the frame pointer.
    pub(crate) const FP: usize = 6;
    /// DWARF number of the stack pointer.
    pub(crate) const SP: usize = 7;
    /// DWARF number of the program counter (the return address column).
    pub(crate) const PC: usize = 16;

    /// Stack pointer, program counter and callee-saved registers of the function this stands in.
    #[inline(always)]
    pub(crate) fn capture() -> Regs {
        let mut regs = Regs([0; 17]);
        // SAFETY: writes the seventeen words that it is handed.
        unsafe { capture(&mut regs) };
        regs
    }
}

/// The stack pointer of whoever called the switch that left `slot` on its stack, when that has
/// returned: see the drawing in the module's head.
pub(crate) fn sp_behind_switch(slot: usize) -> usize {
    slot + 3 * size_of::<usize>()
}

/// Stack pointer, frame pointer and program counter of whoever called the switch that left `slot`
/// on its stack: see the drawing in the module's head.
///
/// # Safety
/// `slot` is what a switch that has not returned wrote to its slot.
pub(crate) unsafe fn behind_switch(slot: usize) -> [usize; 3] {
    let frame = slot as *const usize;
    // SAFETY: the switch's frame: slot, frame pointer, return address.
    unsafe { [sp_behind_switch(slot), *frame.add(1), *frame.add(2)] }
}

/// Fills `regs` with the registers as they are when this function has returned.
///
/// # Safety
/// `regs` is writable.
#[unsafe(naked)]
unsafe extern "C" fn capture(regs: *mut Regs) {
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

/// Keeps the compiler from leaving this function by a jump to the one called last: its frame stays
/// in the trace. No instruction.
#[inline(always)]
pub(crate) fn keep_frame() {
    // SAFETY: empty.
    unsafe { core::arch::asm!("", options(nomem, nostack, preserves_flags)) };
}

/// The stack pointer, somewhere in the caller's frame.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}
