//! Which flows are asked after: a bit of each one's hash.
//!
//! Where a [settled](crate::layout::Pool::SETTLED) pool's ring says whose a segment is, its flow in the table hears nothing of it.
//! So whoever needs to hear asks: the program of a connection that has just begun, the collector of one that has long been silent,
//! and the next segment is looked up. Who shares a bit with another is looked up too.

use super::{State, Timeouts, ticks};

/// Flows in a word, above which stands in which spell of time they were asked after.
const FLOWS: u32 = 56;
/// The ticks of a spell: 2^4, 17 s.
const SPELL_TICKS: u32 = 4;

/// The time of an established flow, in seconds, under which it is asked after always, and the part of it after which it is
/// otherwise: it may end so much too early.
const LEAST: u32 = 275;
const PART: u32 = 8;

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

    #[inline(always)]
    fn word(&self) -> u64 {
        // SAFETY: the contract of `of`.
        unsafe { self.word.read_volatile() }
    }

    /// Is it asked after?
    #[inline(always)]
    pub fn is(&self) -> bool {
        let word = self.word();
        word >> FLOWS == self.spell && word & self.bit != 0
    }

    /// Asks. What was asked in another spell is over.
    #[inline(always)]
    pub fn ask(&self) {
        let word = self.word();
        let others = if word >> FLOWS == self.spell { word } else { self.spell << FLOWS };
        // SAFETY: the contract of `of`.
        unsafe { self.word.write_volatile(others | self.bit) };
    }

    /// The same for who may be late: what is asked in the next spell stands.
    pub fn ask_late(&self) {
        if self.word() >> FLOWS != (self.spell + 1) & 0xff {
            self.ask();
        }
    }

    /// It was heard of.
    #[inline(always)]
    pub fn answer(&self) {
        // SAFETY: the contract of `of`.
        unsafe { self.word.write_volatile(self.word() & !self.bit) };
    }
}

/// Does a flow of TCP in this state, of which the table has heard nothing for so many ticks, want to hear of its next segment?
///
/// One that has not been established always does; one that is established from an eighth of its time on. One that closes does in its
/// last eighth: hardly any has segments then, there are many of them, and those that do are closed by one side only.
///
/// # Safety
/// `timeouts` is valid.
pub unsafe fn wants_to_hear(state: State, silence: u32, timeouts: *const Timeouts) -> bool {
    // SAFETY: the contract.
    let seconds = unsafe { Timeouts::seconds_at(timeouts, state) };
    let since = match state {
        State::Established if seconds >= LEAST => ticks(seconds) / PART,
        State::FinWait | State::TimeWait | State::CloseWait | State::LastAck | State::Close => {
            ticks(seconds) - ticks(seconds) / PART
        }
        _ => 0,
    };
    silence >= since
}

/// Was a flow that was found silent for so many ticks asked after because of that?
#[inline(always)]
pub const fn was_silent(silence: u32) -> bool {
    silence >= ticks(LEAST) / PART
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 0x1234;
    /// The last tick of the spell.
    const LAST: u32 = NOW | ((1 << SPELL_TICKS) - 1);

    fn asked(word: &mut u64, hash: u32, now: u32) -> Asked {
        // SAFETY: the reference outlives every use below.
        unsafe { Asked::of(word, hash, now) }
    }

    #[test]
    fn who_is_asked_after_is_until_it_is_heard_of_or_the_spell_is_over() {
        let hashes = [0, 0xffff_ffff, 0x8000_0000, 0x1234_5678];
        let mut word = 0;
        for hash in hashes {
            assert!(!asked(&mut word, hash, NOW).is(), "{hash:#x}");
            asked(&mut word, hash, NOW).ask();
        }
        let mut are = |now| hashes.map(|hash| asked(&mut word, hash, now).is());
        assert_eq!((are(NOW), are(LAST), are(LAST + 1)), ([true; 4], [true; 4], [false; 4]));
        asked(&mut word, hashes[2], NOW).answer();
        assert_eq!(hashes.map(|hash| asked(&mut word, hash, NOW).is()), [true, true, false, true]);
        asked(&mut word, hashes[2], LAST + 1).ask();
        assert_eq!(hashes.map(|hash| asked(&mut word, hash, LAST + 1).is()), [false, false, true, false]);
    }

    #[test]
    fn a_question_that_comes_late_ends_no_other() {
        let (first, second) = (1 << 20, 1 << 30);
        let mut word = 0;
        asked(&mut word, first, LAST + 1).ask();
        asked(&mut word, second, LAST).ask_late();
        assert!(asked(&mut word, first, LAST + 1).is());
        asked(&mut word, second, LAST + 1).ask_late();
        assert_eq!([first, second].map(|hash| asked(&mut word, hash, LAST + 1).is()), [true; 2]);
    }

    #[test]
    fn every_bit_is_a_flows_and_none_the_spells() {
        let mut word = 0;
        for high in 0..1 << 16 {
            asked(&mut word, high << 16, 0).ask();
        }
        assert_eq!(word, (1 << FLOWS) - 1);
    }

    #[test]
    fn the_silent_are_asked_after_before_their_time_is_over() {
        let mut timeouts = Timeouts::default();
        let begins = |timeouts: &Timeouts, state| {
            // SAFETY: a reference.
            (0..1000).find(|&silence| unsafe { wants_to_hear(state, silence, timeouts) })
        };
        let rows = [
            (State::SynRecv, 0),
            (State::Midway, 0),
            (State::Established, 104),
            (State::FinWait, 98),
            (State::Close, 9),
        ];
        for (state, since) in rows {
            assert_eq!(begins(&timeouts, state), Some(since), "{state:?}");
        }
        for (seconds, since) in [(274, 0), (275, 32)] {
            timeouts.set(State::Established, seconds);
            assert_eq!(begins(&timeouts, State::Established), Some(since), "{seconds} s");
            assert!(was_silent(32) && !was_silent(31));
        }
    }
}
