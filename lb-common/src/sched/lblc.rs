//! Locality-based least connections: a destination stays with its server (lblc) or its servers (lblcr) as long as
//! these are not overloaded while another is idle; then wlc finds one.
//!
//! The set of a destination's servers is kept as a number for each server: which addition to the set was its own. So
//! it has no limit, and a pick changes it in one word.

use bytemuck::{Pod, Zeroable};

use super::{Candidate, Scheduler, least::Cost};

/// After how many ticks ([`crate::flow::TICK_SHIFT`]) a destination is forgotten, and a set of servers that did not
/// change loses the most loaded one: 24 hours.
const EXPIRY: u32 = (86_400_000_000_000_u64 >> crate::flow::TICK_SHIFT) as u32;

/// What is known of the set of a destination's servers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Affinity {
    /// Tick of the last pick.
    pub used: u32,
    /// Tick of the last change.
    pub changed: u32,
    /// Servers that were added at all times.
    pub added: u32,
    /// The set was emptied after this many additions.
    pub emptied: u32,
}

impl Affinity {
    /// Forgets the servers if nobody has asked for them for a day.
    #[inline(always)]
    pub(super) const fn expire(&mut self, now: u32) {
        if now.wrapping_sub(self.used) > EXPIRY {
            self.emptied = self.added;
        }
        self.used = now;
    }
}

/// A server.
#[derive(Clone, Copy, Debug, Zeroable)]
struct Own {
    cost: Cost,
    /// Which addition to the set it was; of servers of the same cost the last added one counts as the first.
    joined: u32,
    is_overloaded: bool,
}

impl Own {
    #[inline(always)]
    const fn precedes(&self, other: &Self) -> bool {
        !self.cost.exceeds(&other.cost) && !other.cost.exceeds(&self.cost) && self.joined > other.joined
    }
}

/// What a search through all servers has found, the destination's own among them.
#[derive(Clone, Copy, Debug, Zeroable)]
pub(super) struct Local {
    any: Own,
    least: Own,
    most: Own,
    /// Servers of the destination.
    count: u32,
    is_another_idle: bool,
    pub(super) joins: bool,
    pub(super) leaves: bool,
}

impl Local {
    /// Only what decides is written: the program has no cheap way to write all of it.
    #[inline(always)]
    pub(super) const fn begin(&mut self) {
        self.any.cost.clear();
        self.least.cost.clear();
        self.most.cost.clear();
        self.count = 0;
        self.is_another_idle = false;
        self.joins = false;
        self.leaves = false;
    }

    #[inline(always)]
    pub(super) const fn offer(&mut self, candidate: &Candidate, affinity: &Affinity) {
        let is_own = candidate.joined > affinity.emptied;
        self.count += is_own as u32;
        let Some(cost) = Cost::of(Scheduler::Lblc, candidate) else { return };
        let is_overloaded = candidate.load.active > cost.weight;
        let own = Own { cost, joined: candidate.joined, is_overloaded };
        if self.any.cost.exceeds(&cost) {
            self.any = own;
        }
        self.is_another_idle |= (candidate.load.active as u64) * 2 < cost.weight as u64;
        if is_own {
            if self.least.cost.exceeds(&cost) || own.precedes(&self.least) {
                self.least = own;
            }
            if self.most.cost.weight == 0 || cost.exceeds(&self.most.cost) || own.precedes(&self.most) {
                self.most = own;
            }
        }
    }

    /// The server; `affinity` becomes what is known of the set from now on.
    #[inline(always)]
    pub(super) const fn end(&mut self, scheduler: Scheduler, affinity: &mut Affinity, now: u32) -> Cost {
        if self.count > 1 && self.most.cost.weight > 0 && now.wrapping_sub(affinity.changed) > EXPIRY {
            self.leaves = true;
            affinity.changed = now;
        }
        if self.least.cost.weight > 0 && !(self.least.is_overloaded && self.is_another_idle) {
            return self.least.cost;
        }
        let is_own = self.any.joined > affinity.emptied && matches!(scheduler, Scheduler::Lblcr);
        if self.any.cost.weight > 0 && !is_own {
            self.joins = true;
            if matches!(scheduler, Scheduler::Lblc) {
                affinity.emptied = affinity.added;
            }
            affinity.added += 1;
            affinity.changed = now;
        }
        self.any.cost
    }

    /// The server that leaves the set.
    #[inline(always)]
    pub(super) const fn most(&self) -> u16 {
        self.most.cost.server
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        layout::Load,
        sched::{Memory, Request, Search},
    };

    /// Three servers of weight 1, each with its active connections and its number in the set.
    struct Site {
        scheduler: Scheduler,
        memory: Memory,
        active: [u32; 3],
        joined: [u32; 3],
    }

    impl Site {
        fn new(scheduler: Scheduler) -> Self {
            Self { scheduler, memory: Memory::default(), active: [0; 3], joined: [0; 3] }
        }

        fn pick(&mut self, now: u32) -> Option<u16> {
            let candidate = |place: u16| Candidate {
                server: place,
                weight: 1,
                overloaded: false,
                load: Load { active: self.active[usize::from(place)], inactive: 0 },
                joined: self.joined[usize::from(place)],
            };
            let request = Request { now, ..Request::default() };
            let (search, picked) =
                Search::through(self.scheduler.into(), self.memory, 3, &request, candidate);
            self.memory = search.memory;
            if let Some(gone) = search.leaves() {
                self.joined[usize::from(gone)] = 0;
            }
            if let (Some(joined), Some(server)) = (search.joins(), picked) {
                self.joined[usize::from(server)] = joined;
            }
            picked
        }

        fn set(&self) -> [bool; 3] {
            self.joined.map(|joined| joined > self.memory.affinity.emptied)
        }
    }

    #[test]
    fn a_destination_moves_only_when_its_server_is_overloaded_and_another_idle() {
        let mut site = Site::new(Scheduler::Lblc);
        assert_eq!(site.pick(1), Some(0));
        site.active = [1, 0, 0];
        assert_eq!(site.pick(1), Some(0), "not overloaded");
        site.active = [9, 1, 1];
        assert_eq!(site.pick(1), Some(0), "nobody is idle");
        site.active = [9, 1, 0];
        assert_eq!(site.pick(1), Some(2));
        site.active = [0, 1, 1];
        assert_eq!(site.pick(1), Some(2), "it stays with the new one");
        assert_eq!(site.set(), [false, false, true]);
    }

    #[test]
    fn a_destination_nobody_asked_for_is_forgotten_after_a_day() {
        let mut site = Site::new(Scheduler::Lblc);
        assert_eq!(site.pick(1), Some(0));
        site.active = [1, 0, 0];
        assert_eq!(site.pick(EXPIRY), Some(0));
        assert_eq!(site.pick(2 * EXPIRY), Some(0), "every pick lets it live on");
        assert_eq!(site.pick(3 * EXPIRY + 1), Some(1));
    }

    #[test]
    fn a_set_grows_under_load_and_loses_the_busiest_after_a_day_without_change() {
        let mut site = Site::new(Scheduler::Lblcr);
        assert_eq!(site.pick(1), Some(0));
        site.active = [2, 0, 1];
        assert_eq!(site.pick(2), Some(1));
        assert_eq!(site.set(), [true, true, false]);
        site.active = [1, 1, 0];
        assert_eq!(site.pick(3), Some(1), "of equals the last added");
        site.active = [3, 1, 1];
        assert_eq!(site.pick(2 + EXPIRY), Some(1));
        assert_eq!(site.set(), [true, true, false]);
        assert_eq!(site.pick(3 + EXPIRY), Some(1));
        assert_eq!(site.set(), [false, true, false]);
        assert_eq!(site.pick(9 + 2 * EXPIRY), Some(1), "the last one stays");
        assert_eq!(site.set(), [false, true, false]);
    }
}
