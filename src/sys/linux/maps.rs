//! The process's mappings.

use crate::sys::InFile;
use core::ops::Range;

/// What the kernel says of a mapping.
#[derive(Clone)]
pub(crate) struct Mapping {
    pub(crate) lo: usize,
    pub(crate) hi: usize,
    /// Of its first byte in the file.
    pub(crate) offset: usize,
    pub(crate) readable: bool,
    pub(crate) code: bool,
    /// Where the path is in the text that came along.
    pub(crate) path: Range<usize>,
}

/// The answer to a question about one address.
pub(crate) enum Asked {
    Mapped(Mapping),
    Nothing,
    /// None: Linux before 6.11 is asked, or a sandbox.
    Refused,
}

/// Who is asked.
pub(crate) enum Maps {
    /// First: all zero, it costs nothing in the library's file.
    Nobody,
    /// The kernel, by its list of all mappings.
    Kernel(MapsFile),
    /// The loader, which knows the files alone: where none can be opened, there is no /proc, or no descriptor.
    Loader,
}

/// The kernel's list of all mappings.
pub(crate) struct MapsFile(InFile);

/// `struct procmap_query` of linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct Query {
    bytes: u64,
    flags: u64,
    addr: u64,
    lo: u64,
    hi: u64,
    access: u64,
    page_bytes: u64,
    offset: u64,
    inode: u64,
    device: [u32; 2],
    path_bytes: u32,
    build_id_bytes: u32,
    path: u64,
    build_id: u64,
}

impl Maps {
    /// `[sig]`
    pub(crate) fn open() -> Maps {
        MapsFile::open().map_or(Maps::Loader, Maps::Kernel)
    }

    /// Asks what is mapped at `addr`; its path goes to the front of `text`, if there is room. `[sig]`
    pub(crate) fn ask(&self, addr: usize, text: &mut [u8]) -> Asked {
        match self {
            Maps::Nobody => Asked::Nothing,
            Maps::Kernel(file) => file.ask(addr, text),
            Maps::Loader => super::loaded_at(addr, text).map_or(Asked::Nothing, Asked::Mapped),
        }
    }
}

impl MapsFile {
    /// The main thread's file, which takes half as long to open as the calling thread's, and which emulators
    /// of other processors have alone; the thread's if the main thread has ended. `[sig]`
    fn open() -> Option<MapsFile> {
        let of_main = InFile::open(c"/proc/self/maps").map(MapsFile);
        let here = MapsFile::open as *const () as usize;
        let answers = |file: &MapsFile| matches!(file.ask(here, &mut []), Asked::Mapped(_));
        of_main
            .filter(|file| answers(file) || !super::io::is_zombie(super::getpid()))
            .or_else(|| InFile::open(c"/proc/thread-self/maps").map(MapsFile))
    }

    /// As above; no path where there is no room at all.
    fn ask(&self, addr: usize, text: &mut [u8]) -> Asked {
        // A word, as all that a system call takes.
        const PROCMAP_QUERY: usize = libc::_IOWR::<Query>(b'f' as u32, 17) as usize;
        const READABLE: u64 = 1;
        const EXECUTABLE: u64 = 4;
        let mut query = Query {
            bytes: size_of::<Query>() as u64,
            addr: addr as u64,
            path_bytes: text.len() as u32,
            path: if text.is_empty() { 0 } else { text.as_mut_ptr() as u64 },
            ..Query::default()
        };
        // SAFETY: the query says its size, and how much room is at `text`.
        if unsafe { libc::syscall(libc::SYS_ioctl, self.0.fd(), PROCMAP_QUERY, &raw mut query) } != 0 {
            return if super::errno() == libc::ENOENT { Asked::Nothing } else { Asked::Refused };
        }
        Asked::Mapped(Mapping {
            lo: query.lo as usize,
            hi: query.hi as usize,
            offset: query.offset as usize,
            readable: query.access & READABLE != 0,
            code: query.access & EXECUTABLE != 0,
            // The size counts the NUL.
            path: 0..(query.path_bytes as usize).saturating_sub(1),
        })
    }

    /// Reads the next piece of the list as text; 0 at its end. `[sig]`
    pub(crate) fn read(&mut self, into: &mut [u8]) -> usize {
        self.0.read(into)
    }
}
