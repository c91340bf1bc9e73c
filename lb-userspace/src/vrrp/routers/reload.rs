//! A new configuration while the routers run: each of them goes on, changes, ends or begins.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use super::router::Router;
use super::{End, Routers};
use crate::config::model::vrrp::{Vrrp, VrrpInstance};
use crate::vrrp::machine::Event;
use crate::vrrp::{Numbers, Output, RouterId, State};

impl Routers {
    /// Takes a new configuration in place of the one there is; while all stop, it is ignored.
    ///
    /// A router with the same name, interface, VRID, family, virtual MAC address and source goes on: its state, timers and
    /// counts stay, and everything else changes in its place. Any other ends as by [`crate::vrrp::Input::Stop`], which
    /// [`Output::Ended`] tells, and what has its number then begins as backup. Until that has told otherwise, inputs for
    /// the number are for the one that ends.
    pub fn reload(&mut self, now: Instant, config: &Vrrp, numbers: &Numbers) {
        self.look_at(now);
        self.wake(|state| state == State::Master);
        if self.end == End::Ahead {
            self.observed.reload(config);
            self.adopt(config, numbers);
            self.start();
        }
    }

    /// Whether the router that has this number is about to end, so that it is not the one that the configuration names.
    pub fn ends(&self, id: RouterId) -> bool {
        self.all.get(&id).is_some_and(|router| router.ends)
    }

    pub(super) fn adopt(&mut self, config: &Vrrp, numbers: &Numbers) {
        let mates = self.all_mates();
        let mut wanted = BTreeMap::new();
        for instance in &config.instances {
            let router = Router::new(instance, config, numbers, self.begin.max(self.now));
            if let (Some(id), Some(router)) = (numbers.of(&instance.name), router) {
                wanted.insert(id, (instance, router));
            }
        }
        let ids: BTreeSet<_> = self.all.keys().chain(wanted.keys()).copied().collect();
        for id in ids {
            self.adopt_one(id, wanted.remove(&id));
        }
        self.regroup(config, numbers, &mates);
        self.assess();
        self.tell_new_groups();
    }

    fn adopt_one(&mut self, id: RouterId, wanted: Option<(&VrrpInstance, Router)>) {
        match (self.all.get_mut(&id), wanted) {
            (None, None) => {}
            (None, Some((_, new))) => drop(self.all.insert(id, new)),
            (Some(old), wanted) if old.ends => {
                let name = &old.identity.name;
                let is_anothers = wanted.as_ref().is_some_and(|(instance, _)| instance.name != *name);
                inherit(&mut old.heir, wanted.map(|(_, new)| new));
                if is_anothers {
                    // The row of its lease is that of services of the other one now.
                    self.step(id, Event::Fault(Some("its number is another's".to_owned())));
                }
            }
            (Some(old), Some((instance, new))) if old.identity == new.identity => {
                if let Some(added) = old.renew(self.now, instance, new, &self.observed) {
                    self.announce_changes(id, &added);
                }
            }
            (Some(old), wanted) => {
                (old.ends, old.group) = (true, None);
                inherit(&mut old.heir, wanted.map(|(_, new)| new));
                self.queue.cancel(id);
                self.step(id, Event::Stop);
            }
        }
    }

    /// A master tells of its new addresses. One that still tells of all begins anew, for some of them may be gone.
    fn announce_changes(&mut self, id: RouterId, added: &BTreeMap<String, Vec<IpAddr>>) {
        let Some(router) = self.all.get(&id).filter(|router| router.state == State::Master) else { return };
        let repeat = router.machine.announcing().repeat;
        let lanes = if self.queue.cancel(id) { &router.lanes } else { added };
        for (interface, addresses) in lanes {
            self.queue.push(self.now, id, interface, addresses, repeat, router.spacing);
        }
    }

    /// The router has ended; what comes after it takes its place.
    pub(super) fn replace(&mut self, id: RouterId) -> Output {
        let heir = self.all.remove(&id).and_then(|router| router.heir);
        if let Some(heir) = heir {
            self.all.insert(id, *heir);
            self.assess();
        }
        Output::Ended(id)
    }

    /// Whether a router cannot start yet because another, which other nodes take for the same, is about to end.
    pub(super) fn waits_for_an_end(&self, router: &Router) -> bool {
        self.all.values().any(|other| other.ends && other.identity.is_heard_as(&router.identity))
    }
}

/// One that would have come next, and is the same, does not wait anew.
fn inherit(heir: &mut Option<Box<Router>>, mut new: Option<Router>) {
    if let (Some(old), Some(new)) = (heir.as_ref(), new.as_mut())
        && old.identity == new.identity
    {
        (new.begin, new.since) = (old.begin, old.since);
    }
    *heir = new.map(Box::new);
}
