//! The other threads that are inside callbacks. They run on: what is told of them is what can be known
//! without stopping them, and a moment old.

use crate::arch;
use crate::base::atomic::{AtomicPtr, Ordering};
use crate::gmp::{self, GStack, M, STACKS};
use crate::sys;
use crate::traceback::Frame;

/// No more are looked at.
const MOST: usize = 100;
/// No more stacks of one thread than this: its list may change under us.
const MOST_STACKS: usize = 64;

/// A callback on another thread.
pub(super) struct Other {
    pub(super) tid: i32,
    pub(super) on: &'static GStack,
    pub(super) place: Place,
}

/// What is known of where it is.
pub(super) enum Place {
    /// It went out to the host's stack from here.
    Out(Frame),
    /// It runs, or waits, on its own stack; known is where that was entered from.
    Inside(Frame),
}

impl Place {
    /// In a word or two.
    pub(super) fn state(&self) -> &'static str {
        match self {
            Place::Out(_) => "on the host's stack",
            Place::Inside(_) => "running",
        }
    }
}

/// What a runtime that runs hands down.
pub(crate) struct Upstairs {
    /// Runs the function while no stop takes stacks away; not at all if none can be looked at.
    pub(crate) holding: fn(&mut dyn FnMut()),
}

static UPSTAIRS: AtomicPtr<Upstairs> = AtomicPtr::new(core::ptr::null_mut());

/// Says what is upstairs.
pub(crate) fn set_upstairs(upstairs: &'static Upstairs) {
    UPSTAIRS.store(core::ptr::from_ref(upstairs).cast_mut(), Ordering::Release);
}

/// Shows every other thread's innermost callback, the first hundred, until `until_ns`. How many there are
/// more. `mine`: the M of the calling thread if it is busy. `[sig]`
pub(super) fn each(mine: Option<&M>, until_ns: i64, see: &mut dyn FnMut(&Other)) -> usize {
    let mut more = 0;
    let mut look = || {
        let mut seen = 0;
        for (tid, m) in gmp::each_bound().filter(|(_, m)| m.gate.depth() > 0) {
            if mine.is_some_and(|mine| core::ptr::eq(mine, m)) || tid == sys::gettid() {
                continue;
            }
            if seen == MOST || sys::now_ns() > until_ns {
                more += 1;
                continue;
            }
            seen += 1;
            innermost(m)
                .filter_map(|on| Some(Other { tid, on, place: place(on)? }))
                .for_each(|other| see(&other));
        }
    };
    // SAFETY: null, or what `set_upstairs` got.
    match unsafe { UPSTAIRS.load(Ordering::Acquire).as_ref() } {
        // [gate] A stop waits for us anyway.
        _ if mine.is_some() => look(),
        Some(upstairs) => (upstairs.holding)(&mut look),
        None => {}
    }
    more
}

/// The stacks of `m` that callbacks are on and that none was entered from.
fn innermost(m: &'static M) -> impl Iterator<Item = &'static GStack> {
    let busy = move || m.stacks().take(MOST_STACKS).filter(|on| on.busy());
    busy().filter(move |on| {
        !busy().any(|inner| inner.parent().is_some_and(|parent| core::ptr::eq(parent, *on)))
    })
}

fn place(on: &GStack) -> Option<Place> {
    let out = behind(on.sched_sp(), &on.record.out).filter(|frame| on.contains(frame.sp));
    out.map(Place::Out).or_else(|| host_side(on).map(Place::Inside))
}

/// Where the host's stack was left for the managed stack that holds `sp`.
pub(crate) fn host_side_of(sp: usize) -> Option<Frame> {
    host_side(STACKS.find(sp)?)
}

/// Where the host's stack was left for the callback on `on`.
pub(super) fn host_side(on: &GStack) -> Option<Frame> {
    behind(on.host_sp(), &on.record.host)
}

/// Who called the switch that left `sp` and said so in `buffer`.
fn behind(sp: usize, buffer: &arch::Gobuf) -> Option<Frame> {
    let name = arch::name_of_switch(sp);
    let last = arch::sp_behind_switch(sp) - size_of::<usize>();
    if sp == 0 || ![sp, last, name as usize].into_iter().all(sys::readable) {
        return None;
    }
    // SAFETY: [g0-sp] where a switch left a stack, and it can be read. The name says whether the switch's frame is
    // still there.
    unsafe {
        if *name != buffer.as_ptr() as usize {
            return None;
        }
        let [sp, fp, pc] = arch::behind_switch(sp);
        Some(Frame { sp, fp, pc })
    }
}
