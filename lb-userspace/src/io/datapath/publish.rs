//! Executes the director's actions on the maps, so that the program never sees half a change.

use std::{collections::BTreeMap, mem::offset_of};

use lb_common::{
    layout::{CursorRow, Member, Pool, Server, ServerState, Service, ServiceBucket},
    sched::{self, Cursor, Scheduler},
};

use super::table::Table;
use crate::{
    control::Action,
    plan::{ServiceKey, ServiceTable, Wanted, mapped},
};

/// The tables that the program reads and only the daemon writes, apart from the cursors.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) services: Table<ServiceBucket>,
    pub(super) servers: Table<Server>,
    pub(super) members: Table<Member>,
    pub(super) cursors: Table<CursorRow>,
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
    base: u32,
    capacity: usize,
    epoch: u16,
    list: Vec<(u16, u16)>,
}

/// Rows that `members` must have.
pub(super) fn member_rows(wanted: &[Wanted]) -> usize {
    (2 * wanted.iter().map(|service| service.servers.len()).sum::<usize>()).max(1)
}

impl Publisher {
    /// Writes the service table and gives every service its regions; the pools are empty.
    pub(super) fn new(tables: Tables, layout: &ServiceTable, wanted: &[Wanted]) -> Self {
        let mut pools = BTreeMap::new();
        let mut base = 0;
        for (row, bucket) in layout.buckets.iter().enumerate() {
            tables.services.set(row, bucket);
        }
        for service in wanted {
            let Some(slot) = layout.place_of(&service.key) else { continue };
            let id = layout.buckets[slot.0].slots[slot.1].info.id;
            let (scheduler, capacity) = (service.scheduler, service.servers.len());
            let published = Published { slot, id, scheduler, base, capacity, epoch: 0, list: Vec::new() };
            pools.insert(service.key, published);
            base += 2 * capacity as u32;
        }
        Self { tables, pools }
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
        }
    }
}

impl Published {
    /// Writes the list into the region that is not in use, then the cursor, then the one word that switches.
    fn publish(&mut self, tables: &Tables, list: &[(u16, u16)]) {
        let epoch = self.epoch.wrapping_add(1);
        let base = self.base + if epoch.is_multiple_of(2) { 0 } else { self.capacity as u32 };
        let weights = sched::normalised(list.iter().map(|&(_, weight)| weight));
        for (place, (&(server, _), weight)) in list.iter().zip(weights).enumerate() {
            tables.members.set(base as usize + place, &Member { server, weight });
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
}
