//! How often a refused advert is worth telling of: a flood must not keep the daemon busy.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::vrrp::RouterId;
use crate::vrrp::wire::Refusal;

/// From one word about a reason to the next one about the same.
const PAUSE: Duration = Duration::from_mins(1);

/// What was said last of each router and reason.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    said: BTreeMap<(RouterId, Refusal), Said>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    unsaid: u64,
}

impl Refusals {
    /// Counts one. If it is to be said, the number of those since the last time that were not.
    pub(super) fn count(&mut self, router: RouterId, reason: Refusal, now: Instant) -> Option<u64> {
        let Some(said) = self.said.get_mut(&(router, reason)) else {
            self.said.insert((router, reason), Said { at: now, unsaid: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(said.at) < PAUSE {
            said.unsaid += 1;
            return None;
        }
        said.at = now;
        Some(std::mem::take(&mut said.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_of_once_a_minute_for_each_reason() {
        let (start, router) = (Instant::now(), RouterId(0));
        let mut refusals = Refusals::default();
        assert_eq!(refusals.count(router, Refusal::Checksum, start), Some(0));
        for second in 1..60 {
            assert_eq!(refusals.count(router, Refusal::Checksum, start + Duration::from_secs(second)), None);
        }
        assert_eq!(refusals.count(router, Refusal::TimeToLive, start), Some(0), "another reason");
        assert_eq!(refusals.count(RouterId(1), Refusal::Checksum, start), Some(0), "another router");
        assert_eq!(refusals.count(router, Refusal::Checksum, start + PAUSE), Some(59));
    }
}
