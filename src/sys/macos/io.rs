//! What files and descriptors are used by, and what the system tells of threads. Where libc's functions are
//! cancellation points: those without.

use core::ffi::{CStr, c_char, c_int, c_void};

unsafe extern "C" {
    #[link_name = "poll$NOCANCEL"]
    pub(super) fn poll(descriptors: *mut libc::pollfd, count: libc::nfds_t, timeout_ms: c_int) -> c_int;
    #[link_name = "write$NOCANCEL"]
    fn write_bytes(fd: c_int, from: *const c_void, bytes: usize) -> isize;
    #[link_name = "read$NOCANCEL"]
    fn read_bytes(fd: c_int, into: *mut c_void, bytes: usize) -> isize;
    #[link_name = "open$NOCANCEL"]
    fn open_path(path: *const c_char, flags: c_int, ...) -> c_int;
    #[link_name = "close$NOCANCEL"]
    fn close_fd(fd: c_int) -> c_int;
}

/// The system's name for thread `tid` of this process. Of the first thread it is told to itself alone. `[sig]`
pub(crate) fn thread_name(tid: i32, into: &mut [u8; 16]) -> &[u8] {
    let mut len = 0;
    if tid == super::gettid() {
        // SAFETY: writes no more than it is told, a NUL at the end.
        unsafe { libc::pthread_getname_np(libc::pthread_self(), into.as_mut_ptr().cast(), into.len()) };
        len = into.iter().position(|&byte| byte == 0).unwrap_or(into.len());
    } else if let Some(info) = (tid != super::getpid()).then(|| super::info(tid)).flatten() {
        for (to, from) in into.iter_mut().zip(info.pth_name).take_while(|(_, from)| *from != 0) {
            *to = from as u8;
            len += 1;
        }
    }
    &into[..len]
}

/// Whether thread `tid` of this process does not hold SIGABRT back, as far as the kernel tells: it tells nobody but the
/// thread. `[sig]`
pub(crate) fn lets_abort_through(_tid: i32) -> bool {
    false
}

/// Whether `fd` takes bytes within `ns`; true also if that cannot be known. `[sig]`
pub(in crate::sys) fn is_ready(fd: i32, ns: i64) -> bool {
    let mut wait = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: `wait` is one pollfd.
    unsafe { poll(&mut wait, 1, milliseconds(ns)) != 0 }
}

/// Not less, as long as that fits.
pub(super) fn milliseconds(ns: i64) -> c_int {
    (ns.saturating_add(999_999) / 1_000_000).clamp(0, c_int::MAX.into()) as c_int
}

/// `[sig]`, as all below.
pub(in crate::sys) fn write(fd: i32, bytes: &[u8]) -> isize {
    // SAFETY: `bytes` are readable.
    unsafe { write_bytes(fd, bytes.as_ptr().cast(), bytes.len()) }
}

pub(in crate::sys) fn read(fd: i32, into: &mut [u8]) -> isize {
    // SAFETY: `into` is writable.
    unsafe { read_bytes(fd, into.as_mut_ptr().cast(), into.len()) }
}

pub(in crate::sys) fn seek(fd: i32, offset: u64) -> bool {
    // SAFETY: moves our descriptor's offset.
    unsafe { libc::lseek(fd, offset as i64, libc::SEEK_SET) >= 0 }
}

/// What is asked of an open file.
pub(in crate::sys) struct Stat {
    pub(in crate::sys) is_regular: bool,
    pub(in crate::sys) bytes: usize,
    pub(in crate::sys) device: usize,
    pub(in crate::sys) inode: usize,
    pub(in crate::sys) links: usize,
}

pub(in crate::sys) fn stat(fd: i32) -> Option<Stat> {
    // SAFETY: stat is plain data.
    let stat = unsafe {
        let mut stat: libc::stat = core::mem::zeroed();
        (libc::fstat(fd, &mut stat) == 0).then_some(stat)?
    };
    Some(Stat {
        is_regular: stat.st_mode & libc::S_IFMT == libc::S_IFREG,
        bytes: stat.st_size as usize,
        device: stat.st_dev as usize,
        inode: stat.st_ino as usize,
        links: stat.st_nlink as usize,
    })
}

/// `how`: to be read or written.
pub(in crate::sys) fn open(path: &CStr, how: i32) -> Option<i32> {
    let flags = how | libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK;
    // SAFETY: the path is a C string.
    let fd = unsafe { open_path(path.as_ptr(), flags, 0o600) };
    (fd >= 0).then_some(fd)
}

pub(in crate::sys) fn close(fd: i32) {
    // SAFETY: the descriptor is ours.
    unsafe { close_fd(fd) };
}
