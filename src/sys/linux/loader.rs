//! The library as the loader sees it.

use core::ffi::{CStr, c_char, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[cfg(target_pointer_width = "32")]
use libc::{Elf32_Ehdr as ElfHeader, Elf32_Phdr as Segment};
#[cfg(target_pointer_width = "64")]
use libc::{Elf64_Ehdr as ElfHeader, Elf64_Phdr as Segment};

/// A `dlopen` reference of the library on itself.
pub(crate) struct SelfReference(*mut c_void);

// SAFETY: a loader's handle may be used from any thread.
unsafe impl Send for SelfReference {}

/// Takes a reference on the object that holds `symbol`. `Ok(None)` where there is nothing to refer to:
/// wharf is part of the program itself, or a libc that unloads nothing is. `Err`: the loader refused.
pub(crate) fn self_reference(symbol: *const c_void) -> Result<Option<SelfReference>, ()> {
    if cfg!(target_env = "musl") {
        return Ok(None);
    }
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: `info` is written when the answer is not 0; the name lives as long as the object.
    let handle = unsafe {
        if libc::dladdr(symbol, info.as_mut_ptr()) == 0 || is_program(info.assume_init_ref().dli_fbase) {
            return Ok(None);
        }
        libc::dlopen(info.assume_init_ref().dli_fname, libc::RTLD_NOW | libc::RTLD_NOLOAD)
    };
    if handle.is_null() { Err(()) } else { Ok(Some(SelfReference(handle))) }
}

/// Whether the object at `base` is the program: it begins with the headers that the kernel told of.
fn is_program(base: *const c_void) -> bool {
    program_headers().wrapping_sub(base as usize) < super::page_bytes()
}

fn program_headers() -> usize {
    // SAFETY: reads the auxiliary vector.
    unsafe { libc::getauxval(libc::AT_PHDR) as usize }
}

impl SelfReference {
    /// Gives the reference back; 0. If it was the last one, there is nothing to return to: this must
    /// be the last call of the function that the host called; the compiler makes it a jump.
    #[cfg(not(target_arch = "x86"))]
    #[inline(always)]
    pub(crate) fn release(self) -> libc::c_int {
        // SAFETY: the handle came from dlopen and is given back once.
        unsafe { libc::dlclose(self.0) }
    }

    /// As above, for `arch::call_then_leave`.
    #[cfg(target_arch = "x86")]
    pub(crate) fn release(self) -> u64 {
        crate::arch::leave(libc::dlclose as *const () as usize, self.0 as usize)
    }
}

/// Whether the host's libc is ours too: not in a namespace of its own (`dlmopen`), not below a
/// static program that brought its own.
pub(crate) fn shares_host_libc() -> bool {
    // A program without an interpreter is static. (One started as `ld.so program` looks the same.)
    // SAFETY: reads the auxiliary vector.
    let interpreter = unsafe { libc::getauxval(libc::AT_BASE) };
    // Reading the initialiser's address keeps it in the library.
    let asked = !core::ptr::eq(&raw const ASK_AT_LOAD, ptr::null());
    interpreter != 0 && asked && IN_BASE_NAMESPACE.load(Ordering::Relaxed)
}

static IN_BASE_NAMESPACE: AtomicBool = AtomicBool::new(true);

// Asked while we are loaded, when the loader's lock is ours: a thread that calls in first may not
// wait for it, for a library's initialiser may wait for that thread.
#[used]
#[unsafe(link_section = ".init_array")]
static ASK_AT_LOAD: extern "C" fn() = at_load;

extern "C" fn at_load() {
    ask_namespace();
    find_the_finder();
    // The unwinder of each namespace makes a table at its first use, without which it aborts when a panic
    // of another namespace's wharf passes our frames.
    crate::sys::unwind::backtrace(&mut |_| false);
}

#[cfg(target_env = "gnu")]
fn ask_namespace() {
    const RTLD_DL_LINKMAP: libc::c_int = 2;
    const RTLD_DI_LMID: libc::c_int = 1;
    const LM_ID_BASE: libc::c_long = 0;
    unsafe extern "C" {
        fn dladdr1(
            addr: *const c_void,
            info: *mut libc::Dl_info,
            extra: *mut *mut c_void,
            flags: libc::c_int,
        ) -> libc::c_int;
        fn dlinfo(handle: *mut c_void, request: libc::c_int, info: *mut c_void) -> libc::c_int;
    }
    let this = ask_namespace as *const c_void;
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    let mut map = ptr::null_mut();
    let mut id: libc::c_long = LM_ID_BASE;
    // SAFETY: each writes what its request says; a link map is a handle in glibc.
    unsafe {
        if dladdr1(this, info.as_mut_ptr(), &mut map, RTLD_DL_LINKMAP) != 0 {
            dlinfo(map, RTLD_DI_LMID, (&raw mut id).cast());
        }
    }
    IN_BASE_NAMESPACE.store(id == LM_ID_BASE, Ordering::Relaxed);
}

/// musl has no namespaces.
#[cfg(target_env = "musl")]
fn ask_namespace() {}

/// glibc 2.35: writes its `struct dl_find_object` about the file that is mapped at an address, and takes no lock.
/// 0: there is one. `[sig]`
type FindObject = unsafe extern "C" fn(addr: usize, object: *mut c_void) -> libc::c_int;

/// That function, or 0. Relaxed: written as we are loaded, before anybody can call.
static FIND_OBJECT: AtomicUsize = AtomicUsize::new(0);

/// By its name: linked, it would be a version of glibc that the library cannot be loaded without.
fn find_the_finder() {
    // SAFETY: the name is a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) };
    FIND_OBJECT.store(found as usize, Ordering::Relaxed);
}

/// Where the object that `addr` may be in has its ELF header, as glibc's loader knows it, and the loader's name for it.
fn object_at(addr: usize) -> (usize, &'static CStr) {
    /// The front of `struct dl_find_object`, and what it has behind that.
    #[repr(C)]
    #[derive(Default)]
    struct Object {
        flags: u64,
        lo: usize,
        hi: usize,
        map: usize,
        rest: [u64; 16],
    }
    /// The front of `struct link_map`.
    #[repr(C)]
    struct LinkMap {
        bias: usize,
        name: *const c_char,
    }
    let mut object = Object::default();
    let mut name = c"";
    // SAFETY: 0 is `None`, else it is that function, which writes less than `Object` has; the map that it names is
    // that of an object with code on the stack, which stays, and its name with it.
    unsafe {
        let find = core::mem::transmute::<usize, Option<FindObject>>(FIND_OBJECT.load(Ordering::Relaxed));
        if find.is_some_and(|find| find(addr, (&raw mut object).cast()) == 0) {
            let map = &*(object.map as *const LinkMap);
            name = if map.name.is_null() { c"" } else { CStr::from_ptr(map.name) };
        }
    }
    // Of a static program the loader knows no more than the code.
    (if name.is_empty() { down(program_headers()) } else { object.lo }, name)
}

/// To the start of its page.
fn down(addr: usize) -> usize {
    addr & !(super::page_bytes() - 1)
}

/// What of a file is mapped at `addr`, as the loader knows it, without a lock, and the file's headers say; its path
/// goes to the front of `text`. `[sig]`
pub(super) fn loaded_at(addr: usize, text: &mut [u8]) -> Option<super::Mapping> {
    let (base, name) = object_at(addr);
    if !super::readable(base) {
        return None;
    }
    // SAFETY: an object with code on the stack stays.
    let header = unsafe { &*(base as *const ElfHeader) };
    // A linker script may keep it out of memory.
    if !header.e_ident.starts_with(b"\x7fELF") {
        return None;
    }
    // SAFETY: as above; the linker puts them behind the header.
    let segments = unsafe {
        let first = (base + header.e_phoff as usize) as *const Segment;
        core::slice::from_raw_parts(first, header.e_phnum.into())
    };
    let first = segments.iter().find(|segment| segment.p_type == libc::PT_LOAD)?;
    let bias = base.wrapping_sub(down(first.p_vaddr as usize));
    let bounds = |segment: &Segment| {
        let lo = bias.wrapping_add(segment.p_vaddr as usize);
        (down(lo), (lo + segment.p_memsz as usize).next_multiple_of(super::page_bytes()))
    };
    let is_there = |segment: &&Segment| {
        let (lo, hi) = bounds(segment);
        segment.p_type == libc::PT_LOAD && lo <= addr && addr < hi
    };
    let segment = segments.iter().find(is_there)?;
    let (lo, hi) = bounds(segment);
    Some(super::Mapping {
        lo,
        hi,
        offset: down(segment.p_offset as usize),
        readable: segment.p_flags & libc::PF_R != 0,
        code: segment.p_flags & libc::PF_X != 0,
        path: 0..whole_path(name, text)?,
    })
}

/// Writes the path of an object to the front of `text`, from the root on, with a NUL; how long it is without that. The
/// program itself has no name, but what it was started by. `[sig]`
fn whole_path(name: &CStr, text: &mut [u8]) -> Option<usize> {
    let program = || {
        // SAFETY: reads the auxiliary vector; the kernel's string stays.
        unsafe {
            let name = libc::getauxval(libc::AT_EXECFN) as *const c_char;
            if name.is_null() { c"" } else { CStr::from_ptr(name) }
        }
    };
    let name = match name.to_bytes() {
        b"" => program(),
        // No file's: the loader's own name for the vDSO.
        name if !name.contains(&b'/') => c"[vdso]",
        _ => name,
    };
    let name = name.to_bytes_with_nul();
    let mut len = 0;
    if !matches!(name[0], b'/' | b'[') {
        // SAFETY: writes into the text, a NUL at the end, which it counts.
        let got = unsafe { libc::syscall(libc::SYS_getcwd, text.as_mut_ptr(), text.len()) };
        let end = usize::try_from(got).unwrap_or(0);
        // Outside the process's root it is "(unreachable)/tmp".
        let start = text[..end].iter().position(|&byte| byte == b'/').unwrap_or(end);
        text.copy_within(start..end, 0);
        // Without the NUL, and without the root's own slash.
        len = if end - start > 2 { end - start - 1 } else { 0 };
        *text.get_mut(len)? = b'/';
        len += 1;
    }
    let name = name.strip_prefix(b"./").unwrap_or(name);
    text.get_mut(len..len + name.len())?.copy_from_slice(name);
    Some(len + name.len() - 1)
}

/// In a finaliser: whether the process's exit runs it, and not a `dlclose`, be it in a handler of the exit: by
/// which of the two libc's frames are further inward. `None` if neither can be seen.
pub(crate) fn is_finalised_by_exit() -> Option<bool> {
    let mut found = None;
    crate::sys::unwind::backtrace(&mut |frame| {
        let mut info = MaybeUninit::<libc::Dl_info>::uninit();
        // SAFETY: `info` is written when the answer is not 0; a name lives as long as its object.
        let name = unsafe {
            let known = libc::dladdr((frame.pc().wrapping_sub(1)) as *const c_void, info.as_mut_ptr()) != 0;
            let name = if known { info.assume_init_ref().dli_sname } else { ptr::null() };
            if name.is_null() { c"" } else { CStr::from_ptr(name) }
        };
        found = match name.to_bytes() {
            b"exit" => Some(true),
            b"dlclose" => Some(false),
            _ => None,
        };
        found.is_none()
    });
    found
}

/// Has `at_exit` called when the process exits, before any library's finalisers; false if there is no
/// memory. Once per load: what was asked before is forgotten when the library is unloaded.
pub(crate) fn call_at_exit(at_exit: extern "C" fn(*mut c_void)) -> bool {
    unsafe extern "C" {
        fn __cxa_atexit(f: extern "C" fn(*mut c_void), arg: *mut c_void, dso: *const c_void) -> libc::c_int;
        static __dso_handle: c_void;
    }
    // SAFETY: the function stays until this library goes, which forgets it.
    unsafe { __cxa_atexit(at_exit, ptr::null_mut(), &raw const __dso_handle) == 0 }
}
