//! Where in the sources a code address is, by the DWARF of its file, and names as people write them.
//!
//! It is made for a process that dies: what it allocates comes from memory reserved for it, is given back
//! only as a whole, and it may be left at any instruction. It reads nothing but what was asked about.
//!
//! | File | Question |
//! |---|---|
//! | `aside` | where to allocate, and how to leave? |
//! | `dwarf` | which unit of a file describes this address? |
//! | `rows` | which line is it? |
//! | `functions` | which functions, inlined ones too, is it in? |
//! | `readable`, `cpp` | how do people write this name? |

mod aside;
mod cpp;
mod dwarf;
mod functions;
mod readable;
mod rows;

pub(crate) use aside::{ASIDES, Aside, is_aside, landing};
pub(crate) use dwarf::Source;
pub(crate) use readable::{RUST_BYTES, is_cpp, name};

/// A function, and where it stands.
#[derive(Clone, Copy, Default)]
pub(crate) struct Call {
    /// As people write it; empty: not asked for, or unknown.
    pub(crate) name: &'static [u8],
    /// Where the file is, as the compiler was told; empty: where it ran, or it is in the name.
    pub(crate) dir: &'static [u8],
    /// Empty: unknown.
    pub(crate) file: &'static [u8],
    /// 0: unknown.
    pub(crate) line: u64,
}
