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
    (sum >> 32) as u32
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
}
