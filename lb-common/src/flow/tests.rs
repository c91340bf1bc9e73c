use core::sync::atomic::{AtomicU16, AtomicU64, Ordering::SeqCst};
use std::{boxed::Box, sync::Barrier, thread, vec::Vec};

use super::*;
use crate::{
    flow::{Host, Key4, ticks},
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

impl Maps for &World {
    fn era(&self) -> u8 {
        self.era
    }

    fn generation(&self, server: u16) -> Option<u16> {
        Some(self.generations[usize::from(server) % SERVERS].load(SeqCst))
    }

    fn add_load(&self, server: u16, change: u64) {
        self.loads[usize::from(server) % SERVERS].fetch_add(change, SeqCst);
    }

    fn timeouts(&self) -> Option<*const Timeouts> {
        Some(&raw const self.timeouts)
    }
}

type Table<'a> = Shared<Key4, Host, &'a World>;

fn table<'a>(bucket: &mut Bucket<Key4>, world: &'a World) -> Table<'a> {
    // SAFETY: the bucket outlives the test's use of it.
    unsafe { Table::new(bucket, world) }
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
    end_all(&mut bucket, &world);
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
    let (old, new) = (World::new(15), World::new(0));
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
    end_all(&mut bucket, &new);
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

/// Lets every flow expire.
fn end_all(bucket: &mut Bucket<Key4>, world: &World) {
    table(bucket, world).collect(u32::MAX / 2);
    assert!(bucket.slots.iter().all(|slot| !slot.state().is_living()));
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
    const ROUNDS: u32 = 200_000;
    let world = World::new(0);
    let mut bucket = Box::new(Bucket::<Key4>::default());
    let address = core::ptr::from_mut(&mut *bucket) as usize;
    let work = |thread: u16| {
        // SAFETY: the bucket outlives the threads.
        let table = unsafe { Table::new(address as *mut Bucket<Key4>, &world) };
        let mut seed = u32::from(thread) + 1;
        for round in 0..ROUNDS {
            // xorshift32, only to have choices in a test
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            let (key, server, now) = (key((seed >> 8) as u16 % 7), (seed >> 16) as u16 % 4, round / 64);
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
    for slot in &bucket.slots {
        expected[usize::from(slot.control.server)] += slot.state().load();
    }
    let counted: Vec<u64> = world.loads.iter().map(|load| load.load(SeqCst)).collect();
    assert_eq!(counted, expected);
    end_all(&mut bucket, &world);
    assert!(world.is_empty());
}

/// Two threads insert the same few keys into one bucket, over and over: never two entries of one key, never an
/// entry with another key's server, and both threads are told the same server.
#[test]
fn two_cpus_in_one_bucket_agree() {
    const ROUNDS: u16 = 20_000;
    let world = World::new(0);
    let mut bucket = Box::new(Bucket::<Key4>::default());
    let address = core::ptr::from_mut(&mut *bucket) as usize;
    let barrier = Barrier::new(2);
    let insert_all = |thread: u16| {
        // SAFETY: the bucket outlives the threads.
        let table = unsafe { Table::new(address as *mut Bucket<Key4>, &world) };
        let mut told = Vec::new();
        for round in 0..ROUNDS {
            barrier.wait();
            // The server says which thread proposed it and for which round.
            let wanted = flow(round << 1 | thread, State::Udp);
            let server = match table.insert(&key(round), wanted, None, 5) {
                Inserted::New => wanted.server(),
                Inserted::Existing(other) => other.server(),
                Inserted::Full => panic!("a bucket with one key is full in round {round}"),
            };
            assert_eq!(server >> 1, round, "a server of another key");
            told.push(server);
            barrier.wait();
            let copies = (0..SLOTS).filter(|&slot| {
                let control = table.control(slot);
                control.state().is_living() && table.holds(slot, control, &key(round))
            });
            assert_eq!(copies.count(), 1, "round {round}");
            barrier.wait();
            // What stays makes the next round take the place of an older flow, whatever its age.
            if let (0, 0, Some(hit)) = (thread, round % 3, table.find(&key(round), 77)) {
                table.forget(&hit);
            }
        }
        told
    };
    let (one, two) = on_two_threads(insert_all);
    assert_eq!(one, two, "both CPUs use the same server for a flow");
    end_all(&mut bucket, &world);
    assert!(world.is_empty());
}
