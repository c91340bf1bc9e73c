//! What takes a program in native mode. Where the kernel does not tell it of drivers, which it does from Linux 6.3, it is
//! known of those of Linux 6.1.

use super::facts::{Below, Bond, Facts, Interface};
use super::{Check, Mend, Said, Severity};

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
const SEVERAL_BUFFERS: [&str; 4] = ["bnxt_en", "mlx5_core", "mvneta", "veth"];

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
        Some(if HAVE.contains(&driver) { BASIC | NDO_XMIT | several } else { 0 })
    };
    interface.xdp.or_else(by_driver)
}

/// Whether its driver is known to have no native XDP.
pub(super) fn is_lacking(interface: &Interface, facts: &Facts) -> bool {
    matches!(features(interface, facts), Some(features) if features & BASIC == 0)
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
    let (what, there) = match (interface.kind.as_deref()?, &interface.below) {
        (
            kind @ ("vlan" | "macvlan" | "macvtap" | "ipvlan"),
            Some(Below { name: Some(parent), is_here: true, .. }),
        ) => (kind, vec![parent.as_str()]),
        ("bridge", _) => ("bridge", interface.ports.iter().map(String::as_str).collect()),
        _ => return None,
    };
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
            format!("ip link set dev {name} type bond xmit_hash_policy layer2+3"),
        ),
        "broadcast" | "balance-tlb" | "balance-alb" => (
            format!(
                "it is a bond of the mode {mode}, which takes no program in native mode: active-backup does, and asks as little \
                 of the switch; balance-rr, balance-xor and 802.3ad do as well, and generic mode works with any. The bond is \
                 down meanwhile, and loses its routes by gateways"
            ),
            to_active_backup(interface),
        ),
        _ => return None,
    };
    Some((Severity::Fault, text, Some(Mend::here(command))))
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
    let lacking = ports(interface, facts).filter(|port| is_lacking(port, facts));
    let names: Vec<String> = lacking.map(|port| format!("{} ({})", port.name, name_of(port))).collect();
    let text = format!(
        "it is a bond, which takes a program in native mode only if all its ports do; without native XDP are: {}",
        names.join(", ")
    );
    (!names.is_empty()).then(|| (Severity::Fault, text, Some(generic(interface))))
}

fn driver(interface: &Interface, facts: &Facts) -> Said {
    let is_other = is_bond(interface) || stacked(interface, facts).is_some() || interface.mac.is_none();
    if facts.is_generic || is_other || has_own(interface) || !is_lacking(interface, facts) {
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

/// Runs in generic mode.
pub(super) fn generic(interface: &Interface) -> Mend {
    Mend::here(format!("xlvs run --iface {} --mode generic", interface.name))
}
