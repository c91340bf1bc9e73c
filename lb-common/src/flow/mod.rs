//! The rows of the bucketed flow table: slots and their life. `shared` has the protocol by which several CPUs look
//! flows up, count and forget them, `chain` that by which they record them; `timeouts` says when they are over, `recent` has
//! those of this moment once more, `lately` knows which of UDP were seen (`looks`: of how many that is asked), and `asked` which
//! are to be looked for.

mod asked;
mod atomic;
mod chain;
mod key;
mod lately;
mod looks;
mod recent;
mod shared;
mod state;
mod timeouts;

pub use asked::{Asked, is_its_tick, patience, wants_to_hear};
pub use atomic::Atomic;
#[cfg(target_has_atomic = "64")]
pub use atomic::Host;
pub use chain::{ATTEMPTS, Chain, Inserted};
pub use key::{FTP, Half, Half6, KIND_FLOW, KIND_TEMPLATE, Key, Key4, Key6, Parts, TemplateForm};
pub use lately::Lately;
pub use looks::Looks;
pub use recent::{RecentSet, Recents, Way, changes, miss, room};
pub use shared::{Collected, Entry, Hit, Maps, Over, Shared};
pub use state::State;
pub use timeouts::{Timeouts, ticks};

use bytemuck::{Pod, Zeroable};

/// Slots in a bucket; two of the IPv4 table fit in a cache line, and one of the IPv6 table.
pub const SLOTS: usize = 4;

/// A coarse unit of time: 2^30 nanoseconds of the monotonic clock, 1.07 s.
pub const TICK_SHIFT: u32 = 30;

/// How far the era is shifted in [`Control::life`]; below it is the state.
const ERA_SHIFT: u32 = 5;
/// The bits of [`Control::life`] that are the state's number.
const STATE_MASK: u8 = (1 << ERA_SHIFT) - 1;

/// Eras there are; after the last one comes the first again.
pub const ERAS: u8 = 1 << (u8::BITS - ERA_SHIFT);

/// The control word of a slot.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Control {
    /// Row of `servers`.
    pub server: u16,
    /// That row's generation when the flow was recorded.
    pub generation: u16,
    /// The upper bits of the key's hash, of which a bucket number has used none where there are up to 65 536.
    pub tag: u16,
    /// Another number with every claim.
    pub turn: u8,
    /// The low five bits are a [`State`], the high ones the era: the run of a daemon whose `loads` the flow is counted
    /// in. A flow of another era is in no count until the collector or its next change of state brings it in.
    pub life: u8,
}

/// A [`Control`] as one number: what is compared and swapped, and what is computed with, because the compiler would
/// copy smaller fields at addresses of the stack that the verifier refuses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Word(u64);

const TURN_SHIFT: u32 = 48;
const LIFE_SHIFT: u32 = 56;

impl From<Control> for Word {
    #[inline(always)]
    fn from(control: Control) -> Self {
        Self(bytemuck::must_cast(control))
    }
}

impl core::fmt::Debug for Word {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        bytemuck::must_cast::<u64, Control>(self.0).fmt(f)
    }
}

impl Word {
    /// That of a slot never used.
    const NONE: Self = Self(0);

    /// Is it a living flow whose key has this tag?
    #[inline(always)]
    const fn is_flow(self, tag: u16) -> bool {
        self.tag() == tag && self.state().is_living()
    }

    /// 1 if it is of a flow whose key has this tag, settled or not, else 0. Without a branch, as for [`State`].
    #[inline(always)]
    const fn is_entry(self, tag: u16) -> u32 {
        let other = (self.tag() ^ tag) as u32;
        let vacant = (State::Free as u32).wrapping_sub(self.state() as u32);
        (other.wrapping_sub(1) & vacant) >> 31
    }

    /// A flow as it is recorded; turn and era are given to it with its slot.
    #[inline(always)]
    pub const fn new(server: u16, generation: u16, tag: u16, state: State) -> Self {
        Self((server as u64) | (generation as u64) << 16 | (tag as u64) << 32 | (state as u64) << LIFE_SHIFT)
    }

    /// Row of `servers`.
    #[inline(always)]
    pub const fn server(self) -> u16 {
        self.0 as u16
    }

    /// That row's generation when the flow was recorded.
    #[inline(always)]
    pub const fn generation(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// What the slot holds.
    #[inline(always)]
    pub const fn state(self) -> State {
        State::from_number((self.0 >> LIFE_SHIFT) as u8)
    }

    /// The era, below [`ERAS`].
    #[inline(always)]
    pub const fn era(self) -> u8 {
        (self.0 >> (LIFE_SHIFT + ERA_SHIFT)) as u8
    }

    #[inline(always)]
    const fn tag(self) -> u16 {
        (self.0 >> 32) as u16
    }

    #[inline(always)]
    const fn turn(self) -> u8 {
        (self.0 >> TURN_SHIFT) as u8
    }

    #[inline(always)]
    const fn in_state(self, state: State) -> Self {
        Self(self.0 & !((STATE_MASK as u64) << LIFE_SHIFT) | (state as u64) << LIFE_SHIFT)
    }

    /// That of a slot which is claimed: the turn is another, and the tag none that the flow before had.
    #[inline(always)]
    const fn claimed(self) -> Self {
        let other = Self(self.0 ^ (u16::MAX as u64) << 32);
        other.in_state(State::Claimed).in_turn(self.turn().wrapping_add(1))
    }

    #[inline(always)]
    const fn in_era(self, era: u8) -> Self {
        let shift = LIFE_SHIFT + ERA_SHIFT;
        Self(self.0 << (64 - shift) >> (64 - shift) | (era as u64) << shift)
    }

    #[inline(always)]
    const fn in_turn(self, turn: u8) -> Self {
        Self(self.0 & !(0xff << TURN_SHIFT) | (turn as u64) << TURN_SHIFT)
    }
}

/// One flow.
#[repr(C, align(32))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot<K> {
    /// Who serves it and how it stands.
    pub control: Control,
    /// When it was last seen, in ticks, or a little earlier.
    pub seen: u32,
    /// In a bucket's first slot: how many flows that belong to the bucket lie in others ([`Chain`]).
    pub spilled: u32,
    /// Whose flow it is.
    pub key: K,
}

/// A row of `flows4` or `flows6`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket<K> {
    /// Flows in no order.
    pub slots: [Slot<K>; SLOTS],
}

// SAFETY: repr(C), every field is Pod, and 8 + 4 + 4 bytes and the key leave no padding at an alignment of 32.
unsafe impl<K: Key> Pod for Slot<K> {}
// SAFETY: all-zero is a free slot.
unsafe impl<K: Key> Zeroable for Slot<K> {}
// SAFETY: an array of Pod without padding.
unsafe impl<K: Key> Pod for Bucket<K> {}
// SAFETY: all-zero is an empty bucket.
unsafe impl<K: Key> Zeroable for Bucket<K> {}
const _: () = assert!(size_of::<Slot<Key4>>() == 16 + size_of::<Key4>());
const _: () = assert!(size_of::<Slot<Key6>>() == 16 + size_of::<Key6>());

impl<K> Slot<K> {
    /// What it holds.
    pub fn state(&self) -> State {
        Word::from(self.control).state()
    }
}

/// The part of a hash that lies in the slot; the bucket number uses the lower bits.
#[inline(always)]
pub const fn tag(hash: u32) -> u16 {
    (hash >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_its_control() {
        let control = Control { server: 0x1122, generation: 0x3344, tag: 0x5566, turn: 0x77, life: 0xa4 };
        let word = Word::from(control);
        assert_eq!((word.server(), word.generation(), word.tag()), (0x1122, 0x3344, 0x5566));
        assert_eq!((word.turn(), word.state(), word.era()), (0x77, State::Established, 5));
        assert_eq!(word.in_state(State::Udp), Word::from(Control { life: 0xae, ..control }));
        assert_eq!(word.in_era(7), Word::from(Control { life: 0xe4, ..control }));
        assert_eq!(word.in_turn(1), Word::from(Control { turn: 1, ..control }));
        let fresh = Word::new(0x1122, 0x3344, 0x5566, State::Established);
        assert_eq!(fresh.in_turn(0x77).in_era(5), word);
    }
}
