//! The interfaces and addresses that the virtual routers have to do with.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::model::vrrp::Vrrp;
use crate::io::interfaces::Wanted;

/// What is to be known of the host.
pub(super) fn wanted(config: &Vrrp) -> Wanted {
    Wanted {
        names: config.interfaces(),
        virtual_addresses: virtual_addresses(config),
        hosts: tracked_sources(config),
    }
}

/// Every source address that must be on this host.
fn tracked_sources(config: &Vrrp) -> BTreeSet<IpAddr> {
    config
        .instances
        .iter()
        .filter(|instance| instance.track_source)
        .filter_map(|instance| instance.source)
        .collect()
}

/// Every address that comes and goes with mastership.
fn virtual_addresses(config: &Vrrp) -> BTreeSet<IpAddr> {
    config.instances.iter().flat_map(|instance| instance.owned().map(|owned| owned.address)).collect()
}
