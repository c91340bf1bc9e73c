//! Executes the director's actions on the maps, so that the program never sees half a change.

use std::{
    collections::{BTreeMap, HashMap},
    mem::offset_of,
};

use lb_common::{
    flow::TemplateForm,
    layout::{
        CursorRow, Limit, Load, Member, Policy, Pool, Server, ServerInfo, ServerState, Service, ServiceBucket,
    },
    sched::{self, Cursor, Listed, NOBODY, Scheduler},
};

use super::table::Table;
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
}

/// A service's pool as it was published last. Two regions of `members` take turns, so that the one the program
/// reads is never written.
#[derive(Debug)]
struct Published {
    slot: (usize, usize),
    id: u16,
    scheduler: Scheduler,
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

/// Rows of one region: the list, and behind it the ring.
fn capacity(service: &Wanted) -> usize {
    service.servers.len() + service.method.scheduler.ring_len()
}

impl Publisher {
    /// Writes what does not change while the daemon runs and gives every service its regions; the pools are empty.
    pub(super) fn new(
        tables: Tables,
        layout: &ServiceTable,
        wanted: &[Wanted],
        allocation: &Allocation,
    ) -> Self {
        let mut pools = BTreeMap::new();
        let mut base = 0;
        for (row, bucket) in layout.buckets.iter().enumerate() {
            tables.services.set(row, bucket);
        }
        for service in wanted {
            let Some(slot) = layout.place_of(&service.key) else { continue };
            let id = layout.buckets[slot.0].slots[slot.1].info.id;
            let (scheduler, port, capacity) = (service.method.scheduler, service.key.port, capacity(service));
            let policy = service.policy;
            tables.policies.set(usize::from(id), &Policy { lease: service.lease, ..policy });
            for server in &service.servers {
                let row = allocation.servers[&(service.key, mapped(server.rip))].row;
                let [upper, lower] = server.thresholds;
                tables.limits.set(usize::from(row), &Limit { upper, lower, ..Limit::default() });
            }
            let published =
                Published { slot, id, scheduler, port, policy, base, capacity, epoch: 0, list: Vec::new() };
            pools.insert(service.key, published);
            base += 2 * capacity as u32;
        }
        Self { tables, pools }
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
                let before: ServerInfo = servers.word(row, offset_of!(Server, info));
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
                // From here on flows of the server that had the row are in nobody's load.
                if before.generation != info.generation {
                    self.tables.loads.set(row, &Load::default());
                }
            }
            Action::Pool(key, list) => {
                if let Some(pool) = self.pools.get_mut(key) {
                    pool.publish(&self.tables, list);
                }
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
        let offset =
            offset_of!(ServiceBucket, slots) + slot * size_of::<Service>() + offset_of!(Service, pool);
        tables.services.set_word(bucket, offset, &pool);
        (self.epoch, self.list) = (epoch, list.to_vec());
    }

    /// Places in the list by the buckets of the scheduler's hash; empty where it has none.
    fn ring(&self, tables: &Tables, list: &[(u16, u16)]) -> Vec<u16> {
        let mut ring = vec![NOBODY; if list.is_empty() { 0 } else { self.scheduler.ring_len() }];
        let listed = list.iter().map(|&(row, weight)| {
            let Server { info, rip, .. } = tables.servers.get(usize::from(row));
            Listed { weight, last_weight: info.weight, address: rip.fold(), port: self.port }
        });
        sched::fill(self.scheduler, &listed.collect::<Vec<_>>(), &mut ring);
        ring
    }
}
