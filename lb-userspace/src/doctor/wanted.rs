//! What a director is to do, as far as it matters to the machine: from its status or its configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::config::model::{Config, Selector};
use crate::status::Status;

/// Interfaces, virtual addresses and real servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The interfaces it forwards through, in their order.
    pub interfaces: Vec<String>,
    /// The virtual addresses of its services, with the `vrrp_instance` that owns each.
    pub addresses: BTreeMap<IpAddr, Option<String>>,
    /// Its real servers and sorry servers.
    pub servers: BTreeSet<IpAddr>,
    /// Whether it runs in generic mode.
    pub is_generic: bool,
}

impl From<&Status> for Wanted {
    fn from(status: &Status) -> Self {
        let addressed = status.services.iter().filter(|service| service.fwmark.is_none());
        let servers = status.services.iter().flat_map(|service| &service.servers);
        Self {
            interfaces: status.interfaces.iter().map(|interface| interface.name.clone()).collect(),
            addresses: addressed.map(|service| (service.address, service.instance.clone())).collect(),
            servers: servers.map(|server| server.address).collect(),
            is_generic: status.mode == "generic",
        }
    }
}

impl From<&Config> for Wanted {
    fn from(config: &Config) -> Self {
        let mut interfaces: Vec<String> = Vec::new();
        for name in config.vrrp.instances.iter().filter_map(|instance| instance.interface.clone()) {
            if !interfaces.contains(&name) {
                interfaces.push(name);
            }
        }
        let addresses =
            config.served().flat_map(|service| service.selectors()).filter_map(|selector| match selector {
                Selector::Address { address, .. } => {
                    Some((address, config.owner(selector).map(|owner| owner.name.clone())))
                }
                Selector::Mark { .. } => None,
            });
        let pools = config.served().flat_map(|service| {
            let sorry = service.sorry.as_ref().map(|sorry| sorry.address);
            service.pool().map(|server| server.address).chain(sorry).collect::<Vec<_>>()
        });
        Self { interfaces, addresses: addresses.collect(), servers: pools.collect(), is_generic: false }
    }
}
