//! Where a signal hit, and the report of it. Go: `sighandler`, `sigpanic`.

use core::fmt::Write;

use super::{REPORTED, REPORTER};
use crate::arch::Regs;
use crate::base::Printer;
use crate::base::atomic::Ordering;
use crate::gmp::{self, CLOSED, GStack, M, STACKS};
use crate::panic::{self, Fault, Landing, WHARF_PANIC_FAULT, WHARF_PANIC_OVERFLOW};
use crate::report::{self, Death};
use crate::sys::{self, Cause};

/// A callback that was interrupted.
pub(super) struct Place {
    pub(super) m: &'static M,
    pub(super) on: &'static GStack,
    /// It is out on the host's stack.
    pub(super) is_out: bool,
    /// It has outgrown its stack.
    pub(super) is_overflow: bool,
    /// Its stack pointer points to nothing: into no stack that anybody could know it by.
    pub(super) is_adrift: bool,
}

/// The callback that runs on the calling thread at `regs`, if one does. `[where]` `[sig]`
pub(super) fn place(cause: &Cause, regs: &Regs) -> Option<Place> {
    let m = gmp::m_of(sys::gettid())?;
    // [gate] Else an entry was interrupted that may not look at its stacks.
    if !m.gate.busy() || m.gate.state() == CLOSED {
        return None;
    }
    let sp = regs.0[Regs::SP];
    let (guard_bytes, stack_bytes) = {
        let geometry = STACKS.geometry();
        (geometry.guard_bytes, geometry.stack_bytes)
    };
    // A frame may be larger than the guard: as long as nothing else is there, it has been stopped.
    let reach = guard_bytes.max(stack_bytes);
    let below = |on: &GStack, at: usize| at < on.lo && on.lo - at <= reach;
    let mut busy = m.stacks().filter(|on| on.busy());
    let is_on = |on: &&GStack| (on.lo - guard_bytes..on.hi()).contains(&sp);
    if let Some(on) = m.stacks().find(|on| on.busy() && is_on(on)) {
        let is_overflow = cause.is_fault() && (sp < on.lo || in_guard(on, guard_bytes, cause.address));
        return Some(Place { m, on, is_out: false, is_overflow, is_adrift: false });
    }
    if let Some(on) = m.stacks().find(|on| on.busy() && gmp::is_out_at(on, sp)) {
        return Some(Place { m, on, is_out: true, is_overflow: false, is_adrift: false });
    }
    let jumped = |on: &&GStack| on.sched_sp() == 0 && below(on, sp) && below(on, cause.address);
    if !cause.is_fault() {
        return None;
    }
    if let Some(on) = busy.find(jumped).filter(|_| STACKS.holds(sp)) {
        return Some(Place { m, on, is_out: false, is_overflow: true, is_adrift: false });
    }
    let on = innermost(m).filter(|_| !sys::readable(sp))?;
    Some(Place { m, on, is_out: on.sched_sp() != 0, is_overflow: false, is_adrift: true })
}

/// A stack that a callback is on, and that none was entered from.
fn innermost(m: &'static M) -> Option<&'static GStack> {
    let busy = || m.stacks().filter(|on| on.busy());
    let is_parent =
        |on: &GStack| busy().any(|inner| inner.parent().is_some_and(|parent| core::ptr::eq(parent, on)));
    busy().find(|on| !is_parent(on))
}

fn in_guard(on: &GStack, guard_bytes: usize, address: usize) -> bool {
    (on.lo - guard_bytes..on.lo).contains(&address)
}

/// Has a try get it, if one stands on the stack.
pub(super) fn panic(signal: i32, cause: &Cause, regs: &Regs, mask: u64, place: &Place) -> Option<Landing> {
    if !cause.is_fault() || place.is_out || place.is_adrift || signal == sys::SIGABRT {
        return None;
    }
    let mut text = [0; 128];
    // SAFETY: room of ours.
    let mut out = unsafe { Printer::to_memory(text.as_mut_ptr(), text.len()) };
    let kind = if place.is_overflow { WHARF_PANIC_OVERFLOW } else { WHARF_PANIC_FAULT };
    let _ = match kind {
        WHARF_PANIC_OVERFLOW => {
            write!(out, "stack overflow: goroutine stack exceeds {}-byte limit", limit(place))
        }
        _ => write!(out, "{} addr={:#x}", name(signal), cause.address),
    };
    let length = out.printed().min(text.len());
    let fault = Fault { kind, message: &text[..length], address: cause.address, regs, mask };
    panic::fault(place.m, place.on, &fault)
}

fn limit(place: &Place) -> usize {
    place.on.hi() - place.on.lo
}

/// Reports it. Comes back, but for an overflow.
pub(super) fn report(signal: i32, cause: &Cause, regs: Regs, place: &Place) {
    if place.is_overflow {
        let limit = limit(place);
        report::tell(&Death {
            what: &|out| {
                let _ = writeln!(out, "wharf: goroutine stack exceeds {limit}-byte limit");
                out.bytes(b"fatal error: stack overflow");
            },
            regs,
            is_exact: true,
            signal: sys::SIGABRT,
            end: &|| {
                // The host's handler may jump out.
                REPORTER.store(REPORTED, Ordering::Relaxed);
                report::abort()
            },
        });
    }
    report::tell(&Death {
        what: &|out| print(out, signal, cause, &regs, place),
        regs,
        is_exact: true,
        signal,
        end: &|| {},
    });
}

/// The signal's name, as Go prints it.
fn name(signal: i32) -> &'static str {
    match signal {
        sys::SIGSEGV => "SIGSEGV: segmentation violation",
        sys::SIGBUS => "SIGBUS: bus error",
        sys::SIGFPE => "SIGFPE: floating-point exception",
        sys::SIGILL => "SIGILL: illegal instruction",
        _ => "SIGABRT: abort",
    }
}

fn print(out: &mut Printer, signal: i32, cause: &Cause, regs: &Regs, place: &Place) {
    let pc = regs.0[Regs::PC];
    let number = place.m.number.load(Ordering::Relaxed);
    let _ = write!(out, "{}\nPC={pc:#x} m={number} sigcode={}", name(signal), cause.code);
    if cause.is_fault() {
        let _ = write!(out, " addr={:#x}", cause.address);
    }
    if place.is_out {
        out.bytes(b"\nsignal arrived during wharf_on_host");
    }
    if [sys::SIGILL, sys::SIGFPE].contains(&signal) {
        print_instruction(out, pc);
    }
}

/// Sixteen bytes from `pc`, as far as they can be read: no instruction is longer.
fn print_instruction(out: &mut Printer, pc: usize) {
    out.bytes(b"\ninstruction bytes:");
    for at in [pc, pc + 8].into_iter().take_while(|&at| sys::readable(at)) {
        // SAFETY: so many bytes can be read; nobody unmaps the code that runs.
        let bytes = unsafe { (at as *const [u8; 8]).read() };
        for byte in bytes {
            let _ = write!(out, " {byte:#x}");
        }
    }
}
