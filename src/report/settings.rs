//! What an explicit start asks of reports. Read by whoever dies, at any time.

use core::ffi::CStr;

use super::Level;
use crate::base::Snapshot;
use crate::base::atomic::{AtomicI32, AtomicU32, Ordering};
use crate::sys::{self, AppendFile};

/// The longest path, its NUL included.
pub(crate) const PATH_BYTES: usize = 1024;
const PATH_WORDS: usize = PATH_BYTES / size_of::<usize>();

/// What is asked for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Settings<'a> {
    pub(crate) level: Option<Level>,
    /// A descriptor of the host's.
    pub(crate) fd: Option<i32>,
    /// Shorter than [`PATH_BYTES`].
    pub(crate) path: Option<&'a CStr>,
}

static LEVEL: AtomicU32 = AtomicU32::new(Level::DEFAULT as u32);
static FD: AtomicI32 = AtomicI32::new(NO_FD);
const NO_FD: i32 = -1;
static PATH: Snapshot<PATH_WORDS> = Snapshot::new();
/// The file of that path, opened at the start: whoever dies may have no free descriptor, another root
/// and fewer rights by then.
static FILE: Snapshot<3> = Snapshot::new();

/// The fields of the configuration that [`Settings`] holds, by their names in C.
pub(crate) const FIELDS: [&str; 3] = ["traceback", "report_fd", "report_path"];

impl Settings<'_> {
    /// The first of [`FIELDS`] that asks for something else than is in force.
    pub(crate) fn conflict(&self) -> Option<usize> {
        [
            self.level.is_some_and(|level| level != level_now()),
            self.fd.is_some_and(|fd| Some(fd) != fd_now()),
            self.path.is_some_and(|path| with_path(|now| path != now)),
        ]
        .into_iter()
        .position(|differs| differs)
    }

    /// Puts it in force, and where no level is asked for, what the environment says. One at a time.
    pub(crate) fn set(&self) {
        let level = self.level.or_else(|| sys::variable(c"WHARF_TRACEBACK", Level::named));
        LEVEL.store(level.unwrap_or(Level::DEFAULT) as u32, Ordering::Relaxed);
        FD.store(self.fd.unwrap_or(NO_FD), Ordering::Relaxed);
        set_path(self.path.unwrap_or(c""));
        let file = self.path.and_then(AppendFile::open);
        FILE.write(&file.map_or([0; 3], AppendFile::to_words));
    }
}

/// Takes back what [`Settings::set`] has put in force. One at a time.
pub(crate) fn forget() {
    LEVEL.store(Level::DEFAULT as u32, Ordering::Relaxed);
    FD.store(NO_FD, Ordering::Relaxed);
    set_path(c"");
    let file = FILE.read().and_then(AppendFile::from_words);
    FILE.write(&[0; 3]);
    if let Some(file) = file {
        file.close();
    }
}

fn set_path(path: &CStr) {
    let mut words = [0; PATH_WORDS];
    let bytes = &path.to_bytes()[..path.count_bytes().min(PATH_BYTES - 1)];
    for (word, part) in words.iter_mut().zip(bytes.chunks(size_of::<usize>())) {
        let mut padded = [0; size_of::<usize>()];
        padded[..part.len()].copy_from_slice(part);
        *word = usize::from_ne_bytes(padded);
    }
    PATH.write(&words);
}

/// Runs `with` with the path in force, empty if there is none.
pub(super) fn with_path<T>(with: impl FnOnce(&CStr) -> T) -> T {
    let words = PATH.read().unwrap_or([0; PATH_WORDS]);
    let mut bytes = [0; PATH_BYTES];
    for (part, word) in bytes.chunks_mut(size_of::<usize>()).zip(words) {
        part.copy_from_slice(&word.to_ne_bytes());
    }
    with(CStr::from_bytes_until_nul(&bytes).unwrap_or_default())
}

/// The level in force. `[sig]`
pub(super) fn level_now() -> Level {
    Level::numbered(LEVEL.load(Ordering::Relaxed)).flatten().unwrap_or(Level::DEFAULT)
}

/// The host's descriptor. `[sig]`
pub(super) fn fd_now() -> Option<i32> {
    Some(FD.load(Ordering::Relaxed)).filter(|&fd| fd != NO_FD)
}

/// The file of the path in force: the one that was opened at the start; if the host has closed it or
/// taken its name away, it is opened now. `[sig]`
pub(super) fn file_now() -> Option<i32> {
    let opened = FILE.read().and_then(AppendFile::from_words).filter(AppendFile::stands);
    let file =
        opened.or_else(|| with_path(|path| if path.is_empty() { None } else { AppendFile::open(path) }))?;
    Some(file.fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_back() {
        for path in [c"", c"a", c"/tmp/eight.bytes", c"/a/path of/seventeen"] {
            set_path(path);
            with_path(|now| assert_eq!(now, path));
        }
        set_path(c"");
    }
}
