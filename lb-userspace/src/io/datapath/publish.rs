//! Executes the director's actions on the maps, so that the program never sees half a change.

use std::{
    collections::{BTreeMap, HashMap},
    mem::offset_of,
};

use lb_common::{
    flow::TemplateForm,
    layout::{
        CursorRow, Limit, Load, Loads, MEMBERS, Member, Members, Policy, Pool, Server, ServerInfo,
        ServerState, Service, ServiceBucket, ServiceInfo, ring_place,
    },
    opening::service_byte,
    sched::{self, Cursor, Listed, Method, NOBODY, Scheduler},
};

use super::{needs::list_room, recent::Recent, table::Table};
use crate::{
    control::Action,
    plan::{Allocation, Place, Regions, ServiceKey, ServiceTable, Wanted, mapped},
};

/// The tables that the program reads and only the daemon writes, apart from cursors and loads.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) services: Table<ServiceBucket>,
    pub(super) servers: Table<Server>,
    pub(super) members: Table<Members>,
    pub(super) cursors: Table<CursorRow>,
    pub(super) loads: Table<Loads>,
    pub(super) policies: Table<Policy>,
    pub(super) limits: Table<Limit>,
    pub(super) recent: Recent,
}

/// Publishes into [`Tables`].
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) tables: Tables,
    /// What stands in `services`, apart from the pools.
    pub(super) table: ServiceTable,
    /// The rows of `members` that are free.
    pub(super) regions: Regions,
    pub(super) pools: BTreeMap<ServiceKey, Published>,
    /// First row and number of the regions of `members` that nobody has any more, though packets under way may read them.
    pub(super) given_up: Vec<(u32, u32)>,
}

/// A service's pool as it was published last. Two halves of a region of `members` take turns, so that the one the program
/// reads is never written.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) slot: Place,
    id: u16,
    /// [`service_byte`].
    byte: u8,
    scheduler: Scheduler,
    /// Buckets that are published behind the list: the longest ring of the schedulers it had, for a pick that began under
    /// another may still be under way.
    pub(super) ring_len: usize,
    port: u16,
    policy: Policy,
    base: u32,
    /// Rows of half a region.
    pub(super) capacity: usize,
    epoch: u16,
    pub(super) list: Vec<(u16, u16)>,
}

/// Rows that `members` must have.
pub(super) fn member_rows(wanted: &[Wanted]) -> usize {
    2 * wanted.iter().map(capacity).sum::<usize>()
}

fn capacity(service: &Wanted) -> usize {
    half(list_room(service.servers.len()), service.method.scheduler.ring_len())
}

/// Rows of half a region with room for a list of so many servers, and behind it for a ring of so many buckets.
pub(super) const fn half(servers: usize, ring_len: usize) -> usize {
    servers.div_ceil(MEMBERS) + ring_len.div_ceil(MEMBERS)
}

impl Publisher {
    /// Writes what the services are and gives each its regions; the pools are empty. Cursors go on where they stand in
    /// `before`, and a server that stays is overloaded if it was.
    ///
    /// # Errors
    /// Maps that are smaller than they must be.
    pub(super) fn new(
        tables: Tables,
        table: ServiceTable,
        wanted: &[Wanted],
        allocation: &Allocation,
        before: Option<(&Self, &Allocation)>,
    ) -> anyhow::Result<Self> {
        for (row, bucket) in table.buckets.iter().enumerate() {
            tables.services.set(row, bucket);
        }
        let regions = Regions::new(tables.members.rows() as u32);
        let mut new = Self { tables, table, regions, pools: BTreeMap::new(), given_up: Vec::new() };
        for service in wanted {
            let id = allocation.service_row(&service.key);
            let slot = new.table.place_of(&service.key);
            let base = new.regions.take(2 * capacity(service) as u32);
            let (Some(slot), Some(base)) = (slot, base) else {
                anyhow::bail!("{}: the maps have no room for it", service.key);
            };
            let Tables { policies, limits, .. } = &new.tables;
            policies.set(usize::from(id), &Policy { lease: service.lease, ..service.policy });
            for server in service.servers.iter() {
                let (upper, lower) = (server.thresholds[0], server.thresholds[1]);
                let row = allocation.server_row(&service.key, server.rip);
                let had = |old: &Allocation| old.server(&service.key, mapped(server.rip));
                let stays = before.filter(|(_, old)| had(old) == Some(row));
                let overloaded =
                    stays.map_or(0, |(old, _)| old.tables.limits.get(usize::from(row.row)).overloaded);
                limits.set(usize::from(row.row), &Limit { upper, lower, overloaded, ..Limit::default() });
            }
            let mut published = Published::new(service, slot, id, base, capacity(service));
            if let Some((old, _)) = before {
                published.list = old.hand_over_cursor(&service.key, &new.tables, id);
            }
            new.pools.insert(service.key, published);
        }
        Ok(new)
    }

    /// Lets a service's cursor, which stands over the list that is returned, go on in `other`.
    fn hand_over_cursor(&self, key: &ServiceKey, other: &Tables, id: u16) -> Vec<(u16, u16)> {
        let Some(pool) = self.pools.get(key) else { return Vec::new() };
        other.cursors.set(usize::from(id), &self.tables.cursors.get(usize::from(pool.id)));
        pool.list.clone()
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
        Load::from_word(self.tables.loads.word(0, load_at(row)))
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
                self.tables.recent.forget();
            }
            Action::Pool(key, list) => {
                if let Some(pool) = self.pools.get_mut(key) {
                    pool.publish(&self.tables, list);
                }
            }
            Action::Occupy { row, thresholds: [upper, lower] } => {
                self.tables.loads.set_word(0, load_at(*row), &Load::default());
                let limit = Limit { upper: *upper, lower: *lower, ..Limit::default() };
                self.tables.limits.set(usize::from(*row), &limit);
            }
            Action::Limits { row, thresholds } => {
                self.tables.limits.set_word(usize::from(*row), offset_of!(Limit, upper), thresholds);
            }
            Action::Service { key, method, lease, policy } => {
                if let Some(pool) = self.pools.get_mut(key) {
                    let info = pool.redefine(&self.tables, key, *method, *lease, *policy);
                    let slot = pool.slot;
                    self.set_info(slot, info);
                }
                if let Some(place) = self.table.place_of(&ServiceKey::of_presence(key.vip)) {
                    let presence = self.table.entry(place).info;
                    self.set_info(place, ServiceInfo { lease: *lease, ..presence });
                }
            }
            Action::Withdraw(key) => self.withdraw(key),
            Action::Vacate { row, generation } => {
                let state = ServerState::Vacant as u8;
                let info = ServerInfo { generation: *generation, state, ..ServerInfo::default() };
                self.tables.servers.set_word(usize::from(*row), offset_of!(Server, info), &info);
                self.tables.recent.forget();
            }
        }
    }
}

impl Published {
    /// One whose list is empty.
    pub(super) const fn new(service: &Wanted, slot: Place, id: u16, base: u32, capacity: usize) -> Self {
        let Wanted { key, method, policy, .. } = service;
        Self {
            slot,
            id,
            byte: service_byte(*method, policy, key.protocol),
            scheduler: method.scheduler,
            ring_len: method.scheduler.ring_len(),
            port: key.port,
            policy: *policy,
            base,
            capacity,
            epoch: 0,
            list: Vec::new(),
        }
    }

    /// The first row and the number of its rows in `members`.
    pub(super) const fn region(&self) -> (u32, u32) {
        (self.base, 2 * self.capacity as u32)
    }

    /// Lets its list stand in another region from now on; which it had.
    pub(super) fn move_to(&mut self, tables: &Tables, base: u32, capacity: usize) -> (u32, u32) {
        let before = self.region();
        (self.base, self.capacity) = (base, capacity);
        let list = self.list.clone();
        self.publish(tables, &list);
        before
    }

    /// Writes the list and its ring into the half that is not in use, then the cursor, then the one word that switches.
    pub(super) fn publish(&mut self, tables: &Tables, list: &[(u16, u16)]) {
        let epoch = Pool::next_epoch(self.epoch);
        let base = self.base + if epoch.is_multiple_of(2) { 0 } else { self.capacity as u32 };
        let weights = sched::published(self.scheduler, list.iter().map(|&(_, weight)| weight));
        let members = list.iter().zip(weights).map(|(&(server, _), weight)| Member { server, weight });
        let mut members: Vec<Member> = members.collect();
        members.resize(ring_place(list.len() as u16).into(), Member::default());
        for place in self.ring(tables, list) {
            members.push(if place == NOBODY { Member::default() } else { members[usize::from(place)] });
        }
        for (row, chunk) in (base as usize..).zip(members.chunks(MEMBERS)) {
            let mut members = Members::default();
            members[..chunk.len()].copy_from_slice(chunk);
            tables.members.set(row, &members);
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

    /// Makes it another service on the same packets: what its slot is to say. Its list is right under both schedulers before
    /// that.
    fn redefine(
        &mut self,
        tables: &Tables,
        key: &ServiceKey,
        method: Method,
        lease: u16,
        policy: Policy,
    ) -> ServiceInfo {
        tables.policies.set(usize::from(self.id), &Policy { lease, ..policy });
        self.policy = policy;
        let ServiceKey { protocol, port, .. } = *key;
        let scheduler = service_byte(method, &policy, protocol);
        if scheduler != self.byte {
            // What was settled under the old one is not under the new one.
            self.byte = scheduler;
            self.scheduler = method.scheduler;
            self.ring_len = self.ring_len.max(method.scheduler.ring_len());
            let list = self.list.clone();
            self.publish(tables, &list);
        }
        ServiceInfo { port, protocol, scheduler, id: self.id, lease }
    }
}

/// Where the connections of the real server in a row of `servers` are counted in the row of `loads`, in bytes.
pub(super) const fn load_at(server: u16) -> usize {
    server as usize * size_of::<Load>()
}

/// Where a slot begins in its bucket, in bytes.
pub(super) const fn slot_at(slot: usize) -> usize {
    offset_of!(ServiceBucket, slots) + slot * size_of::<Service>()
}
