//! Which file's code is where: by dyld's list of what it has loaded, which is read without its lock, as debuggers do.
//! Code that was made at run time is not in it.

use core::ffi::{CStr, c_char};
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

/// What is known of a mapping: of a file's `__TEXT`, which begins with its header and holds its code.
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
    /// Not here.
    #[allow(dead_code)]
    Refused,
}

/// Who is asked.
pub(crate) enum Maps {
    /// First: all zero, it costs nothing in the library's file.
    Nobody,
    /// Not here: the kernel's questions and lists know no file of the system's own libraries.
    #[allow(dead_code)]
    Kernel(MapsFile),
    Loader,
}

pub(crate) enum MapsFile {}

impl MapsFile {
    pub(crate) fn read(&mut self, _into: &mut [u8]) -> usize {
        match *self {}
    }
}

impl Maps {
    /// `[sig]`
    pub(crate) fn open() -> Maps {
        Maps::Loader
    }

    /// Asks what is mapped at `addr`; its path goes to the front of `text`, if there is room. `[sig]`
    pub(crate) fn ask(&self, addr: usize, text: &mut [u8]) -> Asked {
        match self {
            Maps::Nobody | Maps::Kernel(_) => Asked::Nothing,
            Maps::Loader => loaded_at(addr, text).map_or(Asked::Nothing, Asked::Mapped),
        }
    }
}

/// The front of `struct dyld_all_image_infos`.
#[repr(C)]
struct Images {
    version: u32,
    count: u32,
    /// 0 while dyld changes the list.
    list: usize,
}

/// `struct dyld_image_info`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Image {
    header: usize,
    path: *const c_char,
    changed: usize,
}

/// Where the list is told of, or 0. Relaxed: written as we are loaded, before anybody can call.
static IMAGES: AtomicUsize = AtomicUsize::new(0);

/// Asks the kernel once: the question is not for a handler.
pub(super) fn find_images() {
    const TASK_DYLD_INFO: u32 = 17;
    unsafe extern "C" {
        static mach_task_self_: libc::mach_port_t;
    }
    // The address, the size, and a number.
    let mut info = [0u64; 3];
    let mut words = 5;
    // SAFETY: writes as many half words as it is told.
    let status =
        unsafe { libc::task_info(mach_task_self_, TASK_DYLD_INFO, info.as_mut_ptr().cast(), &mut words) };
    IMAGES.store(if status == 0 { info[0] as usize } else { 0 }, Ordering::Relaxed);
}

fn loaded_at(addr: usize, text: &mut [u8]) -> Option<Mapping> {
    let image = image_below(addr)?;
    let bytes = text_bytes(image.header)?;
    if addr - image.header >= bytes {
        return None;
    }
    // SAFETY: the path of a file with code on the stack, which stays.
    let path = unsafe { CStr::from_ptr(image.path) }.to_bytes();
    text.get_mut(..path.len())?.copy_from_slice(path);
    let (lo, hi) = (image.header, image.header + bytes);
    Some(Mapping { lo, hi, offset: 0, readable: true, code: true, path: 0..path.len() })
}

/// Whether two places are in the same file's code.
pub(super) fn are_together(one: usize, other: usize) -> bool {
    let header = |addr: usize| image_below(addr).map(|image| image.header);
    header(one).is_some_and(|of_one| header(other) == Some(of_one))
}

/// The image with the highest header that is not above `addr`.
fn image_below(addr: usize) -> Option<Image> {
    let images = IMAGES.load(Ordering::Relaxed) as *const Images;
    // SAFETY: null, or dyld's, which stays; dyld may change it at any time.
    let (count, list) = unsafe {
        let images = images.as_ref()?;
        ((&raw const images.count).read_volatile() as usize, (&raw const images.list).read_volatile())
    };
    let mut found: Option<Image> = None;
    let mut known = 0;
    for at in (0..count).map(|n| list.wrapping_add(n * size_of::<Image>())) {
        // Dyld may have given an earlier list back.
        let page = (at + size_of::<Image>() - 1) / super::page_bytes();
        if page != known {
            if !super::readable(at) || !super::readable(at + size_of::<Image>() - 8) {
                break;
            }
            known = page;
        }
        // SAFETY: it can be read.
        let image = unsafe { (at as *const Image).read_volatile() };
        if image.header <= addr && found.is_none_or(|found| found.header < image.header) {
            found = Some(image);
        }
    }
    found.filter(|image| super::readable(image.header) && super::readable(image.path as usize))
}

/// How many bytes the `__TEXT` has whose header is there.
fn text_bytes(header: usize) -> Option<usize> {
    const MAGIC: u32 = 0xfeed_facf;
    const HEADER_BYTES: usize = 32;
    const COUNT: usize = 16;
    const SEGMENT: u32 = 0x19;
    const NAME: usize = 8;
    const BYTES: usize = 32;
    // SAFETY: the header of a file with code on the stack, and what it tells of: both stay, in one piece.
    unsafe {
        let word = |at: usize| *(at as *const u32);
        if word(header) != MAGIC {
            return None;
        }
        let mut command = header + HEADER_BYTES;
        for _ in 0..word(header + COUNT) {
            if word(command) == SEGMENT && *((command + NAME) as *const [u8; 7]) == *b"__TEXT\0" {
                return Some(*((command + BYTES) as *const usize));
            }
            command += word(command + 4) as usize;
        }
    }
    None
}
