//! What an interface does to frames before the program sees them.

use super::facts::{Facts, Interface};
use super::{Check, Mend, Said, Severity, native};

pub(super) const CHECKS: &[Check<Interface>] =
    &[("lro", lro), ("gro-hw", hardware_gro), ("vlan-stripping", vlan_stripping)];
/// Of what is below the program's interface.
pub(super) const BENEATH: &[Check<Interface>] = &[("gro", gro)];

fn lro(interface: &Interface, facts: &Facts) -> Said {
    merging(
        interface,
        facts,
        &Offload { feature: "rx-lro", option: "lro", name: "LRO", severity: Severity::Fault },
    )
}

fn hardware_gro(interface: &Interface, facts: &Facts) -> Said {
    let (feature, option) = ("rx-gro-hw", "rx-gro-hw");
    merging(interface, facts, &Offload { feature, option, name: "GRO_HW", severity: Severity::Warning })
}

struct Offload {
    /// The kernel's name.
    feature: &'static str,
    /// ethtool's.
    option: &'static str,
    /// That of the documentation.
    name: &'static str,
    severity: Severity,
}

/// With a program in the driver it does so no more, whatever it tells; for a program of its own in the stack the kernel
/// switches it off.
fn merging(interface: &Interface, facts: &Facts, offload: &Offload) -> Said {
    let Offload { feature, option, name, severity } = *offload;
    if facts.is_generic || native::has_program(interface, facts) || !interface.offloads.contains(feature) {
        return None;
    }
    let text =
        format!("it merges segments before the program sees them ({name}), which drivers do not do with XDP");
    if !interface.fixed.contains(feature) {
        return Some((severity, format!("{text}, or refuse"), Some(off(interface, option))));
    }
    let text = format!("{text}: it cannot be switched off here");
    if interface.driver.as_deref() != Some("virtio_net") {
        return Some((severity, text, None));
    }
    // A host that offers no VIRTIO_NET_F_CTRL_GUEST_OFFLOADS.
    let text = format!(
        "{text}, so that its driver will refuse the program. What this machine runs on is to let it (virtio's \
         `ctrl_guest_offloads`), or to offer neither merging nor `guest_csum`; generic mode works meanwhile"
    );
    Some((Severity::Fault, text, Some(native::generic_by(interface, facts))))
}

/// A program in the stack ends the merging of its own interface only; the kernel ends LRO of those below too.
fn gro(interface: &Interface, _: &Facts) -> Said {
    const FEATURES: [(&str, &str); 2] = [("rx-gro", "gro"), ("rx-gro-hw", "rx-gro-hw")];
    let on: Vec<_> =
        FEATURES.into_iter().filter(|(feature, _)| interface.offloads.contains(*feature)).collect();
    let is_merging = matches!(interface.kind.as_deref(), None | Some("veth"));
    if on.is_empty() || !is_merging {
        return None;
    }
    let text = "it is below what the program is on, and merges segments before the program sees them (GRO)";
    let switches = on.iter().filter(|(feature, _)| !interface.fixed.contains(*feature));
    let options: Vec<_> = switches.map(|(_, option)| *option).collect();
    let command = || off(interface, &options.join(" off "));
    Some((Severity::Warning, text.to_owned(), (!options.is_empty()).then(command)))
}

/// A veth has the tags that its other end sends, whatever this is.
fn vlan_stripping(interface: &Interface, facts: &Facts) -> Said {
    const FEATURE: &str = "rx-vlan-hw-parse";
    let vlans = vlans(interface, facts);
    let is_veth = interface.kind.as_deref() == Some("veth");
    if vlans.is_empty() || is_veth || !interface.offloads.contains(FEATURE) {
        return None;
    }
    let text = format!(
        "it takes the tag off frames before the program sees them, and has VLANs ({}): these are not told apart",
        vlans.join(", ")
    );
    if interface.fixed.contains(FEATURE) {
        let text = format!("{text}; it cannot be switched off: use another interface for them");
        return Some((Severity::Warning, text, None));
    }
    Some((Severity::Warning, text, Some(off(interface, "rxvlan"))))
}

/// Those that stand on it, or on the bond whose port it is.
fn vlans<'a>(interface: &'a Interface, facts: &'a Facts) -> Vec<&'a str> {
    let is_on = |other: &&Interface| other.name == interface.name || other.ports.contains(&interface.name);
    facts.interfaces.iter().filter(is_on).flat_map(|other| &other.vlans).map(String::as_str).collect()
}

fn off(interface: &Interface, option: &str) -> Mend {
    Mend::here(format!("ethtool -K {} {option} off", interface.name))
}
