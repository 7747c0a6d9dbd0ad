//! A panic in progress, and what the host gets to see of it. Go: `_panic`.
//!
//! One block of memory holds both, the trace and the message; it is freed when neither the runtime
//! nor the host needs it any more.

use core::cell::Cell;
use core::ffi::{CStr, c_char, c_void};
use core::fmt::Write;
use core::mem::offset_of;
use core::ptr;

use super::defer::ask_for_return;
use crate::base::Printer;
use crate::base::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};
use crate::gmp::{GStack, Panicking, Scope};
use crate::sys;
use crate::sys::unwind::Exception;

/// A panic that has ended. It lives until `wharf_panic_info_free`, over `wharf_stop` too.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct wharf_panic_info {
    /// Bytes of this struct, as the library knows it.
    pub size: u32,
    /// `WHARF_PANIC_MESSAGE`, `WHARF_PANIC_FAULT` or `WHARF_PANIC_OVERFLOW`; later versions may know more
    /// kinds.
    pub kind: u32,
    /// What `wharf_panic` was given; of a fault what it is called, as in `wharf_config.signals`, and its address.
    pub message: *const c_char,
    /// Return addresses, from the caller of `wharf_panic` outward, as far as was unwound: up to the frame
    /// without unwind tables, if it was cut. Of a fault, from where it was on, plus one, and past a try that is on
    /// the host's stack.
    pub trace: *const *const c_void,
    /// How many there are, at most `trace_depth` of the configuration.
    pub trace_count: u32,
    /// 1: frames without unwind tables were met, and all outward of them were given up at once: no
    /// destructor of theirs has run. So it is after every fault.
    pub cut: u32,
    /// The panic that this one took the place of, in a deferred call; or NULL. Freed with this one.
    pub earlier: *const wharf_panic_info,
    /// Of a fault: the address that could not be accessed, or of the instruction.
    pub address: *const c_void,
}

/// `wharf_panic_info.kind`: raised by `wharf_panic`.
pub const WHARF_PANIC_MESSAGE: u32 = 1;
/// `wharf_panic_info.kind`: SIGSEGV, SIGBUS, SIGFPE or SIGILL, with `WHARF_FAULTS_PANIC`.
pub const WHARF_PANIC_FAULT: u32 = 2;
/// `wharf_panic_info.kind`: the callback has outgrown its stack, with `WHARF_FAULTS_PANIC`.
pub const WHARF_PANIC_OVERFLOW: u32 = 3;

/// How many frames a trace keeps at most; less than 0: none.
static TRACE_DEPTH: AtomicI32 = AtomicI32::new(DEFAULT_TRACE_DEPTH);
pub(crate) const DEFAULT_TRACE_DEPTH: i32 = 32;

pub(crate) fn trace_depth() -> i32 {
    TRACE_DEPTH.load(Ordering::Relaxed)
}

pub(crate) fn set_trace_depth(depth: i32) {
    TRACE_DEPTH.store(depth, Ordering::Relaxed);
}

/// Who still needs the block.
const RUNTIME: u32 = 1;
const HOST: u32 = 2;

/// A panic, or a `wharf_goexit`, in progress. The thread's own, but for `owners`.
#[repr(C)]
pub(super) struct Panic {
    pub(super) known: Panicking,
    /// Where C++ keeps what it knows of its own exceptions: `std::terminate` in a `catch (...)` looks there.
    none_of_cxx: [usize; 10],
    pub(super) exception: Exception,
    info: wharf_panic_info,
    /// The one that it took the place of, and keeps.
    replaced: Cell<Option<&'static Panic>>,
    owners: AtomicU32,
    /// Of a mapping of its own; 0: it is in the process's heap.
    mapped_bytes: usize,
    /// It only ends a scope, and nothing recovers it.
    pub(super) is_goexit: bool,
    /// Which scope, then.
    pub(super) ends: Cell<Option<Scope>>,
    pub(super) recovered: Cell<bool>,
    /// Where it comes back to.
    pub(super) target: Cell<Option<Scope>>,
    /// The scope that it has come back to.
    pub(super) landed: Cell<Option<usize>>,
    /// The deferred call that runs because of it, if one does.
    pub(super) deferred: Cell<Option<Deferred>>,
    /// The stack pointer of the frame that is being unwound.
    pub(super) at: Cell<usize>,
    /// The stack pointer of the frame that was seen last, if unwound frames are put into the trace; at
    /// first, of who raised it.
    pub(super) tracing: Cell<Option<usize>>,
    /// The caller of the trace's last frame could not be found.
    pub(super) is_lost: Cell<bool>,
    room: usize,
    trace: [usize; 0],
}

/// A deferred call that runs because of a panic.
#[derive(Clone, Copy)]
pub(super) struct Deferred {
    /// The stack pointer of who runs it.
    pub(super) sp: usize,
    /// The innermost scope's mark while no call is made in it.
    pub(super) mark: usize,
    /// The entries of the stack then.
    pub(super) depth: usize,
}

impl Panic {
    /// `None` if there is no memory.
    pub(super) fn new(message: Option<&[u8]>) -> Option<&'static Panic> {
        Panic::make(message, false)
    }

    /// A fault's; without the process's heap. `[sig]`
    pub(super) fn of_fault(message: &[u8], kind: u32, address: usize) -> Option<&'static Panic> {
        let panic = Panic::make(Some(message), true)?;
        // SAFETY: the thread's own.
        unsafe {
            (*panic.as_ptr()).info.kind = kind;
            (*panic.as_ptr()).info.address = address as *const c_void;
        }
        Some(panic)
    }

    fn make(message: Option<&[u8]>, is_mapped: bool) -> Option<&'static Panic> {
        let text = message.unwrap_or_default();
        let room = if message.is_some() { trace_depth().max(0) as usize } else { 0 };
        let bytes = size_of::<Panic>() + room * size_of::<usize>() + text.len() + 1;
        let block = if is_mapped { sys::map(bytes)? } else { sys::allocate(bytes)? }.cast::<Panic>();
        // SAFETY: a block of that many bytes, aligned for anything.
        unsafe {
            let trace = (&raw mut (*block).trace).cast::<usize>();
            let copy = trace.add(room).cast::<u8>();
            ptr::copy_nonoverlapping(text.as_ptr(), copy, text.len());
            *copy.add(text.len()) = 0;
            block.write(Panic {
                known: Panicking { link: AtomicPtr::new(ptr::null_mut()), discard: Panic::discard },
                none_of_cxx: [0; 10],
                exception: Exception::new(super::gopanic::swallowed),
                info: wharf_panic_info {
                    size: size_of::<wharf_panic_info>() as u32,
                    kind: WHARF_PANIC_MESSAGE,
                    message: copy.cast(),
                    trace: trace.cast(),
                    trace_count: 0,
                    cut: 0,
                    earlier: ptr::null(),
                    address: ptr::null(),
                },
                replaced: Cell::new(None),
                owners: AtomicU32::new(RUNTIME),
                mapped_bytes: if is_mapped { bytes } else { 0 },
                is_goexit: message.is_none(),
                ends: Cell::new(None),
                recovered: Cell::new(false),
                target: Cell::new(None),
                landed: Cell::new(None),
                deferred: Cell::new(None),
                at: Cell::new(0),
                tracing: Cell::new(None),
                is_lost: Cell::new(false),
                room,
                trace: [],
            });
            Some(&*block)
        }
    }

    fn as_ptr(&self) -> *mut Panic {
        ptr::from_ref(self).cast_mut()
    }

    /// The runtime is done with it. For [`Panicking`].
    unsafe fn discard(panicking: *mut Panicking) {
        // SAFETY: the head of a Panic.
        unsafe { (*panicking.cast::<Panic>()).release(RUNTIME) };
    }

    /// Frees the block if `owner` was the last who needed it, then those that only it kept.
    fn release(&self, owner: u32) {
        let (mut panic, mut owner) = (self, owner);
        // AcqRel: the other owner's last look is behind us.
        while panic.owners.fetch_and(!owner, Ordering::AcqRel) == owner {
            let kept = panic.replaced.get();
            // SAFETY: nobody needs it any more.
            unsafe {
                match panic.mapped_bytes {
                    0 => sys::deallocate(panic.as_ptr().cast()),
                    bytes => sys::release(panic.as_ptr() as usize, bytes),
                }
            }
            let Some(kept) = kept else { return };
            (panic, owner) = (kept, RUNTIME);
        }
    }

    pub(super) fn text(&self) -> &[u8] {
        // SAFETY: written with its NUL when it was made.
        unsafe { CStr::from_ptr(self.info.message) }.to_bytes()
    }

    /// The panic that went on when it began.
    fn interrupted(&self) -> Option<&'static Panic> {
        // SAFETY: alive as long as this one goes on.
        unsafe { self.known.link.load(Ordering::Relaxed).cast::<Panic>().as_ref() }
    }

    /// Those that it took the place of, youngest first.
    fn each_replaced(&self) -> impl Iterator<Item = &'static Panic> {
        core::iter::successors(self.replaced.get(), |panic| panic.replaced.get())
    }

    /// It and all before it, youngest first.
    pub(super) fn and_before(&'static self) -> impl Iterator<Item = &'static Panic> {
        let heads = core::iter::successors(Some(self), |panic| panic.interrupted());
        heads.flat_map(|panic| core::iter::once(panic).chain(panic.each_replaced()))
    }

    /// The message and what became of it, where `before` came before it.
    pub(super) fn print_text(&self, before: Option<&Panic>, out: &mut Printer) {
        print_text(before, self.text(), out);
        // One that repeats another is printed as that one, which says so already.
        let repeats = before.is_some_and(|before| before.is_repeated(self.text()));
        if self.recovered.get() && !repeats {
            out.bytes(b" [recovered]");
        }
        if self.is_goexit {
            out.bytes(b"wharf_goexit");
        }
    }

    /// Whether it was recovered before a panic with the same message: Go prints the two as one.
    fn is_repeated(&self, message: &[u8]) -> bool {
        self.recovered.get() && !self.is_goexit && self.text() == message
    }

    /// Whether it ends when a panic comes back to `scope` on the same stack: not if the scope is inside its
    /// deferred call, or inside a destructor that it runs.
    pub(super) fn is_left_by(&self, scope: Scope) -> bool {
        let at = self.at.get();
        match self.deferred.get() {
            Some(deferred) => scope.mark <= deferred.depth,
            None => scope.mark == 0 || !scope.on.contains(at) || scope.sp() >= at,
        }
    }

    /// Adds a frame to the trace; whether there is room for more.
    pub(super) fn trace(&self, pc: usize) -> bool {
        let info = self.as_ptr();
        // SAFETY: the thread's own; `room` words follow the struct.
        unsafe {
            let count = (*info).info.trace_count as usize;
            if count < self.room {
                (&raw mut (*info).trace).cast::<usize>().add(count).write(pc);
                (*info).info.trace_count = count as u32 + 1;
            }
            count + 1 < self.room
        }
    }

    /// Adds a frame that is about to be unwound.
    pub(super) fn trace_unwound(&self, sp: usize, pc: usize) {
        let Some(last) = self.tracing.get() else { return };
        let begun = self.info.trace_count > 0;
        // Not those that raised it; nor one that is seen again, when a destructor of its has run.
        if if begun { sp != last } else { sp > last } {
            self.tracing.set(self.trace(pc).then_some(sp));
        }
    }

    /// The frames so far.
    pub(super) fn frames(&self) -> &[usize] {
        // SAFETY: so many were written.
        unsafe { core::slice::from_raw_parts(self.info.trace.cast(), self.info.trace_count as usize) }
    }

    pub(super) fn set_cut(&self) {
        // SAFETY: the thread's own.
        unsafe { (*self.as_ptr()).info.cut = 1 };
    }

    pub(super) fn is_cut(&self) -> bool {
        self.info.cut != 0
    }

    /// The innermost panic of `on`.
    pub(super) fn innermost(on: &GStack) -> Option<&'static Panic> {
        // SAFETY: null or alive; only this room puts something there.
        unsafe { on.record.panics.load(Ordering::Relaxed).cast::<Panic>().as_ref() }
    }

    /// Makes it the innermost of `on`.
    pub(super) fn begin(&self, on: &GStack) {
        let others = on.record.panics.load(Ordering::Relaxed);
        self.known.link.store(others, Ordering::Relaxed);
        on.record.panics.store(self.as_ptr().cast(), Ordering::Relaxed);
        ask_for_return(on);
    }

    /// Takes it, the innermost, off the list of `on`.
    pub(super) fn end(&self, on: &GStack) {
        let others = self.known.link.swap(ptr::null_mut(), Ordering::Relaxed);
        on.record.panics.store(others, Ordering::Relaxed);
    }

    /// Takes the place of `other`; both are on no list now.
    pub(super) fn replace(&self, other: &'static Panic) {
        self.each_replaced().last().unwrap_or(self).replaced.set(Some(other));
    }

    /// Whether it took the place of a `wharf_goexit` of `scope`, which goes on when this one is recovered there.
    pub(super) fn hides_goexit_of(&self, scope: Scope) -> bool {
        let is_it = |ended: Scope| ptr::eq(ended.on, scope.on) && ended.mark == scope.mark;
        self.each_replaced().any(|panic| panic.ends.get().is_some_and(is_it))
    }

    /// The host's view of it; from here on the host's too.
    pub(super) fn share(&self) -> *mut wharf_panic_info {
        self.owners.fetch_or(HOST, Ordering::Relaxed);
        let mut panic = self;
        // SAFETY: the thread's own, and those that it keeps.
        unsafe {
            for earlier in self.each_replaced().filter(|panic| !panic.is_goexit) {
                (*panic.as_ptr()).info.earlier = &raw const earlier.info;
                panic = earlier;
            }
            &raw mut (*self.as_ptr()).info
        }
    }

    /// The runtime is done with it.
    pub(super) fn drop_it(&self) {
        self.release(RUNTIME);
    }

    /// # Safety
    /// `info` came from [`share`](Panic::share), and was not freed.
    unsafe fn of<'a>(info: *const wharf_panic_info) -> &'a Panic {
        // SAFETY: as the caller says.
        unsafe { &*info.byte_sub(offset_of!(Panic, info)).cast::<Panic>() }
    }
}

/// Prints a panic with this message: first those before it, oldest first, each on a line. `before`: youngest
/// first; of very many the youngest and the oldest are shown, as the stack is bounded.
pub(super) fn print_before(before: impl Iterator<Item = &'static Panic>, message: &[u8], out: &mut Printer) {
    const MOST: usize = 50;
    let (mut shown, mut count) = ([None; MOST], 0_usize);
    let (mut before, mut after) = (before.peekable(), message);
    while let Some(panic) = before.next() {
        if !panic.is_goexit && !panic.is_repeated(after) {
            shown[count.min(MOST - 1)] = Some((panic, before.peek().copied()));
            count += 1;
        }
        after = panic.text();
    }
    for (at, (panic, before)) in shown.into_iter().flatten().rev().enumerate() {
        out.bytes(b"panic: ");
        panic.print_text(before, out);
        out.bytes(b"\n\t");
        if at == 0 && count > MOST {
            let _ = write!(out, "...{} panics elided...\n\t", count - MOST);
        }
    }
}

/// The message, and whether it was that of the one before.
pub(super) fn print_text(before: Option<&Panic>, message: &[u8], out: &mut Printer) {
    out.indented(message);
    if before.is_some_and(|before| before.is_repeated(message)) {
        out.bytes(b" [recovered, repanicked]");
    }
}

/// The host is done with it.
///
/// # Safety
/// `info` was given out, and not freed.
pub(crate) unsafe fn free(info: *mut wharf_panic_info) {
    // SAFETY: as the caller says.
    unsafe { Panic::of(info) }.release(HOST);
}

/// Prints all that is known: the messages, then the trace with names.
///
/// # Safety
/// `info` was given out, and not freed.
pub(crate) unsafe fn format(info: *const wharf_panic_info, out: &mut Printer) {
    // SAFETY: as the caller says.
    let panic = unsafe { Panic::of(info) };
    print_before(panic.each_replaced(), panic.text(), out);
    out.bytes(b"panic: ");
    panic.print_text(panic.replaced.get(), out);
    out.bytes(b"\n");
    if !panic.frames().is_empty() {
        out.bytes(b"\n");
        crate::traceback::print_places(out, panic.frames(), panic.is_lost.get());
    }
    // A fault is cut where it happened.
    if panic.info.cut != 0 && panic.info.kind == WHARF_PANIC_MESSAGE {
        out.bytes(b"cut at a frame without unwind information\n");
    }
}

/// For [`Exception`]: the type that its cleanup gets.
pub(super) unsafe fn of_exception<'a>(exception: *mut Exception) -> &'a Panic {
    // SAFETY: the exception of a Panic, as the caller says.
    unsafe { &*exception.byte_sub(offset_of!(Panic, exception)).cast::<Panic>() }
}
