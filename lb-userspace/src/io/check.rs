//! Owns every check of every real server: one task with all machines, their deadlines in order and the probes under way.
//! Refuses to judge: `health` decides what a probe means, this only runs it at the right moment.

mod dial;
mod dns;
mod file;
mod http;
mod misc;
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

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use self::runner::Runner;
use super::command::Programs;
use crate::config::model::check::Probe;
use crate::config::model::vrrp::VrrpGlobals;
use crate::health::{Settings, Verdict};

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
}

/// The running checks; they end when this is dropped.
#[derive(Debug)]
pub struct Checks {
    wanted: watch::Sender<(Programs, Vec<CheckSpec>)>,
}

impl Checks {
    /// Starts without any check. Each verdict comes with the id of its check, and only when it changed or is the
    /// first. Needs a Tokio runtime with time and I/O; sockets belong to the network namespace of its thread.
    pub fn start() -> (Self, mpsc::Receiver<(u32, Verdict)>) {
        let (wanted, changes) = watch::channel((Programs::new(&VrrpGlobals::default()), Vec::new()));
        let (verdicts, reader) = mpsc::channel(VERDICT_QUEUE);
        tokio::spawn(run(changes, verdicts));
        (Self { wanted }, reader)
    }

    /// Replaces the set of checks. An id that is there already keeps its state and takes the new timing, unless what is
    /// probed changed, in which case it starts over. If two have one id the last wins. Nothing more is said about
    /// an id that is gone, except what is in the channel already. Programs are run as `globals` says.
    pub fn set(&self, specs: Vec<CheckSpec>, globals: &VrrpGlobals) {
        let programs = self.wanted.borrow().0.changed(globals);
        self.wanted.send_replace((programs, specs));
    }
}

async fn run(
    mut wanted: watch::Receiver<(Programs, Vec<CheckSpec>)>,
    verdicts: mpsc::Sender<(u32, Verdict)>,
) {
    let mut runner = Runner::new();
    loop {
        runner.start_waiting();
        let deadline = runner.next_deadline();
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let (programs, specs) = wanted.borrow_and_update().clone();
                runner.set(Instant::now(), programs, specs);
            }
            permit = verdicts.reserve(), if runner.has_verdicts() => {
                let Ok(permit) = permit else { return };
                if let Some(verdict) = runner.take_verdict() {
                    permit.send(verdict);
                }
            }
            ended = runner.ended() => runner.answered(Instant::now(), ended),
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
