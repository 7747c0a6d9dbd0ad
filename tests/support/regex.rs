//! Regular expressions: the C library's own, POSIX extended, so that no package is needed.

use std::ffi::CString;
use std::mem::MaybeUninit;

/// Whether `pattern` matches somewhere in `text`. `^` and `$` mean lines, `.` no line end; `\n`, `\t` are understood.
pub fn matches(pattern: &str, text: &str) -> bool {
    let compiled = Regex::new(pattern);
    // A text with a NUL cannot be looked through; no host prints one.
    let text = CString::new(text.replace('\0', "\u{fffd}")).expect("NULs are replaced");
    // SAFETY: `compiled` was filled by regcomp, `text` is a C string, and no positions are asked for.
    unsafe { libc::regexec(&compiled.0, text.as_ptr(), 0, std::ptr::null_mut(), 0) == 0 }
}

/// Whether `pattern` matches the whole of `line`.
pub fn matches_line(pattern: &str, line: &str) -> bool {
    matches(&format!("^({pattern})$"), line)
}

struct Regex(libc::regex_t);

impl Regex {
    fn new(pattern: &str) -> Regex {
        let unescaped = pattern.replace("\\n", "\n").replace("\\t", "\t");
        let unescaped = CString::new(unescaped).expect("a pattern holds no NUL");
        let mut compiled = MaybeUninit::<libc::regex_t>::uninit();
        let flags = libc::REG_EXTENDED | libc::REG_NEWLINE | libc::REG_NOSUB;
        // SAFETY: both pointers are good for the call, and `compiled` is filled when it returns 0.
        let status = unsafe { libc::regcomp(compiled.as_mut_ptr(), unescaped.as_ptr(), flags) };
        assert_eq!(status, 0, "not a regular expression: {pattern}");
        // SAFETY: regcomp filled it.
        Regex(unsafe { compiled.assume_init() })
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: regcomp filled it, and it is freed once.
        unsafe { libc::regfree(&mut self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_escapes() {
        assert!(matches("^panic: [A-Z]+\\n\\ngo", "x\npanic: BOOM\n\ngoroutine"));
        assert!(!matches("^BOOM", "panic: BOOM"));
        assert!(!matches("panic.*goroutine", "panic: BOOM\n\ngoroutine"));
        assert!(matches_line("a|b", "b"));
        assert!(!matches_line("a|b", "bc"));
    }
}
