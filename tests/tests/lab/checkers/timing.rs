//! When a check of this timing must have a server leave and return.

use std::ops::RangeInclusive;
use std::time::Duration;

/// What a measured time may differ from the promised one at least, for a machine that does other things too.
const FLOOR: Duration = Duration::from_millis(30);

/// How a kind of check goes about failures, as keepalived's does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Retries are for a server that is in.
    Usual,
    /// A server that is out has its retries too.
    Bursts,
    /// A server that is out rests for the longer of both delays, and must pass twice.
    Pages,
    /// A rest begins with the probe before it.
    Programs,
}

impl Manner {
    /// That of the kind whose name is the first word.
    pub(super) fn of(check: &str) -> Self {
        match check.split(' ').next() {
            Some("TCP_CHECK" | "SMTP_CHECK") => Self::Bursts,
            Some("HTTP_GET" | "SSL_GET") => Self::Pages,
            Some("MISC_CHECK") => Self::Programs,
            _ => Self::Usual,
        }
    }
}

/// How a check is configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) manner: Manner,
    pub(super) delay_loop: Duration,
    pub(super) retry: u32,
    pub(super) delay_before_retry: Duration,
    pub(super) timeout: Duration,
}

/// How long a probe takes that passes, and one that fails.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Takes {
    pub(super) passing: Duration,
    pub(super) failing: Duration,
}

/// When something must be so: counted from the probe that begins it, and from the change of the server itself, which
/// may come at any moment of the loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Promise {
    /// From the end of the first probe that failed to the server being out; from the end of the last that failed to
    /// its being in again.
    pub(super) after_probe: RangeInclusive<Duration>,
    /// From the change of the server.
    pub(super) after_change: RangeInclusive<Duration>,
}

impl Timing {
    /// Of milliseconds.
    pub(super) const fn of(delay_loop: u64, retry: u32, delay_before_retry: u64, timeout: u64) -> Self {
        Self {
            manner: Manner::Usual,
            delay_loop: Duration::from_millis(delay_loop),
            retry,
            delay_before_retry: Duration::from_millis(delay_before_retry),
            timeout: Duration::from_millis(timeout),
        }
    }

    /// When a server is out that has failed for good.
    pub(super) fn leaving(&self, takes: Takes) -> Promise {
        let after_probe = self.after(self.delay_before_retry, takes.failing, takes.failing) * self.retry;
        let latest = takes.passing + self.delay_loop + takes.failing + after_probe;
        Promise { after_probe: after_probe..=after_probe, after_change: after_probe..=latest }
    }

    /// From the end of a probe that took so long to the end of the next, which takes so long, with this rest between them.
    fn after(&self, rest: Duration, before: Duration, takes: Duration) -> Duration {
        let rest = if self.manner == Manner::Programs { rest.saturating_sub(before) } else { rest };
        rest + takes
    }

    /// From the end of a probe that failed to the end of the next, where the server is out and stays out.
    pub(super) fn failing(&self, takes: Takes) -> Duration {
        let rest = match self.manner {
            Manner::Pages => self.delay_loop.max(self.delay_before_retry),
            Manner::Usual | Manner::Bursts | Manner::Programs => self.delay_loop,
        };
        self.after(rest, takes.failing, takes.failing)
    }

    /// When a server is in again that has recovered for good.
    pub(super) fn returning(&self, takes: Takes) -> Promise {
        let (short, long) = (self.delay_before_retry, self.delay_loop);
        let next = |rest| self.after(rest, takes.failing, takes.passing);
        let after_probe = match self.manner {
            Manner::Usual | Manner::Programs => next(long)..=next(long),
            Manner::Bursts => next(short.min(long))..=next(short.max(long)),
            Manner::Pages => {
                let both = next(short.max(long)) + self.interval(takes);
                both..=both
            }
        };
        let latest = takes.failing + *after_probe.end();
        Promise { after_probe, after_change: Duration::ZERO..=latest }
    }

    /// From the end of a probe to the end of the next, while all pass.
    pub(super) fn interval(&self, takes: Takes) -> Duration {
        self.after(self.delay_loop, takes.passing, takes.passing)
    }
}

/// How much later or earlier than promised something may be: a tenth.
pub(super) fn tolerance(promised: Duration) -> Duration {
    (promised / 10).max(FLOOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_made_of_what_is_configured() {
        let milliseconds = Duration::from_millis;
        let timing = Timing::of(1000, 2, 500, 400);
        let refused = Promise {
            after_probe: milliseconds(1000)..=milliseconds(1000),
            after_change: milliseconds(1000)..=milliseconds(2000),
        };
        assert_eq!(timing.leaving(Takes::default()), refused);
        let silent = Takes { passing: milliseconds(10), failing: milliseconds(400) };
        let leaving = Promise {
            after_probe: milliseconds(1800)..=milliseconds(1800),
            after_change: milliseconds(1800)..=milliseconds(3210),
        };
        assert_eq!(timing.leaving(silent), leaving);
        let returning = |manner| {
            let Promise { after_probe, after_change } = Timing { manner, ..timing }.returning(silent);
            [*after_probe.start(), *after_probe.end(), *after_change.end()].map(|time| time.as_millis())
        };
        assert_eq!(returning(Manner::Usual), [1010, 1010, 1410]);
        assert_eq!(returning(Manner::Bursts), [510, 1010, 1410]);
        assert_eq!(returning(Manner::Pages), [2020, 2020, 2420]);
        assert_eq!(returning(Manner::Programs), [610, 610, 1010]);
        let programs = Timing { manner: Manner::Programs, ..timing };
        assert_eq!(*programs.leaving(silent).after_probe.end(), milliseconds(1000));
        assert_eq!(
            [programs.failing(silent), timing.failing(silent)].map(|time| time.as_millis()),
            [1000, 1400]
        );
        assert_eq!(programs.interval(silent), milliseconds(1000));
        assert_eq!(
            [100, 300, 2000].map(|promised| tolerance(milliseconds(promised)).as_millis()),
            [30, 30, 200]
        );
    }
}
