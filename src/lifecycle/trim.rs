//! Giving memory back.

use super::{DOOR, lock};
use crate::base::Status;
use crate::base::atomic::Ordering;
use crate::gmp::{self, M};
use crate::{signal, sys};

/// How much of its stack an idle thread keeps.
const KEEP_BYTES: usize = 8 << 10;

/// Gives back what nobody uses: Ms of ended threads, pooled stacks, what idle threads' callbacks
/// used deep down in theirs.
pub(crate) fn trim() -> Result<(), Status> {
    let _held = lock()?;
    DOOR.must_run()?;
    gmp::sweep();
    gmp::disarm_spare(signal::release);
    // A handler that interrupts us must not wait for us, and our own M needs no gate.
    let own = gmp::getm();
    let is_own = |m| own.is_some_and(|own| core::ptr::eq(own, m));
    let patient = |m: &M| m.realtime.load(Ordering::Relaxed) == 0;
    if let Some(m) = own.filter(|m| patient(m) && !m.gate.busy()) {
        m.shrink(KEEP_BYTES);
    }
    for (_, m) in gmp::each_bound().filter(|&(_, m)| patient(m) && !is_own(m)) {
        // An M without a stack is closed, and stays so.
        m.gate.hold();
    }
    // [gate] From here on an owner that is not inside waits at its gate, and so does whoever gets
    // the M when its thread ends now.
    sys::barrier();
    for m in gmp::each_m().filter(|m| m.gate.is_held()) {
        if m.gate.quiet() {
            // [gate] Nothing runs on its stacks until the gate opens.
            m.shrink(KEEP_BYTES);
        }
        m.gate.release();
    }
    gmp::STACKS.trim();
    Ok(())
}
