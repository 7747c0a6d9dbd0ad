//! Names as people write them.

use core::fmt::{self, Write};

/// Longer Rust symbols are not taken apart: nested as deep as it is long, a name could take more stack
/// than there is.
pub(crate) const RUST_BYTES: usize = 512;
/// Longer symbols stay as they are.
const MAX_BYTES: usize = 4096;
/// A name may say more than its symbol; what is beyond this is left out.
const MAX_TEXT: usize = 2048;

/// Whether the symbol may be a mangled C++ name.
pub(crate) fn is_cpp(symbol: &[u8]) -> bool {
    symbol.starts_with(b"_Z") && symbol.len() <= MAX_BYTES
}

/// The name of what a symbol stands for; empty, if the symbol itself is all there is.
pub(crate) fn name(symbol: &'static [u8]) -> &'static [u8] {
    let mut out = Text(String::with_capacity(symbol.len().min(MAX_TEXT)));
    if write_rust(symbol, &mut out) || write_cpp(symbol, &mut out) { out.keep() } else { b"" }
}

/// As [`name`], for a name that may not be mangled.
pub(super) fn name_or(symbol: &'static [u8]) -> &'static [u8] {
    let found = if symbol.starts_with(b"_") { name(symbol) } else { b"" };
    if found.is_empty() { symbol } else { found }
}

fn write_rust(symbol: &[u8], out: &mut Text) -> bool {
    let text = core::str::from_utf8(symbol).ok().filter(|text| text.len() <= RUST_BYTES);
    let Some(rust) = text.and_then(|text| rustc_demangle::try_demangle(text).ok()) else { return false };
    // Without room for more it says so, and has what fits.
    let _ = write!(out, "{rust:#}");
    true
}

fn write_cpp(symbol: &[u8], out: &mut Text) -> bool {
    if !is_cpp(symbol) {
        return false;
    }
    let Ok(symbol) = core::str::from_utf8(symbol) else { return false };
    match super::cpp::print(symbol, out) {
        Some(printed) => printed.is_ok() || out.is_full(),
        None => false,
    }
}

/// Text that has an end.
struct Text(String);

impl Text {
    fn is_full(&self) -> bool {
        self.0.len() == MAX_TEXT
    }

    fn keep(mut self) -> &'static [u8] {
        if self.is_full() {
            self.0.push_str("...");
        }
        self.0.leak().as_bytes()
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut room = MAX_TEXT - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        while !text.is_char_boundary(room) {
            room -= 1;
        }
        self.0.push_str(&text[..room]);
        // Whoever comes next finds it full, in the middle of a character too.
        while !self.is_full() {
            self.0.push('.');
        }
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(symbol: &'static str) -> &'static str {
        core::str::from_utf8(name_or(symbol.as_bytes())).unwrap()
    }

    #[test]
    fn names_are_as_in_the_source() {
        for (symbol, wanted) in [
            ("main", "main"),
            ("_start", "_start"),
            ("_ZN5shape4areaERKNS_6circleE", "shape::area(shape::circle const&)"),
            ("_ZN3boxIiEplERKS0_", "box<int>::operator+(box<int> const&)"),
            ("_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()() const"),
            ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
            ("_Z", "_Z"),
            ("_Zqq", "_Zqq"),
        ] {
            assert_eq!(text(symbol), wanted);
        }
    }

    #[test]
    fn names_have_an_end() {
        let deep: &'static str = format!("_Z1f{}i", "P".repeat(3000)).leak();
        assert_eq!(text(deep), deep);
        let long: &'static str = format!("_Z{}{}v", MAX_BYTES, "x".repeat(MAX_BYTES)).leak();
        assert_eq!(text(long), long);
        let wide: &'static str = format!("_Z1fI1aES_{}", "S0_".repeat(300)).leak();
        assert!(text(wide).len() <= MAX_TEXT + 3);
        // Each argument is twice the one before.
        let mut bomb = String::from("_Z1fN1AI1BEE");
        for i in 0..30 {
            bomb += &format!("N1AIS{0}_S{0}_EE", i);
        }
        assert!(text(bomb.leak()).len() <= MAX_TEXT + 3);
    }
}
