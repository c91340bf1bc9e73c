//! The bucketed flow table: slots, their life, and the lock-free protocol of lookup and insertion.
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
    const fn to_word(self) -> u64 {
        bytemuck::must_cast(self)
    }

    #[inline(always)]
    const fn from_word(word: u64) -> Self {
        bytemuck::must_cast(word)
    }

    #[inline(always)]
    const fn in_state(self, state: State) -> Self {
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
        let Some((slot, tentative)) = self.claim(key, flow, stale, now) else { return Inserted::Full };
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
    fn claim(&self, key: &K, flow: Control, stale: Option<Hit>, now: u32) -> Option<(usize, Control)> {
        let mut attempt = 0;
        while attempt < SLOTS {
            let (slot, old) = match stale {
                Some(hit) if attempt == 0 => (hit.slot, hit.control),
                _ => self.victim(now)?,
            };
            let turn = old.turn.wrapping_add(1);
            if self.change(slot, old, Control { state: State::Claimed as u8, turn, ..old }) {
                let tentative = Control { turn, state: State::Tentative as u8, ..flow };
                // SAFETY: the slot is claimed, so only this CPU writes its key; the swap publishes it.
                unsafe {
                    (&raw mut (*self.bucket).slots[slot].key).write(*key);
                    (&raw mut (*self.bucket).slots[slot].seen).write_volatile(now);
                    A::swap(self.control_at(slot), tentative.to_word());
                }
                return Some((slot, tentative));
            }
            attempt += 1;
        }
        None
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
#[path = "flow_tests.rs"]
mod tests;
