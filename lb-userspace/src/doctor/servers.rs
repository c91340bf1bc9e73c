//! The ways to real servers.

use super::facts::{Facts, Server, Way};
use super::{Check, Mend, Said, Severity, native};
use crate::carrier::Carrier;

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
    let family = if server.address.is_ipv4() { "" } else { "-6 " };
    let mut used = facts.used();
    // Which of several interfaces it is behind, nobody knows.
    let only = used.next().filter(|_| used.next().is_none());
    let mend = only.map(|only| {
        Mend::here(format!("ip {family}route add {}/{prefix} dev {}", server.address, only.name))
    });
    Some((Severity::Fault, text, mend))
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
    if facts.interface(interface).is_some_and(|way| native::is_for_generic(way, facts)) {
        let text = format!(
            "it is reached by {interface}, which is none of the director's interfaces, and takes no program in native mode: \
             run with it and with `--mode generic`, or move its addresses and routes to one of the director's"
        );
        return Some((Severity::Fault, text, None));
    }
    let text = format!("it is reached by {interface}, which is none of the director's interfaces: add it");
    let named: Vec<String> = facts.named.iter().map(|name| format!("--iface {name}")).collect();
    let mode = if facts.is_generic { " --mode generic" } else { "" };
    let command = format!("xlvs run {} --iface {interface}{mode}", named.join(" "));
    Some((Severity::Fault, text, Some(Mend::here(command))))
}
