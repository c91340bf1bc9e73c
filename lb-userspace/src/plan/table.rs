//! The table `services` as the program looks into it.

use std::collections::{BTreeMap, BTreeSet};

use lb_common::{
    hash::Keys,
    layout::{Address, PRESENCE, SERVICE_SLOTS, Service, ServiceBucket, ServiceInfo, door, service_hash},
    opening::service_byte,
};

use super::{Allocation, Difference, ServiceKey, Wanted};

/// What stands in [`ServiceInfo::id`] where there is no service.
const NO_SERVICE: u16 = u16::MAX;

/// Entries for which there is room at least besides those there are: 64 services, each on an address of its own.
const SPARE_ENTRIES: usize = 128;

/// Bucket and slot.
pub type Place = (usize, usize);

/// What a table must get and lose to be that of other services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// The entries that come, each with a slot that is free now.
    pub come: Vec<(Place, Service)>,
    /// Where those stand that go.
    pub go: Vec<Place>,
}

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
        let entries = entries(wanted.iter(), owned, allocation);
        let mut buckets = roomy(entries.len());
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
            let bucket = self.bucket_of(&key(entry));
            let slot = self.buckets[bucket].slots.iter_mut().find(|slot| is_free(slot))?;
            *slot = *entry;
        }
        Some(self)
    }

    /// What must come and go to make it the table of the services after and of `owned`, if it is that of those before, while
    /// the program reads it: nothing moves, and nobody gets the slot of an entry that goes. `None` if a bucket is full.
    pub fn moves(
        &self,
        difference: &Difference,
        owned: &BTreeMap<Address, u16>,
        allocation: &Allocation,
    ) -> Option<Moves> {
        let came: Vec<&Wanted> = difference.came().collect();
        let entries = entries(came.iter().copied(), owned, allocation);
        let mut come: Vec<(Place, Service)> = Vec::new();
        let mut promised = BTreeSet::new();
        for entry in entries.iter().filter(|entry| self.place_of(&key(entry)).is_none()) {
            let bucket = self.bucket_of(&key(entry));
            let mut free = (0..SERVICE_SLOTS).filter(|&slot| is_free(&self.buckets[bucket].slots[slot]));
            let place = (bucket, free.find(|&slot| !promised.contains(&(bucket, slot)))?);
            promised.insert(place);
            come.push((place, *entry));
        }
        let gone: BTreeSet<ServiceKey> = difference.gone.iter().map(|service| service.key).collect();
        let mut vips: BTreeSet<Address> = gone.iter().filter_map(of_vip).collect();
        if !vips.is_empty() {
            vips.retain(|vip| !owned.contains_key(vip));
            for vip in difference.after.iter().filter_map(|service| of_vip(&service.key)) {
                vips.remove(&vip);
            }
        }
        let go = gone.into_iter().chain(vips.into_iter().map(ServiceKey::of_presence));
        Some(Moves { come, go: go.filter_map(|key| self.place_of(&key)).collect() })
    }

    /// What stands in a slot.
    pub fn entry(&self, (bucket, slot): Place) -> &Service {
        &self.buckets[bucket].slots[slot]
    }

    /// The same, to be changed.
    pub fn entry_mut(&mut self, (bucket, slot): Place) -> &mut Service {
        &mut self.buckets[bucket].slots[slot]
    }

    fn bucket_of(&self, key: &ServiceKey) -> usize {
        let hash = service_hash(&key.vip, door(key.port, key.protocol), |at| self.keys[at]);
        hash as usize & (self.buckets.len() - 1)
    }

    /// Bucket and slot of a service.
    pub fn place_of(&self, wanted: &ServiceKey) -> Option<Place> {
        let bucket = self.bucket_of(wanted);
        Some((bucket, self.buckets[bucket].slots.iter().position(|slot| key(slot) == *wanted)?))
    }
}

impl Moves {
    /// Where the entries of virtual IP addresses stand that go, which are in the table for services that go.
    pub fn presences<'a>(&'a self, table: &'a ServiceTable) -> impl Iterator<Item = Place> + 'a {
        self.go.iter().copied().filter(|place| table.entry(*place).info.protocol == PRESENCE)
    }
}

const fn key(entry: &Service) -> ServiceKey {
    let ServiceInfo { port, protocol, .. } = entry.info;
    ServiceKey { vip: entry.vip, protocol, port }
}

const fn is_free(slot: &Service) -> bool {
    slot.info.protocol == 0
}

/// Buckets for so many entries and a quarter more: two for each, so that of those that come one in 500 finds its bucket full.
fn roomy(entries: usize) -> usize {
    (2 * (entries + (entries / 4).max(SPARE_ENTRIES))).next_power_of_two()
}

/// The address that a service is for; that of a firewall mark is for none.
fn of_vip(key: &ServiceKey) -> Option<Address> {
    key.mark().is_none().then_some(key.vip)
}

/// What the table holds: the services, and each VIP once, with the lease of its services or of who owns it.
fn entries<'a>(
    wanted: impl Iterator<Item = &'a Wanted> + Clone,
    owned: &BTreeMap<Address, u16>,
    allocation: &Allocation,
) -> Vec<Service> {
    let entry = |ServiceKey { vip, protocol, port }, scheduler, id, lease| Service {
        vip,
        info: ServiceInfo { port, protocol, scheduler, id, lease },
        ..Service::default()
    };
    let exact = wanted.clone().filter_map(|service| Some((of_vip(&service.key)?, service.lease)));
    let vips: BTreeMap<Address, u16> =
        owned.iter().map(|(address, lease)| (*address, *lease)).chain(exact).collect();
    let services = wanted.map(|service| {
        let id = allocation.service_row(&service.key);
        entry(
            service.key,
            service_byte(service.method, &service.policy, service.key.protocol),
            id,
            service.lease,
        )
    });
    let presences =
        vips.into_iter().map(|(vip, lease)| entry(ServiceKey::of_presence(vip), 0, NO_SERVICE, lease));
    services.chain(presences).collect()
}

#[cfg(test)]
mod tests {
    use lb_common::layout::{MAX_SERVICES, PRESENCE};
    use proptest::prelude::*;

    use super::*;
    use crate::plan::testing::{difference, key, service};

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
            assert!(table.buckets.len() <= (5 * (count + 1)).max(512), "{count}: {}", table.buckets.len());
            for service in &wanted {
                let (bucket, slot) = table.place_of(&service.key).expect("placed");
                let found = table.buckets[bucket].slots[slot];
                assert_eq!(found.info.id, allocation.service_row(&service.key));
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
            assert_eq!(table.buckets[bucket].slots[slot].info.id, allocation.service_row(&service.key));
        }
        assert!(table.place_of(&ServiceKey::of_presence(other)).is_some());
        assert_eq!(table.place_of(&ServiceKey::of_presence(mark.key.vip)), None);
    }

    /// The table after a change in place, as [`ServiceTable::moves`] says it.
    fn changed(mut table: ServiceTable, moves: &Moves) -> ServiceTable {
        for place in &moves.go {
            *table.entry_mut(*place) = Service::default();
        }
        for (place, entry) in &moves.come {
            *table.entry_mut(*place) = *entry;
        }
        table
    }

    #[test]
    fn who_comes_gets_a_free_slot_and_nobody_moves() {
        let (owned, other) = (BTreeMap::new(), Address { octets: [0xfd; 16] });
        let before = [service(80, &[1]), service(81, &[1])];
        let allocation = Allocation::default().assign(&before).expect("small");
        let table = ServiceTable::build(&before, &owned, &allocation, random());
        let none = difference(&before, &before);
        assert_eq!(table.moves(&none, &owned, &allocation), Some(Moves::default()));

        let elsewhere = Wanted { key: ServiceKey { vip: other, ..key(80) }, ..service(80, &[1]) };
        let after = [service(81, &[1]), elsewhere];
        let change = difference(&before, &after);
        let allocation = allocation.assign_beside(&change).expect("small");
        let moves = table.moves(&change, &owned, &allocation).expect("room");
        let came: Vec<_> = moves.come.iter().map(|(_, entry)| super::key(entry)).collect();
        assert_eq!(came, [after[1].key, ServiceKey::of_presence(other)]);
        assert_eq!(moves.go, [table.place_of(&key(80)).expect("there")]);
        let stays = table.place_of(&key(81));
        let table = changed(table, &moves);
        assert_eq!(table.place_of(&key(81)), stays);

        let back = difference(&after, &before[1..]);
        let moves = table.moves(&back, &owned, &allocation).expect("room");
        assert_eq!(moves.presences(&table).count(), 1, "the address goes with its only service");
        assert_eq!(moves.go.len(), 2);
        let marked = BTreeMap::from([(other, 1)]);
        let moves = table.moves(&back, &marked, &allocation).expect("room");
        assert_eq!(moves.go.len(), 1, "a firewall mark's packets go to the address");
    }

    #[test]
    fn a_full_bucket_takes_nobody_though_one_goes() {
        let full = |bucket: usize, table: &ServiceTable| {
            let ports = (1..u16::MAX).filter(move |&port| table.bucket_of(&key(port)) == bucket);
            ports.take(SERVICE_SLOTS + 1).map(|port| service(port, &[1])).collect::<Vec<_>>()
        };
        let (owned, none) = (BTreeMap::new(), Allocation::default());
        let table = ServiceTable::build(&[], &owned, &none, random());
        let presence = table.bucket_of(&ServiceKey::of_presence(key(0).vip));
        let five = full((presence + 1) % table.buckets.len(), &table);
        let from = |before: &[Wanted], after: &[Wanted], table: &ServiceTable| {
            let allocation = Allocation::default().assign(after).expect("small");
            table.moves(&difference(before, after), &owned, &allocation)
        };
        let four = &five[..SERVICE_SLOTS];
        let table = changed(table.clone(), &from(&[], four, &table).expect("room for four"));
        assert_eq!(from(four, &five, &table), None);
        assert_eq!(
            from(four, &five[1..], &table),
            None,
            "what is under way may still read the slot of who goes"
        );
        let three = &four[1..];
        let table = changed(table.clone(), &from(four, three, &table).expect("one goes"));
        assert!(from(three, &five[1..], &table).is_some());
    }

    #[test]
    fn there_is_room_for_more_at_every_size() {
        for count in [0, 10, 1000, MAX_SERVICES * 3 / 4] {
            let wanted: Vec<_> = (0..count).map(|port| service(port as u16, &[1])).collect();
            let more: Vec<_> = (0..count + 64).map(|port| service(port as u16, &[1])).collect();
            let allocation = Allocation::default().assign(&more).expect("small");
            let fits = |random: &mut dyn FnMut() -> Keys| {
                let table = ServiceTable::build(&wanted, &BTreeMap::new(), &allocation, random);
                table.moves(&difference(&wanted, &more), &BTreeMap::new(), &allocation).is_some()
            };
            let mut random = random();
            let fit = (0..20).filter(|_| fits(&mut random)).count();
            assert!(fit >= 15, "{count}: {fit} of 20");
        }
    }

    /// Services of two addresses and of a firewall mark, and whether they have one real server or two.
    fn services() -> impl Strategy<Value = Vec<Wanted>> {
        let wanted = |(port, address, both): (u16, u8, bool)| {
            let key = match address {
                3 => ServiceKey::of_mark(false, port.into()),
                last => ServiceKey { vip: Address::v4([10, 0, 0, last]), ..key(port) },
            };
            Wanted { key, lease: 0, ..service(port, if both { &[1, 2] } else { &[1] }) }
        };
        let one = (80..84u16, 1..4u8, any::<bool>()).prop_map(wanted);
        prop::collection::vec(one, 0..8).prop_map(|mut services| {
            services.sort_by_key(|service| service.key);
            services.dedup_by_key(|service| service.key);
            services
        })
    }

    proptest! {
        /// However a table came to be that of some services, it has the entries of one that is built for them.
        #[test]
        fn moves_lead_where_a_new_table_begins(configurations in prop::collection::vec(services(), 1..6), is_owned: bool) {
            let owned: BTreeMap<Address, u16> = is_owned.then(|| (Address::v4([10, 0, 0, 2]), 0)).into_iter().collect();
            let (mut before, mut allocation) = (Vec::new(), Allocation::default());
            let mut table = ServiceTable::build(&[], &owned, &allocation, random());
            for after in configurations {
                let change = difference(&before, &after);
                allocation = allocation.assign_beside(&change).expect("small");
                // A bucket that is full is not what this is about.
                let Some(moves) = table.moves(&change, &owned, &allocation) else { break };
                table = changed(table, &moves);
                let of = |table: &ServiceTable| {
                    let slots = table.buckets.iter().flat_map(|bucket| bucket.slots);
                    let slots = slots.filter(|slot| !is_free(slot)).map(|slot| (super::key(&slot), slot.info));
                    slots.collect::<BTreeMap<_, _>>()
                };
                let anew = ServiceTable::build(&after, &owned, &allocation, random());
                prop_assert_eq!(of(&table), of(&anew));
                before = after;
            }
        }
    }
}
