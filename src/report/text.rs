//! The report as text for people. Go: `printpanics`, `traceback`, `tracebackothers`, `dumpregs`.

use core::fmt::Write;

use super::others::{self, Other, Place};
use super::{Level, Report, host_side};
use crate::arch::Regs;
use crate::base::Printer;
use crate::sys;
use crate::traceback::{self, Area, Frame};

/// How long the other threads may take.
const OTHERS_NS: i64 = 500_000_000;

impl Report<'_> {
    /// Prints all behind the message.
    pub(super) fn print(&self, out: &mut Printer, area: &mut Area) {
        if self.level == Level::None {
            out.bytes(b"\n");
            return;
        }
        out.bytes(b"\n\n");
        out.flush();
        if self.level == Level::System {
            area.show_plumbing();
        }
        self.print_goroutine(out);
        let Report { m, death, .. } = self;
        traceback::print(out, &death.regs, death.is_exact, area, &|sp| host_side(m.as_ref()?, sp));
        out.flush();
        if self.level >= Level::All {
            self.print_others(out, area);
        }
        if self.level == Level::System {
            out.flush();
            out.bytes(b"\n");
            print_registers(out, &death.regs, death.is_exact);
            let _ = writeln!(out, "\nwharf {}: traceback {}", env!("CARGO_PKG_VERSION"), self.level.name());
        }
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
    let (state, frame) = match other.place {
        Place::Out(frame) => ("on the host's stack", frame),
        Place::Inside(frame) => ("running", frame),
    };
    let _ = writeln!(out, "\ngoroutine {goid} [{state}, locked to thread {}]:", other.tid);
    if let Place::Inside(_) = other.place {
        out.bytes(b"\tgoroutine running on other thread; stack unavailable\n");
    }
    traceback::print(out, &regs_at(frame), false, area, &others::host_side_of);
}

fn regs_at(Frame { sp, fp, pc }: Frame) -> Regs {
    let mut regs = Regs([0; size_of::<Regs>() / size_of::<usize>()]);
    regs.0[Regs::SP] = sp;
    regs.0[Regs::FP] = fp;
    regs.0[Regs::PC] = pc;
    regs
}

/// Prints the registers that are known: all of an interrupted function, of one that called the ones that
/// it gets back.
fn print_registers(out: &mut Printer, regs: &Regs, is_exact: bool) {
    for (name, number, _) in Regs::NAMES.into_iter().filter(|&(_, _, kept)| kept || is_exact) {
        let _ = writeln!(out, "{name:<6} {:#x}", regs.0[number]);
    }
}
