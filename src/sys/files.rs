//! Files and descriptors, for what is printed and for what a report reads; by the system's `io`, none of which is
//! a cancellation point: a report must not be unwound out of.

use core::ffi::CStr;

use super::{close, errno, is_ready, now_ns, open, read, seek, set_errno, stat, write};

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
        let left_ns = deadline_ns.saturating_sub(now_ns());
        let sent = match is_ready(fd, left_ns.max(0)) {
            false => {
                set_errno(libc::EAGAIN);
                break;
            }
            true => write(fd, chunk),
        };
        match sent {
            0.. => written += sent as usize,
            _ if matches!(errno(), libc::EINTR | libc::EAGAIN) => {
                if now_ns() >= deadline_ns {
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
    matches!(errno(), libc::EINTR | libc::EAGAIN)
}

/// A file mapped for reading, as long as it lives. `[sig]`
pub(crate) struct MappedFile {
    addr: usize,
    bytes: usize,
}

impl MappedFile {
    /// Maps the whole file; `None` if it is no readable, non-empty regular file.
    pub(crate) fn of(file: &InFile) -> Option<MappedFile> {
        let stat = stat(file.0).filter(|stat| stat.is_regular && stat.bytes > 0)?;
        // SAFETY: a new mapping touches nothing.
        let addr = unsafe {
            libc::mmap(core::ptr::null_mut(), stat.bytes, libc::PROT_READ, libc::MAP_PRIVATE, file.0, 0)
        };
        (addr != libc::MAP_FAILED).then_some(MappedFile { addr: addr as usize, bytes: stat.bytes })
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
        let stat = stat(fd)?;
        Some((AppendFile { fd, device: stat.device, inode: stat.inode }, stat.links > 0))
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
            let got = read(self.0, into);
            if got >= 0 || errno() != libc::EINTR {
                return got.max(0) as usize;
            }
        }
    }
}

impl InFile {
    /// Reads what fits of what is at `offset`; 0 at the end, or when it cannot be read.
    pub(crate) fn read_at(&mut self, offset: u64, into: &mut [u8]) -> usize {
        // `pread` would be a cancellation point, and as a raw call differs from machine to machine.
        if seek(self.0, offset) { self.read(into) } else { 0 }
    }

    #[cfg(target_os = "linux")]
    pub(super) fn fd(&self) -> i32 {
        self.0
    }
}

impl Drop for InFile {
    fn drop(&mut self) {
        close(self.0);
    }
}
