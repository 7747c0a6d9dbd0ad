//! Ms of a model: the shipped owner, end, gate and list, around a cell in the place of the stacks.

#[path = "../../src/gmp/extra.rs"]
mod extra;
#[path = "../../src/gmp/gate.rs"]
mod gate;
#[path = "../../src/gmp/owner.rs"]
mod owner;

pub(crate) use extra::*;
pub(crate) use gate::*;
pub(crate) use m::{M, be_on, getm};

mod m {
    use std::cell::Cell;

    use super::gate::{CLOSED, Gate};
    use super::owner::{End, Owner};
    use crate::atomic::{AtomicU32, Memory, Ordering};

    pub(crate) struct M {
        pub(crate) gate: Gate,
        pub(crate) home: Home,
        pub(super) end: End,
        pub(crate) number: AtomicU32,
        pub(crate) link: AtomicU32,
        pub(crate) realtime: AtomicU32,
    }

    loom::thread_local! {
        static MINE: Cell<Option<&'static M>> = Cell::new(None);
    }

    pub(crate) fn getm() -> Option<&'static M> {
        MINE.with(Cell::get)
    }

    /// The calling thread has this M.
    pub(crate) fn be_on(m: Option<&'static M>) {
        MINE.with(|mine| mine.set(m));
    }

    /// The home stack: its memory, and whether there is one.
    pub(crate) struct Home(AtomicU32, Memory);

    impl Home {
        pub(crate) fn load(&self, order: Ordering) -> *const Memory {
            if self.0.load(order) == 0 { core::ptr::null() } else { &raw const self.1 }
        }
    }

    impl M {
        pub(super) fn new() -> M {
            M {
                gate: Gate::default(),
                home: Home(AtomicU32::new(0), Memory::new()),
                end: End::default(),
                number: AtomicU32::new(0),
                link: AtomicU32::new(0),
                realtime: AtomicU32::new(0),
            }
        }

        /// What a callback does.
        pub(crate) fn run(&self) {
            assert_ne!(self.home.0.load(Ordering::Relaxed), 0, "a callback without a stack");
            self.home.1.work();
        }

        /// What a dump does.
        pub(crate) fn look(&self) {
            assert_ne!(self.home.0.load(Ordering::Relaxed), 0, "a look at no stack");
            self.home.1.clean();
        }

        /// A callback inside another.
        pub(crate) fn run_nested(&self) {
            self.gate.enter_more();
            self.run();
            self.gate.leave_more();
        }

        pub(crate) fn ended(&self) -> bool {
            self.end.told()
        }

        pub(crate) fn forget_callbacks(&self) {
            self.gate.forget_callbacks();
            self.home.1.clean();
        }

        pub(crate) fn set_name(&self, _name: &[u8]) {}

        /// Giving pages back twice is once.
        pub(crate) fn shrink(&self, _keep_bytes: usize) {
            self.home.1.clean();
        }

        pub(crate) fn disarm(&self) {
            self.gate.close(CLOSED);
            self.home.0.store(0, Ordering::Relaxed);
            self.home.1.work();
        }

        pub(crate) fn arm(&self) -> Option<()> {
            if self.home.0.load(Ordering::Relaxed) == 0 {
                self.home.1.work();
                self.home.0.store(1, Ordering::Relaxed);
            }
            self.gate.open_closed();
            Some(())
        }

        pub(crate) fn close(&self, gate: u32) {
            self.gate.close(gate);
        }

        pub(crate) fn reopen(&self) {
            if self.home.0.load(Ordering::Relaxed) == 0 {
                self.gate.close(CLOSED);
            } else {
                self.gate.open();
            }
        }

        pub(crate) fn stacks(&self) -> impl Iterator<Item = &'static Memory> + use<> {
            core::iter::empty()
        }

        pub(super) fn bind(&'static self, owner: &Owner, tid: i32) -> bool {
            self.end.clear();
            MINE.with(|mine| mine.set(Some(self)));
            owner.give(tid);
            true
        }

        pub(super) fn is_of(&self, _mark: usize) -> bool {
            true
        }

        pub(crate) fn tie(&self) {}

        pub(crate) fn unbind(&self) {
            MINE.with(|mine| mine.set(None));
            self.end.tell();
        }

        pub(super) fn is_being_left(&self) -> bool {
            false
        }
    }
}

mod g {
    pub(crate) struct Stacks;
    pub(crate) static STACKS: Stacks = Stacks;

    impl Stacks {
        pub(crate) fn after_fork(&self, _used: impl Iterator<Item = &'static crate::atomic::Memory>) {}
        pub(crate) fn trim(&self) {}
    }
}

pub(crate) use g::STACKS;

pub(crate) mod table {
    use std::sync::LazyLock;

    use super::m::M;
    use super::owner::Owner;
    use crate::atomic::AtomicU32;

    pub(crate) const MAX_THREADS: u32 = 2;

    pub(super) struct Table {
        pub(super) made: AtomicU32,
        pub(super) owners: [Owner; MAX_THREADS as usize],
        pub(super) ms: [M; MAX_THREADS as usize],
    }

    static TABLE: LazyLock<Table> = LazyLock::new(|| Table {
        made: AtomicU32::new(0),
        owners: Default::default(),
        ms: [M::new(), M::new()],
    });

    pub(super) fn get() -> Option<&'static Table> {
        Some(&TABLE)
    }

    pub(super) fn create() -> Option<()> {
        Some(())
    }

    pub(super) fn release(_is_empty: bool) {}
}
