//! Two CPUs on the same buckets.

use std::{boxed::Box, sync::Barrier, thread, vec::Vec};

use super::*;

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
