//! What needs no host: the C hosts walk real stacks.

use super::modules::Line;
use super::*;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;
use std::sync::Mutex;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn trace_of(regs: &Regs, link: &dyn Fn(usize) -> Option<Frame>) -> String {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let path = std::env::temp_dir().join(format!("wharf-trace-{}", std::process::id()));
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut out = Printer::new(file.as_raw_fd(), i64::MAX);
    // SAFETY: the lock is held until the area is done with.
    print(&mut out, regs, true, unsafe { area() }, link);
    assert!(out.flush());
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_line_of_the_maps_is_taken_apart() {
    let text =
        b"7f43c7a00000-7f43c7a26000 r-xp 0001f000 fe:01 1234                       /usr/lib/a b.so (deleted)";
    let line = Line::parse(text).unwrap();
    assert_eq!((line.lo, line.hi, line.offset), (0x7f43c7a00000, 0x7f43c7a26000, 0x1f000));
    assert!(line.readable && line.code);
    assert_eq!(&text[line.path], b"/usr/lib/a b.so");

    let text = b"7ffd0000-7ffd1000 rw-p 00000000 00:00 0 ";
    let line = Line::parse(text).unwrap();
    assert!(!line.code && text[line.path].is_empty());
    assert!(Line::parse(b"").is_none());
    assert!(Line::parse(b"7ffd0000-7ffd1000 r").is_none());
}

#[test]
fn a_walk_ends_where_the_thread_began() {
    let text = trace_of(&Regs::capture(), &|_| None);
    assert!(!text.contains("no unwind information"), "{text}");
    assert!(text.lines().count() > 4 && text.lines().count().is_multiple_of(2), "{text}");
    assert!(!text.contains("wharf::"), "{text}");
}

#[test]
fn a_long_walk_is_elided_in_the_middle() {
    // Our own frames are hidden here: links lead the walk through places that are nowhere.
    let regs = Regs([0; 17]);
    let left = core::cell::Cell::new(300);
    let link = |_| {
        left.set(left.get() - 1);
        (left.get() > 0).then_some(Frame { sp: left.get(), fp: 1, pc: 1 })
    };
    let text = trace_of(&regs, &link);
    assert!(text.contains("...200 frames elided..."), "{text}");
    assert_eq!(text.matches('?').count(), 100);
    assert!(text.ends_with("no unwind information past 0x1\n"), "{text}");
}

#[test]
fn a_broken_stack_is_survived() {
    for bad in [1, 8, 0xfff, 0x1000, usize::MAX - 7, 1 << 47, print as *const () as usize] {
        let mut regs = Regs([bad; 17]);
        let text = trace_of(&regs, &|_| None);
        assert!(text.contains("no unwind information") || text.lines().count() >= 2, "{text}");
        regs.0[Regs::PC] = a_broken_stack_is_survived as *const () as usize + 4;
        trace_of(&regs, &|_| None);
    }
}
