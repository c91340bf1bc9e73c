//! What a reader sees of a bucket who changes nothing in it.

use super::{Atomic, Key, Maps, Shared, Timeouts, Word};
use crate::flow::TICK_SHIFT;

/// A flow or a template as it lies in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<K> {
    /// Whose it is.
    pub key: K,
    /// Its control word.
    pub control: Word,
    /// Its last-seen tick.
    pub seen: u32,
}

impl<K: Key, A: Atomic, M: Maps<K>> Shared<K, A, M> {
    /// The flow or template in a slot below [`super::SLOTS`], as it is at one moment.
    pub fn entry(&self, slot: usize) -> Option<Entry<K>> {
        let control = self.control(slot);
        if !control.state().is_living() {
            return None;
        }
        let (key, seen) = (self.key(slot), self.seen(slot));
        // Nobody has claimed the slot since, so the key is that of the word.
        (self.control(slot).turn() == control.turn()).then_some(Entry { key, control, seen })
    }

    /// How many nanoseconds from `now_ns` on a flow that was last seen at this tick lives if nothing comes.
    pub fn left_ns(&self, control: Word, seen: u32, now_ns: u64) -> u64 {
        let is_template = control.state().is_template();
        let seconds = if is_template {
            self.maps.persistence(control.server())
        } else {
            // SAFETY: the row is valid (contract of `Maps`).
            self.maps.timeouts().map_or(0, |row| unsafe { Timeouts::seconds_at(row, control.state()) })
        };
        let age = age_ns(seen, now_ns);
        // A template that goes on for another minute may be younger than now, a flow only by another CPU's clock.
        let age = if is_template { age } else { age.max(0) };
        (i64::from(seconds) * 1_000_000_000).saturating_sub(age).max(0).cast_unsigned()
    }
}

/// The time since the tick `seen` began.
const fn age_ns(seen: u32, now_ns: u64) -> i64 {
    let ticks = ((now_ns >> TICK_SHIFT) as u32).wrapping_sub(seen) as i32;
    ((ticks as i64) << TICK_SHIFT) + (now_ns & ((1 << TICK_SHIFT) - 1)) as i64
}
