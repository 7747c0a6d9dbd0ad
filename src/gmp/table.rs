//! The table of Ms: a mapping of its own, never moved, without code.
//!
//! It stays when the runtime stops while threads that called in live on: such a thread may yet write its
//! end into its M. So that a library which is loaded again and again does not leave one each time, it
//! lies at a place that every load computes alike, and bears a mark: the next one adopts it, with the
//! Ms of the living threads in it, and an M goes back when its thread calls in again or has ended.

use core::mem::offset_of;
use core::ptr;

use super::m::M;
use super::owner::Owner;
use crate::base::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::sys;

/// The most threads that can be bound at a time.
pub(crate) const MAX_THREADS: u32 = 65_536;

#[repr(C)]
pub(super) struct Table {
    /// [`MARK`], when the rest is written.
    mark: AtomicU64,
    /// [`IN_USE`] or [`LEFT`].
    used: AtomicU32,
    /// Ms made so far; the others were never touched.
    pub(super) made: AtomicU32,
    pub(super) owners: [Owner; MAX_THREADS as usize],
    pub(super) ms: [M; MAX_THREADS as usize],
}

/// Changes with what is in the table: another version of wharf leaves it alone.
const MARK: u64 = u64::from_le_bytes(*b"wharf-M\x02") ^ (size_of::<M>() as u64) << 40;

/// A runtime has it.
const IN_USE: u32 = 1;
/// The library that had it is gone. Not 0: what another library is just making reads so.
const LEFT: u32 = 2;

static TABLE: AtomicPtr<Table> = AtomicPtr::new(ptr::null_mut());

/// The table, if there is one.
pub(super) fn get() -> Option<&'static Table> {
    // SAFETY: [table] made before the first M is asked for, gone only when none is bound and the
    // runtime has stopped; all-zero is a valid table.
    unsafe { TABLE.load(Ordering::Relaxed).as_ref() }
}

/// Makes sure that there is one, with a former load's Ms if it left any. `None` if there is no memory. Only
/// at start, when no thread enters.
pub(super) fn create() -> Option<()> {
    if get().is_some() {
        return Some(());
    }
    let table = places().find_map(adopt_or_make).or_else(|| make(0))?;
    TABLE.store(table, Ordering::Relaxed);
    Some(())
}

/// Leaves it to the next load, or ends it if nobody is bound. Only at stop, when no thread enters.
pub(super) fn release(is_empty: bool) {
    let Some(table) = get() else { return };
    if !is_empty {
        return;
    }
    TABLE.store(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: [table] nobody is bound, nobody enters.
    unsafe { sys::release(ptr::from_ref(table) as usize, size_of::<Table>()) };
}

/// When the library goes: the next load may have it.
pub(crate) fn table_abandon() {
    if let Some(table) = get() {
        // Release: pairs with `adopt`.
        table.used.store(LEFT, Ordering::Release);
    }
}

/// Address space of the table in bytes, and how much of it is in memory.
pub(crate) fn table_bytes() -> (usize, usize) {
    let Some(table) = get() else { return (0, 0) };
    let bytes = size_of::<Table>().next_multiple_of(sys::page_bytes());
    (size_of::<Table>(), sys::resident_bytes(ptr::from_ref(table) as usize, bytes))
}

/// Where a table may lie, in the order in which every load of this process looks: several libraries may be
/// loaded beside each other.
fn places() -> impl Iterator<Item = usize> {
    const PLACES: usize = 16;
    const WIDE: bool = size_of::<usize>() > 4;
    const LOW: usize = if WIDE { 48 << 30 } else { 512 << 20 };
    const SPREAD: usize = if WIDE { 8 << 30 } else { 256 << 20 };
    const SCRAMBLE: usize = 0x9e37_79b9_7f4a_7c15_u64 as usize;
    // Two tables fit between one place and the next.
    let stride = (2 * size_of::<Table>()).next_multiple_of(1 << 20);
    let drawn = (sys::process_constant().wrapping_mul(SCRAMBLE) >> 8) % SPREAD;
    let first = (LOW + drawn) & !(stride - 1);
    (0..PLACES).map(move |n| first + n * stride)
}

/// The table of a former load at `place`, or a new one; `None` if something else is there.
fn adopt_or_make(place: usize) -> Option<*mut Table> {
    make(place).or_else(|| adopt(place))
}

/// A new table, at `place` and nowhere else; 0 is anywhere.
fn make(place: usize) -> Option<*mut Table> {
    let addr = sys::reserve(size_of::<Table>(), place)?;
    // SAFETY: the reservation just made.
    unsafe {
        if place != 0 && addr != place || !sys::commit(addr, size_of::<Table>()) {
            sys::release(addr, size_of::<Table>());
            return None;
        }
        let table = addr as *mut Table;
        (*table).used.store(IN_USE, Ordering::Relaxed);
        // Release: pairs with `adopt`.
        (*table).mark.store(MARK, Ordering::Release);
        Some(table)
    }
}

fn adopt(place: usize) -> Option<*mut Table> {
    // Asked of the kernel: another library's stop may take its table away at any time.
    let is = |offset: usize, word: u32| sys::word_is(place + offset, word);
    let (low, high) = (MARK as u32, (MARK >> 32) as u32);
    if !is(0, low) || !is(size_of::<u32>(), high) || !is(offset_of!(Table, used), LEFT) {
        return None;
    }
    // SAFETY: what bears our mark is a table, and one that nobody uses stays until somebody has taken it: a third
    // library, if it also stops, between the question above and the exchange below. That is not ruled out.
    let table = unsafe { &*(place as *const Table) };
    // Acquire: pairs with `table_abandon`.
    let taken = table.used.compare_exchange(LEFT, IN_USE, Ordering::Acquire, Ordering::Relaxed);
    taken.is_ok().then_some(ptr::from_ref(table).cast_mut())
}
