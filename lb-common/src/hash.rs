//! The keyed hash that places services and flows in their buckets.
//!
//! Multilinear hashing over 32-bit words with 64-bit random keys (Lemire and Kaser, "Strongly universal string
//! hashing is fast", 2014): `(k0 + k1*w1 + ... + kn*wn) mod 2^64`, upper half. For keys an attacker does not
//! know, any two inputs collide with probability 2^-32, whatever inputs he chooses. One multiplication a word.

/// The words of the longest key: two IPv6 addresses, the ports, the protocol.
pub const MAX_WORDS: usize = 10;

/// Random numbers that make a hash function; one set for the life of a table.
pub type Keys = [u64; MAX_WORDS + 1];

/// The hash of `count` words, at most [`MAX_WORDS`], 32 bits; `keys` gives the numbers of [`Keys`] one by one, as the
/// program reads them.
#[inline(always)]
pub fn multilinear(keys: impl Fn(usize) -> u64, count: usize, word: impl Fn(usize) -> u32) -> u32 {
    let mut sum = keys(0);
    let mut at = 0;
    while at < count {
        sum = sum.wrapping_add(keys(at + 1).wrapping_mul(u64::from(word(at))));
        at += 1;
    }
    mixed((sum >> 32) as u32)
}

/// A permutation of the 32-bit numbers, as `MurmurHash3` begins its last step: inputs collide as seldom as before.
///
/// The sum alone takes inputs in even steps, such as the ports of one client or the addresses of one network, to
/// hashes in even steps, and under one set of keys in thirty these crowd in few buckets.
#[inline(always)]
const fn mixed(mut hash: u32) -> u32 {
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^ (hash >> 13)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(mut seed: u64) -> Keys {
        core::array::from_fn(|_| {
            // splitmix64, only to have keys in a test
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
        })
    }

    #[test]
    fn clients_of_one_service_spread_evenly() {
        let (keys, mut buckets) = (keys(1), [0u32; 256]);
        for client in 0..65_536u32 {
            let words = [0x0a00_0000 + client, 0xc0a8_0001, (1024 + client % 7) << 16 | 0x50, 6];
            let hash = multilinear(|at| keys[at], 4, |at| words[at]);
            buckets[(hash & 255) as usize] += 1;
        }
        let (least, most) = (buckets.iter().min().copied(), buckets.iter().max().copied());
        assert!(least > Some(128) && most < Some(512), "{least:?} {most:?}");
    }

    #[test]
    fn another_key_is_another_function() {
        let of = |seed| multilinear(|at| keys(seed)[at], 3, |at| at as u32);
        assert_ne!(of(1), of(2));
    }

    /// Where buckets have four slots, and there are six flows to seven buckets, chance leaves one flow in 390 without a
    /// place; under no keys may it be many more, whatever pattern addresses and ports have.
    #[test]
    fn no_keys_crowd_flows_in_few_buckets() {
        const BUCKETS: usize = 1 << 16;
        const FLOWS: u32 = 56_250;
        let neighbours = |flow: u32| (0x6440_0000 + flow, 1024);
        let ports = |flow: u32| (0x0ac8_0000 + (flow >> 15), 1024 + (flow & 0x7fff));
        let networks = |flow: u32| (0x0a00_0001 + (flow / 200) * 0x100, 1024 + flow % 200);
        let patterns: [&dyn Fn(u32) -> (u32, u32); 3] = [&neighbours, &ports, &networks];
        for (seed, pattern) in (0..150).flat_map(|seed| (0..3).map(move |pattern| (seed, pattern))) {
            let (keys, mut buckets) = (keys(seed), std::vec![0u32; BUCKETS]);
            for flow in 0..FLOWS {
                let (address, port) = patterns[pattern](flow);
                let ports = u32::from((port as u16).to_be()) | 0x5000_0000;
                let words = [address.to_be(), 0xc0a8_0001, ports, 6];
                buckets[multilinear(|at| keys[at], words.len(), |at| words[at]) as usize & (BUCKETS - 1)] +=
                    1;
            }
            let over: u32 = buckets.iter().map(|flows| flows.saturating_sub(4)).sum();
            assert!(over < FLOWS / 200, "{over} of {FLOWS} flows, keys {seed}, pattern {pattern}");
        }
    }
}
