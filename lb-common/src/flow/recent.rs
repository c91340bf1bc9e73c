//! Where packets of the flows of this moment go: some ten thousand for each CPU, close together, and four times as many in
//! a wider space where they are so many.
//!
//! Nothing is kept here but what the tables of services, flows and real servers said. It is worth that until the clock's next
//! tick, which is when a flow's last-seen time has to be written again, or until one of a service or a real server is changed.
//! And it is asked for the packets only that change nothing about their flow.

use bytemuck::{Pod, Zeroable};

use super::{Half as _, Key};
use crate::{layout::MAX_SERVERS, tcp::flag};

/// Sets there are of each CPU; a power of two.
const SETS: usize = 1 << SET_BITS;
const SET_BITS: u32 = 14;
/// As many of them are used while flows find room there; a power of two.
const NEAR: usize = 1 << 12;
/// Flows in a set; of IPv4 those of one cache line.
const WAYS: usize = 6;

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

/// Flows of one moment. Places that are free repeat the first.
#[repr(C, align(32))]
#[derive(Clone, Copy, Debug)]
struct Set<K: Key> {
    /// The moment's number.
    moment: u32,
    /// By flows, their [`Way::server`].
    servers: [u16; WAYS],
    /// By flows, [`Key::own`]; the rest of the key is with the server.
    own: [K::Half; WAYS],
}

/// What the flows of a real server have in common.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Server<K: Key> {
    /// [`Way::hop`].
    hop: u64,
    /// The moment's number.
    moment: u32,
    /// [`Way::lease`].
    lease: u16,
    reserved: u16,
    /// [`Key::shared`]. Under a firewall mark there may be others.
    shared: K::Half,
}

/// A row of `recent4` or `recent6`: one CPU's flows.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct Recents<K: Key> {
    /// Another number, in 32 bits and never 0, with every change of a service or a real server: the controller's.
    pub change: u64,
    /// The tick, and in the low half the change, in which this moment began.
    since: u64,
    /// The moment's number, in 32 bits.
    pub moment: u64,
    /// For how many moments nothing is asked or kept.
    rest: u64,
    /// Packets that found their flow in this moment.
    pub found: u64,
    /// Those for whose flow there was no room.
    pub crowded: u64,
    /// Those that left nothing to be found for other reasons.
    missed: u64,
    /// For how many it rested last.
    rested: u64,
    /// [`room`]: the controller's.
    pub room: u64,
    reserved: [u64; 7],
    /// By rows of `servers`.
    servers: [Server<K>; MAX_SERVERS],
    sets: [Set<K>; SETS],
}

// SAFETY: repr(C), every field is Pod or words of such, and the servers and the sets, of 64 and 160 bytes, leave no padding.
unsafe impl<K: Key> Pod for Recents<K> {}
// SAFETY: all-zero is nobody's.
unsafe impl<K: Key> Zeroable for Recents<K> {}

/// To look in vain is worth it while at most so many packets do for one that finds its flow.
const WORTH: u64 = 4;
/// For how many moments nothing is asked where it is not: at first, and when it never is.
const REST: [u64; 2] = [7, 63];

/// The flows among which a packet's may be.
#[derive(Clone, Copy)]
pub struct RecentSet<K: Key> {
    row: *mut Recents<K>,
    set: *mut Set<K>,
    moment: u32,
}

impl<K: Key> RecentSet<K> {
    /// Those of a key at a tick; none while it is not worth to ask.
    ///
    /// # Safety
    /// `row` is valid and aligned for as long as the value is used, and but for [`Recents::change`] and
    /// [`Recents::room`] nobody else writes to it.
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
            let room = (&raw const (*row).room).read_volatile();
            Some(Self { row, set: &raw mut (*row).sets[set_of(key, room)], moment })
        }
    }

    /// Is anything kept in this moment?
    #[inline(always)]
    fn is_begun(&self) -> bool {
        // SAFETY: the set is valid (contract of `of`).
        unsafe { (&raw const (*self.set).moment).read() == self.moment }
    }

    #[inline(always)]
    fn own(&self, at: usize) -> K::Half {
        // SAFETY: the set is valid (contract of `of`) and callers count below WAYS.
        unsafe { (&raw const (*self.set).own[at]).read() }
    }

    #[inline(always)]
    fn put(&self, at: usize, own: K::Half, server: u16) {
        // SAFETY: as in `own`, and nobody else writes to it.
        unsafe {
            (&raw mut (*self.set).own[at]).write(own);
            (&raw mut (*self.set).servers[at]).write(server);
        }
    }

    #[inline(always)]
    fn server(&self, row: u16) -> *mut Server<K> {
        // SAFETY: the row is valid (contract of `of`), and there are so many servers.
        unsafe { &raw mut (*self.row).servers[usize::from(row) % MAX_SERVERS] }
    }

    /// Where packets of the flow with this key go in this moment, if that is known.
    #[inline(always)]
    pub fn find(&self, key: &K) -> Option<Way> {
        if !self.is_begun() {
            return None;
        }
        let row = self.server_of(key.own())?;
        let server = self.server(row);
        // SAFETY: the server is valid, and what is kept in this moment has its server kept with it.
        unsafe {
            if (&raw const (*server).shared).read() != key.shared() {
                return None;
            }
            (*self.row).found += 1;
            let (hop, lease) = ((&raw const (*server).hop).read(), (&raw const (*server).lease).read());
            Some(Way { hop, server: row, lease })
        }
    }

    /// The row of the server of a flow that is kept.
    #[inline(always)]
    fn server_of(&self, own: K::Half) -> Option<u16> {
        // The place in bytes, so that nothing is left to multiply.
        let (step, mut offset) = (size_of::<u16>(), 0);
        while offset < step * WAYS {
            if self.own(offset / step) == own {
                // SAFETY: as in `own`.
                return Some(unsafe {
                    (&raw const (*self.set).servers).byte_add(offset).cast::<u16>().read()
                });
            }
            offset += step;
        }
        None
    }

    /// Keeps that, if there is room in this moment, of a flow in a [steady](super::State::is_steady) state: one that it leaves only by
    /// packets that [open or end](changes) connections. Or of one that goes by its service's ring, whatever the table has of it.
    #[inline(always)]
    pub fn keep(&self, key: &K, way: Way) {
        if !self.keep_server(key, way) || !self.keep_own(key.own(), way.server) {
            // SAFETY: the contract of `of`.
            unsafe { (*self.row).crowded += 1 };
        }
    }

    /// Keeps the server, unless it is there with what this flow does not share.
    #[inline(always)]
    fn keep_server(&self, key: &K, way: Way) -> bool {
        let server = self.server(way.server);
        // SAFETY: the server is valid, and nobody else writes to it.
        unsafe {
            if (&raw const (*server).moment).read() == self.moment {
                return (&raw const (*server).shared).read() == key.shared();
            }
            (&raw mut (*server).moment).write(self.moment);
            (&raw mut (*server).hop).write(way.hop);
            (&raw mut (*server).lease).write(way.lease);
            (&raw mut (*server).shared).write(key.shared());
        }
        true
    }

    #[inline(always)]
    fn keep_own(&self, own: K::Half, server: u16) -> bool {
        if !self.is_begun() {
            // SAFETY: the set is valid, and nobody else writes to it.
            unsafe { (&raw mut (*self.set).moment).write(self.moment) };
            let mut at = 0;
            while at < WAYS {
                self.put(at, own, server);
                at += 1;
            }
            return true;
        }
        let (first, mut at) = (self.own(0), 1);
        while at < WAYS {
            if self.own(at) == first {
                self.put(at, own, server);
                return true;
            }
            at += 1;
        }
        false
    }

    /// Keeps nothing any longer.
    #[inline(always)]
    pub fn forget(&self) {
        // SAFETY: the set is valid, and nobody else writes to it.
        unsafe { (&raw mut (*self.set).moment).write(0) };
    }
}

/// Begins another moment: so that a million flows do not look in vain all the time, it is one of several in which nothing is
/// asked where in the last one most did, and of twice as many where that is so again.
///
/// # Safety
/// `row` is valid and aligned, and nobody else writes to what is written here.
#[inline(always)]
unsafe fn begin<K: Key>(row: *mut Recents<K>) {
    // SAFETY: the contract.
    let Recents { moment, rest, rested, found, crowded, missed, .. } = unsafe { &mut *row };
    *moment = u64::from((*moment as u32).wrapping_add(1));
    if *rest > 0 {
        *rest -= 1;
    } else {
        let is_worth_it = *crowded + *missed <= WORTH * *found;
        *rested = if is_worth_it { 0 } else { (2 * *rested + 1).clamp(REST[0], REST[1]) };
        *rest = *rested;
    }
    (*found, *crowded, *missed) = (0, 0, 0);
}

/// Takes note of a packet that looked in vain and leaves nothing to be found, not for want of room.
///
/// # Safety
/// `row` is valid and aligned, and nobody else writes there.
#[inline(always)]
pub unsafe fn miss<K: Key>(row: *mut Recents<K>) {
    // SAFETY: the contract.
    unsafe { (*row).missed += 1 };
}

/// May a packet with these flags, TCP's, change a connection in a [steady](super::State::is_steady) state?
#[inline(always)]
pub const fn changes(flags: u8) -> bool {
    flags & (flag::SYN | flag::FIN | flag::RST) != 0
}

/// Where there is no room for more than one packet in so many that have it, all sets are used,
const CROWDED: u64 = 8;
/// and after so many moments, about five minutes, it is tried whether the near ones are enough again.
const LONG: u32 = 256;

/// [`Recents::room`] of the near sets alone.
const NEAR_SETS: u64 = 0;
/// The same of all sets.
const ALL_SETS: u64 = (SETS - NEAR) as u64;

/// What [`Recents::room`] is to be where it has been `room` for `age` moments, and a CPU has counted so many packets in this one.
///
/// No sooner than after two moments another: what is forgotten in one set in a moment must not be known in another.
pub const fn room(room: u64, age: u32, found: u64, crowded: u64) -> u64 {
    // Who finds no room comes after those who had taken it and may not have found themselves yet.
    let have_room = found + (NEAR * WAYS) as u64;
    if age < 2 {
        room
    } else if CROWDED * crowded > have_room {
        ALL_SETS
    } else if age >= LONG {
        NEAR_SETS
    } else {
        room
    }
}

/// The number of a key's set among those that are used. Who chooses addresses that meet in one set has their packets, and those of
/// who is there, go the longer way.
#[inline(always)]
fn set_of<K: Key>(key: &K, room: u64) -> usize {
    (key.own().scattered() >> (64 - SET_BITS) & ((NEAR as u64 - 1) | room)) as usize
}

#[cfg(test)]
mod tests;
