//! Whether a function forbids that it is unwound: its language's table names every call that may be,
//! and a call that it does not name ends in `std::terminate` (gcc's `noexcept`, Rust's `extern "C"`). clang
//! names them, with code that catches all and terminates, which is told by its looks; where destructors
//! come before that, it is not. Asked first, so that the panic is reported and not the terminating.

use crate::sys::unwind::Context;

/// Whether to unwind `frame` would end the process.
pub(super) fn ends_in_terminate(frame: &Context) -> bool {
    let Some((start, table)) = frame.language_table() else { return false };
    // SAFETY: a table that the compiler made for this function.
    match unsafe { Reader(table).landing_pad(frame.pc() - 1 - start) } {
        Some(Call::Named(0)) | None => false,
        // SAFETY: code of the function.
        Some(Call::Named(pad)) => unsafe { calls_terminate((start + pad) as *const u8) },
        Some(Call::NotNamed) => true,
    }
}

/// What a table says of a call.
enum Call {
    /// Where the function lands when it is unwound; 0: nowhere.
    Named(usize),
    NotNamed,
}

/// Whether the code only hands what was caught to clang's `__clang_call_terminate`, which has no name in a
/// stripped program.
#[cfg(target_arch = "x86_64")]
unsafe fn calls_terminate(pad: *const u8) -> bool {
    const MOVE_AND_CALL: [u8; 4] = [0x48, 0x89, 0xc7, 0xe8];
    // SAFETY: instructions, read as far as they have been understood.
    unsafe {
        let pad = past_endbr(pad);
        if pad.cast::<[u8; 4]>().read() != MOVE_AND_CALL {
            return false;
        }
        let distance = pad.add(4).cast::<i32>().read_unaligned();
        let mut code = past_endbr(pad.add(8).offset(distance as isize));
        // push rax; or push rbp, mov rbp, rsp
        code = match code.cast::<[u8; 4]>().read() {
            [0x50, ..] => code.add(1),
            [0x55, 0x48, 0x89, 0xe5] => code.add(4),
            _ => return false,
        };
        // Two calls that follow each other: the second gets nothing of what the first gave.
        (0..2).all(|_| {
            let bytes = match code.cast::<[u8; 2]>().read() {
                [0xe8, _] => 5,
                [0xff, 0x15] => 6,
                _ => return false,
            };
            code = code.add(bytes);
            true
        })
    }
}

/// Behind an `endbr64`, if one is there.
#[cfg(target_arch = "x86_64")]
unsafe fn past_endbr(code: *const u8) -> *const u8 {
    // SAFETY: instructions.
    unsafe { if code.cast::<[u8; 4]>().read() == [0xf3, 0x0f, 0x1e, 0xfa] { code.add(4) } else { code } }
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn calls_terminate(_: *const u8) -> bool {
    false
}

/// Reads what compilers write: `.gcc_except_table`, as the Itanium C++ ABI has it.
struct Reader(*const u8);

impl Reader {
    const OMITTED: u8 = 0xff;

    /// Where the call at `offset` in the function lands; `None` if that cannot be told.
    unsafe fn landing_pad(&mut self, offset: usize) -> Option<Call> {
        // SAFETY: the caller's table, read in its order; so for all below.
        unsafe {
            let landing_pads = self.byte();
            let counts_from_start = landing_pads == Self::OMITTED;
            if !counts_from_start {
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
                let pad = self.encoded(encoding)?;
                self.uleb();
                if offset < start {
                    return Some(Call::NotNamed);
                }
                if offset < start + length {
                    return Some(Call::Named(if counts_from_start { pad } else { 0 }));
                }
            }
        }
        Some(Call::NotNamed)
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
