//! The collector's half of the protocol: flows that are over, and flows that are in no count yet.

use super::{Atomic, Key, Maps, SLOTS, Shared, State, Timeouts, is_over};

/// What the collector did to a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Flows forgotten: expired ones, and those of servers that are gone.
    pub forgotten: u32,
    /// Flows of another era that were taken into the counts.
    pub counted: u32,
}

impl<K: Key, A: Atomic, M: Maps> Shared<K, A, M> {
    /// Forgets what is over at `now` and counts what was recorded for another daemon.
    ///
    /// A flow that a packet changes at the same moment is left for the next time. One that a packet only touches may
    /// be forgotten all the same, so `now` lies some time back: longer than a packet is under way.
    pub fn collect(&self, now: u32) -> Collected {
        let mut collected = Collected::default();
        let Some(timeouts) = self.maps.timeouts() else { return collected };
        for slot in 0..SLOTS {
            let control = self.control(slot);
            let state = control.state();
            if !state.is_living() {
                continue;
            }
            // SAFETY: the row is valid (contract of `Maps`).
            let timeout = unsafe { Timeouts::at(timeouts, state) };
            let is_gone = self.maps.generation(control.server()) != Some(control.generation());
            if is_gone || is_over(self.seen(slot), now, timeout) {
                let won = self.end(slot, control, control.in_state(State::Free));
                collected.forgotten += u32::from(won);
            } else if control.era() != self.maps.era()
                && self.change(slot, control, control.in_era(self.maps.era()))
            {
                self.maps.add_load(control.server(), state.load());
                collected.counted += 1;
            }
        }
        collected
    }
}
