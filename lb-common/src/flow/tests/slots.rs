//! One CPU: what becomes of flows, loads and templates in their slots.

use super::*;

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

/// Where it may be another CPU's too, nothing is left of it.
#[test]
fn a_free_slot_is_filled_where_the_bucket_has_no_entry_with_that_tag() {
    let mut bucket = Bucket::default();
    let world = World::new(0);
    let table = table(&mut bucket, &world);
    let insert = |client: u16, tag: u16| {
        let flow = Word::new(5, 1, tag, State::SynRecv);
        table.chain(&key(client), tag).insert_free(&key(client), flow, 100, || true)
    };
    assert!(insert(1, 77));
    let hit = table.find(&key(1), 77).expect("inserted");
    assert_eq!((hit.control.server(), hit.state(), hit.seen), (5, State::SynRecv, 100));
    assert!(!insert(1, 77) && !insert(2, 77), "the same flow, and another with its tag");
    assert_eq!((table.copies(&key(1)), table.copies(&key(2)), world.load(5).0), (1, 0, 1));
    assert!((3..=5).all(|client| insert(client, 77 + client)));
    assert!(!insert(6, 83), "no slot is free");
    assert_eq!(world.load(5).0, 4);
    table.forget(&hit);
    assert!(insert(6, 83) && !insert(1, 77), "the last one took the only free slot");
}

/// Another CPU is about to write the key, which may be the same.
#[test]
fn a_claim_under_the_flows_tag_is_waited_for() {
    let mut bucket = Bucket::default();
    let claim = Word::new(9, 1, 77, State::Claimed);
    bucket.slots[1].control = bytemuck::must_cast(claim.0);
    let world = World::new(0);
    let table = table(&mut bucket, &world);
    let chain = table.chain(&key(1), 77);
    let wanted = flow(5, State::SynRecv);
    assert!(!chain.insert_free(&key(1), wanted, 100, || true));
    assert_eq!(chain.try_insert(&key(1), wanted, None, 100), Inserted::Lost);
    assert!(
        world.is_empty() && [0, 2, 3].iter().all(|&slot| table.at(0).control(slot).state() == State::Free)
    );
    table.at(0).store(1, claim.claimed());
    assert_eq!(
        chain.try_insert(&key(1), wanted, None, 100),
        Inserted::New,
        "a claim in the place of another flow"
    );
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
    assert_eq!(
        table.collect(100),
        Collected { forgotten: 1, counted: 0, living: 1 },
        "it is of no use to anybody"
    );
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
    assert_eq!(table.collect(now), Collected { forgotten: 2, counted: 0, living: 2 });
    assert_eq!([1, 2, 3, 4].map(|client| table.find(&key(client), 77).is_some()), [true, false, false, true]);
    assert_eq!([1, 2, 3, 4].map(|server| world.load(server)), [(1, 0), (0, 0), (0, 0), (0, 1)]);
    assert_eq!(table.collect(now), Collected { living: 2, ..Collected::default() });
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
    assert_eq!(after.collect(101), Collected { forgotten: 0, counted: 2, living: 3 });
    assert_eq!(new.load(5), (0, 3));
    assert_eq!(after.collect(101), Collected { living: 3, ..Collected::default() }, "once");
    after.end_all();
    assert!(new.is_empty());
}

#[test]
fn an_established_flow_of_another_daemons_time_has_a_minute_more() {
    let mut bucket = Bucket::default();
    let (old, new) = (World::new(0), World::new(1));
    let now = 10_000;
    for (client, state) in [(1, State::Established), (2, State::Udp), (3, State::FinWait)] {
        table(&mut bucket, &old).insert(&key(client), flow(5, state), None, now - 2000);
    }
    let after = table(&mut bucket, &new);
    assert_eq!(after.collect(now), Collected { forgotten: 2, counted: 1, living: 1 });
    assert_eq!(after.collect(now + ticks(60)).living, 1);
    assert_eq!(after.collect(now + ticks(60) + 1).forgotten, 1);
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
