//! Address space and pages. Reserved, not spent: a reservation has no pages until they are touched.

use core::num::NonZeroUsize;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering, fence};

use once_cell::race::OnceNonZeroUsize;

use crate::arch;

/// The size of a page in bytes. `[sig]`: two that ask first both ask the system, and neither waits.
pub(crate) fn page_bytes() -> usize {
    static PAGE: OnceNonZeroUsize = OnceNonZeroUsize::new();
    // SAFETY: sysconf has no preconditions.
    let ask = || unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    PAGE.get_or_init(|| NonZeroUsize::new(ask()).unwrap_or(NonZeroUsize::MIN)).get()
}

/// Reserves `bytes` of address space without access, at `hint` if that is free; 0 is anywhere.
/// `[sig]`
pub(crate) fn reserve(bytes: usize, hint: usize) -> Option<usize> {
    // SAFETY: a new mapping where nothing is touches nothing that exists.
    unsafe { map_fresh(hint, bytes, libc::PROT_NONE, 0) }
}

/// Maps pages that nobody has touched.
///
/// # Safety
/// With `MAP_FIXED` among the flags, the range is the caller's, who gives its contents up.
unsafe fn map_fresh(addr: usize, bytes: usize, access: libc::c_int, flags: libc::c_int) -> Option<usize> {
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
    // SAFETY: as the caller says.
    let addr = unsafe { libc::mmap(addr as *mut _, bytes, access, flags, -1, 0) };
    (addr != libc::MAP_FAILED).then_some(addr as usize)
}

/// A number that the kernel draws now; 0 if it cannot at once. `[sig]`
pub(crate) fn draw() -> usize {
    let mut drawn = 0usize;
    // SAFETY: writes the word.
    unsafe { libc::getentropy((&raw mut drawn).cast(), size_of::<usize>()) };
    drawn
}

/// A number that is another in each process, and the same in it from exec on, whoever asks. `[sig]`
pub(crate) fn process_constant() -> usize {
    unsafe extern "C" {
        fn _NSGetMachExecuteHeader() -> *const libc::c_void;
    }
    // Where the system has put the program.
    // SAFETY: no preconditions.
    unsafe { _NSGetMachExecuteHeader() as usize }
}

/// Makes a reserved range readable and writable. `[sig]`
///
/// # Safety
/// The range lies in a reservation of the caller's.
pub(crate) unsafe fn commit(addr: usize, bytes: usize) -> bool {
    // SAFETY: the caller owns the range.
    unsafe { libc::mprotect(addr as *mut _, bytes, libc::PROT_READ | libc::PROT_WRITE) == 0 }
}

/// Gives the pages of a committed range back; it reads as zeros afterwards. `[sig]`
///
/// # Safety
/// The range is committed, and nothing in it is needed any more.
pub(crate) unsafe fn discard(addr: usize, bytes: usize) {
    // SAFETY: the caller gives the contents up. (No advice makes them zero here.)
    unsafe { map_fresh(addr, bytes, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_FIXED) };
}

/// Turns a committed range back into a bare reservation, page tables included. `[sig]`
///
/// # Safety
/// As [`discard`].
pub(crate) unsafe fn uncommit(addr: usize, bytes: usize) -> bool {
    // SAFETY: the caller owns the range and gives its contents up.
    unsafe { map_fresh(addr, bytes, libc::PROT_NONE, libc::MAP_FIXED) }.is_some()
}

/// Ends a reservation. `[sig]`
///
/// # Safety
/// The range is a reservation of the caller's, and nobody uses it any more.
pub(crate) unsafe fn release(addr: usize, bytes: usize) {
    // SAFETY: the caller's reservation, which nobody uses.
    unsafe { libc::munmap(addr as *mut _, bytes) };
}

/// How many bytes of the page-aligned range are in memory. `[sig]`
pub(crate) fn resident_bytes(addr: usize, bytes: usize) -> usize {
    const IN_CORE: u8 = 1;
    let page = page_bytes();
    let mut seen = [0u8; 1024];
    let mut resident = 0;
    let mut at = addr;
    while at < addr + bytes {
        let len = (addr + bytes - at).min(seen.len() * page);
        // SAFETY: `seen` has a byte for each page asked about.
        if unsafe { libc::mincore(at as *const _, len, seen.as_mut_ptr().cast()) } != 0 {
            break;
        }
        resident += seen[..len.div_ceil(page)].iter().filter(|&&byte| byte & IN_CORE != 0).count() * page;
        at += len;
    }
    resident
}

/// Fresh memory of its own, to be given back by [`release`]. `[sig]`
pub(crate) fn map(bytes: usize) -> Option<*mut u8> {
    // SAFETY: as in `reserve`.
    let addr = unsafe { map_fresh(0, bytes, libc::PROT_READ | libc::PROT_WRITE, 0) };
    addr.map(|addr| addr as *mut u8)
}

/// What [`page_wiped_by_fork`] gave.
static WIPED: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// A word of zero in a page of its own that is zero again in the child of a fork: libc wipes it, by what [`at_load`]
/// asks of it, in a child of `fork` and of nothing else. One page in all: `None` if there is one. It is to be given to
/// [`release`] when the process ends. `[sig]`
///
/// [`at_load`]: super::loader
pub(crate) fn page_wiped_by_fork() -> Option<&'static AtomicU32> {
    let page: *mut AtomicU32 = map(page_bytes())?.cast();
    if WIPED.compare_exchange(ptr::null_mut(), page, Ordering::Release, Ordering::Relaxed).is_err() {
        // SAFETY: the mapping just made.
        unsafe { release(page as usize, page_bytes()) };
        return None;
    }
    // SAFETY: a page, aligned; all-zero is a valid word.
    Some(unsafe { &*page })
}

/// What libc calls in the child.
pub(super) extern "C" fn wipe() {
    // SAFETY: null, or the page.
    if let Some(word) = unsafe { WIPED.load(Ordering::Acquire).as_ref() } {
        word.store(0, Ordering::Relaxed);
    }
}

/// A block of the process's heap, aligned for anything. `None` if there is no memory.
pub(crate) fn allocate(bytes: usize) -> Option<*mut u8> {
    // SAFETY: any size will do.
    let block = unsafe { libc::malloc(bytes) };
    (!block.is_null()).then_some(block.cast())
}

/// Gives a block back.
///
/// # Safety
/// It came from [`allocate`], and is nobody's.
pub(crate) unsafe fn deallocate(block: *mut u8) {
    // SAFETY: as the caller says.
    unsafe { libc::free(block.cast()) };
}

/// Whether the eight bytes at `addr` can be read, asked of the kernel without reading them. `[sig]`
pub(crate) fn readable(addr: usize) -> bool {
    // No set at all, to the kernel; and no address that wraps round.
    let Some(last) = addr.checked_add(size_of::<libc::sigset_t>()).filter(|_| addr != 0) else {
        return false;
    };
    // The kernel copies the new set, four bytes, before it looks at `how`: EINVAL means that it could.
    const HOW_NONE: libc::c_int = -1;
    // SAFETY: an invalid `how` changes no mask.
    let ask = |at: usize| unsafe { libc::pthread_sigmask(HOW_NONE, at as *const _, ptr::null_mut()) };
    // What nobody has written yet can be read too.
    arch::unheard_by_valgrind(|| [addr, last].into_iter().all(|at| ask(at) == libc::EINVAL))
}

/// A full fence on every running thread of the process: the rare side's half of a plain store and load on the warm
/// side. There is no such call here: as the kernel takes the right to write from a page that has been written to, it
/// interrupts every processor that runs a thread of ours. x86-64 does; on AArch64, where the processors tell each other
/// without an interrupt, the kernel is asked for every thread's registers, for which it has to stop each. `[sig]` on
/// x86-64 alone.
pub(crate) fn barrier() {
    fence(Ordering::SeqCst);
    #[cfg(target_arch = "x86_64")]
    shoot_down();
    #[cfg(target_arch = "aarch64")]
    stop_each();
    fence(Ordering::SeqCst);
}

#[cfg(target_arch = "x86_64")]
fn shoot_down() {
    let page = page_bytes();
    if let Some(addr) = map(page) {
        // SAFETY: the mapping just made.
        unsafe {
            addr.write_volatile(1);
            libc::mprotect(addr.cast(), page, libc::PROT_READ);
            release(addr as usize, page);
        }
    }
}

#[cfg(target_arch = "aarch64")]
fn stop_each() {
    use libc::{mach_port_t, thread_act_array_t};
    unsafe extern "C" {
        static mach_task_self_: mach_port_t;
        fn mach_port_deallocate(task: mach_port_t, name: mach_port_t) -> libc::c_int;
        fn thread_get_register_pointer_values(
            thread: mach_port_t,
            sp: *mut usize,
            count: *mut usize,
            values: *mut usize,
        ) -> libc::c_int;
    }
    let mut threads: thread_act_array_t = ptr::null_mut();
    let mut count = 0;
    // SAFETY: the list is the kernel's to make, and ours to give back, with a right to each thread.
    unsafe {
        if libc::task_threads(mach_task_self_, &mut threads, &mut count) != 0 {
            return;
        }
        for at in 0..count as usize {
            const MOST: usize = 64;
            let (mut sp, mut values, mut room) = (0, [0; MOST], MOST);
            thread_get_register_pointer_values(*threads.add(at), &mut sp, &mut room, values.as_mut_ptr());
            mach_port_deallocate(mach_task_self_, *threads.add(at));
        }
        let bytes = count as usize * size_of::<mach_port_t>();
        libc::vm_deallocate(mach_task_self_, threads as usize, bytes);
    }
}
