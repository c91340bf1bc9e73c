//! The collector's half of the protocol: flows that are over, and flows that are in no count yet.

use super::{Atomic, Key, Maps, SLOTS, Shared, State, is_over, ticks};

/// For how long goes on, in seconds, a template whose time is over and whose flows are not (`ip_vs_conn_expire`), and an established flow of
/// another daemon's time.
const AGAIN: u32 = 60;

/// What becomes of a template whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// No flow goes by it.
    Forget,
    /// Whether one does is to be found out: it stays until the collector comes again.
    Wait,
    /// One does: it goes on for a minute.
    Again,
}

/// What the collector did to a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Flows forgotten: expired ones, and those of servers that are gone.
    pub forgotten: u32,
    /// Flows of another era that were taken into the counts.
    pub counted: u32,
    /// Flows and templates that are left.
    pub living: u32,
}

impl Collected {
    /// The sum of two.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            forgotten: self.forgotten + other.forgotten,
            counted: self.counted + other.counted,
            living: self.living + other.living,
        }
    }
}

impl<K: Key, A: Atomic, M: Maps<K>> Shared<K, A, M> {
    /// Does no slot hold anything? That of most buckets is soon said.
    fn is_free(&self) -> bool {
        (0..SLOTS).fold(0, |bits, slot| bits | self.control(slot).state() as u8) == State::Free as u8
    }

    /// Forgets what is over at `now` and counts what was recorded for another daemon.
    ///
    /// A flow that a packet changes at the same moment is left for the next time. One that a packet only touches may
    /// be forgotten all the same, so `now` lies some time back: longer than a packet is under way.
    pub fn collect(&self, now: u32) -> Collected {
        let mut collected = Collected::default();
        if self.is_free() {
            return collected;
        }
        let Some(timeouts) = self.maps.timeouts() else { return collected };
        for slot in 0..SLOTS {
            let control = self.control(slot);
            let state = control.state();
            if !state.is_living() {
                continue;
            }
            collected.living += 1;
            let is_gone = self.maps.generation(control.server()) != Some(control.generation());
            let timeout = self.timeout(timeouts, control);
            let seen = self.seen(slot);
            let is_over = is_over(seen, now, timeout);
            if !is_gone && is_over && state.is_template() {
                match self.maps.over(&self.key(slot)) {
                    Over::Forget => {}
                    Over::Wait => continue,
                    Over::Again => {
                        self.set_seen(slot, now.wrapping_sub(timeout).wrapping_add(ticks(AGAIN)));
                        continue;
                    }
                }
            }
            let is_of_another = control.era() != self.maps.era();
            // While no daemon ran nobody may have asked after it.
            let is_left = is_of_another && state == State::Established && !is_gone && is_over;
            if is_left {
                self.set_seen(slot, now.wrapping_sub(timeout).wrapping_add(ticks(AGAIN)));
            }
            let is_over = is_over && !is_left;
            // One that a packet has changed meanwhile lives on.
            if (is_gone || is_over) && self.end(slot, control, control.in_state(State::Free)) {
                collected.forgotten += 1;
                collected.living -= 1;
                continue;
            }
            if !state.is_template() {
                // The clock lies some time back.
                let silence = now.saturating_sub(seen);
                self.maps.goes_on(&self.key(slot), control, silence);
            }
            if is_of_another && self.change(slot, control, control.in_era(self.maps.era())) {
                if state.load() != 0 {
                    self.maps.add_load(control.server(), state.load());
                }
                collected.counted += 1;
            }
        }
        collected
    }
}
