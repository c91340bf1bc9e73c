//! What an interface that carries the program is to be.

use super::facts::{Below, Facts, Interface, Program};
use super::native::{NDO_XMIT, RX_SG, features, is_lacking};
use super::{Check, Finding, Mend, OWN_PROGRAM, Said, Severity};
use crate::carrier::Carrier;

pub(super) const CHECKS: &[Check<Interface>] = &[
    ("link-down", down),
    ("no-carrier", no_carrier),
    ("not-ethernet", not_ethernet),
    ("veth-peer", veth_peer),
    ("other-program", other_program),
    ("mtu", mtu),
    ("jumbo", jumbo),
];

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

/// A veth takes at once what a program at its other end sends only if it has a program itself; with GRO alone it leaves that lying.
fn veth_peer(interface: &Interface, facts: &Facts) -> Said {
    let takes = features(interface, facts).is_none_or(|features| features & NDO_XMIT != 0);
    let peer = interface.below.clone().unwrap_or_default();
    let is_native = !facts.is_generic && !is_lacking(interface, facts);
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
    let name = name.as_ref().filter(|name| *name != OWN_PROGRAM)?;
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
    let is_native = !facts.is_generic && !is_lacking(interface, facts);
    let cannot = is_native && features(interface, facts)? & RX_SG == 0 && *mtu > ONE_BUFFER;
    cannot.then(|| (Severity::Fault, text, Some(Mend::here(format!("ip link set dev {name} mtu 1500")))))
}
