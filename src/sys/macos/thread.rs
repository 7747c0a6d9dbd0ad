//! Threads: who they are, whether they live, how they wait, how their end is told.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::AtomicU32;

/// In the ids of all threads but the first; above all process ids.
const OTHER: u64 = 1 << 30;

/// The calling thread's id. The first thread's is the process's, as on Linux; another's is made of the low bits of the
/// number that the system gives to every thread, be it of whatever process, one after the other. `[sig]`
pub(crate) fn gettid() -> i32 {
    // SAFETY: no preconditions; both read the thread's own block.
    if unsafe { libc::pthread_main_np() } != 0 { getpid() } else { (OTHER | own_number() % OTHER) as i32 }
}

fn own_number() -> u64 {
    let mut number = 0;
    // SAFETY: writes the number; 0 is the calling thread.
    unsafe { libc::pthread_threadid_np(0, &mut number) };
    number
}

/// The process id. `[sig]`
pub(crate) fn getpid() -> i32 {
    // SAFETY: no preconditions.
    unsafe { libc::getpid() }
}

/// What the system says of thread `tid` of this process, not the first one, if there is such a thread. Its number is
/// the nearest to the caller's that has these low bits: the system would have to start half a milliard of threads
/// between two of this process for that to be wrong. `[sig]`
pub(super) fn info(tid: i32) -> Option<libc::proc_threadinfo> {
    /// As `PROC_PIDTHREADINFO`, by the number.
    const PROC_PIDTHREADID64INFO: c_int = 15;
    const UNUSED_BITS: u32 = u64::BITS - OTHER.trailing_zeros();
    let own = own_number();
    let distance = ((tid as u64).wrapping_sub(own) << UNUSED_BITS) as i64 >> UNUSED_BITS;
    let mut info = MaybeUninit::<libc::proc_threadinfo>::zeroed();
    let bytes = size_of::<libc::proc_threadinfo>() as c_int;
    // SAFETY: writes no more than it is told; all-zero is valid.
    unsafe {
        let number = own.wrapping_add_signed(distance);
        let got =
            libc::proc_pidinfo(getpid(), PROC_PIDTHREADID64INFO, number, info.as_mut_ptr().cast(), bytes);
        (got == bytes).then(|| info.assume_init())
    }
}

/// Whether the process still has a thread of this id. Of the first one it is said as long as the process lives: its
/// end is told by its knot alone. `[sig]`
pub(crate) fn thread_lives(tid: i32) -> bool {
    tid == getpid() || info(tid).is_some() || errno() != libc::ESRCH
}

/// What tells the calling thread from all others that live, before a fork and after it. `[sig]`
pub(crate) fn thread_mark() -> usize {
    // SAFETY: asks nothing of the system.
    unsafe { libc::pthread_self() }
}

/// The mark of the process's first thread; in the child of a fork, of the one that is left. `[sig]`
pub(crate) fn first_thread_mark() -> Option<usize> {
    unsafe extern "C" {
        fn pthread_main_thread_np() -> libc::pthread_t;
    }
    // SAFETY: reads a word of libc's.
    Some(unsafe { pthread_main_thread_np() })
}

/// Nothing is to be noted for that: libc itself knows it.
pub(crate) fn note_forks() -> bool {
    true
}

/// The bounds of the calling thread's own stack.
pub(crate) fn thread_stack() -> core::ops::Range<usize> {
    // SAFETY: the calling thread lives.
    let (top, bytes) = unsafe {
        let this = libc::pthread_self();
        (libc::pthread_get_stackaddr_np(this) as usize, libc::pthread_get_stacksize_np(this))
    };
    top - bytes..top
}

const COMPARE_AND_WAIT: u32 = 1;
const WAKE_ALL: u32 = 0x100;

unsafe extern "C" {
    /// Microseconds; 0 is for ever.
    fn __ulock_wait(operation: u32, addr: *mut c_void, value: u64, timeout_us: u32) -> c_int;
    fn __ulock_wake(operation: u32, addr: *mut c_void, value: u64) -> c_int;
}

/// Sleeps while `*word == expected`, at most `timeout_ns`; wakes at will. `[sig]`
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout_ns: i64) {
    let timeout = (timeout_ns / 1000).clamp(1, i64::from(u32::MAX)) as u32;
    // SAFETY: the word is alive while we wait on it.
    unsafe { __ulock_wait(COMPARE_AND_WAIT, word.as_ptr().cast(), expected.into(), timeout) };
}

/// Whether there is a word at `addr`, and is `value`: asked of the kernel, which faults for nobody. `[sig]`
pub(crate) fn word_is(addr: usize, value: u32) -> bool {
    // SAFETY: the kernel reads the word, if it can.
    let status = unsafe { __ulock_wait(COMPARE_AND_WAIT, addr as *mut c_void, value.into(), 1) };
    status < 0 && errno() == libc::ETIMEDOUT
}

/// Wakes all who wait on `word`. `[sig]`
pub(crate) fn futex_wake_all(word: &AtomicU32) {
    // SAFETY: only the address is used.
    unsafe { __ulock_wake(COMPARE_AND_WAIT | WAKE_ALL, word.as_ptr().cast(), 0) };
}

/// Wakes up to `count` who wait on `word`. `[sig]`
pub(crate) fn futex_wake(word: &AtomicU32, count: u32) {
    for _ in 0..count {
        // SAFETY: only the address is used.
        if unsafe { __ulock_wake(COMPARE_AND_WAIT, word.as_ptr().cast(), 0) } < 0 {
            return; // Nobody waits.
        }
    }
}

/// The calling thread's errno. `[sig]`
pub(crate) fn errno() -> i32 {
    // SAFETY: errno is a word of this thread.
    unsafe { *libc::__error() }
}

pub(in crate::sys) fn set_errno(value: i32) {
    // SAFETY: as above.
    unsafe { *libc::__error() = value };
}

/// Two words in the shape of libc's queue element. `remque(knot)` does `*back = forw` and `*(forw + 1 word) = back`, in
/// either order: two stores to places of our choice, by code that is not ours.
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
    /// A key: here none allocates, and the process has one libc.
    pub(crate) fn create() -> Option<ExitKey> {
        let mut key = 0;
        // SAFETY: `remque` is a libc function of one pointer, and is given a Knot.
        let status = unsafe { libc::pthread_key_create(&mut key, Some(remque)) };
        (status == 0).then_some(ExitKey(key))
    }

    /// Ties the calling thread's end to `knot`; null unties it. `[sig]`
    ///
    /// # Safety
    /// The knot and what it points at stay writable until the thread has ended.
    pub(crate) unsafe fn set(self, knot: *const Knot) {
        // SAFETY: the key is ours.
        unsafe { libc::pthread_setspecific(self.0, knot.cast()) };
    }

    pub(crate) fn delete(self) {
        // SAFETY: the key is ours.
        unsafe { libc::pthread_key_delete(self.0) };
    }

    /// A number for a static; 0 is none.
    pub(crate) fn to_word(self) -> u32 {
        self.0 as u32 + 1
    }

    pub(crate) fn from_word(word: u32) -> Option<ExitKey> {
        word.checked_sub(1).map(|key| ExitKey(key.into()))
    }
}
