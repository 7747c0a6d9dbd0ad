//! Where the host gets into the plugin's Rust, and where panics get out.
//!
//! Two kinds of unwinding come by. A Rust panic must not get out into C frames: it has to become wharf's
//! there. A panic of wharf's (or `pthread_exit`, or a C++ exception) must get out, and
//! `std::panic::catch_unwind` would abort the process because of it. So the gate is a frame with a
//! personality of its own, which asks what is coming:
//!
//! * A Rust panic of this plugin is seen in the unwinder's first phase, the search for a handler. Nothing
//!   is unwound yet, and nobody inside has caught it. There and then it is handed to wharf, which
//!   reports it with all frames intact, or unwinds them all itself, destructors included. While it
//!   does, `std::thread::panicking()` says yes, as in any panic.
//! * When such an unwinding comes by the gate, std is told that its panic is over: what std threw is
//!   caught by std's own `catch_unwind`, on the side.
//! * All else passes.

use std::any::Any;
use std::arch::{global_asm, naked_asm};
use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::mem::{ManuallyDrop, MaybeUninit, transmute};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::api::{self, RawFn};
use super::hook::{self, Text};

/// What a Rust panic carries.
pub(super) type Payload = Box<dyn Any + Send>;

/// The head of what std throws: `_Unwind_Exception`, and what follows.
#[repr(C)]
struct Exception {
    class: u64,
    cleanup: usize,
    private: [usize; 2],
    rest: [usize; 3],
}

unsafe extern "C-unwind" {
    fn _Unwind_Resume(exception: *mut Exception) -> !;
}
unsafe extern "C" {
    fn _Unwind_GetGR(context: *mut c_void, register: c_int) -> usize;
}

/// An entry into the plugin that is on, the gate's own record.
struct Gate {
    /// The one further out on this thread; never looked into.
    outer: *const Gate,
    /// The panic that ended it, on its way out as wharf's.
    thrown: Cell<*mut Exception>,
    /// Where the panic's payload goes; null: nobody wants it.
    keep: *mut Option<Payload>,
    /// Only looks how this std throws.
    probe: Option<[usize; 2]>,
}

thread_local! {
    // No destructor: glibc would keep the plugin loaded as long as the thread lives.
    static INNERMOST: Cell<*const Gate> = const { Cell::new(ptr::null()) };
}

/// Whether Rust of this plugin runs that the host, or wharf, has called through a gate.
pub(super) fn is_inside() -> bool {
    !INNERMOST.get().is_null()
}

/// What [`settle`] gets back to.
pub(super) struct Place(*const Gate);

/// Where the thread is.
#[inline]
pub(super) fn place() -> Place {
    Place(INNERMOST.get())
}

/// Forgets the gates that were left without being unwound.
#[inline]
pub(super) fn settle(place: Place) {
    INNERMOST.set(place.0);
}

/// Runs `body` behind a gate. For `export!`.
#[doc(hidden)]
#[inline]
pub fn enter<R>(body: impl FnOnce() -> R) -> R {
    enter_keeping(ptr::null_mut(), body)
}

/// Runs `body` behind a gate; a payload goes to `keep`, which is null or outlives what the panic ends.
#[inline]
pub(super) fn enter_keeping<R>(keep: *mut Option<Payload>, body: impl FnOnce() -> R) -> R {
    if !READY.load(Ordering::Acquire) {
        get_ready();
    }
    pass(Gate { outer: INNERMOST.get(), thrown: Cell::new(ptr::null_mut()), keep, probe: None }, body)
}

/// Nothing in its frame wants to be dropped: an unwinding passes without a halt.
#[inline]
fn pass<F: FnOnce() -> R, R>(gate: Gate, body: F) -> R {
    struct Task<F, R> {
        body: ManuallyDrop<F>,
        result: MaybeUninit<R>,
    }
    unsafe extern "C-unwind" fn run<F: FnOnce() -> R, R>(task: *mut c_void) {
        // SAFETY: handed over below, once.
        let task = unsafe { &mut *task.cast::<Task<F, R>>() };
        // SAFETY: as above.
        let body = unsafe { ManuallyDrop::take(&mut task.body) };
        task.result.write(body());
    }
    let mut task = Task::<F, R> { body: ManuallyDrop::new(body), result: MaybeUninit::uninit() };
    INNERMOST.set(&raw const gate);
    // SAFETY: both outlive the call.
    unsafe { guarded(run::<F, R>, (&raw mut task).cast(), &raw const gate) };
    INNERMOST.set(gate.outer);
    // SAFETY: `run` has returned.
    unsafe { task.result.assume_init() }
}

// ---- The frame -------------------------------------------------------------------------------

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!("wharf's face is for x86-64 Linux");

/// The frame pointer's number in DWARF.
const FRAME_POINTER: c_int = 6;

// Frames name their personality by a word that holds its address.
global_asm!(
    ".pushsection .data.rel.ro.wharf_face,\"aw\",@progbits",
    ".p2align 3",
    ".globl __wharf_face_personality",
    ".hidden __wharf_face_personality",
    ".type __wharf_face_personality,@object",
    ".size __wharf_face_personality,8",
    "__wharf_face_personality: .quad {}",
    ".popsection",
    sym personality,
);

/// Calls `run(task)`. Whatever unwinds it goes by [`personality`].
///
/// # Safety
/// `run` may be called with `task`; `gate` is alive until the return.
#[unsafe(naked)]
unsafe extern "C-unwind" fn guarded(run: RawFn, task: *mut c_void, gate: *const Gate) {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_personality 0x9b, __wharf_face_personality",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "push rdx",
        "push rdx",
        "mov rax, rdi",
        "mov rdi, rsi",
        "call rax",
        "leave",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

/// The unwinder asks this about what comes by [`guarded`]. Nothing is to be done in that frame itself, so
/// nothing lands there: what there is to do is done from here.
unsafe extern "C-unwind" fn personality(
    version: c_int,
    actions: c_int,
    _class: u64,
    exception: *mut Exception,
    context: *mut c_void,
) -> c_int {
    const SEARCH_PHASE: c_int = 1;
    const FATAL_ERROR: c_int = 3;
    const CONTINUE_UNWIND: c_int = 8;
    if version != 1 {
        return FATAL_ERROR;
    }
    // SAFETY: the frame of `guarded`, which keeps the gate below its frame pointer; the gate is alive as
    // long as that frame.
    let gate = unsafe { &**(_Unwind_GetGR(context, FRAME_POINTER) as *const *const Gate).sub(1) };
    if actions & SEARCH_PHASE == 0 {
        leave(gate);
        return CONTINUE_UNWIND;
    }
    // SAFETY: it is being thrown.
    unsafe {
        match gate.probe {
            Some(mark) => learn(exception, mark),
            None if is_ours(exception) => hand_over(gate, exception),
            None => {}
        }
    }
    CONTINUE_UNWIND
}

/// Something that unwinds goes out by the gate. No panic gets out of this: a payload's destructor may
/// have one.
extern "C" fn leave(gate: &Gate) {
    INNERMOST.set(gate.outer);
    let thrown = gate.thrown.replace(ptr::null_mut());
    if thrown.is_null() {
        return;
    }
    give(gate, take_back(thrown));
}

/// Gives a payload to who wants it.
fn give(gate: &Gate, payload: Payload) {
    // SAFETY: as `enter_keeping` says.
    match unsafe { gate.keep.as_mut() } {
        Some(keep) => *keep = Some(payload),
        None => drop(payload),
    }
}

/// Has std catch what it has thrown, which ends the panic for it.
fn take_back(thrown: *mut Exception) -> Payload {
    // SAFETY: thrown by our std and not caught. It goes on from here, to the next who catches.
    let catch = catch_unwind(|| unsafe { _Unwind_Resume(thrown) });
    match catch {
        Ok(never) => never,
        Err(payload) => payload,
    }
}

// ---- How std throws --------------------------------------------------------------------------

static READY: AtomicBool = AtomicBool::new(false);
/// The class of what std throws: Rust's.
static CLASS: AtomicU64 = AtomicU64::new(0);
/// What ends it for those who cannot catch it: a function in our own std, by which its exceptions are
/// told from those of another plugin's std.
static CLEANUP: AtomicUsize = AtomicUsize::new(0);
/// Where in `rest` the payload stands, from 1.
static PAYLOAD: AtomicUsize = AtomicUsize::new(0);

#[cold]
#[inline(never)]
fn get_ready() {
    static ONCE: Once = Once::new();
    // Else std would not let us.
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        hook::install();
        let mark: Payload = Box::new(0_u8);
        // SAFETY: what a box is made of, to be compared.
        let words = unsafe { transmute::<*const (dyn Any + Send), [usize; 2]>(&raw const *mark) };
        let gate = Gate {
            outer: INNERMOST.get(),
            thrown: Cell::new(ptr::null_mut()),
            keep: ptr::null_mut(),
            probe: Some(words),
        };
        let _ = catch_unwind(AssertUnwindSafe(|| pass(gate, || resume_unwind(mark))));
        READY.store(true, Ordering::Release);
    });
}

/// Looks at one that carries a known payload.
unsafe fn learn(exception: *mut Exception, mark: [usize; 2]) {
    // SAFETY: of std's own making: a head, and behind it at least a box and what else it needs.
    let Exception { class, cleanup, rest, .. } = unsafe { exception.read() };
    let at = rest.windows(2).position(|words| words == mark);
    PAYLOAD.store(at.map_or(0, |at| at + 1), Ordering::Relaxed);
    CLASS.store(class, Ordering::Relaxed);
    CLEANUP.store(cleanup, Ordering::Relaxed);
}

unsafe fn is_ours(exception: *mut Exception) -> bool {
    // SAFETY: every exception has a head.
    let (class, cleanup) = unsafe { ((*exception).class, (*exception).cleanup) };
    class == CLASS.load(Ordering::Relaxed) && cleanup == CLEANUP.load(Ordering::Relaxed)
}

// ---- To wharf --------------------------------------------------------------------------------

/// Makes a panic wharf's. All its frames stand. Inlined: each frame costs.
#[inline(always)]
unsafe fn hand_over(gate: &Gate, exception: *mut Exception) -> ! {
    // On the stack: unwinding it costs nothing.
    let mut text = Text::<1024>::new();
    match PAYLOAD.load(Ordering::Relaxed) {
        // A std that we do not know: its panic ends before the frames do.
        0 => {
            let payload = take_back(exception);
            hook::describe(&*payload, &mut text);
            give(gate, payload);
        }
        at => {
            gate.thrown.set(exception);
            // SAFETY: it stands there, and stays until the gate is left.
            let payload =
                unsafe { &*(&raw const (*exception).rest).cast::<usize>().add(at - 1).cast::<Payload>() };
            hook::describe(&**payload, &mut text);
        }
    }
    match api::table() {
        // SAFETY: a string.
        Ok(api) => unsafe { (api.panic_from)(text.as_c_str().as_ptr().cast::<c_char>(), ptr::null(), 0) },
        Err(why) => hook::die(text.as_bytes(), &why),
    }
}
