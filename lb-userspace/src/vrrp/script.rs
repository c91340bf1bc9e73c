//! Owns when a `vrrp_script` is run and when enough results have come to call it up or down. Refuses processes and
//! clocks: time is a parameter, runs are outputs.

use std::time::{Duration, Instant};

use crate::config::model::vrrp::VrrpScript;

#[cfg(test)]
mod tests;

/// The timing of one script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From one start to the next.
    pub interval: Duration,
    /// How long one run may take; handed on with [`Output::Run`].
    pub timeout: Duration,
    /// Successes in a row that bring it up.
    pub rise: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
    /// It is down at the start; else the first result decides alone.
    pub init_fail: bool,
}

impl From<&VrrpScript> for Settings {
    fn from(script: &VrrpScript) -> Self {
        Self {
            interval: script.interval,
            timeout: script.timeout,
            rise: script.rise,
            fall: script.fall,
            init_fail: script.init_fail,
        }
    }
}

/// The result of the run that [`Output::Run`] asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// It ended with exit code 0.
    Passed,
    /// It ended otherwise, could not be started, or was ended because it took too long.
    Failed,
    /// The run was given up for a reason that says nothing about the script.
    Inconclusive,
}

/// What the machine wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Run the script now and answer with exactly one [`Input`].
    Run {
        /// A run that takes longer is to be ended and has failed.
        timeout: Duration,
    },
    /// It came up, or is known to be up for the first time.
    Up,
    /// It went down, or is known to be down for the first time.
    Down,
}

/// One script, started every interval unless it still runs.
#[derive(Clone, Debug)]
pub struct Script {
    settings: Settings,
    standing: Standing,
    running: bool,
    /// The next start; while it runs, the one that is missed if it goes on.
    next: Instant,
    change: Option<Output>,
    run: Option<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Unknown,
    Up { failures: u32 },
    Down { successes: u32 },
}

impl Script {
    /// A script whose first run is due at `now`.
    pub fn new(now: Instant, settings: Settings) -> Self {
        let standing = if settings.init_fail { Standing::Down { successes: 0 } } else { Standing::Unknown };
        Self { settings, standing, running: false, next: now, change: None, run: None }
    }

    /// Takes the result of a run; one that nobody asked for is ignored.
    pub fn handle(&mut self, now: Instant, input: Input) {
        if !self.running {
            return;
        }
        self.running = false;
        self.next = following(self.next, self.settings.interval, now);
        match input {
            Input::Passed => self.passed(),
            Input::Failed => self.failed(),
            Input::Inconclusive => {}
        }
    }

    /// Starts the run that is due at `now`, if one is.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_deadline().is_some_and(|at| at <= now) {
            self.next = following(self.next + self.settings.interval, self.settings.interval, now);
            self.running = true;
            self.run = Some(Output::Run { timeout: self.settings.timeout });
        }
    }

    /// When [`Script::handle_timeout`] wants to be called; nothing while it runs.
    pub fn next_deadline(&self) -> Option<Instant> {
        (!self.running).then_some(self.next)
    }

    /// The next thing to do; call until it is `None` after every `handle` and `handle_timeout`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.change.take().or_else(|| self.run.take())
    }

    fn passed(&mut self) {
        self.standing = match self.standing {
            Standing::Down { successes } if successes + 1 < self.settings.rise => {
                Standing::Down { successes: successes + 1 }
            }
            Standing::Unknown | Standing::Down { .. } => {
                self.change = Some(Output::Up);
                Standing::Up { failures: 0 }
            }
            Standing::Up { .. } => Standing::Up { failures: 0 },
        };
    }

    fn failed(&mut self) {
        self.standing = match self.standing {
            Standing::Up { failures } if failures + 1 < self.settings.fall => {
                Standing::Up { failures: failures + 1 }
            }
            Standing::Unknown | Standing::Up { .. } => {
                self.change = Some(Output::Down);
                Standing::Down { successes: 0 }
            }
            Standing::Down { .. } => Standing::Down { successes: 0 },
        };
    }
}

/// The first of `next`, `next + interval`, … that is not before `now`, so that starts stay in step.
fn following(next: Instant, interval: Duration, now: Instant) -> Instant {
    let late = now.saturating_duration_since(next);
    if late.is_zero() {
        return next;
    }
    let missed = late.as_nanos().div_ceil(interval.as_nanos().max(1));
    let steps = u32::try_from(missed).unwrap_or(u32::MAX);
    interval.checked_mul(steps).map_or(now, |skipped| (next + skipped).max(now))
}
