//! Sync groups: their members are master together or not at all.
//!
//! A member whose master-down timer has run out waits until that of every other one has: as long as one still hears a
//! master it would not preempt, being master would last until that master's next advert. Then all become master at
//! once. One that is backup again takes all back, and the fault of one is a fault of all.
//!
//! Other nodes are taken to have the same groups: where one member's master gives way, those of the others have to be heard
//! within an interval.

use std::collections::{BTreeMap, BTreeSet};

use super::Routers;
use super::router::{Course, Router};
use crate::config::model::vrrp::Vrrp;
use crate::vrrp::machine::Event;
use crate::vrrp::{GroupId, Numbers, Output, RouterId, State};

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: String,
    members: BTreeSet<RouterId>,
    /// The state that was told last.
    told: State,
}

impl Routers {
    /// The other members of every router's group.
    pub(super) fn all_mates(&self) -> BTreeMap<RouterId, Vec<RouterId>> {
        self.all.keys().map(|id| (*id, self.mates(*id))).collect()
    }

    /// Takes the groups of a configuration in place of those there were; what was told of one that stays is not told again.
    /// A member that waited for others, `before`, may do so no longer.
    pub(super) fn regroup(
        &mut self,
        config: &Vrrp,
        numbers: &Numbers,
        before: &BTreeMap<RouterId, Vec<RouterId>>,
    ) {
        let told: BTreeMap<_, _> =
            self.groups.values().map(|group| (group.name.as_str(), group.told)).collect();
        let mut groups = BTreeMap::new();
        for group in &config.sync_groups {
            let Some(id) = numbers.of_group(&group.name) else { continue };
            let members = group.members.iter().filter_map(|name| numbers.of(name)).collect();
            let told = told.get(group.name.as_str()).copied().unwrap_or_default();
            groups.insert(id, Group { name: group.name.clone(), members, told });
        }
        self.groups = groups;
        for (id, mates) in self.all_mates() {
            if let Some(router) = self.all.get_mut(&id) {
                router.held &= before.get(&id) == Some(&mates);
            }
        }
    }

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

    /// A member that a reload brought into a group of masters is not one at once. When it hears a master that it lets be,
    /// that must be master of all.
    pub(super) fn give_way_with(&mut self, id: RouterId) {
        if !self.all.get(&id).is_some_and(|router| router.machine.follows()) {
            return;
        }
        for mate in self.mates(id) {
            self.step(mate, Event::Force(State::Backup));
        }
    }

    /// Tells what groups are that a reload made out of others; of what did not begin yet there is nothing to tell.
    pub(super) fn tell_new_groups(&mut self) {
        let begun = |id: &RouterId| self.all.get(id).is_some_and(|router| router.runs() && !router.ends);
        let groups = self.groups.iter().filter(|(_, group)| group.members.iter().any(begun));
        for id in groups.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.tell_group(id);
        }
    }

    /// Tells the state of a group when it is that of every member and was not told.
    pub(super) fn tell_group(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let members = group.members.iter().filter_map(|member| self.all.get(member));
        let mut states = members.filter(|router| router.group == Some(id)).map(|router| router.state);
        let Some(to) = states.next() else { return };
        if to != group.told && states.all(|state| state == to) {
            group.told = to;
            self.outbox.push(Output::GroupChanged { group: id, to });
        }
    }

    /// Why each router cannot run: its own faults, or else those of the first member of its group that has some.
    pub(super) fn causes(&self) -> Vec<(RouterId, Option<String>)> {
        self.all
            .iter()
            .filter(|(_, router)| !router.ends)
            .map(|(id, router)| (*id, own_cause(router).or_else(|| self.cause_of_mates(*id))))
            .collect()
    }

    /// One that has not started yet is in nobody's way who has.
    fn cause_of_mates(&self, id: RouterId) -> Option<String> {
        let has_started = |router: &Router| router.course != Course::Ahead;
        let started = self.all.get(&id).is_some_and(has_started);
        let mates = self.mates(id);
        let mut mates = mates.iter().filter_map(|mate| self.all.get(mate));
        mates.find_map(|mate| {
            let cause = own_cause(mate).filter(|_| has_started(mate) || !started)?;
            Some(format!("{} of its sync group is in fault: {cause}", mate.identity.name))
        })
    }

    /// The other members of a router's group.
    fn mates(&self, id: RouterId) -> Vec<RouterId> {
        let group = self.all.get(&id).and_then(|router| router.group);
        let Some((group, id_of_group)) = group.and_then(|id| Some((self.groups.get(&id)?, id))) else {
            return Vec::new();
        };
        let is_mate = |member: &RouterId| {
            *member != id && self.all.get(member).is_some_and(|mate| mate.group == Some(id_of_group))
        };
        group.members.iter().copied().filter(is_mate).collect()
    }
}

fn own_cause(router: &Router) -> Option<String> {
    (!router.standing.faults.is_empty()).then(|| router.standing.faults.join(", "))
}
