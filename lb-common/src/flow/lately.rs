//! Whose packets a CPU has seen lately: a few bits of each flow's hash.
//!
//! Where a [settled](crate::layout::Pool::SETTLED) pool's ring says whose a packet is, its flow has to be looked up only so
//! that its last-seen time goes on. That time is written in ticks and matters in minutes, so it is enough now and then. What
//! stands here is a hint: who passes for another, which one in ten thousand does, is not looked up.

/// Flows in a word.
const WAYS: u32 = 4;
/// Bits of a flow's hash.
const TAG_BITS: u32 = 14;
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;
/// Above the flows stands in which spell of time they were seen.
const SPELL_SHIFT: u32 = WAYS * TAG_BITS;
/// The ticks of a spell: 2^5, 34 s.
const SPELL_TICKS: u32 = 5;
/// A one in each flow's place.
const ONES: u64 = 1 | 1 << TAG_BITS | 1 << (2 * TAG_BITS) | 1 << (3 * TAG_BITS);

/// A word in which one CPU has up to four flows.
#[derive(Clone, Copy)]
pub struct Lately {
    word: *mut u64,
    tag: u64,
    spell: u64,
}

impl Lately {
    /// Bytes for a flow.
    pub const BYTES: usize = size_of::<u64>() / WAYS as usize;

    /// That of a flow with this hash, of which the lower bits have chosen the word, at a tick.
    ///
    /// # Safety
    /// `word` is valid and aligned for as long as the value is used, and nobody else writes to it.
    #[inline(always)]
    pub const unsafe fn of(word: *mut u64, hash: u32, now: u32) -> Self {
        let tag = (hash >> (u32::BITS - TAG_BITS)) as u64;
        // A place with 0 is free.
        Self { word, tag: tag | (tag == 0) as u64, spell: (now >> SPELL_TICKS) as u64 & 0xff }
    }

    #[inline(always)]
    const fn word(&self) -> u64 {
        // SAFETY: the contract of `of`.
        unsafe { self.word.read() }
    }

    /// Has it been noted in this spell?
    #[inline(always)]
    pub const fn has(&self) -> bool {
        let word = self.word();
        // Of four numbers one is 0 if taking 1 from each borrows where the highest bit was not set (Warren, Hacker's Delight,
        // section 6-1).
        let others = (word & !(0xff << SPELL_SHIFT)) ^ (self.tag * ONES);
        let zero = others.wrapping_sub(ONES) & !others & (ONES << (TAG_BITS - 1));
        word >> SPELL_SHIFT == self.spell && zero != 0
    }

    /// Notes it if there is room.
    #[inline(always)]
    pub const fn note(&self) {
        let mut word = self.word();
        if word >> SPELL_SHIFT != self.spell {
            word = self.spell << SPELL_SHIFT;
        }
        let mut place = 0;
        while place < WAYS {
            if word >> (place * TAG_BITS) & TAG_MASK == 0 {
                // SAFETY: the contract of `of`.
                unsafe { self.word.write(word | self.tag << (place * TAG_BITS)) };
                return;
            }
            place += 1;
        }
    }

    /// Its next packet has to do with its flow.
    #[inline(always)]
    pub const fn forget(&self) {
        let mut word = self.word();
        let mut place = 0;
        while place < WAYS {
            let tag = word >> (place * TAG_BITS) & TAG_MASK;
            word &= !(((tag == self.tag) as u64 * TAG_MASK) << (place * TAG_BITS));
            place += 1;
        }
        // SAFETY: the contract of `of`.
        unsafe { self.word.write(word) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 0x1234;

    fn lately(word: &mut u64, hash: u32, now: u32) -> Lately {
        // SAFETY: the reference outlives every use below.
        unsafe { Lately::of(word, hash, now) }
    }

    fn note(word: &mut u64, hash: u32, now: u32) {
        lately(word, hash, now).note();
    }

    fn has(word: &mut u64, hash: u32, now: u32) -> bool {
        lately(word, hash, now).has()
    }

    #[test]
    fn four_flows_are_known_until_the_spell_is_over() {
        let hashes =
            [0, 0x1_0000_0000_u64 - 1, 0x8000_0000, 0x7fff_ffff, 0x1234_5678].map(|hash| hash as u32);
        let mut word = 0;
        for hash in hashes {
            assert!(!has(&mut word, hash, NOW), "{hash:#x}");
            note(&mut word, hash, NOW);
        }
        assert_eq!(hashes.map(|hash| has(&mut word, hash, NOW)), [true, true, true, true, false]);
        let last = NOW | ((1 << SPELL_TICKS) - 1);
        assert_eq!(hashes.map(|hash| has(&mut word, hash, last)), [true, true, true, true, false]);
        assert_eq!(hashes.map(|hash| has(&mut word, hash, last + 1)), [false; 5]);
        note(&mut word, hashes[4], last + 1);
        assert_eq!(hashes.map(|hash| has(&mut word, hash, last + 1)), [false, false, false, false, true]);
    }

    #[test]
    fn who_is_not_noted_is_not_known() {
        for hash in (0..1 << TAG_BITS).map(|tag: u32| tag << (u32::BITS - TAG_BITS)) {
            let mut word = 0;
            assert!(!has(&mut word, hash, 0), "{hash:#x}");
            note(&mut word, 5 << 18, NOW);
            note(&mut word, 0x2fff << 18, NOW);
            let is_noted = hash == 5 << 18 || hash == 0x2fff << 18;
            assert_eq!(has(&mut word, hash, NOW), is_noted, "{hash:#x}");
        }
    }

    #[test]
    fn who_is_forgotten_is_not_known() {
        let mut word = 0;
        let hashes = [7 << 20, 8 << 20, 9 << 20, 10 << 20];
        for hash in hashes {
            note(&mut word, hash, NOW);
        }
        lately(&mut word, 9 << 20, NOW).forget();
        assert_eq!(hashes.map(|hash| has(&mut word, hash, NOW)), [true, true, false, true]);
        note(&mut word, 11 << 20, NOW);
        assert!(has(&mut word, 11 << 20, NOW), "in its place");
    }
}
