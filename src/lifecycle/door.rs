//! The state of the runtime, and the count of who is just entering: where those meet a stop.
//!
//! Whoever enters counts itself, then looks at the state; a stop changes the state, then looks at the
//! count. Both by a read-modify-write of the count, which come in one order: the later sees what the
//! earlier did before.

use crate::base::Status;
use crate::base::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::base::status::*;
use crate::sys;

pub(super) const FRESH: u32 = 0;
pub(super) const RUNNING: u32 = 1;
pub(super) const STOPPING: u32 = 2;
pub(super) const STOPPED: u32 = 3;
pub(super) const STARTING: u32 = 4;

pub(super) struct Door {
    state: AtomicU32,
    /// Threads that are between the look at the state and a bound M: a stop waits for them.
    entering: AtomicU32,
    /// Threads that look at what there is, stopping or not, and whether a stop is about to take it away:
    /// it waits for them.
    looking: AtomicU32,
    taking: AtomicBool,
}

impl Door {
    pub(super) const fn new() -> Door {
        Door {
            state: AtomicU32::new(FRESH),
            entering: AtomicU32::new(0),
            looking: AtomicU32::new(0),
            taking: AtomicBool::new(false),
        }
    }

    /// Acquire: pairs with `set`.
    pub(super) fn state(&self) -> u32 {
        self.state.load(Ordering::Acquire)
    }

    /// Release: what made the state so is done for whoever sees it.
    pub(super) fn set(&self, state: u32) {
        self.state.store(state, Ordering::Release);
    }

    /// `Err` with what one is told who needs a running runtime, if it does not run.
    pub(super) fn must_run(&self) -> Result<(), Status> {
        match self.state() {
            RUNNING => Ok(()),
            FRESH => Err(WHARF_ESTATE),
            _ => Err(WHARF_STOPPED),
        }
    }

    /// Runs `bind` while a stop waits for it. `Err` if the runtime does not run. `[sig]`
    pub(super) fn entering<T>(&self, bind: impl FnOnce() -> Result<T, Status>) -> Result<T, Status> {
        // Already here, so that a storm of calls that are turned away does not keep a stop waiting.
        self.must_run()?;
        // Acquire: a stop that has counted before us has said so. Pairs with `nobody_enters`.
        self.entering.fetch_add(1, Ordering::Acquire);
        let result = self.must_run().and_then(|()| bind());
        // Release: what we did is done for a stop that counts after us.
        self.entering.fetch_sub(1, Ordering::Release);
        result
    }

    /// For a stop, after it has [`set`](Door::set) the state: whether nobody is inside `entering`, nor
    /// will be.
    pub(super) fn nobody_enters(&self) -> bool {
        // AcqRel, and no mere load: pairs with both of `entering`.
        self.entering.fetch_add(0, Ordering::AcqRel) == 0
    }

    /// Runs `look` while no stop takes anything away; not at all if there is nothing to look at. `[sig]`
    pub(super) fn looking(&self, look: impl FnOnce()) {
        // Acquire, and at the end Release: as in `entering`. Pairs with `nobody_looks`.
        self.looking.fetch_add(1, Ordering::Acquire);
        // In this order: a stop that ends between the two was waiting for us. Acquire: pairs with
        // `end_taking`.
        let taking = self.taking.load(Ordering::Acquire);
        if !taking && matches!(self.state(), RUNNING | STOPPING) {
            look();
        }
        self.looking.fetch_sub(1, Ordering::Release);
    }

    /// For a stop: from here on nobody begins to look; those who do are counted still.
    pub(super) fn begin_taking(&self) {
        self.taking.store(true, Ordering::Relaxed);
    }

    /// After [`begin_taking`](Door::begin_taking): whether nobody is inside `looking`, nor will be.
    pub(super) fn nobody_looks(&self) -> bool {
        // AcqRel, and no mere load: as in `nobody_enters`.
        self.looking.fetch_add(0, Ordering::AcqRel) == 0
    }

    /// After the state says that there is nothing any more, or that all goes on. Release: pairs with
    /// `looking`.
    pub(super) fn end_taking(&self) {
        self.taking.store(false, Ordering::Release);
    }

    /// Wakes those who wait for a change of state.
    pub(super) fn wake(&self) {
        sys::futex_wake_all(&self.state);
    }

    /// Waits for another state than `state`, or for `timeout_ns`. `[sig]`
    pub(super) fn wait(&self, state: u32, timeout_ns: i64) {
        sys::futex_wait(&self.state, state, timeout_ns);
    }

    /// In the child of a fork: whoever was entering or looking is gone. Whether a stop had begun to take
    /// away what there is.
    pub(super) fn after_fork(&self) -> bool {
        self.entering.store(0, Ordering::Relaxed);
        self.looking.store(0, Ordering::Relaxed);
        self.taking.swap(false, Ordering::Relaxed)
    }
}
