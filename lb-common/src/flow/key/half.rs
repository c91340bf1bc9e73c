//! The halves of a key: what the flows of a service have in common, and what sets them apart.

use bytemuck::{Pod, Zeroable};

/// Words of a key.
pub trait Half: Pod + Eq + core::fmt::Debug {
    /// A number whose upper bits tell them apart, by multiplication (Knuth, The Art of Computer Programming, volume 3, section 6.4)
    /// with bits from further down added, for some rows of addresses are rows of such products too.
    fn scattered(self) -> u64;
}

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Half for u64 {
    #[inline(always)]
    fn scattered(self) -> u64 {
        let product = self.wrapping_mul(FACTOR);
        product ^ product << 10
    }
}

/// Half of a [`Key6`](super::Key6).
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, Pod, Zeroable)]
pub struct Half6(u64, u64, u64);

impl From<[u64; 3]> for Half6 {
    #[inline(always)]
    fn from([a, b, c]: [u64; 3]) -> Self {
        Self(a, b, c)
    }
}

impl PartialEq for Half6 {
    /// With one branch, of which the verifier follows both sides.
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        (self.0 ^ other.0) | (self.1 ^ other.1) | (self.2 ^ other.2) == 0
    }
}

impl Half for Half6 {
    #[inline(always)]
    fn scattered(self) -> u64 {
        let Self(a, b, c) = self;
        // What sets addresses apart are the upper bits of the second word, and products have them in no lower ones.
        let address = a.wrapping_mul(FACTOR) ^ b;
        ((address ^ address >> 32).wrapping_mul(FACTOR) ^ c).scattered()
    }
}
