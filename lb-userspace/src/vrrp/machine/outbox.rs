//! Owns the actions that wait to be polled, never more than a fixed number, and which adverts have not been answered.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use super::Action;
use crate::config::model::vrrp::Checksum;
use crate::vrrp::State;
use crate::vrrp::wire::Refusal;

/// So many changes wait one by one.
pub(super) const CHANGES: usize = 64;

#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    actions: VecDeque<Action>,
    /// When the advert that waits was asked for.
    asked: Option<Instant>,
    /// When the earliest of the polled adverts was asked for that nobody said of that it left.
    unanswered: Option<Instant>,
}

impl Outbox {
    pub(super) fn poll(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if matches!(action, Some(Action::Advert { .. })) {
            let asked = self.asked.take();
            self.unanswered = self.unanswered.or(asked);
        }
        action
    }

    /// An advert left: not earlier than the time that is returned. One that was not asked for gives no time.
    pub(super) fn sent(&mut self) -> Option<Instant> {
        self.unanswered.take()
    }

    pub(super) fn advert(&mut self, now: Instant, priority: u8, checksum: Checksum) {
        let advert = Action::Advert { priority, checksum };
        let waiting = self.actions.iter_mut().find(|action| matches!(action, Action::Advert { .. }));
        match waiting {
            Some(waiting @ Action::Advert { priority: 1.., .. }) if priority > 0 => *waiting = advert,
            _ => {
                self.remove(|action| matches!(action, Action::Advert { .. }));
                self.asked = Some(now);
                self.actions.push_back(advert);
            }
        }
    }

    /// A lease comes before the addresses it is for.
    pub(super) fn lease(&mut self, until: Option<Instant>) {
        self.remove(|action| matches!(action, Action::Lease(_)));
        let hold = self.actions.iter().position(|action| *action == Action::Hold(true));
        let place = hold.filter(|_| until.is_some()).unwrap_or(self.actions.len());
        self.actions.insert(place, Action::Lease(until));
    }

    pub(super) fn hold(&mut self, hold: bool) {
        self.remove(|action| matches!(action, Action::Hold(_)));
        self.actions.push_back(Action::Hold(hold));
    }

    pub(super) fn burst(&mut self, repeat: u32) {
        let waiting = self.actions.iter_mut().find_map(|action| match action {
            Action::Burst { repeat } => Some(repeat),
            _ => None,
        });
        match waiting {
            Some(waiting) => *waiting = repeat.max(*waiting),
            None if repeat > 0 => self.actions.push_back(Action::Burst { repeat }),
            None => {}
        }
    }

    pub(super) fn changed(&mut self, from: State, to: State, reason: String) {
        let changes = self.actions.iter().filter(|action| matches!(action, Action::Changed { .. })).count();
        let last = self.actions.iter().rposition(|action| matches!(action, Action::Changed { .. }));
        let from = match last {
            Some(place) if changes >= CHANGES => match self.actions.remove(place) {
                Some(Action::Changed { from, .. }) => from,
                _ => from,
            },
            _ => from,
        };
        if from != to {
            self.actions.push_back(Action::Changed { from, to, reason });
        }
    }

    pub(super) fn heard_lower(&mut self) {
        self.once(Action::HeardLower);
    }

    pub(super) fn refused(&mut self, source: IpAddr, reason: Refusal) {
        let known =
            |action: &Action| matches!(action, Action::Refused { reason: other, .. } if *other == reason);
        if !self.actions.iter().any(known) {
            self.actions.push_back(Action::Refused { source, reason });
        }
    }

    pub(super) fn stopped(&mut self) {
        self.once(Action::Stopped);
    }

    /// Takes back what a mastership that ends wanted to say, and no longer waits for its adverts to leave.
    pub(super) fn silence(&mut self) {
        self.remove(|action| matches!(action, Action::Advert { .. } | Action::Burst { .. }));
        self.asked = None;
        self.unanswered = None;
    }

    fn once(&mut self, action: Action) {
        if !self.actions.contains(&action) {
            self.actions.push_back(action);
        }
    }

    fn remove(&mut self, mut which: impl FnMut(&Action) -> bool) {
        self.actions.retain(|action| !which(action));
    }
}
