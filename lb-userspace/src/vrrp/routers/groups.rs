//! Sync groups: their members are master together or not at all.
//!
//! A member whose master-down timer has run out waits until that of every other one has: as long as one still hears a
//! master it would not preempt, being master would last until that master's next advert. Then all become master at
//! once. One that is backup again takes all back, and the fault of one is a fault of all.
//!
//! Other nodes are taken to have the same groups: where one member's master gives way, those of the others have to be heard
//! within an interval.

use std::collections::BTreeMap;

use super::Routers;
use super::router::Router;
use crate::config::model::vrrp::SyncGroup;
use crate::vrrp::machine::Event;
use crate::vrrp::{Output, RouterId, State};

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: String,
    members: Vec<RouterId>,
    /// The state that was told last.
    told: State,
}

impl Group {
    pub(super) fn new(group: &SyncGroup, routers: &BTreeMap<RouterId, Router>) -> Self {
        let members = routers.iter().filter(|(_, router)| group.members.contains(&router.name));
        Self {
            name: group.name.clone(),
            members: members.map(|(id, _)| *id).collect(),
            told: State::Initialize,
        }
    }
}

impl Routers {
    /// Whether a router that would become master now must leave that to a later member of its group.
    pub(super) fn waits_for_its_group(&self, id: RouterId) -> bool {
        let takes_over =
            |id: &RouterId| self.all.get(id).is_some_and(|router| router.machine.takes_over(self.now));
        let follows = |id: &RouterId| {
            self.all.get(id).is_some_and(|router| router.held || router.state == State::Master)
                || takes_over(id)
        };
        takes_over(&id) && !self.mates(id).iter().all(follows)
    }

    /// Makes the other members what one of them became.
    pub(super) fn force_group(&mut self, id: RouterId, from: State, to: State) {
        let forced = match (from, to) {
            (_, State::Master) => State::Master,
            (State::Master, State::Backup) => State::Backup,
            _ => return,
        };
        for mate in self.mates(id) {
            self.step(mate, Event::Force(forced));
        }
    }

    /// Tells the other members what follows for them from an advert of this priority that one has accepted.
    pub(super) fn inform_group(&mut self, id: RouterId, priority: u8) {
        let Some(router) = self.all.get(&id) else { return };
        let event = match (router.state, priority) {
            (State::Backup, 0) => Event::GroupGivenWay,
            (State::Master, 1..) => Event::GroupHeardLower,
            _ => return,
        };
        for mate in self.mates(id) {
            self.step(mate, event.clone());
        }
    }

    /// Tells the state of a router's group when it is that of every member and was not told.
    pub(super) fn tell_group(&mut self, id: RouterId) {
        let Some(place) = self.all.get(&id).and_then(|router| router.group) else { return };
        let Some(group) = self.groups.get_mut(place.0) else { return };
        let mut states = group.members.iter().filter_map(|id| self.all.get(id)).map(|router| router.state);
        let Some(to) = states.next() else { return };
        if to != group.told && states.all(|state| state == to) {
            group.told = to;
            self.outbox.push(Output::GroupChanged { group: place, to });
        }
    }

    /// Why each router cannot run: its own faults, or else those of the first member of its group that has some.
    pub(super) fn causes(&self) -> Vec<(RouterId, Option<String>)> {
        self.all
            .iter()
            .map(|(id, router)| (*id, own_cause(router).or_else(|| self.cause_of_mates(*id))))
            .collect()
    }

    fn cause_of_mates(&self, id: RouterId) -> Option<String> {
        self.mates(id).iter().filter_map(|mate| self.all.get(mate)).find_map(|mate| {
            let cause = own_cause(mate)?;
            Some(format!("{} of its sync group is in fault: {cause}", mate.name))
        })
    }

    /// The other members of a router's group.
    fn mates(&self, id: RouterId) -> Vec<RouterId> {
        let group = self.all.get(&id).and_then(|router| self.groups.get(router.group?.0));
        let members = group.map_or(&[][..], |group| &group.members);
        members.iter().copied().filter(|member| *member != id).collect()
    }
}

fn own_cause(router: &Router) -> Option<String> {
    (!router.standing.faults.is_empty()).then(|| router.standing.faults.join(", "))
}
