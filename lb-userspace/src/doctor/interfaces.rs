//! What an interface that carries the program is to be.

use super::facts::{Below, Facts, Interface, Program};
use super::{Check, Finding, Mend, Said, Severity};
use crate::carrier::Carrier;

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

/// No native XDP there: it comes before VLANs, bridges and macvlans are made. Below it, the director would not be where the
/// routes to its real servers lead.
pub(super) fn stacked(interface: &Interface, facts: &Facts) -> Said {
    if facts.is_generic {
        return None;
    }
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
    let below = if there.is_empty() { "what is below it".to_owned() } else { there.join(", ") };
    let text = format!(
        "it is a {what}, which takes no program in native mode: generic mode works on it; for native mode its addresses and \
         routes have to be on {below}"
    );
    Some((Severity::Fault, text, Some(generic(interface))))
}

fn generic(interface: &Interface) -> Mend {
    Mend::here(format!("xlvs run --iface {} --mode generic", interface.name))
}

const fn lacks_native(interface: &Interface) -> bool {
    matches!(interface.xdp, Some(features) if features & BASIC == 0)
}

fn native(interface: &Interface, facts: &Facts) -> Said {
    let is_there = interface
        .program
        .as_ref()
        .is_some_and(|program| program.name.as_deref() == Some(OWN) && program.is_generic == Some(false));
    let is_wanted = !facts.is_generic && !is_there && interface.mac.is_some();
    if !is_wanted || !lacks_native(interface) || stacked(interface, facts).is_some() {
        return None;
    }
    let driver = interface.driver.as_deref().unwrap_or("unknown");
    let text =
        format!("its driver, {driver}, has no native XDP, or not as it is set up now; the slow way is left");
    Some((Severity::Fault, text, Some(generic(interface))))
}

/// A veth takes at once what a program at its other end sends only if it has a program itself; with GRO alone it leaves that lying.
fn veth_peer(interface: &Interface, facts: &Facts) -> Said {
    let takes = interface.xdp.is_none_or(|features| features & NDO_XMIT != 0);
    let peer = interface.below.clone().unwrap_or_default();
    let is_native = !facts.is_generic && !lacks_native(interface);
    if !is_veth(interface) || !is_native || peer.has_program.unwrap_or(takes) {
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
    let Program { id, name, links, is_generic } = interface.program.as_ref()?;
    let name = name.as_ref().filter(|name| *name != OWN)?;
    let device = &interface.name;
    let command = match (links.as_slice(), is_generic) {
        ([link], _) => Some(format!("bpftool link detach id {link}")),
        ([], Some(true)) => Some(format!("ip link set dev {device} xdpgeneric off")),
        ([], Some(false)) => Some(format!("ip link set dev {device} xdp off")),
        _ => None,
    };
    let more = if command.is_none() { "; `bpftool net` shows what holds it there" } else { "" };
    let text = format!(
        "another XDP program is on it, {name:?} with the number {id}: xlvs cannot be beside it{more}"
    );
    Some((Severity::Fault, text, command.map(Mend::here)))
}

fn mtu(interface: &Interface, facts: &Facts) -> Said {
    let most = facts.used().map(|other| other.mtu).max()?;
    let other = facts.used().find(|other| other.mtu == most)?;
    let mtu = interface.mtu;
    let text = format!(
        "its MTU is {mtu}, and that of {} is {most}: a packet longer than the smaller is answered with ICMP; that is well if \
         the network behind it is so",
        other.name
    );
    (mtu < most).then_some((Severity::Warning, text, None))
}

fn jumbo(interface: &Interface, facts: &Facts) -> Said {
    let Interface { name, mtu, .. } = interface;
    let text = format!(
        "its MTU of {mtu} needs frames of several buffers, which its driver does not give to programs"
    );
    let is_native = !facts.is_generic && !lacks_native(interface);
    let cannot = is_native && interface.xdp? & RX_SG == 0 && *mtu > ONE_BUFFER;
    cannot.then(|| (Severity::Fault, text, Some(Mend::here(format!("ip link set dev {name} mtu 1500")))))
}

/// Of hardware: what is made in software takes frames on any processor.
fn queues(interface: &Interface, facts: &Facts) -> Said {
    let ([now, most], cpus) = (interface.queues?, facts.host.cpus);
    let wanted = most.min(cpus);
    let text = format!(
        "{now} of {cpus} processors take its frames, and it can have {most} queues: `ethtool -L` gives it more; some drivers \
         need spare queues to send by XDP, so leave them these"
    );
    (interface.kind.is_none() && now < wanted).then_some((Severity::Warning, text, None))
}
