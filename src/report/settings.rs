//! What an explicit start asks of reports. Read by whoever dies, at any time.

use crate::base::atomic::{AtomicU32, Ordering};
use crate::sys;

/// How much a report tells. Go: `GOTRACEBACK`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u32)]
pub(crate) enum Level {
    /// The message.
    None = 1,
    /// The dying thread.
    Single,
    /// And the others that are in callbacks.
    All,
    /// And the library: its own frames, registers, version, configuration.
    System,
}

impl Level {
    const DEFAULT: Level = Level::Single;
    const NAMED: [(&'static str, Level); 4] =
        [("none", Level::None), ("single", Level::Single), ("all", Level::All), ("system", Level::System)];

    /// The level of this number in the API, where 0 is the default.
    pub(crate) fn numbered(number: u32) -> Option<Option<Level>> {
        if number == 0 {
            return Some(None);
        }
        Level::NAMED
            .iter()
            .map(|&(_, level)| Some(level))
            .find(|&level| level.map_or(0, |level| level as u32) == number)
    }

    fn named(name: &[u8]) -> Option<Level> {
        Level::NAMED.iter().find(|(known, _)| known.as_bytes() == name).map(|&(_, level)| level)
    }

    pub(crate) fn name(self) -> &'static str {
        Level::NAMED[self as usize - 1].0
    }
}

/// What is asked for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Settings {
    pub(crate) level: Option<Level>,
}

static LEVEL: AtomicU32 = AtomicU32::new(Level::DEFAULT as u32);

/// The fields of the configuration that [`Settings`] holds, by their names in C.
pub(crate) const FIELDS: [&str; 1] = ["traceback"];

impl Settings {
    /// The first of [`FIELDS`] that asks for something else than is in force.
    pub(crate) fn conflict(&self) -> Option<usize> {
        self.level.is_some_and(|level| level != Level::now()).then_some(0)
    }

    /// Puts it in force, and where nothing is asked for, what the environment says. One at a time.
    pub(crate) fn set(&self) {
        let level = self.level.or_else(|| sys::variable(c"WHARF_TRACEBACK", Level::named));
        LEVEL.store(level.unwrap_or(Level::DEFAULT) as u32, Ordering::Relaxed);
    }
}

/// Takes back what [`Settings::set`] has put in force.
pub(crate) fn forget() {
    LEVEL.store(Level::DEFAULT as u32, Ordering::Relaxed);
}

impl Level {
    /// The one in force. `[sig]`
    pub(crate) fn now() -> Level {
        Level::numbered(LEVEL.load(Ordering::Relaxed)).flatten().unwrap_or(Level::DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (n, (name, level)) in Level::NAMED.into_iter().enumerate() {
            assert_eq!(Level::numbered(n as u32 + 1), Some(Some(level)));
            assert_eq!((Level::named(name.as_bytes()), level.name()), (Some(level), name));
        }
        assert_eq!(Level::numbered(0), Some(None));
        assert_eq!(Level::numbered(5), None);
        assert_eq!(Level::named(b"All"), None);
    }
}
