use core::sync::atomic::{AtomicU64, Ordering};
use std::{sync::Barrier, thread, vec::Vec};

use super::*;
use crate::flow::Key4;

struct Host;

impl Atomic for Host {
    unsafe fn load(word: *const u64) -> u64 {
        // SAFETY: the trait's contract.
        unsafe { AtomicU64::from_ptr(word.cast_mut()) }.load(Ordering::SeqCst)
    }

    unsafe fn compare_exchange(word: *mut u64, old: u64, new: u64) -> u64 {
        // SAFETY: the trait's contract.
        let word = unsafe { AtomicU64::from_ptr(word) };
        word.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).unwrap_or_else(|found| found)
    }

    unsafe fn swap(word: *mut u64, new: u64) -> u64 {
        // SAFETY: the trait's contract.
        unsafe { AtomicU64::from_ptr(word) }.swap(new, Ordering::SeqCst)
    }
}

type Table = Shared<Key4, Host>;

fn table(bucket: &mut Bucket<Key4>) -> Table {
    // SAFETY: the bucket outlives the test's use of it.
    unsafe { Table::new(bucket) }
}

fn key(client: u16) -> Key4 {
    let [a, b] = client.to_be_bytes();
    Key4 { client: [10, 0, a, b], protocol: 6, ..Key4::default() }
}

fn flow(server: u16, state: State) -> Control {
    Control { server, generation: 1, tag: 77, state: state as u8, ..Control::default() }
}

#[test]
fn what_was_inserted_is_found_and_nothing_else() {
    let mut bucket = Bucket::default();
    let table = table(&mut bucket);
    assert_eq!(table.insert(&key(1), flow(5, State::Established), None, 100), Inserted::New);
    let hit = table.find(&key(1), 77).expect("inserted");
    assert_eq!((hit.control.server, hit.state(), hit.seen), (5, State::Established, 100));
    assert_eq!(table.find(&key(2), 77), None, "same tag, other key");
    assert_eq!(table.find(&key(1), 78), None, "other tag");
    table.forget(&hit);
    assert_eq!(table.find(&key(1), 77), None);
}

#[test]
fn the_victim_is_expired_then_embryonic_then_inactive_then_nobody() {
    let now = 1_000_000;
    let mut bucket = Bucket::default();
    let table = table(&mut bucket);
    let fill: [(u16, State, u32); SLOTS] = [
        (1, State::Established, now - State::Established.timeout() - 1),
        (2, State::SynRecv, now - 10),
        (3, State::FinWait, now - 50),
        (4, State::Udp, now - 40),
    ];
    for (client, state, seen) in fill {
        assert_eq!(table.insert(&key(client), flow(client, state), None, seen), Inserted::New);
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

#[test]
fn a_stale_entry_of_the_same_key_is_replaced_in_its_place() {
    let mut bucket = Bucket::default();
    let table = table(&mut bucket);
    for client in 1..=3 {
        table.insert(&key(client), flow(client, State::Established), None, 1);
    }
    let stale = table.find(&key(2), 77);
    assert_eq!(table.insert(&key(2), flow(9, State::SynRecv), stale, 2), Inserted::New);
    let now = table.find(&key(2), 77).expect("replaced");
    assert_eq!((now.slot, now.control.server), (stale.expect("found").slot, 9));
}

#[test]
fn touching_changes_state_and_time_only() {
    let mut bucket = Bucket::default();
    let table = table(&mut bucket);
    table.insert(&key(1), flow(5, State::SynRecv), None, 1);
    let hit = table.find(&key(1), 77).expect("inserted");
    table.touch(&hit, State::Established, 9);
    let after = table.find(&key(1), 77).expect("still there");
    assert_eq!((after.control.server, after.state(), after.seen), (5, State::Established, 9));
    assert!(!after.is_expired(9 + State::Established.timeout()));
    assert!(after.is_expired(10 + State::Established.timeout()));
}

/// Two threads insert the same few keys into one bucket, over and over: never two entries of one key, never an
/// entry with another key's server, and both threads are told the same server.
#[test]
fn two_cpus_in_one_bucket_agree() {
    const ROUNDS: u16 = 20_000;
    let bucket = std::boxed::Box::leak(std::boxed::Box::new(Bucket::<Key4>::default()));
    let address = core::ptr::from_mut(bucket) as usize;
    let barrier = std::sync::Arc::new(Barrier::new(2));
    let threads: Vec<_> = (0..2u16)
        .map(|thread| {
            let barrier = barrier.clone();
            thread::spawn(move || {
                // SAFETY: the bucket is leaked, so it is valid for ever.
                let table = unsafe { Table::new(address as *mut Bucket<Key4>) };
                let mut told = Vec::new();
                for round in 0..ROUNDS {
                    barrier.wait();
                    // The server says which thread proposed it and for which round.
                    let wanted = flow(round << 1 | thread, State::Udp);
                    let server = match table.insert(&key(round), wanted, None, 5) {
                        Inserted::New => wanted.server,
                        Inserted::Existing(other) => other.server,
                        Inserted::Full => panic!("a bucket with one key is full in round {round}"),
                    };
                    assert_eq!(server >> 1, round, "a server of another key");
                    told.push(server);
                    barrier.wait();
                    let copies = (0..SLOTS).filter(|&slot| {
                        let control = table.control(slot);
                        control.state > State::Tentative as u8 && table.holds(slot, control, &key(round))
                    });
                    assert_eq!(copies.count(), 1, "round {round}");
                    barrier.wait();
                    // What stays makes the next round take the place of an older flow, whatever its age.
                    if let (0, 0, Some(hit)) = (thread, round % 3, table.find(&key(round), 77)) {
                        table.forget(&hit);
                    }
                }
                told
            })
        })
        .collect();
    let told: Vec<Vec<u16>> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    assert_eq!(told[0], told[1], "both CPUs use the same server for a flow");
}
