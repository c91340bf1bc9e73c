//! The lock-free protocol of one bucket of the flow table: lookup, change, end.
//!
//! A slot is a control word, which every CPU changes by compare and swap, but for who has claimed it, and a key, which only the CPU that
//! claimed the slot writes:
//!
//! ```text
//! Free or victim --CAS--> Claimed --key written, swap--> Tentative --CAS--> a living state
//!                                                           |
//!                                                           +--CAS by anyone--> Free (a duplicate lost)
//! Free --CAS--> Claimed under the flow's tag --key written, store--> a living state, or Free
//! ```
//!
//! A reader takes the control word, compares the key, and takes the control word again: the same `turn` means
//! that nobody claimed the slot in between, so the key and the server belong together. How a flow comes into one
//! of the buckets, and into one only, is in `chain`.
//!
//! Who wins a compare and swap that makes, changes or ends a living flow, and nobody else, adds the difference to
//! the real server's row of `loads`. So every change of a slot is counted once, on whatever CPU.

mod collect;
mod read;
mod words;

pub use collect::{Collected, Over};
pub use read::Entry;

pub(super) use self::words::{copy, same_at};
use super::{Atomic, Bucket, Key, SLOTS, State, Timeouts, Word, ticks};

/// What the protocol needs of the maps.
pub trait Maps<K>: Copy {
    /// The era whose flows are counted in `loads`.
    fn era(&self) -> u8;
    /// The present generation of a row of `servers`.
    fn generation(&self, server: u16) -> Option<u16>;
    /// Adds to a row of `loads`, wrapping, in one atomic step.
    fn add_load(&self, server: u16, change: u64);
    /// The row of `timeouts`, valid for as long as the table.
    fn timeouts(&self) -> Option<*const Timeouts>;
    /// For how many seconds a client stays with a real server of this one's service.
    fn persistence(&self, server: u16) -> u32;
    /// The hash of the key at `place`, which another CPU may be writing.
    ///
    /// # Safety
    /// `place` is valid and aligned.
    unsafe fn hash_at(&self, place: *const K) -> u32;
    /// Rows of the table less one; their number is a power of two.
    fn mask(&self) -> u32;
    /// A row of the table, valid for as long as the table.
    fn bucket(&self, row: u32) -> Option<*mut Bucket<K>>;

    /// The collector has come to a template whose time is over.
    fn over(&self, _key: &K) -> Over {
        Over::Forget
    }
    /// The collector has come to a flow that goes on, and that was silent for so many ticks.
    fn goes_on(&self, _key: &K, _control: Word, _silence: u32) {}
}

/// A slot that holds the flow looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Row of the table.
    pub row: u32,
    /// Slot in the bucket.
    pub slot: u32,
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

/// A bucket in a map, reached through the atomic operations `A`, beside the other maps `M`.
#[derive(Clone, Copy)]
pub struct Shared<K, A, M> {
    pub(super) row: u32,
    bucket: *mut Bucket<K>,
    pub(super) maps: M,
    atomics: core::marker::PhantomData<A>,
}

impl<K: Key, A: Atomic, M: Maps<K>> Shared<K, A, M> {
    /// # Safety
    /// `bucket` is the row of the table and valid for as long as the value is used, and everyone who writes to it does
    /// so through this type.
    #[inline(always)]
    pub const unsafe fn new(row: u32, bucket: *mut Bucket<K>, maps: M) -> Self {
        Self { row, bucket, maps, atomics: core::marker::PhantomData }
    }

    #[inline(always)]
    fn control_at(&self, slot: usize) -> *mut u64 {
        // SAFETY: the bucket is valid (contract of `new`) and callers count slots below SLOTS.
        unsafe { (&raw mut (*self.bucket).slots[slot].control).cast() }
    }

    #[inline(always)]
    pub(super) fn control(&self, slot: usize) -> Word {
        // SAFETY: a control word is aligned and only changed atomically.
        Word(unsafe { A::load(self.control_at(slot)) })
    }

    #[inline(always)]
    pub(super) fn change(&self, slot: usize, old: Word, new: Word) -> bool {
        // SAFETY: as in `control`.
        unsafe { A::compare_exchange(self.control_at(slot), old.0, new.0) == old.0 }
    }

    #[inline(always)]
    fn seen(&self, slot: usize) -> u32 {
        // SAFETY: the bucket is valid; a race gives another CPU's equally good value.
        unsafe { (&raw const (*self.bucket).slots[slot].seen).read_volatile() }
    }

    #[inline(always)]
    fn set_seen(&self, slot: usize, now: u32) {
        // SAFETY: the bucket is valid; any CPU's value will do.
        unsafe { (&raw mut (*self.bucket).slots[slot].seen).write_volatile(now) };
    }

    /// How many flows that belong here lie in other buckets.
    #[inline(always)]
    pub fn spilled(&self) -> u32 {
        // SAFETY: the bucket is valid.
        unsafe { (&raw const (*self.bucket).slots[0].spilled).read_volatile() }
    }

    /// Lets the processor fetch the bucket, which will be written to, while it goes on: a load that lies in no cache would soon
    /// be waited for, a store is not, and these are to words without a meaning.
    #[inline(always)]
    pub fn fetch(&self) {
        let mut slot = 1;
        while slot < SLOTS {
            // SAFETY: the bucket is valid, and nobody reads the word but in its first slot.
            unsafe { (&raw mut (*self.bucket).slots[slot].spilled).write_volatile(0) };
            slot += 1;
        }
    }

    /// Adds to that, wrapping; a full barrier.
    #[inline(always)]
    pub(super) fn add_spilled(&self, change: u32) {
        // SAFETY: the bucket is valid, and the word is changed by additions only.
        unsafe { A::add_32(&raw mut (*self.bucket).slots[0].spilled, change) };
    }

    /// Does the slot hold `key`, published by the turn of `control`? A key read while it was being written is
    /// found out by the turn.
    #[inline(always)]
    pub(super) fn holds(&self, slot: usize, control: Word, key: &K) -> bool {
        // SAFETY: the bucket is valid and keys are aligned.
        let same = unsafe { same_at(key, &raw const (*self.bucket).slots[slot].key) };
        same && {
            // The same word is the same turn, which is one comparison.
            let now = self.control(slot);
            now == control || now.turn() == control.turn()
        }
    }

    /// The key of a slot, which another CPU may be writing.
    #[inline(always)]
    fn key(&self, slot: usize) -> K {
        // SAFETY: the bucket is valid, and any bytes make a key.
        unsafe { (&raw const (*self.bucket).slots[slot].key).read_volatile() }
    }

    /// What the slot's flow is in its server's load: nothing in another era, nothing if the row is another server's.
    #[inline(always)]
    pub(super) fn load(&self, control: Word) -> u64 {
        let load = control.state().load();
        let counts = load != 0
            && control.era() == self.maps.era()
            && self.maps.generation(control.server()) == Some(control.generation());
        if counts { load } else { 0 }
    }

    /// Ends the flow of a slot, whose word becomes `new`, if nobody changed it since `old` was read.
    #[inline(always)]
    pub(super) fn end(&self, slot: usize, old: Word, new: Word) -> bool {
        if !old.state().is_living() {
            return self.change(slot, old, new);
        }
        // SAFETY: the bucket is valid and keys are aligned.
        let home = unsafe { self.maps.hash_at(&raw const (*self.bucket).slots[slot].key) } & self.maps.mask();
        let won = self.change(slot, old, new);
        if won {
            let load = self.load(old);
            if load != 0 {
                self.maps.add_load(old.server(), load.wrapping_neg());
            }
            if home != self.row
                && let Some(bucket) = self.maps.bucket(home)
            {
                // SAFETY: the row is valid (contract of `Maps`).
                unsafe { Self::new(home, bucket, self.maps) }.add_spilled(u32::MAX);
            }
        }
        won
    }

    /// Fills a slot that was claimed by this CPU.
    #[inline(always)]
    pub(super) fn fill(&self, slot: usize, key: &K, now: u32) {
        // SAFETY: the slot is claimed, so only this CPU writes its key.
        unsafe { copy(key, &raw mut (*self.bucket).slots[slot].key) };
        self.set_seen(slot, now);
    }

    /// Fills it and publishes it, with a full barrier.
    #[inline(always)]
    pub(super) fn publish(&self, slot: usize, key: &K, now: u32, control: Word) {
        self.fill(slot, key, now);
        // SAFETY: as in `control`.
        unsafe { A::swap(self.control_at(slot), control.0) };
    }

    /// Publishes what a slot that was claimed by this CPU now holds.
    #[inline(always)]
    pub(super) fn store(&self, slot: usize, control: Word) {
        // SAFETY: as in `control`; nobody else changes a slot that is claimed.
        unsafe { A::store(self.control_at(slot), control.0) };
    }

    /// The living flow of `key`, expired or not.
    #[inline(always)]
    pub fn find(&self, key: &K, tag: u16) -> Option<Hit> {
        let mut slot = 0;
        while slot < SLOTS {
            let control = self.control(slot);
            if control.is_flow(tag) && self.holds(slot, control, key) {
                return Some(Hit { row: self.row, slot: slot as u32, control, seen: self.seen(slot) });
            }
            slot += 1;
        }
        None
    }

    /// Notes that the flow was seen, and its state; writes nothing where nothing is new. The flow's generation is
    /// its server's present one. The hit is of this bucket.
    #[inline(always)]
    pub fn touch(&self, hit: &Hit, state: State, now: u32) {
        if hit.seen != now {
            self.set_seen(hit.slot as usize & (SLOTS - 1), now);
        }
        if hit.state() != state {
            self.move_on(hit, state);
        }
    }

    /// The flow's next state.
    #[inline(always)]
    fn move_on(&self, hit: &Hit, state: State) {
        let (era, slot) = (self.maps.era(), hit.slot as usize & (SLOTS - 1));
        let mut old = hit.control;
        if !self.change(slot, old, old.in_state(state).in_era(era)) {
            // It lost against the collector, which changes the era only, or against another segment of the same
            // flow, whose state stands.
            old = old.in_era(era);
            if !self.change(slot, old, old.in_state(state)) {
                return;
            }
        }
        let before = if old.era() == era { old.state().load() } else { 0 };
        let change = state.load().wrapping_sub(before);
        if change != 0 {
            self.maps.add_load(old.server(), change);
        }
    }

    /// Forgets the flow of a hit in this bucket, unless somebody changed it meanwhile.
    #[inline(always)]
    pub fn forget(&self, hit: &Hit) {
        let slot = hit.slot as usize & (SLOTS - 1);
        let _lost = self.end(slot, hit.control, hit.control.in_state(State::Free));
    }

    /// After what silence a slot is over, in ticks.
    #[inline(always)]
    fn timeout(&self, timeouts: *const Timeouts, control: Word) -> u32 {
        if control.state().is_template() {
            return ticks(self.maps.persistence(control.server()));
        }
        // SAFETY: the row is valid (contract of `Maps`).
        unsafe { Timeouts::at(timeouts, control.state()) }
    }

    /// The slot of this bucket that is missed least, if that is less than `least`: how much it is missed, and its word.
    /// The number of a slot stands in the low bits of the first ([`slot_of`]).
    ///
    /// A free one, an expired flow, the oldest embryonic one, the oldest closing connection, the template or UDP flow
    /// that was silent longest. Never an established connection, nor a slot that another CPU is filling.
    #[inline(always)]
    pub(super) fn victim(&self, timeouts: *const Timeouts, now: u32, least: (u64, Word)) -> (u64, Word) {
        let (mut least, mut word) = least;
        let mut slot = 0;
        while slot < SLOTS {
            let control = self.control(slot);
            let timeout = self.timeout(timeouts, control);
            let loss = loss(control.state(), self.seen(slot), now, timeout) | slot as u64;
            if loss < least {
                (least, word) = (loss, control);
            }
            slot += 1;
        }
        (least, word)
    }
}

/// Has nothing been seen of a flow for longer than `timeout`?
#[inline(always)]
const fn is_over(seen: u32, now: u32, timeout: u32) -> bool {
    now.wrapping_sub(seen) as i32 > timeout as i32
}

/// The states by how much a flow in them would be missed, four bits each by the state's number, of which a word has
/// sixteen; what is over is 1.
const LOSSES: [u64; 2] = {
    let (mut losses, mut number) = ([0; 2], 0);
    while number < 32 {
        let loss: u64 = match State::from_number(number) {
            State::Free => 0,
            State::None
            | State::SynSent
            | State::SynRecv
            | State::Midway
            | State::UdpFirst
            | State::SctpNone
            | State::SctpInit1
            | State::SctpInit
            | State::TemplateFirst => 2,
            State::Udp | State::Template => 4,
            State::Established | State::SctpEstablished | State::Claimed | State::Tentative => KEPT,
            _ => 3,
        };
        losses[number as usize / 16] |= loss << (4 * (number & 15));
        number += 1;
    }
    losses
};

/// The class of a slot that may not be taken.
pub(super) const KEPT: u64 = 15;
/// A loss is a class, how young the flow is in 32 bits, and room for a slot's number: the slot goes with its loss,
/// so that the verifier need not follow each by itself.
pub(super) const CLASS_SHIFT: u32 = 40;
const YOUTH_SHIFT: u32 = 8;
/// The classes of a slot that holds nothing, and of a flow that is over.
pub(super) const OVER: u64 = 1;
const _: () = assert!(SLOTS.is_power_of_two() && SLOTS < 1 << YOUTH_SHIFT);
/// A clock that is behind the one of another CPU by so many ticks makes no flow older.
const BEHIND: u32 = 4;

/// How much the flow would be missed, and the older, the less. Without a branch, as for [`State`].
#[inline(always)]
const fn loss(state: State, seen: u32, now: u32, timeout: u32) -> u64 {
    let second = 0u64.wrapping_sub(state as u64 >> 4);
    let class = (LOSSES[0] & !second | LOSSES[1] & second) >> (4 * (state as u32 & 15)) & 15;
    let over = (state.is_living() as u64) & (is_over(seen, now, timeout) as u64);
    let class = class - over * (class.wrapping_sub(1));
    let age = now.wrapping_add(BEHIND).wrapping_sub(seen);
    class << CLASS_SHIFT | ((u32::MAX - age) as u64) << YOUTH_SHIFT
}

/// The slot with this loss.
#[inline(always)]
pub(super) const fn slot_of(loss: u64) -> usize {
    loss as usize & (SLOTS - 1)
}
