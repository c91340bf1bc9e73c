//! When a check of this timing must have a server leave and return.

use std::ops::RangeInclusive;
use std::time::Duration;

/// What a measured time may differ from the promised one at least, for a machine that does other things too.
const FLOOR: Duration = Duration::from_millis(30);

/// How a check is configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
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
    pub(super) after_probe: Duration,
    /// From the change of the server.
    pub(super) after_change: RangeInclusive<Duration>,
}

impl Timing {
    /// Of milliseconds.
    pub(super) const fn of(delay_loop: u64, retry: u32, delay_before_retry: u64, timeout: u64) -> Self {
        Self {
            delay_loop: Duration::from_millis(delay_loop),
            retry,
            delay_before_retry: Duration::from_millis(delay_before_retry),
            timeout: Duration::from_millis(timeout),
        }
    }

    /// When a server is out that has failed for good.
    pub(super) fn leaving(&self, takes: Takes) -> Promise {
        let after_probe = (self.delay_before_retry + takes.failing) * self.retry;
        let latest = takes.passing + self.delay_loop + takes.failing + after_probe;
        Promise { after_probe, after_change: after_probe..=latest }
    }

    /// When a server is in again that has recovered for good.
    pub(super) fn returning(&self, takes: Takes) -> Promise {
        let after_probe = self.delay_loop + takes.passing;
        Promise { after_probe, after_change: Duration::ZERO..=takes.failing + after_probe }
    }

    /// From the end of a probe to the end of the next, while all pass.
    pub(super) fn interval(&self, takes: Takes) -> Duration {
        self.delay_loop + takes.passing
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
            after_probe: milliseconds(1000),
            after_change: milliseconds(1000)..=milliseconds(2000),
        };
        assert_eq!(timing.leaving(Takes::default()), refused);
        let silent = Takes { passing: milliseconds(10), failing: milliseconds(400) };
        let leaving = Promise {
            after_probe: milliseconds(1800),
            after_change: milliseconds(1800)..=milliseconds(3210),
        };
        assert_eq!(timing.leaving(silent), leaving);
        let returning =
            Promise { after_probe: milliseconds(1010), after_change: milliseconds(0)..=milliseconds(1410) };
        assert_eq!(timing.returning(silent), returning);
        assert_eq!(
            [100, 300, 2000].map(|promised| tolerance(milliseconds(promised)).as_millis()),
            [30, 30, 200]
        );
    }
}
