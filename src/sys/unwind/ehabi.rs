//! ARM's tables (EHABI), and the walk by them.
//!
//! A file has an index of its functions, `.ARM.exidx`. Beside each stands how its frame is undone: in a few bytes, there
//! or in `.ARM.extab`. They are true at calls alone, and tell nothing of where a function ends.
//!
//! The process's unwinder is not asked for frames: it shows none that cannot be unwound, and when it unwinds, it has a
//! frame's language do its work before anybody else may look at the frame.

use core::ffi::{c_int, c_void};
use core::ptr;

use super::{Exception, Unwinding};
use crate::arch::{Regs, strip};

/// Where a function starts, and how its frame is undone.
pub(crate) type Entry = [u32; 2];

/// Reads a word.
pub(crate) type Word<'a> = &'a mut dyn FnMut(usize) -> Option<usize>;

/// The second word of an entry without more.
const CANNOT_UNWIND: u32 = 1;
/// In a word: what it says stands in it, and not elsewhere.
const INLINE: u32 = 1 << 31;
const FINISH: u8 = 0xb0;
const LINK: usize = 14;

/// The address that a word points at, by its distance.
fn target(word: &u32) -> usize {
    let distance = (*word << 1).cast_signed() >> 1;
    (&raw const *word as usize).wrapping_add_signed(distance as isize)
}

/// The entry that holds for the code at `place`.
pub(crate) fn entry_of(index: &'static [Entry], place: usize) -> Option<&'static Entry> {
    let behind = index.partition_point(|entry| target(&entry[0]) <= place);
    index.get(behind.checked_sub(1)?)
}

/// Whether this returns to the code that calls a thread's first function: no table can tell it from a function without one.
pub(crate) fn is_first(pc: usize) -> bool {
    const BYTES: usize = 80;
    // SAFETY: reads the auxiliary vector.
    let entry = unsafe { libc::getauxval(libc::AT_ENTRY) } as usize;
    let starts = [entry, libc::clone as *const () as usize];
    starts.iter().any(|&start| (1..BYTES).contains(&pc.wrapping_sub(strip(start))))
}

/// How the caller's registers are found: the CFA is a register's value plus `offset`.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    base: usize,
    offset: i32,
    /// From the CFA to where a register is saved; 0: nowhere.
    saved: [i32; size_of::<Regs>() / size_of::<usize>()],
}

impl Rules {
    /// Of the frame that is at `pc`. `None`: it cannot be unwound, or takes what compilers do not write.
    pub(crate) fn of(entry: &Entry, pc: usize, word: Word<'_>) -> Option<Rules> {
        if entry[1] == CANNOT_UNWIND {
            return Rules::of_unwinder(pc, word);
        }
        let mut code = Code::of(entry, word)?;
        let mut rules = Rules { base: Regs::SP, offset: 0, saved: [0; _] };
        loop {
            match code.byte()? {
                FINISH => break,
                byte => rules.step(byte, &mut code)?,
            }
        }
        let Rules { offset, saved, .. } = &mut rules;
        saved.iter_mut().filter(|at| **at != 0).for_each(|at| *at -= *offset + 1);
        Some(rules)
    }

    /// The unwinder's own functions, from which it is called, have no tables: r0-r14 lie on the stack, behind two words.
    fn of_unwinder(pc: usize, word: Word<'_>) -> Option<Rules> {
        /// libgcc's way back from there: `ldr.w lr, [sp, #64]; add sp, #72; bx lr`.
        const BACK: [usize; 2] = [0xe040_f8dd, 0x4770_b012];
        const BYTES: i32 = 72;
        if [word(pc)?, word(pc + 4)?] != BACK {
            return None;
        }
        let mut saved = [0; _];
        for (register, at) in saved[..Regs::PC].iter_mut().enumerate() {
            *at = 8 + 4 * register as i32 - BYTES;
        }
        Some(Rules { base: Regs::SP, offset: BYTES, saved })
    }

    /// Until all is read, what is saved counts from the base, and 1 more.
    fn step(&mut self, byte: u8, code: &mut Code<'_>) -> Option<()> {
        let low = |bits: u8| i32::from(byte & ((1 << bits) - 1));
        match byte {
            0x00..=0x3f => self.offset += (low(6) << 2) + 4,
            0x40..=0x7f => self.offset -= (low(6) << 2) + 4,
            0x80..=0x8f => {
                // None at all: it is refused.
                let which = low(4) << 8 | i32::from(code.byte()?);
                self.pop(Some(which << 4).filter(|which| *which != 0)?);
            }
            0x90..=0x9c | 0x9e if self.saved.iter().all(|at| *at == 0) => {
                self.base = usize::from(byte & 15);
                self.offset = 0;
            }
            0xa0..=0xaf => self.pop(((2 << low(3)) - 1) << 4 | (low(4) >> 3) << LINK),
            0xb1 => self.pop(Some(i32::from(code.byte()?)).filter(|which| (1..16).contains(which))?),
            0xb2 => self.offset += 0x204 + (code.uleb()? << 2),
            // Floating-point registers, which no walk looks at; the older instructions save a word more.
            0xb3 => self.offset += 8 * code.count()? + 4,
            0xb8..=0xbf => self.offset += 8 * (low(3) + 1) + 4,
            0xc8 | 0xc9 => self.offset += 8 * code.count()?,
            0xd0..=0xd7 => self.offset += 8 * (low(3) + 1),
            _ => return None,
        }
        Some(())
    }

    fn pop(&mut self, which: i32) {
        for (register, saved) in self.saved.iter_mut().enumerate() {
            if which & 1 << register != 0 {
                *saved = self.offset + 1;
                self.offset += 4;
            }
        }
    }

    /// The caller's registers; `None` where memory cannot be read.
    pub(crate) fn apply(&self, regs: &Regs, word: Word<'_>) -> Option<Regs> {
        let cfa = regs.0[self.base].wrapping_add_signed(self.offset as isize);
        let mut caller = *regs;
        caller.0[Regs::SP] = cfa;
        for (value, &offset) in caller.0.iter_mut().zip(&self.saved) {
            if offset != 0 {
                *value = word(cfa.wrapping_add_signed(offset as isize))?;
            }
        }
        let from = if self.saved[Regs::PC] != 0 { Regs::PC } else { LINK };
        caller.0[Regs::PC] = strip(caller.0[from]);
        Some(caller)
    }
}

/// The bytes that undo a frame.
struct Code<'a> {
    word: u32,
    /// Bytes left in it.
    left: u32,
    /// Words left, and where.
    more: u32,
    at: usize,
    read: Word<'a>,
}

impl<'a> Code<'a> {
    fn of(entry: &Entry, read: Word<'a>) -> Option<Code<'a>> {
        let is_inline = entry[1] & INLINE != 0;
        let at = target(&entry[1]);
        let first = if is_inline { entry[1] } else { read(at)? as u32 };
        Some(match first >> 24 {
            0x80 => Code { word: first << 8, left: 3, more: 0, at, read },
            0x81 | 0x82 if !is_inline => {
                Code { word: first << 16, left: 2, more: first >> 16 & 0xff, at: at + 4, read }
            }
            // The address of a language's personality.
            0x00..=0x7f => {
                let word = read(at + 4)? as u32;
                Code { word: word << 8, left: 3, more: word >> 24, at: at + 8, read }
            }
            _ => return None,
        })
    }

    /// `None` where memory cannot be read.
    fn byte(&mut self) -> Option<u8> {
        if self.left == 0 {
            if self.more == 0 {
                return Some(FINISH);
            }
            (self.word, self.left) = ((self.read)(self.at)? as u32, 4);
            self.at += 4;
            self.more -= 1;
        }
        let byte = (self.word >> 24) as u8;
        self.word <<= 8;
        self.left -= 1;
        Some(byte)
    }

    /// How many registers, of those that the next byte names.
    fn count(&mut self) -> Option<i32> {
        Some(i32::from(self.byte()?) % 16 + 1)
    }

    fn uleb(&mut self) -> Option<i32> {
        let mut value = 0;
        for shift in (0..28).step_by(7) {
            let byte = i32::from(self.byte()?);
            value |= (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

// ---- The walk --------------------------------------------------------------------------------

unsafe extern "C" {
    /// The index of the file that holds `pc`, with no lock taken; null: there is none.
    fn __gnu_Unwind_Find_exidx(pc: usize, count: &mut c_int) -> *const Entry;
    fn _Unwind_VRS_Get(
        context: *mut c_void,
        class: c_int,
        register: u32,
        form: c_int,
        to: &mut usize,
    ) -> c_int;
    fn _Unwind_GetCFA(context: *mut c_void) -> usize;
}

/// The entry that holds for the code at `place`, in whatever file that is.
fn entry_at(place: usize) -> Option<&'static Entry> {
    let mut count = 0;
    // SAFETY: an index is constant as long as its file is loaded, which code on the stack is.
    let index = unsafe {
        match __gnu_Unwind_Find_exidx(place, &mut count) {
            index if index.is_null() => &[],
            index => core::slice::from_raw_parts(index, count as usize),
        }
    };
    entry_of(index, place)
}

/// A frame, as a walk comes to it.
pub(crate) struct Context {
    regs: Regs,
    entry: Option<&'static Entry>,
}

impl Context {
    fn at(regs: Regs) -> Context {
        Context { regs, entry: entry_at(regs.0[Regs::PC].wrapping_sub(2)) }
    }

    fn caller(&self) -> Option<Context> {
        let rules = Rules::of(self.entry?, self.pc(), &mut read)?;
        rules.apply(&self.regs, &mut read).map(Context::at)
    }

    pub(crate) fn pc(&self) -> usize {
        self.regs.0[Regs::PC]
    }

    /// The stack pointer as the frame's callee will leave it.
    pub(crate) fn sp(&self) -> usize {
        self.regs.0[Regs::SP]
    }

    /// A register that every callee keeps, by its DWARF number.
    pub(crate) fn register(&self, number: usize) -> usize {
        self.regs.0[number]
    }

    /// Whether it is of `function`, or of a neighbour with the same rules: the linker makes one entry of both.
    pub(crate) fn is_of(&self, function: usize) -> bool {
        self.entry.is_some() && self.entry.map(ptr::from_ref) == entry_at(function).map(ptr::from_ref)
    }

    /// The function's start and its language's own table, if it has one.
    pub(crate) fn language_table(&self) -> Option<(usize, *const u8)> {
        let entry = self.entry.filter(|entry| entry[1] != CANNOT_UNWIND && entry[1] & INLINE == 0)?;
        let table = target(&entry[1]);
        let bytes = read(table + 4)? >> 24;
        let is_language = read(table)? as u32 & INLINE == 0;
        is_language.then(|| (target(&entry[0]), (table + 8 + 4 * bytes) as *const u8))
    }
}

/// Trusts what the tables say.
fn read(addr: usize) -> Option<usize> {
    // SAFETY: of a table, of code, or of the stack by a table, all of a frame that stands.
    Some(unsafe { (addr as *const usize).read_unaligned() })
}

/// Shows `see` every frame from the caller's outward, as long as it says so. The last one has pc 0
/// if it is the thread's first; else nothing is known of its caller.
#[inline(never)]
pub(crate) fn backtrace(see: &mut dyn FnMut(&Context) -> bool) {
    let mut at = Context::at(Regs::capture());
    while let Some(caller) = at.caller() {
        if !see(&caller) {
            return;
        }
        at = caller;
    }
    if is_first(at.pc()) {
        at.regs.0[Regs::PC] = 0;
        see(&at);
    }
}

/// Called by the process's unwinder for a frame when its language has been asked: what `T` is to see is the next one, as
/// soon as the language has no work left in this one.
pub(super) unsafe extern "C-unwind" fn stop<T: Unwinding>(
    _: c_int,
    _: c_int,
    _: *const u8,
    _: *mut Exception,
    context: *mut c_void,
    arg: *mut c_void,
) -> c_int {
    const CORE: c_int = 0;
    const UINT32: c_int = 0;
    const NO_REASON: c_int = 0;
    let mut regs = Regs([0; _]);
    for (number, value) in regs.0.iter_mut().enumerate() {
        // SAFETY: alive while the unwinder looks at it; so for all below.
        unsafe { _Unwind_VRS_Get(context, CORE, number as u32, UINT32, value) };
    }
    regs.0[Regs::PC] = strip(regs.0[Regs::PC]);
    let frame = Context::at(regs);
    let arg = arg.cast::<T>();
    // SAFETY: what `forced_unwind` was given.
    unsafe {
        match frame.caller() {
            None => T::visit(arg, frame, true),
            // It stays: it is about to do its work, and then comes by again.
            Some(next) if _Unwind_GetCFA(context) == frame.sp() && next.sp() != frame.sp() => {}
            Some(next) => {
                let is_last = next.caller().is_none();
                T::visit(arg, next, is_last);
            }
        }
    }
    NO_REASON
}
