//! A flow table in the test's memory, beside what the program has in maps.

#[path = "tests/contention.rs"]
mod contention;
#[path = "tests/slots.rs"]
mod slots;

use core::sync::atomic::{AtomicU16, AtomicU64, Ordering::SeqCst};

use super::*;
use crate::{
    flow::{Bucket, Collected, Host, Key4, Over, Timeouts, ticks},
    layout::Load,
};

const SERVERS: usize = 16;

/// The maps beside the flow table.
struct World {
    era: u8,
    generations: [AtomicU16; SERVERS],
    loads: [AtomicU64; SERVERS],
    timeouts: Timeouts,
}

impl World {
    fn new(era: u8) -> Self {
        Self {
            era,
            generations: core::array::from_fn(|_| AtomicU16::new(1)),
            loads: core::array::from_fn(|_| AtomicU64::new(0)),
            timeouts: Timeouts::default(),
        }
    }

    fn load(&self, server: u16) -> (u32, u32) {
        let load: Load = bytemuck::must_cast(self.loads[usize::from(server)].load(SeqCst));
        (load.active, load.inactive)
    }

    fn is_empty(&self) -> bool {
        self.loads.iter().all(|load| load.load(SeqCst) == 0)
    }
}

/// A table of buckets in the test's memory, beside its world.
#[derive(Clone, Copy)]
struct Table<'a> {
    buckets: *mut Bucket<Key4>,
    rows: usize,
    world: &'a World,
}

impl Maps<Key4> for Table<'_> {
    fn era(&self) -> u8 {
        self.world.era
    }

    fn generation(&self, server: u16) -> Option<u16> {
        Some(self.world.generations[usize::from(server) % SERVERS].load(SeqCst))
    }

    fn add_load(&self, server: u16, change: u64) {
        self.world.loads[usize::from(server) % SERVERS].fetch_add(change, SeqCst);
    }

    fn timeouts(&self) -> Option<*const Timeouts> {
        Some(&raw const self.world.timeouts)
    }

    fn persistence(&self, _server: u16) -> u32 {
        PERSISTENCE
    }

    unsafe fn hash_at(&self, place: *const Key4) -> u32 {
        // SAFETY: the trait's contract.
        hash(&unsafe { place.read_volatile() })
    }

    fn mask(&self) -> u32 {
        self.rows as u32 - 1
    }

    fn bucket(&self, row: u32) -> Option<*mut Bucket<Key4>> {
        // SAFETY: rows are masked.
        Some(unsafe { self.buckets.add(row as usize) })
    }

    fn over(&self, key: &Key4) -> Over {
        if key.client == [10, 0, 0, 1] { Over::Again } else { Over::Forget }
    }
}

/// All keys have one tag, and clients in sequence belong to buckets in sequence.
fn hash(key: &Key4) -> u32 {
    77 << 16 | u32::from(u16::from_be_bytes([key.client[2], key.client[3]]))
}

impl Table<'_> {
    fn chain(&self, key: &Key4, tag: u16) -> Chain<Key4, Host, Self> {
        Chain::new(u32::from(tag) << 16 | hash(key) & 0xffff, *self)
    }

    fn at(&self, row: u32) -> Shared<Key4, Host, Self> {
        // SAFETY: the buckets outlive the test's use of them.
        unsafe { Shared::new(row, self.buckets.add(row as usize), *self) }
    }

    fn find(&self, key: &Key4, tag: u16) -> Option<Hit> {
        self.chain(key, tag).find(key)
    }

    fn insert(&self, key: &Key4, flow: Word, stale: Option<Hit>, now: u32) -> Inserted {
        let (chain, mut stale) = (self.chain(key, 77), stale);
        if stale.is_none() && chain.insert_free(key, flow, now, || true) {
            return Inserted::New;
        }
        for _round in 0..10_000_000 {
            match chain.try_insert(key, flow, stale.as_ref(), now) {
                // As `opening.rs` looks again, but for as long as the other thread may stand still with a claim.
                Inserted::Lost => stale = chain.find(key).filter(|hit| hit.state().is_closing()),
                done => return done,
            }
            std::thread::yield_now();
        }
        panic!("another CPU is always faster")
    }

    fn touch(&self, hit: &Hit, state: State, now: u32) {
        self.at(hit.row).touch(hit, state, now);
    }

    fn forget(&self, hit: &Hit) {
        self.at(hit.row).forget(hit);
    }

    fn collect(&self, now: u32) -> Collected {
        (0..self.rows as u32).fold(Collected::default(), |sum, row| sum.plus(self.at(row).collect(now)))
    }

    /// Slots that hold the flow.
    fn copies(&self, key: &Key4) -> usize {
        let holds = |row: u32, slot: usize| {
            let control = self.at(row).control(slot);
            control.state().is_living() && self.at(row).holds(slot, control, key)
        };
        (0..self.rows as u32).map(|row| (0..SLOTS).filter(|&slot| holds(row, slot)).count()).sum()
    }

    /// Lets every flow expire.
    fn end_all(&self) {
        self.collect(u32::MAX / 2);
        let nothing = |row| (0..SLOTS).all(|slot| !self.at(row).control(slot).state().is_living());
        assert!((0..self.rows as u32).all(|row| nothing(row) && self.at(row).spilled() == 0));
    }
}

const PERSISTENCE: u32 = 300;

fn table<'a>(bucket: &mut Bucket<Key4>, world: &'a World) -> Table<'a> {
    Table { buckets: bucket, rows: 1, world }
}

fn key(client: u16) -> Key4 {
    let [a, b] = client.to_be_bytes();
    Key4 { client: [10, 0, a, b], protocol: 6, ..Key4::default() }
}

fn flow(server: u16, state: State) -> Word {
    Word::new(server, 1, 77, state)
}
