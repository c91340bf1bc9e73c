//! Who has a virtual address: the classic faults of direct routing.

use super::facts::{Answer, Facts, Server, VirtualAddress, Way};
use super::{Check, Finding, Mend, Said, Severity};

pub(super) const CHECKS: &[Check<VirtualAddress>] = &[("unclaimed", unclaimed), ("own-arp", own_arp)];

/// What makes a host answer for addresses of the interface that is asked only.
const HIDE: &str = "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2";
/// How MAC addresses of virtual routers begin (RFC 9568 section 7.3).
const VIRTUAL_ROUTER: [u8; 4] = [0, 0, 0x5e, 0];

/// Of everybody who says that it is his and should not.
pub(super) fn answers(address: &VirtualAddress, facts: &Facts) -> Vec<Finding> {
    let at = address.address;
    let mut told = Vec::new();
    for answer in &address.answers {
        // Two interfaces of this host on one segment hear each other.
        if facts.interfaces.iter().any(|interface| interface.mac == Some(answer.mac)) {
            continue;
        }
        let mut servers: Vec<_> = facts.servers.iter().filter(|server| has(server, answer)).collect();
        servers.sort_by_key(|server| server.address.is_ipv4() != at.is_ipv4());
        let server = servers.first().copied();
        let mac = answer.mac.map(|byte| format!("{byte:02x}")).join(":");
        let interface = &answer.interface;
        let found = match server {
            Some(_) if is_perhaps_master(address, answer) => continue,
            Some(Server { address: rip, .. }) => {
                let protocol = if at.is_ipv4() { "ARP" } else { "neighbour discovery" };
                let text = format!(
                    "the real server {rip} ({mac} on {interface}) answers {protocol} for it, and so gets its packets past the director: it is to have the address on its lo, and be silent"
                );
                let command = if at.is_ipv4() {
                    // Other addresses stay where this one was the first of its network.
                    format!(
                        "{HIDE} net.ipv4.conf.all.promote_secondaries=1; \
                         ip -4 address flush to {at}/32; ip -4 address add {at}/32 dev lo"
                    )
                } else {
                    format!("ip -6 address flush to {at}/128; ip -6 address add {at}/128 dev lo nodad")
                };
                ("real-server-arp", text, Some(Mend::on(rip.to_string(), command)))
            }
            None if address.held.is_some() => {
                let text = format!(
                    "this host has it, and {mac} on {interface} says that it has it too: two hosts have one address"
                );
                ("duplicate", text, None)
            }
            None => continue,
        };
        let (check, text, mend) = found;
        told.push(Finding { severity: Severity::Fault, check, subject: at.to_string(), text, mend });
    }
    told.sort();
    told.dedup_by(|one, other| (one.check, &one.mend) == (other.check, &other.mend) && one.mend.is_some());
    told
}

fn has(server: &Server, answer: &Answer) -> bool {
    matches!(&server.way, Way::Neighbour { mac, .. } if *mac == answer.mac)
}

/// A director that is a real server as well answers while it is master, alone.
fn is_perhaps_master(address: &VirtualAddress, answer: &Answer) -> bool {
    let is_alone = address.answers.iter().all(|other| other.mac == answer.mac);
    let has_router = address.answers.iter().any(|other| other.mac.starts_with(&VIRTUAL_ROUTER));
    address.instance.is_some() && address.held.is_none() && is_alone && !has_router
}

/// Nobody attracts its packets, unless a router has a route for it.
fn unclaimed(address: &VirtualAddress, facts: &Facts) -> Said {
    let VirtualAddress { address: at, instance, held, is_asked, answers } = address;
    if instance.is_some() || held.is_some() || !is_asked || !answers.is_empty() {
        return None;
    }
    let interface = facts.used().find(|interface| interface.reaches(*at)).or_else(|| facts.used().next())?;
    let text = "no host has it and no vrrp_instance owns it: unless a router has a route for it, its packets go nowhere";
    let (prefix, more) = if at.is_ipv4() { ("32", "") } else { ("128", " preferred_lft 0") };
    let command = format!("ip address add {at}/{prefix} dev {}{more}", interface.name);
    Some((Severity::Warning, text.to_owned(), Some(Mend::here(command))))
}

/// A director that has the address on `lo`, to be a real server too, must not answer for it while another is master.
fn own_arp(address: &VirtualAddress, facts: &Facts) -> Said {
    let VirtualAddress { address: at, instance, held, .. } = address;
    let (Some(instance), Some("lo")) = (instance, held.as_deref()) else { return None };
    let asked = facts.used().find(|interface| interface.setting("arp_ignore") == 0)?;
    let text = format!(
        "this host has it on lo and answers ARP for it on {}, whether it is master of {instance} or not",
        asked.name
    );
    at.is_ipv4().then(|| (Severity::Fault, text, Some(Mend::here(HIDE))))
}
