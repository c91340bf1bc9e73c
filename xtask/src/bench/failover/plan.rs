//! What is measured: settings, what happens to the master, programs, and when it happens.

use std::time::Duration;

use lb_tests::config::VirtualRouter;

/// How a pair is configured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Setting {
    /// Version 2, an advert every second.
    Second,
    /// Version 3, ten adverts a second.
    Tenth,
    /// Version 3, a hundred adverts a second.
    Hundredth,
}

impl Setting {
    pub(super) const ALL: [Self; 3] = [Self::Second, Self::Tenth, Self::Hundredth];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Second => "version 2, 1 s",
            Self::Tenth => "version 3, 0.1 s",
            Self::Hundredth => "version 3, 0.01 s",
        }
    }

    pub(super) const fn interval(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Tenth => Duration::from_millis(100),
            Self::Hundredth => Duration::from_millis(10),
        }
    }

    pub(super) fn apply(self, router: VirtualRouter) -> VirtualRouter {
        match self {
            Self::Second => router,
            Self::Tenth => router.version3("0.1"),
            Self::Hundredth => router.version3("0.01"),
        }
    }
}

/// What happens to the master.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// Its cable is pulled and it is killed.
    Killed,
    /// It is told to stop.
    Stopped,
}

impl Event {
    pub(super) const ALL: [Self; 2] = [Self::Killed, Self::Stopped];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Killed => "master killed, link down",
            Self::Stopped => "master stopped cleanly",
        }
    }
}

/// The program of both directors, and what is asked of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// Echoes of an address that xlvs holds.
    Xlvs,
    /// Echoes of an address that keepalived holds.
    Keepalived,
    /// Datagrams to a virtual server of xlvs.
    Datagrams,
}

impl Subject {
    pub(super) const fn of(datagrams: bool) -> &'static [Self] {
        if datagrams {
            &[Self::Xlvs, Self::Keepalived, Self::Datagrams]
        } else {
            &[Self::Xlvs, Self::Keepalived]
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Xlvs => "xlvs",
            Self::Keepalived => "keepalived",
            Self::Datagrams => "xlvs, datagrams",
        }
    }
}

/// How long after an advert it happens in a round: from a tenth to nine tenths of the interval, evenly spread however
/// many rounds there are (multiples of the golden ratio).
pub(super) fn phase(setting: Setting, round: u32) -> Duration {
    let place = (f64::from(round + 1) * 0.618_033_988_75).fract();
    setting.interval().mul_f64(0.1 + 0.8 * place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_spread_over_the_interval() {
        let phases: Vec<Duration> = (0..10).map(|round| phase(Setting::Second, round)).collect();
        let within = |from, to| phases.iter().filter(|phase| (from..to).contains(&phase.as_millis())).count();
        assert_eq!(within(100, 900), 10);
        assert!(within(100, 500) >= 4 && within(500, 900) >= 4, "{phases:?}");
    }
}
