//! Where packets of the flows of this moment go: some ten thousand for each CPU, close together.
//!
//! Nothing is kept here but what the tables of services, flows and real servers said. It is worth that until the clock's next
//! tick, which is when a flow's last-seen time has to be written again, or until one of a service or a real server is changed.
//! And it is asked for the packets only that change nothing about their flow.

use bytemuck::{Pod, Zeroable};

use super::{
    Key,
    shared::{copy, same_at},
};
use crate::tcp::flag;

/// Sets there are of each CPU; a power of two.
const SETS: usize = 1 << SET_BITS;
const SET_BITS: u32 = 14;
/// Flows in a set; of IPv4 those of one cache line.
const WAYS: usize = 2;

/// Where packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// A [`crate::layout::NextHop`], of a server that can be sent to.
    pub hop: u64,
    /// Row of `servers`.
    pub server: u16,
    /// Row of `leases`, under which they go.
    pub lease: u16,
}

/// One flow.
#[repr(C, align(32))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Recent<K> {
    /// [`Way::hop`].
    hop: u64,
    /// From the low end: [`Way::server`], [`Way::lease`], and the moment.
    rest: u64,
    /// Whose flow it is.
    key: K,
}

/// A row of `recent4` or `recent6`: one CPU's flows.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct Recents<K> {
    /// Another number, in 32 bits and never 0, with every change of a service or a real server: the controller's.
    pub change: u64,
    /// The tick, and in the low half the change, in which this moment began.
    since: u64,
    /// The moment's number.
    moment: u64,
    /// For how many moments nothing is asked or kept.
    rest: u64,
    /// Packets that found their flow in this moment, and those for whose flow there was no room.
    found: u64,
    missed: u64,
    /// For how many it was last.
    rested: u64,
    reserved: u64,
    sets: [[Recent<K>; WAYS]; SETS],
}

// SAFETY: repr(C), every field is Pod, and 8 + 8 bytes and the key leave no padding at an alignment of 32.
unsafe impl<K: Key> Pod for Recent<K> {}
// SAFETY: all-zero is nobody's.
unsafe impl<K: Key> Zeroable for Recent<K> {}
// SAFETY: repr(C), and its words and sets leave no padding at an alignment of 64.
unsafe impl<K: Key> Pod for Recents<K> {}
// SAFETY: all-zero is nobody's.
unsafe impl<K: Key> Zeroable for Recents<K> {}

/// To look in vain is worth it while at most so many packets do for one that finds its flow.
const WORTH: u64 = 4;
/// For how many moments nothing is asked where it is not: at first, and when it never is.
const REST: [u64; 2] = [7, 63];

/// The flows among which a packet's may be.
#[derive(Clone, Copy)]
pub struct RecentSet<K> {
    row: *mut Recents<K>,
    flows: *mut [Recent<K>; WAYS],
    moment: u32,
}

impl<K: Key> RecentSet<K> {
    /// Those of a key at a tick; none while it is not worth to ask.
    ///
    /// # Safety
    /// `row` is valid and aligned for as long as the value is used, and but for [`Recents::change`] nobody else writes to it.
    #[inline(always)]
    pub unsafe fn of(row: *mut Recents<K>, key: &K, now: u32) -> Option<Self> {
        // SAFETY: the contract.
        unsafe {
            let since = u64::from(now) << 32 | (&raw const (*row).change).read_volatile();
            if (&raw const (*row).since).read() != since {
                (&raw mut (*row).since).write(since);
                begin(row);
            }
            Self::again(row, key)
        }
    }

    /// The same once more for the same packet.
    ///
    /// # Safety
    /// That of [`Self::of`].
    #[inline(always)]
    pub unsafe fn again(row: *mut Recents<K>, key: &K) -> Option<Self> {
        // SAFETY: the contract, and there are so many sets.
        unsafe {
            if (&raw const (*row).rest).read() != 0 {
                return None;
            }
            let moment = (&raw const (*row).moment).read() as u32;
            Some(Self { row, flows: &raw mut (*row).sets[set_of(key)], moment })
        }
    }

    #[inline(always)]
    const fn flow(&self, at: usize) -> *mut Recent<K> {
        // SAFETY: the set is valid (contract of `of`) and callers count below WAYS.
        unsafe { &raw mut (*self.flows)[at] }
    }

    /// Where packets of the flow with this key go in this moment, if that is known.
    #[inline(always)]
    pub fn find(&self, key: &K) -> Option<Way> {
        let mut at = 0;
        while at < WAYS {
            let flow = self.flow(at);
            // SAFETY: the set is valid, and its keys are aligned.
            unsafe {
                let rest = (&raw const (*flow).rest).read();
                if (rest >> 32) as u32 == self.moment && same_at(key, &raw const (*flow).key) {
                    let (server, lease) = (rest as u16, (rest >> 16) as u16);
                    (*self.row).found += 1;
                    return Some(Way { hop: (&raw const (*flow).hop).read(), server, lease });
                }
            }
            at += 1;
        }
        None
    }

    /// Keeps that, if there is room in this moment, of a flow in a [steady](super::State::is_steady) state: one that it leaves only by
    /// packets that [open or end](changes) connections.
    #[inline(always)]
    pub fn keep(&self, key: &K, way: Way) {
        let mut at = 0;
        while at < WAYS {
            let flow = self.flow(at);
            // SAFETY: the set is valid, and nobody else writes to it.
            unsafe {
                if ((&raw const (*flow).rest).read() >> 32) as u32 != self.moment {
                    let rest = u64::from(self.moment) << 32 | u64::from(way.lease) << 16;
                    (&raw mut (*flow).rest).write(rest | u64::from(way.server));
                    (&raw mut (*flow).hop).write(way.hop);
                    copy(key, &raw mut (*flow).key);
                    return;
                }
            }
            at += 1;
        }
        // SAFETY: the contract of `of`.
        unsafe { miss(self.row) };
    }

    /// Keeps nothing any longer.
    #[inline(always)]
    pub fn forget(&self) {
        let mut at = 0;
        while at < WAYS {
            // SAFETY: the set is valid, and nobody else writes to it.
            unsafe { (&raw mut (*self.flow(at)).rest).write(0) };
            at += 1;
        }
    }
}

/// Begins another moment: so that a million flows do not look in vain all the time, it is one of several in which nothing is
/// asked where in the last one most did, and of twice as many where that is so again.
///
/// # Safety
/// `row` is valid and aligned, and nobody else writes to what is written here.
#[inline(always)]
unsafe fn begin<K>(row: *mut Recents<K>) {
    // SAFETY: the contract.
    let Recents { moment, rest, rested, found, missed, .. } = unsafe { &mut *row };
    *moment = u64::from((*moment as u32).wrapping_add(1));
    if *rest > 0 {
        *rest -= 1;
    } else {
        let is_worth_it = *missed <= WORTH * *found;
        *rested = if is_worth_it { 0 } else { (2 * *rested + 1).clamp(REST[0], REST[1]) };
        *rest = *rested;
    }
    (*found, *missed) = (0, 0);
}

/// Takes note of a packet that looked in vain and leaves nothing to be found.
///
/// # Safety
/// `row` is valid and aligned, and nobody else writes there.
#[inline(always)]
pub unsafe fn miss<K>(row: *mut Recents<K>) {
    // SAFETY: the contract.
    unsafe { (*row).missed += 1 };
}

/// May a packet with these flags, TCP's, change a connection in a [steady](super::State::is_steady) state?
#[inline(always)]
pub const fn changes(flags: u8) -> bool {
    flags & (flag::SYN | flag::FIN | flag::RST) != 0
}

/// The number of a key's set, by multiplication (Knuth, The Art of Computer Programming, volume 3, section 6.4). Who chooses
/// addresses that meet in one set has their packets, and those of who is there, go the longer way.
#[inline(always)]
fn set_of<K: Key>(key: &K) -> usize {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let (mut sum, mut at) = (0, 0);
    while at < K::WORDS {
        let word = u64::from(key.word(at)) | u64::from(key.word(at + 1)) << 32;
        sum = (sum ^ word).wrapping_mul(FACTOR);
        at += 2;
    }
    (sum >> (64 - SET_BITS)) as usize
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{boxed::Box, vec, vec::Vec};

    use super::*;
    use crate::{
        flow::{Key4, State},
        opening::after,
    };

    const WAY: Way = Way { hop: 0x0003_0605_0403_0201, server: 7, lease: 2 };
    const TCP: u8 = 6;
    const UDP: u8 = 17;

    struct Row(Box<Recents<Key4>>);

    impl Row {
        fn new() -> Self {
            // SAFETY: all-zero is nobody's.
            let mut row = unsafe { Box::<Recents<Key4>>::new_zeroed().assume_init() };
            row.change = 1;
            Self(row)
        }

        fn ask(&mut self, key: &Key4, now: u32) -> Option<RecentSet<Key4>> {
            // SAFETY: the row is there for longer than any set is used here, and nobody else writes to it.
            unsafe { RecentSet::of(&raw mut *self.0, key, now) }
        }

        fn set(&mut self, key: &Key4, now: u32) -> RecentSet<Key4> {
            self.ask(key, now).expect("it does not rest")
        }

        fn keep(&mut self, key: &Key4, now: u32) {
            self.set(key, now).keep(key, WAY);
        }

        fn find(&mut self, key: &Key4, now: u32) -> Option<Way> {
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
}
