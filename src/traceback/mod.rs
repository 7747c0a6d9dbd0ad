//! Who called whom: the frames of a dying thread, with names. `[sig]`
//!
//! A trace has two phases: [`print_raw`] prints where the frames are, by what is mapped alone; then [`print`]
//! prints what they are, by the files on disk, which may be broken, and may take long. Whatever
//! becomes of the second, the first stands.
//!
//! The walk trusts nothing that may be broken: it allocates nothing, takes no lock (not the
//! loader's either), touches no thread-local, and asks the kernel before it reads a page. It goes
//! by the call frame information that every loaded file carries, and where there is none, by the
//! frame pointer, then by the caller's knowledge of its own stacks.
//!
//! | File | Question |
//! |---|---|
//! | `memory` | can this be read? |
//! | `mappings` | what is mapped here? |
//! | `modules` | which file is it of? |
//! | `image` | what do its headers say? |
//! | `more` | what does its file on disk say beyond that? |
//! | `sigreturn`, `rows`, `unwind`, `exidx` | who called this frame? |
//! | `symbols` | what is this function called? |
//! | `list` | the same, one by one |
//! | `debug` | where is what was stripped from a file? |
//! | `lines` | where in the sources is this, and what was inlined there? |
//! | `passed` | was a frame given up? |
//! | `faulted` | what did a fault hit? |
//! | `spare` | where to look from, outside the report? |
//!
//! `debug`, `image`, `more` and `symbols` know what an ELF file is; in their places `macho` has files that know Mach-O.

#[cfg_attr(target_vendor = "apple", path = "macho/debug.rs")]
mod debug;
#[cfg(target_arch = "arm")]
mod exidx;
mod faulted;
#[cfg_attr(target_vendor = "apple", path = "macho/image.rs")]
mod image;
mod lines;
mod list;
mod mappings;
mod memory;
mod modules;
#[cfg_attr(target_vendor = "apple", path = "macho/more.rs")]
mod more;
mod passed;
mod rows;
mod sigreturn;
mod spare;
#[cfg_attr(target_vendor = "apple", path = "macho/symbols.rs")]
mod symbols;
mod unwind;

#[cfg(test)]
mod tests;

use crate::arch::Regs;
use crate::base::Printer;
use crate::symbolize::{Call, RUST_BYTES};
use crate::sys;
use core::cell::UnsafeCell;
use core::fmt::Write;
pub(crate) use faulted::{Faulted, trace};
use lines::{Described, Lines};
pub(crate) use list::{Listed, list};
use memory::Memory;
use modules::Maps;
pub(crate) use passed::is_passed;
use rows::Rows;
use spare::TEXTS;
pub(crate) use spare::landing;
use symbols::{Name, Names};
pub(crate) use unwind::Frame;
use unwind::{Cursor, Link, Step};

/// How many frames are printed of each end of a long trace.
const HALF: usize = 50;
/// Where a walk that never ends is given up.
const MAX_FRAMES: usize = 1 << 20;
/// How many frames are printed raw.
const RAW: usize = 50;

/// All memory of a report. A page costs more than what is done with it: what every report touches,
/// the front of the large tables too, lies together; and what is written before it is read costs once.
#[repr(C, align(4096))]
pub(crate) struct Area {
    rows: Rows,
    names: Names,
    memory: Memory,
    own: Own,
    /// Whether plumbing is printed too.
    shows_plumbing: bool,
    /// Of the frame that a walk has come to, as [`Shown::past`].
    past: Option<usize>,
    lines: Lines,
    maps: Maps,
    last: [Shown; HALF],
}

/// A frame as it is printed.
#[derive(Clone, Copy)]
struct Shown {
    pc: usize,
    /// An address inside the instruction: `pc`, or before it for a call.
    place: usize,
    /// Frames inward of it are missing, from this return address on.
    past: Option<usize>,
}

/// The module that holds this code.
#[derive(Clone, Copy)]
enum Own {
    Unknown,
    /// The library: all in it is ours.
    Library(usize),
    /// The host or a plugin, which we are linked into.
    Guest(usize),
}

struct Shared(UnsafeCell<Area>);

// SAFETY: whoever takes one sees to it that nobody else does.
unsafe impl Sync for Shared {}

static REPORT: Shared = Shared(UnsafeCell::new(Area::new()));

/// The memory for the one report of the process, which may hold several traces. What is loaded is
/// looked up anew.
///
/// # Safety
/// Whoever got it before is done with it, and no other thread calls this.
pub(crate) unsafe fn area() -> &'static mut Area {
    // SAFETY: nobody else has it, as the caller says.
    let area = unsafe { &mut *REPORT.0.get() };
    area.reset();
    area
}

/// Prints where the frames from `regs` outward are, in one line: `pcs: libfoo.so+0x1139 host+0x…`; up to
/// fifty. Reads nothing but the stack and what the headers of the files in memory
/// say. For `is_exact` and `link` see [`print`].
pub(crate) fn print_raw(out: &mut Printer, regs: &Regs, is_exact: bool, area: &mut Area, link: Link<'_>) {
    area.maps.open();
    out.bytes(b"pcs:");
    let mut count = 0;
    area.follow(Cursor { regs: *regs, exact: is_exact }, Some(link), &mut |area, at, exact| {
        if count == RAW {
            out.bytes(b" ...");
            return false;
        }
        area.print_where(out, at.place(exact));
        count += 1;
        true
    });
    out.bytes(b"\n");
}

/// Prints the frames from `regs` outward, two lines each: the first and the last fifty.
///
/// ```text
/// name+0xOFF                 the return address, counted from the function's start
/// \tfile.c:123 module+0xOFF  the place of the call, for addr2line too; without the line if no DWARF is there
/// inlined(...)               a function that was inlined into the next one
/// \tfile.h:45
/// ```
///
/// `is_exact` says that the PC in `regs` is the next instruction (of an interrupted or a present
/// function), and not a return address. `link` tells where the stack that holds an SP was entered
/// from, for frames that have neither tables nor a frame pointer.
pub(crate) fn print(out: &mut Printer, regs: &Regs, is_exact: bool, area: &mut Area, link: Link<'_>) {
    area.ends(Cursor { regs: *regs, exact: is_exact }, link, &mut |area, piece| match piece {
        Piece::Frame(frame) => area.print_frame(out, frame),
        // Out with what is known, before a long walk.
        Piece::Half => {
            out.flush();
        }
        Piece::Elided(frames) => {
            let _ = writeln!(out, "...{frames} frames elided...");
        }
        Piece::Lost(pc) => {
            print_lost(out, pc);
        }
    });
}

fn print_lost(out: &mut Printer, pc: usize) {
    let _ = writeln!(out, "no unwind information past {pc:#x}");
}

/// Prints frames that were walked before, given by their return addresses, as [`print`] does. `is_lost`: the caller of
/// the last one could not be found.
pub(crate) fn print_places(out: &mut Printer, pcs: &[usize], is_lost: bool) {
    const NAP_NS: i64 = 100_000;
    let mut whole = false;
    let print = &mut |area: &mut Area| {
        area.maps.open();
        area.find_own();
        for &pc in pcs {
            let frame = Shown { pc, place: pc.wrapping_sub(1), past: None };
            if !area.hides(frame) {
                area.print_frame(out, frame);
            }
        }
        if let Some(&pc) = pcs.last().filter(|_| is_lost) {
            print_lost(out, pc);
        }
        whole = true;
    };
    while !TEXTS.look(print) {
        sys::nap(NAP_NS);
    }
    if !whole {
        out.bytes(FAULTED);
    }
}

/// What is printed where a trace is left, since reading it has faulted.
pub(crate) const FAULTED: &[u8] = b"\nreading what is broken has faulted\n";

/// A piece of a trace of which both ends are shown.
enum Piece {
    Frame(Shown),
    /// The first half is full.
    Half,
    /// So many frames are left out here.
    Elided(usize),
    /// The caller of the last frame, which is here, cannot be found; what follows is the next one that can.
    Lost(usize),
}

/// How a walk ended.
enum End {
    /// At the thread's first frame, or where one stands still or never ends.
    First,
    /// At a frame whose caller cannot be found.
    Lost(usize),
    /// When it was told to.
    Told,
}

impl Area {
    const fn new() -> Area {
        Area {
            lines: Lines::new(),
            maps: Maps::new(),
            names: Names::new(),
            memory: Memory::new(),
            rows: Rows::new(),
            last: [Shown { pc: 0, place: 0, past: None }; HALF],
            past: None,
            own: Own::Unknown,
            shows_plumbing: false,
        }
    }

    /// Plumbing is printed too, from here on.
    pub(crate) fn show_plumbing(&mut self) {
        self.shows_plumbing = true;
    }

    fn reset(&mut self) {
        self.own = Own::Unknown;
        self.memory.reset();
        self.rows.reset();
        self.names.reset();
        self.maps.reset();
        self.lines.reset();
    }

    /// Goes from frame to frame; `see` gets each, and whether its PC is exact, and says whether to
    /// go on.
    fn follow(
        &mut self,
        start: Cursor,
        link: Option<Link<'_>>,
        see: &mut dyn FnMut(&mut Area, &Cursor, bool) -> bool,
    ) -> End {
        let mut at = start;
        self.past = None;
        for _ in 0..MAX_FRAMES {
            let next = unwind::step(&at, &mut self.maps, &mut self.memory, &mut self.rows, link);
            // A handler "returns" to the first instruction of the signal's frame.
            let exact = at.exact || matches!(&next, Step::To(next) if next.exact);
            if !see(self, &at, exact) {
                return End::Told;
            }
            match next {
                Step::To(next) if next.is_progress(&at) => {
                    // What is no code has called nothing: a return address was written over.
                    let is_call = at.exact || self.maps.is_code(at.place(false));
                    self.past = if is_call { None } else { Some(at.pc()) };
                    at = next;
                }
                Step::Past(next) => {
                    self.past = Some(at.pc());
                    at = next;
                }
                Step::To(_) => match link.and_then(|link| at.along(link)) {
                    // A managed stack does not begin here.
                    Some(next) => {
                        self.past = Some(at.pc());
                        at = next;
                    }
                    None => return End::First,
                },
                Step::End => return End::First,
                Step::Lost => return End::Lost(at.pc()),
            }
        }
        End::Lost(at.pc())
    }

    /// Walks from `start`, and shows both ends of what is not hidden.
    fn ends(&mut self, start: Cursor, link: Link<'_>, see: &mut dyn FnMut(&mut Area, Piece)) {
        self.maps.open();
        self.find_own();
        let (mut shown, mut past) = (0, None);
        let end = self.follow(start, Some(link), &mut |area, at, exact| {
            past = past.or(area.past);
            let frame = Shown { pc: at.pc(), place: at.place(exact), past };
            if !area.hides(frame) {
                past = None;
                if shown < HALF {
                    area.see(frame, see);
                } else {
                    if shown == HALF {
                        see(area, Piece::Half);
                    }
                    area.last[shown % HALF] = frame;
                }
                shown += 1;
            }
            true
        });
        let elided = shown.saturating_sub(2 * HALF);
        if elided > 0 {
            see(self, Piece::Elided(elided));
        }
        for i in HALF + elided..shown {
            self.see(self.last[i % HALF], see);
        }
        if let Some(pc) = past {
            see(self, Piece::Lost(pc));
        } else if let End::Lost(pc) = end {
            see(self, Piece::Lost(pc));
        }
    }

    fn see(&mut self, frame: Shown, see: &mut dyn FnMut(&mut Area, Piece)) {
        if let Some(pc) = frame.past {
            see(self, Piece::Lost(pc));
        }
        see(self, Piece::Frame(frame));
    }

    /// Finds the module that this function is in.
    fn find_own(&mut self) {
        let this = print as *const () as usize;
        self.own = match self.maps.module_of(this) {
            Some(module)
                if self.maps.image(module).is_some_and(|own| own.soname_starts_with(b"libwharf")) =>
            {
                Own::Library(module)
            }
            Some(module) => Own::Guest(module),
            None => Own::Unknown,
        };
    }

    /// Whether a frame is plumbing: in the library all but the API, elsewhere what is named so.
    fn hides(&mut self, frame: Shown) -> bool {
        let (Own::Library(own) | Own::Guest(own)) = self.own else { return false };
        if self.shows_plumbing || self.maps.module_of(frame.place) != Some(own) {
            return false;
        }
        if let Own::Library(_) = self.own {
            let name = symbols::exported(frame.place, own, &self.maps);
            return !name.is_some_and(|name| name.starts_with(b"wharf_"));
        }
        let name = self.names.find(frame.place, own, &mut self.maps);
        name.is_some_and(|name| name.text == b"__morestack" || is_wharfs(&name))
    }

    fn print_where(&mut self, out: &mut Printer, place: usize) {
        match self.maps.module_of(place).and_then(|module| Some((module, self.maps.image(module)?))) {
            Some((module, image)) => {
                let path = self.maps.module_path(module);
                let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
                out.bytes(b" ");
                out.name(name);
                let _ = write!(out, "+{:#x}", place.wrapping_sub(image.bias));
            }
            None => {
                let _ = write!(out, " {place:#x}");
            }
        }
    }

    fn print_frame(&mut self, out: &mut Printer, Shown { pc, place, .. }: Shown) {
        let Some(module) = self.maps.module_of(place) else {
            let _ = writeln!(out, "{pc:#x}\n\t?");
            return;
        };
        let name = self.names.find(place, module, &mut self.maps);
        let Described { name: readable, calls, start } =
            self.lines.find(place, module, name.as_ref(), &mut self.maps);
        let (function, inlined) =
            calls.split_last().map_or((Call::default(), calls), |(last, rest)| (*last, rest));
        // Plumbing, like all in the library but the API.
        let is_own = matches!(self.own, Own::Library(own) if own == module);
        let inlined = if is_own && !self.shows_plumbing { &[] } else { inlined };
        for call in inlined {
            out.name(call.name);
            out.bytes(b"(...)\n\t");
            print_line(out, call);
            out.bytes(b"\n");
        }
        let start = name.map(|name| name.start).or((!function.name.is_empty()).then_some(start));
        match (&name, start) {
            (_, Some(_)) if !readable.is_empty() => out.name(readable),
            (Some(name), _) => print_name(out, name),
            (None, Some(_)) => out.name(function.name),
            (None, None) => {}
        }
        let _ = match start {
            Some(start) => writeln!(out, "+{:#x}", pc.wrapping_sub(start)),
            None => writeln!(out, "{pc:#x}"),
        };
        out.bytes(b"\t");
        if !function.file.is_empty() {
            print_line(out, &function);
            out.bytes(b" ");
        }
        self.print_module(out, module, place, start.is_some());
    }

    /// Where a place is in its file; and which file that is, where nothing else tells.
    fn print_module(&self, out: &mut Printer, module: usize, place: usize, has_name: bool) {
        let Some(image) = self.maps.image(module) else { return };
        out.name(self.maps.module_path(module));
        // For addr2line: the return address may belong to the next line.
        let _ = write!(out, "+{:#x}", place.wrapping_sub(image.bias));
        if let Some(id) = image.build_id.filter(|_| !has_name) {
            out.bytes(b" (BuildId: ");
            for byte in id {
                let _ = write!(out, "{byte:02x}");
            }
            out.bytes(b")");
        }
        out.bytes(b"\n");
    }
}

fn print_line(out: &mut Printer, call: &Call) {
    if call.file.is_empty() {
        out.bytes(b"?");
        return;
    }
    if !call.dir.is_empty() {
        out.name(call.dir);
        out.bytes(b"/");
    }
    out.name(call.file);
    let _ = write!(out, ":{}", call.line);
}

/// The name in Rust's spelling, without the hash; any other as it is.
fn print_name(out: &mut Printer, name: &Name) {
    match demangle(name) {
        Some(rust) => {
            let _ = write!(out, "{rust:#}");
        }
        None => out.name(name.text),
    }
}

fn demangle(name: &Name) -> Option<rustc_demangle::Demangle<'static>> {
    let text = core::str::from_utf8(name.text).ok().filter(|text| text.len() <= RUST_BYTES)?;
    rustc_demangle::try_demangle(text).ok()
}

/// Whether a function belongs to this crate: `wharf::…`, `<wharf::… as …>::…`.
fn is_wharfs(name: &Name) -> bool {
    /// Takes the first bytes of what is formatted, and stops there.
    struct Front {
        bytes: [u8; 8],
        len: usize,
    }
    impl Write for Front {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            let take = text.len().min(self.bytes.len() - self.len);
            self.bytes[self.len..self.len + take].copy_from_slice(&text.as_bytes()[..take]);
            self.len += take;
            if self.len == self.bytes.len() { Err(core::fmt::Error) } else { Ok(()) }
        }
    }
    let mut front = Front { bytes: [0; 8], len: 0 };
    if let Some(rust) = demangle(name) {
        let _ = write!(front, "{rust:#}");
    }
    let front = &front.bytes[..front.len];
    front.strip_prefix(b"<").unwrap_or(front).starts_with(b"wharf::")
}
