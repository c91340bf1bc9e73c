//! What is kept for how long, and that no flow passes for another.

extern crate std;
use std::{boxed::Box, vec, vec::Vec};

use super::*;
use crate::{
    flow::{Key4, Key6, State},
    opening::after,
};

const WAY: Way = Way { hop: 0x0003_0605_0403_0201, server: 7, lease: 2 };
const TCP: u8 = 6;
const UDP: u8 = 17;

struct Row<K: Key = Key4>(Box<Recents<K>>);

impl<K: Key> Row<K> {
    fn new() -> Self {
        // SAFETY: all-zero is nobody's.
        let mut row = unsafe { Box::<Recents<K>>::new_zeroed().assume_init() };
        row.change = 1;
        Self(row)
    }

    fn ask(&mut self, key: &K, now: u32) -> Option<RecentSet<K>> {
        // SAFETY: the row is there for longer than any set is used here, and nobody else writes to it.
        unsafe { RecentSet::of(&raw mut *self.0, key, now) }
    }

    fn set(&mut self, key: &K, now: u32) -> RecentSet<K> {
        self.ask(key, now).expect("it does not rest")
    }

    fn keep(&mut self, key: &K, now: u32) {
        self.set(key, now).keep(key, WAY);
    }

    fn find(&mut self, key: &K, now: u32) -> Option<Way> {
        self.set(key, now).find(key)
    }
}

fn key(number: u32) -> Key4 {
    Key4 { client: number.to_be_bytes(), vip: [192, 0, 2, 1], protocol: UDP, ..Key4::default() }
}

/// So many keys of one set.
fn neighbours(count: usize) -> Vec<Key4> {
    let first = key(0);
    (0..).map(key).filter(|key| set_of(key, ALL_SETS) == set_of(&first, ALL_SETS)).take(count).collect()
}

#[test]
fn a_flow_is_known_until_the_next_tick_or_change() {
    let (mut row, own, other) = (Row::new(), key(1), key(2));
    assert_eq!(row.find(&own, 9), None);
    row.keep(&own, 9);
    assert_eq!((row.find(&own, 9), row.find(&other, 9)), (Some(WAY), None));
    assert_eq!(row.find(&own, 10), None);
    row.keep(&own, 10);
    row.0.change += 1;
    assert_eq!(row.find(&own, 10), None);
    row.keep(&own, 10);
    assert_eq!(row.find(&own, 10), Some(WAY));
    row.0.change -= 1;
    assert_eq!(row.find(&own, 10), None, "a moment does not come again");
}

/// Of keys that differ in one bit, and of two whose own halves are equal, neither is taken for the other, whether its server is the
/// same or not.
fn is_itself<K: Key + core::fmt::Debug>(key: K, double: K, bits: impl Iterator<Item = (usize, u8)>) {
    assert_eq!((key.own(), set_of(&key, ALL_SETS)), (double.own(), set_of(&double, ALL_SETS)));
    let others = bits.map(|(byte, bit)| {
        let mut other = key;
        bytemuck::bytes_of_mut(&mut other)[byte] ^= 1 << bit;
        other
    });
    for other in others.chain([double]) {
        let (mut row, elsewhere) = (Row::<K>::new(), Way { server: 8, ..WAY });
        row.keep(&key, 3);
        assert_eq!((row.find(&key, 3), row.find(&other, 3)), (Some(WAY), None), "{key:?} {other:?}");
        row.keep(&other, 3);
        let found = row.find(&other, 3);
        assert!(found.is_none() || other.shared() == key.shared(), "{key:?} {other:?}");
        row.set(&other, 3).keep(&other, elsewhere);
        let found = row.find(&other, 3);
        assert!(found.is_some() || other.own() == key.own(), "{key:?} {other:?}");
        assert!(found.is_none_or(|way| way == elsewhere || other.shared() == key.shared()));
        assert_eq!(row.find(&key, 3), Some(WAY), "{other:?}");
    }
}

#[test]
fn no_flow_is_taken_for_another() {
    let key4 = Key4 {
        client: [100, 64, 7, 9],
        vip: [192, 0, 2, 1],
        client_port: [4, 210],
        vip_port: [0, 53],
        protocol: UDP,
        ..Key4::default()
    };
    let double4 = Key4 { vip: [196, 210, 2, 52], client_port: [0; 2], vip_port: [0; 2], ..key4 };
    is_itself(key4, double4, (0..13).flat_map(|byte| (0..8).map(move |bit| (byte, bit))));
    let mut vip = [2; 16];
    let key6 = Key6 {
        client: [1; 16],
        vip,
        client_port: [4, 210],
        vip_port: [0, 53],
        protocol: TCP,
        ..Key6::default()
    };
    let xored = [4, 210, 0, 53].map(|octet| 2 ^ octet);
    vip[12..].copy_from_slice(&xored);
    let double6 = Key6 { vip, client_port: [0; 2], vip_port: [0; 2], ..key6 };
    is_itself(key6, double6, (0..37).flat_map(|byte| (0..8).map(move |bit| (byte, bit))));
}

#[test]
fn who_is_there_stays_for_the_moment() {
    let (mut row, keys) = (Row::new(), neighbours(WAYS + 1));
    for key in &keys {
        row.keep(key, 5);
    }
    let known = |row: &mut Row, now| keys.iter().filter(|key| row.find(key, now).is_some()).count();
    assert_eq!((known(&mut row, 5), row.find(&keys[WAYS], 5)), (WAYS, None));
    row.keep(&keys[WAYS], 6);
    assert_eq!((known(&mut row, 6), row.find(&keys[WAYS], 6)), (1, Some(WAY)));
    for key in &keys {
        row.keep(key, 6);
    }
    assert_eq!((known(&mut row, 6), row.find(&keys[WAYS - 1], 6)), (WAYS, None));
    row.set(&keys[0], 6).forget();
    assert_eq!(known(&mut row, 6), 0);
}

#[test]
fn nothing_is_asked_for_a_while_where_most_look_in_vain() {
    let (mut row, keys) = (Row::new(), neighbours(WAYS + 1));
    let look = |row: &mut Row, now, in_vain: u64| {
        for key in &keys {
            row.keep(key, now);
        }
        assert_eq!(row.find(&keys[0], now), Some(WAY));
        (1..in_vain).for_each(|_| row.keep(&keys[WAYS], now));
    };
    let mut now = 0;
    for rest in [0, 7, 15, 31, 63, 63] {
        now += 1;
        for tick in 0..rest {
            assert!(row.ask(&keys[0], now + tick).is_none(), "{tick} of {rest}");
        }
        now += rest;
        look(&mut row, now, WORTH + 1);
    }
    (1..64).for_each(|tick| assert!(row.ask(&keys[0], now + tick).is_none(), "{tick}"));
    now += 64;
    look(&mut row, now, WORTH);
    look(&mut row, now + 1, WORTH + 1);
    (2..9).for_each(|tick| assert!(row.ask(&keys[0], now + tick).is_none(), "{tick}"));
    assert!(row.ask(&keys[0], now + 9).is_some(), "as short as at first");
}

#[test]
fn many_flows_have_more_room_as_long_as_they_are_many() {
    const EACH: u64 = 50;
    let places = (NEAR * WAYS) as u32;
    let (mut row, mut since) = (Row::new(), 0);
    // The part of so many flows that is known, and what the controller makes of it.
    let mut moment = |flows: u32, now: u32| {
        for key in (0..flows).map(key) {
            row.keep(&key, now);
        }
        let known = (0..flows).filter(|number| row.find(&key(*number), now).is_some()).count();
        // As many packets as flows of a moment have.
        row.0.found *= EACH;
        row.0.crowded += (u64::from(flows) - known as u64) * EACH;
        let next = room(row.0.room, now - since, row.0.found, row.0.crowded);
        if next != row.0.room {
            (row.0.room, since) = (next, now);
        }
        (known as f64 / f64::from(flows), next)
    };
    assert!(matches!(moment(2 * places, 1), (0.4..=0.5, NEAR_SETS)), "too soon");
    assert!(matches!(moment(places / 2, 2), (0.97..=1.0, NEAR_SETS)));
    assert!(matches!(moment(2 * places, 3), (0.4..=0.5, ALL_SETS)));
    assert!(matches!(moment(2 * places, 4), (0.97..=1.0, ALL_SETS)));
    for now in 5..3 + LONG {
        assert!(matches!(moment(100, now), (1.0, ALL_SETS)), "{now}");
    }
    assert!(matches!(moment(2 * places, 3 + LONG), (0.97..=1.0, NEAR_SETS)), "it is tried");
    assert!(matches!(moment(2 * places, 4 + LONG), (0.4..=0.5, NEAR_SETS)), "too soon");
    assert!(matches!(moment(4 * places, 5 + LONG), (0.2..=0.3, ALL_SETS)));
    assert!(matches!(moment(4 * places, 6 + LONG), (0.8..=0.9, ALL_SETS)));
}

#[test]
fn flows_that_come_first_are_no_crowd() {
    let some = (NEAR * WAYS) as u64 / CROWDED;
    assert_eq!(room(NEAR_SETS, 9, 0, some), NEAR_SETS);
    assert_eq!(room(NEAR_SETS, 9, 0, some + 1), ALL_SETS);
}

#[test]
fn no_packet_changes_a_steady_flow_that_may_ask() {
    for state in (0..32).map(State::from_number) {
        let is_steady = state.is_steady();
        assert_eq!(is_steady, state == State::Established || state == State::Udp, "{state:?}");
        let protocol = if state == State::Udp { UDP } else { TCP };
        for flags in (0..=u8::MAX).filter(|flags| is_steady && !changes(*flags)) {
            assert_eq!(after(state, protocol, flags), state, "{flags:#x}");
        }
    }
}

/// The part of the first so many flows that finds no room, of clients with such addresses and ports.
fn crowded<K: Key>(flows: u32, room: u64, key: impl Fn(u32) -> K) -> f64 {
    let mut sets = vec![0_usize; SETS];
    (0..flows).for_each(|number| sets[set_of(&key(number), room)] += 1);
    sets.iter().map(|flows| flows.saturating_sub(WAYS)).sum::<usize>() as f64 / f64::from(flows)
}

#[test]
fn no_addresses_find_less_room_than_chance_would_give_them() {
    type Client = fn(u32) -> (u32, u16);
    const FIRST: u32 = u32::from_be_bytes([10, 1, 0, 0]);
    let clients: [(&str, Client); 5] = [
        ("addresses in a row", |number| (FIRST + number, 40_000)),
        ("networks in a row", |number| (FIRST + (number << 8), 40_000)),
        ("ports in a row", |number| (FIRST + number / 20_000, (20_000 + number % 20_000) as u16)),
        ("256 addresses, each with ports in a row", |number| {
            (FIRST + number % 256, (32_768 + number / 256) as u16)
        }),
        ("4096 with every other port", |number| (FIRST + number % 4096, (32_768 + number / 4096 * 2) as u16)),
    ];
    // Of so many in Poisson's law: 1.6, 15 and 17 in a hundred.
    for (flows, room, most) in
        [(12_000, NEAR_SETS, 0.03), (24_000, NEAR_SETS, 0.18), (100_000, ALL_SETS, 0.20)]
    {
        for (what, client) in clients {
            let v4 = crowded(flows, room, |number| {
                let (address, port) = client(number);
                Key4 { client: address.to_be_bytes(), client_port: port.to_be_bytes(), ..key(0) }
            });
            let v6 = crowded(flows, room, |number| {
                let (address, port) = client(number);
                let mut client = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                client[12..].copy_from_slice(&address.to_be_bytes());
                Key6 { client, client_port: port.to_be_bytes(), ..Key6::default() }
            });
            assert!(v4 < most && v6 < most, "{flows} flows, {what}: {v4} and {v6}");
        }
    }
}
