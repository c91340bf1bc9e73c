//! The real servers of the services under test, and who of them must have been sent how much.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use lb_common::layout::{Address, MAX_POOL};
use lb_common::sched::{self, Listed, NOBODY, Scheduler};
use lb_tests::config::{Protocol, VirtualServer};

/// Port of the virtual service of the scheduler with number 0, which there is none of.
const FIRST_PORT: u16 = 80;

/// The same real servers under every scheduler. They are only neighbour entries: the number of a server is in its
/// addresses.
#[derive(Clone, Copy)]
pub(super) struct Pool {
    servers: usize,
    has_idle: bool,
}

/// How new connections are to be shared.
enum Due {
    /// In proportion to these, with so much of a share more or less.
    Shares(Vec<f64>, f64),
    /// All to one, of this weight if it is said.
    One(Option<u16>),
    /// Anyhow.
    Any,
}

impl Pool {
    /// So many servers; their weights are 1, 2, 3 by turns.
    pub(super) const fn of(servers: usize) -> Self {
        Self { servers, has_idle: false }
    }

    /// The same and one of weight 0, as far as a pool has room.
    pub(super) fn with_idle(servers: usize) -> Self {
        Self { servers: servers.min(MAX_POOL - 1), has_idle: true }
    }

    /// Servers, with the one of weight 0.
    pub(super) fn len(&self) -> usize {
        self.servers + usize::from(self.has_idle)
    }

    /// The weights by number. `sh` and `dh` refuse the connections that hash to a server of weight 0: they have none.
    fn weights(&self, scheduler: Scheduler) -> Vec<u16> {
        let is_idle_refusing = matches!(scheduler, Scheduler::Sh | Scheduler::Dh);
        let idle = (self.has_idle && !is_idle_refusing).then_some(0);
        [1, 2, 3].into_iter().cycle().take(self.servers).chain(idle).collect()
    }

    /// The servers that a scheduler may choose, each with its number and weight.
    pub(super) fn busy(&self, scheduler: Scheduler) -> Vec<(u16, u16)> {
        (0..).zip(self.weights(scheduler)).filter(|&(_, weight)| weight > 0).collect()
    }

    /// A service with a scheduler.
    pub(super) fn service(
        &self,
        vip: Ipv4Addr,
        port: u16,
        protocol: Protocol,
        scheduler: Scheduler,
    ) -> VirtualServer {
        let service = VirtualServer::new(vip, port, protocol, scheduler.name());
        let servers = (0..).zip(self.weights(scheduler));
        servers.fold(service, |service, (number, weight)| service.unchecked(address(number), weight.into()))
    }

    /// Checks what each server was sent of packets of so many flows, each of which went to one server.
    pub(super) fn check_flows(&self, scheduler: Scheduler, flows: u32, received: &[u64]) -> Result<()> {
        let total: u64 = received.iter().sum();
        let of_flows = |&received: &u64| (received * u64::from(flows) + total / 2) / total.max(1);
        self.check(scheduler, &received.iter().map(of_flows).collect::<Vec<_>>())
    }

    /// Checks what each server was sent of new connections from as many addresses.
    pub(super) fn check(&self, scheduler: Scheduler, received: &[u64]) -> Result<()> {
        let weights = self.weights(scheduler);
        let total: u64 = received.iter().sum();
        for (number, (&received, &weight)) in received.iter().zip(&weights).enumerate() {
            ensure!(weight > 0 || received == 0, "server {number} of weight 0 was sent {received}");
        }
        match self.due(scheduler) {
            Due::Any => Ok(()),
            Due::One(weight) => {
                let mut served = received.iter().zip(&weights).filter(|&(&received, _)| received == total);
                ensure!(
                    served.any(|(_, &has)| weight.is_none_or(|weight| has == weight)),
                    "not all of {total} went to one server that may be chosen"
                );
                Ok(())
            }
            Due::Shares(shares, tolerance) => {
                let sum: f64 = shares.iter().sum();
                for (number, (&received, share)) in received.iter().zip(shares).enumerate() {
                    let due = total as f64 * share / sum;
                    // Beside the tolerance what chance does, where there is chance.
                    let more_or_less = due * tolerance + 6.0 * due.sqrt() + 4.0;
                    ensure!(
                        (received as f64 - due).abs() <= more_or_less,
                        "server {number} was sent {received} of {total}, and {due:.0} were its share"
                    );
                }
                Ok(())
            }
        }
    }

    fn due(&self, scheduler: Scheduler) -> Due {
        let weights = self.weights(scheduler);
        let by_weight = || weights.iter().map(|&weight| f64::from(weight)).collect();
        match scheduler {
            Scheduler::Rr | Scheduler::Lc => {
                let one = |&weight: &u16| if weight > 0 { 1.0 } else { 0.0 };
                Due::Shares(weights.iter().map(one).collect(), 0.1)
            }
            Scheduler::Wrr | Scheduler::Wlc | Scheduler::Sed | Scheduler::Nq => Due::Shares(by_weight(), 0.1),
            Scheduler::Twos => Due::Shares(by_weight(), 0.5),
            Scheduler::Sh | Scheduler::Mh => Due::Shares(buckets(scheduler, &weights), 0.1),
            // There is one virtual address.
            Scheduler::Dh => Due::One(None),
            Scheduler::Fo | Scheduler::Ovf => Due::One(weights.iter().copied().max()),
            Scheduler::Lblc | Scheduler::Lblcr => Due::Any,
        }
    }
}

/// How many buckets of the scheduler's ring each server has.
fn buckets(scheduler: Scheduler, weights: &[u16]) -> Vec<f64> {
    let listed = |(number, &weight): (u16, &u16)| Listed {
        weight,
        last_weight: weight,
        address: Address::v4(address(number).octets()).fold(),
        port: port(scheduler),
    };
    // What was added last stands first.
    let mut list: Vec<Listed> = (0..).zip(weights).map(listed).collect();
    list.reverse();
    let mut ring = vec![NOBODY; scheduler.ring_len()];
    sched::fill(scheduler, &list, &mut ring);
    let mut buckets = vec![0.0; weights.len()];
    for place in ring.into_iter().filter(|&place| place != NOBODY) {
        buckets[weights.len() - 1 - usize::from(place)] += 1.0;
    }
    buckets
}

/// Port of a scheduler's virtual service.
pub(super) const fn port(scheduler: Scheduler) -> u16 {
    FIRST_PORT + scheduler as u16
}

/// A server's address, from 10.99.1.0 on.
pub(super) const fn address(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 99, 1 + high, low)
}

/// Its MAC address.
pub(super) const fn mac(number: u16) -> [u8; 6] {
    let [high, low] = number.to_be_bytes();
    [2, 0, 0, 1, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_share_is_found() {
        let pool = Pool::with_idle(3);
        let check = |scheduler, received: [u64; 4]| pool.check(scheduler, &received).is_ok();
        assert!(check(Scheduler::Rr, [1000, 1001, 999, 0]));
        assert!(!check(Scheduler::Rr, [1000, 1001, 998, 1]), "weight 0");
        assert!(!check(Scheduler::Rr, [500, 1000, 1500, 0]));
        assert!(check(Scheduler::Wrr, [500, 1000, 1500, 0]));
        assert!(!check(Scheduler::Wlc, [1000, 1000, 1000, 0]));
        assert!(check(Scheduler::Fo, [0, 0, 3000, 0]));
        assert!(!check(Scheduler::Fo, [0, 3000, 0, 0]), "not the greatest weight");
        assert!(!check(Scheduler::Ovf, [0, 1, 2999, 0]));
        assert!(check(Scheduler::Dh, [3000, 0, 0, 0]));
        assert!(!check(Scheduler::Dh, [2999, 1, 0, 0]));
    }

    #[test]
    fn a_few_flows_are_judged_by_their_number() {
        let check =
            |flows, received: [u64; 3]| Pool::of(3).check_flows(Scheduler::Rr, flows, &received).is_ok();
        assert!(check(1, [0, 3_000_000, 0]));
        assert!(check(3000, [999_000, 1_001_000, 1_000_000]));
        assert!(!check(3000, [3_000_000, 0, 0]));
    }

    #[test]
    fn the_largest_pool_has_its_idle_server_among_the_others() {
        assert_eq!(Pool::with_idle(MAX_POOL).len(), MAX_POOL);
        assert_eq!(Pool::with_idle(3).weights(Scheduler::Mh), [1, 2, 3, 0]);
        assert_eq!(Pool::with_idle(3).weights(Scheduler::Sh), [1, 2, 3]);
    }

    #[test]
    fn rings_give_their_shares() {
        let pool = Pool::with_idle(3);
        for (scheduler, ring) in [(Scheduler::Sh, 256.0), (Scheduler::Mh, 4093.0)] {
            let shares = buckets(scheduler, &pool.weights(scheduler));
            assert!((shares.iter().sum::<f64>() - ring).abs() < 0.5, "{shares:?}");
            for (share, due) in shares.iter().zip([1.0, 2.0, 3.0, 0.0]) {
                assert!((share / ring - due / 6.0).abs() < 0.02, "{scheduler:?}: {shares:?}");
            }
        }
    }
}
