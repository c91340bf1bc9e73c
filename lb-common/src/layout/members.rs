//! The lists of the services' real servers.

use bytemuck::{Pod, Zeroable};

/// Where the service's real servers stand in `members`: replaced in one piece when the pool changes. The list begins with a row,
/// and so does the ring behind it.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Pool {
    /// First row in `members`.
    pub base: u32,
    /// Number of real servers.
    pub len: u16,
    /// Another number with every publication of this pool, below [`Self::SETTLED`]; the cursor carries the same.
    pub epoch: u16,
}

impl Pool {
    /// The bit of [`Self::epoch`] which says, under a scheduler by hash, that whoever has a flow has it with the server that the
    /// ring names. No publication has it: it is added by compare-and-swap, when all flows have been looked at.
    pub const SETTLED: u16 = 0x8000;

    /// The epoch of the next publication after the one of `epoch`.
    pub const fn next_epoch(epoch: u16) -> u16 {
        epoch.wrapping_add(1) & !Self::SETTLED
    }

    /// Is everybody's flow with the server of the ring?
    #[inline(always)]
    pub const fn is_settled(&self) -> bool {
        self.epoch & Self::SETTLED != 0
    }

    /// The same pool when that is known.
    #[must_use]
    pub const fn settled(self) -> Self {
        Self { epoch: self.epoch | Self::SETTLED, ..self }
    }

    /// The same pool when that is known no more.
    #[must_use]
    pub const fn unsettled(self) -> Self {
        Self { epoch: self.epoch & !Self::SETTLED, ..self }
    }
}

/// One real server in the list of one service, in IPVS's order. Under sh, dh and mh the list is followed by the ring: the
/// servers once more, by the buckets of the scheduler's hash.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Member {
    /// Row of `servers`.
    pub server: u16,
    /// 0 takes no new connection. Under wrr the weights are divided by their greatest common divisor.
    pub weight: u16,
}

/// How many stand in a row of `members`, so that one lookup is enough for all of them.
pub const MEMBERS: usize = 8;

/// A row of `members`. What is left of a list's or a ring's last row takes no connection.
pub type Members = [Member; MEMBERS];

/// The place in a pool where the ring stands behind a list of `len` servers: its buckets have the places from here on.
#[inline(always)]
pub const fn ring_place(len: u16) -> u16 {
    len.next_multiple_of(MEMBERS as u16)
}
