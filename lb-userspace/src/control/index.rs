//! Which services an event concerns, so that it costs the same with one service as with a thousand.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    net::IpAddr,
};

use super::Event;
use crate::plan::{ServiceKey, Wanted};

/// The services by what happens to their real servers, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    checks: HashMap<u32, Vec<ServiceKey>>,
    servers: HashMap<IpAddr, Vec<ServiceKey>>,
}

impl Index {
    /// Takes in a service that comes, or is as it says from now on.
    pub(super) fn note(&mut self, service: &Wanted) {
        for server in service.servers.iter() {
            note(&mut self.servers, server.rip, service.key);
            for check in &server.checks {
                note(&mut self.checks, *check, service.key);
            }
        }
    }

    /// Forgets a service that is no longer as it says.
    pub(super) fn forget(&mut self, service: &Wanted) {
        for server in service.servers.iter() {
            forget(&mut self.servers, server.rip, service.key);
            for check in &server.checks {
                forget(&mut self.checks, *check, service.key);
            }
        }
    }

    pub(super) fn concerned(&self, event: &Event) -> &[ServiceKey] {
        let found = match event {
            Event::Way(rip, _) => self.servers.get(rip),
            Event::Check(check, _) => self.checks.get(check),
        };
        found.map_or(&[], Vec::as_slice)
    }

    pub(super) fn names(&self, rip: IpAddr) -> bool {
        self.servers.contains_key(&rip)
    }
}

/// A service is noted once.
fn note<T: Eq + Hash>(index: &mut HashMap<T, Vec<ServiceKey>>, by: T, key: ServiceKey) {
    let services = index.entry(by).or_default();
    if let Err(place) = services.binary_search(&key) {
        services.insert(place, key);
    }
}

fn forget<T: Eq + Hash>(index: &mut HashMap<T, Vec<ServiceKey>>, by: T, key: ServiceKey) {
    let Entry::Occupied(mut services) = index.entry(by) else { return };
    if let Ok(place) = services.get().binary_search(&key) {
        services.get_mut().remove(place);
    }
    if services.get().is_empty() {
        services.remove();
    }
}
