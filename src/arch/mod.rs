//! The machine room: what no compiler can write for us, one file per CPU.
//!
//! Each file holds the same items in the same order:
//!
//! 1. the TLS word: the only thread-local that wharf has, read and written here only;
//! 2. the switch: `call_on_stack`, `call_here`, `gogo`;
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
//!   return address                                 return address into the switch
//!   saved frame pointer                            fn's frame ...
//!   saved callee-saved registers
//!   buf                  <- buf.sp
//! ```
//!
//! * The last word left behind is `buf` itself and `buf.sp` is its address, so that a frame on the
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

mod hooks;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub(crate) use hooks::*;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;

/// What the switch runs on the other stack.
pub(crate) type EntryFn = unsafe extern "C-unwind" fn(*mut core::ffi::c_void);
