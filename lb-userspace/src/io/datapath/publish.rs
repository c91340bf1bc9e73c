//! Executes the director's actions on the maps, so that the program never sees half a change.

use std::{
    collections::{BTreeMap, HashMap},
    mem::offset_of,
};

use lb_common::{
    flow::TemplateForm,
    layout::{
        Address, CursorRow, Limit, Load, Member, Policy, Pool, Server, ServerInfo, ServerState, Service,
        ServiceBucket, ServiceInfo,
    },
    sched::{self, Cursor, Listed, Method, NOBODY, Scheduler},
};

use super::{needs::list_room, table::Table};
use crate::{
    control::Action,
    plan::{Allocation, ServiceKey, ServiceTable, Wanted, mapped},
};

/// The tables that the program reads and only the daemon writes, apart from cursors and loads.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) services: Table<ServiceBucket>,
    pub(super) servers: Table<Server>,
    pub(super) members: Table<Member>,
    pub(super) cursors: Table<CursorRow>,
    pub(super) loads: Table<Load>,
    pub(super) policies: Table<Policy>,
    pub(super) limits: Table<Limit>,
}

/// Publishes into [`Tables`].
#[derive(Debug)]
pub(super) struct Publisher {
    tables: Tables,
    pools: BTreeMap<ServiceKey, Published>,
    /// Bucket and slot of the entries that stand for a VIP itself.
    presences: BTreeMap<Address, (usize, usize)>,
}

/// A service's pool as it was published last. Two regions of `members` take turns, so that the one the program
/// reads is never written.
#[derive(Debug)]
struct Published {
    slot: (usize, usize),
    id: u16,
    scheduler: Scheduler,
    /// Rows that are published behind the list: the longest ring of the schedulers it had, for a pick that began under
    /// another may still be under way.
    ring_len: usize,
    port: u16,
    policy: Policy,
    base: u32,
    capacity: usize,
    epoch: u16,
    list: Vec<(u16, u16)>,
}

/// Rows that `members` must have.
pub(super) fn member_rows(wanted: &[Wanted]) -> usize {
    (2 * wanted.iter().map(capacity).sum::<usize>()).max(1)
}

/// Rows of one region: the list with some room, and behind it the ring.
fn capacity(service: &Wanted) -> usize {
    list_room(service.servers.len()) + service.method.scheduler.ring_len()
}

impl Publisher {
    /// Writes what the services are and gives each its regions; the pools are empty. Cursors go on where they stand in
    /// `before`, and a server that stays is overloaded if it was.
    pub(super) fn new(
        tables: Tables,
        layout: &ServiceTable,
        wanted: &[Wanted],
        allocation: &Allocation,
        before: Option<(&Self, &Allocation)>,
    ) -> Self {
        let (mut pools, mut presences) = (BTreeMap::new(), BTreeMap::new());
        let mut base = 0;
        for (row, bucket) in layout.buckets.iter().enumerate() {
            tables.services.set(row, bucket);
        }
        for service in wanted {
            let Some(slot) = layout.place_of(&service.key) else { continue };
            let presence = layout.place_of(&ServiceKey::of_presence(service.key.vip));
            presences.extend(presence.map(|place| (service.key.vip, place)));
            let id = allocation.services[&service.key];
            let (scheduler, port, capacity) = (service.method.scheduler, service.key.port, capacity(service));
            let policy = service.policy;
            tables.policies.set(usize::from(id), &Policy { lease: service.lease, ..policy });
            for server in &service.servers {
                let (upper, lower) = (server.thresholds[0], server.thresholds[1]);
                let at = (service.key, mapped(server.rip));
                let row = allocation.servers[&at];
                let stays = before.filter(|(_, old)| old.servers.get(&at) == Some(&row));
                let overloaded =
                    stays.map_or(0, |(old, _)| old.tables.limits.get(usize::from(row.row)).overloaded);
                tables
                    .limits
                    .set(usize::from(row.row), &Limit { upper, lower, overloaded, ..Limit::default() });
            }
            let list =
                before.map_or_else(Vec::new, |(old, _)| old.hand_over_cursor(&service.key, &tables, id));
            let ring_len = scheduler.ring_len();
            let published =
                Published { slot, id, scheduler, ring_len, port, policy, base, capacity, epoch: 0, list };
            pools.insert(service.key, published);
            base += 2 * capacity as u32;
        }
        Self { tables, pools, presences }
    }

    /// Lets a service's cursor, which stands over the list that is returned, go on in `other`.
    fn hand_over_cursor(&self, key: &ServiceKey, other: &Tables, id: u16) -> Vec<(u16, u16)> {
        let Some(pool) = self.pools.get(key) else { return Vec::new() };
        other.cursors.set(usize::from(id), &self.tables.cursors.get(usize::from(pool.id)));
        pool.list.clone()
    }

    /// Is there a row for every server, and a region large enough for every list?
    pub(super) fn has_room(&self, wanted: &[Wanted], allocation: &Allocation) -> bool {
        let fits = |service: &Wanted| {
            let ring = service.method.scheduler.ring_len();
            let rows = |pool: &Published| service.servers.len() + ring.max(pool.ring_len);
            self.pools.get(&service.key).is_some_and(|pool| rows(pool) <= pool.capacity)
        };
        allocation.server_rows() <= self.tables.servers.rows() && wanted.iter().all(fits)
    }

    /// What the templates of services with persistence have in common, by rows of `policies`.
    pub(super) fn template_forms(&self) -> HashMap<u16, TemplateForm> {
        let persistent = self.pools.iter().filter(|(_, pool)| pool.policy.persistence != 0);
        let form = |key: &ServiceKey, pool: &Published| {
            TemplateForm::of(key.vip, key.port, key.protocol, pool.policy.mask)
        };
        persistent.map(|(key, pool)| (pool.id, form(key, pool))).collect()
    }

    /// The connections of a real server.
    pub(super) fn load(&self, row: u16) -> Load {
        Load::from_word(self.tables.loads.word(usize::from(row), 0))
    }

    /// Makes one change.
    pub(super) fn apply(&mut self, action: &Action) {
        match action {
            Action::Server { row, next_hop, info, rip } => {
                let (row, servers) = (usize::from(*row), &self.tables.servers);
                servers.set_word(row, offset_of!(Server, rip), &mapped(*rip).halves()[0]);
                servers.set_word(row, offset_of!(Server, rip) + 8, &mapped(*rip).halves()[1]);
                // A server that becomes reachable has its way before anybody is sent to it, and one that ceases
                // to be loses it after.
                if info.state == ServerState::Ready as u8 {
                    servers.set_word(row, offset_of!(Server, next_hop), next_hop);
                    servers.set_word(row, offset_of!(Server, info), info);
                } else {
                    servers.set_word(row, offset_of!(Server, info), info);
                    servers.set_word(row, offset_of!(Server, next_hop), next_hop);
                }
            }
            Action::Pool(key, list) => {
                if let Some(pool) = self.pools.get_mut(key) {
                    pool.publish(&self.tables, list);
                }
            }
            Action::Occupy { row, thresholds: [upper, lower] } => {
                let row = usize::from(*row);
                self.tables.loads.set(row, &Load::default());
                self.tables.limits.set(row, &Limit { upper: *upper, lower: *lower, ..Limit::default() });
            }
            Action::Limits { row, thresholds } => {
                self.tables.limits.set_word(usize::from(*row), offset_of!(Limit, upper), thresholds);
            }
            Action::Service { key, method, lease, policy } => {
                if let Some(pool) = self.pools.get_mut(key) {
                    pool.redefine(&self.tables, key, *method, *lease, *policy);
                }
                if let Some(place) = self.presences.get(&key.vip) {
                    let presence = self.tables.services.get(place.0).slots[place.1].info;
                    set_info(&self.tables, *place, ServiceInfo { lease: *lease, ..presence });
                }
            }
            Action::Vacate { row, generation } => {
                let state = ServerState::Vacant as u8;
                let info = ServerInfo { generation: *generation, state, ..ServerInfo::default() };
                self.tables.servers.set_word(usize::from(*row), offset_of!(Server, info), &info);
            }
        }
    }
}

impl Published {
    /// Writes the list and its ring into the region that is not in use, then the cursor, then the one word that switches.
    fn publish(&mut self, tables: &Tables, list: &[(u16, u16)]) {
        let epoch = self.epoch.wrapping_add(1);
        let base = self.base + if epoch.is_multiple_of(2) { 0 } else { self.capacity as u32 };
        let weights = sched::published(self.scheduler, list.iter().map(|&(_, weight)| weight));
        let members = list.iter().zip(weights).map(|(&(server, _), weight)| Member { server, weight });
        let mut members: Vec<Member> = members.collect();
        for place in self.ring(tables, list) {
            members.push(if place == NOBODY { Member::default() } else { members[usize::from(place)] });
        }
        for (row, member) in (base as usize..).zip(&members) {
            tables.members.set(row, member);
        }
        let cursor: Cursor = tables.cursors.word(usize::from(self.id), offset_of!(CursorRow, cursor));
        let cursor = sched::rebase(self.scheduler, cursor, &self.list, list, epoch);
        tables.cursors.set_word(usize::from(self.id), offset_of!(CursorRow, cursor), &cursor);
        let pool = Pool { base, len: list.len() as u16, epoch };
        let (bucket, slot) = self.slot;
        let offset = slot_at(slot) + offset_of!(Service, pool);
        tables.services.set_word(bucket, offset, &pool);
        (self.epoch, self.list) = (epoch, list.to_vec());
    }

    /// Places in the list by the buckets of the scheduler's hash, and behind them as many more as a pick by an earlier
    /// scheduler may look at; empty where there was none with a hash.
    fn ring(&self, tables: &Tables, list: &[(u16, u16)]) -> Vec<u16> {
        let listed = list.iter().map(|&(row, weight)| {
            let Server { info, rip, .. } = tables.servers.get(usize::from(row));
            Listed { weight, last_weight: info.weight, address: rip.fold(), port: self.port }
        });
        let listed: Vec<Listed> = listed.collect();
        if listed.is_empty() {
            return Vec::new();
        }
        let mut ring = vec![NOBODY; self.scheduler.ring_len()];
        sched::fill(self.scheduler, &listed, &mut ring);
        let rest = self.ring_len - ring.len();
        ring.extend((0..listed.len() as u16).cycle().take(rest));
        ring
    }

    /// Makes it another service on the same packets. Its list is right under both schedulers before the word switches.
    fn redefine(&mut self, tables: &Tables, key: &ServiceKey, method: Method, lease: u16, policy: Policy) {
        tables.policies.set(usize::from(self.id), &Policy { lease, ..policy });
        self.policy = policy;
        if method.scheduler != self.scheduler {
            self.scheduler = method.scheduler;
            self.ring_len = self.ring_len.max(method.scheduler.ring_len());
            let list = self.list.clone();
            self.publish(tables, &list);
        }
        let ServiceKey { protocol, port, .. } = *key;
        let info = ServiceInfo { port, protocol, scheduler: method.number(), id: self.id, lease };
        set_info(tables, self.slot, info);
    }
}

/// What a slot of a bucket says besides its address and its pool, as one word.
fn set_info(tables: &Tables, (bucket, slot): (usize, usize), info: ServiceInfo) {
    tables.services.set_word(bucket, slot_at(slot) + offset_of!(Service, info), &info);
}

/// Where a slot begins in its bucket, in bytes.
const fn slot_at(slot: usize) -> usize {
    offset_of!(ServiceBucket, slots) + slot * size_of::<Service>()
}
