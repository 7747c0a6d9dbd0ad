//! The report for machines: a JSON object a line, whatever bytes a message or a name has.

use core::fmt::{self, Write};

use super::others::{self, Place};
use super::text::{OTHERS_NS, regs_at};
use super::{Level, Report, host_side};
use crate::arch::Regs;
use crate::base::Printer;
use crate::sys;
use crate::traceback::{Area, Listed, list};

impl Report<'_> {
    /// Writes it to `out`. `what`: the message, as it is printed for people.
    pub(super) fn write_json(&self, out: &mut Printer, what: &[u8], area: &mut Area) {
        let (kind, message) = kind_of(what);
        let mut line = Line::begin(out);
        line.text("wharf", kind.as_bytes());
        line.key("message");
        line.unindented(message);
        line.value("pid", sys::getpid());
        line.value("tid", sys::gettid());
        line.value("time_ns", sys::wall_ns());
        line.text("version", env!("CARGO_PKG_VERSION").as_bytes());
        line.text("level", self.level.name().as_bytes());
        line.end();
        if self.level > Level::None {
            self.write_dying(out, area);
        }
        if self.level >= Level::All {
            self.write_others(out, area);
        }
        if self.level == Level::System {
            self.write_library(out);
        }
        Line::begin(out).last("wharf", "end");
    }

    fn write_dying(&self, out: &mut Printer, area: &mut Area) {
        let mut line = Line::begin(out);
        line.goroutine(self.goid(), sys::gettid(), "running");
        let Report { m, death, .. } = self;
        line.frames(&death.regs, death.is_exact, area, &|sp| host_side(m.as_ref()?, sp));
        line.end();
    }

    fn write_others(&self, out: &mut Printer, area: &mut Area) {
        let more = others::each(self.m, sys::now_ns() + OTHERS_NS, &mut |other| {
            let mut line = Line::begin(out);
            let (Place::Out(frame) | Place::Inside(frame)) = other.place;
            line.goroutine(Some(other.on.goid()), other.tid, other.place.state());
            if let Place::Inside(_) = other.place {
                line.text("stack", b"unavailable");
            }
            line.frames(&regs_at(frame), false, area, &others::host_side_of);
            line.end();
        });
        if more > 0 {
            let mut line = Line::begin(out);
            line.value("more_threads", more);
            line.end();
        }
    }

    fn write_library(&self, out: &mut Printer) {
        let mut line = Line::begin(out);
        line.key("registers");
        line.open(b"{");
        self.each_register(&mut |name, value| line.text(name, &Hex::of(value)));
        line.close(b"}");
        let mut text = [0; 2048];
        // SAFETY: the array is ours.
        let mut printer = unsafe { Printer::to_memory(text.as_mut_ptr(), text.len()) };
        self.print_library(&mut printer);
        let length = printer.printed().min(text.len());
        line.text("library", text[..length].trim_ascii_end());
        line.end();
    }
}

/// What kind of death it is, and the rest of its text.
fn kind_of(what: &[u8]) -> (&'static str, &[u8]) {
    for (before, kind) in [("panic: ", "panic"), ("fatal error: ", "fatal error")] {
        if let Some(message) = what.strip_prefix(before.as_bytes()) {
            return (kind, message);
        }
    }
    (if what.starts_with(b"SIG") { "signal" } else { "fatal error" }, what)
}

/// An object that is being written.
struct Line<'a> {
    out: &'a mut Printer,
    /// Whether something stands before the next thing in the innermost braces.
    comma: bool,
}

impl Line<'_> {
    fn begin(out: &mut Printer) -> Line<'_> {
        out.bytes(b"{");
        Line { out, comma: false }
    }

    fn end(self) {
        self.out.bytes(b"}\n");
        self.out.flush();
    }

    fn last(mut self, key: &str, value: &str) {
        self.text(key, value.as_bytes());
        self.end();
    }

    fn open(&mut self, bracket: &[u8]) {
        self.out.bytes(bracket);
        self.comma = false;
    }

    fn close(&mut self, bracket: &[u8]) {
        self.out.bytes(bracket);
        self.comma = true;
    }

    /// A comma, if something stands before.
    fn next(&mut self) {
        if self.comma {
            self.out.bytes(b",");
        }
        self.comma = true;
    }

    fn key(&mut self, key: &str) {
        self.next();
        let _ = write!(self.out, "\"{key}\":");
    }

    fn value(&mut self, key: &str, value: impl fmt::Display) {
        self.key(key);
        let _ = write!(self.out, "{value}");
    }

    fn text(&mut self, key: &str, text: &[u8]) {
        self.key(key);
        self.out.bytes(b"\"");
        escape(self.out, text);
        self.out.bytes(b"\"");
    }

    /// A string, without the tabs that people get behind line breaks.
    fn unindented(&mut self, text: &[u8]) {
        self.out.bytes(b"\"");
        for (n, part) in text.split(|&byte| byte == b'\n').enumerate() {
            if n > 0 {
                escape(self.out, b"\n");
            }
            escape(self.out, if n > 0 { part.strip_prefix(b"\t").unwrap_or(part) } else { part });
        }
        self.out.bytes(b"\"");
    }

    fn goroutine(&mut self, goid: Option<u32>, tid: i32, state: &str) {
        match goid {
            Some(goid) => self.value("goroutine", goid),
            None => self.value("goroutine", "null"),
        }
        self.value("tid", tid);
        self.text("state", state.as_bytes());
    }

    fn frames(
        &mut self,
        regs: &Regs,
        is_exact: bool,
        area: &mut Area,
        link: &dyn Fn(usize) -> Option<crate::traceback::Frame>,
    ) {
        let mut is_lost = false;
        self.key("frames");
        self.open(b"[");
        list(regs, is_exact, area, link, &mut |listed| match listed {
            Listed::Frame(pc, text) => each_call(text, &mut |call| self.call(pc, call)),
            Listed::Elided(count) => {
                self.next();
                self.open(b"{");
                self.value("elided", count);
                self.close(b"}");
            }
            Listed::Lost => is_lost = true,
        });
        self.close(b"]");
        if is_lost {
            self.value("lost", true);
        }
    }

    fn call(&mut self, pc: usize, call: Call<'_>) {
        self.next();
        self.open(b"{");
        self.text("pc", &Hex::of(pc));
        for (key, text) in [
            ("function", call.function),
            ("function_offset", call.function_offset),
            ("module", call.module),
            ("offset", call.offset),
            ("build_id", call.build_id),
            ("file", call.file),
        ] {
            if !text.is_empty() {
                self.text(key, text);
            }
        }
        if let Some(line) = core::str::from_utf8(call.line).ok().and_then(|line| line.parse::<u32>().ok()) {
            self.value("line", line);
        }
        if call.is_inlined {
            self.value("inlined", true);
        }
        self.close(b"}");
    }
}

/// What a frame's lines say; what they do not is empty.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Call<'a> {
    function: &'a [u8],
    function_offset: &'a [u8],
    module: &'a [u8],
    offset: &'a [u8],
    build_id: &'a [u8],
    file: &'a [u8],
    line: &'a [u8],
    is_inlined: bool,
}

/// Reads a frame's lines, of which each second one begins with a tab: `function+0xOFF`,
/// `\tfile:line module+0xOFF`; before them `function(...)`, `\tfile:line` for each that was inlined.
fn each_call<'a>(text: &'a [u8], see: &mut dyn FnMut(Call<'a>)) {
    let mut lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    while let Some(name) = lines.next() {
        let place = lines.next().unwrap_or_default();
        let place = place.strip_prefix(b"\t").unwrap_or(place);
        if let Some(function) = name.strip_suffix(b"(...)") {
            let (file, line) = split_last(place, b":").unwrap_or_default();
            see(Call { function, file, line, is_inlined: true, ..Call::default() });
            continue;
        }
        let (function, function_offset) = split_last(name, b"+").unwrap_or_default();
        let (place, build_id) = split_build_id(place);
        let (source, code) = split_source(place);
        let (file, line) = split_last(source, b":").unwrap_or_default();
        let (module, offset) = split_last(code, b"+").unwrap_or_default();
        see(Call { function, function_offset, module, offset, build_id, file, line, is_inlined: false });
    }
}

fn split_last<'a>(text: &'a [u8], at: &[u8; 1]) -> Option<(&'a [u8], &'a [u8])> {
    let place = text.iter().rposition(|byte| *byte == at[0])?;
    Some((&text[..place], &text[place + 1..]))
}

/// Splits `place (BuildId: ID)`, or gives an empty id.
fn split_build_id(place: &[u8]) -> (&[u8], &[u8]) {
    const MARK: &[u8] = b" (BuildId: ";
    match place.windows(MARK.len()).position(|part| part == MARK) {
        Some(at) => (&place[..at], place[at + MARK.len()..].strip_suffix(b")").unwrap_or_default()),
        None => (place, b""),
    }
}

/// Splits `file:line module+0xOFF` behind the line, or gives an empty source.
fn split_source(place: &[u8]) -> (&[u8], &[u8]) {
    let is_line = |source: &[u8]| {
        split_last(source, b":")
            .is_some_and(|(_, line)| !line.is_empty() && line.iter().all(u8::is_ascii_digit))
    };
    let spaces = (0..place.len()).filter(|&at| place[at] == b' ');
    match spaces.into_iter().find(|&at| is_line(&place[..at])) {
        Some(at) => (&place[..at], &place[at + 1..]),
        None => (b"", place),
    }
}

/// Prints text inside a string: what is no UTF-8 becomes U+FFFD.
fn escape(out: &mut Printer, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for part in chunk.valid().split_inclusive(|c: char| c < ' ' || c == '"' || c == '\\') {
            let plain = part.trim_end_matches(|c: char| c < ' ' || c == '"' || c == '\\');
            out.bytes(plain.as_bytes());
            if let Some(special) = part[plain.len()..].chars().next() {
                let _ = match special {
                    '"' | '\\' => write!(out, "\\{special}"),
                    '\n' => out.write_str("\\n"),
                    '\t' => out.write_str("\\t"),
                    '\r' => out.write_str("\\r"),
                    _ => write!(out, "\\u{:04x}", special as u32),
                };
            }
        }
        if !chunk.invalid().is_empty() {
            out.bytes(b"\\ufffd");
        }
    }
}

/// `0x…`
struct Hex {
    text: [u8; 18],
    len: usize,
}

impl Hex {
    fn of(value: usize) -> Hex {
        let mut hex = Hex { text: [0; 18], len: 0 };
        let _ = write!(hex, "{value:#x}");
        hex
    }
}

impl Write for Hex {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text[self.len..self.len + text.len()].copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

impl core::ops::Deref for Hex {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(print: impl FnOnce(&mut Printer)) -> String {
        let mut bytes = vec![0; 4096];
        // SAFETY: the vector is ours until the printer is gone.
        let mut printer = unsafe { Printer::to_memory(bytes.as_mut_ptr(), bytes.len()) };
        print(&mut printer);
        bytes.truncate(printer.printed());
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn whatever_bytes_become_a_string() {
        for (bytes, text) in [
            (&b"plain"[..], "plain"),
            (b"a\"b\\c", "a\\\"b\\\\c"),
            (b"\"\"\\", "\\\"\\\"\\\\"),
            (b"\n\t\r\x01\x1f\x7f", "\\n\\t\\r\\u0001\\u001f\x7f"),
            ("äß\u{1f600}".as_bytes(), "äß\u{1f600}"),
            (b"\xff a \xc3", "\\ufffd a \\ufffd"),
        ] {
            assert_eq!(printed(|out| escape(out, bytes)), text);
        }
    }

    #[test]
    fn kinds() {
        assert_eq!(kind_of(b"panic: A"), ("panic", &b"A"[..]));
        assert_eq!(kind_of(b"fatal error: B"), ("fatal error", &b"B"[..]));
        assert_eq!(kind_of(b"SIGSEGV: C"), ("signal", &b"SIGSEGV: C"[..]));
        let line = printed(|out| Line { out, comma: false }.unindented(b"a\n\tb\n\t\tc"));
        assert_eq!(line, "\"a\\nb\\n\\tc\"");
    }

    #[test]
    fn frames_are_read() {
        let mut calls = Vec::new();
        each_call(
            b"in(...)\n\ta.h:3\nf+0x1\n\tdir/a.c:4 /a b/m+0x2\n0x77\n\t/m+0x5 (BuildId: 00)\n0x1\n\t?\n",
            &mut |call| calls.push(call),
        );
        let none = Call::default();
        assert_eq!(calls[0], Call { function: b"in", file: b"a.h", line: b"3", is_inlined: true, ..none });
        let whole = Call {
            function: b"f",
            function_offset: b"0x1",
            module: b"/a b/m",
            offset: b"0x2",
            file: b"dir/a.c",
            line: b"4",
            ..none
        };
        assert_eq!(calls[1], whole);
        assert_eq!(calls[2], Call { module: b"/m", offset: b"0x5", build_id: b"00", ..none });
        assert_eq!(calls[3], none);
    }
}
