//! Owns every check of every real server: one task with all machines, their deadlines in order and the probes under way.
//! Refuses to judge: `health` decides what a probe means, this only runs it at the right moment.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tracing::debug;

use crate::health::{Check, Input, Output, Settings, Verdict};

mod connect;

/// Probes under way at one time, below the usual limit of 1024 descriptors; what is due beyond that waits its turn
/// in order.
const MAX_PROBES: usize = 512;

/// Verdicts that may wait for the reader. When it is full, the newest verdict of each check is kept and older ones
/// of the same check are dropped.
const VERDICT_QUEUE: usize = 256;

/// Where a `TCP_CHECK` connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The server and the port to check, which need not be the port of the service.
    pub address: SocketAddr,
    /// The local address to connect from; the kernel's choice if none.
    pub bind: Option<IpAddr>,
}

/// One check that is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSpec {
    /// Names the check in its verdicts; opaque, unique within one [`Checks::set`].
    pub id: u32,
    /// What is probed.
    pub target: Target,
    /// When it is probed.
    pub settings: Settings,
}

/// The running checks; they end when this is dropped.
#[derive(Debug)]
pub struct Checks {
    wanted: watch::Sender<Vec<CheckSpec>>,
}

impl Checks {
    /// Starts without any check. Each verdict comes with the id of its check, and only when it changed or is the
    /// first. Needs a Tokio runtime with time and I/O; sockets belong to the network namespace of its thread.
    pub fn start() -> (Self, mpsc::Receiver<(u32, Verdict)>) {
        let (wanted, changes) = watch::channel(Vec::new());
        let (verdicts, reader) = mpsc::channel(VERDICT_QUEUE);
        tokio::spawn(run(changes, verdicts));
        (Self { wanted }, reader)
    }

    /// Replaces the set of checks. An id that is there already keeps its state and takes the new timing, unless its
    /// target changed, in which case it starts over. If two have one id the last wins. Nothing more is said about
    /// an id that is gone, except what is in the channel already.
    pub fn set(&self, specs: Vec<CheckSpec>) {
        self.wanted.send_replace(specs);
    }
}

/// One check: its machine and the probe under way.
struct Running {
    spec: CheckSpec,
    machine: Check,
    probe: Option<Probe>,
}

/// The probe that a machine waits for; `number` tells its answer from the answer to an older one.
struct Probe {
    number: u64,
    abort: Option<AbortHandle>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(Probe { abort: Some(abort), .. }) = &self.probe {
            abort.abort();
        }
    }
}

/// The answer of a probe: of which check, of which of its probes, and what.
type Answer = (u32, u64, Input);

#[derive(Default)]
struct Runner {
    checks: BTreeMap<u32, Running>,
    /// Deadlines, with stale ones among them: a machine acts on a deadline only if it is due by its own account.
    deadlines: BTreeSet<(Instant, u32)>,
    waiting: VecDeque<(u32, u64, Duration)>,
    probes: JoinSet<Answer>,
    probe_number: u64,
    unsent: BTreeMap<u32, Verdict>,
    random: RandomState,
}

async fn run(mut wanted: watch::Receiver<Vec<CheckSpec>>, verdicts: mpsc::Sender<(u32, Verdict)>) {
    let mut runner = Runner::default();
    loop {
        runner.start_waiting();
        let deadline = runner.deadlines.first().map(|(at, _)| *at);
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let specs = wanted.borrow_and_update().clone();
                runner.set(Instant::now(), specs);
            }
            permit = verdicts.reserve(), if !runner.unsent.is_empty() => {
                let Ok(permit) = permit else { return };
                if let Some(verdict) = runner.unsent.pop_first() {
                    permit.send(verdict);
                }
            }
            Some(answer) = runner.probes.join_next() => {
                // An error is an aborted probe, whose check is gone.
                if let Ok(answer) = answer {
                    runner.answered(Instant::now(), answer);
                }
            }
            () = sleep_until(deadline) => runner.deadline(Instant::now()),
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

impl Runner {
    fn set(&mut self, now: Instant, specs: Vec<CheckSpec>) {
        let mut old = std::mem::take(&mut self.checks);
        for spec in specs {
            let id = spec.id;
            let kept = old.remove(&id).filter(|running| running.spec.target == spec.target);
            let running = match kept {
                Some(running) if running.spec == spec => running,
                Some(mut running) => {
                    running.machine.retune(spec.settings);
                    running.spec = spec;
                    running
                }
                None => self.begin(now, spec),
            };
            self.checks.insert(id, running);
            self.follow(id);
        }
        self.unsent.retain(|id, _| self.checks.contains_key(id));
    }

    fn begin(&mut self, now: Instant, spec: CheckSpec) -> Running {
        self.unsent.remove(&spec.id);
        self.probe_number += 1;
        let random = self.random.hash_one(self.probe_number) as u32;
        debug!(check = spec.id, address = %spec.target.address, "check starts");
        Running { machine: Check::new(now, spec.settings, random), spec, probe: None }
    }

    /// Lets every machine act whose deadline is over.
    fn deadline(&mut self, now: Instant) {
        while let Some((at, id)) = self.deadlines.pop_first() {
            if at > now {
                self.deadlines.insert((at, id));
                break;
            }
            if let Some(running) = self.checks.get_mut(&id) {
                running.machine.handle_timeout(now);
                self.follow(id);
            }
        }
    }

    fn answered(&mut self, now: Instant, (id, number, input): Answer) {
        let Some(running) = self.checks.get_mut(&id) else { return };
        if running.probe.as_ref().is_none_or(|probe| probe.number != number) {
            return;
        }
        running.probe = None;
        debug!(check = id, address = %running.spec.target.address, result = ?input, "probe ended");
        running.machine.handle(now, input);
        self.follow(id);
    }

    /// Does what the machine wants and notes its next deadline.
    fn follow(&mut self, id: u32) {
        let Some(running) = self.checks.get_mut(&id) else { return };
        while let Some(output) = running.machine.poll_output() {
            match output {
                Output::Verdict(verdict) => {
                    debug!(check = id, address = %running.spec.target.address, ?verdict, "check changed");
                    self.unsent.insert(id, verdict);
                }
                Output::Probe { timeout } => {
                    self.probe_number += 1;
                    running.probe = Some(Probe { number: self.probe_number, abort: None });
                    self.waiting.push_back((id, self.probe_number, timeout));
                }
            }
        }
        if let Some(at) = running.machine.next_deadline() {
            self.deadlines.insert((at, id));
        }
    }

    /// Starts probes that are due while there is room for them.
    fn start_waiting(&mut self) {
        while self.probes.len() < MAX_PROBES {
            let Some((id, number, timeout)) = self.waiting.pop_front() else { return };
            let Some(running) = self.checks.get_mut(&id) else { continue };
            let Some(probe) = running.probe.as_mut().filter(|probe| probe.number == number) else { continue };
            let target = running.spec.target;
            let work = async move { (id, number, connect::probe(target, timeout).await) };
            probe.abort = Some(self.probes.spawn(work));
        }
    }
}

#[cfg(test)]
mod tests;
