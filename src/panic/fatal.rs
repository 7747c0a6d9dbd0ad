//! Go: `fatalpanic` in runtime/panic.go.

use crate::arch::Regs;
use crate::base::Printer;
use crate::report::{self, Death};
use crate::sys;

/// Reports what `before` prints, `panic: ` and what `message` prints, with the trace of the calling
/// thread, and ends the process by SIGABRT: first with the host's handler in its place; if that
/// returns, or the signal is ignored, with the default action.
#[inline(never)]
pub(super) fn fatal(before: &dyn Fn(&mut Printer), message: &dyn Fn(&mut Printer)) -> ! {
    report::tell(&Death {
        what: &|out| {
            before(out);
            out.bytes(b"panic: ");
            message(out);
        },
        regs: Regs::capture(),
        is_exact: false,
        signal: sys::SIGABRT,
        end: &|| report::abort(),
    });
    unreachable!()
}
