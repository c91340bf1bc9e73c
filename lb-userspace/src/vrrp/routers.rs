//! Owns all virtual routers of this node together: their machines, sync groups, trackers, announcements, start and end.
//! Refuses the rules of a single router ([`super::machine`]) and, like it, sockets, clocks and threads.

mod groups;
mod outbox;
mod reload;
mod report;
mod router;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use self::groups::Group;
use self::outbox::Outbox;
pub use self::report::RouterReport;
use self::router::{Course, Router};
use super::announcing::Queue;
use super::machine::{Action, Event};
use super::tracking::Observed;
use super::wire::Advert;
use super::{GroupId, Input, Numbers, Output, RouterId, State};
use crate::config::model::vrrp::Vrrp;

/// How long a router that cannot run waits for news before it starts in fault: what the host is like is told one by
/// one, and what has not been told yet is not a fault to report.
const SETTLE: Duration = Duration::from_secs(1);

/// Announcements handed out before the clock is looked at again: many of them must not delay an advert.
const ANNOUNCEMENTS: u32 = 64;

/// All virtual routers of this node.
///
/// After every [`Routers::handle`] and [`Routers::handle_timeout`] the outputs are to be polled until there is none. What
/// came in is to be handed in before [`Routers::handle_timeout`]: a timer that ran out while adverts were waiting says
/// nothing about the master. Masters do what is due in [`Routers::handle`] too, before they look at what happened.
///
/// Outputs that nobody polls do not pile up, but then the last of a kind stands for those before it.
#[derive(Clone, Debug)]
pub struct Routers {
    all: BTreeMap<RouterId, Router>,
    groups: BTreeMap<GroupId, Group>,
    observed: Observed,
    queue: Queue,
    /// Handed out since the clock was looked at.
    announcements: u32,
    outbox: Outbox,
    now: Instant,
    /// Nothing runs before.
    begin: Instant,
    end: End,
}

/// How far it is with stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Ahead,
    Asked,
    Told,
}

impl Routers {
    /// The routers of a configuration. An instance without an interface is left out.
    ///
    /// Each starts when nothing is in its way, or in fault when something still is after a second. `uptime` is how long the
    /// host runs.
    pub fn new(config: &Vrrp, numbers: &Numbers, now: Instant, uptime: Duration) -> Self {
        let globals = &config.globals;
        let mut routers = Self {
            all: BTreeMap::new(),
            groups: BTreeMap::new(),
            observed: Observed::new(config),
            queue: Queue::default(),
            announcements: 0,
            outbox: Outbox::default(),
            now,
            begin: now + globals.startup_delay.max(globals.delay_after_boot.saturating_sub(uptime)),
            end: End::Ahead,
        };
        routers.adopt(config, numbers);
        routers
    }

    /// Takes what happened; what concerns no router is ignored.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.look_at(now);
        self.wake(|state| state == State::Master);
        match input {
            Input::Heard { router, source, advert } => self.hear(router, source, advert),
            Input::Refused { router, source, reason } => self.step(router, Event::Refused { source, reason }),
            Input::Sent(router) => self.step(router, Event::Sent),
            Input::Stop => self.stop(),
            Input::Source { router, address } => {
                self.source(router, address);
                self.assess();
            }
            Input::Interface { name, up } => self.observe(|observed| observed.interface(name, up)),
            Input::Script { name, up } => self.observe(|observed| observed.script(name, up)),
            Input::File { name, value } => self.observe(|observed| observed.file(name, value)),
            Input::Process { name, up } => self.observe(|observed| observed.process(name, up)),
        }
        self.start();
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.look_at(now);
        self.wake(|_| true);
        self.start();
    }

    /// When [`Routers::handle_timeout`] wants to be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        let routers = self.all.values().filter_map(|router| {
            if router.course != Course::Ahead || router.ends || self.end != End::Ahead {
                router.next_deadline()
            } else {
                Some(starts_at(router)).filter(|_| !self.waits_for_an_end(router))
            }
        });
        routers.chain(self.queue.next_deadline()).min()
    }

    /// The next thing to do. No router's advert or lease waits for what neighbours are told of another.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            let mut routers = self.all.iter_mut();
            let Some((id, action)) =
                routers.find_map(|(id, router)| Some((*id, router.machine.poll_action()?)))
            else {
                break;
            };
            if let Some(output) = self.translate(id, action) {
                return Some(output);
            }
        }
        self.outbox.pop().or_else(|| self.announcement()).or_else(|| self.stopped())
    }

    fn announcement(&mut self) -> Option<Output> {
        if self.announcements == ANNOUNCEMENTS {
            return None;
        }
        let (router, address) = self.queue.pop(self.now)?;
        self.announcements += 1;
        Some(Output::Announce { router, address })
    }

    fn look_at(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.announcements = 0;
    }

    /// Lets the timers that are due run out, those of routers in these states.
    fn wake(&mut self, which: impl Fn(State) -> bool) {
        let ids: Vec<_> = self.all.keys().copied().collect();
        for id in ids {
            let waits = self.waits_for_its_group(id);
            let Some(router) = self.all.get_mut(&id) else { continue };
            if !which(router.state) || router.next_deadline().is_none_or(|at| at > self.now) {
                continue;
            }
            if waits {
                router.held = true;
            } else {
                router.machine.handle_timeout(self.now);
                self.follow(id);
            }
        }
    }

    fn step(&mut self, id: RouterId, event: Event) {
        let Some(router) = self.all.get_mut(&id) else { return };
        router.machine.handle(self.now, event);
        self.follow(id);
    }

    /// Takes note of what became of a router, and lets its sync group follow.
    fn follow(&mut self, id: RouterId) {
        let Some(router) = self.all.get_mut(&id) else { return };
        let (from, to) = router.notice(self.now);
        if from == to {
            return;
        }
        if from == State::Master {
            self.queue.cancel(id);
        }
        if self.end == End::Ahead {
            self.force_group(id, from, to);
        }
        if let Some(group) = self.all.get(&id).and_then(|router| router.group) {
            self.tell_group(group);
        }
    }

    fn hear(&mut self, id: RouterId, source: IpAddr, advert: Advert) {
        let heard = |routers: &Self| routers.all.get(&id).map(|router| router.machine.adverts().1);
        let (before, priority) = (heard(self), advert.priority);
        self.step(id, Event::Heard { source, advert });
        if heard(self) != before && self.end == End::Ahead {
            self.inform_group(id, priority);
            self.give_way_with(id);
        }
    }

    fn source(&mut self, id: RouterId, address: Option<IpAddr>) {
        let Some(router) = self.all.get_mut(&id) else { return };
        if !router.source_is_fixed && router.source != address {
            router.source = address;
            self.step(id, Event::Source(address));
        }
    }

    fn observe(&mut self, news: impl FnOnce(&mut Observed)) {
        news(&mut self.observed);
        self.assess();
    }

    /// Looks at every tracker again. Priorities come first, so that a change of state names the new one.
    fn assess(&mut self) {
        for router in self.all.values_mut().filter(|router| !router.ends) {
            router.standing = router.tracker.assess(&self.observed, router.source);
        }
        let stay = self.all.iter().filter(|(_, router)| !router.ends);
        let before: Vec<_> = stay.map(|(id, router)| (*id, router.state, router.standing.priority)).collect();
        let mut moved = Vec::new();
        for (id, state, priority) in before {
            if self.all.get(&id).is_some_and(|router| router.machine.priority() != priority) {
                self.step(id, Event::Priority(priority));
                moved.push((id, state));
            }
        }
        for (id, cause) in self.causes() {
            let Some(router) = self.all.get_mut(&id) else { continue };
            if router.cause != cause {
                router.cause.clone_from(&cause);
                self.step(id, Event::Fault(cause));
            }
        }
        for (id, state) in moved {
            let Some(router) = self.all.get(&id) else { continue };
            if router.runs() && router.state == state {
                self.outbox.push(Output::Priority { router: id, priority: router.machine.priority() });
            }
        }
    }

    /// Starts what may start; members of a group have the same obstacles, and so start together.
    fn start(&mut self) {
        if self.end != End::Ahead {
            return;
        }
        let due = |router: &Router| {
            router.course == Course::Ahead
                && !router.ends
                && starts_at(router) <= self.now
                && !self.waits_for_an_end(router)
        };
        let ids: Vec<_> = self.all.iter().filter(|(_, router)| due(router)).map(|(id, _)| *id).collect();
        if ids.is_empty() {
            return;
        }
        for id in &ids {
            if let Some(router) = self.all.get_mut(id) {
                router.course = Course::Started;
                router.machine.handle(self.now, Event::Start);
            }
        }
        for id in ids {
            self.follow(id);
        }
        // Its fault is that of a group that runs already.
        self.assess();
    }

    fn stop(&mut self) {
        if self.end != End::Ahead {
            return;
        }
        self.end = End::Asked;
        let ids: Vec<_> = self.all.keys().copied().collect();
        for id in ids {
            self.queue.cancel(id);
            if let Some(router) = self.all.get_mut(&id) {
                router.heir = None;
            }
            self.step(id, Event::Stop);
        }
    }

    /// Said once, after everything else.
    fn stopped(&mut self) -> Option<Output> {
        if self.end == End::Asked && self.all.values().all(|router| router.course == Course::Stopped) {
            self.end = End::Told;
            return Some(Output::Stopped);
        }
        None
    }

    /// What a machine's action means to the outside, if anything.
    fn translate(&mut self, id: RouterId, action: Action) -> Option<Output> {
        let router = self.all.get_mut(&id)?;
        Some(match action {
            Action::Advert { priority, checksum } => Output::Advert { router: id, priority, checksum },
            Action::Lease(until) => Output::Lease { router: id, until },
            Action::Hold(hold) => Output::Hold { router: id, hold },
            Action::Burst { repeat } => {
                for (interface, addresses) in &router.lanes {
                    self.queue.push(self.now, id, interface, addresses, repeat, router.spacing);
                }
                return None;
            }
            Action::Changed { from, to, reason } => {
                Output::Changed { router: id, from, to, priority: router.machine.priority(), reason }
            }
            Action::HeardLower => Output::HeardLower(id),
            Action::Refused { source, reason } => Output::Refused { router: id, source, reason },
            Action::Stopped if router.ends => return Some(self.replace(id)),
            Action::Stopped => {
                router.course = Course::Stopped;
                return None;
            }
        })
    }
}

fn starts_at(router: &Router) -> Instant {
    if router.cause.is_none() { router.begin } else { router.begin + SETTLE }
}
