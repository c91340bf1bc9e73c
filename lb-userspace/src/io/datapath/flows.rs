//! The flow tables in the collector's memory, with the maps that their protocol needs beside them. Knows no clock.

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::Hash,
    mem::offset_of,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use lb_common::{
    flow::{Bucket, Collected, Host, Key, Key4, Key6, Maps, Over, Shared, TemplateForm, Timeouts},
    hash::Keys,
    layout::{Load, Policy, Server, ServerInfo},
};

use super::{Datapath, map_data, table::Table};

/// Every flow there is; the program works on the same rows at the same time.
#[derive(Debug)]
pub struct Flows {
    v4: FlowTable<Key4>,
    v6: FlowTable<Key6>,
    rows: Rows,
}

/// The tables beside those of the flows.
#[derive(Debug)]
struct Rows {
    servers: Table<Server>,
    loads: Table<Load>,
    timeouts: Table<Timeouts>,
    policies: Table<Policy>,
    /// By rows of `policies`, of services with persistence.
    forms: HashMap<u16, TemplateForm>,
    keys: Keys,
    era: u8,
}

#[derive(Debug)]
struct FlowTable<K> {
    buckets: Table<Bucket<K>>,
    suspects: RefCell<Suspects<K>>,
}

/// The templates whose time is over and of which is not known yet whether a flow goes by them: that takes a pass
/// through all flows.
#[derive(Debug)]
struct Suspects<K> {
    pass: u64,
    templates: HashMap<K, Suspect>,
}

#[derive(Clone, Copy, Debug)]
struct Suspect {
    /// The pass that came to it.
    since: u64,
    has_flow: bool,
}

impl<K: Key + Hash> FlowTable<K> {
    fn open(buckets: Table<Bucket<K>>) -> Self {
        let suspects = Suspects { pass: 0, templates: HashMap::new() };
        Self { buckets, suspects: RefCell::new(suspects) }
    }

    fn collect(&self, rows: &Rows, range: Range<usize>, now: u32) -> Collected {
        if range.start == 0 {
            let mut suspects = self.suspects.borrow_mut();
            suspects.pass += 1;
            let last = suspects.pass - 1;
            suspects.templates.retain(|_, suspect| suspect.since >= last);
        }
        range.fold(Collected::default(), |sum, row| {
            let beside = Beside { table: self, rows };
            // SAFETY: the row lies in the mapping, and who else writes to it does so by the same protocol.
            let bucket = unsafe { Shared::<K, Host, _>::new(row as u32, self.buckets.pointer(row), beside) };
            sum.plus(bucket.collect(now))
        })
    }
}

impl Flows {
    /// Buckets of the tables together.
    pub const fn rows(&self) -> usize {
        self.v4.buckets.rows() + self.v6.buckets.rows()
    }

    /// Forgets the flows in `rows` that are over at the tick `now`, and counts those of an earlier daemon. A pass goes
    /// through all rows in their order.
    pub fn collect(&self, rows: Range<usize>, now: u32) -> Collected {
        let first = self.v4.buckets.rows();
        let second = rows.start.max(first) - first..rows.end.max(first) - first;
        let v4 = self.v4.collect(&self.rows, rows.start.min(first)..rows.end.min(first), now);
        if second.is_empty() { v4 } else { v4.plus(self.v6.collect(&self.rows, second, now)) }
    }
}

impl Datapath {
    /// The flow tables, for the thread that collects.
    ///
    /// # Errors
    /// A map that cannot be mapped.
    pub fn flows(&self) -> anyhow::Result<Flows> {
        Ok(Flows {
            v4: FlowTable::open(Table::open(map_data(&self.ebpf, "flows4")?)?),
            v6: FlowTable::open(Table::open(map_data(&self.ebpf, "flows6")?)?),
            rows: Rows {
                servers: Table::open(map_data(&self.ebpf, "servers")?)?,
                loads: Table::open(map_data(&self.ebpf, "loads")?)?,
                timeouts: Table::open(map_data(&self.ebpf, "timeouts")?)?,
                policies: Table::open(map_data(&self.ebpf, "policies")?)?,
                forms: self.publisher.template_forms(),
                keys: self.constants.flow_keys,
                era: self.constants.era as u8,
            },
        })
    }

    /// After what silence flows are forgotten.
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts.get(0)
    }

    /// Changes that; it holds for the flows there are, within a second.
    pub fn set_timeouts(&self, timeouts: &Timeouts) {
        self.timeouts.set(0, timeouts);
    }

    /// Active and inactive connections of a row of `servers`.
    ///
    /// # Panics
    /// For a row that does not exist.
    pub fn load(&self, row: u16) -> Load {
        self.publisher.load(row)
    }
}

impl Rows {
    fn server(&self, row: u16) -> Option<ServerInfo> {
        let row = usize::from(row);
        (row < self.servers.rows()).then(|| self.servers.word(row, offset_of!(Server, info)))
    }
}

/// The maps as the protocol needs them.
#[derive(Debug)]
struct Beside<'a, K> {
    table: &'a FlowTable<K>,
    rows: &'a Rows,
}

impl<K> Clone for Beside<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Beside<'_, K> {}

impl<K: Key + Hash> Maps<K> for Beside<'_, K> {
    fn era(&self) -> u8 {
        self.rows.era
    }

    fn generation(&self, server: u16) -> Option<u16> {
        self.rows.server(server).map(|info| info.generation)
    }

    fn add_load(&self, server: u16, change: u64) {
        let row = usize::from(server);
        if row < self.rows.loads.rows() {
            // SAFETY: the row is one aligned word in the mapping, which everybody changes atomically.
            let word = unsafe { AtomicU64::from_ptr(self.rows.loads.pointer(row).cast()) };
            word.fetch_add(change, Ordering::SeqCst);
        }
    }

    fn timeouts(&self) -> Option<*const Timeouts> {
        Some(self.rows.timeouts.pointer(0).cast_const())
    }

    fn persistence(&self, server: u16) -> u32 {
        let service = self.rows.server(server).map(|info| usize::from(info.service));
        let policy =
            service.filter(|&row| row < self.rows.policies.rows()).map(|row| self.rows.policies.get(row));
        policy.map_or(0, |policy| policy.persistence)
    }

    unsafe fn hash_at(&self, place: *const K) -> u32 {
        // SAFETY: the trait's contract.
        unsafe { K::hash_at(place, |at| self.rows.keys[at]) }
    }

    fn mask(&self) -> u32 {
        self.table.buckets.rows() as u32 - 1
    }

    fn bucket(&self, row: u32) -> Option<*mut Bucket<K>> {
        Some(self.table.buckets.pointer(row as usize))
    }

    fn over(&self, key: &K) -> Over {
        let mut suspects = self.table.suspects.borrow_mut();
        let since = suspects.pass;
        match suspects.templates.get(key) {
            None => {
                suspects.templates.insert(*key, Suspect { since, has_flow: false });
                Over::Wait
            }
            Some(suspect) if suspect.since == since => Over::Wait,
            Some(Suspect { has_flow, .. }) => {
                let over = if *has_flow { Over::Again } else { Over::Forget };
                suspects.templates.remove(key);
                over
            }
        }
    }

    fn goes_on(&self, key: &K, server: u16) {
        let mut suspects = self.table.suspects.borrow_mut();
        if suspects.templates.is_empty() {
            return;
        }
        let form = self.rows.server(server).and_then(|info| self.rows.forms.get(&info.service));
        if let Some(form) = form
            && let Some(suspect) = suspects.templates.get_mut(&key.template(form))
        {
            suspect.has_flow = true;
        }
    }
}
