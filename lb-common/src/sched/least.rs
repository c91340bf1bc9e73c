//! The schedulers that look at every server and take the one with the least cost for its weight; among equals the
//! one nearest the list's head.
//!
//! Written without branches where that is possible: the verifier follows both sides of each, in the middle of a loop.

use bytemuck::Zeroable;

use super::{Candidate, Scheduler};

/// How a scheduler measures what a server costs.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// What an active connection counts.
    active: u32,
    /// What an inactive one counts.
    inactive: u32,
    /// What the connection counts that is to come.
    next: u32,
    /// The same at a server that has active ones: nq takes one that has none before all others.
    next_of_busy: u32,
    /// The bits of the weight that the cost is divided by.
    weight: u32,
    /// What is divided by instead, where a server has any weight.
    instead: u32,
    /// ovf: 1, for a server with more active connections than its weight says gets none.
    overflows: u32,
}

impl Measure {
    /// Weights alone.
    const NOTHING: Self =
        Self { active: 0, inactive: 0, next: 0, next_of_busy: 0, weight: u32::MAX, instead: 0, overflows: 0 };

    /// That of a scheduler which looks at connections or at weights.
    #[inline(always)]
    pub const fn of(scheduler: Scheduler) -> Self {
        let by_weight = Self::NOTHING;
        match scheduler {
            Scheduler::Lc => Self { active: 256, inactive: 1, weight: 0, instead: 1, ..by_weight },
            Scheduler::Sed => Self { active: 1, next: 1, ..by_weight },
            Scheduler::Nq => Self { active: 1, next_of_busy: 1, ..by_weight },
            Scheduler::Fo => Self { next: 1, ..by_weight },
            Scheduler::Ovf => Self { next: 1, overflows: 1, ..by_weight },
            Scheduler::Wlc | Scheduler::Twos | Scheduler::Lblc | Scheduler::Lblcr => {
                Self { active: 256, inactive: 1, ..by_weight }
            }
            Scheduler::Rr | Scheduler::Wrr | Scheduler::Sh | Scheduler::Dh | Scheduler::Mh => by_weight,
        }
    }

    /// What a connection to a candidate costs; no server where it gets none.
    #[inline(always)]
    pub const fn cost(&self, candidate: &Candidate) -> Cost {
        let (active, inactive) = (candidate.load.active as u64, candidate.load.inactive as u64);
        let weight = candidate.weight as u32;
        let is_busy = (active + u32::MAX as u64) >> 32;
        let busy = active * self.active as u64
            + inactive * self.inactive as u64
            + self.next as u64
            + is_busy * self.next_of_busy as u64;
        // The sign of a difference.
        let is_full = (weight as u64).wrapping_sub(active) >> 63;
        let has_weight = (weight + 0xffff) >> 16;
        let weight = (weight & self.weight) | (has_weight & self.instead);
        Cost { busy, weight: weight * (1 - (is_full as u32 & self.overflows)), server: candidate.server }
    }
}

/// A server and what it costs.
#[derive(Clone, Copy, Debug, Zeroable)]
pub struct Cost {
    /// How busy it is, by its scheduler's measure.
    pub(super) busy: u64,
    /// 0 for no server.
    pub(super) weight: u32,
    pub(super) server: u16,
}

impl Cost {
    /// No server: any costs less.
    pub const NONE: Self = Self { busy: 1, weight: 0, server: 0 };

    /// Becomes no server. Only what decides is written.
    #[inline(always)]
    pub(super) const fn clear(&mut self) {
        (self.busy, self.weight) = (Self::NONE.busy, Self::NONE.weight);
    }

    /// What a connection to a candidate costs; `None` when it gets none.
    #[inline(always)]
    pub(super) const fn of(scheduler: Scheduler, candidate: &Candidate) -> Option<Self> {
        let cost = Measure::of(scheduler).cost(candidate);
        if cost.weight == 0 { None } else { Some(cost) }
    }

    /// A candidate whose connections do not matter.
    #[inline(always)]
    pub(super) const fn nothing(candidate: &Candidate) -> Self {
        Self { busy: 0, weight: candidate.weight as u32, server: candidate.server }
    }

    /// More for its weight than `other`, without a division.
    #[inline(always)]
    pub(super) const fn exceeds(&self, other: &Self) -> bool {
        self.busy * other.weight as u64 > other.busy * self.weight as u64
    }

    /// Becomes `other` if that costs less.
    #[inline(always)]
    pub const fn lower(&mut self, other: Self) {
        if self.exceeds(&other) {
            *self = other;
        }
    }

    /// Row of `servers`, if it is a server.
    #[inline(always)]
    pub const fn server(&self) -> Option<u16> {
        if self.weight == 0 { None } else { Some(self.server) }
    }
}
