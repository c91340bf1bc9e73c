//! Which services an event concerns, so that it costs the same with one service as with a thousand.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use super::{Event, VirtualService};
use crate::plan::ServiceKey;

/// The services by what happens to their real servers.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    checks: HashMap<u32, Vec<ServiceKey>>,
    servers: HashMap<IpAddr, Vec<ServiceKey>>,
}

impl Index {
    pub(super) fn of(services: &BTreeMap<ServiceKey, VirtualService>) -> Self {
        let mut index = Self::default();
        for (key, service) in services {
            for server in &service.wanted.servers {
                note(index.servers.entry(server.rip).or_default(), *key);
                for check in &server.checks {
                    note(index.checks.entry(*check).or_default(), *key);
                }
            }
        }
        index
    }

    pub(super) fn concerned(&self, event: &Event) -> &[ServiceKey] {
        let found = match event {
            Event::Way(rip, _) => self.servers.get(rip),
            Event::Check(check, _) => self.checks.get(check),
        };
        found.map_or(&[], Vec::as_slice)
    }
}

/// A service is noted once, in the order of the services.
fn note(services: &mut Vec<ServiceKey>, key: ServiceKey) {
    if services.last() != Some(&key) {
        services.push(key);
    }
}
