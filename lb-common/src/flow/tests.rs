use core::sync::atomic::{AtomicU16, AtomicU64, Ordering::SeqCst};
use std::{boxed::Box, sync::Barrier, thread, vec::Vec};

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
        for _attempt in 0..ATTEMPTS {
            match chain.try_insert(key, flow, stale.as_ref(), now) {
                // As `opening.rs` looks again.
                Inserted::Lost => stale = chain.find(key).filter(|hit| hit.state().is_closing()),
                done => return done,
            }
        }
        Inserted::Full
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

#[test]
fn what_was_inserted_is_found_and_nothing_else() {
    let mut bucket = Bucket::default();
    let world = World::new(0);
    let table = table(&mut bucket, &world);
    assert_eq!(table.insert(&key(1), flow(5, State::Established), None, 100), Inserted::New);
    let hit = table.find(&key(1), 77).expect("inserted");
    assert_eq!((hit.control.server(), hit.state(), hit.seen), (5, State::Established, 100));
    assert_eq!(table.find(&key(2), 77), None, "same tag, other key");
    assert_eq!(table.find(&key(1), 78), None, "other tag");
    table.forget(&hit);
    assert_eq!(table.find(&key(1), 77), None);
}

#[test]
fn the_victim_is_expired_then_embryonic_then_closing_then_udp_then_nobody() {
    let now = 1_000_000;
    let world = World::new(0);
    let orders: [[(State, u32); SLOTS]; 2] = [
        [(State::Established, ticks(900) + 1), (State::SynRecv, 10), (State::FinWait, 50), (State::Udp, 60)],
        [(State::Close, ticks(10) + 1), (State::UdpFirst, 10), (State::LastAck, 20), (State::Udp, 60)],
    ];
    for order in orders {
        let mut bucket = Bucket::default();
        let table = table(&mut bucket, &world);
        for (client, (state, age)) in (1..).zip(order) {
            assert_eq!(table.insert(&key(client), flow(client, state), None, now - age), Inserted::New);
        }
        for (new, gone) in [(11, 1), (12, 2), (13, 3), (14, 4)] {
            assert!(table.find(&key(gone), 77).is_some());
            assert_eq!(table.insert(&key(new), flow(new, State::Established), None, now), Inserted::New);
            assert_eq!(table.find(&key(gone), 77), None, "{gone} made room for {new}");
        }
        assert_eq!(table.insert(&key(15), flow(15, State::SynRecv), None, now), Inserted::Full);
        for client in 11..15 {
            assert!(table.find(&key(client), 77).is_some(), "established {client} stays");
        }
    }
}

#[test]
fn a_stale_entry_of_the_same_key_is_replaced_in_its_place() {
    let mut bucket = Bucket::default();
    let world = World::new(0);
    let table = table(&mut bucket, &world);
    for client in 1..=3 {
        table.insert(&key(client), flow(client, State::Established), None, 1);
    }
    let stale = table.find(&key(2), 77);
    assert_eq!(table.insert(&key(2), flow(9, State::SynRecv), stale, 2), Inserted::New);
    let now = table.find(&key(2), 77).expect("replaced");
    assert_eq!((now.slot, now.control.server()), (stale.expect("found").slot, 9));
}

#[test]
fn touching_changes_state_and_time_only() {
    let mut bucket = Bucket::default();
    let world = World::new(0);
    let table = table(&mut bucket, &world);
    table.insert(&key(1), flow(5, State::SynRecv), None, 1);
    let hit = table.find(&key(1), 77).expect("inserted");
    table.touch(&hit, State::Established, 9);
    let after = table.find(&key(1), 77).expect("still there");
    assert_eq!((after.control.server(), after.state(), after.seen), (5, State::Established, 9));
}

#[test]
fn every_change_of_a_flow_is_a_change_of_the_load() {
    let mut bucket = Bucket::default();
    let world = World::new(3);
    let table = table(&mut bucket, &world);
    let hit = |client| table.find(&key(client), 77).expect("there");
    table.insert(&key(1), flow(5, State::SynRecv), None, 100);
    assert_eq!(world.load(5), (1, 0), "opened");
    for (state, load) in [
        (State::Established, (1, 0)),
        (State::FinWait, (0, 1)),
        (State::TimeWait, (0, 1)),
        (State::SynRecv, (1, 0)),
        (State::Close, (0, 1)),
    ] {
        table.touch(&hit(1), state, 100);
        assert_eq!(world.load(5), load, "{state:?}");
    }
    table.insert(&key(1), flow(6, State::SynRecv), Some(hit(1)), 100);
    assert_eq!((world.load(5), world.load(6)), ((0, 0), (1, 0)), "the port is used again");
    for client in 2..=4 {
        table.insert(&key(client), flow(5, State::Udp), None, 100);
    }
    assert_eq!(world.load(5), (0, 3), "UDP is inactive");
    table.insert(&key(9), flow(7, State::SynRecv), None, 100);
    assert_eq!((world.load(6), world.load(7)), ((0, 0), (1, 0)), "the embryonic one made room");
    table.forget(&hit(2));
    assert_eq!(world.load(5), (0, 2));
    table.end_all();
    assert!(world.is_empty());
}

#[test]
fn a_flow_of_a_removed_server_is_in_nobodys_load() {
    let mut bucket = Bucket::default();
    let world = World::new(0);
    let table = table(&mut bucket, &world);
    for client in 1..=3 {
        table.insert(&key(client), flow(5, State::Udp), None, 100);
    }
    // What the controller does when it gives the row to another server.
    world.generations[5].store(2, SeqCst);
    world.loads[5].store(0, SeqCst);
    table.forget(&table.find(&key(1), 77).expect("still there"));
    table.insert(&key(2), flow(6, State::Udp), table.find(&key(2), 77), 100);
    assert_eq!((world.load(5), world.load(6)), ((0, 0), (0, 1)));
    assert_eq!(table.collect(100), Collected { forgotten: 1, counted: 0 }, "it is of no use to anybody");
    assert_eq!(world.load(5), (0, 0));
}

#[test]
fn what_is_over_is_collected_and_nothing_else() {
    let mut bucket = Bucket::default();
    let mut world = World::new(0);
    world.timeouts.set(State::Udp, 20);
    let table = table(&mut bucket, &world);
    let now = 10_000;
    let fill: [(State, u32); SLOTS] = [
        (State::Established, now - ticks(900)),
        (State::Established, now - ticks(900) - 1),
        (State::Udp, now - ticks(20) - 1),
        (State::FinWait, now + 1),
    ];
    for (client, (state, seen)) in (1..).zip(fill) {
        table.insert(&key(client), flow(client, state), None, seen);
    }
    assert_eq!(table.collect(now), Collected { forgotten: 2, counted: 0 });
    assert_eq!([1, 2, 3, 4].map(|client| table.find(&key(client), 77).is_some()), [true, false, false, true]);
    assert_eq!([1, 2, 3, 4].map(|server| world.load(server)), [(1, 0), (0, 0), (0, 0), (0, 1)]);
    assert_eq!(table.collect(now), Collected::default());
}

#[test]
fn a_new_daemon_counts_what_an_earlier_one_left() {
    let mut bucket = Bucket::default();
    let (old, new) = (World::new(7), World::new(0));
    let before = table(&mut bucket, &old);
    for (client, state) in [(1, State::Established), (2, State::Udp), (3, State::FinWait), (4, State::Udp)] {
        before.insert(&key(client), flow(5, state), None, 100);
    }
    let after = table(&mut bucket, &new);
    let hit = |client| after.find(&key(client), 77).expect("there");
    after.touch(&hit(1), State::Established, 101);
    assert_eq!(new.load(5), (0, 0), "a packet that changes nothing pays nothing");
    after.touch(&hit(1), State::FinWait, 101);
    assert_eq!(new.load(5), (0, 1), "its first change counts it");
    after.forget(&hit(4));
    assert_eq!(new.load(5), (0, 1), "what was never counted is not subtracted");
    assert_eq!(after.collect(101), Collected { forgotten: 0, counted: 2 });
    assert_eq!(new.load(5), (0, 3));
    assert_eq!(after.collect(101), Collected::default(), "once");
    after.end_all();
    assert!(new.is_empty());
}

#[test]
fn a_change_of_state_is_not_lost_to_the_collector() {
    let mut bucket = Bucket::default();
    let (old, new) = (World::new(1), World::new(2));
    table(&mut bucket, &old).insert(&key(1), flow(5, State::Established), None, 100);
    let after = table(&mut bucket, &new);
    let hit = after.find(&key(1), 77).expect("there");
    assert_eq!(after.collect(100).counted, 1);
    after.touch(&hit, State::FinWait, 100);
    assert_eq!((after.find(&key(1), 77).map(|hit| hit.state()), new.load(5)), (Some(State::FinWait), (0, 1)));
}

fn on_two_threads<T: Send>(work: impl Fn(u16) -> T + Sync) -> (T, T) {
    thread::scope(|scope| {
        let (one, two) = (scope.spawn(|| work(0)), scope.spawn(|| work(1)));
        (one.join().expect("no panic"), two.join().expect("no panic"))
    })
}

/// Two threads open, change and close flows in one bucket and one of them collects: afterwards the loads are
/// what the slots say, and in the end nothing.
#[test]
fn loads_are_exact_under_contention() {
    loads_are_exact::<1>(7);
    loads_are_exact::<4>(37);
}

fn loads_are_exact<const ROWS: usize>(clients: u16)
where
    [Bucket<Key4>; ROWS]: Default,
{
    const ROUNDS: u32 = 200_000;
    let world = World::new(0);
    let mut buckets: Box<[Bucket<Key4>; ROWS]> = Box::default();
    let address = buckets.as_mut_ptr() as usize;
    let table = || Table { buckets: address as *mut Bucket<Key4>, rows: ROWS, world: &world };
    let work = |thread: u16| {
        let table = table();
        let mut seed = u32::from(thread) + 1;
        for round in 0..ROUNDS {
            // xorshift32, only to have choices in a test
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            let (key, server, now) =
                (key((seed >> 8) as u16 % clients * 4), (seed >> 16) as u16 % 4, round / 64);
            match (table.find(&key, 77), seed % 8) {
                (Some(hit), 0) => table.forget(&hit),
                (Some(hit), 1) => table.touch(&hit, State::Established, now),
                (Some(hit), 2..=4) => table.touch(&hit, State::FinWait, now),
                (stale, choice) => {
                    let state = if choice == 7 { State::Udp } else { State::SynRecv };
                    table.insert(&key, flow(server, state), stale, now);
                }
            }
            if thread == 0 && round % 16 == 0 {
                table.collect(now + ticks(60) + 3);
            }
        }
    };
    on_two_threads(work);
    let mut expected = [0u64; SERVERS];
    for slot in buckets.iter().flat_map(|bucket| &bucket.slots) {
        expected[usize::from(slot.control.server)] += slot.state().load();
    }
    let counted: Vec<u64> = world.loads.iter().map(|load| load.load(SeqCst)).collect();
    assert_eq!(counted, expected);
    table().end_all();
    assert!(world.is_empty());
}

/// Two threads insert the same few keys into one bucket, over and over: never two entries of one key, never an
/// entry with another key's server, and both threads are told the same server.
#[test]
fn two_cpus_in_one_bucket_agree() {
    two_cpus_agree::<1>();
}

/// The same where the flow's own bucket is full and empty again from one moment to the next.
#[test]
fn two_cpus_in_buckets_that_spill_agree() {
    two_cpus_agree::<4>();
}

fn two_cpus_agree<const ROWS: usize>()
where
    [Bucket<Key4>; ROWS]: Default,
{
    const ROUNDS: u16 = 20_000;
    let world = World::new(0);
    let mut buckets: Box<[Bucket<Key4>; ROWS]> = Box::default();
    let address = buckets.as_mut_ptr() as usize;
    let table = || Table { buckets: address as *mut Bucket<Key4>, rows: ROWS, world: &world };
    let barrier = Barrier::new(2);
    let insert_all = |thread: u16| {
        let table = table();
        let mut told = Vec::new();
        for round in 0..ROUNDS {
            barrier.wait();
            // The server says which thread proposed it and for which round.
            let wanted = flow(round << 1 | thread, State::Udp);
            let server = match table.insert(&key(round), wanted, None, 5) {
                Inserted::New => wanted.server(),
                Inserted::Existing(other) => other.server(),
                Inserted::Full | Inserted::Lost => panic!("a bucket with one key is full in round {round}"),
            };
            assert_eq!(server >> 1, round, "a server of another key");
            told.push(server);
            barrier.wait();
            assert_eq!(table.copies(&key(round)), 1, "round {round}");
            barrier.wait();
            // What stays makes the next round take the place of an older flow, whatever its age.
            if let (0, 0, Some(hit)) = (thread, round % 3, table.find(&key(round), 77)) {
                table.forget(&hit);
            }
            // One thread empties the flow's own bucket while the next round is on.
            if ROWS > 1 && thread == 0 && round % 2 == 0 {
                table.at(u32::from(round + 1) % ROWS as u32).collect(u32::MAX / 2);
            }
        }
        told
    };
    let (one, two) = on_two_threads(insert_all);
    assert_eq!(one, two, "both CPUs use the same server for a flow");
    table().end_all();
    assert!(world.is_empty());
}

#[test]
fn a_full_bucket_spills_and_what_spilled_is_found_and_counted() {
    let mut buckets: [Bucket<Key4>; 4] = Default::default();
    let world = World::new(0);
    let table = Table { buckets: buckets.as_mut_ptr(), rows: 4, world: &world };
    let clients = || (0..16).map(|number| number * 4);
    for client in clients() {
        assert_eq!(table.insert(&key(client), flow(1, State::Established), None, 100), Inserted::New);
    }
    assert_eq!(table.at(0).spilled(), 12, "all belong to one bucket");
    for client in clients() {
        assert_eq!(table.copies(&key(client)), 1);
        let hit = table.find(&key(client), 77).expect("held");
        table.touch(&hit, State::FinWait, 101);
    }
    assert_eq!(
        table.insert(&key(2), flow(2, State::SynRecv), None, 102),
        Inserted::New,
        "a closing one goes"
    );
    assert_eq!((world.load(1), world.load(2)), ((0, 15), (1, 0)));
    for client in clients() {
        table.find(&key(client), 77).iter().for_each(|hit| table.forget(hit));
    }
    assert_eq!((table.at(0).spilled(), world.load(1)), (0, (0, 0)));
    table.end_all();
}

#[test]
fn a_template_has_its_services_time_and_a_minute_more_while_it_has_flows() {
    let mut bucket = Bucket::default();
    let world = World::new(0);
    let table = table(&mut bucket, &world);
    for client in 1..=2 {
        table.insert(&key(client), flow(5, State::Template), None, 10_000);
    }
    assert_eq!(world.load(5), (0, 0), "it is no connection");
    let there = || [1, 2].map(|client| table.find(&key(client), 77).is_some());
    table.collect(10_000 + ticks(PERSISTENCE));
    assert_eq!(there(), [true, true]);
    let over = 10_001 + ticks(PERSISTENCE);
    table.collect(over);
    assert_eq!(there(), [true, false]);
    table.collect(over + ticks(60));
    assert_eq!(there(), [true, false]);
    assert_eq!(table.find(&key(1), 77).map(|hit| over - hit.seen), Some(ticks(PERSISTENCE) - ticks(60)));
}
