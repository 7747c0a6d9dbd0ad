//! Start, stop and the calls of a model's threads, around the shipped door, gates and trim.

#[path = "../../src/lifecycle/door.rs"]
mod door;
#[path = "../../src/lifecycle/gates.rs"]
mod gates;
#[path = "../../src/lifecycle/trim.rs"]
mod trim;

pub(crate) use trim::trim;

use crate::base::status::*;
use crate::base::{Held, Lock, Status};
use crate::gmp::{self, M};
use crate::sys;
use door::{Door, RUNNING, STOPPED};

/// A model has no forks.
mod fork {
    pub(super) fn look_once() {}
}

static DOOR: Door = Door::new();
static LOCK: Lock<()> = Lock::new(());

fn lock() -> Result<Held<'static, ()>, Status> {
    LOCK.take(i64::MAX).map_err(|_| WHARF_ESTATE)
}

fn entering<T>(bind: impl FnOnce() -> Result<T, Status>) -> Result<T, Status> {
    DOOR.entering(bind)
}

/// A runtime that runs, with no more than `limit` threads; and all statics are made.
pub(crate) fn begin(limit: u32) {
    sys::begin();
    start(limit);
    drop(lock());
    assert!(DOOR.nobody_enters() && DOOR.nobody_looks());
    DOOR.end_taking();
    // Of the list, and of what there is for each M.
    let ms: Vec<_> = (0..limit).map(|_| gmp::getextram().expect("an M")).collect();
    for m in ms {
        m.arm();
        m.realtime.store(0, crate::atomic::Ordering::Relaxed);
        m.unbind();
        m.gate.leave_home();
        m.forget_callbacks();
        gmp::putextram(m);
    }
    gmp::sweep();
}

pub(crate) fn start(limit: u32) {
    let _held = lock();
    gmp::table_create(limit);
    DOOR.set(RUNNING);
}

/// As the shipped `stop` does it. `WHARF_TIMEOUT`: there was a callback on, at a deadline in the past.
pub(crate) fn stop(until_ns: i64) -> Result<(), Status> {
    let _held = lock()?;
    DOOR.must_run()?;
    if !gates::shut(until_ns) {
        return Err(WHARF_TIMEOUT);
    }
    gmp::sweep();
    gmp::each_m().for_each(M::disarm);
    DOOR.set(STOPPED);
    DOOR.end_taking();
    Ok(())
}

/// Looks at the stacks, if there are any.
pub(crate) fn look() {
    DOOR.looking(|| gmp::each_m().for_each(M::look));
}

/// Binds the calling thread, as `needm` does.
pub(crate) fn attach() -> Result<&'static M, Status> {
    entering(|| {
        let m = gmp::getextram().ok_or(WHARF_ELIMIT)?;
        m.arm();
        gmp::bind(m, sys::gettid());
        gmp::getm().ok_or(WHARF_ESTATE)
    })
}

/// The M of thread `tid`, which is to come.
pub(crate) fn attached(tid: i32) -> &'static M {
    sys::be(tid);
    let m = attach().expect("an M");
    gmp::be_on(None);
    sys::be(1);
    m
}

/// A callback from the host, with `inside`.
pub(crate) fn call(m: &'static M, inside: impl FnOnce()) -> Result<(), Status> {
    while !m.gate.enter_home() {
        m.gate.leave_home();
        gates::at_closed_gate(m)?;
    }
    m.run();
    inside();
    m.gate.leave_home();
    Ok(())
}
