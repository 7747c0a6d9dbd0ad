//! The table of Ms and the list of spare ones. Go: `getExtraM`, `putExtraM`, `newextram` in
//! runtime/proc.go; here without a lock, so that a signal handler may do all of it.
//!
//! The table is a mapping of its own, never moved, and lives as long as any host thread is bound:
//! such a thread may still write its end into it. Whose an M is: `owner.rs`.

use core::ptr;

use super::g::STACKS;
use super::m::M;
use super::owner::{Owner, Whose};
use super::table::{self, MAX_THREADS, Table};
use crate::base::Freelist;
use crate::base::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sys;

/// How much of its stack a spare M keeps.
const KEEP_BYTES: usize = 16 << 10;

static EXTRA: Freelist = Freelist::new();
/// At so many Ms a taker sweeps before it makes one more.
static SWEEP_AT: AtomicU32 = AtomicU32::new(SWEEP_FIRST);
const SWEEP_FIRST: u32 = 16;
/// `max_threads` of the configuration.
static LIMIT: AtomicU32 = AtomicU32::new(MAX_THREADS);
/// How many more Ms there are than `max_threads`, since a start that lowered it found the table.
static SURPLUS: AtomicU32 = AtomicU32::new(0);
/// The number of the M that was bound last: the first to look at when threads come and go in turn.
static LAST: AtomicU32 = AtomicU32::new(0);

/// [table] There is one as soon as an M has been made.
fn table() -> &'static Table {
    table::get().expect("a table")
}

fn owner_of(number: u32) -> &'static Owner {
    &table().owners[number as usize]
}

fn numbered(number: u32) -> &'static M {
    &table().ms[number as usize]
}

fn made() -> u32 {
    // Acquire: pairs with `make`.
    table::get().map_or(0, |table| table.made.load(Ordering::Acquire))
}

/// Makes sure that there is a table, with no more than `limit` Ms that threads can have. `None` if
/// there is no memory. Only at start, when no thread enters.
pub(crate) fn table_create(limit: u32) -> Option<()> {
    table::create()?;
    LIMIT.store(limit, Ordering::Relaxed);
    SURPLUS.store(made().saturating_sub(limit), Ordering::Relaxed);
    EXTRA.clear();
    for number in (0..made()).rev().filter(|&number| matches!(owner_of(number).whose(), Whose::Nobodys)) {
        putextram(numbered(number));
    }
    Some(())
}

/// `max_threads`, as it is in force.
pub(crate) fn max_threads() -> u32 {
    LIMIT.load(Ordering::Relaxed)
}

/// Ends the table, if no living thread is bound. Only at stop, when no thread enters any more.
pub(crate) fn table_release() {
    let is_empty = each_bound().next().is_none();
    if is_empty {
        EXTRA.clear();
        SWEEP_AT.store(SWEEP_FIRST, Ordering::Relaxed);
        LAST.store(0, Ordering::Relaxed);
    }
    table::release(is_empty);
}

/// Takes an M that is nobody's. `None`: `max_threads` are bound. `[sig]`
pub(crate) fn getextram() -> Option<&'static M> {
    // Threads that come and go one after another get the same M and the same warm stack.
    let last = LAST.load(Ordering::Relaxed);
    let kept = SURPLUS.load(Ordering::Relaxed) == 0 && last < made();
    if kept && numbered(last).ended() && claim(last) {
        free(last);
        return Some(numbered(last));
    }
    take_spare()
        .or_else(|| {
            // One taker of a crowd: whoever moves the mark.
            let mark = SWEEP_AT.load(Ordering::Relaxed);
            if made() < mark
                || SWEEP_AT.compare_exchange(mark, 2 * mark, Ordering::Relaxed, Ordering::Relaxed).is_err()
            {
                return None;
            }
            sweep();
            take_spare().or_else(|| {
                // All are alive, or taken and not bound yet.
                SWEEP_AT.fetch_max(2 * made(), Ordering::Relaxed);
                None
            })
        })
        .or_else(make)
        .or_else(|| {
            sweep();
            take_spare()
        })
}

fn take_spare() -> Option<&'static M> {
    EXTRA.pop(|number| &numbered(number).link).map(numbered)
}

/// Makes one more M.
fn make() -> Option<&'static M> {
    let limit = LIMIT.load(Ordering::Relaxed);
    // Release: pairs with `made`.
    let number = table()
        .made
        .fetch_update(Ordering::Release, Ordering::Relaxed, |made| (made < limit).then_some(made + 1))
        .ok()?;
    let m = numbered(number);
    m.number.store(number, Ordering::Relaxed);
    Some(m)
}

/// Puts an M back that the caller has taken and not bound. `[sig]`
pub(crate) fn putextram(m: &'static M) {
    let number = m.number.load(Ordering::Relaxed);
    let less = |surplus: u32| surplus.checked_sub(1);
    let surplus = SURPLUS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
    // A stack that a trim looks at stays where it is, as long as the M does.
    if surplus && m.gate.close_open() {
        m.disarm();
    }
    owner_of(number).put_back();
    // One too many stays out of the list until the next start.
    if !surplus {
        EXTRA.push(number, &m.link);
    }
}

/// Binds `m`, just taken, to the calling thread, which has none. If a signal handler on this thread
/// is quicker, that one's stays bound and `m` is spare again. `[sig]`
pub(crate) fn bind(m: &'static M, tid: i32) {
    free_namesake(tid);
    let number = m.number.load(Ordering::Relaxed);
    if m.bind(owner_of(number), tid) {
        LAST.store(number, Ordering::Relaxed);
    } else {
        putextram(m);
    }
}

/// Frees an M whose owner has our tid, and is not us: that thread is gone, and its tid has come
/// round; or we have detached from it.
fn free_namesake(tid: i32) {
    for number in (0..made()).filter(|&number| owner_of(number).names(tid)) {
        let m = numbered(number);
        // A handler on this thread may have bound it to us meanwhile.
        let is_former = || !super::getm().is_some_and(|mine| ptr::eq(mine, m));
        if !m.is_being_left() && owner_of(number).claim_from(tid, is_former) {
            retire(number);
        }
    }
}

/// Makes a claimed M spare.
fn retire(number: u32) {
    free(number);
    numbered(number).shrink(KEEP_BYTES);
    putextram(numbered(number));
}

/// Takes the M from its thread if that has ended.
fn claim(number: u32) -> bool {
    owner_of(number).claim(|tid| numbered(number).ended() || !sys::thread_lives(tid))
}

/// Clears what a former owner left on a claimed M.
fn free(number: u32) {
    let m = numbered(number);
    m.forget_callbacks();
    m.realtime.store(0, Ordering::Relaxed);
    m.set_name(b"");
}

/// Finds the Ms whose threads have ended, however they ended, and makes them spare. `[exit]`
pub(crate) fn sweep() {
    free_orphans();
    let mut bound = 0;
    for number in 0..made() {
        if claim(number) {
            retire(number);
        } else {
            bound += u32::from(matches!(owner_of(number).whose(), Whose::Of(_)));
        }
    }
    SWEEP_AT.store((2 * bound).max(SWEEP_FIRST), Ordering::Relaxed);
}

/// Every bound M whose thread has not told its end, with the thread's id. `[sig]`
pub(crate) fn each_bound() -> impl Iterator<Item = (i32, &'static M)> {
    // Without a table nothing was made.
    (0..made()).filter_map(|number| {
        let Whose::Of(tid) = owner_of(number).whose() else { return None };
        (!numbered(number).ended()).then(|| (tid, numbered(number)))
    })
}

/// The M of thread `tid`, found without a look at TLS. `[sig]`
pub(crate) fn m_of(tid: i32) -> Option<&'static M> {
    each_bound().find(|&(owner, _)| owner == tid).map(|(_, m)| m)
}

/// Every M, bound or not.
pub(crate) fn each_m() -> impl Iterator<Item = &'static M> {
    (0..made()).map(numbered)
}

/// In the child of a fork: every thread is gone but the one that forked, whose id is now the
/// process's. Where its mark cannot be had it alone knows which M is its own; then all bound ones become
/// its, and it lets go of the others when it comes by (`free_namesake`).
pub(crate) fn after_fork() {
    let survivor = sys::getpid();
    let mark = sys::first_thread_mark();
    EXTRA.clear();
    for number in 0..made() {
        let (m, owner) = (numbered(number), owner_of(number));
        // It may have been made, and no more.
        m.number.store(number, Ordering::Relaxed);
        match owner.whose() {
            Whose::Nobodys => EXTRA.push(number, &m.link),
            Whose::Of(_) if mark.is_none_or(|mark| m.is_of(mark)) => owner.give(survivor),
            Whose::Claimed | Whose::Of(_) => retire(number),
        }
        m.reopen();
    }
    STACKS.after_fork(each_m().flat_map(M::stacks));
    ORPHANS.store(true, Ordering::Relaxed);
    free_orphans();
}

/// Whether Ms of the parent's other threads are still held by the one that forked.
static ORPHANS: AtomicBool = AtomicBool::new(false);

/// Frees them, on the thread that forked.
fn free_orphans() {
    if ORPHANS.load(Ordering::Relaxed) && sys::gettid() == sys::getpid() {
        ORPHANS.store(false, Ordering::Relaxed);
        free_namesake(sys::gettid());
    }
}

/// Takes the stacks of the spare Ms away, so that the pool can give them back, and whatever `also` does.
pub(crate) fn disarm_spare(also: fn(&M)) {
    for number in EXTRA.drain(|number| &numbered(number).link) {
        numbered(number).disarm();
        also(numbered(number));
        EXTRA.push(number, &numbered(number).link);
    }
}
