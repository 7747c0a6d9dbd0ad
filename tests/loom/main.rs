//! The lock-free parts under a model checker, which tries every order of their steps and every value that
//! a load may see: `make model`.
//!
//! The files of the protocols are those that ship, taken in by their paths. What stands around them here:
//! atomics and the system are loom's (`atomic.rs`, `sys.rs`), an M has a cell in the place of its stacks
//! (`gmp.rs`), which loom watches for two who are at it at once. What is not modelled: signal handlers and
//! forks, which the scenarios cover.
//!
//! The process-wide barrier of `[gate]` is modelled as a sequentially consistent fence on both sides.
#![cfg(loom)]
#![allow(dead_code, unused_imports, reason = "the shipped files have more than the models use")]

mod atomic;
mod base;
mod gmp;
mod lifecycle;
mod sys;

/// What threads borrow for signals is not modelled.
mod signal {
    pub(crate) fn lend(_: &crate::gmp::M) {}
    pub(crate) fn release(_: &crate::gmp::M) {}
}

mod lists;
mod locking;
mod owning;
mod stopping;

use std::sync::Mutex;

/// Checks every execution of `f`, or with `preemptions`, those in which threads lose the processor no more
/// often than that. One model at a time: they share the statics of the shipped files.
fn model(preemptions: Option<usize>, f: impl Fn() + Sync + Send + 'static) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(|failed| failed.into_inner());
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    builder.max_branches = 10_000;
    builder.check(move || {
        atomic::begin();
        f();
    });
}

/// A thread of the host's, with its id.
fn host(tid: i32, f: impl FnOnce() + 'static) -> loom::thread::JoinHandle<()> {
    loom::thread::spawn(move || {
        sys::be(tid);
        f();
    })
}
