//! The buckets in which the flow of a hash may lie, and how a flow comes into one slot of them, and into one only.
//!
//! A flow belongs to the bucket that its hash names. When that is full of flows that must not be forgotten, it goes to one
//! of three others, and the bucket it belongs to counts it as spilled. So a lookup reads one bucket, and others only where
//! something has spilled.
//!
//! Two CPUs that insert one key at once both publish it as Tentative and then look at the other slots; every
//! publication is a full barrier, and so is the count of what has spilled, which goes up before. So at least the later one
//! sees the other, and of two the lower row and slot wins.
//!
//! Who has a free slot of the flow's own bucket claims it under the flow's tag, which is a full barrier too, and then looks at the
//! other slots: where none has that tag, the flow is recorded as soon as its key stands. Whoever sees a claim with its own
//! flow's tag withdraws.

use super::{
    Atomic, Hit, Key, Maps, SLOTS, Shared, State, Word,
    shared::{CLASS_SHIFT, KEPT, OVER, slot_of},
    tag,
};

/// Buckets in which a flow may lie.
const BUCKETS: u32 = 4;

/// How often a flow is tried to be recorded where other CPUs are faster.
pub const ATTEMPTS: u32 = 3;

/// What an insertion came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The flow is recorded as asked for.
    New,
    /// Another CPU recorded the same flow first: its server is to be used.
    Existing(Word),
    /// No slot could be had without forgetting an established connection.
    Full,
    /// Another CPU took the slot: to be tried again.
    Lost,
}

/// The buckets in which the flow of one hash may lie.
#[derive(Clone, Copy)]
pub struct Chain<K, A, M> {
    hash: u32,
    maps: M,
    types: core::marker::PhantomData<(K, A)>,
}

/// A slot and its word.
#[derive(Clone, Copy)]
struct Place {
    row: u32,
    slot: u32,
    word: Word,
}

impl Place {
    /// No slot. (An `Option` would have a payload that nobody writes, which the verifier does not like.)
    const NONE: Self = Self { row: 0, slot: u32::MAX, word: Word::NONE };

    #[inline(always)]
    const fn is_none(&self) -> bool {
        self.slot == u32::MAX
    }

    #[inline(always)]
    const fn slot(&self) -> usize {
        self.slot as usize & (SLOTS - 1)
    }
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

    /// Is the bucket in this row the one that the flow belongs to?
    #[inline(always)]
    pub fn is_home(&self, row: u32) -> bool {
        row == self.row(0)
    }

    /// Would a flow that is not there find a slot at this moment?
    #[inline(always)]
    pub fn has_room(&self, now: u32) -> bool {
        !self.victim(now).is_none()
    }

    /// Records a flow, no template, in a free slot of the bucket it belongs to, which is what most find, if nothing there has its
    /// tag, and `stands`, which is asked when nothing else is in the way. `false` where it was not recorded: there is no such
    /// slot, it may be there, or another CPU may be recording it.
    #[inline(always)]
    pub fn insert_free(&self, key: &K, flow: Word, now: u32, stands: impl FnOnce() -> bool) -> bool {
        let Some(home) = self.home() else { return false };
        let free = home.free();
        if free.is_none() {
            return false;
        }
        let own = self.of_slot(flow, free.word.claimed());
        let claimed = own.in_state(State::Claimed);
        if !home.change(free.slot(), free.word, claimed) {
            return false;
        }
        // Nobody else changes a slot that is claimed.
        if !home.has_only(free.slot(), flow.tag()) || home.spilled() != 0 || !stands() {
            home.store(free.slot(), claimed.in_state(State::Free));
            return false;
        }
        home.fill(free.slot(), key, now);
        home.store(free.slot(), own);
        self.maps.add_load(flow.server(), flow.state().load());
        true
    }

    /// Tries to record a flow: in the slot of `stale`, an entry of the same key that no longer counts, else in a free one,
    /// else in the place of the flow that is missed least. [`Inserted::Lost`] where another CPU was faster, and the next
    /// attempt may succeed, up to [`ATTEMPTS`]: a loop here the verifier would follow round by round.
    #[inline(always)]
    pub fn try_insert(&self, key: &K, flow: Word, stale: Option<&Hit>, now: u32) -> Inserted {
        let place = match stale {
            Some(hit) => Place { row: hit.row, slot: hit.slot, word: hit.control },
            None => self.victim(now),
        };
        let Some(bucket) = self.bucket(place.row) else { return Inserted::Full };
        if place.is_none() {
            return Inserted::Full;
        }
        // The same flow, recorded by another CPU since it was looked up here, is nobody's victim.
        if stale.is_none() && place.word.is_flow(flow.tag()) && bucket.holds(place.slot(), place.word, key) {
            return Inserted::Existing(place.word);
        }
        let claimed = place.word.claimed();
        if !bucket.end(place.slot(), place.word, claimed) {
            return Inserted::Lost;
        }
        let word = self.of_slot(flow, claimed).in_state(State::Tentative);
        self.count_spilled(place.row, 1);
        bucket.publish(place.slot(), key, now, word);
        self.settle(&bucket, &Place { word, ..place }, key, flow)
    }

    /// The word of a flow in a slot that is claimed for it.
    #[inline(always)]
    fn of_slot(&self, flow: Word, claimed: Word) -> Word {
        flow.in_turn(claimed.turn()).in_era(self.maps.era())
    }

    /// Counts a flow that was recorded. Its generation is its row's: nobody else gets the row while a packet is under way that
    /// has found it.
    #[inline(always)]
    fn count(&self, flow: Word) {
        let load = flow.state().load();
        if load != 0 {
            self.maps.add_load(flow.server(), load);
        }
    }

    /// Lets the flow at `own`, which this CPU has published as Tentative, be in its state, if no other CPU's entry of the
    /// same flow must stand instead.
    #[inline(always)]
    fn settle(&self, bucket: &Shared<K, A, M>, own: &Place, key: &K, flow: Word) -> Inserted {
        let winner = self.rival(own, key);
        let settled = own.word.in_state(if winner == Word::NONE { flow.state() } else { State::Free });
        let changed = bucket.change(own.slot(), own.word, settled);
        if winner == Word::NONE && changed {
            self.count(flow);
            return Inserted::New;
        }
        self.count_spilled(own.row, u32::MAX);
        if winner == Word::NONE || winner.state() == State::Claimed {
            // Another CPU, in a lower slot, took this one away, or fills a slot with what may be the same flow.
            return Inserted::Lost;
        }
        Inserted::Existing(winner)
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

    /// The entry that another CPU made of the same flow and that must stand instead of this one's at `own`.
    #[inline(always)]
    fn rival(&self, own: &Place, key: &K) -> Word {
        let mut winner = Word::NONE;
        let mut place = 0;
        while place < BUCKETS && winner == Word::NONE {
            if place > 0 && self.home().is_none_or(|home| home.spilled() == 0) {
                break;
            }
            if let Some(bucket) = self.bucket(self.row(place)) {
                winner = bucket.rival(own, key);
            }
            place += 1;
        }
        winner
    }

    /// The slot that is missed least: a free one at home, for that is what most find, else in the first bucket that has one
    /// which holds nothing or what is over, else in whichever.
    #[inline(always)]
    fn victim(&self, now: u32) -> Place {
        let home = self.row(0);
        let free = self.bucket(home).map_or(Place::NONE, |bucket| bucket.free());
        if free.is_none() { self.least(now) } else { free }
    }

    #[inline(always)]
    fn least(&self, now: u32) -> Place {
        let (mut least, mut word, mut row) = (u64::MAX, Word::NONE, 0);
        let Some(timeouts) = self.maps.timeouts() else { return Place::NONE };
        let mut place = 0;
        while place < BUCKETS && least >> CLASS_SHIFT > OVER {
            let candidate = self.row(place);
            if let Some(bucket) = self.bucket(candidate) {
                let better = bucket.victim(timeouts, now, (least, word));
                if better.0 < least {
                    (least, word) = better;
                    row = candidate;
                }
            }
            place += 1;
        }
        if least >> CLASS_SHIFT >= KEPT {
            return Place::NONE;
        }
        Place { row, slot: slot_of(least) as u32, word }
    }
}

impl<K: Key, A: Atomic, M: Maps<K>> Shared<K, A, M> {
    /// The first slot that holds nothing.
    #[inline(always)]
    fn free(&self) -> Place {
        let mut slot = 0;
        while slot < SLOTS {
            let word = self.control(slot);
            if word.state() == State::Free {
                return Place { row: self.row, slot: slot as u32, word };
            }
            slot += 1;
        }
        Place::NONE
    }

    /// Is what this CPU has in the slot `own` the one entry with this tag, settled or not?
    #[inline(always)]
    fn has_only(&self, own: usize, tag: u16) -> bool {
        let words: [Word; SLOTS] = [self.control(0), self.control(1), self.control(2), self.control(3)];
        // Most buckets have nothing else, which is the number of a free slot's state in all of them.
        if own == 0 && Word(words[1].0 | words[2].0 | words[3].0).state() == State::Free {
            return true;
        }
        let (mut entries, mut slot) = (0, 0);
        while slot < SLOTS {
            entries += words[slot].is_entry(tag);
            slot += 1;
        }
        entries == 1
    }

    /// The entry in this bucket that must stand instead of the tentative one at `own`, or a claim for one that may have to.
    #[inline(always)]
    fn rival(&self, own: &Place, key: &K) -> Word {
        let mut slot = 0;
        while slot < SLOTS {
            let control = self.control(slot);
            let is_own = own.row == self.row && own.slot == slot as u32;
            let same = !is_own && control.tag() == own.word.tag() && control.state() >= State::Claimed;
            // Of a claim only the tag is known, and nobody takes it away.
            if same && (control.state() == State::Claimed || self.holds(slot, control, key)) {
                // The lower slot removes a rival that is still undecided. A rival that was settled or withdrew
                // in that very moment says so by its control word.
                let undecided = control.state() == State::Tentative;
                let is_lower = (own.row, own.slot) < (self.row, slot as u32);
                let removed = undecided
                    && is_lower
                    && (self.change(slot, control, control.in_state(State::Free))
                        || self.control(slot).state() <= State::Claimed
                        || self.control(slot).turn() != control.turn());
                if !removed {
                    return control;
                }
            }
            slot += 1;
        }
        Word::NONE
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
