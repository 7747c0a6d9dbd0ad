//! Files and descriptors, for what is printed and for what a report reads. Raw calls where libc's
//! would be cancellation points: a report must not be unwound out of.

use core::ffi::CStr;

/// Writes all of `bytes`, waiting for a slow reader until `deadline_ns`. Whether all went out. `[sig]`
pub(crate) fn write_all(fd: i32, bytes: &[u8], deadline_ns: i64) -> bool {
    write_most(fd, bytes, deadline_ns) == bytes.len()
}

/// As [`write_all`], but says how much went out. Chunks of at most PIPE_BUF after a `poll`: a pipe that
/// nobody reads cannot hold us. `[sig]`
pub(crate) fn write_most(fd: i32, bytes: &[u8], deadline_ns: i64) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        let chunk = &bytes[written..bytes.len().min(written + libc::PIPE_BUF)];
        let left_ns = deadline_ns.saturating_sub(super::now_ns());
        let mut wait = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
        let left = super::timespec(left_ns.max(0));
        // SAFETY: `wait` is one pollfd; the chunk is readable.
        let sent = unsafe {
            match libc::syscall(libc::SYS_ppoll, &mut wait, 1, &left, 0, 0) {
                0 => {
                    *libc::__errno_location() = libc::EAGAIN;
                    break;
                }
                _ => libc::syscall(libc::SYS_write, fd, chunk.as_ptr(), chunk.len()),
            }
        };
        match sent {
            0.. => written += sent as usize,
            _ if matches!(super::errno(), libc::EINTR | libc::EAGAIN) => {
                if super::now_ns() >= deadline_ns {
                    break;
                }
            }
            _ => break,
        }
    }
    written
}

/// Whether the write that has just failed had too little time. `[sig]`
pub(crate) fn was_late() -> bool {
    matches!(super::errno(), libc::EINTR | libc::EAGAIN)
}

/// Reads a whole small file, as much as fits. The number of bytes read. `[sig]`
pub(crate) fn read_file(path: &CStr, into: &mut [u8]) -> usize {
    let Some(fd) = open(path, libc::O_RDONLY) else { return 0 };
    let mut len = 0;
    while len < into.len() {
        let rest = &mut into[len..];
        // SAFETY: `rest` is writable.
        let got = unsafe { libc::syscall(libc::SYS_read, fd, rest.as_mut_ptr(), rest.len()) };
        match got {
            1.. => len += got as usize,
            -1 if super::errno() == libc::EINTR => {}
            _ => break,
        }
    }
    close(fd);
    len
}

/// The system's name for thread `tid` of this process, without its line break. `[sig]`
pub(crate) fn thread_name(tid: i32, into: &mut [u8; 16]) -> &[u8] {
    let len = read_of_thread(tid, "comm", into);
    into[..len].trim_ascii_end()
}

/// Whether thread `tid` of this process has ended and only its number is kept. `[sig]`
pub(super) fn is_zombie(tid: i32) -> bool {
    // The number, the name in parentheses, the state.
    let mut stat = [0; 64];
    let len = read_of_thread(tid, "stat", &mut stat);
    let name_end = stat[..len].iter().rposition(|&byte| byte == b')').unwrap_or(len);
    stat.get(name_end + 2).is_some_and(|&state| state == b'Z')
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

/// A file mapped for reading, as long as it lives. `[sig]`
pub(crate) struct MappedFile {
    addr: usize,
    bytes: usize,
}

impl MappedFile {
    /// Maps the whole file; `None` if it is no readable, non-empty regular file.
    pub(crate) fn of(file: &InFile) -> Option<MappedFile> {
        // SAFETY: stat is plain data; a new mapping touches nothing.
        unsafe {
            let mut stat: libc::stat64 = core::mem::zeroed();
            let regular = libc::fstat64(file.0, &mut stat) == 0
                && stat.st_mode & libc::S_IFMT == libc::S_IFREG
                && stat.st_size > 0;
            if !regular {
                return None;
            }
            let bytes = stat.st_size as usize;
            let addr =
                libc::mmap(core::ptr::null_mut(), bytes, libc::PROT_READ, libc::MAP_PRIVATE, file.0, 0);
            (addr != libc::MAP_FAILED).then_some(MappedFile { addr: addr as usize, bytes })
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: mapped readable from open to drop.
        unsafe { core::slice::from_raw_parts(self.addr as *const u8, self.bytes) }
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: our mapping, and nobody borrows from it any more.
        unsafe { libc::munmap(self.addr as *mut _, self.bytes) };
    }
}

/// `how`: to be read or written.
fn open(path: &CStr, how: i32) -> Option<i32> {
    let flags = how | libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_LARGEFILE;
    // SAFETY: the path is a C string.
    let fd = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o600) };
    (fd >= 0).then_some(fd as i32)
}

fn close(fd: i32) {
    // SAFETY: the descriptor is ours.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// A file to append to, by its number and by what it is: the host may have closed the number, and
/// opened something else under it.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct AppendFile {
    pub(crate) fd: i32,
    // On 32-bit machines the low halves.
    device: usize,
    inode: usize,
}

impl AppendFile {
    /// Opens it, made if it is not there, for its owner alone. `[sig]`
    pub(crate) fn open(path: &CStr) -> Option<AppendFile> {
        let fd = open(path, libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT)?;
        AppendFile::behind(fd).map(|(file, _)| file)
    }

    /// What stands behind a descriptor, and whether it has a name still.
    fn behind(fd: i32) -> Option<(AppendFile, bool)> {
        // SAFETY: stat is plain data.
        let stat = unsafe {
            let mut stat: libc::stat64 = core::mem::zeroed();
            (libc::fstat64(fd, &mut stat) == 0).then_some(stat)?
        };
        Some((
            AppendFile { fd, device: stat.st_dev as usize, inode: stat.st_ino as usize },
            stat.st_nlink > 0,
        ))
    }

    /// Whether the descriptor is still this file, and the file is still somewhere to be found. `[sig]`
    pub(crate) fn stands(&self) -> bool {
        AppendFile::behind(self.fd) == Some((*self, true))
    }

    /// Closes the descriptor, if it is still this file.
    pub(crate) fn close(self) {
        if AppendFile::behind(self.fd).is_some_and(|(file, _)| file == self) {
            close(self.fd);
        }
    }

    /// As words for a static; never all zero.
    pub(crate) fn to_words(self) -> [usize; 3] {
        [self.fd as usize + 1, self.device, self.inode]
    }

    pub(crate) fn from_words([fd, device, inode]: [usize; 3]) -> Option<AppendFile> {
        Some(AppendFile { fd: fd.checked_sub(1)? as i32, device, inode })
    }
}

/// A file that is read piece by piece. `[sig]`
pub(crate) struct InFile(i32);

impl InFile {
    pub(crate) fn open(path: &CStr) -> Option<InFile> {
        open(path, libc::O_RDONLY).map(InFile)
    }

    /// Reads the next piece into the front of `into`; 0 at the end, or when it cannot be read.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> usize {
        loop {
            // SAFETY: `into` is writable.
            let got = unsafe { libc::syscall(libc::SYS_read, self.0, into.as_mut_ptr(), into.len()) };
            if got >= 0 || super::errno() != libc::EINTR {
                return got.max(0) as usize;
            }
        }
    }
}

impl InFile {
    /// Reads what fits of what is at `offset`; 0 at the end, or when it cannot be read.
    pub(crate) fn read_at(&mut self, offset: u64, into: &mut [u8]) -> usize {
        // `pread` would be a cancellation point, and as a raw call differs from machine to machine.
        // SAFETY: moves our descriptor's offset.
        let at = unsafe { libc::lseek64(self.0, offset as i64, libc::SEEK_SET) };
        if at < 0 { 0 } else { self.read(into) }
    }

    pub(super) fn fd(&self) -> i32 {
        self.0
    }
}

impl Drop for InFile {
    fn drop(&mut self) {
        close(self.0);
    }
}
