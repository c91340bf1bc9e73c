//! One virtual router with what its machine does not know: its trackers, its group and where it announces.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use crate::config::Span;
use crate::config::model::vrrp::{
    Family, VirtualAddress, VirtualRoute, VirtualRule, Vmac, Vrrp, VrrpInstance,
};
use crate::vrrp::announcing::Spacing;
use crate::vrrp::machine::{Belongings, Event, Machine};
use crate::vrrp::tracking::{Observed, Standing, Tracker};
use crate::vrrp::{GroupId, Numbers, State};

#[derive(Clone, Debug)]
pub(super) struct Router {
    pub(super) identity: Identity,
    holds: Holds,
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
    /// It does not run before.
    pub(super) begin: Instant,
    /// A reload ended it: it gives its mastership away.
    pub(super) ends: bool,
    /// What comes after it then.
    pub(super) heir: Option<Box<Router>>,
    /// The state that was seen last, and since when it is.
    pub(super) state: State,
    pub(super) since: Instant,
    /// How often it went into each state.
    pub(super) transitions: BTreeMap<State, u64>,
    /// Its master-down timer has run out, and it waits for those of its group.
    pub(super) held: bool,
    /// Addresses by the interface they are announced on.
    pub(super) lanes: BTreeMap<String, Vec<IpAddr>>,
    pub(super) spacing: Spacing,
}

/// What makes it this router: with another of these it is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: String,
    interface: String,
    family: Family,
    virtual_router_id: u8,
    vmac: Option<Vmac>,
    source: Option<IpAddr>,
    track_source: bool,
}

impl Identity {
    /// Whether other routers take adverts of the one for those of the other.
    pub(super) fn is_heard_as(&self, other: &Self) -> bool {
        let on_the_wire = |id: &Self| (id.family, id.virtual_router_id);
        self.interface == other.interface && on_the_wire(self) == on_the_wire(other)
    }
}

/// What it holds while it is master, wherever that stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holds {
    addresses: Vec<VirtualAddress>,
    routes: Vec<VirtualRoute>,
    rules: Vec<VirtualRule>,
}

impl Holds {
    fn of(instance: &VrrpInstance) -> Self {
        let span = Span::default();
        let route = |route: &VirtualRoute| VirtualRoute { span, ..route.clone() };
        let rule = |rule: &VirtualRule| VirtualRule { span, ..rule.clone() };
        Self {
            addresses: instance.owned().cloned().collect(),
            routes: instance.routes.iter().map(route).collect(),
            rules: instance.rules.iter().map(rule).collect(),
        }
    }
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
    pub(super) fn new(
        instance: &VrrpInstance,
        config: &Vrrp,
        numbers: &Numbers,
        now: Instant,
    ) -> Option<Self> {
        let interface = instance.interface.as_deref()?;
        let group = config.sync_groups.iter().find(|group| group.members.contains(&instance.name));
        let mut machine = Machine::new(instance);
        let source = instance.source.filter(|_| !instance.track_source);
        machine.handle(now, Event::Source(source));
        Some(Self {
            identity: Identity {
                name: instance.name.clone(),
                interface: interface.to_owned(),
                family: instance.family,
                virtual_router_id: instance.virtual_router_id,
                vmac: instance.vmac.clone(),
                source: instance.source,
                track_source: instance.track_source,
            },
            holds: Holds::of(instance),
            tracker: Tracker::new(instance, interface, group),
            standing: Standing { priority: machine.priority(), faults: Vec::new() },
            group: group.and_then(|group| numbers.of_group(&group.name)),
            cause: None,
            source,
            source_is_fixed: source.is_some(),
            course: Course::Ahead,
            begin: now,
            ends: false,
            heir: None,
            state: machine.state(),
            since: now,
            transitions: BTreeMap::new(),
            held: false,
            lanes: lanes(instance, interface),
            spacing: Spacing {
                garp: instance.announcing.garp_interval,
                gna: instance.announcing.gna_interval,
            },
            machine,
        })
    }

    /// Becomes what `new`, which has the same identity, is by the configuration. Gives the addresses that are new, with the
    /// interface that each is announced on, if there are others now.
    pub(super) fn renew(
        &mut self,
        now: Instant,
        instance: &VrrpInstance,
        new: Self,
        observed: &Observed,
    ) -> Option<BTreeMap<String, Vec<IpAddr>>> {
        let are_same = self.lanes == new.lanes;
        let mut added = new.lanes.clone();
        for (interface, addresses) in &mut added {
            let before = self.lanes.get(interface);
            addresses.retain(|address| before.is_none_or(|before| !before.contains(address)));
        }
        added.retain(|_, addresses| !addresses.is_empty());
        let belongings = if self.holds == new.holds {
            Belongings::Same
        } else if added.is_empty() {
            Belongings::Fewer
        } else {
            Belongings::More
        };
        self.machine.reload(now, instance, belongings);
        self.tracker =
            if self.runs() { new.tracker.in_place_of(&self.tracker, observed) } else { new.tracker };
        (self.group, self.holds) = (new.group, new.holds);
        (self.lanes, self.spacing) = (new.lanes, new.spacing);
        (!are_same).then_some(added)
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
            *self.transitions.entry(to).or_default() += 1;
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
