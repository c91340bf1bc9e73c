//! Services come and go in the tables of the program that runs.
//!
//! An entry of `services` is found by the word with its protocol. So that word is written last when the entry comes and
//! first when it goes, where all else stays as it is: packets under way read it on. What is given up is free for others from
//! the next change on, after a [`super::grace::Grace`].

use std::{collections::BTreeMap, mem::offset_of};

use lb_common::layout::{Address, CursorRow, PRESENCE, Service, ServiceInfo};

use super::needs::list_room;
use super::publish::{Published, Publisher, half, slot_at};
use crate::plan::{Allocation, Difference, Moves, Place, Regions, ServiceKey, Wanted};

/// What services get that come, and those whose lists outgrow their regions.
#[derive(Debug)]
pub(super) struct Placement {
    entries: Moves,
    /// The new regions: whose, half the rows, and the first one.
    lists: Vec<(Wanted, usize, u32)>,
    /// What is free then.
    regions: Regions,
}

impl Placement {
    /// Is anything taken that was free?
    pub(super) const fn takes(&self) -> bool {
        !(self.entries.come.is_empty() && self.lists.is_empty())
    }
}

impl Publisher {
    /// Where the services that are not as before find their places beside what there is.
    ///
    /// # Errors
    /// What is full, for people.
    pub(super) fn placement(
        &self,
        difference: &Difference,
        owned: &BTreeMap<Address, u16>,
        allocation: &Allocation,
    ) -> Result<Placement, &'static str> {
        const TOO_SMALL: &str = "its maps are too small";
        if allocation.server_rows() > self.tables.servers.rows()
            || allocation.service_rows() > self.tables.cursors.rows()
        {
            return Err(TOO_SMALL);
        }
        let entries = self.table.moves(difference, owned, allocation);
        let entries = entries.ok_or("its table of virtual servers is full where one belongs")?;
        let (mut regions, mut lists) = (self.regions.clone(), Vec::new());
        for service in difference.next() {
            let pool = self.pools.get(&service.key);
            // A pick that began under another scheduler finds the ring of that.
            let ring = service.method.scheduler.ring_len();
            let more = pool.map_or(0, |pool| pool.ring_len.saturating_sub(ring));
            // The list of before is published once more, under the scheduler that comes.
            let servers = pool.map_or(0, |pool| pool.list.len()).max(service.servers.len());
            if pool.is_some_and(|pool| half(servers, ring + more) <= pool.capacity) {
                continue;
            }
            let capacity = half(list_room(servers), ring + more);
            lists.push((service.clone(), capacity, regions.take(2 * capacity as u32).ok_or(TOO_SMALL)?));
        }
        Ok(Placement { entries, lists, regions })
    }

    /// Gives services that come their slots, in which no packet finds them yet, and lists their regions. `allocation` is
    /// that of the placement.
    pub(super) fn place(&mut self, placement: &Placement, allocation: &Allocation) {
        for (place, entry) in &placement.entries.come {
            let [first, second] = entry.vip.halves();
            let at = slot_at(place.1) + offset_of!(Service, vip);
            self.tables.services.set_word(place.0, at, &first);
            self.tables.services.set_word(place.0, at + 8, &second);
            *self.table.entry_mut(*place) = *entry;
            if entry.info.protocol == PRESENCE {
                self.set_info(*place, entry.info);
            }
        }
        self.regions = placement.regions.clone();
        for &(ref service, capacity, base) in &placement.lists {
            if let Some(pool) = self.pools.get_mut(&service.key) {
                self.given_up.push(pool.move_to(&self.tables, base, capacity));
            } else if let Some(slot) = self.table.place_of(&service.key) {
                let id = allocation.service_row(&service.key);
                self.tables.cursors.set(usize::from(id), &CursorRow::default());
                self.pools.insert(service.key, Published::new(service, slot, id, base, capacity));
            }
        }
    }

    /// Lets packets not find a service any more.
    pub(super) fn withdraw(&mut self, key: &ServiceKey) {
        let Some(mut pool) = self.pools.remove(key) else { return };
        self.clear(pool.slot);
        // Who has found it a moment ago finds nobody in it.
        pool.publish(&self.tables, &[]);
        self.given_up.push(pool.region());
    }

    /// After the change: takes the addresses out that went, and frees what was given up. Was anything?
    pub(super) fn settle(&mut self, placement: &Placement) -> bool {
        let gone: Vec<Place> = placement.entries.presences(&self.table).collect();
        for place in &gone {
            self.clear(*place);
        }
        for (first, rows) in &self.given_up {
            self.regions.give_back(*first, *rows);
        }
        let gave_up = !(gone.is_empty() && self.given_up.is_empty());
        self.given_up.clear();
        gave_up
    }

    /// Takes an entry out of the table: all but what it is found by stays.
    fn clear(&mut self, place: Place) {
        let info = self.table.entry(place).info;
        self.set_info(place, ServiceInfo { protocol: 0, ..info });
    }

    /// What a slot of a bucket says besides its address and its pool, as one word.
    pub(super) fn set_info(&mut self, place: Place, info: ServiceInfo) {
        self.table.entry_mut(place).info = info;
        self.tables.services.set_word(place.0, slot_at(place.1) + offset_of!(Service, info), &info);
        self.tables.recent.forget();
    }
}
