//! The report as text for people. Go: `printpanics`, `traceback`, `tracebackothers`, `dumpregs`.

use core::fmt::Write;

use super::others::{self, Other, Place};
use super::{Death, Level, Report, guard, host_side, settings};
use crate::arch::Regs;
use crate::base::Printer;
use crate::gmp::{self, STACKS};
use crate::stack::Geometry;
use crate::sys;
use crate::traceback::{self, Area, Frame};

/// How long the other threads may take.
pub(super) const OTHERS_NS: i64 = 500_000_000;

impl Report<'_> {
    /// Prints what stands behind the message.
    pub(super) fn print(&self, out: &mut Printer, area: &mut &'static mut Area) {
        if self.level == Level::None {
            return;
        }
        let whole = guard::step(area, &mut |area| self.print_raw(out, area))
            & guard::step(area, &mut |area| self.print_named(out, area));
        if !whole {
            out.bytes(traceback::FAULTED);
        }
        out.flush();
    }

    fn print_raw(&self, out: &mut Printer, area: &mut Area) {
        self.print_goroutine(out);
        let Report { m, death, .. } = self;
        traceback::print_raw(out, &death.regs, death.is_exact, area, &|sp| host_side(m.as_ref()?, sp));
        // It stands, whatever becomes of the rest.
        out.flush();
    }

    fn print_named(&self, out: &mut Printer, area: &mut Area) {
        if self.level == Level::System {
            area.show_plumbing();
        }
        let Report { m, death, .. } = self;
        traceback::print(out, &death.regs, death.is_exact, area, &|sp| host_side(m.as_ref()?, sp));
        out.flush();
        if self.level >= Level::All {
            self.print_others(out, area);
        }
        if self.level == Level::System {
            out.flush();
            out.bytes(b"\n");
            self.each_register(&mut |name, value| {
                let _ = writeln!(out, "{name:<6} {value:#x}");
            });
            out.bytes(b"\n");
            self.print_library(out);
        }
    }

    /// Shows the registers that are known: all of an interrupted function, of one that called the ones
    /// that it gets back.
    pub(super) fn each_register(&self, see: &mut dyn FnMut(&'static str, usize)) {
        let Death { regs, is_exact, .. } = self.death;
        for (name, number, _) in Regs::NAMES.into_iter().filter(|&(_, _, kept)| kept || *is_exact) {
            see(name, regs.0[number]);
        }
    }

    /// Prints the library's version and configuration, in one line.
    pub(super) fn print_library(&self, out: &mut Printer) {
        let Geometry { stack_bytes, guard_bytes } = STACKS.geometry();
        let _ = write!(
            out,
            "wharf {}: max_threads {}, callback_stack_bytes {stack_bytes}, guard_bytes {guard_bytes}, traceback {}",
            env!("CARGO_PKG_VERSION"),
            gmp::max_threads(),
            self.level.name()
        );
        if let Some(fd) = settings::fd_now() {
            let _ = write!(out, ", report_fd {fd}");
        }
        settings::with_path(|path| {
            if !path.is_empty() {
                out.bytes(b", report_path ");
                out.indented(path.to_bytes());
            }
        });
        out.bytes(b"\n");
    }

    fn print_goroutine(&self, out: &mut Printer) {
        let _ = match self.goid() {
            Some(goid) => writeln!(out, "goroutine {goid} [running, locked to thread]:"),
            None => writeln!(out, "host thread {} [running]:", sys::gettid()),
        };
    }

    fn print_others(&self, out: &mut Printer, area: &mut Area) {
        let more = others::each(self.m, sys::now_ns() + OTHERS_NS, &mut |other| {
            print_other(out, other, area);
            out.flush();
        });
        if more > 0 {
            let _ = writeln!(out, "\n...{more} more threads");
        }
    }
}

fn print_other(out: &mut Printer, other: &Other, area: &mut Area) {
    let goid = other.on.goid();
    let (Place::Out(frame) | Place::Inside(frame)) = other.place;
    let state = other.place.state();
    let _ = writeln!(out, "\ngoroutine {goid} [{state}, locked to thread {}]:", other.tid);
    if let Place::Inside(_) = other.place {
        out.bytes(b"\tgoroutine running on other thread; stack unavailable\n");
    }
    traceback::print(out, &regs_at(frame), false, area, &others::host_side_of);
}

pub(super) fn regs_at(Frame { sp, fp, pc }: Frame) -> Regs {
    let mut regs = Regs([0; size_of::<Regs>() / size_of::<usize>()]);
    regs.0[Regs::SP] = sp;
    regs.0[Regs::FP] = fp;
    regs.0[Regs::PC] = pc;
    // SAFETY: the frame is that of a switch's caller.
    #[cfg(target_arch = "arm")]
    let regs = unsafe { crate::arch::recall(regs) };
    regs
}
