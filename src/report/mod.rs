//! The report of a death, and the death. Go: `startpanic_m`, `dopanic_m`, `crash` in runtime/panic.go.
//!
//! The order of the end, which never depends on the patient:
//!
//! 1. One thread reports; others that are to die wait where they are, until it has evidently left its death by a
//!    jump out of the host's handler.
//! 2. The thread switches to a stack that is kept for this. From here on: no TLS, no lock, no
//!    allocation, no cancellation point.
//! 3. Signals are held back, but for faults and SIGABRT; a timer on this thread sends the signal that
//!    the process dies of when the bound has passed, whatever holds the report up.
//! 4. The first phase: the message, then where the frames are, by what is in memory alone. A reader
//!    who takes nothing is not waited for yet: the text is kept.
//! 5. The second phase: as much as the level asks for, with names and lines, by the files on disk. They
//!    may be broken or large: what faults is left out, and what takes too long. Then the same for
//!    machines, to whoever wants it so.
//! 6. Who took nothing before gets the rest, and some time for it.
//! 7. The host's hook gets the text.
//! 8. The mask is as it was, but what has come meanwhile stays held back, and the process dies as its [`Death`] says.
//!
//! | File | Holds |
//! |---|---|
//! | `level`, `settings` | what a start asks for |
//! | `text` | the report for people |
//! | `json` | the one for machines |
//! | `others` | what can be known of the other threads |
//! | `guard` | the steps that may fault |
//! | `kept` | the text, as it is kept |
//! | `hook` | the host's function that gets it |

mod guard;
mod hook;
mod json;
mod kept;
mod level;
mod others;
mod settings;
mod text;

use core::ffi::c_void;
use core::ptr;

use crate::arch::{self, Gobuf, Regs};
use crate::base::Printer;
use crate::base::atomic::{AtomicU64, Ordering};
use crate::gmp::{self, M};
use crate::stack::KeptStack;
use crate::sys;
use crate::traceback::{self, Frame};
pub(crate) use hook::on_fatal;
pub use hook::wharf_fatal_fn;
pub(crate) use level::Level;
pub(crate) use others::{Upstairs, host_side_of, set_upstairs};
pub(crate) use settings::{FIELDS, PATH_BYTES, Settings, forget};

/// How long a reader is waited for while there is something else to do.
const SOON_NS: i64 = 200_000_000;
/// How long a reader of the report for machines is.
const SINK_NS: i64 = 500_000_000;
/// How long it is waited for at all.
const LAST_NS: i64 = 4_000_000_000;
/// When the timer ends a report that did not heed these bounds, or a hook that goes on and on.
const END_NS: i64 = 5_000_000_000;
/// How long a handler of the host's may take then.
const HANDLER_NS: i64 = 5_000_000_000;
/// How many callbacks inside each other are looked through.
const MOST_CALLS: usize = 1000;

/// The thread that dies, by process and tid, since a fork leaves the parent's there; or 0. With [`TOLD`] and
/// [`MASKED`], which no tid reaches.
static DYING: AtomicU64 = AtomicU64::new(0);
/// The report is finished, and the host's handler of SIGABRT has the thread: it may jump out.
const TOLD: u64 = 1 << 31;
/// SIGABRT is held back on the thread as long as that handler is at work.
const MASKED: u64 = 1 << 30;

/// Only the thread that DYING names runs on it. A handler of the host's does so, too.
static REPORT_STACK: KeptStack = KeptStack::new();

/// Why a thread takes the process with it, and how.
pub(crate) struct Death<'a> {
    /// Prints what happened, `panic: BOOM`, without the last line break.
    pub(crate) what: &'a dyn Fn(&mut Printer),
    /// Where.
    pub(crate) regs: Regs,
    /// Whether their PC is the next instruction, of a frame that was interrupted, and not a return
    /// address.
    pub(crate) is_exact: bool,
    /// What the process dies of.
    pub(crate) signal: i32,
    /// Ends the process from the report's stack; or does nothing, and who told it goes on.
    pub(crate) end: &'a dyn Fn(),
}

struct Report<'a> {
    death: &'a Death<'a>,
    /// Of the calling thread, if callbacks of it are on: then no stop takes away what is looked at.
    m: Option<&'static M>,
    level: Level,
}

/// Reports a death of the calling thread, and ends it. `[sig]`
pub(crate) fn tell(death: &Death<'_>) {
    arch::allow_misaligned();
    let me = this_thread();
    // Acquire: pairs with `abort` and `survived`.
    let take = |from| DYING.compare_exchange(from, me, Ordering::Acquire, Ordering::Relaxed).is_ok();
    let mut is_taken = take(0);
    while !is_taken {
        let dying = after_others(me);
        if thread(dying) == me && (dying & TOLD == 0 || is_at_the_end(death.regs.0[Regs::SP])) {
            again(death)
        }
        is_taken = take(dying);
    }
    let mut report = Report { death, m: gmp::getm().filter(|m| m.gate.busy()), level: settings::level_now() };
    let mut left = Gobuf::default();
    // SAFETY: we are the only one on that stack; its top is page-aligned.
    unsafe {
        arch::call_on_stack(
            print_and_end,
            ptr::from_mut(&mut report).cast(),
            REPORT_STACK.top(),
            &raw mut left,
        )
    };
}

/// The reported death is left to a handler of the host's, which may let the process live: the next death
/// is reported too. `[sig]`
pub(crate) fn survived() {
    // Release: as in `abort`.
    DYING.store(0, Ordering::Release);
}

/// The process is to die here, without a word: a death that another thread is at comes to its end first,
/// and most likely the process with it. `[sig]`
pub(crate) fn let_finish() {
    after_others(this_thread());
}

/// Ends the process by SIGABRT: first with the host's handler in its place; if that returns, or the signal is
/// ignored, with the default action. `[sig]`
pub(crate) fn abort() -> ! {
    let me = this_thread();
    // Release: whoever dies next has the memory of this report.
    let told = |masked| DYING.store(me | TOLD | if masked { MASKED } else { 0 }, Ordering::Release);
    sys::ask_abort_handler(&told);
    // It has come back.
    DYING.store(me, Ordering::Relaxed);
    sys::die_of_default_abort()
}

/// The host's handler, which is about to be called, does not hold SIGABRT back. `[sig]`
pub(crate) fn not_masked() {
    let me = this_thread();
    let _ = DYING.compare_exchange(me | TOLD | MASKED, me | TOLD, Ordering::Relaxed, Ordering::Relaxed);
}

/// Waits while another thread than `me` dies: while it reports, and as long as the host's handler may be at work,
/// be it for minutes. Who dies then, or did. `[sig]`
fn after_others(me: u64) -> u64 {
    const LOOK_NS: i64 = 1_000_000;
    /// A look at a handler is dearer.
    const LOOK_LONG_NS: i64 = 10_000_000;
    /// A handler begins and ends with SIGABRT let through for some instructions.
    const LEFT_NS: i64 = 300_000_000;
    let mut left_ns = None;
    loop {
        let dying = DYING.load(Ordering::Relaxed);
        if thread(dying) == me || dying >> 32 != me >> 32 {
            return dying;
        }
        let tid = thread(dying) as u32 as i32;
        if dying & TOLD == 0 {
            sys::nap(LOOK_NS);
            continue;
        }
        if !sys::thread_lives(tid) {
            return dying;
        }
        let is_out = dying & MASKED != 0 && sys::lets_abort_through(tid);
        left_ns = is_out.then(|| left_ns.unwrap_or_else(sys::now_ns));
        if left_ns.is_some_and(|since_ns| sys::now_ns() - since_ns > LEFT_NS) {
            return dying;
        }
        sys::nap(LOOK_LONG_NS);
    }
}

/// Whether what runs at `sp` was called, by way of whatever callbacks, from the host's handler that the calling
/// thread has died to: where that handler runs.
fn is_at_the_end(sp: usize) -> bool {
    let altstack = sys::AltStack::current().bounds();
    let is_there = |sp: usize| {
        REPORT_STACK.holds(sp) || altstack.is_some_and(|(lo, bytes)| (lo..lo + bytes).contains(&sp))
    };
    let outward = |&sp: &usize| others::host_side_of(sp).map(|frame| frame.sp);
    core::iter::successors(Some(sp), outward).take(MOST_CALLS).any(is_there)
}

/// Whether the calling thread dies already, and is in the hook: a panic cannot go anywhere. `[sig]`
pub(crate) fn is_in_hook() -> bool {
    hook::RUNS.load(Ordering::Relaxed) && DYING.load(Ordering::Relaxed) == this_thread()
}

fn thread(dying: u64) -> u64 {
    dying & !(TOLD | MASKED)
}

fn this_thread() -> u64 {
    (sys::getpid() as u64) << 32 | sys::gettid() as u64
}

/// A second death of the thread that dies already: in the host's handler of SIGABRT, say.
fn again(death: &Death<'_>) -> ! {
    let mut out = Printer::new(2, sys::now_ns() + SOON_NS);
    out.bytes(b"panic during panic\n\t");
    (death.what)(&mut out);
    out.bytes(b"\n");
    out.flush();
    sys::die_of_default_abort()
}

unsafe extern "C-unwind" fn print_and_end(report: *mut c_void) {
    // SAFETY: `tell` passes its own, which it waits with.
    let report = unsafe { &*report.cast::<Report<'_>>() };
    let shield = sys::shield(report.death.signal, END_NS, HANDLER_NS);
    let begun_ns = sys::now_ns();
    // SAFETY: we are the only thread that reports.
    let mut out = unsafe { kept::printer(2, begun_ns + SOON_NS, begun_ns + LAST_NS) };
    // At once: it is out before anything more is tried.
    let space: &[u8] = if report.level == Level::None { b"\n" } else { b"\n\n" };
    (report.death.what)(&mut out);
    out.bytes(space);
    out.flush();
    let kept = out.kept().0;
    let what_bytes = kept.strip_suffix(space).unwrap_or(kept).len();
    // SAFETY: as above.
    let (trap, mut area) = unsafe { (guard::trap(), traceback::area()) };
    report.print(&mut out, &mut area);
    for fd in [settings::fd_now(), settings::file_now()].into_iter().flatten() {
        let mut json = Printer::new(fd, sys::now_ns() + SINK_NS);
        let what = &out.kept().0[..what_bytes];
        guard::step(&mut area, &mut |area| report.write_json(&mut json, what, area));
    }
    drop(trap);
    out.finish();
    // SAFETY: the printer is the one of above, and flushed.
    unsafe { hook::call(kept::text(&out)) };
    shield.lift();
    (report.death.end)()
}

impl Report<'_> {
    /// The number of the managed stack that it happened on, or that is out on the host's stack.
    fn goid(&self) -> Option<u32> {
        let m = self.m?;
        // SAFETY: [gate] the hint goes before the stacks of a busy M do.
        let hinted = || unsafe { m.curg.load(Ordering::Relaxed).as_ref() };
        m.on(self.death.regs.0[Regs::SP]).or_else(hinted).map(|on| on.goid())
    }
}

/// Where the host's stack goes on for a walk that found no way down from `sp` on a managed stack.
fn host_side(m: &M, sp: usize) -> Option<Frame> {
    others::host_side(m.on(sp)?)
}
