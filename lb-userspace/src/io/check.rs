//! Owns every check of every real server: one task with all machines, their deadlines in order and the probes under way.
//! Refuses to judge: `health` decides what a probe means, this only runs it at the right moment.

mod credentials;
mod dial;
mod dns;
mod file;
mod http;
mod misc;
mod moderate;
mod page;
mod ping;
mod probe;
mod runner;
mod smtp;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
mod udp;
mod vip;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};

pub use self::credentials::Credentials;
use self::runner::Runner;
use self::vip::Direct;
use super::command::Programs;
use super::nexthop::Resolutions;
use crate::config::model::check::Probe;
use crate::config::model::vrrp::VrrpGlobals;
use crate::health::{Delays, Settings, Verdict};

/// Verdicts that may wait for the reader. When it is full, the newest verdict of each check is kept and older ones
/// of the same check are dropped.
const VERDICT_QUEUE: usize = 256;

/// One check that is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSpec {
    /// Names the check in its verdicts; opaque, unique within one [`Checks::set`].
    pub id: u32,
    /// What is probed. Checks of the same with the same settings are made once for all of them.
    pub probe: Arc<Probe>,
    /// When it is probed.
    pub settings: Settings,
    /// Every failed probe is logged while the server is up; of checks that are made once, if one of them wants that.
    pub log_all_failures: bool,
    /// Nobody is probed for now, and what is known stays.
    pub is_resting: bool,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// The id of the check.
    pub check: u32,
    /// What it says of its server.
    pub verdict: Verdict,
    /// Since when.
    pub at: Instant,
}

/// What is counted of the checks.
#[derive(Debug, Default)]
pub struct Account {
    /// How many do not rest.
    checks: AtomicUsize,
    /// As how many machines.
    machines: AtomicUsize,
    /// How long after their moment the probes began.
    lateness: Delays,
}

impl Account {
    /// How many checks do not rest.
    pub fn checks(&self) -> usize {
        self.checks.load(Ordering::Relaxed)
    }

    /// As how many they are made: what is the same is made once.
    pub fn machines(&self) -> usize {
        self.machines.load(Ordering::Relaxed)
    }

    /// How long after their moment the probes began.
    pub const fn lateness(&self) -> &Delays {
        &self.lateness
    }
}

/// What is to run, and with what.
#[derive(Debug, Clone)]
struct Wanted {
    programs: Programs,
    credentials: Credentials,
    specs: Vec<CheckSpec>,
}

/// The running checks, on a thread of their own, so that no reload and no question delays a probe; they end when this is
/// dropped.
#[derive(Debug)]
pub struct Checks {
    wanted: Option<watch::Sender<Wanted>>,
    account: Arc<Account>,
    thread: Option<JoinHandle<()>>,
}

impl Checks {
    /// Starts without any check; `ways` are those to real servers. A ruling comes only when it changed or is the first of its
    /// check. Sockets belong to the network namespace of the caller.
    ///
    /// # Errors
    /// Without another thread or its descriptors.
    pub fn start(ways: watch::Receiver<Resolutions>) -> anyhow::Result<(Self, mpsc::Receiver<Ruling>)> {
        let programs = Programs::new(&VrrpGlobals::default());
        let nobody = Wanted { programs, credentials: Credentials::none()?, specs: Vec::new() };
        let (wanted, changes) = watch::channel(nobody);
        let (rulings, reader) = mpsc::channel(VERDICT_QUEUE);
        let what = "starting the thread that checks real servers";
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context(what)?;
        let account = Arc::new(Account::default());
        let runner = Runner::new(Arc::clone(&account), Direct::new(ways));
        let work = move || {
            // As a task of its own it is woken by the tasks of the probes without a system call.
            let running = runtime.spawn(run(runner, changes, rulings));
            // One that panicked has said so on stderr.
            let _panicked = runtime.block_on(running);
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("checks".to_owned()).spawn(work).context(what)?;
        Ok((Self { wanted: Some(wanted), account, thread: Some(thread) }, reader))
    }

    /// Replaces the set of checks. An id that is there already keeps its state and takes the new timing, unless what is
    /// probed changed, in which case it starts over. If two have one id the last wins. Nothing more is said about
    /// an id that is gone, except what is in the channel already. Programs are run as `globals` says.
    pub fn set(&self, specs: Vec<CheckSpec>, globals: &VrrpGlobals) {
        let Some(wanted) = &self.wanted else { return };
        wanted.send_modify(|wanted| {
            wanted.programs = wanted.programs.changed(globals);
            wanted.specs = specs;
        });
    }

    /// From now on probes show these credentials, whatever is known by others stays; gives those before.
    pub fn show(&self, credentials: Credentials) -> Option<Credentials> {
        let mut before = None;
        let wanted = self.wanted.as_ref()?;
        wanted.send_modify(|wanted| before = Some(std::mem::replace(&mut wanted.credentials, credentials)));
        before
    }

    /// What is counted of them.
    pub fn account(&self) -> &Account {
        &self.account
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        drop(self.wanted.take());
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so on stderr.
            let _panicked = thread.join();
        }
    }
}

async fn run(mut runner: Runner, mut wanted: watch::Receiver<Wanted>, rulings: mpsc::Sender<Ruling>) {
    let mut alarm = pin!(tokio::time::sleep_until(Instant::now().into()));
    // When it rings. It is left as it is until it must ring earlier: setting it costs a system call.
    let mut rings: Option<Instant> = None;
    loop {
        runner.start_waiting(Instant::now());
        if let Some(deadline) = runner.next_deadline()
            && rings.is_none_or(|at| deadline < at)
        {
            alarm.as_mut().reset(deadline.into());
            rings = Some(deadline);
        }
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let wanted = wanted.borrow_and_update().clone();
                runner.set(Instant::now(), wanted);
            }
            permit = rulings.reserve(), if runner.has_rulings() => {
                let Ok(permit) = permit else { return };
                if let Some(ruling) = runner.take_ruling() {
                    permit.send(ruling);
                }
            }
            ended = runner.ended() => runner.answered(Instant::now(), ended),
            () = &mut alarm, if rings.is_some() => {
                rings = None;
                runner.deadline(Instant::now());
            }
        }
    }
}
