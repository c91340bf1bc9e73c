//! Owns what a backup does: it waits for its master to fall silent, give way or be preempted.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::settings::Settings;
use super::timers::DownTimer;
use super::{Machine, Phase};
use crate::vrrp::wire::Advert;

#[derive(Clone, Copy, Debug)]
pub(super) struct Backup {
    timer: DownTimer,
    /// When the timer was seen to have ended late; it ends again then.
    late_at: Option<Instant>,
    /// The interval of the master that is heard, or ours.
    interval: Duration,
    pub(super) heard: Option<Peer>,
    /// From when it may preempt; known once a lower priority was heard.
    preempt_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) source: IpAddr,
    priority: u8,
    /// When it was heard last.
    at: Instant,
}

impl Backup {
    pub(super) fn down_at(&self, settings: &Settings, priority: u8) -> Instant {
        let ends = self.timer.ends(settings, priority, self.interval);
        self.late_at.map_or(ends, |late_at| ends.max(late_at))
    }

    /// Whether the last advert put its timer off.
    pub(super) fn follows(&self) -> bool {
        self.heard.is_some_and(|peer| peer.at == self.timer.since)
    }

    /// The delay before it preempts is another.
    pub(super) fn delay_preemption(&mut self, before: Duration, now: Duration) {
        if before != now {
            self.preempt_at = self.preempt_at.and_then(|at| (at + now).checked_sub(before));
        }
    }

    /// Whether its timer ends now, or has been found late and ends once more.
    pub(super) fn takes_over(&self, now: Instant, settings: &Settings, priority: u8) -> bool {
        let at = self.down_at(settings, priority);
        let late = now.checked_duration_since(at);
        late.is_some_and(|late| late.is_zero() || (self.late_at == Some(at) && late < self.interval / 8))
    }

    /// Why it takes over when its timer ends.
    fn reason(&self, now: Instant, own: u8) -> String {
        match self.heard {
            _ if self.timer.adverts == 0 => "the master gave way".into(),
            None => "no master was heard".into(),
            Some(peer) if peer.priority < own && now.duration_since(peer.at) < 2 * self.interval => {
                format!("{} has only priority {}", peer.source, peer.priority)
            }
            Some(peer) => format!("{} is silent", peer.source),
        }
    }
}

impl Machine {
    /// A backup that has heard nothing yet.
    pub(super) fn become_backup(&mut self, now: Instant, reason: String) {
        let timer = DownTimer { since: now, adverts: self.settings.down_adverts };
        let backup =
            Backup { timer, late_at: None, interval: self.settings.interval, heard: None, preempt_at: None };
        self.change(Phase::Backup(backup), reason);
    }

    /// A master that gives way to another.
    pub(super) fn yield_to(&mut self, now: Instant, source: IpAddr, advert: &Advert) {
        let timer = DownTimer { since: now, adverts: self.settings.down_adverts };
        let heard = Some(Peer { source, priority: advert.priority, at: now });
        let backup = Backup { timer, late_at: None, interval: advert.interval, heard, preempt_at: None };
        self.change(Phase::Backup(backup), format!("{source} has priority {}", advert.priority));
    }

    /// RFC 5798 section 6.4.2.
    pub(super) fn backup_hears(&mut self, now: Instant, mut backup: Backup, source: IpAddr, advert: &Advert) {
        if advert.priority == 0 {
            self.shorten(&mut backup, DownTimer { since: now, adverts: 0 });
            backup.heard = None;
            backup.preempt_at = None;
        } else {
            if !self.preempts(now, &mut backup, advert.priority) {
                backup.timer = DownTimer { since: now, adverts: self.settings.down_adverts };
                backup.interval = advert.interval;
            }
            backup.heard = Some(Peer { source, priority: advert.priority, at: now });
        }
        self.phase = Phase::Backup(backup);
    }

    /// Waits for one more advert only: a router that gives one of its group away has given all of them away, and its
    /// adverts for this one have ceased even if it could not say so here. A master that is there is heard by then.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let Phase::Backup(mut backup) = self.phase {
            self.shorten(&mut backup, DownTimer { since: now, adverts: 1 });
            self.phase = Phase::Backup(backup);
        }
    }

    fn shorten(&self, backup: &mut Backup, to: DownTimer) {
        let ends = |timer: DownTimer| timer.ends(&self.settings, self.priority, backup.interval);
        if ends(to) < ends(backup.timer) {
            backup.timer = to;
        }
    }

    /// Whether a master of `priority` is not listened to, so that the timer runs on.
    fn preempts(&self, now: Instant, backup: &mut Backup, priority: u8) -> bool {
        if priority >= self.priority {
            backup.preempt_at = None;
            return false;
        }
        let from = *backup.preempt_at.get_or_insert(now + self.settings.preempt_delay);
        self.settings.preempt && now >= from
    }

    /// Takes over. When the timer comes late, adverts may wait that nobody has handed in, so it ends once more at once;
    /// when it comes so late that this node did not run and so did not listen, it begins anew.
    pub(super) fn backup_timeout(&mut self, now: Instant, mut backup: Backup) {
        let at = backup.down_at(&self.settings, self.priority);
        if now < at {
            return;
        }
        if backup.takes_over(now, &self.settings, self.priority) {
            return self.become_master(now, backup.reason(now, self.priority));
        }
        if now.duration_since(at) > backup.interval {
            backup.timer = DownTimer { since: now, adverts: self.settings.down_adverts };
        } else {
            backup.late_at = Some(now);
        }
        self.phase = Phase::Backup(backup);
    }
}
