//! Which flows are asked after: a bit of each one's hash.
//!
//! Where a [settled](crate::layout::Pool::SETTLED) pool's ring says whose a segment is, its flow in the table hears nothing of it.
//! So whoever needs to hear asks: the program of a connection that has just begun, the collector of one that has been silent for
//! a while, and the next segment is looked up. Who shares a bit with another is looked up too. Of UDP that is done where few packets
//! are [looked for](super::Looks).

use super::{State, Timeouts, ticks};

/// Flows in half of a word: one half is of this spell of time, the other of the one before. Above them stands which it is.
const FLOWS: u32 = 28;
const SPELL_SHIFT: u32 = 2 * FLOWS;
/// The ticks of a spell: 2^4, 17 s.
const SPELL_TICKS: u32 = 4;

/// An established flow is asked after when it was silent for this part of its time.
const FIRST_PART: u32 = 8;
/// A flow that closes is asked after in this part of its time, its last, and for so many ticks at least: longer than a pass takes.
const LAST_PART: u32 = 8;
const LAST_TICKS: u32 = 8;
/// A flow of UDP, whose end nobody says, is in this part of its time.
const LAST_PART_OF_UDP: u32 = 4;
/// One tick in so many, each flow's own, its packets are looked up in any case: of TCP, and of UDP, of which the table hears in other
/// ways as well.
const REGULARLY: [u32; 2] = [64, 128];

/// The bit of a flow in a word of one CPU. The collector writes there too: where both do, one of the questions may be lost, and the
/// collector comes again.
#[derive(Clone, Copy)]
pub struct Asked {
    word: *mut u64,
    bit: u64,
    spell: u64,
}

impl Asked {
    /// Words of a CPU: 64 KB, which it keeps near.
    pub const WORDS: u32 = 1 << 13;

    /// Which of them is a flow's.
    #[inline(always)]
    pub const fn word_of(hash: u32) -> u32 {
        hash & (Self::WORDS - 1)
    }

    /// That of a flow with this hash, which has chosen the word, at a tick.
    ///
    /// # Safety
    /// `word` is valid and aligned for as long as the value is used.
    #[inline(always)]
    pub const unsafe fn of(word: *mut u64, hash: u32, now: u32) -> Self {
        let bit = 1 << (((hash >> 16) * FLOWS) >> 16);
        Self { word, bit, spell: (now >> SPELL_TICKS) as u64 & 0xff }
    }

    /// The word, and how many spells it is older than this one.
    #[inline(always)]
    fn read(&self) -> (u64, u64) {
        // SAFETY: the contract of `of`.
        let word = unsafe { self.word.read_volatile() };
        (word, self.spell.wrapping_sub(word >> SPELL_SHIFT) & 0xff)
    }

    /// Is it asked after, in this spell or the one before?
    #[inline(always)]
    pub fn is(&self) -> bool {
        let (word, age) = self.read();
        let asked = match age {
            0 => word | word >> FLOWS,
            1 => word,
            _ => 0,
        };
        asked & self.bit != 0
    }

    /// Asks. Who is behind by a spell, as the collector may be, asks in the one before.
    #[inline(always)]
    pub fn ask(&self) {
        let (word, age) = self.read();
        let asked = match age {
            0 => word | self.bit,
            1 => self.spell << SPELL_SHIFT | (word & ((1 << FLOWS) - 1)) << FLOWS | self.bit,
            0xff => word | self.bit << FLOWS,
            _ => self.spell << SPELL_SHIFT | self.bit,
        };
        // Others have the word in their caches.
        if asked != word {
            // SAFETY: the contract of `of`.
            unsafe { self.word.write_volatile(asked) };
        }
    }

    /// It was heard of.
    #[inline(always)]
    pub fn answer(&self) {
        let (word, _) = self.read();
        let bits = self.bit | self.bit << FLOWS;
        if word & bits != 0 {
            // SAFETY: the contract of `of`.
            unsafe { self.word.write_volatile(word & !bits) };
        }
    }
}

/// Is this the tick in which the packets of a flow with this hash are looked up in any case? So who is unknown is recorded, and who
/// has packets all the time is heard of whoever else is there.
#[inline(always)]
pub const fn is_its_tick(hash: u32, now: u32, is_tcp: bool) -> bool {
    let [tcp, udp] = REGULARLY;
    // The bits above those that choose the word.
    (hash >> 13 ^ now) & (if is_tcp { tcp } else { udp } - 1) == 0
}

/// For how many ticks a flow in this state and with this timeout, in ticks, may have been silent when it is asked after. A steady one has
/// had its own tick by then, if its time is not short, so that hardly anybody is asked after who has packets all the time.
///
/// A connection that has not been established is asked after always, one that is established after an eighth of its time. One that
/// closes is in its last eighth: hardly any has segments then, there are many of them, and those that do are closed by one side only.
/// A flow of UDP is in its last quarter, for most of those that are silent so long are over.
#[inline(always)]
pub const fn patience(state: State, timeout: u32) -> u32 {
    match state {
        State::Established => timeout / FIRST_PART,
        State::Udp | State::UdpFirst => timeout - timeout / LAST_PART_OF_UDP,
        _ if state.is_closing() => {
            let last = timeout / LAST_PART;
            timeout.saturating_sub(if last > LAST_TICKS { last } else { LAST_TICKS })
        }
        _ => 0,
    }
}

/// Does a flow in this state, of which the table has heard nothing for so many ticks, want to hear of its next packet?
pub const fn wants_to_hear(state: State, silence: u32, timeouts: &Timeouts) -> bool {
    silence >= patience(state, ticks(timeouts.of(state)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 0x1234;
    const SPELL: u32 = 1 << SPELL_TICKS;
    /// The last tick of the spell.
    const LAST: u32 = NOW | (SPELL - 1);

    fn asked(word: &mut u64, hash: u32, now: u32) -> Asked {
        // SAFETY: the reference outlives every use below.
        unsafe { Asked::of(word, hash, now) }
    }

    #[test]
    fn who_is_asked_after_is_until_it_is_heard_of_or_the_next_spell_is_over() {
        let hashes = [0, 0xffff_ffff, 0x8000_0000, 0x1234_5678];
        let mut word = 0;
        for hash in hashes {
            assert!(!asked(&mut word, hash, NOW).is(), "{hash:#x}");
            asked(&mut word, hash, NOW).ask();
        }
        let mut are = |now| hashes.map(|hash| asked(&mut word, hash, now).is());
        let next = LAST + 1;
        assert_eq!([NOW, LAST, next, next + SPELL - 1].map(&mut are), [[true; 4]; 4]);
        assert_eq!([next + SPELL, NOW - SPELL].map(&mut are), [[false; 4]; 2]);
        asked(&mut word, hashes[2], NOW).answer();
        asked(&mut word, hashes[3], next).ask();
        let mut are = |now| hashes.map(|hash| asked(&mut word, hash, now).is());
        assert_eq!(are(next), [true, true, false, true]);
        assert_eq!(are(next + SPELL), [false, false, false, true]);
        for hash in hashes {
            asked(&mut word, hash, next).answer();
        }
        assert_eq!(hashes.map(|hash| asked(&mut word, hash, next).is()), [false; 4]);
    }

    #[test]
    fn who_asks_late_asks_in_the_spell_before_and_ends_no_other_question() {
        let (first, second) = (1 << 20, 1 << 30);
        let mut word = 0;
        asked(&mut word, first, LAST + 1).ask();
        asked(&mut word, second, LAST).ask();
        let mut are = |now| [first, second].map(|hash| asked(&mut word, hash, now).is());
        assert_eq!([LAST + 1, LAST + SPELL].map(&mut are), [[true; 2]; 2]);
        assert_eq!(are(LAST + 1 + SPELL), [true, false]);
    }

    #[test]
    fn a_question_after_a_long_time_is_the_only_one() {
        let (first, second) = (1 << 20, 1 << 30);
        for later in [2, 100, 254] {
            let mut word = 0;
            asked(&mut word, first, NOW).ask();
            asked(&mut word, second, NOW + later * SPELL).ask();
            let are = [first, second].map(|hash| asked(&mut word, hash, NOW + later * SPELL).is());
            assert_eq!(are, [false, true], "{later}");
        }
    }

    #[test]
    fn every_bit_is_a_flows_and_none_the_spells() {
        let mut word = 0;
        for high in 0..1 << 16 {
            asked(&mut word, high << 16, 0).ask();
            asked(&mut word, high << 16, SPELL).ask();
        }
        assert_eq!(word, 1 << SPELL_SHIFT | ((1 << SPELL_SHIFT) - 1));
    }

    #[test]
    fn every_flow_has_its_tick() {
        for (is_tcp, every) in [(true, 64), (false, 128)] {
            for hash in (0..1 << 20).step_by(0x777) {
                let ticks = (NOW..NOW + every).filter(|&now| is_its_tick(hash, now, is_tcp));
                assert_eq!(ticks.count(), 1, "{hash:#x}");
            }
        }
    }

    #[test]
    fn the_silent_are_asked_after_before_their_time_is_over() {
        let mut timeouts = Timeouts::default();
        let begins = |state| (0..1000).find(|&silence| wants_to_hear(state, silence, &timeouts));
        let rows = [
            (State::SynRecv, 0),
            (State::Midway, 0),
            (State::Established, 104),
            (State::FinWait, 98),
            (State::LastAck, 20),
            (State::Close, 2),
            (State::UdpFirst, 210),
            (State::Udp, 210),
        ];
        for (state, since) in rows {
            assert_eq!(begins(state), Some(since), "{state:?}");
        }
        timeouts.set(State::Established, 275);
        let is_asked_after = |silence| wants_to_hear(State::Established, silence, &timeouts);
        assert_eq!([31, 32].map(is_asked_after), [false, true]);
    }
}
