//! The rows of the bucketed flow table: slots, their life, their timeouts. `shared` has the protocol by which several
//! CPUs look flows up and record them.

mod shared;

pub use shared::{Atomic, Hit, Inserted, Shared};

use bytemuck::{Pod, Zeroable};

/// Slots in a bucket of the IPv4 table, two to a cache line.
pub const SLOTS: usize = 4;

/// A coarse unit of time: 2^30 nanoseconds of the monotonic clock, 1.07 s.
pub const TICK_SHIFT: u32 = 30;

const fn ticks(seconds: u64) -> u32 {
    ((seconds * 1_000_000_000) >> TICK_SHIFT) as u32 + 1
}

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
    /// UDP.
    Udp = 14,
}

impl State {
    /// The state with this number; unknown ones are Free.
    #[inline(always)]
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Claimed,
            2 => Self::Tentative,
            3 => Self::None,
            4 => Self::Established,
            5 => Self::SynSent,
            6 => Self::SynRecv,
            7 => Self::FinWait,
            8 => Self::TimeWait,
            9 => Self::Close,
            10 => Self::CloseWait,
            11 => Self::LastAck,
            12 => Self::Listen,
            13 => Self::SynAck,
            14 => Self::Udp,
            _ => Self::Free,
        }
    }

    /// After how many ticks without a packet the flow is forgotten (IPVS's default timeouts).
    #[inline(always)]
    pub const fn timeout(self) -> u32 {
        match self {
            Self::Established => ticks(900),
            Self::Udp => ticks(300),
            Self::SynSent | Self::FinWait | Self::TimeWait | Self::Listen | Self::SynAck => ticks(120),
            Self::SynRecv | Self::CloseWait => ticks(60),
            Self::LastAck => ticks(30),
            Self::Close => ticks(10),
            Self::Free | Self::Claimed | Self::Tentative | Self::None => ticks(2),
        }
    }

    /// A SYN on a connection in this state opens a new one (IPVS's `conn_reuse_mode`).
    #[inline(always)]
    pub const fn is_closing(self) -> bool {
        matches!(self, Self::FinWait | Self::TimeWait | Self::Close | Self::CloseWait | Self::LastAck)
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
    /// A [`State`] as a number.
    pub state: u8,
}

impl Control {
    #[inline(always)]
    pub(crate) const fn to_word(self) -> u64 {
        bytemuck::must_cast(self)
    }

    #[inline(always)]
    pub(crate) const fn from_word(word: u64) -> Self {
        bytemuck::must_cast(word)
    }

    #[inline(always)]
    pub(crate) const fn in_state(self, state: State) -> Self {
        Self { state: state as u8, ..self }
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

/// The part of a hash that lies in the slot; the bucket number uses the lower bits.
#[inline(always)]
pub const fn tag(hash: u32) -> u16 {
    (hash >> 16) as u16
}
