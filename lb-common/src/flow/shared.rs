//! The lock-free protocol of lookup and insertion in a bucket of the flow table.
//!
//! A flow lives in one of the few slots of the bucket its key hashes to. A slot is a control word, which every
//! CPU changes by compare and swap only, and a key, which only the CPU that claimed the slot writes:
//!
//! ```text
//! Free or victim --CAS--> Claimed --key written, swap--> Tentative --CAS--> a living state
//!                                                           |
//!                                                           +--CAS by anyone--> Free (a duplicate lost)
//! ```
//!
//! A reader takes the control word, compares the key, and takes the control word again: the same `turn` means
//! that nobody claimed the slot in between, so the key and the server belong together. Two CPUs that insert one
//! key at once both publish it as Tentative and then look at the other slots; every swap is a full barrier, so
//! at least the later one sees the other, and the lower slot wins.
//!
//! Who wins a compare and swap that makes, changes or ends a living flow, and nobody else, adds the difference to
//! the real server's row of `loads`. So every change of a slot is counted once, on whatever CPU.

mod collect;

pub use collect::Collected;

use super::{Atomic, Bucket, Key, SLOTS, State, Timeouts, Word};

/// How often a slot is looked for when another CPU takes the one that was chosen.
const CLAIMS: usize = 3;

/// What the protocol needs of the other maps.
pub trait Maps {
    /// The era whose flows are counted in `loads`.
    fn era(&self) -> u8;
    /// The present generation of a row of `servers`.
    fn generation(&self, server: u16) -> Option<u16>;
    /// Adds to a row of `loads`, wrapping, in one atomic step.
    fn add_load(&self, server: u16, change: u64);
    /// The row of `timeouts`, valid for as long as the table.
    fn timeouts(&self) -> Option<*const Timeouts>;
}

/// A slot that holds the flow looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Slot in the bucket.
    pub slot: usize,
    /// Its control word.
    pub control: Word,
    /// Its last-seen tick.
    pub seen: u32,
}

impl Hit {
    /// The state the flow was found in.
    #[inline(always)]
    pub const fn state(&self) -> State {
        self.control.state()
    }
}

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

/// A bucket in a map, reached through the atomic operations `A`, beside the other maps `M`.
#[derive(Clone, Copy)]
pub struct Shared<K, A, M> {
    bucket: *mut Bucket<K>,
    maps: M,
    atomics: core::marker::PhantomData<A>,
}

impl<K: Key, A: Atomic, M: Maps> Shared<K, A, M> {
    /// # Safety
    /// `bucket` is valid for as long as the value is used, and everyone who writes to it does so through this type.
    #[inline(always)]
    pub const unsafe fn new(bucket: *mut Bucket<K>, maps: M) -> Self {
        Self { bucket, maps, atomics: core::marker::PhantomData }
    }

    #[inline(always)]
    fn control_at(&self, slot: usize) -> *mut u64 {
        // SAFETY: the bucket is valid (contract of `new`) and callers count slots below SLOTS.
        unsafe { (&raw mut (*self.bucket).slots[slot].control).cast() }
    }

    #[inline(always)]
    fn control(&self, slot: usize) -> Word {
        // SAFETY: a control word is aligned and only changed atomically.
        Word(unsafe { A::load(self.control_at(slot)) })
    }

    #[inline(always)]
    fn change(&self, slot: usize, old: Word, new: Word) -> bool {
        // SAFETY: as in `control`.
        unsafe { A::compare_exchange(self.control_at(slot), old.0, new.0) == old.0 }
    }

    #[inline(always)]
    fn seen(&self, slot: usize) -> u32 {
        // SAFETY: the bucket is valid; a race gives another CPU's equally good value.
        unsafe { (&raw const (*self.bucket).slots[slot].seen).read_volatile() }
    }

    /// Does the slot hold `key`, published by the turn of `control`? A key read while it was being written is
    /// found out by the turn.
    #[inline(always)]
    fn holds(&self, slot: usize, control: Word, key: &K) -> bool {
        // SAFETY: the bucket is valid and keys are aligned.
        let same = unsafe { same_at(key, &raw const (*self.bucket).slots[slot].key) };
        same && self.control(slot).turn() == control.turn()
    }

    /// What the slot's flow is in its server's load: nothing in another era, nothing if the row is another server's.
    #[inline(always)]
    fn load(&self, control: Word) -> u64 {
        let load = control.state().load();
        let counts = load != 0
            && control.era() == self.maps.era()
            && self.maps.generation(control.server()) == Some(control.generation());
        if counts { load } else { 0 }
    }

    /// Ends the flow of a slot, whose word becomes `new`, if nobody changed it since `old` was read.
    #[inline(always)]
    fn end(&self, slot: usize, old: Word, new: Word) -> bool {
        let won = self.change(slot, old, new);
        if won {
            let load = self.load(old);
            if load != 0 {
                self.maps.add_load(old.server(), load.wrapping_neg());
            }
        }
        won
    }

    /// The living flow of `key`, expired or not.
    #[inline(always)]
    pub fn find(&self, key: &K, tag: u16) -> Option<Hit> {
        let mut slot = 0;
        while slot < SLOTS {
            let control = self.control(slot);
            if control.tag() == tag && control.state().is_living() && self.holds(slot, control, key) {
                return Some(Hit { slot, control, seen: self.seen(slot) });
            }
            slot += 1;
        }
        None
    }

    /// Notes that the flow was seen, and its state; writes nothing where nothing is new. The flow's generation is
    /// its server's present one.
    #[inline(always)]
    pub fn touch(&self, hit: &Hit, state: State, now: u32) {
        if hit.seen != now {
            // SAFETY: the bucket is valid; any CPU's value will do.
            unsafe { (&raw mut (*self.bucket).slots[hit.slot].seen).write_volatile(now) };
        }
        if hit.state() != state {
            self.move_on(hit, state);
        }
    }

    /// The flow's next state.
    #[inline(always)]
    fn move_on(&self, hit: &Hit, state: State) {
        let era = self.maps.era();
        let mut old = hit.control;
        if !self.change(hit.slot, old, old.in_state(state).in_era(era)) {
            // It lost against the collector, which changes the era only, or against another segment of the same
            // flow, whose state stands.
            old = old.in_era(era);
            if !self.change(hit.slot, old, old.in_state(state)) {
                return;
            }
        }
        let before = if old.era() == era { old.state().load() } else { 0 };
        let change = state.load().wrapping_sub(before);
        if change != 0 {
            self.maps.add_load(old.server(), change);
        }
    }

    /// Forgets the flow, unless somebody changed it meanwhile.
    #[inline(always)]
    pub fn forget(&self, hit: &Hit) {
        let _lost = self.end(hit.slot, hit.control, hit.control.in_state(State::Free));
    }

    /// Records a flow: in the slot of `stale`, an entry of the same key that no longer counts, else in a free
    /// one, else in the place of the flow that is missed least.
    #[inline(always)]
    pub fn insert(&self, key: &K, flow: Word, stale: Option<Hit>, now: u32) -> Inserted {
        let (slot, tentative) = match self.claim(key, flow, stale, now) {
            Ok(claimed) => claimed,
            Err(outcome) => return outcome,
        };
        if let Some(winner) = self.rival(slot, tentative, key) {
            let _killed = self.change(slot, tentative, tentative.in_state(State::Free));
            return Inserted::Existing(winner);
        }
        let settled = tentative.in_state(flow.state());
        if self.change(slot, tentative, settled) {
            let load = self.load(settled);
            if load != 0 {
                self.maps.add_load(settled.server(), load);
            }
            return Inserted::New;
        }
        // Another CPU, in a lower slot, took this one away: its entry, settled or about to be, is the flow's.
        self.rival(SLOTS, tentative, key).map_or(Inserted::Full, Inserted::Existing)
    }

    /// Takes a slot and publishes the key in it as Tentative.
    #[inline(always)]
    fn claim(&self, key: &K, flow: Word, stale: Option<Hit>, now: u32) -> Result<(usize, Word), Inserted> {
        let mut attempt = 0;
        while attempt < CLAIMS {
            let (slot, old) = match stale {
                Some(hit) if attempt == 0 => (hit.slot, hit.control),
                _ => self.victim(now).ok_or(Inserted::Full)?,
            };
            // The same flow, recorded by another CPU since it was looked up here, is nobody's victim.
            let is_other = stale.is_some_and(|hit| (hit.slot, hit.control) == (slot, old))
                || old.tag() != flow.tag()
                || !old.state().is_living()
                || !self.holds(slot, old, key);
            if !is_other {
                return Err(Inserted::Existing(old));
            }
            let turn = old.turn().wrapping_add(1);
            if self.end(slot, old, old.in_state(State::Claimed).in_turn(turn)) {
                let tentative = flow.in_state(State::Tentative).in_turn(turn).in_era(self.maps.era());
                // SAFETY: the slot is claimed, so only this CPU writes its key; the swap publishes it.
                unsafe {
                    (&raw mut (*self.bucket).slots[slot].key).write(*key);
                    (&raw mut (*self.bucket).slots[slot].seen).write_volatile(now);
                    A::swap(self.control_at(slot), tentative.0);
                }
                return Ok((slot, tentative));
            }
            attempt += 1;
        }
        Err(Inserted::Full)
    }

    /// The entry that another CPU made of the same flow and that must stand instead of `own`.
    #[inline(always)]
    fn rival(&self, own: usize, tentative: Word, key: &K) -> Option<Word> {
        let mut slot = 0;
        while slot < SLOTS {
            let control = self.control(slot);
            let same = slot != own && control.tag() == tentative.tag() && control.state() >= State::Tentative;
            if same && self.holds(slot, control, key) {
                // The lower slot removes a rival that is still undecided. A rival that was settled or withdrew
                // in that very moment says so by its control word.
                let undecided = control.state() == State::Tentative;
                let removed = undecided
                    && slot > own
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

    /// The slot that is missed least: a free one, an expired flow, the oldest embryonic one, the oldest closing
    /// connection, the UDP flow that was silent longest. Never an established connection, nor a slot that another CPU
    /// is filling.
    #[inline(always)]
    fn victim(&self, now: u32) -> Option<(usize, Word)> {
        let timeouts = self.maps.timeouts()?;
        let (mut least, mut word) = (u64::MAX, Word(0));
        let mut slot = 0;
        while slot < SLOTS {
            let control = self.control(slot);
            // SAFETY: the row is valid (contract of `Maps`).
            let timeout = unsafe { Timeouts::at(timeouts, control.state()) };
            let loss = loss(control.state(), self.seen(slot), now, timeout) | slot as u64;
            if loss < least {
                (least, word) = (loss, control);
            }
            slot += 1;
        }
        (least < KEPT << CLASS_SHIFT).then_some((least as usize & (SLOTS - 1), word))
    }
}

/// Is `key` what stands at `place`, which another CPU may be writing? Read word by word.
///
/// # Safety
/// `place` is valid and aligned.
#[inline(always)]
unsafe fn same_at<K: Key>(key: &K, place: *const K) -> bool {
    const { assert!(align_of::<K>() == 8) };
    let (own, there) = (core::ptr::from_ref(key).cast::<u64>(), place.cast::<u64>());
    let mut word = 0;
    while word < size_of::<K>() / 8 {
        // SAFETY: both are aligned and `word` stays inside the key.
        if unsafe { own.add(word).read() != there.add(word).read_volatile() } {
            return false;
        }
        word += 1;
    }
    true
}

/// Has nothing been seen of a flow for longer than `timeout`?
#[inline(always)]
const fn is_over(seen: u32, now: u32, timeout: u32) -> bool {
    now.wrapping_sub(seen) as i32 > timeout as i32
}

/// The states by how much a flow in them would be missed, four bits each by the state's number; what is over is 1.
const LOSSES: u64 = {
    let (mut losses, mut number) = (0, 0);
    while number < 16 {
        let loss: u64 = match State::from_number(number) {
            State::Free => 0,
            State::None | State::SynSent | State::SynRecv | State::SynAck | State::UdpFirst => 2,
            State::Udp => 4,
            State::Established | State::Claimed | State::Tentative => KEPT,
            _ => 3,
        };
        losses |= loss << (4 * number);
        number += 1;
    }
    losses
};

/// The class of a slot that may not be taken.
const KEPT: u64 = 15;
/// A loss is a class, how young the flow is in 32 bits, and room for a slot's number: the slot goes with its loss,
/// so that the verifier need not follow each by itself.
const CLASS_SHIFT: u32 = 40;
const YOUTH_SHIFT: u32 = 8;
const _: () = assert!(SLOTS.is_power_of_two() && SLOTS < 1 << YOUTH_SHIFT);
/// A clock that is behind the one of another CPU by so many ticks makes no flow older.
const BEHIND: u32 = 4;

/// How much the flow would be missed, and the older, the less. Without a branch, as for [`State`].
#[inline(always)]
const fn loss(state: State, seen: u32, now: u32, timeout: u32) -> u64 {
    let class = LOSSES >> (4 * state as u32) & 15;
    let over = (state.is_living() as u64) & (is_over(seen, now, timeout) as u64);
    let class = class - over * (class.wrapping_sub(1));
    let age = now.wrapping_add(BEHIND).wrapping_sub(seen);
    class << CLASS_SHIFT | ((u32::MAX - age) as u64) << YOUTH_SHIFT
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
