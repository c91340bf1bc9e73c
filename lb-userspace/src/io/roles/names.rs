//! The interfaces and addresses that the virtual routers have to do with.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::model::vrrp::Vrrp;

/// Every interface named in the configuration or made for it, once.
pub(super) fn watched(config: &Vrrp) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for instance in &config.instances {
        names.extend(instance.interface.clone());
        names.extend(instance.vmac.as_ref().map(|vmac| vmac.name.clone()));
        names.extend(instance.owned().filter_map(|owned| owned.dev.clone()));
        names.extend(instance.tracks.interfaces.iter().map(|track| track.name.clone()));
    }
    for group in &config.sync_groups {
        names.extend(group.tracks.interfaces.iter().map(|track| track.name.clone()));
    }
    names
}

/// Every source address that must be on this host.
pub(super) fn tracked_sources(config: &Vrrp) -> BTreeSet<IpAddr> {
    config
        .instances
        .iter()
        .filter(|instance| instance.track_source)
        .filter_map(|instance| instance.source)
        .collect()
}

/// Every address that comes and goes with mastership.
pub(super) fn virtual_addresses(config: &Vrrp) -> BTreeSet<IpAddr> {
    config.instances.iter().flat_map(|instance| instance.owned().map(|owned| owned.address)).collect()
}
