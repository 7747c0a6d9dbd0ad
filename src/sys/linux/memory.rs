//! Address space and pages. Reserved, not spent: a reservation has no pages until they are touched,
//! never huge ones, never locked ones.

use core::num::NonZeroUsize;

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
    unsafe { map_bare(hint, bytes, 0) }
}

/// Maps a bare reservation: no access, no pages, never huge ones, never locked.
///
/// # Safety
/// With `MAP_FIXED` among the flags, the range is the caller's, who gives its contents up.
unsafe fn map_bare(addr: usize, bytes: usize, flags: libc::c_int) -> Option<usize> {
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // Under mlockall(MCL_FUTURE) the mapping is born locked, and making it writable would populate
    // it whole; with transparent huge pages forced, one touch would cost 2 MiB.
    // SAFETY: as the caller says; the other two only advise about the mapping just made.
    unsafe {
        let addr = libc::mmap(addr as *mut _, bytes, libc::PROT_NONE, flags, -1, 0);
        if addr == libc::MAP_FAILED {
            return None;
        }
        libc::munlock(addr, bytes);
        libc::madvise(addr, bytes, libc::MADV_NOHUGEPAGE);
        Some(addr as usize)
    }
}

/// A number that the kernel draws now; 0 if it cannot at once. `[sig]`
pub(crate) fn draw() -> usize {
    const GRND_NONBLOCK: libc::c_int = 1;
    let mut drawn = 0usize;
    // SAFETY: writes the word. A raw call: glibc's is newer, and a cancellation point.
    unsafe { libc::syscall(libc::SYS_getrandom, &mut drawn, size_of::<usize>(), GRND_NONBLOCK) };
    drawn
}

/// A number that is another in each process, and the same in it from exec on, whoever asks. `[sig]`
pub(crate) fn process_constant() -> usize {
    // Where the kernel has put its own code. (Not AT_RANDOM: that is the stack protector's secret.)
    // SAFETY: reads the auxiliary vector.
    unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) as usize }
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
    // SAFETY: the caller gives the contents up.
    unsafe {
        if libc::madvise(addr as *mut _, bytes, libc::MADV_DONTNEED) != 0 {
            // Locked, by an mlockall(MCL_CURRENT) of the host's.
            libc::munlock(addr as *const _, bytes);
            libc::madvise(addr as *mut _, bytes, libc::MADV_DONTNEED);
        }
    }
}

/// Turns a committed range back into a bare reservation, page tables included. `[sig]`
///
/// # Safety
/// As [`discard`].
pub(crate) unsafe fn uncommit(addr: usize, bytes: usize) -> bool {
    // SAFETY: the caller owns the range and gives its contents up.
    unsafe { map_bare(addr, bytes, libc::MAP_FIXED) }.is_some()
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
    let page = page_bytes();
    let mut seen = [0u8; 1024];
    let mut resident = 0;
    let mut at = addr;
    while at < addr + bytes {
        let len = (addr + bytes - at).min(seen.len() * page);
        // SAFETY: `seen` has a byte for each page asked about.
        if unsafe { libc::mincore(at as *mut _, len, seen.as_mut_ptr().cast()) } != 0 {
            break;
        }
        resident += seen[..len.div_ceil(page)].iter().filter(|&&byte| byte & 1 != 0).count() * page;
        at += len;
    }
    resident
}

/// Fresh memory of its own, to be given back by [`release`]. `[sig]`
pub(crate) fn map(bytes: usize) -> Option<*mut u8> {
    let addr = reserve(bytes, 0)?;
    // SAFETY: the reservation just made.
    unsafe {
        if !commit(addr, bytes) {
            release(addr, bytes);
            return None;
        }
    }
    Some(addr as *mut u8)
}

/// A word of zero in a page of its own that is zero again in the child of a fork. `None` before Linux
/// 4.14. The page is to be given to [`release`].
pub(crate) fn page_wiped_by_fork() -> Option<&'static core::sync::atomic::AtomicU32> {
    let page = reserve(page_bytes(), 0)?;
    // SAFETY: the reservation just made, page-aligned; all-zero is a valid word.
    unsafe {
        let wiped = commit(page, page_bytes())
            && libc::madvise(page as *mut _, page_bytes(), libc::MADV_WIPEONFORK) == 0;
        if !wiped {
            release(page, page_bytes());
            return None;
        }
        Some(&*(page as *const _))
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
    if addr == 0 {
        return false; // No set at all, to the kernel.
    }
    // The kernel copies the new set before it looks at `how`: EINVAL means that it could.
    const HOW_NONE: libc::c_int = -1;
    // SAFETY: an invalid `how` changes no mask.
    let ask = || unsafe { libc::syscall(libc::SYS_rt_sigprocmask, HOW_NONE, addr, 0usize, 8usize) };
    // What nobody has written yet can be read too.
    let status = arch::unheard_by_valgrind(ask);
    debug_assert_eq!(status, -1);
    super::errno() == libc::EINVAL
}

/// A full fence on every running thread of the process: the rare side's half of a plain store and
/// load on the warm side. The first one registers the process, which may take milliseconds. `[sig]`
pub(crate) fn barrier() {
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER: libc::c_int = 1 << 4;
    // SAFETY: membarrier touches no memory of ours.
    let membarrier =
        |command: libc::c_int| unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 };
    let fenced = membarrier(PRIVATE_EXPEDITED) || membarrier(REGISTER) && membarrier(PRIVATE_EXPEDITED);
    if !fenced {
        shoot_down();
    }
}

/// Where membarrier is missing (an old kernel, a sandbox): taking a touched page away interrupts
/// every processor that runs a thread of ours, on x86.
fn shoot_down() {
    let page = page_bytes();
    if let Some(addr) = reserve(page, 0) {
        // SAFETY: the reservation just made.
        unsafe {
            if commit(addr, page) {
                (addr as *mut u8).write_volatile(1);
            }
            release(addr, page);
        }
    }
}
