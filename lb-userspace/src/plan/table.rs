//! The table `services` as the program looks into it.

use std::collections::BTreeMap;

use lb_common::{
    hash::{Keys, multilinear},
    layout::{Address, SERVICE_SLOTS, Service, ServiceBucket, ServiceInfo, service_words},
};

use super::{Allocation, ServiceKey, Wanted};

/// What stands in [`ServiceInfo::id`] where there is no service.
const NO_SERVICE: u16 = u16::MAX;

/// The table `services`: every service in the bucket its key hashes to, and an entry for every VIP, by which fragments and
/// ICMP are judged before it is known what service they belong to.
#[derive(Clone, Debug)]
pub struct ServiceTable {
    /// The keys of the hash, chosen so that no bucket overflows.
    pub keys: Keys,
    /// The rows; their number is a power of two.
    pub buckets: Vec<ServiceBucket>,
}

impl ServiceTable {
    /// Places the services, trying hash keys from `random` and, where those do not serve, more buckets. `owned` are the
    /// addresses besides, to which a firewall mark's packets may go, with their rows of `leases`.
    pub fn build(
        wanted: &[Wanted],
        owned: &BTreeMap<Address, u16>,
        allocation: &Allocation,
        mut random: impl FnMut() -> Keys,
    ) -> Self {
        let entries = entries(wanted, owned, allocation);
        let mut buckets = entries.len().div_ceil(SERVICE_SLOTS).next_power_of_two();
        loop {
            for _attempt in 0..16 {
                let table = Self { keys: random(), buckets: vec![ServiceBucket::default(); buckets] };
                if let Some(table) = table.filled(&entries) {
                    return table;
                }
            }
            buckets *= 2;
        }
    }

    fn filled(mut self, entries: &[Service]) -> Option<Self> {
        for entry in entries {
            let ServiceInfo { port, protocol, .. } = entry.info;
            let bucket = self.bucket_of(&ServiceKey { vip: entry.vip, protocol, port });
            let slot = self.buckets[bucket].slots.iter_mut().find(|slot| slot.info.protocol == 0)?;
            *slot = *entry;
        }
        Some(self)
    }

    fn bucket_of(&self, key: &ServiceKey) -> usize {
        let words = service_words(&key.vip, key.port, key.protocol);
        let hash = multilinear(|at| self.keys[at], words.len(), |at| words[at]);
        hash as usize & (self.buckets.len() - 1)
    }

    /// Bucket and slot of a service.
    pub fn place_of(&self, key: &ServiceKey) -> Option<(usize, usize)> {
        let bucket = self.bucket_of(key);
        let slots = &self.buckets[bucket].slots;
        let is_it = |slot: &Service| {
            slot.vip == key.vip && slot.info.port == key.port && slot.info.protocol == key.protocol
        };
        Some((bucket, slots.iter().position(is_it)?))
    }
}

/// What the table holds: the services, and each VIP once, with the lease of its services or of who owns it.
fn entries(wanted: &[Wanted], owned: &BTreeMap<Address, u16>, allocation: &Allocation) -> Vec<Service> {
    let entry = |ServiceKey { vip, protocol, port }, scheduler, id, lease| Service {
        vip,
        info: ServiceInfo { port, protocol, scheduler, id, lease },
        ..Service::default()
    };
    let exact = wanted.iter().filter(|service| service.key.mark().is_none());
    let exact = exact.map(|service| (service.key.vip, service.lease));
    let vips: BTreeMap<Address, u16> =
        owned.iter().map(|(address, lease)| (*address, *lease)).chain(exact).collect();
    let services = wanted.iter().map(|service| {
        let id = allocation.services[&service.key];
        entry(service.key, service.method.number(), id, service.lease)
    });
    let presences =
        vips.into_iter().map(|(vip, lease)| entry(ServiceKey::of_presence(vip), 0, NO_SERVICE, lease));
    services.chain(presences).collect()
}

#[cfg(test)]
mod tests {
    use lb_common::layout::{MAX_SERVICES, PRESENCE};

    use super::*;
    use crate::plan::testing::{key, service};

    fn random() -> impl FnMut() -> Keys {
        let mut seed = 1u64;
        move || {
            core::array::from_fn(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                seed ^ (seed >> 29)
            })
        }
    }

    #[test]
    fn every_service_has_its_slot_up_to_the_limit() {
        for count in [0, 1, 4, 5, 100, MAX_SERVICES] {
            let wanted: Vec<_> = (0..count).map(|port| service(port as u16, &[1])).collect();
            let allocation = Allocation::default().assign(&wanted).expect("within the limits");
            let table = ServiceTable::build(&wanted, &BTreeMap::new(), &allocation, random());
            assert!(
                table.buckets.len() <= (count * 2).next_power_of_two(),
                "{count}: {}",
                table.buckets.len()
            );
            for service in &wanted {
                let (bucket, slot) = table.place_of(&service.key).expect("placed");
                let found = table.buckets[bucket].slots[slot];
                assert_eq!(found.info.id, allocation.services[&service.key]);
                assert_eq!(found.info.lease, service.lease);
            }
            assert_eq!(table.place_of(&key(65_000)), None);
        }
    }

    #[test]
    fn every_vip_is_there_once_and_a_mark_is_none() {
        let other = Address { octets: [0xfd; 16] };
        let at = |vip, protocol, port, lease| Wanted {
            key: ServiceKey { vip, protocol, port },
            lease,
            ..service(port, &[1])
        };
        let mark = Wanted { key: ServiceKey::of_mark(false, 3), ..service(0, &[1]) };
        let vip = key(0).vip;
        let wanted = [at(vip, 6, 80, 1), at(vip, 17, 0, 1), at(other, 6, 80, 2), mark.clone()];
        let allocation = Allocation::default().assign(&wanted).expect("small");
        let table = ServiceTable::build(&wanted, &BTreeMap::new(), &allocation, random());
        let slots = || table.buckets.iter().flat_map(|bucket| bucket.slots);
        let present = |slot: &Service| slot.info.protocol == PRESENCE;
        let mut presences: Vec<_> = slots().filter(present).map(|slot| (slot.vip, slot.info)).collect();
        presences.sort_by_key(|(vip, _)| *vip);
        let info = |lease| ServiceInfo { port: 0, protocol: PRESENCE, scheduler: 0, id: NO_SERVICE, lease };
        assert_eq!(presences, [(vip, info(1)), (other, info(2))]);
        assert_eq!(slots().filter(|slot| slot.info.protocol != 0).count(), 6);
        for service in &wanted {
            let (bucket, slot) = table.place_of(&service.key).expect("placed");
            assert_eq!(table.buckets[bucket].slots[slot].info.id, allocation.services[&service.key]);
        }
        assert!(table.place_of(&ServiceKey::of_presence(other)).is_some());
        assert_eq!(table.place_of(&ServiceKey::of_presence(mark.key.vip)), None);
    }
}
