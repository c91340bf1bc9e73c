//! The kernel's settings for IPv4.

use super::facts::{Facts, Host, Interface};
use super::{Check, Mend, Said, Severity};

pub(super) const OF_INTERFACES: &[Check<Interface>] = &[("rp-filter", reverse_path)];

pub(super) const OF_HOST: &[Check<Host>] = &[("ip-forward", forwarding)];

/// With several interfaces packets come by one whose answer leaves by another.
fn reverse_path(interface: &Interface, facts: &Facts) -> Said {
    if interface.setting("rp_filter") != 1 || facts.used().nth(1).is_none() {
        return None;
    }
    let text = "it drops packets whose answer would leave by another interface (rp_filter 1)";
    let mend =
        Some(Mend::here(format!("sysctl -w net.ipv4.conf.{}.rp_filter=2", interface.name.replace('.', "/"))));
    Some((Severity::Warning, text.to_owned(), mend))
}

/// What the program passes to the stack for an address that is not here would go out again.
fn forwarding(host: &Host, facts: &Facts) -> Said {
    let mut addresses = facts.addresses.iter();
    let may_be_elsewhere = addresses.any(|address| address.address.is_ipv4() && address.instance.is_some());
    let text = "it forwards packets that are not for it (ip_forward): what the program leaves to it for a virtual address of another node is sent on, perhaps in circles; xlvs needs no ip_forward, and where this host routes nothing else (containers and virtual machines count) `sysctl -w net.ipv4.ip_forward=0` turns it off";
    (host.forwards && may_be_elsewhere).then(|| (Severity::Warning, text.to_owned(), None))
}
