//! What files and descriptors are used by, and what the kernel tells of threads in files. Raw calls where libc's
//! would be cancellation points.

use core::ffi::CStr;

use super::errno;
use crate::sys::InFile;

/// The system's name for thread `tid` of this process, without its line break. `[sig]`
pub(crate) fn thread_name(tid: i32, into: &mut [u8; 16]) -> &[u8] {
    let len = read_of_thread(tid, "comm", into);
    into[..len].trim_ascii_end()
}

/// Whether thread `tid` of this process has ended and only its number is kept. `[sig]`
pub(super) fn is_zombie(tid: i32) -> bool {
    let mut stat = [0; 64];
    fields_of_thread(tid, &mut stat).first() == Some(&b'Z')
}

/// Where the frames of the process's first thread begin, as the kernel tells it.
pub(super) fn first_stack_top() -> Option<usize> {
    const START_STACK: usize = 25;
    let mut stat = [0; 512];
    let fields = fields_of_thread(super::getpid(), &mut stat);
    let top = fields.split(|&byte| byte == b' ').nth(START_STACK)?;
    core::str::from_utf8(top).ok()?.parse().ok().filter(|&top| top != 0)
}

/// What the kernel's `stat` has behind the number and the name in parentheses.
fn fields_of_thread(tid: i32, stat: &mut [u8]) -> &[u8] {
    let len = read_of_thread(tid, "stat", stat);
    let name_end = stat[..len].iter().rposition(|&byte| byte == b')').unwrap_or(len);
    stat[..len].get(name_end + 2..).unwrap_or(&[])
}

/// Whether thread `tid` of this process does not hold SIGABRT back, as far as the kernel tells. `[sig]`
pub(crate) fn lets_abort_through(tid: i32) -> bool {
    const MASK: &[u8] = b"\nSigBlk:\t";
    const DIGITS: usize = 16;
    let Some(mut file) = open_of_thread(tid, "status") else { return false };
    // A window that moves on: the file may be long, and the stack small.
    let (mut window, mut len) = ([0; 256], 0);
    loop {
        let got = file.read(&mut window[len..]);
        len += got;
        let at = window[..len].windows(MASK.len()).position(|part| part == MASK);
        if let Some(digits) = at.and_then(|at| window[..len].get(at + MASK.len()..at + MASK.len() + DIGITS)) {
            let mask =
                core::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
            return mask.is_some_and(|mask| mask & (1 << (libc::SIGABRT - 1)) == 0);
        }
        if got == 0 {
            return false;
        }
        let kept = len.min(MASK.len() + DIGITS);
        window.copy_within(len - kept..len, 0);
        len = kept;
    }
}

/// Reads a whole small file, as much as fits. The number of bytes read. `[sig]`
fn read_file(path: &CStr, into: &mut [u8]) -> usize {
    let Some(fd) = open(path, libc::O_RDONLY) else { return 0 };
    let mut len = 0;
    while len < into.len() {
        let rest = &mut into[len..];
        match read(fd, rest) {
            got @ 1.. => len += got as usize,
            -1 if errno() == libc::EINTR => {}
            _ => break,
        }
    }
    close(fd);
    len
}

/// As [`read_file`], of a file that the kernel has for thread `tid` of this process.
fn read_of_thread(tid: i32, file: &str, into: &mut [u8]) -> usize {
    of_thread(tid, file, |path| read_file(path, into))
}

fn open_of_thread(tid: i32, file: &str) -> Option<InFile> {
    of_thread(tid, file, InFile::open)
}

fn of_thread<T>(tid: i32, file: &str, f: impl FnOnce(&CStr) -> T) -> T {
    use core::fmt::Write;
    let mut path = Path { bytes: [0; 48], len: 0 };
    let _ = write!(path, "/proc/self/task/{tid}/{file}\0");
    f(CStr::from_bytes_until_nul(&path.bytes).unwrap_or(c""))
}

/// A short path, written by format.
struct Path {
    bytes: [u8; 48],
    len: usize,
}

impl core::fmt::Write for Path {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(core::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// Whether `fd` takes bytes within `ns`; true also if that cannot be known. `[sig]`
pub(in crate::sys) fn is_ready(fd: i32, ns: i64) -> bool {
    let mut wait = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: `wait` is one pollfd.
    unsafe { libc::syscall(libc::SYS_ppoll, &mut wait, 1, &super::timespec(ns), 0, 0) != 0 }
}

/// `[sig]`, as all below.
pub(in crate::sys) fn write(fd: i32, bytes: &[u8]) -> isize {
    // SAFETY: `bytes` are readable.
    unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) as isize }
}

pub(in crate::sys) fn read(fd: i32, into: &mut [u8]) -> isize {
    // SAFETY: `into` is writable.
    unsafe { libc::syscall(libc::SYS_read, fd, into.as_mut_ptr(), into.len()) as isize }
}

pub(in crate::sys) fn seek(fd: i32, offset: u64) -> bool {
    // SAFETY: moves our descriptor's offset.
    unsafe { libc::lseek64(fd, offset as i64, libc::SEEK_SET) >= 0 }
}

/// What is asked of an open file. On 32-bit machines the low halves.
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
        let mut stat: libc::stat64 = core::mem::zeroed();
        (libc::fstat64(fd, &mut stat) == 0).then_some(stat)?
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
    let flags = how | libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_LARGEFILE;
    // SAFETY: the path is a C string.
    let fd = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o600) };
    (fd >= 0).then_some(fd as i32)
}

pub(in crate::sys) fn close(fd: i32) {
    // SAFETY: the descriptor is ours.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}
