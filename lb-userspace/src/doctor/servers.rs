//! The ways to real servers.

use super::facts::{Facts, Server, Way};
use super::{Check, Mend, Said, Severity};
use crate::io::links::Carrier;

pub(super) const CHECKS: &[Check<Server>] =
    &[("no-route", no_route), ("silent", silent), ("other-interface", other_interface)];

fn no_route(server: &Server, facts: &Facts) -> Said {
    let Way::None { reason } = &server.way else { return None };
    let is_down = |interface: &&super::facts::Interface| interface.carrier != Carrier::Up;
    if facts.interfaces.iter().filter(is_down).any(|interface| interface.reaches(server.address)) {
        return None;
    }
    let text = format!("{reason}; give it one, over a gateway if it is not on that link");
    let prefix = if server.address.is_ipv4() { 32 } else { 128 };
    let first = facts.used().next()?;
    let family = if server.address.is_ipv4() { "" } else { "-6 " };
    let command = format!("ip {family}route add {}/{prefix} dev {}", server.address, first.name);
    Some((Severity::Fault, text, Some(Mend::here(command))))
}

/// Where the interface itself is the reason, that is told of it.
fn silent(server: &Server, facts: &Facts) -> Said {
    let Way::Silent { interface, reason } = &server.way else { return None };
    let is_up = facts.interface(interface).is_some_and(|interface| interface.carrier == Carrier::Up);
    let text = format!("{reason}: is it switched on, has it that address, and is it on that link?");
    is_up.then_some((Severity::Fault, text, None))
}

fn other_interface(server: &Server, facts: &Facts) -> Said {
    let (Way::Neighbour { interface, .. } | Way::Gateway { interface }) = &server.way else { return None };
    if facts.named.is_empty() || facts.named.contains(interface) {
        return None;
    }
    let is_carried =
        facts.used().any(|used| used.vlans.contains(interface) || used.ports.contains(interface));
    let text = format!("it is reached by {interface}, which is none of the director's interfaces: add it");
    let named: Vec<String> = facts.named.iter().map(|name| format!("--iface {name}")).collect();
    let mend = Some(Mend::here(format!("xlvs run {} --iface {interface}", named.join(" "))));
    (!is_carried).then_some((Severity::Fault, text, mend))
}
