//! Owns the state of one virtual router: RFC 3768 and RFC 5798 section 6.4, with keepalived's fault, delays and
//! announcements, and a lease that ends when its adverts stop. Refuses sockets, clocks, sync groups and trackers: time
//! is a parameter, what it tracks comes as a priority or a fault, and what is to be done are actions.

mod backup;
mod change;
mod master;
mod outbox;
mod settings;
mod timers;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use self::backup::Backup;
pub use self::change::Belongings;
use self::master::{Leaving, Master};
use self::outbox::Outbox;
use self::settings::{OWNER, Settings};
use super::State;
use super::wire::{Advert, Refusal};
use crate::config::model::vrrp::{Announcing, Checksum, VrrpInstance};

/// Something that happened to a virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is to run: as backup, an owner as master, and without a source in fault.
    Start,
    /// An advert came in; its form and authentication are right.
    Heard {
        /// The address it came from.
        source: IpAddr,
        /// What it says.
        advert: Advert,
    },
    /// A packet came in that is no advert for it.
    Refused {
        /// The address it came from, if it can be told.
        source: Option<IpAddr>,
        /// Why.
        reason: Refusal,
    },
    /// The advert of [`Action::Advert`] left.
    Sent,
    /// The address it sends from; without one it is in fault.
    Source(Option<IpAddr>),
    /// Its effective priority, held within 1 to 254; an owner's stays 255.
    Priority(u8),
    /// Why it cannot be master, or that nothing is in its way any more.
    Fault(Option<String>),
    /// Its sync group becomes master or backup; other states are ignored.
    Force(State),
    /// The master of another router of its sync group gave way, and so has its own, or is heard within an interval.
    GroupGivenWay,
    /// Another router of its sync group heard a lower priority, whose group was master of this one too.
    GroupHeardLower,
    /// It is to give the mastership away and end with [`Action::Stopped`].
    Stop,
}

/// What a virtual router wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an advert; answer with [`Event::Sent`] if it left.
    Advert {
        /// The priority to name; 0 gives the mastership away.
        priority: u8,
        /// What its checksum covers.
        checksum: Checksum,
    },
    /// It may forward until then; without a time, at once no more.
    Lease(Option<Instant>),
    /// It is to hold its addresses, routes and rules, or not.
    Hold(bool),
    /// Announce every address now.
    Burst {
        /// Messages for each address; at least 1.
        repeat: u32,
    },
    /// Its state changed.
    Changed {
        /// From which.
        from: State,
        /// To which.
        to: State,
        /// Why, for people.
        reason: String,
    },
    /// As master it heard a lower priority; said once between two adverts that are due.
    HeardLower,
    /// A packet of a known source changed nothing.
    Refused {
        /// Who sent it.
        source: IpAddr,
        /// Why.
        reason: Refusal,
    },
    /// It has ended, as [`Event::Stop`] asked.
    Stopped,
}

/// One virtual router.
///
/// What came in is to be handed in before [`Machine::handle_timeout`] is called, or at least between two calls: a timer
/// that ran out while adverts were waiting says nothing about the master.
///
/// Actions that nobody polls do not pile up. At most one advert, one lease, one hold, one burst, one
/// [`Action::HeardLower`], one [`Action::Stopped`] and one refusal of each kind wait: a later one takes the place of an
/// earlier one, only of refusals the first stays. Of more than 64 changes the last ones become one.
#[derive(Clone, Debug)]
pub struct Machine {
    settings: Settings,
    phase: Phase,
    priority: u8,
    source: Option<IpAddr>,
    fault: Option<String>,
    checksum: Checksum,
    outbox: Outbox,
    refused: BTreeMap<Refusal, u64>,
    sent: u64,
    heard: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Initialize,
    Backup(Backup),
    Master(Master),
    Leaving(Leaving),
    Fault,
}

impl Machine {
    /// A virtual router that waits for [`Event::Start`].
    pub fn new(instance: &VrrpInstance) -> Self {
        let settings = Settings::of(instance);
        Self {
            priority: settings.priority,
            checksum: settings.checksum,
            settings,
            phase: Phase::Initialize,
            source: None,
            fault: None,
            outbox: Outbox::default(),
            refused: BTreeMap::new(),
            sent: 0,
            heard: 0,
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, now: Instant, event: Event) {
        self.expire(now);
        match event {
            Event::Start => self.start(now),
            Event::Heard { source, advert } => self.hear(now, source, &advert),
            Event::Refused { source, reason } => self.refuse(source, reason),
            Event::Sent => self.left(),
            Event::Source(address) => {
                self.source = address;
                self.review(now);
            }
            Event::Priority(priority) => self.prioritize(priority),
            Event::Fault(why) => {
                self.fault = why;
                self.review(now);
            }
            Event::Force(state) => self.force(now, state),
            Event::GroupGivenWay => self.hurry(now),
            Event::GroupHeardLower => self.contradict(now),
            Event::Stop => self.stop(now),
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire(now);
        match self.phase {
            Phase::Backup(backup) => self.backup_timeout(now, backup),
            Phase::Master(master) => self.master_timeout(now, master),
            Phase::Initialize | Phase::Leaving(_) | Phase::Fault => {}
        }
    }

    /// When [`Machine::handle_timeout`] wants to be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Backup(backup) => Some(backup.down_at(&self.settings, self.priority)),
            Phase::Master(master) => Some(master.next_deadline()),
            Phase::Leaving(leaving) => Some(leaving.until),
            Phase::Initialize | Phase::Fault => None,
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.outbox.poll()
    }

    /// Its state; one that is leaving is still master.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Initialize => State::Initialize,
            Phase::Backup(_) => State::Backup,
            Phase::Master(_) | Phase::Leaving(_) => State::Master,
            Phase::Fault => State::Fault,
        }
    }

    /// Its effective priority.
    pub fn priority(&self) -> u8 {
        self.priority
    }

    /// Whether it is a backup that [`Machine::handle_timeout`] makes master now.
    pub fn takes_over(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Backup(backup) if backup.takes_over(now, &self.settings, self.priority))
    }

    /// Whose adverts it hears, while it is backup.
    pub fn master(&self) -> Option<IpAddr> {
        match &self.phase {
            Phase::Backup(backup) => backup.heard.map(|peer| peer.source),
            Phase::Initialize | Phase::Master(_) | Phase::Leaving(_) | Phase::Fault => None,
        }
    }

    /// Whether it is backup of a master that it lets be: the last advert put its timer off.
    pub fn follows(&self) -> bool {
        matches!(self.phase, Phase::Backup(backup) if backup.follows())
    }

    /// Until when it may forward.
    pub fn lease(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Master(master) => master.leased.then_some(master.until),
            Phase::Leaving(leaving) => Some(leaving.until),
            Phase::Initialize | Phase::Backup(_) | Phase::Fault => None,
        }
    }

    /// How it announces its addresses.
    pub fn announcing(&self) -> &Announcing {
        &self.settings.announcing
    }

    /// How many packets were refused, by reason.
    pub fn refused(&self) -> &BTreeMap<Refusal, u64> {
        &self.refused
    }

    /// Adverts that left, and adverts that were heard and not refused.
    pub fn adverts(&self) -> (u64, u64) {
        (self.sent, self.heard)
    }

    /// Ends what the clock has ended; nothing is done on a state that has run out.
    fn expire(&mut self, now: Instant) {
        match self.phase {
            Phase::Master(master) if now >= master.until => self.overdue(now, master),
            Phase::Leaving(leaving) if now >= leaving.until => self.finish(),
            _ => {}
        }
    }

    fn start(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Initialize) {
            return;
        }
        if let Some(why) = self.obstacle() {
            self.change(Phase::Fault, why);
        } else if self.priority == OWNER {
            self.become_master(now, "it owns the addresses".into());
        } else {
            self.become_backup(now, "started".into());
        }
    }

    fn hear(&mut self, now: Instant, source: IpAddr, advert: &Advert) {
        if !self.listens() {
            return;
        }
        if let Err(reason) = self.settings.admit(source, advert, self.source, self.master()) {
            return self.refuse(Some(source), reason);
        }
        self.heard += 1;
        self.settings.heard(advert);
        self.checksum = advert.checksum;
        match self.phase {
            Phase::Backup(backup) => self.backup_hears(now, backup, source, advert),
            Phase::Master(master) => self.master_hears(now, master, source, advert),
            Phase::Leaving(leaving) => self.leaving_hears(now, leaving, advert),
            Phase::Initialize | Phase::Fault => {}
        }
    }

    fn refuse(&mut self, source: Option<IpAddr>, reason: Refusal) {
        if !self.listens() {
            return;
        }
        *self.refused.entry(reason).or_default() += 1;
        if let Some(source) = source {
            self.outbox.refused(source, reason);
        }
    }

    fn listens(&self) -> bool {
        !matches!(self.phase, Phase::Initialize | Phase::Fault)
    }

    fn left(&mut self) {
        let Some(asked) = self.outbox.sent() else { return };
        self.sent += 1;
        if let Phase::Master(master) = &mut self.phase {
            master.until = asked + self.settings.lease();
            master.leased = true;
            self.outbox.lease(Some(master.until));
        }
    }

    fn prioritize(&mut self, priority: u8) {
        self.priority = match self.settings.priority {
            OWNER => OWNER,
            _ => priority.clamp(1, OWNER - 1),
        };
    }

    fn force(&mut self, now: Instant, state: State) {
        match (state, self.phase) {
            (State::Master, Phase::Backup(_)) => self.become_master(now, "its sync group is master".into()),
            (State::Backup, Phase::Master(_)) => {
                // Whether its own heir has heard anything of this is not known.
                self.give_up(now, self.source.map(|_| 0));
                self.become_backup(now, "its sync group is backup".into());
            }
            _ => {}
        }
    }

    fn stop(&mut self, now: Instant) {
        match self.phase {
            Phase::Master(master) => self.leave(now, master),
            Phase::Leaving(_) => {}
            Phase::Backup(_) | Phase::Fault => {
                self.change(Phase::Initialize, "stopped".into());
                self.outbox.stopped();
            }
            Phase::Initialize => self.outbox.stopped(),
        }
    }

    /// What keeps it from running.
    fn obstacle(&self) -> Option<String> {
        self.fault.clone().or_else(|| self.source.is_none().then(|| "no address on the interface".into()))
    }

    /// Looks at its obstacles after they changed.
    fn review(&mut self, now: Instant) {
        match (self.phase, self.obstacle()) {
            (Phase::Master(_), Some(why)) => {
                self.give_up(now, self.source.map(|_| 0));
                self.change(Phase::Fault, why);
            }
            (Phase::Backup(_), Some(why)) => self.change(Phase::Fault, why),
            (Phase::Leaving(_), Some(_)) => self.finish(),
            (Phase::Fault, None) => self.become_backup(now, "nothing is in its way any more".into()),
            _ => {}
        }
    }

    /// Takes back what it holds as master, after one more advert if it is to name a priority.
    fn give_up(&mut self, now: Instant, last: Option<u8>) {
        self.outbox.silence();
        if let Some(priority) = last {
            self.outbox.advert(now, priority, self.checksum);
        }
        self.outbox.lease(None);
        self.outbox.hold(false);
    }

    fn change(&mut self, phase: Phase, reason: String) {
        let from = self.state();
        self.phase = phase;
        self.outbox.changed(from, self.state(), reason);
    }
}
