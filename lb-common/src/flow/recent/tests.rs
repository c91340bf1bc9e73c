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
    (0..).map(key).filter(|key| set_of(key) == set_of(&first)).take(count).collect()
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
    assert_eq!((key.own(), set_of(&key)), (double.own(), set_of(&double)));
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

#[test]
fn keys_are_spread_over_all_sets() {
    let mut flows = vec![0_u32; SETS];
    (0..10 * SETS as u32).for_each(|number| flows[set_of(&key(number))] += 1);
    let [least, most] = [flows.iter().min(), flows.iter().max()].map(|count| *count.expect("sets"));
    assert!(least >= 1 && most <= 30, "{least} to {most} of 10 in the mean");
}
