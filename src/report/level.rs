//! How much a report tells.

/// Go: `GOTRACEBACK`.
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
    pub(super) const DEFAULT: Level = Level::Single;
    const NAMED: [(&'static str, Level); 4] =
        [("none", Level::None), ("single", Level::Single), ("all", Level::All), ("system", Level::System)];

    /// The level of this number in the API, where 0 asks for none in particular; `None`: there is no such.
    pub(crate) fn numbered(number: u32) -> Option<Option<Level>> {
        let known = Level::NAMED.iter().map(|&(_, level)| level).find(|&level| level as u32 == number);
        if number == 0 { Some(None) } else { known.map(Some) }
    }

    pub(super) fn named(name: &[u8]) -> Option<Level> {
        Level::NAMED.iter().find(|(known, _)| known.as_bytes() == name).map(|&(_, level)| level)
    }

    pub(crate) fn name(self) -> &'static str {
        Level::NAMED[self as usize - 1].0
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
