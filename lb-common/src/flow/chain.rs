//! The buckets in which the flow of a hash may lie, and how a flow comes into one slot of them, and into one only.
//!
//! A flow belongs to the bucket that its hash names. When that is full of flows that must not be forgotten, it goes to one
//! of three others, and the bucket it belongs to counts it as spilled. So a lookup reads one bucket, and others only where
//! something has spilled.
//!
//! Two CPUs that insert one key at once both publish it as Tentative and then look at the other slots; every
//! publication is a full barrier, and so is the count of what has spilled, which goes up before. So at least the later one
//! sees the other, and of two the lower row and slot wins.

use super::{
    Atomic, Hit, Key, Maps, SLOTS, Shared, State, Word,
    shared::{CLASS_SHIFT, KEPT, OVER, slot_of},
    tag,
};

/// Buckets in which a flow may lie.
const BUCKETS: u32 = 4;

/// How often a slot is looked for when another CPU takes the one that was chosen.
const CLAIMS: usize = 3;

/// What an insertion came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The flow is recorded as asked for.
    New,
    /// Another CPU recorded the same flow first: its server is to be used.
    Existing(Word),
    /// No slot could be had without forgetting an established connection.
    Full,
}

/// The buckets in which the flow of one hash may lie.
#[derive(Clone, Copy)]
pub struct Chain<K, A, M> {
    hash: u32,
    maps: M,
    types: core::marker::PhantomData<(K, A)>,
}

/// A slot that this CPU has published as Tentative.
#[derive(Clone, Copy)]
struct Own {
    row: u32,
    slot: usize,
    word: Word,
}

impl<K: Key, A: Atomic, M: Maps<K>> Chain<K, A, M> {
    /// Those of a hash.
    #[inline(always)]
    pub const fn new(hash: u32, maps: M) -> Self {
        Self { hash, maps, types: core::marker::PhantomData }
    }

    /// The row of the bucket at a place in the chain.
    #[inline(always)]
    fn row(&self, place: u32) -> u32 {
        let spread = match place {
            0 => 0,
            1 => 0x9e37_79b9,
            2 => 0x85eb_ca6e,
            _ => 0xc2b2_ae37,
        };
        (self.hash ^ spread) & self.maps.mask()
    }

    #[inline(always)]
    fn bucket(&self, row: u32) -> Option<Shared<K, A, M>> {
        // SAFETY: the row is valid (contract of `Maps`), and only this protocol writes to it.
        self.maps.bucket(row).map(|bucket| unsafe { Shared::new(row, bucket, self.maps) })
    }

    /// The bucket that the flow belongs to.
    #[inline(always)]
    pub fn home(&self) -> Option<Shared<K, A, M>> {
        self.bucket(self.row(0))
    }

    /// The bucket of a hit.
    #[inline(always)]
    pub fn of(&self, hit: &Hit) -> Option<Shared<K, A, M>> {
        self.bucket(hit.row)
    }

    /// The living flow of `key`, expired or not, in whichever bucket.
    #[inline(always)]
    pub fn find(&self, key: &K) -> Option<Hit> {
        let home = self.home()?;
        let hit = home.find(key, tag(self.hash));
        if hit.is_none() && home.spilled() != 0 {
            return self.find_spilled(key);
        }
        hit
    }

    /// The living flow of `key` in the buckets that it does not belong to.
    #[inline(always)]
    pub fn find_spilled(&self, key: &K) -> Option<Hit> {
        let mut place = 1;
        while place < BUCKETS {
            let hit = self.bucket(self.row(place))?.find(key, tag(self.hash));
            if hit.is_some() {
                return hit;
            }
            place += 1;
        }
        None
    }

    /// Records a flow: in the slot of `stale`, an entry of the same key that no longer counts, else in a free
    /// one, else in the place of the flow that is missed least.
    #[inline(always)]
    pub fn insert(&self, key: &K, flow: Word, stale: Option<Hit>, now: u32) -> Inserted {
        let own = match self.claim(key, flow, stale, now) {
            Ok(own) => own,
            Err(outcome) => return outcome,
        };
        let Some(bucket) = self.bucket(own.row) else { return Inserted::Full };
        if let Some(winner) = self.rival(Some(own), own.word, key) {
            let _killed = bucket.change(own.slot, own.word, own.word.in_state(State::Free));
            self.count_spilled(own.row, u32::MAX);
            return Inserted::Existing(winner);
        }
        let settled = own.word.in_state(flow.state());
        if bucket.change(own.slot, own.word, settled) {
            let load = bucket.load(settled);
            if load != 0 {
                self.maps.add_load(settled.server(), load);
            }
            return Inserted::New;
        }
        // Another CPU, in a lower slot, took this one away: its entry, settled or about to be, is the flow's.
        let winner = self.rival(None, own.word, key);
        self.count_spilled(own.row, u32::MAX);
        winner.map_or(Inserted::Full, Inserted::Existing)
    }

    /// Counts a slot of this hash in `row` as spilled, if it is.
    #[inline(always)]
    fn count_spilled(&self, row: u32, change: u32) {
        if row != self.row(0)
            && let Some(home) = self.home()
        {
            home.add_spilled(change);
        }
    }

    /// Takes a slot and publishes the key in it as Tentative.
    #[inline(always)]
    fn claim(&self, key: &K, flow: Word, stale: Option<Hit>, now: u32) -> Result<Own, Inserted> {
        let mut attempt = 0;
        while attempt < CLAIMS {
            let (row, slot, old) = match stale {
                Some(hit) if attempt == 0 => (hit.row, hit.slot as usize & (SLOTS - 1), hit.control),
                _ => self.victim(now).ok_or(Inserted::Full)?,
            };
            let bucket = self.bucket(row).ok_or(Inserted::Full)?;
            // The same flow, recorded by another CPU since it was looked up here, is nobody's victim.
            let is_other = stale.is_some_and(|hit| (hit.row, hit.control) == (row, old))
                || old.tag() != flow.tag()
                || !old.state().is_living()
                || !bucket.holds(slot, old, key);
            if !is_other {
                return Err(Inserted::Existing(old));
            }
            let turn = old.turn().wrapping_add(1);
            if bucket.end(slot, old, old.in_state(State::Claimed).in_turn(turn)) {
                let word = flow.in_state(State::Tentative).in_turn(turn).in_era(self.maps.era());
                self.count_spilled(row, 1);
                bucket.publish(slot, key, now, word);
                return Ok(Own { row, slot, word });
            }
            attempt += 1;
        }
        Err(Inserted::Full)
    }

    /// The entry that another CPU made of the same flow and that must stand instead of this one's `own`.
    #[inline(always)]
    fn rival(&self, own: Option<Own>, tentative: Word, key: &K) -> Option<Word> {
        let mut place = 0;
        while place < BUCKETS {
            if place > 0 && self.home()?.spilled() == 0 {
                break;
            }
            let row = self.row(place);
            let winner = self.bucket(row)?.rival(own.map(|own| (own.row, own.slot)), tentative, key);
            if winner.is_some() {
                return winner;
            }
            place += 1;
        }
        None
    }

    /// The slot that is missed least: in the first bucket that has one which holds nothing or what is over, else in
    /// whichever.
    #[inline(always)]
    fn victim(&self, now: u32) -> Option<(u32, usize, Word)> {
        let timeouts = self.maps.timeouts()?;
        let (mut least, mut row) = ((u64::MAX, Word(0)), 0);
        let mut place = 0;
        while place < BUCKETS && least.0 >> CLASS_SHIFT > OVER {
            let candidate = self.row(place);
            let better = self.bucket(candidate)?.victim(timeouts, now, least);
            if better.0 < least.0 {
                (least, row) = (better, candidate);
            }
            place += 1;
        }
        (least.0 >> CLASS_SHIFT < KEPT).then_some((row, slot_of(least.0), least.1))
    }
}

impl<K: Key, A: Atomic, M: Maps<K>> Shared<K, A, M> {
    /// The entry in this bucket that must stand instead of the tentative one at the row and slot `own`.
    #[inline(always)]
    fn rival(&self, own: Option<(u32, usize)>, tentative: Word, key: &K) -> Option<Word> {
        let mut slot = 0;
        while slot < SLOTS {
            let control = self.control(slot);
            let is_own = own == Some((self.row, slot));
            let same = !is_own && control.tag() == tentative.tag() && control.state() >= State::Tentative;
            if same && self.holds(slot, control, key) {
                // The lower slot removes a rival that is still undecided. A rival that was settled or withdrew
                // in that very moment says so by its control word.
                let undecided = control.state() == State::Tentative;
                let removed = undecided
                    && own.is_some_and(|own| own < (self.row, slot))
                    && (self.change(slot, control, control.in_state(State::Free))
                        || self.control(slot).state() <= State::Claimed
                        || self.control(slot).turn() != control.turn());
                if !removed {
                    return Some(control);
                }
            }
            slot += 1;
        }
        None
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
