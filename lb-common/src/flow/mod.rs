//! The rows of the bucketed flow table: slots and their life. `shared` has the protocol by which several CPUs look
//! flows up, record, count and forget them; `timeouts` says when.

mod atomic;
mod chain;
mod shared;
mod timeouts;

pub use atomic::Atomic;
#[cfg(target_has_atomic = "64")]
pub use atomic::Host;
pub use chain::{ATTEMPTS, Chain, Inserted};
pub use shared::{Collected, Hit, Maps, Over, Shared};
pub use timeouts::{Timeouts, ticks};

use bytemuck::{Pod, Zeroable};

use crate::layout::{Address, Load, MARK_PROTOCOL};

/// Slots in a bucket; two of the IPv4 table fit in a cache line, and one of the IPv6 table.
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
    /// SCTP: nothing seen.
    SctpNone = 16,
    /// SCTP: the first INIT seen.
    SctpInit1 = 17,
    /// SCTP: INIT seen again.
    SctpInit = 18,
    /// SCTP: the server's INIT ACK was sent.
    SctpCookieSent = 19,
    /// SCTP: COOKIE ECHO seen.
    SctpCookieReplied = 20,
    /// SCTP: the server's side opened.
    SctpCookieWait = 21,
    /// SCTP: the client's INIT ACK seen.
    SctpCookie = 22,
    /// SCTP: the server's COOKIE ECHO was sent.
    SctpCookieEchoed = 23,
    /// SCTP: established.
    SctpEstablished = 24,
    /// SCTP: the server's SHUTDOWN was sent.
    SctpShutdownSent = 25,
    /// SCTP: SHUTDOWN seen.
    SctpShutdownReceived = 26,
    /// SCTP: the server's SHUTDOWN ACK was sent.
    SctpShutdownAckSent = 27,
    /// SCTP: refused.
    SctpRejected = 28,
    /// SCTP: closed.
    SctpClosed = 29,
    /// Persistence: a client's real server, for the connections it will open.
    Template = 30,
    /// The same, and none of the client's connections has got beyond its first packet.
    TemplateFirst = 31,
}

/// How far the era is shifted in [`Control::life`]; below it is the state.
const ERA_SHIFT: u32 = 5;
/// The bits of [`Control::life`] that are the state's number.
const STATE_MASK: u8 = (1 << ERA_SHIFT) - 1;

/// Eras there are; after the last one comes the first again.
pub const ERAS: u8 = 1 << (u8::BITS - ERA_SHIFT);

/// States as bits by their numbers: asking whether one is among them needs no branch, of which the verifier would have
/// to follow both sides.
#[derive(Clone, Copy)]
struct Set(u32);

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

const ACTIVE: Set =
    Set::of(&[State::Established, State::SynSent, State::SynRecv, State::SynAck, State::SctpEstablished]);
const CLOSING: Set = Set::of(&[
    State::FinWait,
    State::TimeWait,
    State::Close,
    State::CloseWait,
    State::LastAck,
    State::SctpRejected,
    State::SctpClosed,
]);
const TEMPLATES: Set = Set::of(&[State::Template, State::TemplateFirst]);
/// Every other flow.
const INACTIVE: Set =
    Set(!(ACTIVE.0 | TEMPLATES.0 | Set::of(&[State::Free, State::Claimed, State::Tentative]).0));

impl State {
    /// The state with this number, of which the low five bits count.
    #[inline(always)]
    pub const fn from_number(number: u8) -> Self {
        // SAFETY: every number below 32 is a state.
        unsafe { core::mem::transmute(number & STATE_MASK) }
    }

    /// Does a slot in this state hold a flow?
    #[inline(always)]
    pub const fn is_living(self) -> bool {
        self as u8 > Self::Tentative as u8
    }

    /// Is it a template of persistence and no flow?
    #[inline(always)]
    pub const fn is_template(self) -> bool {
        TEMPLATES.has(self) != 0
    }

    /// What a flow in this state is in the word of its real server's [`Load`]. Active are the states that IPVS counts
    /// so; UDP never is, and templates are not counted.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
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
    /// [`KIND_FLOW`] or [`KIND_TEMPLATE`].
    pub kind: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

/// The key of an IPv6 flow, addresses and ports as on the wire.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Key6 {
    /// Source address.
    pub client: [u8; 16],
    /// Destination address.
    pub vip: [u8; 16],
    /// Source port, network order.
    pub client_port: [u8; 2],
    /// Destination port, network order.
    pub vip_port: [u8; 2],
    /// IP protocol number.
    pub protocol: u8,
    /// [`KIND_FLOW`] or [`KIND_TEMPLATE`].
    pub kind: u8,
    /// Zero.
    pub reserved: [u8; 10],
}

/// In a key: of a flow.
pub const KIND_FLOW: u8 = 0;
/// In a key: of a template of persistence.
pub const KIND_TEMPLATE: u8 = 1;

/// What the templates of a service have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateForm {
    /// Which clients are one: the bits of a (mapped) address that count.
    pub mask: Address,
    /// The VIP, or what stands for a firewall mark.
    pub vip: Address,
    /// The service's port; 0 for every port, for a firewall mark, and for FTP.
    pub port: u16,
    /// IP protocol number; 0 for a firewall mark.
    pub protocol: u8,
}

impl TemplateForm {
    /// That of a service with this key and mask (`ip_vs_sched_persist` in `net/netfilter/ipvs/ip_vs_core.c`).
    #[inline(always)]
    pub const fn of(vip: Address, port: u16, protocol: u8, mask: Address) -> Self {
        let is_ftp = protocol == 6 && port == FTP;
        let protocol = if protocol == MARK_PROTOCOL { 0 } else { protocol };
        Self { mask, vip, port: if is_ftp { 0 } else { port }, protocol }
    }
}

/// The port of FTP's control connections: with persistence its data connections go with them.
pub const FTP: u16 = 21;

/// The key of a flow in one address family: aligned to 8, a whole number of 64-bit words, no padding.
pub trait Key: Pod + Eq {
    /// How many of its 32-bit words are hashed; those behind them are always zero.
    const WORDS: usize;

    /// The hash of the key at `place`, which another CPU may be writing; `keys` gives the numbers of
    /// [`crate::hash::Keys`].
    ///
    /// # Safety
    /// `place` is valid and aligned.
    #[inline(always)]
    unsafe fn hash_at(place: *const Self, keys: impl Fn(usize) -> u64) -> u32 {
        // SAFETY: the contract, and the words lie in the key. One by one, for the program's stack is small.
        let word = |at| unsafe { place.cast::<u32>().add(at).read_volatile() };
        crate::hash::multilinear(keys, Self::WORDS, word)
    }

    /// The hash of the key.
    #[inline(always)]
    fn hash(&self, keys: impl Fn(usize) -> u64) -> u32 {
        // SAFETY: a reference.
        unsafe { Self::hash_at(self, keys) }
    }

    /// The key of the template that a flow with this key goes by.
    fn template(&self, form: &TemplateForm) -> Self;
}

impl Key for Key4 {
    const WORDS: usize = 4;

    #[inline(always)]
    fn template(&self, form: &TemplateForm) -> Self {
        let client = u32::from_ne_bytes(self.client) & form.mask.words()[3];
        Self {
            client: client.to_ne_bytes(),
            vip: form.vip.words()[3].to_ne_bytes(),
            client_port: [0; 2],
            vip_port: form.port.to_be_bytes(),
            protocol: form.protocol,
            kind: KIND_TEMPLATE,
            reserved: [0; 2],
        }
    }
}

impl Key for Key6 {
    const WORDS: usize = 10;

    #[inline(always)]
    fn template(&self, form: &TemplateForm) -> Self {
        Self {
            client: Address { octets: self.client }.masked(&form.mask).octets,
            vip: form.vip.octets,
            client_port: [0; 2],
            vip_port: form.port.to_be_bytes(),
            protocol: form.protocol,
            kind: KIND_TEMPLATE,
            reserved: [0; 10],
        }
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
    fn every_number_is_a_state_and_every_flow_is_one_connection() {
        for number in 0..32 {
            let state = State::from_number(number);
            assert_eq!(state as u8, number);
            let connections = ACTIVE.has(state) + INACTIVE.has(state);
            assert_eq!(connections, u64::from(state.is_living() && !state.is_template()), "{state:?}");
        }
        assert_eq!(State::TemplateFirst as u8, 31);
    }

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
