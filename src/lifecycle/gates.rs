//! The rare side of the gate: a stop waits until no callback is on, a thread waits at a gate that is closed.

use super::door::{RUNNING, STOPPING};
use super::{DOOR, LOCK, entering, fork};
use crate::base::Status;
use crate::base::atomic::Ordering;
use crate::base::status::*;
use crate::{gmp, signal, sys};

/// Shuts door and gates: no callback is on when it returns true, and none begins after. At the deadline
/// false, and all is open as before.
pub(super) fn shut(until_ns: i64) -> bool {
    DOOR.set(STOPPING);
    if wait_until_quiet(until_ns) {
        return true;
    }
    DOOR.end_taking();
    // The spare ones too: a thread that ended meanwhile has left a closed gate. Before we run again: a
    // handler that interrupts us here is turned away, and waits for no gate that we have to open.
    gmp::each_m().for_each(gmp::M::reopen);
    DOOR.set(RUNNING);
    false
}

/// Closes every gate and waits until no callback is on, and nobody looks in; false at the deadline.
///
/// Twice. Behind a closing gate a callback begins only inside another: an M that was seen quiet once
/// has none any more. A handler that interrupts an entry may still look at its stacks, though, and is
/// seen, as the entry says busy. Behind a closed gate it does not.
fn wait_until_quiet(until_ns: i64) -> bool {
    const NAP_NS: core::ops::Range<i64> = 20_000..1_000_000;
    let mut nap_ns = NAP_NS.start;
    // Waits a while; false at the deadline.
    let mut nap = || {
        let left_ns = until_ns.saturating_sub(sys::now_ns());
        sys::nap(nap_ns.clamp(0, left_ns.max(0)));
        nap_ns = (nap_ns * 2).min(NAP_NS.end);
        left_ns > 0
    };
    while !DOOR.nobody_enters() {
        if !nap() {
            return false;
        }
    }
    for gate in [gmp::CLOSING, gmp::CLOSED] {
        gmp::each_m().for_each(|m| m.close(gate));
        // [gate] From here on every owner that is not inside sees its gate so.
        sys::barrier();
        // Each M once: what a new call sets for a moment, until it has looked at the gate, is no callback.
        let mut left = gmp::each_m().peekable();
        while let Some(m) = left.peek() {
            if m.gate.quiet() {
                left.next();
                continue;
            }
            // An ended thread's callbacks hold nobody up.
            gmp::sweep();
            if !m.gate.quiet() && !nap() {
                return false;
            }
        }
    }
    DOOR.begin_taking();
    while !DOOR.nobody_looks() {
        if !nap() {
            return false;
        }
    }
    true
}

/// What a thread does that found its gate closed: waits if that is for a while only, makes the M
/// fit again after a restart. `Ok`: try again. `[sig]`
pub(crate) fn at_closed_gate(m: &gmp::M) -> Result<(), Status> {
    loop {
        if m.gate.is_open() {
            return Ok(());
        }
        entering(|| {
            if m.home.load(Ordering::Relaxed).is_null() {
                m.tie();
            }
            signal::lend(m);
            m.arm().ok_or(WHARF_ENOMEM)
        })?;
        wait_for_trim(m)?;
    }
}

/// Waits until no trim holds the M's gate. `Err` in a handler that interrupted that trim. `[sig]`
pub(crate) fn wait_for_trim(m: &gmp::M) -> Result<(), Status> {
    const LOOK_NS: i64 = 1_000_000;
    while m.gate.is_held() {
        // That trim may have been the parent's.
        fork::look_once();
        if LOCK.is_mine() {
            return Err(WHARF_ELIMIT);
        }
        m.gate.wait_while_held(LOOK_NS);
    }
    Ok(())
}
