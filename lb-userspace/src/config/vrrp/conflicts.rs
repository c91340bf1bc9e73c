//! Owns the rules between whole instances: what two of them cannot both have.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::net::IpAddr;

use super::transport::vmac_name;
use crate::config::diagnostics::Diagnostic;
use crate::config::model::vrrp::{Transport, Vmac, VrrpInstance};

/// Gives the virtual MAC interfaces without a name of their own names that no earlier one has.
pub(super) fn distinguish(instances: &mut [VrrpInstance], prefix: &str) {
    let mut taken = BTreeSet::new();
    for instance in instances {
        let usual = vmac_name(prefix, "", instance);
        let numbers = (1..).map(|number: u32| vmac_name(prefix, &number.to_string(), instance));
        let mut names = iter::once(usual.clone()).chain(numbers);
        let free = names.find(|name| !taken.contains(name));
        let Some(vmac) = &mut instance.vmac else { continue };
        if let Some(free) = free.filter(|_| vmac.name == usual) {
            vmac.name = free;
        }
        taken.insert(vmac.name.clone());
    }
}

/// Everything that two of `instances` cannot both have.
pub(super) fn find(instances: &[VrrpInstance], problems: &mut Vec<Diagnostic>) {
    let mut earlier = BTreeMap::<_, Vec<&VrrpInstance>>::new();
    for instance in instances {
        let namesakes = earlier.entry((instance.family, instance.virtual_router_id)).or_default();
        if let Some(other) = namesakes.iter().find(|other| same_router(instance, other)) {
            let place = match (&instance.interface, instance.source) {
                (Some(interface), _) if other.interface.as_ref() == Some(interface) => {
                    format!("on {interface}")
                }
                (_, source) => source.map_or_else(String::new, |source| format!("at {source}")),
            };
            let message = format!(
                "the vrrp_instances {} and {} are both the virtual router {} {place}",
                other.name, instance.name, instance.virtual_router_id
            );
            problems.push(Diagnostic::error(instance.span, message).hint(
                "give one another `virtual_router_id`, or with `unicast_peer` another source and other peers",
            ));
        }
        namesakes.push(instance);
    }
    find_shared_interfaces(instances, problems);
    find_shared_addresses(instances, problems);
}

/// Whether adverts for the one could be taken for those of the other, which has its family and number.
fn same_router(one: &VrrpInstance, other: &VrrpInstance) -> bool {
    if one.interface.is_none() || other.interface.is_none() {
        return false;
    }
    let same_interface = one.interface == other.interface;
    match (&one.transport, &other.transport) {
        (Transport::Multicast { group: one }, Transport::Multicast { group: other }) => {
            same_interface && one == other
        }
        (Transport::Unicast { peers, .. }, Transport::Unicast { peers: others, .. }) => {
            let same_source = match (one.source, other.source) {
                // What is heard at an address is heard at it through every interface, except at one of the link.
                (Some(IpAddr::V6(one)), Some(IpAddr::V6(other))) if one.is_unicast_link_local() => {
                    same_interface && one == other
                }
                (Some(one), Some(other)) => one == other,
                (None, None) => same_interface,
                _ => false,
            };
            same_source || (same_interface && peers.iter().any(|peer| others.contains(peer)))
        }
        _ => false,
    }
}

fn find_shared_interfaces(instances: &[VrrpInstance], problems: &mut Vec<Diagnostic>) {
    let mut makers = BTreeMap::new();
    let mut runners = BTreeMap::new();
    for instance in instances {
        if let Some(interface) = &instance.interface {
            runners.entry(interface).or_insert(instance);
        }
    }
    for instance in instances {
        let Some(Vmac { name, .. }) = &instance.vmac else { continue };
        let maker = *makers.entry(name).or_insert(instance);
        let message = if !std::ptr::eq(maker, instance) {
            let other = maker;
            format!(
                "the vrrp_instances {} and {} would both make the interface {name}",
                other.name, instance.name
            )
        } else if let Some(other) = runners.get(name) {
            format!(
                "the vrrp_instance {} would make the interface {name}, on which {} runs",
                instance.name, other.name
            )
        } else {
            continue;
        };
        problems.push(Diagnostic::error(instance.span, message).hint("write another name behind `use_vmac`"));
    }
}

fn find_shared_addresses(instances: &[VrrpInstance], problems: &mut Vec<Diagnostic>) {
    let mut owners = BTreeMap::new();
    for instance in instances {
        for owned in instance.owned() {
            let dev = owned.dev.as_ref().or(instance.interface.as_ref());
            let other = owners.insert((owned.address, dev), &instance.name);
            let Some(other) = other.filter(|other| **other != instance.name) else { continue };
            let message = format!(
                "the vrrp_instances {other} and {} both own the virtual address {}",
                instance.name, owned.address
            );
            problems.push(
                Diagnostic::ours(instance.span, message).hint("have each address in one instance only"),
            );
        }
    }
}
