//! Round robin: the next server with a weight after the last one picked.

use super::Cursor;

/// Any server with a weight will do.
#[inline(always)]
pub(super) const fn takes(weight: u16) -> bool {
    weight > 0
}

/// The cursor at the list's end goes to its head.
#[inline(always)]
pub(super) const fn around(cursor: Cursor) -> Cursor {
    Cursor { place: 0, ..cursor }
}

/// The search goes on behind the server that was picked last, or behind its predecessor if that one is gone.
pub(super) fn rebase<Id: PartialEq>(old: Cursor, before: &[(Id, u16)], new: &[(Id, u16)]) -> Cursor {
    let picked = &before[..usize::from(old.place).min(before.len())];
    let place = picked.iter().rev().find_map(|(id, _)| new.iter().position(|(other, _)| other == id));
    Cursor { place: place.map_or(0, |place| place as u16 + 1), ..Cursor::default() }
}

#[cfg(test)]
mod tests {
    use crate::sched::{Scheduler, tests::Pool};

    #[test]
    fn the_order_is_the_lists_and_begins_at_its_head() {
        assert_eq!(Pool::new(Scheduler::Rr, &[('c', 1), ('b', 9), ('a', 1)]).picks(7), "cbacbac");
    }

    #[test]
    fn weight_zero_is_skipped() {
        assert_eq!(Pool::new(Scheduler::Rr, &[('c', 1), ('b', 0), ('a', 1)]).picks(4), "caca");
    }

    #[test]
    fn the_order_goes_on_over_a_change() {
        let mut pool = Pool::new(Scheduler::Rr, &[('c', 1), ('b', 1), ('a', 1)]);
        assert_eq!(pool.picks(2), "cb");
        pool.change(&[('d', 1), ('c', 1), ('b', 1), ('a', 1)]);
        assert_eq!(pool.picks(2), "ad", "the search was behind b");
        pool.change(&[('c', 1), ('b', 1), ('a', 1)]);
        assert_eq!(pool.picks(3), "cba", "the last one picked, at the head, is gone");
        pool.change(&[('c', 1), ('a', 1)]);
        assert_eq!(pool.picks(2), "ca");
        assert_eq!(pool.picks(1), "c");
        pool.change(&[('b', 1), ('a', 1)]);
        assert_eq!(pool.picks(2), "ba");
    }
}
