//! Who holds what, when to look whether it is there, and what to say about it. Time is a parameter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::Command;
use super::item::Item;

/// Between two tries to put one item there: when two daemons fight over an address, each puts it back four times a
/// second and no more.
const PAUSE: Duration = Duration::from_millis(250);
/// Between two looks that the kernel's events ask for: a burst of events is one look.
const GAP: Duration = Duration::from_millis(50);
/// The same when an event only says that something may be wrong.
const WIDE_GAP: Duration = Duration::from_secs(1);
/// From a failure to the next try without an event.
const RETRY: Duration = Duration::from_secs(10);
/// An item that was left alone for so long is worth a warning again when something else removes it.
const CALM: Duration = Duration::from_mins(1);

/// How urgent a look is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Something changed that matters.
    Soon,
    /// The same, and what it brings about comes without an event.
    Twice,
    /// Something may have.
    Someday,
}

/// How an item got there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// For the first time, or it was there before.
    First,
    /// After a failure that was logged.
    AtLast,
    /// Again, since something removed it; not yet logged.
    Again { recreated: bool },
    /// Again, as often before.
    StillAgain,
}

#[derive(Debug)]
struct Standing {
    item: Item,
    /// It was there once.
    held: bool,
    /// The interface it was on, if that matters.
    index: Option<u32>,
    /// Not tried before.
    earliest: Option<Instant>,
    failure: Option<String>,
    disturbed: Option<Instant>,
}

/// The items of all owners.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// By owner; an item is named by what it says of itself.
    owners: BTreeMap<String, Vec<String>>,
    standings: BTreeMap<String, Standing>,
    /// Every item in the order it is put there: it stands in this list once.
    order: Vec<String>,
    /// What is to be removed, in this order.
    removals: VecDeque<Item>,
    /// What could not be removed, until the next look.
    stuck: Vec<Item>,
    last_look: Option<Instant>,
    next_look: Option<Instant>,
    /// The next look is to be followed by another.
    again: bool,
}

impl Book {
    /// Takes a command: there may be something to remove now, and it is time to look.
    pub(super) fn take(&mut self, now: Instant, command: Command) {
        let (owner, held, given_up) = match command {
            Command::Hold { owner, items } => (owner, items, Vec::new()),
            Command::Release { owner, items } => (owner, Vec::new(), items),
        };
        let before = self.owners.remove(&owner).unwrap_or_default();
        for item in &held {
            self.standings.entry(item.to_string()).or_insert_with(|| Standing::new(item.clone()));
        }
        if !held.is_empty() {
            self.owners.insert(owner, held.iter().map(Item::to_string).collect());
        }
        let held: BTreeSet<&String> = self.owners.values().flatten().collect();
        let candidates = before.iter().filter_map(|name| self.standings.get(name)).map(|s| s.item.clone());
        let mut known = BTreeSet::new();
        let mut removals: Vec<Item> = candidates.chain(given_up).collect();
        removals.retain(|item| {
            let name = item.to_string();
            !held.contains(&name) && known.insert(name)
        });
        removals.sort_by_key(|item| std::cmp::Reverse(rank(item)));
        self.removals.extend(removals);
        self.removals.retain(|item| !held.contains(&item.to_string()));
        self.stuck.retain(|item| !held.contains(&item.to_string()));
        self.standings.retain(|name, _| held.contains(name));
        self.reorder();
        self.look_at(now);
    }

    fn reorder(&mut self) {
        let mut order: Vec<String> = Vec::new();
        let mut known = BTreeSet::new();
        for name in self.owners.values().flatten() {
            if known.insert(name) {
                order.push(name.clone());
            }
        }
        order.sort_by_key(|name| self.standings.get(name).map(|standing| rank(&standing.item)));
        self.order = order;
    }

    /// What is to be removed next; it stays until [`Self::removed`].
    pub(super) fn removal(&self) -> Option<&Item> {
        self.removals.front()
    }

    /// The removal is done.
    pub(super) fn removed(&mut self) {
        self.removals.pop_front();
    }

    /// It was refused; it is tried again with a look some time later.
    pub(super) fn removal_failed(&mut self, now: Instant) {
        if let Some(item) = self.removals.pop_front() {
            self.stuck.push(item);
            self.look_at(now + RETRY);
        }
    }

    /// Whether anything of this kind is to be removed.
    pub(super) fn removes(&self, kind: impl Fn(&Item) -> bool) -> bool {
        self.removals.iter().any(kind)
    }

    /// Whether anything of this kind is held.
    pub(super) fn holds(&self, kind: impl Fn(&Item) -> bool) -> bool {
        self.standings.values().any(|standing| kind(&standing.item))
    }

    /// Whether anything is missing for now.
    pub(super) fn waits(&self) -> bool {
        self.standings.values().any(|standing| standing.failure.is_some())
    }

    /// An event makes a look worthwhile.
    pub(super) fn wake(&mut self, now: Instant, urgency: Urgency) {
        if self.order.is_empty() {
            return;
        }
        let gap = match urgency {
            Urgency::Soon => GAP,
            Urgency::Twice => {
                self.again = true;
                GAP
            }
            Urgency::Someday => WIDE_GAP,
        };
        let at = self.last_look.map_or(now, |last| (last + gap).max(now));
        self.look_at(at);
    }

    fn look_at(&mut self, at: Instant) {
        self.next_look = Some(self.next_look.map_or(at, |next| next.min(at)));
    }

    /// When to look, if at all.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    /// Whether it is time to look.
    pub(super) fn look_is_due(&self, now: Instant) -> bool {
        self.next_look.is_some_and(|at| at <= now)
    }

    /// Begins a look: every item in order. Each is then answered for with [`Self::present`], or with
    /// [`Self::may_try`] and what came of it.
    pub(super) fn look(&mut self, now: Instant) -> Vec<Item> {
        self.next_look = std::mem::take(&mut self.again).then_some(now + WIDE_GAP);
        self.last_look = Some(now);
        self.removals.extend(self.stuck.drain(..));
        self.order.iter().filter_map(|name| self.standings.get(name)).map(|s| s.item.clone()).collect()
    }

    /// Whether an item that is missing may be tried; if not, there will be another look when it may.
    pub(super) fn may_try(&mut self, now: Instant, name: &str) -> bool {
        let Some(standing) = self.standings.get_mut(name) else { return false };
        match standing.earliest {
            Some(earliest) if earliest > now => {
                self.look_at(earliest);
                false
            }
            _ => {
                standing.earliest = Some(now + PAUSE);
                true
            }
        }
    }

    /// It is there and nobody had to do anything.
    pub(super) fn present(&mut self, name: &str, index: Option<u32>) {
        if let Some(standing) = self.standings.get_mut(name) {
            standing.held = true;
            standing.index = index;
            standing.failure = None;
        }
    }

    /// It was put there.
    pub(super) fn added(&mut self, now: Instant, name: &str, index: Option<u32>) -> Added {
        let Some(standing) = self.standings.get_mut(name) else { return Added::First };
        let failed = standing.failure.take().is_some();
        let recreated = std::mem::replace(&mut standing.index, index) != index;
        if !std::mem::replace(&mut standing.held, true) {
            return if failed { Added::AtLast } else { Added::First };
        }
        let calm = standing.disturbed.is_none_or(|last| now.duration_since(last) >= CALM);
        standing.disturbed = Some(now);
        match (failed, calm) {
            (true, _) => Added::AtLast,
            (false, true) => Added::Again { recreated },
            (false, false) => Added::StillAgain,
        }
    }

    /// It could not be put there; whether that is news.
    pub(super) fn failed(&mut self, now: Instant, name: &str, why: &str) -> bool {
        self.look_at(now + RETRY);
        let Some(standing) = self.standings.get_mut(name) else { return false };
        let news = standing.failure.as_deref() != Some(why);
        standing.failure = Some(why.to_owned());
        news
    }
}

impl Standing {
    fn new(item: Item) -> Self {
        Self { item, held: false, index: None, earliest: None, failure: None, disturbed: None }
    }
}

fn rank(item: &Item) -> u8 {
    match item {
        Item::Address(_) => 0,
        Item::Route(_) => 1,
        Item::Rule(_) => 2,
    }
}

#[cfg(test)]
mod tests;
