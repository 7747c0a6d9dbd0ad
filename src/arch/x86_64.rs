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
    if TLS_OFFSET.load(Ordering::Relaxed) != 0 {
        return tls_word_quickly();
    }
    // SAFETY: a word of this thread.
    unsafe { *tls_word_addr() }
}

/// As [`tls_word`] where it is one load, in static TLS; else the address of the thread's control block,
/// an even number: by the ABI the first word there.
#[inline(always)]
pub(crate) fn tls_word_quickly() -> usize {
    let word: usize;
    let offset = TLS_OFFSET.load(Ordering::Relaxed);
    // SAFETY: reads a word of this thread.
    unsafe { core::arch::asm!("mov {}, fs:[{}]", out(reg) word, in(reg) offset) };
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

/// Where a switch left a stack, and what is still to be done on the other.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Gobuf {
    /// The stack pointer: the address of the switch's frame.
    pub(crate) sp: AtomicUsize,
    /// Not 0: a [`FinishFn`], called when the function has returned, before the way back; it sets this
    /// to 0.
    pub(crate) finish: AtomicUsize,
}

impl Gobuf {
    pub(crate) fn as_ptr(&self) -> *mut Gobuf {
        // The switch writes by it what atomics let it write.
        core::ptr::from_ref(self).cast_mut()
    }
}

/// Gets the address of the `Gobuf`.
pub(crate) type FinishFn = unsafe extern "C-unwind" fn(*mut Gobuf);

/// Tells valgrind of a stack that threads switch to, `low..high`; returns a number to
/// [`forget`](valgrind_forget_stack) it by. valgrind sees the instructions, which do nothing without it.
pub(crate) fn valgrind_know_stack(low: usize, high: usize) -> usize {
    const STACK_REGISTER: usize = 0x1501;
    valgrind([STACK_REGISTER, low, high, 0, 0, 0])
}

/// Takes [`valgrind_know_stack`] back.
pub(crate) fn valgrind_forget_stack(number: usize) {
    const STACK_DEREGISTER: usize = 0x1502;
    valgrind([STACK_DEREGISTER, number, 0, 0, 0, 0]);
}

/// Whether valgrind runs us.
pub(crate) fn is_in_valgrind() -> bool {
    const RUNNING_ON_VALGRIND: usize = 0x1001;
    valgrind([RUNNING_ON_VALGRIND, 0, 0, 0, 0, 0]) != 0
}

/// Runs `work` while valgrind tells no errors of this thread.
pub(crate) fn unheard_by_valgrind<T>(work: impl FnOnce() -> T) -> T {
    const CHANGE_ERR_DISABLEMENT: usize = 0x1801;
    valgrind([CHANGE_ERR_DISABLEMENT, 1, 0, 0, 0, 0]);
    let value = work();
    valgrind([CHANGE_ERR_DISABLEMENT, usize::MAX, 0, 0, 0, 0]);
    value
}

/// valgrind.h: `VALGRIND_DO_CLIENT_REQUEST_EXPR`.
fn valgrind(request: [usize; 6]) -> usize {
    let mut answer = 0;
    // SAFETY: without valgrind no register changes: the rotations add up to two full turns.
    unsafe {
        core::arch::asm!(
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

unsafe extern "C-unwind" {
    /// Calls `f(arg)` with the stack pointer at `top`, after writing this stack's position to
    /// `buf.sp`; see the module's head. Gives 0, or what `gogo` was given.
    ///
    /// # Safety
    /// `top` is 16-byte aligned, with room below it for `f`, and nothing that lives below it; `buf`
    /// is writable and stays so until the return.
    #[link_name = "__morestack"]
    pub(crate) fn call_on_stack(f: EntryFn, arg: *mut c_void, top: usize, buf: *mut Gobuf) -> u32;

    /// As `call_on_stack`, on the stack that it is called on: a frame to come back to, no more.
    ///
    /// # Safety
    /// `sp` is writable.
    #[link_name = "__wharf_call_here"]
    pub(crate) fn call_here(f: EntryFn, arg: *mut c_void, _: usize, sp: *mut usize) -> u32;

    #[link_name = "__wharf_switch_end"]
    static SWITCH_END: u8;
}

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
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    cfi_switch!(),
    // For `gogo`.
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push rcx",
    g0_sp_store!(),
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
    ".size \\name, . - \\name",
    ".endm",
    ".pushsection .text.__morestack,\"ax\",@progbits",
    "wharf_switch __morestack",
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
    "wharf_switch_end __morestack",
    "wharf_switch __wharf_call_here",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "xor eax, eax",
    "wharf_switch_back",
    "wharf_switch_end __wharf_call_here",
    ".globl __wharf_switch_end",
    ".hidden __wharf_switch_end",
    "__wharf_switch_end:",
    ".popsection",
);

/// Bytes of the switch's frame below the frame pointer.
const BELOW_FP: usize = 6 * size_of::<usize>();

/// Whether `pc` is a return address into the switch.
pub(crate) fn is_switch(pc: usize) -> bool {
    let start = call_on_stack as *const () as usize;
    // Only its address is taken.
    pc.wrapping_sub(start) < &raw const SWITCH_END as usize - start
}

/// The `sp` of the switch whose frame has this frame pointer.
pub(crate) fn switch_sp(fp: usize) -> usize {
    fp - BELOW_FP
}

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

// ---- The signals -----------------------------------------------------------------------------

/// A [`SignalFn`], set before [`signal_entry`] is given to the system.
static ON_SIGNAL: AtomicUsize = AtomicUsize::new(0);

/// What a signal handler is called with, and on which stack; the next one is called with it in turn.
#[repr(C)]
pub(crate) struct Delivery {
    /// The stack pointer when the handler was entered; the return address is there.
    pub(crate) sp: usize,
    pub(crate) signal: usize,
    pub(crate) info: usize,
    pub(crate) context: usize,
}

/// Looks at a signal, and says which handler is to have it, or 0.
pub(crate) type SignalFn = unsafe extern "C" fn(&mut Delivery) -> usize;

/// The address of the handler to be installed, which asks `f`.
pub(crate) fn signal_entry(f: SignalFn) -> usize {
    ON_SIGNAL.store(f as usize, Ordering::Relaxed);
    enter_signal as *const () as usize
}

/// Asks, then jumps: the next handler returns to where this one would have, and nothing of ours is
/// left on the stack.
#[unsafe(naked)]
unsafe extern "C" fn enter_signal() {
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
#[inline(always)]
pub(crate) fn allow_misaligned() {
    // SAFETY: a flag that no code of ours wants.
    unsafe {
        core::arch::asm!("pushfq", "and dword ptr [rsp], {}", "popfq", const !ALIGNMENT_CHECK);
    }
}

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
    /// Names and numbers in the order in which Go prints them, and whether a function keeps it for its
    /// caller.
    #[rustfmt::skip]
    pub(crate) const NAMES: [(&str, usize, bool); 17] = [
        ("rax", 0, false), ("rbx", 3, true), ("rcx", 2, false), ("rdx", 1, false), ("rdi", 5, false),
        ("rsi", 4, false), ("rbp", 6, true), ("rsp", 7, true), ("r8", 8, false), ("r9", 9, false),
        ("r10", 10, false), ("r11", 11, false), ("r12", 12, true), ("r13", 13, true), ("r14", 14, true),
        ("r15", 15, true), ("rip", 16, true),
    ];

    /// Stack pointer, program counter and callee-saved registers of the function this stands in.
    #[inline(always)]
    pub(crate) fn capture() -> Regs {
        let mut regs = Regs([0; 17]);
        // SAFETY: writes the seventeen words that it is handed.
        unsafe { capture(&mut regs) };
        regs
    }
}

/// The stack pointer of whoever called the switch that left `sp`, when that has returned: see the
/// drawing in the module's head.
pub(crate) fn sp_behind_switch(sp: usize) -> usize {
    sp + BELOW_FP + 2 * size_of::<usize>()
}

/// Stack pointer, frame pointer and program counter of whoever called the switch that left `sp`: see
/// the drawing in the module's head.
///
/// # Safety
/// `sp` is what a switch that has not returned wrote to its buffer.
pub(crate) unsafe fn behind_switch(sp: usize) -> [usize; 3] {
    let frame = (sp + BELOW_FP) as *const usize;
    // SAFETY: the end of the switch's frame: frame pointer, return address.
    unsafe { [sp_behind_switch(sp), *frame, *frame.add(1)] }
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
