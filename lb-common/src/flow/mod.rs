//! The rows of the bucketed flow table: slots and their life. `shared` has the protocol by which several CPUs look
//! flows up, record, count and forget them; `timeouts` says when.

mod atomic;
mod shared;
mod timeouts;

pub use atomic::Atomic;
#[cfg(target_has_atomic = "64")]
pub use atomic::Host;
pub use shared::{Collected, Hit, Inserted, Maps, Shared};
pub use timeouts::{Timeouts, ticks};

use bytemuck::{Pod, Zeroable};

use crate::layout::Load;

/// Slots in a bucket of the IPv4 table, two to a cache line.
pub const SLOTS: usize = 4;

/// A coarse unit of time: 2^30 nanoseconds of the monotonic clock, 1.07 s.
pub const TICK_SHIFT: u32 = 30;

/// What a slot holds. From [`State::None`] on it holds a flow that lookups find.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing.
    #[default]
    Free = 0,
    /// A CPU is writing the key.
    Claimed = 1,
    /// The key stands; whether this slot or another keeps the flow is being decided.
    Tentative = 2,
    /// TCP: nothing seen.
    None = 3,
    /// TCP: established.
    Established = 4,
    /// TCP: the director's side opened.
    SynSent = 5,
    /// TCP: SYN seen.
    SynRecv = 6,
    /// TCP: FIN seen.
    FinWait = 7,
    /// TCP: both sides are done.
    TimeWait = 8,
    /// TCP: reset or closed.
    Close = 9,
    /// TCP: the other side is done.
    CloseWait = 10,
    /// TCP: the last acknowledgement is awaited.
    LastAck = 11,
    /// TCP: listening.
    Listen = 12,
    /// TCP: SYN cookie sent.
    SynAck = 13,
    /// UDP, more than one packet seen.
    Udp = 14,
    /// UDP, one packet seen: as little as a SYN says about whether there will be another.
    UdpFirst = 15,
}

/// How far the era is shifted in [`Control::life`]; below it is the state.
const ERA_SHIFT: u32 = 4;
/// The bits of [`Control::life`] that are the state's number.
const STATE_MASK: u8 = (1 << ERA_SHIFT) - 1;

/// Eras there are; after the last one comes the first again.
pub const ERAS: u8 = 1 << (u8::BITS - ERA_SHIFT);

/// States as bits by their numbers: asking whether one is among them needs no branch, of which the verifier would have
/// to follow both sides.
#[derive(Clone, Copy)]
struct Set(u16);

impl Set {
    const fn of(states: &[State]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < states.len() {
            bits |= 1 << states[at] as u32;
            at += 1;
        }
        Self(bits)
    }

    /// 1 if it has the state, else 0.
    #[inline(always)]
    const fn has(self, state: State) -> u64 {
        (self.0 >> state as u32) as u64 & 1
    }
}

const ACTIVE: Set = Set::of(&[State::Established, State::SynSent, State::SynRecv, State::SynAck]);
const CLOSING: Set =
    Set::of(&[State::FinWait, State::TimeWait, State::Close, State::CloseWait, State::LastAck]);
const INACTIVE: Set = Set(CLOSING.0 | Set::of(&[State::None, State::Listen, State::Udp, State::UdpFirst]).0);

impl State {
    /// The state with this number, of which the low four bits count.
    #[inline(always)]
    pub const fn from_number(number: u8) -> Self {
        // SAFETY: every number below 16 is a state.
        unsafe { core::mem::transmute(number & STATE_MASK) }
    }

    /// Does a slot in this state hold a flow?
    #[inline(always)]
    pub const fn is_living(self) -> bool {
        self as u8 > Self::Tentative as u8
    }

    /// What a flow in this state is in the word of its real server's [`Load`]. Active are the states that IPVS counts
    /// so; UDP never is.
    #[inline(always)]
    pub const fn load(self) -> u64 {
        ACTIVE.has(self) * Load::ONE_ACTIVE + INACTIVE.has(self) * Load::ONE_INACTIVE
    }

    /// A SYN on a connection in this state opens a new one (IPVS's `conn_reuse_mode`).
    #[inline(always)]
    pub const fn is_closing(self) -> bool {
        CLOSING.has(self) != 0
    }
}

/// The control word of a slot.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Control {
    /// Row of `servers`.
    pub server: u16,
    /// That row's generation when the flow was recorded.
    pub generation: u16,
    /// Bits of the key's hash that the bucket number has not used.
    pub tag: u16,
    /// Another number with every claim.
    pub turn: u8,
    /// The low four bits are a [`State`], the high ones the era: the run of a daemon whose `loads` the flow is counted
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

/// The key of an IPv4 flow, addresses and ports as on the wire.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Key4 {
    /// Source address.
    pub client: [u8; 4],
    /// Destination address.
    pub vip: [u8; 4],
    /// Source port, network order.
    pub client_port: [u8; 2],
    /// Destination port, network order.
    pub vip_port: [u8; 2],
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// The key of a flow in one address family: aligned to 8, a whole number of 64-bit words, no padding.
pub trait Key: Pod {
    /// The hash of the key; `keys` gives the numbers of [`crate::hash::Keys`].
    fn hash(&self, keys: impl Fn(usize) -> u64) -> u32;
}

impl Key for Key4 {
    #[inline(always)]
    fn hash(&self, keys: impl Fn(usize) -> u64) -> u32 {
        let words: [u32; 4] = bytemuck::must_cast(*self);
        crate::hash::multilinear(keys, words)
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
    /// Zero.
    pub reserved: u32,
    /// Whose flow it is.
    pub key: K,
}

/// A row of `flows4`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket<K> {
    /// Flows in no order.
    pub slots: [Slot<K>; SLOTS],
}

// SAFETY: repr(C), every field is Pod, and 8 + 4 + 4 + 16 bytes leave no padding at an alignment of 32.
unsafe impl Pod for Slot<Key4> {}
// SAFETY: all-zero is a free slot.
unsafe impl Zeroable for Slot<Key4> {}
// SAFETY: an array of Pod without padding.
unsafe impl Pod for Bucket<Key4> {}
// SAFETY: all-zero is an empty bucket.
unsafe impl Zeroable for Bucket<Key4> {}

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
    fn every_number_is_a_state_and_every_flow_is_one_connection() {
        for number in 0..16 {
            let state = State::from_number(number);
            assert_eq!(state as u8, number);
            let connections = ACTIVE.has(state) + INACTIVE.has(state);
            assert_eq!(connections, u64::from(state.is_living()), "{state:?}");
        }
        assert_eq!(State::UdpFirst as u8, 15);
    }

    #[test]
    fn a_word_is_its_control() {
        let control = Control { server: 0x1122, generation: 0x3344, tag: 0x5566, turn: 0x77, life: 0x94 };
        let word = Word::from(control);
        assert_eq!((word.server(), word.generation(), word.tag()), (0x1122, 0x3344, 0x5566));
        assert_eq!((word.turn(), word.state(), word.era()), (0x77, State::Established, 9));
        assert_eq!(word.in_state(State::Udp), Word::from(Control { life: 0x9e, ..control }));
        assert_eq!(word.in_era(15), Word::from(Control { life: 0xf4, ..control }));
        assert_eq!(word.in_turn(1), Word::from(Control { turn: 1, ..control }));
        let fresh = Word::new(0x1122, 0x3344, 0x5566, State::Established);
        assert_eq!(fresh.in_turn(0x77).in_era(9), word);
    }
}
