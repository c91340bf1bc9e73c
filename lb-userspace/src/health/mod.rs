//! Owns when a real server is probed and when enough probes have passed or failed to call it up or down.
//! Refuses sockets, clocks and randomness: time and random numbers are parameters, probes are outputs.

mod delays;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use self::delays::Delays;

/// The timing of one check; every duration may be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settings {
    /// From the end of one conclusive probe to the start of the next.
    pub delay_loop: Duration,
    /// Failed probes that are forgiven before a server that is up goes down.
    pub retry: u32,
    /// From a forgiven failure to the next probe.
    pub delay_before_retry: Duration,
    /// How long one probe may take; handed on with [`Output::Probe`].
    pub timeout: Duration,
    /// The first probe comes after a random part of this.
    pub warmup: Duration,
    /// How many probes make one round of the check; at least one. Each has its own retries, and all must pass for a server to
    /// come up.
    pub steps: u32,
    /// From one step to the next.
    pub pace: Pace,
    /// How it goes about failures.
    pub manner: Manner,
}

/// How long a check rests between two steps of a round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Pace {
    /// As long as between two rounds.
    #[default]
    Loop,
    /// Not at all while the server is not up, else as long as between two rounds.
    FastRecovery,
    /// Not at all.
    AtOnce,
}

/// How a check goes about failures: each kind in keepalived has a way of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Manner {
    /// Retries are for a server that is up, and the first probe decides alone.
    #[default]
    Usual,
    /// A server that is down has its retries too: it is probed in bursts. The first probe decides alone.
    Bursts,
    /// A server has its retries whatever is known of it.
    BurstsFromStart,
    /// As usual, but a server that is down rests for the longer of both delays, and after the step that has brought it down
    /// passes, all must pass, that one again.
    Pages,
    /// As usual, but a rest begins with the probe before it.
    Programs,
}

impl Manner {
    /// Does a server of this standing have retries?
    fn retries(self, standing: Standing) -> bool {
        match standing {
            Standing::Unknown => self == Self::BurstsFromStart,
            Standing::Up => true,
            Standing::Down => matches!(self, Self::Bursts | Self::BurstsFromStart),
        }
    }
}

impl Default for Settings {
    /// What keepalived does for a `TCP_CHECK` without options in a `virtual_server` without `delay_loop`.
    fn default() -> Self {
        Self {
            delay_loop: Duration::from_mins(1),
            retry: 1,
            delay_before_retry: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            warmup: Duration::from_mins(1),
            steps: 1,
            pace: Pace::Loop,
            manner: Manner::Bursts,
        }
    }
}

impl Settings {
    fn rest_while_down(&self) -> Duration {
        match self.manner {
            Manner::Pages => self.delay_loop.max(self.delay_before_retry),
            Manner::Usual | Manner::Bursts | Manner::BurstsFromStart | Manner::Programs => self.delay_loop,
        }
    }
}

/// What a probe wants the weight of its server to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// This, in place of the weight configured.
    To(u16),
    /// So much more than the weight configured, or less.
    By(i64),
}

/// What a check says about its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The probes passed.
    Up,
    /// The probes passed, and one wants another weight.
    UpWith(Share),
    /// The probes failed and the retries are used up.
    Down {
        /// Why the last probe failed, for people: `connection refused`.
        reason: String,
    },
}

/// The result of the probe that [`Output::Probe`] asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The server answered as it should.
    Passed,
    /// It did, and the probe wants another weight.
    PassedWith(Share),
    /// The server did not.
    Failed {
        /// Why, for people.
        reason: String,
    },
    /// The probe could not be made for a reason that says nothing about the server.
    Inconclusive,
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Probe the server now and answer with exactly one [`Input`].
    Probe {
        /// Which step of the round it is, from 0.
        step: u32,
        /// A probe that takes longer has failed.
        timeout: Duration,
    },
    /// The standing of the server changed, or is known for the first time.
    Verdict(Verdict),
}

/// The check of one real server.
///
/// Without a verdict the server counts as up. A step that has brought it down is probed until it passes; then all steps
/// must, from the first on, as in keepalived.
#[derive(Debug, Clone)]
pub struct Check {
    settings: Settings,
    standing: Standing,
    phase: Phase,
    step: u32,
    /// Failed probes that were forgiven since one passed or the retries were used up.
    failures: u32,
    /// The present step has brought the server down.
    is_suspect: bool,
    /// No probe begins.
    is_suspended: bool,
    share: Option<Share>,
    said: Option<Verdict>,
    verdict: Option<Verdict>,
    probe: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Unknown,
    Up,
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Resting { since: Instant, until: Instant },
    Probing { since: Instant },
}

impl Check {
    /// A check whose first probe is `random / 2^32` of the warm-up away.
    pub fn new(now: Instant, settings: Settings, random: u32) -> Self {
        let until = now + fraction(settings.warmup, random);
        Self {
            settings,
            standing: Standing::Unknown,
            phase: Phase::Resting { since: now, until },
            step: 0,
            failures: 0,
            is_suspect: false,
            is_suspended: false,
            share: None,
            said: None,
            verdict: None,
            probe: None,
        }
    }

    /// What was said last.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.said.as_ref()
    }

    /// Takes other timing and keeps what is known; a rest ends no later than the new timing allows.
    pub fn retune(&mut self, settings: Settings) {
        self.settings = settings;
        if let Phase::Resting { since, until } = &mut self.phase {
            let longest = match self.standing {
                _ if self.failures > 0 => settings.delay_before_retry,
                Standing::Unknown => settings.warmup,
                Standing::Up => settings.delay_loop,
                Standing::Down => settings.rest_while_down(),
            };
            *until = (*until).min(*since + longest);
        }
    }

    /// Begins no probe until [`Check::resume`]. What is known stays, and so do the retries; a probe under way still counts.
    pub fn suspend(&mut self) {
        self.is_suspended = true;
    }

    /// Goes on after [`Check::suspend`], as though every probe due meanwhile had been put off by the time between two rounds.
    pub fn resume(&mut self, now: Instant) {
        if !std::mem::take(&mut self.is_suspended) {
            return;
        }
        if let Phase::Resting { until, .. } = &mut self.phase {
            let (missed, beat) =
                (now.saturating_duration_since(*until).as_nanos(), self.settings.delay_loop.as_nanos());
            let late = missed.checked_rem(beat).unwrap_or(0);
            if late > 0 {
                *until = now + Duration::from_nanos(u64::try_from(beat - late).unwrap_or(u64::MAX));
            }
        }
    }

    /// Takes the result of a probe; one that nobody asked for is ignored.
    pub fn handle(&mut self, now: Instant, input: Input) {
        let Phase::Probing { since: begun } = self.phase else { return };
        let rest = match input {
            Input::Passed => self.passed(None),
            Input::PassedWith(share) => self.passed(Some(share)),
            Input::Failed { reason } => self.failed(reason),
            Input::Inconclusive => self.settings.delay_loop,
        };
        let since = if self.settings.manner == Manner::Programs { begun } else { now };
        self.phase = Phase::Resting { since, until: now.max(since + rest) };
    }

    /// Starts the probe that is due at `now`, if one is.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_deadline().is_some_and(|at| at <= now) {
            self.phase = Phase::Probing { since: now };
            self.probe = Some(self.settings.timeout);
        }
    }

    /// When [`Check::handle_timeout`] wants to be called; nothing while a probe is under way or none may begin.
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Resting { until, .. } if !self.is_suspended => Some(until),
            Phase::Resting { .. } | Phase::Probing { .. } => None,
        }
    }

    /// The next thing to do; call until it is `None` after every `handle` and `handle_timeout`.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(verdict) = self.verdict.take() {
            return Some(Output::Verdict(verdict));
        }
        self.probe.take().map(|timeout| Output::Probe { step: self.step, timeout })
    }

    fn passed(&mut self, share: Option<Share>) -> Duration {
        let was_up = self.standing == Standing::Up;
        self.failures = 0;
        let begins_anew = self.settings.steps > 1 || self.settings.manner == Manner::Pages;
        self.step = if std::mem::take(&mut self.is_suspect) && begins_anew { 0 } else { self.step + 1 };
        if self.step < self.settings.steps {
            return match self.settings.pace {
                Pace::AtOnce => Duration::ZERO,
                Pace::FastRecovery if !was_up => Duration::ZERO,
                Pace::FastRecovery | Pace::Loop => self.settings.delay_loop,
            };
        }
        self.step = 0;
        if !was_up || self.share != share {
            self.standing = Standing::Up;
            self.share = share;
            self.say(share.map_or(Verdict::Up, Verdict::UpWith));
        }
        self.settings.delay_loop
    }

    fn say(&mut self, verdict: Verdict) {
        self.said = Some(verdict.clone());
        self.verdict = Some(verdict);
    }

    fn failed(&mut self, reason: String) -> Duration {
        if self.failures < self.settings.retry && self.settings.manner.retries(self.standing) {
            self.failures += 1;
            return self.settings.delay_before_retry;
        }
        self.failures = 0;
        if self.standing != Standing::Down {
            self.standing = Standing::Down;
            self.say(Verdict::Down { reason });
        }
        match self.settings.pace {
            // Where steps follow each other at once, they all do again.
            Pace::AtOnce => self.step = 0,
            Pace::Loop | Pace::FastRecovery => self.is_suspect = true,
        }
        self.settings.rest_while_down()
    }
}

/// `random / 2^32` of `whole`, without rounding through floats.
fn fraction(whole: Duration, random: u32) -> Duration {
    let nanos = (whole.as_nanos() * u128::from(random)) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
