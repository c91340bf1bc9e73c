//! The flow tables as the collector works on them, with the maps that their protocol needs beside them. Knows no clock.

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::Hash,
    mem::offset_of,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use lb_common::{
    flow::{
        Bucket, Collected, Host, Key, Key4, Key6, Maps, Over, SLOTS, Shared, TemplateForm, Timeouts, Word,
    },
    hash::Keys,
    layout::{Load, Loads, MAX_SERVERS, Policy, Server, ServerInfo},
};

use super::{Datapath, map_data, publish::load_at, recent::Room, settling::Settling, table::Table};

/// Every flow there is; the program works on the same rows at the same time.
#[derive(Debug)]
pub struct FlowMaps {
    pub(super) v4: Table<Bucket<Key4>>,
    pub(super) v6: Table<Bucket<Key6>>,
    pub(super) rows: Rows,
}

/// The tables beside those of the flows.
#[derive(Debug)]
pub(super) struct Rows {
    servers: Table<Server>,
    loads: Table<Loads>,
    timeouts: Table<Timeouts>,
    policies: Table<Policy>,
    /// By rows of `policies`, of services with persistence.
    forms: HashMap<u16, TemplateForm>,
    keys: Keys,
    era: u8,
}

/// The same for who collects what is over.
#[derive(Debug)]
pub struct Flows {
    maps: Arc<FlowMaps>,
    suspects4: RefCell<Suspects<Key4>>,
    suspects6: RefCell<Suspects<Key6>>,
    settling: RefCell<Settling>,
    room4: RefCell<Room<Key4>>,
    room6: RefCell<Room<Key6>>,
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

impl<K> Default for Suspects<K> {
    fn default() -> Self {
        Self { pass: 0, templates: HashMap::new() }
    }
}

/// Collects what is over in some rows of one family's table.
fn collect<K: Key + Hash>(
    buckets: &Table<Bucket<K>>,
    rows: &Rows,
    watch: Watch<'_, K>,
    range: Range<usize>,
    now: u32,
) -> Collected {
    if range.start == 0 {
        let mut suspects = watch.suspects.borrow_mut();
        suspects.pass += 1;
        let last = suspects.pass - 1;
        suspects.templates.retain(|_, suspect| suspect.since >= last);
    }
    range.fold(Collected::default(), |sum, row| {
        let beside = Beside { buckets, rows, watch: Some(watch) };
        // SAFETY: the row lies in the mapping, and who else writes to it does so by the same protocol.
        let bucket = unsafe { Shared::<K, Host, _>::new(row as u32, buckets.pointer(row), beside) };
        sum.plus(bucket.collect(now))
    })
}

impl FlowMaps {
    /// Buckets of the tables together.
    pub const fn rows(&self) -> usize {
        self.v4.rows() + self.v6.rows()
    }

    /// What part of rows of both tables is of each.
    pub(super) fn parts(&self, rows: &Range<usize>) -> (Range<usize>, Range<usize>) {
        let first = self.v4.rows();
        let second = rows.start.max(first) - first..rows.end.max(first) - first;
        (rows.start.min(first)..rows.end.min(first), second)
    }
}

impl Flows {
    /// What is collected of, for others to read.
    pub fn maps(&self) -> Arc<FlowMaps> {
        Arc::clone(&self.maps)
    }

    /// Buckets of the tables together.
    pub fn rows(&self) -> usize {
        self.maps.rows()
    }

    /// For how many flows of IPv4 and of IPv6 there is room.
    pub fn capacities(&self) -> [u64; 2] {
        [self.maps.v4.rows(), self.maps.v6.rows()].map(|rows| (rows * SLOTS) as u64)
    }

    /// Forgets the flows in `rows` that are over at the tick `now`, and counts those of an earlier daemon. A pass goes
    /// through all rows in their order. What was done is told of IPv4 and of IPv6.
    pub fn collect(&self, rows: Range<usize>, now: u32) -> [Collected; 2] {
        let FlowMaps { v4, v6, rows: beside } = &*self.maps;
        let (first, second) = self.maps.parts(&rows);
        let Self { suspects4, suspects6, settling, .. } = self;
        settling.borrow_mut().go_on(now);
        if rows.start == 0 {
            settling.borrow_mut().begin();
            self.room4.borrow_mut().give();
            self.room6.borrow_mut().give();
        }
        let mut collected = [Collected::default(); 2];
        collected[0] = collect(v4, beside, Watch { suspects: suspects4, settling }, first, now);
        if !second.is_empty() {
            collected[1] = collect(v6, beside, Watch { suspects: suspects6, settling }, second, now);
        }
        if rows.end == self.rows() {
            settling.borrow_mut().end();
        }
        collected
    }
}

impl Datapath {
    /// The flow tables, for the thread that collects.
    ///
    /// # Errors
    /// A map that cannot be mapped.
    pub fn flows(&self) -> anyhow::Result<Flows> {
        let maps = FlowMaps {
            v4: Table::open(map_data(&self.ebpf, "flows4")?)?,
            v6: Table::open(map_data(&self.ebpf, "flows6")?)?,
            rows: Rows {
                servers: Table::open(map_data(&self.ebpf, "servers")?)?,
                loads: Table::open(map_data(&self.ebpf, "loads")?)?,
                timeouts: Table::open(map_data(&self.ebpf, "timeouts")?)?,
                policies: Table::open(map_data(&self.ebpf, "policies")?)?,
                forms: self.publisher.template_forms(),
                keys: self.constants.flow_keys,
                era: self.constants.era as u8,
            },
        };
        let (suspects4, suspects6) = (RefCell::default(), RefCell::default());
        let settling = RefCell::new(Settling::open(self)?);
        let room4 = RefCell::new(Room::open(&self.ebpf, "recent4")?);
        let room6 = RefCell::new(Room::open(&self.ebpf, "recent6")?);
        Ok(Flows { maps: Arc::new(maps), suspects4, suspects6, settling, room4, room6 })
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
    /// A number of the flow tables' hash.
    pub(super) const fn key(&self, at: usize) -> u64 {
        self.keys[at]
    }

    /// All of a real server's row.
    pub(super) fn server_row(&self, row: u16) -> Option<Server> {
        let row = usize::from(row);
        (row < self.servers.rows()).then(|| self.servers.get(row))
    }

    fn server(&self, row: u16) -> Option<ServerInfo> {
        let row = usize::from(row);
        (row < self.servers.rows()).then(|| self.servers.word(row, offset_of!(Server, info)))
    }
}

/// The maps as the protocol needs them.
#[derive(Debug)]
pub(super) struct Beside<'a, K> {
    buckets: &'a Table<Bucket<K>>,
    rows: &'a Rows,
    /// What who collects finds out.
    watch: Option<Watch<'a, K>>,
}

/// What a pass through all flows finds out besides.
#[derive(Debug)]
struct Watch<'a, K> {
    suspects: &'a RefCell<Suspects<K>>,
    settling: &'a RefCell<Settling>,
}

impl<K> Clone for Watch<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Watch<'_, K> {}

impl<'a, K> Beside<'a, K> {
    /// For who only reads.
    pub(super) const fn reader(buckets: &'a Table<Bucket<K>>, rows: &'a Rows) -> Self {
        Self { buckets, rows, watch: None }
    }
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
        if usize::from(server) < MAX_SERVERS {
            // SAFETY: one aligned word of the row in the mapping, which everybody changes atomically.
            let word =
                unsafe { AtomicU64::from_ptr(self.rows.loads.pointer(0).byte_add(load_at(server)).cast()) };
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
        self.buckets.rows() as u32 - 1
    }

    fn bucket(&self, row: u32) -> Option<*mut Bucket<K>> {
        Some(self.buckets.pointer(row as usize))
    }

    fn over(&self, key: &K) -> Over {
        // Who only reads asks for none.
        let Some(watch) = self.watch else { return Over::Wait };
        let mut suspects = watch.suspects.borrow_mut();
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

    fn goes_on(&self, key: &K, control: Word, silence: u32) {
        let Some(watch) = self.watch else { return };
        watch.settling.borrow_mut().see(key, control, silence, |row| self.rows.server(row));
        let mut suspects = watch.suspects.borrow_mut();
        if suspects.templates.is_empty() {
            return;
        }
        let form = self.rows.server(control.server()).and_then(|info| self.rows.forms.get(&info.service));
        if let Some(form) = form
            && let Some(suspect) = suspects.templates.get_mut(&key.template(form))
        {
            suspect.has_flow = true;
        }
    }
}
