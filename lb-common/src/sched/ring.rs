//! The schedulers by hash: a ring of buckets, each with a server, filled when the pool is published. The packet names
//! the bucket.

use super::{Listed, Method, Request, Scheduler, mh};

/// Buckets of sh and dh.
const BUCKETS: usize = 256;

/// No server has the bucket.
pub const NOBODY: u16 = u16::MAX;

impl Scheduler {
    /// Buckets of its ring; 0 when it has none.
    #[inline(always)]
    pub const fn ring_len(self) -> usize {
        match self {
            Self::Sh | Self::Dh => BUCKETS,
            Self::Mh => mh::BUCKETS,
            _ => 0,
        }
    }
}

/// Fills the ring of a pool: for every bucket a place in `list`, or [`NOBODY`]. `ring` has the scheduler's
/// [`Scheduler::ring_len`].
pub fn fill(scheduler: Scheduler, list: &[Listed], ring: &mut [u16]) {
    ring.fill(NOBODY);
    match scheduler {
        Scheduler::Sh => by_turns(list, ring, |listed| listed.weight.max(1)),
        Scheduler::Dh => by_turns(list, ring, |_| 1),
        Scheduler::Mh => mh::fill(list, ring),
        _ => {}
    }
}

/// The servers in the list's order, over and over, each with as many buckets in a row as it has turns.
fn by_turns(list: &[Listed], ring: &mut [u16], turns: impl Fn(&Listed) -> u16) {
    let servers = (0..).zip(list).cycle();
    let places = servers.flat_map(|(place, listed)| (0..turns(listed)).map(move |_| place));
    ring.iter_mut().zip(places).for_each(|(bucket, place)| *bucket = place);
}

/// How many buckets are looked at before nobody is found: the packet's, and under `fallback` as many others as there
/// are.
#[inline(always)]
pub(super) const fn steps(method: Method) -> u32 {
    match method.scheduler {
        Scheduler::Sh | Scheduler::Mh if method.flags.fallback => 1 + method.scheduler.ring_len() as u32,
        _ => 1,
    }
}

/// The bucket of a packet under a scheduler by hash, which decides where its server takes connections.
#[inline(always)]
pub const fn bucket_of(method: Method, request: &Request) -> u32 {
    bucket(method.scheduler, hashed(method, request), 0)
}

/// What is hashed of a packet.
#[inline(always)]
pub(super) const fn hashed(method: Method, request: &Request) -> u32 {
    match method.scheduler {
        Scheduler::Dh => request.destination,
        _ if method.flags.port => request.client.wrapping_add(request.client_port as u32),
        _ => request.client,
    }
}

/// The bucket of `value` at a step: its own, then those that the fallback goes through, as IPVS numbers them.
#[inline(always)]
pub(super) const fn bucket(scheduler: Scheduler, value: u32, step: u32) -> u32 {
    if matches!(scheduler, Scheduler::Mh) {
        let first = mh::bucket(value);
        if step == 0 {
            first
        } else {
            mh::bucket(value.wrapping_add((step - 1 + first) % mh::BUCKETS as u32))
        }
    } else {
        let first = hash_32(value);
        if step == 0 { first } else { (step - 1 + 2 * first) % BUCKETS as u32 }
    }
}

/// Multiplicative hashing by the golden ratio: the upper 8 bits (`include/linux/hash.h`).
#[inline(always)]
const fn hash_32(value: u32) -> u32 {
    value.wrapping_mul(0x61c8_8647) >> 24
}
