//! Maglev hashing (Eisenbud and others, "Maglev: A Fast and Reliable Software Network Load Balancer", 2016) with the
//! table and the keys of IPVS: every server has a permutation of the buckets and takes its next free ones in turn.

use super::Listed;
use crate::layout::MAX_POOL;

/// A prime number of buckets.
pub(super) const BUCKETS: usize = 4093;
/// The greatest number of buckets a server takes in one turn has this many bits.
const TURN_BITS: u32 = 6;

/// Key of the hash of packets, and of a server's first bucket.
const FIRST: u64 = 2_654_435_761;
/// Key of the hash that gives the distance between a server's buckets.
const DISTANCE: u64 = 2_654_446_892;

/// The bucket of a packet.
#[inline(always)]
pub(super) const fn bucket(value: u32) -> u32 {
    hsiphash(value, FIRST) % BUCKETS as u32
}

/// A server's way through the buckets.
#[derive(Clone, Copy, Default)]
struct Permutation {
    next: u16,
    distance: u16,
    /// Buckets it takes in one turn.
    turns: u16,
}

impl Permutation {
    fn new(listed: &Listed, turns: u16) -> Self {
        let value = listed.address.wrapping_add(u32::from(listed.port));
        let distance = hsiphash(value, DISTANCE) % (BUCKETS as u32 - 1) + 1;
        Self { next: bucket(value) as u16, distance: distance as u16, turns }
    }

    fn step(&mut self) {
        self.next = ((u32::from(self.next) + u32::from(self.distance)) % BUCKETS as u32) as u16;
    }
}

/// Fills the ring; servers whose weight was never above 0 have no part in it.
pub(super) fn fill(list: &[Listed], ring: &mut [u16]) {
    let mut permutations = [Permutation::default(); MAX_POOL];
    let permutations = &mut permutations[..list.len()];
    let turns = turns(list);
    for (permutation, listed) in permutations.iter_mut().zip(list) {
        *permutation = Permutation::new(listed, turns(listed.last_weight));
    }
    let mut left = if list.iter().any(|listed| listed.last_weight > 0) { ring.len() } else { 0 };
    while left > 0 {
        for (place, permutation) in (0..).zip(permutations.iter_mut()) {
            for _turn in 0..permutation.turns {
                if left == 0 {
                    return;
                }
                while ring[usize::from(permutation.next)] != super::NOBODY {
                    permutation.step();
                }
                ring[usize::from(permutation.next)] = place;
                left -= 1;
            }
        }
    }
}

/// From a weight to turns: divided by the greatest common divisor, and halved until the greatest has 6 bits.
fn turns(list: &[Listed]) -> impl Fn(u16) -> u16 {
    let weights = || list.iter().map(|listed| listed.last_weight);
    let divisor = super::wrr::divisor(weights());
    let bits = u16::BITS - (weights().max().unwrap_or(0) / divisor).leading_zeros();
    let shift = bits.saturating_sub(TURN_BITS);
    move |weight| if weight == 0 { 0 } else { ((weight / divisor) >> shift).max(1) }
}

/// The kernel's `hsiphash` on 64-bit machines for one word: `SipHash`-1-3 of its four bytes, lower half; both halves of
/// the key are `key` (Aumasson and Bernstein, "`SipHash`: a fast short-input PRF", 2012).
#[inline(always)]
const fn hsiphash(word: u32, key: u64) -> u32 {
    let mut v = [
        key ^ 0x736f_6d65_7073_6575,
        key ^ 0x646f_7261_6e64_6f6d,
        key ^ 0x6c79_6765_6e65_7261,
        key ^ 0x7465_6462_7974_6573,
    ];
    let last = (4 << 56) | word as u64;
    v[3] ^= last;
    v = round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    v = round(round(round(v)));
    (v[0] ^ v[1] ^ v[2] ^ v[3]) as u32
}

#[inline(always)]
const fn round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}
