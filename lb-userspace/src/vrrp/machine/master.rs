//! Owns what a master does: it sends adverts, lives as long as they leave, and gives way.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::settings::OWNER;
use super::timers::Bursts;
use super::{Machine, Phase};
use crate::vrrp::wire::Advert;

/// How long one that leaves forwards on after its heir was heard: what its neighbours sent before they knew.
const HANDOVER: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
pub(super) struct Master {
    /// The end of the lease; before the first advert has left, when it stops waiting for that.
    pub(super) until: Instant,
    /// Whether an advert has left.
    pub(super) leased: bool,
    pub(super) advert_at: Instant,
    /// Whether another router was answered since the last advert that was due.
    answered: bool,
    /// Whether a lower priority was heard since then.
    heard_lower: bool,
    pub(super) bursts: Bursts,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    pub(super) until: Instant,
    /// Whether it still has its addresses: its heir was not heard.
    holds: bool,
}

impl Master {
    pub(super) fn next_deadline(&self) -> Instant {
        let due = self.until.min(self.advert_at);
        self.bursts.next().map_or(due, |burst| burst.min(due))
    }
}

impl Machine {
    /// RFC 5798 section 6.4.2: the master-down timer has fired.
    pub(super) fn become_master(&mut self, now: Instant, reason: String) {
        let announcing = self.settings.announcing;
        self.outbox.silence();
        self.outbox.advert(now, self.priority, self.checksum);
        self.outbox.hold(true);
        self.outbox.burst(announcing.repeat);
        let master = Master {
            until: now + self.settings.lease(),
            leased: false,
            advert_at: now + self.settings.pace(),
            answered: false,
            heard_lower: false,
            bursts: Bursts::begin(now, &announcing),
        };
        self.change(Phase::Master(master), reason);
    }

    pub(super) fn master_timeout(&mut self, now: Instant, mut master: Master) {
        if now >= master.advert_at {
            self.advertise(now, &mut master);
            master.answered = false;
            master.heard_lower = false;
        }
        self.announce(now, &mut master);
        self.phase = Phase::Master(master);
    }

    /// RFC 5798 section 6.4.3.
    pub(super) fn master_hears(&mut self, now: Instant, mut master: Master, source: IpAddr, advert: &Advert) {
        if advert.priority == 0 {
            self.reassure(now, &mut master);
        } else if (advert.priority, Some(source)) > (self.priority, self.source) {
            let last = self.settings.answer_higher.then_some(self.priority);
            self.give_up(now, last);
            return self.yield_to(now, source, advert);
        } else {
            if self.settings.answer_lower {
                self.answer(now, &mut master);
            }
            // A script is run on it: not as often as somebody likes to send.
            if !master.heard_lower {
                self.outbox.heard_lower();
                master.heard_lower = true;
            }
            self.phase = Phase::Master(master);
            return self.contradict(now);
        }
        self.phase = Phase::Master(master);
    }

    /// Its lease has ended: another one may be master by now.
    pub(super) fn overdue(&mut self, now: Instant, master: Master) {
        let reason = if master.advert_at < master.until {
            "it did not run for longer than its adverts last"
        } else {
            "its adverts do not leave"
        };
        self.give_up(now, None);
        self.become_backup(now, reason.into());
    }

    /// Gives the mastership away, and goes on until the heir is heard or must have taken over: the skew of every peer is
    /// below one interval.
    pub(super) fn leave(&mut self, now: Instant, master: Master) {
        self.outbox.silence();
        self.outbox.advert(now, 0, self.checksum);
        let until = master.until.min(now + self.settings.interval);
        self.phase = Phase::Leaving(Leaving { until, holds: true });
        if master.leased {
            self.outbox.lease(Some(until));
        } else {
            self.finish();
        }
    }

    pub(super) fn leaving_hears(&mut self, now: Instant, leaving: Leaving, advert: &Advert) {
        if advert.priority == 0 || !leaving.holds {
            return;
        }
        let until = leaving.until.min(now + HANDOVER);
        self.outbox.hold(false);
        self.outbox.lease(Some(until));
        self.phase = Phase::Leaving(Leaving { until, holds: false });
    }

    pub(super) fn finish(&mut self) {
        let holds = matches!(self.phase, Phase::Leaving(Leaving { holds: true, .. }));
        self.outbox.lease(None);
        if holds {
            self.outbox.hold(false);
        }
        self.change(Phase::Initialize, "stopped".into());
        self.outbox.stopped();
    }

    /// Answers a priority 0: every backup that heard it waits its skew only. The answer may come late, but before the shortest
    /// skew is over.
    fn reassure(&mut self, now: Instant, master: &mut Master) {
        if master.answered {
            let soon = self.settings.skew(OWNER, self.settings.interval) / 2;
            master.advert_at = master.advert_at.min(now + soon);
        }
        self.answer(now, master);
    }

    /// Once between two adverts that are due: two routers that each believe to win must not answer each other for ever.
    fn answer(&mut self, now: Instant, master: &mut Master) {
        if !master.answered {
            self.advertise(now, master);
            master.answered = true;
        }
    }

    fn advertise(&mut self, now: Instant, master: &mut Master) {
        self.outbox.advert(now, self.priority, self.checksum);
        master.advert_at = now + self.settings.pace();
    }

    /// Another router was master too, and may have told the neighbours where the addresses are.
    pub(super) fn contradict(&mut self, now: Instant) {
        if let Phase::Master(master) = &mut self.phase {
            let repeat = master.bursts.heard_lower(now, &self.settings.announcing);
            self.outbox.burst(repeat);
        }
    }

    fn announce(&mut self, now: Instant, master: &mut Master) {
        let repeat = master.bursts.due(now, &self.settings.announcing);
        self.outbox.burst(repeat);
    }
}
