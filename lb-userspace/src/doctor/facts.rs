//! What is known of the machine and its neighbours at one moment: plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::carrier::Carrier;

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The machine.
    pub host: Host,
    /// The interfaces that the director is to forward through.
    pub named: Vec<String>,
    /// All interfaces there are.
    pub interfaces: Vec<Interface>,
    /// The virtual addresses of services.
    pub addresses: Vec<VirtualAddress>,
    /// The real servers, those of weight 0 too, each once.
    pub servers: Vec<Server>,
    /// Whether the director runs, or is to run, in generic mode.
    pub is_generic: bool,
    /// What could not be looked at, and why.
    pub unseen: Vec<String>,
}

/// The machine.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The kernel's release, `6.1.0-28-amd64`.
    pub release: String,
    /// Whether the kernel tells its types (`/sys/kernel/btf/vmlinux`).
    pub has_btf: bool,
    /// `net.core.bpf_jit_enable`, where this namespace shows it.
    pub jit: Option<i64>,
    /// The directory of pinned maps, which need not be there.
    pub pins: String,
    /// Whether that is, or would be, on a BPF file system.
    pub is_bpffs: bool,
    /// Whether this runs as root.
    pub is_root: bool,
    /// Capabilities that root has usually and this process has not.
    pub missing: Vec<String>,
    /// The processors that are online.
    pub cpus: u32,
    /// Those that there may ever be, which drivers count.
    pub possible: u32,
    /// `net.ipv4.ip_forward`.
    pub forwards: bool,
}

impl Host {
    /// The version of the kernel, 6.1.
    pub fn kernel(&self) -> Option<(u32, u32)> {
        let mut numbers = self.release.split(|byte: char| !byte.is_ascii_digit()).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

/// A network interface.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// Whether it can carry frames.
    pub carrier: Carrier,
    /// Its Ethernet address; nothing if it is not an Ethernet interface.
    pub mac: Option<[u8; 6]>,
    /// Largest layer 3 packet in bytes.
    pub mtu: u32,
    /// `veth`, `bridge`, `vlan`; nothing for hardware.
    pub kind: Option<String>,
    /// Its driver.
    pub driver: Option<String>,
    /// What it stands on, or the other end of a veth.
    pub below: Option<Below>,
    /// Its ports, if it is a bridge or bond; those that stand on it.
    pub ports: Vec<String>,
    /// The VLANs that stand on it.
    pub vlans: Vec<String>,
    /// The XDP program on it.
    pub program: Option<Program>,
    /// What its driver does for XDP, where the kernel tells (Linux 6.3): the bits of `netdev_xdp_act`.
    pub xdp: Option<u64>,
    /// The offloads that are on, by the kernel's names.
    pub offloads: BTreeSet<String>,
    /// Those that nobody can switch here.
    pub fixed: BTreeSet<String>,
    /// Its receive queues.
    pub queues: Option<Queues>,
    /// How it spreads frames, if it is a bond.
    pub bond: Option<Bond>,
    /// The greater of `all` and its own of these settings of `net.ipv4.conf`.
    pub settings: BTreeMap<String, i64>,
    /// The host's addresses on it, with their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl Interface {
    /// Whether an address is in a network that is here.
    pub fn reaches(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(own, prefix)| is_in(address, *own, *prefix))
    }

    /// A setting of `net.ipv4.conf`.
    pub fn setting(&self, name: &str) -> i64 {
        self.settings.get(name).copied().unwrap_or(0)
    }
}

fn is_in(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let differs = one.to_bits() ^ other.to_bits();
            differs.leading_zeros() >= u32::from(prefix)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let differs = one.to_bits() ^ other.to_bits();
            differs.leading_zeros() >= u32::from(prefix)
        }
        _ => false,
    }
}

/// The receive queues of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// How many there are.
    pub now: u32,
    /// The most there can be.
    pub most: u32,
    /// What `ethtool -L` calls them: `rx`, or `combined` with those that send.
    pub kind: &'static str,
}

/// How a bond spreads frames, in the words of `ip link`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bond {
    /// `active-backup`, `802.3ad`.
    pub mode: String,
    /// `layer2`, `vlan+srcmac`.
    pub policy: String,
}

/// An interface that another one needs, or the other end of a veth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Below {
    /// Its name, if that could be asked.
    pub name: Option<String>,
    /// Whether it is in this namespace.
    pub is_here: bool,
    /// Whether it has an XDP program, if that could be asked.
    pub has_program: Option<bool>,
}

/// An XDP program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The kernel's number.
    pub id: u32,
    /// Its name, if the kernel tells it; it may be empty.
    pub name: Option<String>,
    /// The BPF links that have it; each may be of another interface.
    pub links: Vec<u32>,
    /// Whether it is in the stack and not in the driver, if it is in one of the two and the kernel tells which.
    pub is_generic: Option<bool>,
}

/// A virtual address.
#[derive(Clone, Debug)]
pub struct VirtualAddress {
    /// The address.
    pub address: IpAddr,
    /// The `vrrp_instance` that owns it.
    pub instance: Option<String>,
    /// The interface of this host that has it.
    pub held: Option<String>,
    /// Whether neighbours could be asked for it on any interface.
    pub is_asked: bool,
    /// Who says that it is his.
    pub answers: Vec<Answer>,
}

/// An answer to the question who has a virtual address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    /// The interface it came by.
    pub interface: String,
    /// Who says so.
    pub mac: [u8; 6],
}

/// A real server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its address.
    pub address: IpAddr,
    /// The way to it.
    pub way: Way,
}

/// The way to a real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is this host.
    Local,
    /// It is on a link.
    Neighbour {
        /// The interface.
        interface: String,
        /// Its MAC address.
        mac: [u8; 6],
    },
    /// It is behind a gateway that answers.
    Gateway {
        /// The interface.
        interface: String,
    },
    /// Nobody answers, it or its gateway.
    Silent {
        /// The interface.
        interface: String,
        /// In a sentence.
        reason: String,
    },
    /// There is no route.
    None {
        /// In a sentence.
        reason: String,
    },
}

impl Facts {
    /// The interface with this name.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    /// The interfaces that the director forwards through, as far as they are there.
    pub fn used(&self) -> impl Iterator<Item = &Interface> {
        self.named.iter().filter_map(|name| self.interface(name))
    }
}
