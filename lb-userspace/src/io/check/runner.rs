//! The machines of all checks, and the probes that they wait for. Checks of the same with the same settings share one.

mod groups;
mod lane;
mod shared;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tracing::{debug, info};

use self::groups::{Group, groups};
use self::lane::{Lane, Waiting};
use self::shared::{Key, Pending, Shared, awaiting};
use super::probe::{self, Means, Tools};
use super::tcp;
use super::vip::Direct;
use super::{Account, CheckSpec, Ruling, Wanted};
use crate::config::model::check::Probe;
use crate::health::{Check, Input, Output, Verdict};
use crate::io::descriptors;

/// Probes under way at one time, if there are descriptors for them; what is due beyond that waits its turn in order.
const MAX_PROBES: usize = 4096;

/// Probes that begin together. After a moment in which the machine did something else thousands may be due, and the kernel
/// drops what it is given faster than it can send.
const BATCH: usize = 128;
/// Between two batches.
const BREATH: Duration = Duration::from_millis(1);

/// Programs under way at one time, which have a queue of their own: they may take long.
const MAX_PROGRAMS: usize = 256;

/// The answer of a probe: of which machine, of which of its probes, and what. None from one that was aborted.
pub(super) type Ended = Option<(u64, u64, Input)>;

/// A connection under way that is looked at with others.
struct Connecting {
    shared: u64,
    number: u64,
    begun: tcp::Begun,
    room: OwnedSemaphorePermit,
}

pub(super) struct Runner {
    shared: BTreeMap<u64, Shared>,
    /// By the ids of the checks.
    by_check: BTreeMap<u32, u64>,
    /// Deadlines, with stale ones among them: a machine acts on a deadline only if it is due by its own account.
    deadlines: BTreeSet<(Instant, u64)>,
    /// Of the network, and of programs.
    lanes: [Lane; 2],
    probes: JoinSet<(u64, u64, Input)>,
    /// Looked at together; those that take longer become some of `probes`.
    connecting: Vec<Connecting>,
    /// When to look at them.
    next_look: Option<Instant>,
    /// None before there is anything to run.
    means: Option<Arc<Means>>,
    /// When the next batch may begin.
    next_batch: Option<Instant>,
    direct: Arc<Direct>,
    /// The next number of a machine or a probe.
    next: u64,
    /// What was said last of each check.
    said: BTreeMap<u32, Verdict>,
    unsent: BTreeMap<u32, (Verdict, Instant)>,
    account: Arc<Account>,
    random: RandomState,
}

impl Runner {
    pub(super) fn new(account: Arc<Account>, direct: Direct) -> Self {
        let network = descriptors::room().min(MAX_PROBES);
        Self {
            shared: BTreeMap::new(),
            by_check: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            lanes: [Lane::new(network), Lane::new(MAX_PROGRAMS)],
            probes: JoinSet::new(),
            connecting: Vec::new(),
            next_look: None,
            means: None,
            next_batch: None,
            direct: Arc::new(direct),
            next: 0,
            said: BTreeMap::new(),
            unsent: BTreeMap::new(),
            account,
            random: RandomState::new(),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let due = self.deadlines.first().map(|(at, _)| *at);
        due.into_iter().chain(self.next_batch).chain(self.next_look).min()
    }

    pub(super) fn has_rulings(&self) -> bool {
        !self.unsent.is_empty()
    }

    pub(super) fn take_ruling(&mut self) -> Option<Ruling> {
        let (check, (verdict, at)) = self.unsent.pop_first()?;
        Some(Ruling { check, verdict, at })
    }

    /// Waits for the end of a probe.
    pub(super) async fn ended(&mut self) -> Ended {
        match self.probes.join_next().await {
            Some(ended) => ended.ok(),
            None => std::future::pending().await,
        }
    }

    pub(super) fn set(&mut self, now: Instant, wanted: Wanted) {
        let Wanted { programs, credentials, specs } = wanted;
        let direct = Arc::clone(&self.direct);
        self.means = Some(Arc::new(Means { programs, direct, credentials }));
        let logged: BTreeSet<u32> =
            specs.iter().filter(|spec| spec.log_all_failures).map(|spec| spec.id).collect();
        let by_id: BTreeMap<u32, CheckSpec> = specs.into_iter().map(|spec| (spec.id, spec)).collect();
        let before = std::mem::take(&mut self.by_check);
        let mut old = std::mem::take(&mut self.shared);
        let mut wanted = groups(by_id, &before, &old);
        let exact: HashMap<Key, u64> = old.iter().map(|(number, one)| (one.key.clone(), *number)).collect();
        // What is as it was comes first, so that nobody else takes its machine; who rests takes the one of those that go on
        // only when they have it.
        wanted.sort_by_key(|Group { key, own, .. }| {
            (key.is_resting, own.is_none() && !exact.contains_key(key))
        });
        for Group { key, own, members } in wanted {
            let same = if own.is_some() { own } else { exact.get(&key).copied() };
            let number = self.adopt(now, key, &members, same, &before, &mut old);
            self.by_check.extend(members.iter().map(|id| (*id, number)));
            if let Some(shared) = self.shared.get_mut(&number) {
                shared.log_all_failures = members.iter().any(|id| logged.contains(id));
                shared.members = members;
                if shared.key.is_resting {
                    shared.machine.suspend();
                } else {
                    shared.machine.resume(now);
                }
            }
            self.repeat(now, number);
            self.follow(now, number);
        }
        let awake = || self.shared.values().filter(|shared| !shared.key.is_resting);
        self.account.checks.store(awake().map(|shared| shared.members.len()).sum(), Ordering::Relaxed);
        self.account.machines.store(awake().count(), Ordering::Relaxed);
        let by_check = &self.by_check;
        self.said.retain(|id, _| by_check.contains_key(id));
        self.unsent.retain(|id, _| by_check.contains_key(id));
    }

    /// The number of the machine for `key`: `same`, which it had, or that one of its members had for the same with other timing,
    /// or a new one.
    fn adopt(
        &mut self,
        now: Instant,
        key: Key,
        members: &[u32],
        same: Option<u64>,
        before: &BTreeMap<u32, u64>,
        old: &mut BTreeMap<u64, Shared>,
    ) -> u64 {
        if let Some((number, mut shared)) = same.and_then(|number| old.remove_entry(&number)) {
            shared.key = key;
            self.shared.insert(number, shared);
            return number;
        }
        let parents: BTreeSet<u64> = members.iter().filter_map(|id| before.get(id).copied()).collect();
        let is_same = |shared: &Shared| shared.key.probe == key.probe;
        if let Some(number) = parents.iter().find(|number| old.get(number).is_some_and(is_same))
            && let Some(mut shared) = old.remove(number)
        {
            shared.machine.retune(key.settings);
            shared.key = key;
            self.shared.insert(*number, shared);
            return *number;
        }
        let parent = parents.iter().find_map(|number| self.shared.get(number).filter(|one| is_same(one)));
        let machine = if let Some(parent) = parent {
            let mut machine = parent.machine.clone();
            // The probe under way is the other's.
            machine.handle(now, Input::Inconclusive);
            machine.retune(key.settings);
            machine
        } else {
            for id in members {
                self.said.remove(id);
                self.unsent.remove(id);
            }
            let random = self.random.hash_one(self.next) as u32;
            Check::new(now, key.settings, random)
        };
        debug!(check = ?members, probe = %probe::name(&key.probe), "check starts");
        let tools = Arc::new(Tools::of(&key.probe));
        let number = self.number();
        self.shared.insert(
            number,
            Shared { key, machine, members: Vec::new(), log_all_failures: false, tools, pending: None },
        );
        number
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Says what is known since `at` to those members that have not heard it.
    fn repeat(&mut self, at: Instant, number: u64) {
        let Some(shared) = self.shared.get(&number) else { return };
        let Some(verdict) = shared.machine.verdict() else { return };
        for id in &shared.members {
            if self.said.get(id) != Some(verdict) {
                self.said.insert(*id, verdict.clone());
                self.unsent.insert(*id, (verdict.clone(), at));
            }
        }
    }

    /// Lets every machine act whose deadline is over.
    pub(super) fn deadline(&mut self, now: Instant) {
        if self.next_look.is_some_and(|at| at <= now) {
            self.look(now);
        }
        while let Some((at, number)) = self.deadlines.pop_first() {
            if at > now {
                self.deadlines.insert((at, number));
                break;
            }
            if let Some(shared) = self.shared.get_mut(&number) {
                shared.machine.handle_timeout(now);
                self.follow(at, number);
            }
        }
    }

    /// Hears of the connections under way what is known by now, and lets those that take longer be waited for.
    fn look(&mut self, now: Instant) {
        self.next_look = None;
        let connecting = std::mem::take(&mut self.connecting);
        let seen = tcp::look(connecting.iter().map(|one| &one.begun));
        for (Connecting { shared: number, number: probe, begun, room }, seen) in
            connecting.into_iter().zip(seen)
        {
            let Some(shared) = awaiting(&mut self.shared, number, probe) else { continue };
            let what = Arc::clone(&shared.key.probe);
            if let Some(result) = seen {
                let input = probe::input(&what, result.map(|()| Input::Passed));
                self.answered(now, Some((number, probe, input)));
            } else {
                self.spawn(number, async move {
                    let input = probe::input(&what, begun.end().await.map(|()| Input::Passed));
                    drop(room);
                    (number, probe, input)
                });
            }
        }
    }

    pub(super) fn answered(&mut self, now: Instant, ended: Ended) {
        let Some((number, probe, input)) = ended else { return };
        let Some(shared) = awaiting(&mut self.shared, number, probe) else { return };
        shared.pending = None;
        debug!(check = ?shared.members, probe = %probe::name(&shared.key.probe), result = ?input, "probe ended");
        if let Input::Failed { reason } = &input
            && shared.log_all_failures
            && !matches!(shared.machine.verdict(), Some(Verdict::Down { .. }))
        {
            info!(probe = %probe::name(&shared.key.probe), reason, "a check failed");
        }
        shared.machine.handle(now, input);
        self.follow(now, number);
    }

    /// Does what the machine wants since `at`, and notes its next deadline.
    fn follow(&mut self, at: Instant, number: u64) {
        let Some(shared) = self.shared.get_mut(&number) else { return };
        let mut is_changed = false;
        while let Some(output) = shared.machine.poll_output() {
            match output {
                Output::Verdict(verdict) => {
                    debug!(check = ?shared.members, probe = %probe::name(&shared.key.probe), ?verdict, "check changed");
                    is_changed = true;
                }
                Output::Probe { step, timeout } => {
                    self.next += 1;
                    let lane = usize::from(matches!(*shared.key.probe, Probe::Misc(_)));
                    shared.pending = Some(Pending { number: self.next, abort: None });
                    let waiting = Waiting { shared: number, number: self.next, due: at, step, timeout };
                    self.lanes[lane].push(waiting);
                }
            }
        }
        if let Some(at) = shared.machine.next_deadline() {
            self.deadlines.insert((at, number));
        }
        if is_changed {
            self.repeat(at, number);
        }
    }

    /// Starts probes that are due while there is room for them.
    pub(super) fn start_waiting(&mut self, now: Instant) {
        let Some(means) = self.means.clone() else { return };
        if self.next_batch.is_some_and(|at| now < at) {
            return;
        }
        let mut left = BATCH;
        for lane in 0..self.lanes.len() {
            while left > 0
                && let Some((waiting, room)) = self.lanes[lane].pop()
            {
                left -= usize::from(self.start(now, &means, &waiting, room));
            }
        }
        self.next_batch = (left == 0).then(|| now + BREATH);
    }

    /// Starts a probe, unless nobody waits for it any more.
    fn start(
        &mut self,
        now: Instant,
        means: &Arc<Means>,
        waiting: &Waiting,
        room: OwnedSemaphorePermit,
    ) -> bool {
        let &Waiting { shared: number, number: probe, due, step, timeout } = waiting;
        let Some(shared) = awaiting(&mut self.shared, number, probe) else { return false };
        self.account.lateness.note(now.saturating_duration_since(due));
        // Who is not up is not expected to answer within a moment.
        if let Probe::Tcp(endpoint) = &*shared.key.probe
            && shared.is_up()
        {
            match tcp::Begun::new(endpoint, timeout) {
                Ok(begun) => {
                    self.connecting.push(Connecting { shared: number, number: probe, begun, room });
                    self.next_look.get_or_insert(now + tcp::MOMENT);
                }
                Err(failure) => {
                    let input = probe::input(&shared.key.probe, Err(failure));
                    self.answered(now, Some((number, probe, input)));
                }
            }
            return true;
        }
        let (what, tools, means) =
            (Arc::clone(&shared.key.probe), Arc::clone(&shared.tools), Arc::clone(means));
        self.spawn(number, async move {
            let input = probe::run(&what, step, timeout, &tools, &means).await;
            drop(room);
            (number, probe, input)
        });
        true
    }

    /// Lets a probe go on by itself.
    fn spawn(&mut self, number: u64, work: impl Future<Output = (u64, u64, Input)> + Send + 'static) {
        let abort = self.probes.spawn(work);
        if let Some(pending) = self.shared.get_mut(&number).and_then(|shared| shared.pending.as_mut()) {
            pending.abort = Some(abort);
        }
    }
}
