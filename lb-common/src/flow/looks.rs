//! How many of its packets a CPU looks for among the flows that were [seen lately](super::Lately), which a million flows have in
//! no near cache: all of them, unless there are many packets and hardly a flow begins.

use bytemuck::{Pod, Zeroable};

/// With fewer packets in a tick, 244 000 in a second, there is little to be saved.
const MANY: u32 = 1 << 18;
/// One packet in so many is looked for then.
const SELDOM: u32 = 64;
/// Scatters the numbers of those packets, so that nobody's packets, whatever their turns, are always others: 2^32 by the golden ratio.
const SCATTER: u32 = 0x9e37_79b9;
/// Hardly a flow begins if not one in so many of what is looked for does.
const STEADY: u32 = 64;

/// What one CPU knows of its looks, in a cache line that no other CPU writes to.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Looks {
    /// The tick that is counted.
    tick: u32,
    /// For how many ticks more, with this one, only one packet in [`SELDOM`] is looked for.
    seldom: u32,
    /// Packets of this tick.
    packets: u32,
    /// Flows that began in this tick, of those that were looked for.
    begun: u32,
    reserved: [u32; 12],
}

impl Looks {
    /// Is the next packet, which comes at a tick, to be looked for?
    #[inline(always)]
    pub const fn is_due(&mut self, now: u32) -> bool {
        if self.tick != now {
            self.begin(now);
        }
        self.packets = self.packets.wrapping_add(1);
        self.seldom == 0 || self.packets.wrapping_mul(SCATTER) < u32::MAX / SELDOM
    }

    /// Is only one packet in so many looked for? Whoever asks may have seen the clock a little before this CPU or after it.
    #[inline(always)]
    pub const fn is_seldom(&self, now: u32) -> bool {
        self.seldom != 0 && now.wrapping_sub(self.tick).wrapping_add(1) < 4
    }

    /// A flow has begun.
    #[inline(always)]
    pub const fn begun(&mut self) {
        self.begun = self.begun.wrapping_add(1);
    }

    /// Another tick, whose packets are taken to be like those of the last; that may have been only a part of what comes by fits.
    #[inline(always)]
    const fn begin(&mut self, now: u32) {
        let looks = if self.seldom == 0 { self.packets } else { self.packets / SELDOM };
        let seldom = if self.begun > looks / STEADY {
            0
        } else if self.packets >= MANY {
            2
        } else {
            self.seldom.saturating_sub(1)
        };
        *self = Self { tick: now, seldom, packets: 0, begun: 0, reserved: [0; 12] };
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    /// How many packets of a tick are looked for, if one in so many of these begins a flow.
    fn looks(row: &mut Looks, now: u32, packets: u32, every: u32) -> u32 {
        let mut looks = 0;
        for _packet in 0..packets {
            if row.is_due(now) {
                looks += 1;
                if looks % every == 0 {
                    row.begun();
                }
            }
        }
        looks
    }

    fn is_seldom(looks: u32, packets: u32) -> bool {
        looks.abs_diff(packets / SELDOM) < 9
    }

    #[test]
    fn each_packet_is_looked_for_where_there_are_few() {
        let mut row = Looks::default();
        for now in 1..4 {
            assert_eq!(looks(&mut row, now, MANY - 1, u32::MAX), MANY - 1);
        }
    }

    #[test]
    fn few_are_where_there_are_many_of_flows_that_are_there() {
        let mut row = Looks::default();
        assert_eq!(looks(&mut row, 7, MANY, u32::MAX), MANY, "not known yet");
        assert!(is_seldom(looks(&mut row, 8, MANY, u32::MAX), MANY));
        assert!(is_seldom(looks(&mut row, 9, 1600, u32::MAX), 1600));
        assert!(is_seldom(looks(&mut row, 10, 160, u32::MAX), 160), "few, once");
        assert_eq!(looks(&mut row, 11, 100, u32::MAX), 100, "few again");
    }

    #[test]
    fn each_packet_is_where_flows_begin() {
        let mut row = Looks::default();
        assert_eq!(looks(&mut row, 7, MANY, STEADY - 1), MANY);
        assert_eq!(looks(&mut row, 8, MANY, STEADY + 1), MANY, "too many began");
        assert!(is_seldom(looks(&mut row, 9, MANY, STEADY - 1), MANY));
        assert_eq!(looks(&mut row, 10, MANY, STEADY - 1), MANY, "too many of those looked for");
    }

    #[test]
    fn everybody_has_a_turn() {
        for flows in [1, 7, 8, 1000, 4096, 1 << 17] {
            let mut row = Looks { tick: 7, seldom: 1, ..Looks::default() };
            let mut missed = vec![0; flows];
            for packet in 0..flows * 1000 {
                let missed = &mut missed[packet % flows];
                *missed = if row.is_due(7) { 0 } else { *missed + 1 };
                assert!(*missed < 480, "{flows}: one is never looked for");
            }
        }
    }
}
