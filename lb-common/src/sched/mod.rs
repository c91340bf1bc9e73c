//! The IPVS schedulers, pure: from a pool and a cursor to a pick and the next cursor.
//!
//! The pool is a list in IPVS's order, where a destination added later stands nearer the head. Its weights are
//! offered one by one, so that the program reads them from its map and a test from a slice.

mod rr;
mod wrr;

pub use wrr::normalised;

use bytemuck::{Pod, Zeroable};

use crate::layout::MAX_POOL;

/// A scheduler by its number in `services`.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheduler {
    /// Round robin.
    Rr = 1,
    /// Weighted round robin.
    Wrr = 2,
}

impl Scheduler {
    /// The scheduler with this number.
    #[inline(always)]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Rr),
            2 => Some(Self::Wrr),
            _ => None,
        }
    }

    /// The name in `lb_algo` and in ipvsadm's `-s`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
        }
    }
}

/// Where a round robin stands: one word, so that a pick is one compare and swap.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Cursor {
    /// Place in the list where the next search begins.
    pub place: u16,
    /// wrr: the weight a server must have to be taken in this turn.
    pub threshold: u16,
    /// wrr: the greatest weight of the pool, where the threshold starts anew.
    pub highest: u16,
    /// The pool's epoch.
    pub epoch: u16,
}

/// A search for a server: the caller offers the weight at [`Walk::place`] until one is taken.
///
/// One step at a time, because the BPF verifier wants the loop outside.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    scheduler: Scheduler,
    cursor: Cursor,
    len: u16,
}

impl Walk {
    /// Begins at `cursor` over a pool of `len` servers; `None` if nobody can be found there.
    #[inline(always)]
    pub const fn new(scheduler: Scheduler, cursor: Cursor, len: u16) -> Option<Self> {
        if len == 0 || len as usize > MAX_POOL {
            return None;
        }
        let cursor = if cursor.place < len {
            cursor
        } else {
            match scheduler {
                Scheduler::Rr => rr::around(cursor),
                Scheduler::Wrr => wrr::around(cursor),
            }
        };
        Some(Self { scheduler, cursor, len })
    }

    /// The place whose weight is to be offered next, below the pool's length.
    #[inline(always)]
    pub const fn place(&self) -> u16 {
        self.cursor.place
    }

    /// How many offers decide: once around the pool, and under wrr once more at the next threshold. Then nobody
    /// has a weight.
    #[inline(always)]
    pub const fn steps(&self) -> u32 {
        2 * self.len as u32
    }

    /// Takes the server at [`Walk::place`] if its `weight` suffices: the cursor after it. Else moves on.
    #[inline(always)]
    pub const fn offer(&mut self, weight: u16) -> Option<Cursor> {
        let takes = match self.scheduler {
            Scheduler::Rr => rr::takes(weight),
            Scheduler::Wrr => wrr::takes(self.cursor, weight),
        };
        let next = Cursor { place: self.cursor.place + 1, ..self.cursor };
        if takes {
            return Some(next);
        }
        self.cursor = match self.scheduler {
            _ if next.place < self.len => next,
            Scheduler::Rr => rr::around(next),
            Scheduler::Wrr => wrr::around(next),
        };
        None
    }
}

/// The cursor for a pool that replaces another, so that the order goes on as IPVS's would.
///
/// `old` is the cursor as it stood over the list `before` and `new` the list that follows, both
/// as (identity of the server, weight as configured). `epoch` is the new pool's.
pub fn rebase<Id: PartialEq>(
    scheduler: Scheduler,
    old: Cursor,
    before: &[(Id, u16)],
    new: &[(Id, u16)],
    epoch: u16,
) -> Cursor {
    let next = match scheduler {
        Scheduler::Rr => rr::rebase(old, before, new),
        Scheduler::Wrr => wrr::rebase(old, before, new),
    };
    Cursor { epoch, ..next }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::vec::Vec;

    use super::*;

    /// A pool as a director keeps it: the list with identities, and the cursor.
    pub(crate) struct Pool {
        pub(crate) scheduler: Scheduler,
        pub(crate) list: Vec<(char, u16)>,
        pub(crate) cursor: Cursor,
    }

    impl Pool {
        pub(crate) fn new(scheduler: Scheduler, list: &[(char, u16)]) -> Self {
            let mut pool = Self { scheduler, list: Vec::new(), cursor: Cursor::default() };
            pool.change(list);
            pool
        }

        pub(crate) fn change(&mut self, list: &[(char, u16)]) {
            self.cursor = rebase(self.scheduler, self.cursor, &self.list, list, self.cursor.epoch + 1);
            self.list = list.to_vec();
        }

        pub(crate) fn pick(&mut self) -> Option<char> {
            let weights = normalised(self.list.iter().map(|&(_, weight)| weight));
            let weights: Vec<u16> = weights.collect();
            let mut walk = Walk::new(self.scheduler, self.cursor, self.list.len() as u16)?;
            for _step in 0..walk.steps() {
                let place = usize::from(walk.place());
                if let Some(cursor) = walk.offer(weights[place]) {
                    self.cursor = cursor;
                    return Some(self.list[place].0);
                }
            }
            None
        }

        pub(crate) fn picks(&mut self, count: usize) -> std::string::String {
            (0..count).map(|_| self.pick().unwrap_or('-')).collect()
        }
    }

    #[test]
    fn numbers_and_schedulers_agree() {
        for scheduler in [Scheduler::Rr, Scheduler::Wrr] {
            assert_eq!(Scheduler::from_number(scheduler as u8), Some(scheduler));
        }
        assert_eq!(Scheduler::from_number(0), None);
    }

    #[test]
    fn an_empty_pool_and_one_without_weights_give_nobody() {
        for scheduler in [Scheduler::Rr, Scheduler::Wrr] {
            assert_eq!(Pool::new(scheduler, &[]).pick(), None);
            assert_eq!(Pool::new(scheduler, &[('a', 0), ('b', 0)]).pick(), None);
        }
    }

    #[test]
    fn a_full_pool_is_walked_to_its_only_server() {
        let mut list: Vec<(char, u16)> = (0..MAX_POOL).map(|_| ('x', 0)).collect();
        list[MAX_POOL - 1] = ('y', 5);
        for scheduler in [Scheduler::Rr, Scheduler::Wrr] {
            assert_eq!(Pool::new(scheduler, &list).picks(3), "yyy");
        }
    }
}
