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

use super::{Bucket, Control, Key, SLOTS, State};

/// Atomic operations on a word that several CPUs share; each is a full barrier but `load`.
pub trait Atomic {
    /// Reads the word once.
    ///
    /// # Safety
    /// `word` is valid, aligned to 8 and only changed atomically.
    unsafe fn load(word: *const u64) -> u64;
    /// Stores `new` if the word is `old`; says what the word was.
    ///
    /// # Safety
    /// As for `load`.
    unsafe fn compare_exchange(word: *mut u64, old: u64, new: u64) -> u64;
    /// Stores `new`.
    ///
    /// # Safety
    /// As for `load`.
    unsafe fn swap(word: *mut u64, new: u64) -> u64;
}

/// A slot that holds the flow looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Slot in the bucket.
    pub slot: usize,
    /// Its control word.
    pub control: Control,
    /// Its last-seen tick.
    pub seen: u32,
}

impl Hit {
    /// The state the flow was found in.
    #[inline(always)]
    pub const fn state(&self) -> State {
        State::from_number(self.control.state)
    }

    /// Has nothing been seen of it for its state's timeout?
    #[inline(always)]
    pub const fn is_expired(&self, now: u32) -> bool {
        now.wrapping_sub(self.seen) as i32 > self.state().timeout() as i32
    }
}

/// What an insertion came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The flow is recorded as asked for.
    New,
    /// Another CPU recorded the same flow first: its server is to be used.
    Existing(Control),
    /// No slot could be had without forgetting an established connection.
    Full,
}

/// A bucket in a map, reached through the atomic operations `A`.
#[derive(Clone, Copy)]
pub struct Shared<K, A> {
    bucket: *mut Bucket<K>,
    atomics: core::marker::PhantomData<A>,
}

impl<K: Key, A: Atomic> Shared<K, A> {
    /// # Safety
    /// `bucket` is valid for as long as the value is used, and everyone who writes to it does so through this type.
    #[inline(always)]
    pub const unsafe fn new(bucket: *mut Bucket<K>) -> Self {
        Self { bucket, atomics: core::marker::PhantomData }
    }

    #[inline(always)]
    fn control_at(&self, slot: usize) -> *mut u64 {
        // SAFETY: the bucket is valid (contract of `new`) and callers count slots below SLOTS.
        unsafe { (&raw mut (*self.bucket).slots[slot].control).cast() }
    }

    #[inline(always)]
    fn control(&self, slot: usize) -> Control {
        // SAFETY: a control word is aligned and only changed atomically.
        Control::from_word(unsafe { A::load(self.control_at(slot)) })
    }

    #[inline(always)]
    fn change(&self, slot: usize, old: Control, new: Control) -> bool {
        // SAFETY: as in `control`.
        unsafe { A::compare_exchange(self.control_at(slot), old.to_word(), new.to_word()) == old.to_word() }
    }

    #[inline(always)]
    fn seen(&self, slot: usize) -> u32 {
        // SAFETY: the bucket is valid; a race gives another CPU's equally good value.
        unsafe { (&raw const (*self.bucket).slots[slot].seen).read_volatile() }
    }

    /// Does the slot hold `key`, published by the turn of `control`? A key read while it was being written is
    /// found out by the turn.
    #[inline(always)]
    fn holds(&self, slot: usize, control: Control, key: &K) -> bool {
        // SAFETY: the bucket is valid and keys are aligned.
        let same = unsafe { same_at(key, &raw const (*self.bucket).slots[slot].key) };
        same && self.control(slot).turn == control.turn
    }

    /// The living flow of `key`, expired or not.
    #[inline(always)]
    pub fn find(&self, key: &K, tag: u16) -> Option<Hit> {
        let mut slot = 0;
        while slot < SLOTS {
            let control = self.control(slot);
            if control.tag == tag && control.state > State::Tentative as u8 && self.holds(slot, control, key)
            {
                return Some(Hit { slot, control, seen: self.seen(slot) });
            }
            slot += 1;
        }
        None
    }

    /// Notes that the flow was seen, and its state; writes nothing where nothing is new.
    #[inline(always)]
    pub fn touch(&self, hit: &Hit, state: State, now: u32) {
        if hit.seen != now {
            // SAFETY: the bucket is valid; any CPU's value will do.
            unsafe { (&raw mut (*self.bucket).slots[hit.slot].seen).write_volatile(now) };
        }
        if hit.control.state != state as u8 {
            // Losing means that another segment of the same flow came first: its state stands.
            let _lost = self.change(hit.slot, hit.control, hit.control.in_state(state));
        }
    }

    /// Forgets the flow, unless somebody changed it meanwhile.
    #[inline(always)]
    pub fn forget(&self, hit: &Hit) {
        let _lost = self.change(hit.slot, hit.control, hit.control.in_state(State::Free));
    }

    /// Records a flow: in the slot of `stale`, an entry of the same key that no longer counts, else in a free
    /// one, else in the place of the flow that is missed least.
    #[inline(always)]
    pub fn insert(&self, key: &K, flow: Control, stale: Option<Hit>, now: u32) -> Inserted {
        let (slot, tentative) = match self.claim(key, flow, stale, now) {
            Ok(claimed) => claimed,
            Err(outcome) => return outcome,
        };
        if let Some(winner) = self.rival(slot, tentative, key) {
            let _killed = self.change(slot, tentative, tentative.in_state(State::Free));
            return Inserted::Existing(winner);
        }
        if self.change(slot, tentative, Control { state: flow.state, ..tentative }) {
            return Inserted::New;
        }
        // Another CPU, in a lower slot, took this one away: its entry, settled or about to be, is the flow's.
        self.rival(SLOTS, tentative, key).map_or(Inserted::Full, Inserted::Existing)
    }

    /// Takes a slot and publishes the key in it as Tentative.
    #[inline(always)]
    fn claim(
        &self,
        key: &K,
        flow: Control,
        stale: Option<Hit>,
        now: u32,
    ) -> Result<(usize, Control), Inserted> {
        let mut attempt = 0;
        while attempt < SLOTS {
            let (slot, old) = match stale {
                Some(hit) if attempt == 0 => (hit.slot, hit.control),
                _ => self.victim(now).ok_or(Inserted::Full)?,
            };
            // The same flow, recorded by another CPU since it was looked up here, is nobody's victim.
            let is_other = stale.is_some_and(|hit| (hit.slot, hit.control) == (slot, old))
                || old.tag != flow.tag
                || old.state <= State::Tentative as u8
                || !self.holds(slot, old, key);
            if !is_other {
                return Err(Inserted::Existing(old));
            }
            let turn = old.turn.wrapping_add(1);
            if self.change(slot, old, Control { state: State::Claimed as u8, turn, ..old }) {
                let tentative = Control { turn, state: State::Tentative as u8, ..flow };
                // SAFETY: the slot is claimed, so only this CPU writes its key; the swap publishes it.
                unsafe {
                    (&raw mut (*self.bucket).slots[slot].key).write(*key);
                    (&raw mut (*self.bucket).slots[slot].seen).write_volatile(now);
                    A::swap(self.control_at(slot), tentative.to_word());
                }
                return Ok((slot, tentative));
            }
            attempt += 1;
        }
        Err(Inserted::Full)
    }

    /// The entry that another CPU made of the same flow and that must stand instead of `own`.
    #[inline(always)]
    fn rival(&self, own: usize, tentative: Control, key: &K) -> Option<Control> {
        let mut slot = 0;
        while slot < SLOTS {
            let control = self.control(slot);
            let same = slot != own && control.tag == tentative.tag && control.state >= State::Tentative as u8;
            if same && self.holds(slot, control, key) {
                // The lower slot removes a rival that is still undecided. A rival that was settled or withdrew
                // in that very moment says so by its control word.
                let undecided = control.state == State::Tentative as u8;
                let removed = undecided
                    && slot > own
                    && (self.change(slot, control, control.in_state(State::Free))
                        || self.control(slot).state <= State::Claimed as u8
                        || self.control(slot).turn != control.turn);
                if !removed {
                    return Some(control);
                }
            }
            slot += 1;
        }
        None
    }

    /// The slot that is missed least: a free one, an expired flow, the oldest embryonic connection, the oldest
    /// inactive flow. Never an established connection, nor a slot that another CPU is filling.
    #[inline(always)]
    fn victim(&self, now: u32) -> Option<(usize, Control)> {
        let (mut best, mut found) = (u64::MAX, None);
        let mut slot = 0;
        while slot < SLOTS {
            let control = self.control(slot);
            let rank = loss(control, self.seen(slot), now);
            if rank < best {
                best = rank;
                found = Some((slot, control));
            }
            slot += 1;
        }
        found
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

/// How much the flow would be missed; `u64::MAX` may not be taken.
#[inline(always)]
fn loss(control: Control, seen: u32, now: u32) -> u64 {
    let state = State::from_number(control.state);
    let age = now.wrapping_sub(seen) as i32;
    let class: u64 = match state {
        State::Free => 0,
        State::Claimed | State::Tentative => return u64::MAX,
        _ if age > state.timeout() as i32 => 1,
        State::SynRecv | State::SynAck | State::SynSent | State::None => 2,
        State::Established => return u64::MAX,
        _ => 3,
    };
    class << 32 | u64::from(u32::MAX - age.max(0).cast_unsigned())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
