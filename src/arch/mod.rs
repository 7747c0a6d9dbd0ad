//! The machine room: what no compiler can write for us, one file per CPU.
//!
//! Here stands what is the same on all of them. Each file holds the rest, in the same order:
//!
//! 1. the TLS word: the only thread-local that wharf has, read and written in this room only;
//! 2. the switch: `__morestack`, `__wharf_call_here`, `gogo`, the size of their frame;
//! 3. the signals: the entry of a handler that may pass on what it was called with, and what no handler of ours can
//!    run without;
//! 4. the readers: stack pointer, program counter, callee-saved registers.
//!
//! # The switch
//!
//! `call_on_stack(fn, arg, top, buf)` is the one move by which a thread changes stacks, in both
//! directions: from the host's stack to a G's (`wharf_call`) and back (`wharf_on_host`).
//!
//! ```text
//!   stack left behind                      stack switched to
//!   ...caller's frame                      top ->  (16-byte aligned)
//!   return address                                 (where the CPU pushes it: the way back)
//!   saved frame pointer                            fn's frame ...
//!   saved callee-saved registers
//!   buf, its name        <- buf.sp
//! ```
//!
//! * A word of what is left behind is `buf` itself, at `buf.sp` or near it, so that a frame on the
//!   host's stack names the record it belongs to: that is how a record whose frame was jumped over
//!   is told from one that lives (`[record]`).
//! * `buf.sp` is written before the first instruction of `fn` (`[g0-sp]`).
//! * The registers are saved for `gogo` alone, by which a panic comes back to the switch over frames
//!   that nothing can unwind. A return needs none: `fn` has kept them.
//! * What was deferred runs on `fn`'s stack, when `fn` has returned (`buf.finish`).
//! * While the stack pointer moves, the frame is described by the frame pointer, so every unwinder
//!   walks from `fn` to the caller at every instruction.
//! * The function is called `__morestack`: gdb lets a frame of that name continue on any stack,
//!   above or below.
//! * It returns by the `ret` that pairs with the caller's `call`: no return is mispredicted.
//!
//! The rest of wharf is written once, in Rust, above this file.

use core::ffi::c_void;
use core::sync::atomic::{AtomicUsize, Ordering};

// A mutation build (`--cfg wharf_mutate="…"`) leaves one line out; a named scenario then turns red.
#[cfg(not(wharf_mutate = "g0_sp_store"))]
macro_rules! g0_sp_store {
    ($line:literal) => {
        $line
    };
}
#[cfg(wharf_mutate = "g0_sp_store")]
macro_rules! g0_sp_store {
    ($line:literal) => {
        ""
    };
}
#[cfg(not(wharf_mutate = "cfi_switch"))]
macro_rules! cfi_switch {
    ($line:literal) => {
        $line
    };
}
#[cfg(wharf_mutate = "cfi_switch")]
macro_rules! cfi_switch {
    ($line:literal) => {
        ""
    };
}

// What the assemblers of the two object formats call the same thing; and a symbol's name, before which Mach-O has `_`.
#[cfg(not(target_vendor = "apple"))]
#[allow(unused_macros, reason = "other CPUs know ELF alone")]
macro_rules! elf_or_macho {
    ($elf:literal, $macho:literal) => {
        $elf
    };
}
#[cfg(target_vendor = "apple")]
macro_rules! elf_or_macho {
    ($elf:literal, $macho:literal) => {
        $macho
    };
}

mod hooks;
pub(crate) use hooks::*;

#[cfg(target_vendor = "apple")]
mod apple;
#[cfg(target_vendor = "apple")]
pub(crate) use apple::*;

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "x86", path = "x86.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(target_arch = "riscv64", path = "riscv64.rs")]
#[cfg_attr(target_arch = "arm", path = "arm.rs")]
mod cpu;
#[cfg(target_arch = "arm")]
pub(crate) use cpu::recall;
#[cfg(not(target_vendor = "apple"))]
pub(crate) use cpu::tls_word_addr;
pub(crate) use cpu::{Delivery, allow_misaligned, gogo, stack_pointer, strip};
#[cfg(target_arch = "x86")]
pub(crate) use cpu::{call_then_leave, leave};

// ---- The TLS word ----------------------------------------------------------------------------
//
// A TLS descriptor, where the CPU has one: glibc puts the word into static TLS where there is room (two
// instructions, no lock, no allocation), musl accepts it too. Initial-exec would not load on musl; general-dynamic
// may allocate at the first touch, even in a signal handler. On Apple's systems: `apple`.
#[cfg(not(target_vendor = "apple"))]
core::arch::global_asm!(
    ".pushsection .tbss.wharf_tls_word,\"awT\",%nobits",
    ".p2align 3",
    ".globl __wharf_tls_word",
    ".hidden __wharf_tls_word",
    ".type __wharf_tls_word,%object",
    ".size __wharf_tls_word,{bytes}",
    "__wharf_tls_word: .zero {bytes}",
    ".popsection",
    bytes = const size_of::<usize>(),
);

/// The word's offset from the thread pointer where it is the same in every thread, else 0.
#[cfg(not(target_vendor = "apple"))]
static TLS_OFFSET: AtomicUsize = AtomicUsize::new(0);

/// Looks whether the word lies in static TLS, where glibc and musl put it if they have room: its
/// descriptor then holds the offset that the resolver answers. Before any thread is bound.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn tls_settle() {
    let (offset, held) = cpu::tls_descriptor();
    TLS_OFFSET.store(if offset == held { offset } else { 0 }, Ordering::Relaxed);
}

/// The thread's TLS word, read anew each time: a volatile statement, so that no compiler keeps the
/// value over a switch. `[sig]`
#[cfg(not(target_vendor = "apple"))]
#[inline(always)]
pub(crate) fn tls_word() -> usize {
    if TLS_OFFSET.load(Ordering::Relaxed) != 0 {
        return cpu::tls_load(TLS_OFFSET.load(Ordering::Relaxed));
    }
    // SAFETY: a word of this thread.
    unsafe { *tls_word_addr() }
}

/// As [`tls_word`] where it is one load, in static TLS; else the first word of the thread's control block,
/// an even number: an address. In musl, which never puts there what is opened, its descriptor is asked on the spot.
#[cfg(not(target_vendor = "apple"))]
#[inline(always)]
pub(crate) fn tls_word_quickly() -> usize {
    #[cfg(all(target_env = "musl", any(target_arch = "x86_64", target_arch = "aarch64")))]
    return cpu::tls_ask();
    #[cfg(not(all(target_env = "musl", any(target_arch = "x86_64", target_arch = "aarch64"))))]
    cpu::tls_load(TLS_OFFSET.load(Ordering::Relaxed))
}

// ---- The switch ------------------------------------------------------------------------------

/// What the switch runs on the other stack.
pub(crate) type EntryFn = unsafe extern "C-unwind" fn(*mut c_void);

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
    cpu::valgrind([STACK_REGISTER, low, high, 0, 0, 0])
}

/// Takes [`valgrind_know_stack`] back.
pub(crate) fn valgrind_forget_stack(number: usize) {
    const STACK_DEREGISTER: usize = 0x1502;
    cpu::valgrind([STACK_DEREGISTER, number, 0, 0, 0, 0]);
}

/// Whether valgrind runs us.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn is_in_valgrind() -> bool {
    const RUNNING_ON_VALGRIND: usize = 0x1001;
    cpu::valgrind([RUNNING_ON_VALGRIND, 0, 0, 0, 0, 0]) != 0
}

/// Runs `work` while valgrind tells no errors of this thread.
pub(crate) fn unheard_by_valgrind<T>(work: impl FnOnce() -> T) -> T {
    const CHANGE_ERR_DISABLEMENT: usize = 0x1801;
    cpu::valgrind([CHANGE_ERR_DISABLEMENT, 1, 0, 0, 0, 0]);
    let value = work();
    cpu::valgrind([CHANGE_ERR_DISABLEMENT, usize::MAX, 0, 0, 0, 0]);
    value
}

macro_rules! declare_switch {
    ($abi:literal) => {
        unsafe extern $abi {
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
    };
}
#[cfg(not(target_arch = "x86"))]
declare_switch!("C-unwind");
// Who is called takes the arguments off the stack.
#[cfg(target_arch = "x86")]
declare_switch!("stdcall-unwind");

/// Whether `pc` is a return address into the switch.
pub(crate) fn is_switch(pc: usize) -> bool {
    let start = call_on_stack as *const () as usize;
    // Only its address is taken.
    pc.wrapping_sub(start) < &raw const SWITCH_END as usize - start
}

/// The switch's frame: from its stack pointer, where these are in bytes, to its caller's at the call.
struct Frame {
    /// The saved frame pointer and the return address.
    record: usize,
    /// `buf`; on i386 it is the caller's, an argument.
    name: usize,
    bytes: usize,
}

impl Frame {
    /// As in the drawing in the module's head, with so many words below the record.
    #[allow(dead_code, reason = "AArch64's is another")]
    const fn with_record_on_top(words: usize) -> Frame {
        let record = words * size_of::<usize>();
        Frame { record, name: 0, bytes: record + 2 * size_of::<usize>() }
    }
}

/// The `sp` of the switch whose frame has this frame pointer.
pub(crate) fn switch_sp(fp: usize) -> usize {
    fp - Regs::RECORD_TO_FP - cpu::FRAME.record
}

/// Where the frame of the switch that left `sp` has its name.
#[inline(always)]
pub(crate) fn name_of_switch(sp: usize) -> *const usize {
    (sp + cpu::FRAME.name) as *const usize
}

/// What the switch leaves behind.
pub(crate) const SWITCH_BYTES: usize = cpu::FRAME.bytes;

/// The stack pointer of whoever called the switch that left `sp`, at the call: see the drawing in the
/// module's head.
pub(crate) fn sp_behind_switch(sp: usize) -> usize {
    sp + SWITCH_BYTES
}

/// Stack pointer, frame pointer and program counter of whoever called the switch that left `sp`: see
/// the drawing in the module's head.
///
/// # Safety
/// `sp` is what a switch that has not returned wrote to its buffer.
pub(crate) unsafe fn behind_switch(sp: usize) -> [usize; 3] {
    let frame = (sp + cpu::FRAME.record) as *const usize;
    // SAFETY: of the switch's frame: frame pointer, return address.
    unsafe { [sp_behind_switch(sp), *frame, strip(*frame.add(1))] }
}

// ---- The signals -----------------------------------------------------------------------------

/// A [`SignalFn`], set before the entry is given to the system.
static ON_SIGNAL: AtomicUsize = AtomicUsize::new(0);

/// Looks at a signal, and says which handler is to have it, or 0.
pub(crate) type SignalFn = unsafe extern "C" fn(&mut Delivery) -> usize;

/// The address of the handler to be installed, which asks `f`.
pub(crate) fn signal_entry(f: SignalFn) -> usize {
    ON_SIGNAL.store(f as usize, Ordering::Relaxed);
    cpu::enter_signal as *const () as usize
}

// ---- The readers -----------------------------------------------------------------------------

/// What a walk over the frames starts from, indexed by DWARF register number.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Regs(pub(crate) [usize; Regs::COUNT]);

impl Regs {
    /// Stack pointer, program counter and callee-saved registers of the function this stands in.
    #[inline(always)]
    pub(crate) fn capture() -> Regs {
        let mut regs = Regs([0; Regs::COUNT]);
        // SAFETY: writes the words that it is handed.
        unsafe { cpu::capture(&mut regs) };
        regs
    }
}

/// The same number, of which the compiler knows nothing. No instruction.
#[inline(always)]
pub(crate) fn opaque(number: usize) -> usize {
    let mut number = number;
    // SAFETY: empty.
    unsafe { core::arch::asm!("/* {} */", inout(reg) number, options(nomem, nostack, preserves_flags)) };
    number
}

/// Keeps the compiler from leaving this function by a jump to the one called last: its frame stays
/// in the trace. No instruction.
#[inline(always)]
pub(crate) fn keep_frame() {
    // SAFETY: empty.
    unsafe { core::arch::asm!("", options(nomem, nostack, preserves_flags)) };
}
