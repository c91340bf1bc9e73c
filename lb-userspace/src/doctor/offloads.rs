//! What an interface does to frames before the program sees them.

use super::facts::{Facts, Interface};
use super::{Check, Mend, Said, Severity};

pub(super) const CHECKS: &[Check<Interface>] =
    &[("lro", lro), ("gro-hw", hardware_gro), ("vlan-stripping", vlan_stripping)];

fn lro(interface: &Interface, facts: &Facts) -> Said {
    if facts.is_generic {
        return None;
    }
    let text =
        "it merges segments before the program sees them (LRO), which drivers do not do with XDP, or refuse";
    is_on(interface, "rx-lro", Severity::Fault, text, "lro")
}

fn hardware_gro(interface: &Interface, _: &Facts) -> Said {
    let text = "it merges segments in hardware (GRO_HW), which drivers do not do with XDP, or refuse";
    is_on(interface, "rx-gro-hw", Severity::Warning, text, "rx-gro-hw")
}

/// A veth has the tags that its other end sends, whatever this is.
fn vlan_stripping(interface: &Interface, _: &Facts) -> Said {
    if interface.vlans.is_empty() || interface.kind.as_deref() == Some("veth") {
        return None;
    }
    let text = format!(
        "it takes the tag off frames before the program sees them, and has VLANs ({}): these are not told apart",
        interface.vlans.join(", ")
    );
    is_on(interface, "rx-vlan-hw-parse", Severity::Warning, &text, "rxvlan")
}

fn is_on(interface: &Interface, feature: &str, severity: Severity, text: &str, option: &str) -> Said {
    let mend = || Some(Mend::here(format!("ethtool -K {} {option} off", interface.name)));
    interface.offloads.contains(feature).then(|| (severity, text.to_owned(), mend()))
}
