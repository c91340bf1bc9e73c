//! Owns whether the right number of processes run, after the delays. Time is a parameter.

use std::time::{Duration, Instant};

use crate::config::model::vrrp::TrackProcess;

/// The standing of one `vrrp_track_process`.
#[derive(Debug)]
pub(super) struct Quorum {
    least: u32,
    most: u32,
    fork_delay: Duration,
    terminate_delay: Duration,
    level: Option<Level>,
    /// Where it has been lately and since when.
    becoming: Option<(Level, Instant)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    TooFew,
    Enough,
    TooMany,
}

impl Quorum {
    /// Nothing is known before the first count.
    pub(super) fn new(process: &TrackProcess) -> Self {
        let most = process.quorum_max.unwrap_or(u32::MAX);
        Self {
            // `quorum_max 0` alone means that none may run.
            least: process.quorum.min(most),
            most,
            fork_delay: process.fork_delay,
            terminate_delay: process.terminate_delay,
            level: None,
            becoming: None,
        }
    }

    /// So many run now. The first count counts at once; then a rise lasts for the fork delay before it counts, and a
    /// fall for the terminate delay, whether they make things better or worse.
    pub(super) fn handle(&mut self, now: Instant, count: u32) {
        let level = self.level_of(count);
        let Some(old) = self.level else {
            self.level = Some(level);
            return;
        };
        if level == old {
            self.becoming = None;
            return;
        }
        let since = match self.becoming {
            Some((becoming, since)) if becoming == level => since,
            _ => now,
        };
        self.becoming = Some((level, since));
        let delay = if level > old { self.fork_delay } else { self.terminate_delay };
        if now.saturating_duration_since(since) >= delay {
            self.level = Some(level);
            self.becoming = None;
        }
    }

    /// Whether it is up, if that is known.
    pub(super) fn up(&self) -> Option<bool> {
        self.level.map(|level| level == Level::Enough)
    }

    fn level_of(&self, count: u32) -> Level {
        if count > self.most {
            Level::TooMany
        } else if count < self.least {
            Level::TooFew
        } else {
            Level::Enough
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Quorum;

    #[test]
    fn the_first_count_counts_at_once() {
        let now = Instant::now();
        for (count, up) in [(1, false), (2, true), (3, true), (4, false)] {
            let mut quorum = quorum();
            assert_eq!(quorum.up(), None);
            quorum.handle(now, count);
            assert_eq!(quorum.up(), Some(up), "{count}");
        }
    }

    #[test]
    fn more_processes_count_after_the_fork_delay_and_fewer_after_the_terminate_delay() {
        // Count before, count after, milliseconds until it counts, and what it is then.
        for (before, after, delay, up) in
            [(0, 2, 100, true), (2, 1, 300, false), (2, 4, 100, false), (4, 3, 300, true)]
        {
            let start = Instant::now();
            let mut quorum = quorum();
            quorum.handle(start, before);
            quorum.handle(start, after);
            quorum.handle(start + Duration::from_millis(delay - 1), after);
            assert_eq!(quorum.up(), Some(!up), "{before} to {after}");
            quorum.handle(start + Duration::from_millis(delay), after);
            assert_eq!(quorum.up(), Some(up), "{before} to {after}");
        }
    }

    #[test]
    fn what_is_undone_within_the_delay_never_was() {
        let start = Instant::now();
        let mut quorum = quorum();
        for (at, count) in [(0, 2), (10, 0), (250, 2), (260, 0), (500, 0)] {
            quorum.handle(start + Duration::from_millis(at), count);
            assert_eq!(quorum.up(), Some(true), "{at}");
        }
        quorum.handle(start + Duration::from_millis(560), 0);
        assert_eq!(quorum.up(), Some(false));
    }

    fn quorum() -> Quorum {
        Quorum {
            least: 2,
            most: 3,
            fork_delay: Duration::from_millis(100),
            terminate_delay: Duration::from_millis(300),
            level: None,
            becoming: None,
        }
    }
}
