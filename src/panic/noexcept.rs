//! Whether a function forbids that it is unwound: its language's table names every call that may be,
//! and a call that it does not name ends in `std::terminate` (gcc's `noexcept`, Rust's `extern "C"`).
//! Asked first, so that the panic is reported and not the terminating.

use crate::sys::unwind::Context;

/// Whether to unwind `frame` would end the process.
pub(super) fn ends_in_terminate(frame: &Context) -> bool {
    let Some((start, table)) = frame.language_table() else { return false };
    // SAFETY: a table that the compiler made for this function.
    !unsafe { Reader(table).names_call(frame.pc() - 1 - start) }.unwrap_or(true)
}

/// Reads what compilers write: `.gcc_except_table`, as the Itanium C++ ABI has it.
struct Reader(*const u8);

impl Reader {
    const OMITTED: u8 = 0xff;

    /// Whether the call at `offset` in the function is named; `None` if that cannot be told.
    unsafe fn names_call(&mut self, offset: usize) -> Option<bool> {
        // SAFETY: the caller's table, read in its order; so for all below.
        unsafe {
            let landing_pads = self.byte();
            if landing_pads != Self::OMITTED {
                self.encoded(landing_pads)?;
            }
            if self.byte() != Self::OMITTED {
                self.uleb(); // Where the types are.
            }
            let encoding = self.byte();
            let bytes = self.uleb();
            let end = self.0.wrapping_add(bytes);
            while self.0 < end {
                let start = self.encoded(encoding)?;
                let length = self.encoded(encoding)?;
                self.encoded(encoding)?;
                self.uleb();
                if offset < start {
                    return Some(false);
                }
                if offset < start + length {
                    return Some(true);
                }
            }
        }
        Some(false)
    }

    unsafe fn byte(&mut self) -> u8 {
        // SAFETY: within the table.
        let byte = unsafe { *self.0 };
        self.0 = self.0.wrapping_add(1);
        byte
    }

    unsafe fn uleb(&mut self) -> usize {
        let (mut value, mut shift) = (0, 0);
        loop {
            // SAFETY: within the table.
            let byte = unsafe { self.byte() };
            value |= usize::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            shift += 7;
            if byte & 0x80 == 0 {
                return value;
            }
        }
    }

    unsafe fn encoded(&mut self, encoding: u8) -> Option<usize> {
        let bytes = match encoding {
            // SAFETY: within the table.
            0x01 => return Some(unsafe { self.uleb() }),
            0x00 => size_of::<usize>(),
            0x02 => 2,
            0x03 => 4,
            0x04 => 8,
            _ => return None,
        };
        // SAFETY: within the table.
        Some((0..bytes).fold(0, |value, at| value | usize::from(unsafe { self.byte() }) << (8 * at)))
    }
}
