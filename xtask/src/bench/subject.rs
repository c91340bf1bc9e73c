//! The programs under test.

use std::fmt;

use lb_common::sched::Scheduler;

/// A program under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Two MAC addresses change places.
    Swap,
    /// One lookup in an `LRU_HASH`, an insertion where nothing is found, then the same.
    Lru,
    /// The binary, a virtual service with this scheduler.
    Xlvs(Scheduler),
}

impl Subject {
    /// What all are compared with.
    pub(super) const FLOOR: Self = Self::Swap;
    /// The names of the interfaces in the source's namespace, and of the bare programs.
    pub(super) const PROGRAMS: [&str; 3] = ["swap", "lru", "xlvs"];

    /// The bare programs, then a service of xlvs for each scheduler.
    pub(super) fn with(schedulers: &[Scheduler]) -> Vec<Self> {
        let services = schedulers.iter().copied().map(Self::Xlvs);
        [Self::Swap, Self::Lru].into_iter().chain(services).collect()
    }

    /// Its place in [`Self::PROGRAMS`].
    pub(super) const fn place(self) -> usize {
        match self {
            Self::Swap => 0,
            Self::Lru => 1,
            Self::Xlvs(_) => 2,
        }
    }

    /// Its name in [`Self::PROGRAMS`].
    pub(super) const fn program(self) -> &'static str {
        Self::PROGRAMS[self.place()]
    }

    /// The scheduler, if it is the binary.
    pub(super) const fn scheduler(self) -> Option<Scheduler> {
        match self {
            Self::Swap | Self::Lru => None,
            Self::Xlvs(scheduler) => Some(scheduler),
        }
    }
}

/// What the tables call it.
impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Swap => out.pad("MAC swap, XDP_TX (the floor)"),
            Self::Lru => out.pad("one LRU_HASH lookup, XDP_TX"),
            Self::Xlvs(scheduler) => out.pad(&format!("xlvs {}, direct routing, XDP_TX", scheduler.name())),
        }
    }
}
