//! What an interface that carries the program is to be.

use super::facts::{Below, Facts, Interface, Program};
use super::{Check, Finding, Mend, Said, Severity};
use crate::io::links::Carrier;

pub(super) const CHECKS: &[Check<Interface>] = &[
    ("link-down", down),
    ("no-carrier", no_carrier),
    ("not-ethernet", not_ethernet),
    ("stacked", stacked),
    ("native-xdp", native),
    ("veth-peer", veth_peer),
    ("other-program", other_program),
    ("mtu", mtu),
    ("jumbo", jumbo),
    ("queues", queues),
];

/// The name of xlvs's own program.
const OWN: &str = "xlvs";
/// Of `netdev_xdp_act` in `linux/netdev.h`: XDP in the driver; frames are taken that another interface's program sends; frames
/// of several buffers are taken.
const BASIC: u64 = 1;
const NDO_XMIT: u64 = 4;
const RX_SG: u64 = 32;
/// Bytes of the largest packet that fits one buffer of a page beside what drivers keep there.
const ONE_BUFFER: u32 = 3498;

/// Of an interface that was named and is not there.
pub(super) fn missing(name: &str, facts: &Facts) -> Finding {
    let there: Vec<&str> = facts.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    Finding {
        severity: Severity::Fault,
        check: "no-interface",
        subject: name.to_owned(),
        text: format!("there is no such interface; there are: {}", there.join(", ")),
        mend: None,
    }
}

fn down(interface: &Interface, _: &Facts) -> Said {
    let mend = || Some(Mend::here(format!("ip link set dev {} up", interface.name)));
    (interface.carrier == Carrier::AdminDown)
        .then(|| (Severity::Fault, "it is switched off".to_owned(), mend()))
}

fn no_carrier(interface: &Interface, _: &Facts) -> Said {
    if interface.carrier != Carrier::NoCarrier {
        return None;
    }
    let peer = interface
        .below
        .as_ref()
        .filter(|_| is_veth(interface))
        .and_then(|peer| Some((peer, peer.name.as_ref()?)));
    let Some((peer, name)) = peer else {
        let text = "it has no carrier: look after the cable, and the port at its other end";
        return Some((Severity::Fault, text.to_owned(), None));
    };
    let text = format!("it has no carrier: its other end, {name}, is switched off");
    Some((Severity::Fault, text, Some(there(peer, format!("ip link set dev {name} up")))))
}

fn is_veth(interface: &Interface) -> bool {
    interface.kind.as_deref() == Some("veth")
}

/// A command for where the other end of a veth is.
fn there(peer: &Below, command: String) -> Mend {
    if peer.is_here { Mend::here(command) } else { Mend::on("the namespace of its other end", command) }
}

fn not_ethernet(interface: &Interface, _: &Facts) -> Said {
    let text = "it is not an Ethernet interface: name one that is";
    interface.mac.is_none().then(|| (Severity::Fault, text.to_owned(), None))
}

/// On what the program is to be instead: XDP comes before VLANs, bridges and macvlans are made.
fn stacked(interface: &Interface, _: &Facts) -> Said {
    let (what, there) = match (interface.kind.as_deref()?, &interface.below) {
        (
            kind @ ("vlan" | "macvlan" | "macvtap" | "ipvlan"),
            Some(Below { name: Some(parent), is_here: true, .. }),
        ) => (kind, vec![parent.as_str()]),
        ("bridge", _) => ("bridge", interface.ports.iter().map(String::as_str).collect()),
        ("bond", _) if lacks_native(interface) => {
            ("bond with a port without native XDP", interface.ports.iter().map(String::as_str).collect())
        }
        _ => return None,
    };
    let reason = if what == "vlan" { ": the program reads the tags itself" } else { "" };
    let text = format!("it is a {what}, and the program belongs on what is below it{reason}");
    let options: Vec<String> = there.iter().map(|name| format!("--iface {name}")).collect();
    let mend =
        if options.is_empty() { None } else { Some(Mend::here(format!("xlvs run {}", options.join(" ")))) };
    Some((Severity::Fault, text, mend))
}

const fn lacks_native(interface: &Interface) -> bool {
    matches!(interface.xdp, Some(features) if features & BASIC == 0)
}

fn native(interface: &Interface, facts: &Facts) -> Said {
    if !lacks_native(interface) || stacked(interface, facts).is_some() || interface.mac.is_none() {
        return None;
    }
    let driver = interface.driver.as_deref().unwrap_or("unknown");
    let text =
        format!("its driver, {driver}, has no native XDP, or not as it is set up now; the slow way is left");
    let mend = Some(Mend::here(format!("xlvs run --iface {} --mode generic", interface.name)));
    Some((Severity::Fault, text, mend))
}

/// A veth takes at once what a program at its other end sends only if it has a program itself; with GRO alone it leaves that lying.
fn veth_peer(interface: &Interface, _: &Facts) -> Said {
    let takes = interface.xdp.is_none_or(|features| features & NDO_XMIT != 0);
    let peer = interface.below.clone().unwrap_or_default();
    if !is_veth(interface) || lacks_native(interface) || peer.has_program.unwrap_or(takes) {
        return None;
    }
    let text = "its other end has no XDP program, and so keeps what the program sends; one that passes everything is enough, such as xlvs without services";
    let mend = peer.name.as_ref().map(|name| {
        let places = format!("--state-dir /run/xlvs-{name} --pin-dir /sys/fs/bpf/xlvs-{name}");
        there(&peer, format!("xlvs run -f /dev/null --iface {name} {places}"))
    });
    Some((Severity::Fault, text.to_owned(), mend))
}

fn other_program(interface: &Interface, _: &Facts) -> Said {
    let Program { id, name, link } = interface.program.as_ref().filter(|program| program.name != OWN)?;
    let text =
        format!("another XDP program is on it, {name:?} with the number {id}: xlvs cannot be beside it");
    let command = match link {
        Some(link) => format!("bpftool link detach id {link}"),
        None => format!("ip link set dev {} xdp off", interface.name),
    };
    Some((Severity::Fault, text, Some(Mend::here(command))))
}

fn mtu(interface: &Interface, facts: &Facts) -> Said {
    let most = facts.used().map(|other| other.mtu).max()?;
    let other = facts.used().find(|other| other.mtu == most)?;
    let Interface { name, mtu, .. } = interface;
    let text = format!(
        "its MTU is {mtu}, and that of {} is {most}: longer packets are answered with ICMP errors",
        other.name
    );
    (*mtu < most)
        .then(|| (Severity::Warning, text, Some(Mend::here(format!("ip link set dev {name} mtu {most}")))))
}

fn jumbo(interface: &Interface, _: &Facts) -> Said {
    let Interface { name, mtu, .. } = interface;
    let text = format!(
        "its MTU of {mtu} needs frames of several buffers, which its driver does not give to programs"
    );
    let cannot = !lacks_native(interface) && interface.xdp? & RX_SG == 0 && *mtu > ONE_BUFFER;
    cannot.then(|| (Severity::Fault, text, Some(Mend::here(format!("ip link set dev {name} mtu 1500")))))
}

/// Of hardware: what is made in software takes frames on any processor.
fn queues(interface: &Interface, facts: &Facts) -> Said {
    let ([now, most], cpus) = (interface.queues?, facts.host.cpus);
    let wanted = most.min(cpus);
    let text = format!("{now} of {cpus} processors take its frames, and it can have {most} queues");
    let command = format!("ethtool -L {} combined {wanted}", interface.name);
    (interface.kind.is_none() && now < wanted).then(|| (Severity::Warning, text, Some(Mend::here(command))))
}
