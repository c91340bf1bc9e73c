//! Owns how long things last: skew, master-down timer, lease, and when bursts of announcements are due.

use std::time::{Duration, Instant};

use super::settings::Settings;
use crate::config::model::vrrp::{Announcing, Version};

impl Settings {
    /// How much longer than others a backup of this priority waits, RFC 3768 and RFC 5798 section 6.1.
    pub(super) fn skew(&self, priority: u8, master_interval: Duration) -> Duration {
        let unit = match self.version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => master_interval,
        };
        unit * (256 - u32::from(priority)) / 256
    }

    /// From an advert to the end of the lease it gives: no backup waits less.
    pub(super) fn lease(&self) -> Duration {
        self.interval * self.down_adverts
    }

    /// From one advert to the next: the interval, or less where one missing advert makes a master down, so that a
    /// lease does not end in the moment its next advert is due.
    pub(super) fn pace(&self) -> Duration {
        if self.down_adverts == 1 { self.interval * 3 / 4 } else { self.interval }
    }
}

/// The master-down timer; it ends `adverts` intervals and a skew after `since`.
#[derive(Clone, Copy, Debug)]
pub(super) struct DownTimer {
    pub(super) since: Instant,
    pub(super) adverts: u32,
}

impl DownTimer {
    pub(super) fn ends(self, settings: &Settings, priority: u8, master_interval: Duration) -> Instant {
        self.since + master_interval * self.adverts + settings.skew(priority, master_interval)
    }
}

/// When a master announces its addresses again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bursts {
    second: Option<Instant>,
    refresh: Option<Instant>,
    lower: Option<Instant>,
}

impl Bursts {
    /// Of a master that begins now; the first burst is not among them.
    pub(super) fn begin(now: Instant, announcing: &Announcing) -> Self {
        Self { second: after(now, announcing.delay), refresh: after(now, announcing.refresh), lower: None }
    }

    /// The refresh is another from now on.
    pub(super) fn refresh(&mut self, now: Instant, announcing: &Announcing) {
        self.refresh = after(now, announcing.refresh);
    }

    /// Addresses were added, and announced once: all are announced again after the delay, as of a new master.
    pub(super) fn repeat(&mut self, now: Instant, announcing: &Announcing) {
        self.second = after(now, announcing.delay);
    }

    /// How many messages are due now for each address because a lower priority was heard; they are repeated after the
    /// delay. Until then further ones add nothing.
    pub(super) fn heard_lower(&mut self, now: Instant, announcing: &Announcing) -> u32 {
        if announcing.lower_prio_repeat == 0 || self.lower.is_some() {
            return 0;
        }
        self.lower = after(now, announcing.lower_prio_delay);
        announcing.lower_prio_repeat
    }

    /// How many messages are due now for each address.
    pub(super) fn due(&mut self, now: Instant, announcing: &Announcing) -> u32 {
        let second = take(&mut self.second, now).then_some(announcing.repeat);
        let lower = take(&mut self.lower, now).then_some(announcing.lower_prio_repeat);
        let refresh = take(&mut self.refresh, now).then_some(announcing.refresh_repeat);
        if refresh.is_some() {
            self.refresh = after(now, announcing.refresh);
        }
        [second, lower, refresh].into_iter().flatten().max().unwrap_or(0)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        [self.second, self.refresh, self.lower].into_iter().flatten().min()
    }
}

fn after(now: Instant, wait: Duration) -> Option<Instant> {
    (!wait.is_zero()).then(|| now + wait)
}

fn take(at: &mut Option<Instant>, now: Instant) -> bool {
    at.take_if(|at| *at <= now).is_some()
}
