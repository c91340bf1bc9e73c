//! Owns in which order and how far apart the neighbours are told where addresses are. Refuses frames and sockets: one
//! message at a time is taken from it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::RouterId;
use crate::config::model::vrrp::Family;

#[cfg(test)]
mod tests;

/// Messages that wait to be sent.
///
/// On each interface gratuitous ARPs are one lane and neighbour advertisements another, with an own spacing. What
/// waits goes round by round: every address once before any address again, in the order the bursts came. A router has
/// at most one burst in a lane, so what waits is bounded by its addresses.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    lanes: BTreeMap<(String, Family), Lane>,
    bursts: u64,
}

/// Time between two messages in a lane; zero for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spacing {
    /// Between gratuitous ARPs.
    pub garp: Duration,
    /// Between neighbour advertisements.
    pub gna: Duration,
}

#[derive(Clone, Debug)]
struct Lane {
    /// Nothing leaves before.
    free: Instant,
    waiting: BTreeMap<Turn, Burst>,
}

/// A burst's place: rounds done, then age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    round: u32,
    number: u64,
}

#[derive(Clone, Debug)]
struct Burst {
    router: RouterId,
    addresses: Vec<IpAddr>,
    /// The next of the addresses in this round.
    at: usize,
    rounds: u32,
    spacing: Duration,
}

impl Queue {
    /// Queues `repeat` messages for each address; what is left of the router's last burst on that interface is
    /// dropped.
    pub fn push(
        &mut self,
        now: Instant,
        router: RouterId,
        interface: &str,
        addresses: &[IpAddr],
        repeat: u32,
        spacing: Spacing,
    ) {
        for (family, spacing) in [(Family::V4, spacing.garp), (Family::V6, spacing.gna)] {
            let addresses: Vec<_> = addresses.iter().copied().filter(|&a| Family::of(a) == family).collect();
            if addresses.is_empty() {
                continue;
            }
            let lane = self
                .lanes
                .entry((interface.to_owned(), family))
                .or_insert_with(|| Lane { free: now, waiting: BTreeMap::new() });
            lane.cancel(router);
            if repeat > 0 {
                let turn = Turn { round: 0, number: self.bursts };
                lane.waiting.insert(turn, Burst { router, addresses, at: 0, rounds: repeat, spacing });
                self.bursts += 1;
            }
        }
    }

    /// Drops what waits for a router, which no longer holds its addresses; whether there was anything.
    pub fn cancel(&mut self, router: RouterId) -> bool {
        let mut waited = false;
        for lane in self.lanes.values_mut() {
            waited |= lane.cancel(router);
        }
        waited
    }

    /// When [`Self::pop`] has something.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.lanes.values().filter(|lane| !lane.waiting.is_empty()).map(|lane| lane.free).min()
    }

    /// The next message that may leave at `now`, which it then has to.
    pub fn pop(&mut self, now: Instant) -> Option<(RouterId, IpAddr)> {
        let ready = self.lanes.values_mut().filter(|lane| lane.free <= now);
        let (_, lane) = ready
            .filter_map(|lane| Some((*lane.waiting.keys().next()?, lane)))
            .min_by_key(|(turn, _)| *turn)?;
        lane.pop(now)
    }
}

impl Lane {
    fn cancel(&mut self, router: RouterId) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|_, burst| burst.router != router);
        self.waiting.len() < before
    }

    fn pop(&mut self, now: Instant) -> Option<(RouterId, IpAddr)> {
        let mut entry = self.waiting.first_entry()?;
        let turn = *entry.key();
        let burst = entry.get_mut();
        let message = (burst.router, *burst.addresses.get(burst.at)?);
        burst.at += 1;
        self.free = now + burst.spacing;
        if burst.at == burst.addresses.len() {
            let mut burst = entry.remove();
            let round = turn.round + 1;
            if round < burst.rounds {
                burst.at = 0;
                self.waiting.insert(Turn { round, ..turn }, burst);
            }
        }
        Some(message)
    }
}
