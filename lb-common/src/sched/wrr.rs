//! Weighted round robin: a threshold falls from the highest weight to 1, and every server that reaches it is
//! taken once at each height (the interleaved scheme of `net/netfilter/ipvs/ip_vs_wrr.c`).
//!
//! IPVS lowers the threshold by the weights' greatest common divisor. Here the weights are divided by it once,
//! when the pool is published ([`super::published`]), which gives the same sequence with a step of 1.

use super::Cursor;

/// A server is taken whose weight reaches the threshold.
#[inline(always)]
pub(super) const fn takes(cursor: Cursor, weight: u16) -> bool {
    weight > 0 && weight >= cursor.threshold
}

/// The cursor at the list's end goes to its head, one lower; from the bottom to the top.
#[inline(always)]
pub(super) const fn around(cursor: Cursor) -> Cursor {
    let threshold = if cursor.threshold > 1 { cursor.threshold - 1 } else { cursor.highest };
    Cursor { place: 0, threshold, ..cursor }
}

/// A change starts at the list's head; the threshold stays where it was as far as the new weights have it.
pub(super) fn rebase<Id>(old: Cursor, before: &[(Id, u16)], new: &[(Id, u16)]) -> Cursor {
    let (old_step, step) = (divisor(weights(before)), divisor(weights(new)));
    let top = weights(new).max().unwrap_or(0);
    if top == 0 {
        return Cursor::default();
    }
    // In the configured weights' measure, thresholds are 1, 1 + step, 1 + 2 * step, ... up to `highest`.
    let highest = top - (step - 1);
    let old_threshold =
        if old.threshold == 0 { 0 } else { (old.threshold - 1).saturating_mul(old_step).saturating_add(1) };
    let threshold = match old_threshold {
        0 => highest,
        above if above > highest => highest,
        kept if step > 1 => kept / step * step + 1,
        kept => kept,
    };
    let normal = |threshold: u16| (threshold - 1) / step + 1;
    Cursor { place: 0, threshold: normal(threshold.min(highest)), highest: normal(highest), epoch: 0 }
}

fn weights<Id>(list: &[(Id, u16)]) -> impl Iterator<Item = u16> + '_ {
    list.iter().map(|&(_, weight)| weight)
}

/// The greatest common divisor of the weights above 0; 1 when there are none.
pub(super) fn divisor(weights: impl Iterator<Item = u16>) -> u16 {
    let gcd = weights.fold(0, |mut a, mut b| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    });
    gcd.max(1)
}

#[cfg(test)]
mod tests {
    use crate::sched::{Scheduler, tests::Pool};

    #[test]
    fn ten_to_twenty_gives_three_and_six_of_nine() {
        let picks = Pool::new(Scheduler::Wrr, &[('b', 20), ('a', 10)]).picks(9);
        assert_eq!(picks, "bbabbabba");
    }

    #[test]
    fn the_heavier_come_first_and_ties_go_by_the_list() {
        assert_eq!(Pool::new(Scheduler::Wrr, &[('c', 1), ('b', 2), ('a', 3)]).picks(6), "abacba");
        assert_eq!(Pool::new(Scheduler::Wrr, &[('c', 4), ('b', 4), ('a', 4)]).picks(4), "cbac");
    }

    #[test]
    fn weight_zero_gets_nothing() {
        assert_eq!(Pool::new(Scheduler::Wrr, &[('b', 20), ('a', 0)]).picks(8), "bbbbbbbb");
    }

    #[test]
    fn shares_follow_weights_over_a_cycle() {
        let list = [('a', 7), ('b', 0), ('c', 13), ('d', 1), ('e', 65_535)];
        let mut pool = Pool::new(Scheduler::Wrr, &list);
        let picks = pool.picks(list.iter().map(|&(_, weight)| usize::from(weight)).sum());
        for (id, weight) in list {
            assert_eq!(picks.matches(id).count(), usize::from(weight), "{id}");
        }
    }

    #[test]
    fn a_threshold_above_the_new_weights_falls_to_them() {
        let mut pool = Pool::new(Scheduler::Wrr, &[('b', 20), ('a', 10)]);
        assert_eq!(pool.picks(1), "b");
        pool.change(&[('b', 2), ('a', 1)]);
        assert_eq!(pool.picks(3), "bba");
    }
}
