//! Fragments: those behind the first carry no ports and follow what became of it.

use bytemuck::{Pod, Zeroable};

use crate::{
    flow::{TICK_SHIFT, ticks},
    layout::Address,
    limiter::Rate,
};

/// How long fragments may come after the first, in seconds, as Linux waits for them in IPv4 (`ipfrag_time`).
pub const SECONDS: u32 = 30;

/// The key of `fragments`: what the fragments of one datagram have in common (RFC 791, section 3.2; RFC 8200, section 4.5).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct Datagram {
    /// Its source.
    pub source: Address,
    /// Its destination.
    pub destination: Address,
    /// Its identification, host order.
    pub identification: u32,
    /// IPv4: the protocol number. IPv6: 0, for only that of the first fragment counts.
    pub protocol: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// What became of a first fragment.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A real server got it.
    Served = 1,
    /// The stack got it.
    Passed = 2,
    /// Nobody got it.
    Dropped = 3,
}

/// The value of `fragments`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct First {
    /// When the first fragment came, in ticks.
    pub tick: u32,
    /// Served: the row of `servers`.
    pub server: u16,
    /// Served: the generation that the row had.
    pub generation: u16,
    /// Served: the row of `leases` that its service names.
    pub lease: u16,
    /// A [`Fate`] as a number.
    pub fate: u8,
    /// Zero.
    pub reserved: u8,
}

impl First {
    /// Does it still stand for the others, at the tick `now`?
    #[inline(always)]
    pub const fn is_valid(&self, now: u32) -> bool {
        // A packet that came in a moment later may have been told an earlier time.
        now.wrapping_sub(self.tick) as i32 <= ticks(SECONDS) as i32
    }
}

/// The most bytes of a frame that is kept because it came too early: of every MTU that drivers with XDP have.
pub const MAX_EARLY: usize = 9728;

/// How many are kept by each CPU: those of some large datagrams at once, and not so many that a flood of them costs much.
pub const EARLY_RATE: Rate = Rate { interval_ns: 100_000, burst: 1024 };

/// What stands in the ring `early` before a frame that came before the first fragment of its datagram.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Early {
    /// Whose first is awaited.
    pub datagram: Datagram,
    /// The interface that the frame came in by.
    pub ifindex: u32,
    /// Its bytes.
    pub len: u32,
}

// The longest time that is measured is far from what the ticks can count.
const _: () = assert!((SECONDS as u64 * 1_000_000_000) >> TICK_SHIFT < 1 << 30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_no_holes() {
        assert_eq!((size_of::<Datagram>(), size_of::<First>(), size_of::<Early>()), (40, 12, 48));
    }

    #[test]
    fn a_first_fragment_stands_for_half_a_minute_whatever_the_clock_says() {
        for tick in [0, 1, 77, u32::MAX - 3, u32::MAX] {
            let first = First { tick, ..First::default() };
            for (later, is_valid) in
                [(0, true), (1, true), (ticks(SECONDS), true), (ticks(SECONDS) + 1, false)]
            {
                assert_eq!(first.is_valid(tick.wrapping_add(later)), is_valid, "{tick} and {later}");
            }
            assert!(first.is_valid(tick.wrapping_sub(1)), "the clock of another CPU");
        }
    }
}
