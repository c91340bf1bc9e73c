//! One virtual router with what its machine does not know: its trackers, its group and where it announces.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use crate::config::model::vrrp::{Vrrp, VrrpInstance};
use crate::vrrp::announcing::Spacing;
use crate::vrrp::machine::{Event, Machine};
use crate::vrrp::tracking::{Standing, Tracker};
use crate::vrrp::{GroupId, State};

#[derive(Clone, Debug)]
pub(super) struct Router {
    pub(super) name: String,
    pub(super) machine: Machine,
    pub(super) group: Option<GroupId>,
    pub(super) tracker: Tracker,
    pub(super) standing: Standing,
    /// What the machine was told of why it is in fault: its own reasons, or those of its group.
    pub(super) cause: Option<String>,
    pub(super) source: Option<IpAddr>,
    /// The source is configured and its presence is not tracked.
    pub(super) source_is_fixed: bool,
    pub(super) course: Course,
    /// The state that was seen last, and since when it is.
    pub(super) state: State,
    pub(super) since: Instant,
    /// How often it became master.
    pub(super) masterships: u64,
    /// Its master-down timer has run out, and it waits for those of its group.
    pub(super) held: bool,
    /// Addresses by the interface they are announced on.
    pub(super) lanes: BTreeMap<String, Vec<IpAddr>>,
    pub(super) spacing: Spacing,
}

/// How far a router is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Ahead,
    Started,
    /// Its machine has said so.
    Stopped,
}

impl Router {
    /// The router of an instance; none without an interface.
    pub(super) fn new(instance: &VrrpInstance, config: &Vrrp, now: Instant) -> Option<Self> {
        let interface = instance.interface.as_deref()?;
        let group = config.sync_groups.iter().position(|group| group.members.contains(&instance.name));
        let mut machine = Machine::new(instance);
        let source = instance.source.filter(|_| !instance.track_source);
        machine.handle(now, Event::Source(source));
        Some(Self {
            name: instance.name.clone(),
            tracker: Tracker::new(instance, interface, group.and_then(|place| config.sync_groups.get(place))),
            standing: Standing { priority: machine.priority(), faults: Vec::new() },
            group: group.map(GroupId),
            cause: None,
            source,
            source_is_fixed: source.is_some(),
            course: Course::Ahead,
            state: machine.state(),
            since: now,
            masterships: 0,
            held: false,
            lanes: lanes(instance, interface),
            spacing: Spacing {
                garp: instance.announcing.garp_interval,
                gna: instance.announcing.gna_interval,
            },
            machine,
        })
    }

    /// Whether it was started and has not ended.
    pub(super) fn runs(&self) -> bool {
        self.state != State::Initialize
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.machine.next_deadline().filter(|_| !self.held)
    }

    /// Takes note of the state; gives the one before and this one.
    pub(super) fn notice(&mut self, now: Instant) -> (State, State) {
        let (from, to) = (self.state, self.machine.state());
        if from != to {
            self.state = to;
            self.since = now;
            self.masterships += u64::from(to == State::Master);
        }
        // A master that was heard, or a lower priority, puts the timer off.
        self.held &= to == State::Backup && self.machine.next_deadline().is_some_and(|at| at <= now);
        (from, to)
    }
}

fn lanes(instance: &VrrpInstance, interface: &str) -> BTreeMap<String, Vec<IpAddr>> {
    let own = instance.vmac.as_ref().map_or(interface, |vmac| vmac.name.as_str());
    let mut lanes: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for owned in instance.owned() {
        let interface = owned.dev.as_deref().unwrap_or(own);
        lanes.entry(interface.to_owned()).or_default().push(owned.address);
    }
    lanes
}
