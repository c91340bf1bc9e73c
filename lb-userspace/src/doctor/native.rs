//! What takes a program in native mode. Where the kernel does not tell it of drivers, which it does from Linux 6.3, it is
//! known of those of Linux 6.1.

use std::net::IpAddr;

use super::facts::{Below, Bond, Facts, Interface};
use super::{Check, Mend, Said, Severity, queues};

pub(super) const CHECKS: &[Check<Interface>] =
    &[("stacked", stacked), ("bond-mode", bond_mode), ("bond-port", bond_port), ("native-xdp", driver)];

/// Of `netdev_xdp_act` in `linux/netdev.h`: XDP in the driver; frames are taken that another interface's program sends; frames
/// of several buffers are taken.
const BASIC: u64 = 1;
pub(super) const NDO_XMIT: u64 = 4;
pub(super) const RX_SG: u64 = 32;

/// The kernels whose drivers these are: from the first, before the second.
const KNOWN: [(u32, u32); 2] = [(6, 1), (6, 2)];
/// Drivers that have native XDP there, by what they call themselves.
const HAVE: [&str; 39] = [
    "atlantic",
    "bnxt_en",
    "cpsw",
    "cpsw-switch",
    "ena",
    "fsl_dpa",
    "fsl_dpaa2_eth",
    "fsl_enetc",
    "fsl_enetc_vf",
    "funeth",
    "hv_netvsc",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mana",
    "mlx4_en",
    "mlx5_core",
    "mtk_soc_eth",
    "mvneta",
    "mvpp2",
    "netdevsim",
    "netsec",
    "nfp",
    "nicvf",
    "qede",
    "rvu-nicpf",
    "rvu-nicvf",
    "sfc",
    "sfc_siena",
    "st_gmac",
    "st_mac100",
    "st_xgmac",
    "tun",
    "veth",
    "vif",
    "virtio_net",
];
/// Those of them that take frames of several buffers.
const SEVERAL_BUFFERS: [&str; 5] = ["atlantic", "bnxt_en", "mlx5_core", "mvneta", "veth"];
/// Those of them that take no frames from other interfaces' programs. Later kernels tell it of many others too, until they have
/// a program.
const WITHOUT_XMIT: [&str; 6] = ["ixgbevf", "mlx4_en", "netdevsim", "nfp", "nicvf", "rvu-nicvf"];

/// The bits of `netdev_xdp_act`, as far as they are known.
pub(super) fn features(interface: &Interface, facts: &Facts) -> Option<u64> {
    let by_driver = || {
        let kernel = facts.host.kernel()?;
        let driver = interface.driver.as_deref().filter(|_| (KNOWN[0]..KNOWN[1]).contains(&kernel))?;
        if is_bond(interface) {
            return ports(interface, facts)
                .try_fold(u64::MAX, |all, port| Some(all & features(port, facts)?));
        }
        let several = if SEVERAL_BUFFERS.contains(&driver) { RX_SG } else { 0 };
        let xmit = if WITHOUT_XMIT.contains(&driver) { 0 } else { NDO_XMIT };
        Some(if HAVE.contains(&driver) { BASIC | xmit | several } else { 0 })
    };
    interface.xdp.or_else(by_driver)
}

/// Whether its driver is known to have no native XDP.
pub(super) fn is_lacking(interface: &Interface, facts: &Facts) -> bool {
    matches!(features(interface, facts), Some(features) if features & BASIC == 0)
}

/// Whether a bond with it as a port is known to take no program: the kernel wants a driver that takes others' frames too.
fn is_hindrance(port: &Interface, facts: &Facts) -> bool {
    let takes_none = features(port, facts).is_some_and(|features| features & NDO_XMIT == 0);
    is_lacking(port, facts) || takes_none && WITHOUT_XMIT.contains(&name_of(port))
}

/// Whether xlvs can run on it in generic mode only.
pub(super) fn is_for_generic(interface: &Interface, facts: &Facts) -> bool {
    CHECKS.iter().any(|(_, look)| look(interface, facts).is_some())
}

/// Whether a program is in its driver, which of a bond's port is told of the bond.
pub(super) fn has_program(interface: &Interface, facts: &Facts) -> bool {
    let mut holders = facts.interfaces.iter().filter(|other| other.ports.contains(&interface.name));
    is_in_driver(interface) || holders.any(|bond| is_bond(bond) && is_in_driver(bond))
}

fn is_in_driver(interface: &Interface) -> bool {
    interface.program.as_ref().is_some_and(|program| program.is_generic == Some(false))
}

/// What the program is on in the end: the ports of a bond, else the interface itself.
pub(super) fn carriers<'a>(interface: &'a Interface, facts: &'a Facts) -> Vec<&'a Interface> {
    if is_bond(interface) { ports(interface, facts).collect() } else { vec![interface] }
}

/// What receives for the interfaces that have the program in generic mode and stand on others, and has none itself.
pub(super) fn beneath(facts: &Facts) -> Vec<&Interface> {
    let mut all: Vec<_> = facts.used().filter(|_| facts.is_generic).flat_map(|it| feet(it, facts)).collect();
    all.retain(|foot| !facts.named.contains(&foot.name));
    all.sort_unstable_by_key(|foot| &foot.name);
    all.dedup_by_key(|foot| &foot.name);
    all
}

fn feet<'a>(interface: &'a Interface, facts: &'a Facts) -> Vec<&'a Interface> {
    match there(interface) {
        Some((_, there)) => {
            there.iter().filter_map(|name| facts.interface(name)).flat_map(|it| feet(it, facts)).collect()
        }
        None => vec![interface],
    }
}

/// What it is, if it is made of other interfaces that are here, and those.
fn there(interface: &Interface) -> Option<(&str, &[String])> {
    match (interface.kind.as_deref()?, &interface.below) {
        (
            kind @ ("vlan" | "macvlan" | "macvtap" | "ipvlan"),
            Some(Below { name: Some(parent), is_here: true, .. }),
        ) => Some((kind, std::slice::from_ref(parent))),
        (kind @ ("bridge" | "bond"), _) => Some((kind, &interface.ports)),
        _ => None,
    }
}

fn is_bond(interface: &Interface) -> bool {
    interface.kind.as_deref() == Some("bond")
}

fn ports<'a>(interface: &'a Interface, facts: &'a Facts) -> impl Iterator<Item = &'a Interface> {
    interface.ports.iter().filter_map(|name| facts.interface(name))
}

/// No native XDP there: it comes before VLANs, bridges and macvlans are made. Below it, the director would not be where the
/// routes to its real servers lead.
fn stacked(interface: &Interface, facts: &Facts) -> Said {
    if facts.is_generic {
        return None;
    }
    let (what, there) = there(interface).filter(|_| !is_bond(interface))?;
    let below = if there.is_empty() { "what is below it".to_owned() } else { there.join(", ") };
    let text = format!(
        "it is a {what}, which takes no program in native mode: generic mode works on it; for native mode its addresses and \
         routes have to be on {below}"
    );
    Some((Severity::Fault, text, Some(generic(interface))))
}

/// The modes that send by `XDP_TX` (`bond_xdp_check` of the kernel): the tag that one policy looks at is not in the frame any more.
fn bond_mode(interface: &Interface, facts: &Facts) -> Said {
    let (Bond { mode, policy }, name) = (interface.bond.as_ref()?, &interface.name);
    let (text, command) = match mode.as_str() {
        _ if facts.is_generic => return None,
        "balance-xor" | "802.3ad" if policy == "vlan+srcmac" => (
            format!(
                "it is a bond that spreads frames by {policy}, with which it takes no program in native mode"
            ),
            Some(format!("ip link set dev {name} type bond xmit_hash_policy layer2+3")),
        ),
        "broadcast" | "balance-tlb" | "balance-alb" => (
            format!(
                "it is a bond of the mode {mode}, which takes no program in native mode: active-backup does, and asks as little \
                 of the switch; balance-rr, balance-xor and 802.3ad do as well, and generic mode works with any. The bond is \
                 down meanwhile, and loses its routes by gateways and its addresses of IPv6"
            ),
            Some(to_active_backup(interface)).filter(|_| !has_lasting_v6(interface, facts)),
        ),
        _ => return None,
    };
    Some((Severity::Fault, text, command.map(Mend::here)))
}

/// Whether it, or a VLAN on it, has addresses that do not come back by themselves after it was down.
fn has_lasting_v6(interface: &Interface, facts: &Facts) -> bool {
    let vlans = interface.vlans.iter().filter_map(|name| facts.interface(name));
    let mut addresses = std::iter::once(interface).chain(vlans).flat_map(|it| &it.addresses);
    addresses.any(|(address, _)| matches!(address, IpAddr::V6(address) if !address.is_unicast_link_local()))
}

/// A bond changes its mode without ports only, and takes none that is up; the kernel switches off those that it lets go.
fn to_active_backup(Interface { name, ports, .. }: &Interface) -> String {
    let each = |how: &str| -> String {
        let commands = ports.iter().map(|port| format!("ip link set dev {port} {how} && "));
        commands.collect::<Vec<_>>().concat()
    };
    format!(
        "ip link set dev {name} down && {}ip link set dev {name} type bond mode active-backup && {}ip link set dev {name} up",
        each("nomaster"),
        each(&format!("master {name}"))
    )
}

fn bond_port(interface: &Interface, facts: &Facts) -> Said {
    if facts.is_generic || !is_bond(interface) {
        return None;
    }
    let hindrances = ports(interface, facts)
        .filter(|port| is_hindrance(port, facts) && queues::refused(port, facts).is_none());
    let names: Vec<String> = hindrances.map(|port| format!("{} ({})", port.name, name_of(port))).collect();
    let text = format!(
        "it is a bond, which takes a program in native mode only if all its ports do, and send for other interfaces too; those \
         that do not are: {}",
        names.join(", ")
    );
    (!names.is_empty()).then(|| (Severity::Fault, text, Some(generic(interface))))
}

fn driver(interface: &Interface, facts: &Facts) -> Said {
    let is_other = is_bond(interface) || stacked(interface, facts).is_some() || interface.mac.is_none();
    if facts.is_generic || is_other || has_own(interface) || !is_lacking(interface, facts) {
        return None;
    }
    // A driver may say that it has none while its queues are too many.
    if queues::refused(interface, facts).is_some() {
        return None;
    }
    let driver = name_of(interface);
    let text = if interface.xdp.is_some() {
        format!("its driver, {driver}, has no native XDP, or not as it is set up now; the slow way is left")
    } else {
        let (major, minor) = KNOWN[0];
        format!(
            "its driver, {driver}, is none of those that have native XDP in Linux {major}.{minor}; the slow way is left"
        )
    };
    Some((Severity::Fault, text, Some(generic(interface))))
}

fn has_own(interface: &Interface) -> bool {
    let is_own = |name: &String| name == super::OWN_PROGRAM;
    is_in_driver(interface) && interface.program.as_ref().and_then(|it| it.name.as_ref()).is_some_and(is_own)
}

fn name_of(interface: &Interface) -> &str {
    interface.driver.as_deref().unwrap_or("unknown")
}

/// Runs in generic mode on what the program is to be on: the bond, where this is one of its ports.
pub(super) fn generic_by(carrier: &Interface, facts: &Facts) -> Mend {
    let bond = facts.used().find(|it| is_bond(it) && it.ports.contains(&carrier.name));
    generic(bond.unwrap_or(carrier))
}

fn generic(interface: &Interface) -> Mend {
    Mend::here(format!("xlvs run --iface {} --mode generic", interface.name))
}
