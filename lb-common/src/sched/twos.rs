//! The power of two choices: two servers at random, by their weights, and of these the one with fewer connections.

use bytemuck::Zeroable;

use super::{Candidate, Scheduler, least::Cost};

/// A search that goes around twice: for the sum of the weights, then for the two servers.
#[derive(Clone, Copy, Debug, Zeroable)]
pub(super) struct Draw {
    /// Random numbers; from the second round on what is left of the two draws.
    draws: [u32; 2],
    total: u32,
    chosen: [Cost; 2],
}

impl Draw {
    #[inline(always)]
    pub(super) const fn begin(&mut self, random: [u32; 2]) {
        self.draws = random;
        self.total = 0;
        self.chosen[0].clear();
        self.chosen[1].clear();
    }

    /// First round.
    #[inline(always)]
    pub(super) const fn add(&mut self, weight: u16) {
        self.total += weight as u32;
    }

    /// Between the rounds: random numbers below the sum.
    #[inline(always)]
    pub(super) const fn draw(&mut self) {
        self.draws = [scaled(self.draws[0], self.total), scaled(self.draws[1], self.total)];
    }

    /// Second round; `true` when both are chosen.
    #[inline(always)]
    pub(super) const fn choose(&mut self, candidate: &Candidate) -> bool {
        if let Some(cost) = Cost::of(Scheduler::Twos, candidate) {
            choose(&mut self.chosen[0], &mut self.draws[0], cost);
            choose(&mut self.chosen[1], &mut self.draws[1], cost);
        }
        self.chosen[0].weight > 0 && self.chosen[1].weight > 0
    }

    /// The better one, the first of equals.
    #[inline(always)]
    pub(super) const fn better(&self) -> Cost {
        if self.chosen[0].exceeds(&self.chosen[1]) { self.chosen[1] } else { self.chosen[0] }
    }
}

#[inline(always)]
const fn choose(chosen: &mut Cost, draw: &mut u32, cost: Cost) {
    if chosen.weight == 0 {
        if *draw < cost.weight {
            *chosen = cost;
        } else {
            *draw -= cost.weight;
        }
    }
}

#[inline(always)]
const fn scaled(random: u32, below: u32) -> u32 {
    ((random as u64 * below as u64) >> 32) as u32
}
