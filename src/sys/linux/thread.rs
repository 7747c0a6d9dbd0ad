//! Threads: who they are, whether they live, how they wait, how their end is told.

use core::ffi::c_void;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

/// The calling thread's id. `[sig]`
pub(crate) fn gettid() -> i32 {
    // SAFETY: no preconditions. A raw call: glibc before 2.30 has no wrapper.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// The process id. `[sig]`
pub(crate) fn getpid() -> i32 {
    // SAFETY: no preconditions.
    unsafe { libc::getpid() }
}

/// Whether the process still has a thread of this id. `[sig]`
pub(crate) fn thread_lives(tid: i32) -> bool {
    // SAFETY: signal 0 is never delivered.
    let status = unsafe { libc::syscall(libc::SYS_tgkill, getpid(), tid, 0) };
    let is_there = status == 0 || super::errno() != libc::ESRCH;
    // The main thread's stays as long as the process.
    is_there && !(tid == getpid() && super::io::is_zombie(tid))
}

/// What tells the calling thread from all others that live, before a fork and after it. `[sig]`
pub(crate) fn thread_mark() -> usize {
    // SAFETY: asks nothing of the system.
    unsafe { libc::pthread_self() as usize }
}

/// The mark of the process's first thread; `None` if neither it nor the system tells. `[sig]`
pub(crate) fn first_thread_mark() -> Option<usize> {
    let (ours, first) = (thread_mark(), getpid());
    if gettid() == first {
        return Some(ours);
    }
    // libc registers a list of locks that lies at the same distance from the mark in all threads.
    let by_lists = || Some(robust_list(first)?.wrapping_sub(robust_list(0)?).wrapping_add(ours));
    let noted = || (LEFT_IN.load(Ordering::Relaxed) == first).then(|| LEFT.load(Ordering::Relaxed));
    by_lists().or_else(noted)
}

/// The mark of the thread that a `fork` has left, and the process that began so.
static LEFT: AtomicUsize = AtomicUsize::new(0);
static LEFT_IN: AtomicI32 = AtomicI32::new(0);

/// Has them noted from here on where threads have no such list: in musl, which never forgets that it is to call us, nor
/// unloads us. False if there is no memory.
pub(crate) fn note_forks() -> bool {
    unsafe extern "C" fn note() {
        LEFT.store(thread_mark(), Ordering::Relaxed);
        LEFT_IN.store(getpid(), Ordering::Relaxed);
    }
    // SAFETY: the function stays, as the library does.
    cfg!(not(target_env = "musl")) || unsafe { libc::pthread_atfork(None, None, Some(note)) == 0 }
}

/// Where thread `tid`, 0 for the calling one, has its list of robust locks.
fn robust_list(tid: i32) -> Option<usize> {
    let (mut head, mut bytes) = (0_usize, 0_usize);
    // SAFETY: writes both.
    let status = unsafe { libc::syscall(libc::SYS_get_robust_list, tid, &mut head, &mut bytes) };
    (status == 0 && head != 0).then_some(head)
}

/// The bounds of the calling thread's own stack, on which the process's arguments are not; empty if they cannot
/// be had. Allocates. Not inlined: whoever asks wants a small frame of his own.
#[inline(never)]
pub(crate) fn thread_stack() -> core::ops::Range<usize> {
    let mut attr = core::mem::MaybeUninit::uninit();
    let mut low = core::ptr::null_mut();
    let mut bytes = 0;
    // SAFETY: `attr` is made by the first call and taken apart by the last.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attr.as_mut_ptr()) == 0 {
            libc::pthread_attr_getstack(attr.as_ptr(), &mut low, &mut bytes);
            libc::pthread_attr_destroy(attr.as_mut_ptr());
        }
    }
    let stack = low as usize..low as usize + bytes;
    let top = if gettid() == getpid() { super::io::first_stack_top() } else { None };
    stack.start..top.filter(|top| stack.contains(top)).unwrap_or(stack.end)
}

/// Sleeps while `*word == expected`, at most `timeout_ns`; wakes at will. `[sig]`
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout_ns: i64) {
    let timeout = super::timespec(timeout_ns);
    let op = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word is alive while we wait on it.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, expected, &timeout, 0, 0) };
}

/// Whether there is a word at `addr`, and is `value`: asked of the kernel, which faults for nobody. `[sig]`
pub(crate) fn word_is(addr: usize, value: u32) -> bool {
    let at_once = super::timespec(0);
    let op = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the kernel reads the word, if it can.
    let status = unsafe { libc::syscall(libc::SYS_futex, addr, op, value, &at_once, 0, 0) };
    status != 0 && errno() == libc::ETIMEDOUT
}

/// Wakes all who wait on `word`. `[sig]`
pub(crate) fn futex_wake_all(word: &AtomicU32) {
    futex_wake(word, i32::MAX as u32);
}

/// Wakes up to `count` who wait on `word`. `[sig]`
pub(crate) fn futex_wake(word: &AtomicU32, count: u32) {
    let op = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: only the address is used.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, count, 0, 0, 0) };
}

/// The calling thread's errno. `[sig]`
pub(crate) fn errno() -> i32 {
    // SAFETY: errno is a word of this thread.
    unsafe { *libc::__errno_location() }
}

pub(in crate::sys) fn set_errno(value: i32) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = value };
}

/// Two words in the shape of libc's queue element. `remque(knot)` does `*(forw + 1 word) = back`,
/// then `*back = forw`: two stores to places of our choice, by code that is not ours. That is all
/// that a thread's end needs, and so nothing of wharf's runs then, even after `dlclose`.
#[repr(C)]
pub(crate) struct Knot {
    pub(crate) forw: usize,
    pub(crate) back: usize,
}

unsafe extern "C" {
    fn remque(knot: *mut c_void);
}

/// A key whose destructor unties a [`Knot`].
#[derive(Clone, Copy)]
pub(crate) struct ExitKey(libc::pthread_key_t);

impl ExitKey {
    /// Keys at and above this index make `pthread_setspecific` allocate.
    const ALLOCATES: libc::pthread_key_t = 32;

    /// A key, if one is to be had that never allocates and is surely ours: in another namespace
    /// than the host's libc (`dlmopen`, a static host) values would land in the host's own keys.
    pub(crate) fn create() -> Option<ExitKey> {
        if !super::shares_host_libc() {
            return None;
        }
        let mut key = 0;
        // SAFETY: `remque` is a libc function of one pointer, and is given a Knot.
        if unsafe { libc::pthread_key_create(&mut key, Some(remque)) } != 0 {
            return None;
        }
        if key >= Self::ALLOCATES {
            ExitKey(key).delete();
            return None;
        }
        Some(ExitKey(key))
    }

    /// Ties the calling thread's end to `knot`; null unties it. `[sig]`
    ///
    /// # Safety
    /// The knot and what it points at stay writable until the thread has ended.
    pub(crate) unsafe fn set(self, knot: *const Knot) {
        // SAFETY: the key is ours; an index below ALLOCATES has its place in the thread already.
        unsafe { libc::pthread_setspecific(self.0, knot.cast()) };
    }

    pub(crate) fn delete(self) {
        // SAFETY: the key is ours.
        unsafe { libc::pthread_key_delete(self.0) };
    }

    /// A number for a static; 0 is none.
    pub(crate) fn to_word(self) -> u32 {
        self.0 + 1
    }

    pub(crate) fn from_word(word: u32) -> Option<ExitKey> {
        word.checked_sub(1).map(ExitKey)
    }
}
