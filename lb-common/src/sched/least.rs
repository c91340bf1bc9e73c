//! The schedulers that look at every server and take the one with the least cost for its weight; among equals the
//! one nearest the list's head.

use bytemuck::Zeroable;

use super::{Candidate, Scheduler};
use crate::layout::Load;

/// How busy a server is: an active connection counts as 256 inactive ones.
#[inline(always)]
const fn overhead(load: Load) -> u64 {
    load.active as u64 * 256 + load.inactive as u64
}

/// A server and what it costs.
#[derive(Clone, Copy, Debug, Zeroable)]
pub(super) struct Cost {
    /// How busy it is, by its scheduler's measure.
    pub(super) busy: u64,
    /// 0 for no server.
    pub(super) weight: u32,
    pub(super) server: u16,
}

impl Cost {
    /// Becomes no server.
    #[inline(always)]
    pub(super) const fn clear(&mut self) {
        self.weight = 0;
    }

    /// What a connection to a candidate costs, and the weight that the cost is divided by; `None` when it gets none.
    #[inline(always)]
    pub(super) const fn of(scheduler: Scheduler, candidate: &Candidate) -> Option<Self> {
        let Candidate { server, weight, load, .. } = *candidate;
        let weight = weight as u32;
        if weight == 0 || (matches!(scheduler, Scheduler::Ovf) && load.active > weight) {
            return None;
        }
        let (busy, weight) = match scheduler {
            Scheduler::Lc => (overhead(load), 1),
            Scheduler::Sed | Scheduler::Nq => (load.active as u64 + 1, weight),
            Scheduler::Fo | Scheduler::Ovf => (1, weight),
            _ => (overhead(load), weight),
        };
        Some(Self { busy, weight, server })
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
    pub(super) const fn lower(&mut self, other: Self) {
        if self.weight == 0 || self.exceeds(&other) {
            *self = other;
        }
    }

    /// The server, if it is one.
    #[inline(always)]
    pub(super) const fn server(&self) -> Option<u16> {
        if self.weight == 0 { None } else { Some(self.server) }
    }
}
