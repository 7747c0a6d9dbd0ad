//! Compares what a case did with what was expected of it.

use std::path::Path;
use std::process::Command;

use super::head::{Case, Expected};
use super::regex::{matches, matches_line};
use super::run::Ran;
use super::target::target;
use super::{have_tool, json};

/// What a trace says where it cannot go on.
const NO_TABLES: &str = "no unwind information past ";

/// All that differs, one complaint each.
pub fn differences(case: &Case, ran: &Ran, host: &Path) -> Vec<String> {
    let mut found = Vec::new();
    if ran.status != case.status {
        found.push(format!("ended by {:?}, expected {:?}", ran.status, case.status));
    }
    stream("stdout", &case.stdout, &ran.stdout, false, &mut found);
    stream("stderr", &case.stderr, &ran.stderr, !case.frames.is_empty(), &mut found);
    if case.json {
        found.extend(ran.stdout.lines().filter_map(not_an_object));
    }
    if !case.frames.is_empty() {
        trace(case, &ran.stderr, host, &mut found);
    }
    found
}

fn not_an_object(line: &str) -> Option<String> {
    match json::check(line.as_bytes()) {
        Ok(()) if line.starts_with('{') => None,
        Ok(()) => Some(format!("stdout: not an object: {line}")),
        Err(at) => Some(format!("stdout: no JSON at byte {at}: {line}")),
    }
}

/// `other` means that something else looks at this stream too.
fn stream(name: &str, expected: &Expected, text: &str, other: bool, found: &mut Vec<String>) {
    if !expected.lines.is_empty() {
        let lines: Vec<&str> = text.lines().collect();
        let wrong =
            lines.iter().zip(&expected.lines).position(|(line, pattern)| !matches_line(pattern, line));
        if let Some(number) = wrong {
            found.push(format!("{name} line {}: expected {}", number + 1, expected.lines[number]));
        } else if lines.len() != expected.lines.len() {
            found.push(format!("{name}: {} lines, expected {}", lines.len(), expected.lines.len()));
        }
    }
    for pattern in &expected.holds {
        if !matches(pattern, text) {
            found.push(format!("{name}: does not hold {pattern}"));
        }
    }
    for pattern in &expected.lacks {
        if matches(pattern, text) {
            found.push(format!("{name}: holds {pattern}"));
        }
    }
    let free = expected.lines.is_empty() && expected.holds.is_empty() && expected.lacks.is_empty() && !other;
    if free && !text.is_empty() {
        found.push(format!("{name}: not empty"));
    }
}

/// One frame of a trace: `function+0xOFF`, or only the address where no symbol is known; then a tab, `file:line` where
/// that is known, and `module+0xOFF`. Or `function(...)`, which was inlined into the next, and only `file:line`.
struct Frame<'t> {
    function: &'t str,
    /// Empty, if it was inlined.
    module: &'t str,
    module_offset: &'t str,
}

impl Frame<'_> {
    /// Whether this is what `frames:` names by one word.
    fn is(&self, wanted: &str) -> bool {
        wanted.split('|').any(|name| match name {
            "<libc>" => self.is_libc(),
            name => name == self.function,
        })
    }

    fn is_libc(&self) -> bool {
        let file = self.module.rsplit('/').next().unwrap_or_default();
        file.starts_with("libc.") || file.starts_with("ld-musl")
    }
}

/// The frames of the first goroutine of a report, or what is wrong with its shape. A C library without tables ends what
/// the trace shows of a stack.
fn frames(report: &str, libc_tables: bool) -> Result<Vec<Frame<'_>>, String> {
    let mut lines = report.lines().skip_while(|line| !line.starts_with("goroutine "));
    let header = lines.next().ok_or("no trace")?;
    if !matches_line("goroutine [1-9][0-9]* \\[running, locked to thread\\]:", header) {
        return Err(format!("bad header: {header}"));
    }
    let mut frames = Vec::new();
    let mut lines = lines.take_while(|line| !line.is_empty());
    let raw = lines.next().filter(|line| line.starts_with("pcs: ")).ok_or("no raw frames")?;
    if let Some(bad) =
        raw.split(' ').skip(1).find(|word| !matches_line("(.*[+])?0x[0-9a-f]+|[.][.][.]", word))
    {
        return Err(format!("bad raw frame: {bad}"));
    }
    while let Some(first) = lines.next() {
        if !libc_tables && first.starts_with(NO_TABLES) && frames.last().is_some_and(Frame::is_libc) {
            continue;
        }
        let second = lines.next().ok_or_else(|| format!("half a frame: {first}"))?;
        let place =
            second.strip_prefix('\t').ok_or_else(|| format!("not a frame's second line: {second}"))?;
        if let Some(function) = first.strip_suffix("(...)") {
            frames.push(Frame { function, module: "", module_offset: "" });
            continue;
        }
        let function = if is_hex(first) { first } else { offset(first)?.0 };
        let place = place.split(" (BuildId: ").next().unwrap_or(place);
        let (module, module_offset) = offset(behind_line(place))?;
        frames.push(Frame { function, module, module_offset });
    }
    Ok(frames)
}

/// What stands behind `file:line `, if that is there.
fn behind_line(place: &str) -> &str {
    let spaces = place.match_indices(' ').map(|(at, _)| at);
    let ends_in_line = |at: &usize| matches_line(".*:[0-9]+", &place[..*at]);
    spaces.into_iter().find(ends_in_line).map_or(place, |at| &place[at + 1..])
}

/// Splits `name+0xOFF`.
fn offset(text: &str) -> Result<(&str, &str), String> {
    match text.rsplit_once('+') {
        Some((name, offset)) if !name.is_empty() && is_hex(offset) => Ok((name, offset)),
        _ => Err(format!("not name+0xOFF: {text}")),
    }
}

fn is_hex(text: &str) -> bool {
    matches_line("0x[0-9a-f]+", text)
}

fn trace(case: &Case, report: &str, host: &Path, found: &mut Vec<String>) {
    let libc_tables = target().libc_tables;
    let frames = match frames(report, libc_tables) {
        Ok(frames) => frames,
        Err(why) => return found.push(format!("trace: {why}")),
    };
    let mut rest = frames.iter().peekable();
    let named = if libc_tables { case.frames.clone() } else { without_hidden(&case.frames) };
    for wanted in &named {
        let there =
            if wanted == "<end>" { rest.next().is_none() } else { rest.any(|frame| frame.is(wanted)) };
        if !there {
            let all = named.join(" ");
            return found.push(format!("trace: {wanted} is missing, or not in this order: {all}"));
        }
        // Some can be seen behind.
        while !libc_tables && wanted == "<libc>" && rest.next_if(|frame| frame.is_libc()).is_some() {}
    }
    if case.symbols && have_tool("addr2line") {
        symbols(&frames, host, found);
    }
}

/// What is left of `frames:` where one of a libc without tables is the last that is shown of its stack: the next are
/// those of a stack on which that one's callback was called.
fn without_hidden(wanted: &[String]) -> Vec<String> {
    let mut hidden = false;
    let shown = wanted.iter().filter(|one| {
        let before = hidden;
        hidden = one.as_str() == "<libc>" || hidden && !one.starts_with("wharf_") && *one != "<end>";
        !before || !hidden
    });
    shown.cloned().collect()
}

/// Asks addr2line for the function of each of the host's frames. A frame goes on behind its call, which may be the last
/// instruction of its function: asked is the byte before.
fn symbols(frames: &[Frame], host: &Path, found: &mut Vec<String>) {
    let host_name = host.file_name();
    let ours: Vec<&Frame> =
        frames.iter().filter(|frame| Path::new(frame.module).file_name() == host_name).collect();
    if ours.is_empty() {
        return found.push("trace: no frame lies in the host".to_string());
    }
    for frame in ours {
        let digits = frame.module_offset.trim_start_matches("0x");
        let call = u64::from_str_radix(digits, 16).map_or(0, |offset| offset.saturating_sub(1));
        let output =
            Command::new("addr2line").arg("-f").arg("-e").arg(host).arg(format!("{call:#x}")).output();
        let text =
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        // Of a copy that the compiler made, its symbol says so, and its DWARF does not.
        let named = text.lines().next();
        if named != Some(frame.function) && named != frame.function.split('.').next() {
            found.push(format!(
                "trace: {} at {}, where addr2line says: {text}",
                frame.function, frame.module_offset
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(expected: Expected, text: &str) -> usize {
        let mut found = Vec::new();
        stream("stdout", &expected, text, false, &mut found);
        found.len()
    }

    fn lines(lines: &[&str]) -> Expected {
        Expected { lines: lines.iter().map(|line| line.to_string()).collect(), ..Expected::default() }
    }

    #[test]
    fn a_stream_is_compared_line_by_line() {
        assert_eq!(complaints(lines(&["a", "[0-9]+"]), "a\n12\n"), 0);
        assert_eq!(complaints(lines(&["a"]), "a\nmore\n"), 1);
        assert_eq!(complaints(lines(&["a", "b"]), "a\n"), 1);
        assert_eq!(complaints(lines(&["a"]), "ab\n"), 1);
        assert_eq!(complaints(Expected::default(), ""), 0);
        assert_eq!(complaints(Expected::default(), "noise\n"), 1);
    }

    #[test]
    fn holds_and_lacks() {
        let expected = Expected { holds: vec!["^b".into()], lacks: vec!["x".into()], ..Expected::default() };
        assert_eq!(complaints(expected.clone(), "a\nb\n"), 0);
        assert_eq!(complaints(expected, "ab\nx\n"), 2);
    }

    #[test]
    fn a_trace_has_a_shape() {
        let good = "panic: BOOM\n\ngoroutine 1 [running, locked to thread]:\npcs: host+0x1139 0x77\n\
                    act+0x10\n\tdir/a.c:12 /bin/host+0x1139\n";
        let frames_of = |text: &str| frames(text, true).map(|frames| frames.len());
        assert_eq!(frames_of(good), Ok(1));
        assert_eq!(frames(good, true).map(|frames| frames[0].module), Ok("/bin/host"));
        assert_eq!(frames_of(&good.replace("dir/a.c:12 ", "")), Ok(1));
        assert_eq!(frames_of(&format!("{good}in(...)\n\ta.h:3\nout+0x1\n\ta.c:4 /bin/host+0x1\n")), Ok(3));
        let cut = good.replace("/bin/host", "/lib/libc.so") + "no unwind information past 0x1139\n";
        assert!(frames_of(&cut).is_err());
        assert_eq!(frames(&cut, false).map(|frames| frames.len()), Ok(1));
        assert!(frames(&cut.replace("libc.so", "other.so"), false).is_err());
        let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        assert_eq!(without_hidden(&words("a <libc> <libc> b <end>")), words("a <libc> <end>"));
        assert_eq!(without_hidden(&words("<libc> a wharf_call b")), words("<libc> wharf_call b"));
        assert!(frames_of(&good.replace("pcs:", "")).is_err());
        assert!(frames_of("panic: BOOM\n").is_err());
        assert!(frames_of(&good.replace("\t", "")).is_err());
        assert!(frames_of(&good.replace("+0x10", "")).is_err());
        assert!(
            frames_of(&good.replace("goroutine 1 [running, locked to thread]", "goroutine 0 [dead]"))
                .is_err()
        );
        assert!(frames_of(&good.replace("\tdir/a.c:12 /bin/host+0x1139\n", "")).is_err());
    }
}
