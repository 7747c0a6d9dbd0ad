//! What needs no host: the C hosts walk real stacks.

use super::mappings::{self, Mappings};
use super::*;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;
use std::sync::Mutex;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What is known of the mappings when a walk begins.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    Nothing,
    /// The whole list: as where the kernel answers no questions.
    All,
}

fn trace_of(regs: &Regs, link: &dyn Fn(usize) -> Option<Frame>) -> String {
    trace_from(Start::Nothing, regs, link)
}

fn trace_from(start: Start, regs: &Regs, link: &dyn Fn(usize) -> Option<Frame>) -> String {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let path = std::env::temp_dir().join(format!("wharf-trace-{}", std::process::id()));
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut out = Printer::new(file.as_raw_fd(), i64::MAX);
    // SAFETY: the lock is held until the area is done with.
    let area = unsafe { area() };
    if start == Start::All {
        area.maps.read_all();
    }
    print(&mut out, regs, true, area, link);
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
    let line = mappings::parse(text).unwrap();
    assert_eq!((line.lo, line.hi, line.offset), (0x7f43c7a00000, 0x7f43c7a26000, 0x1f000));
    assert!(line.readable && line.code);
    assert_eq!(&text[mappings::file_path(text, &line.path)], b"/usr/lib/a b.so");

    let text = b"7ffd0000-7ffd1000 rw-p 00000000 00:00 0 ";
    let line = mappings::parse(text).unwrap();
    assert!(!line.code && line.path.is_empty());
    assert!(mappings::parse(b"").is_none());
    assert!(mappings::parse(b"7ffd0000-7ffd1000 r").is_none());

    let text = b"7ffd2000-7ffd4000 r-xp 00000000 00:00 0      [stack]";
    let line = mappings::parse(text).unwrap();
    assert!(line.code && mappings::file_path(text, &line.path).is_empty());
}

/// Everything that the mappings say of an address, and of what is below in the same file.
fn described(mappings: &mut Mappings, addr: usize) -> Option<String> {
    let mut at = mappings.code_at(addr)?;
    let mut text = String::new();
    let mut head = false;
    while !head {
        let mapping = *mappings.get(at);
        head = mapping.is_head();
        let path = mappings.path(mapping.path);
        if mapping.code || head {
            text += &format!(
                "{:x}-{:x} {:x} {path:?} {} {head}\n",
                mapping.lo, mapping.hi, mapping.offset, mapping.code
            );
        }
        match mappings.below(at) {
            Some(below) => at = below,
            None => break,
        }
    }
    Some(text)
}

#[test]
fn answers_and_the_list_say_the_same() {
    let [mut asked, mut read] = [(); 2].map(|()| Box::new(Mappings::new()));
    asked.open();
    read.open();
    assert!(read.read_all() && !read.read_all());
    let maps = std::fs::read_to_string("/proc/thread-self/maps").unwrap();
    let lines = maps.lines().filter(|line| line.contains(" r-xp ") && !line.contains("[vsyscall]"));
    let addrs = lines.map(|line| usize::from_str_radix(line.split('-').next().unwrap(), 16).unwrap());
    let addrs: Vec<usize> = addrs.collect();
    assert!(addrs.len() > 2, "{maps}");
    for addr in addrs.into_iter().flat_map(|addr| [addr, addr + 77]) {
        let known = described(&mut asked, addr);
        assert!(known.as_ref().is_some_and(|known| known.contains("true\n")), "{addr:#x} {known:?} {maps}");
        assert_eq!(known, described(&mut read, addr), "{maps}");
    }
    for nowhere in [0, 1, &raw const asked as usize, asked.as_ref() as *const _ as usize, usize::MAX] {
        assert!(asked.code_at(nowhere).is_none() && read.code_at(nowhere).is_none());
    }
}

#[test]
fn a_walk_ends_where_the_thread_began() {
    let text = trace_of(&Regs::capture(), &|_| None);
    assert!(!text.contains("no unwind information"), "{text}");
    assert!(text.lines().count() > 4 && text.lines().count().is_multiple_of(2), "{text}");
    assert!(!text.contains("wharf::"), "{text}");
}

#[test]
fn a_walk_by_answers_and_one_by_the_list_are_the_same() {
    let regs = Regs::capture();
    assert_eq!(trace_of(&regs, &|_| None), trace_from(Start::All, &regs, &|_| None));
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
