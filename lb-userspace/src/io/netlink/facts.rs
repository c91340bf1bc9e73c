//! What the kernel says about links, neighbours and routes, reduced to what forwarding needs, and what a VRRP master
//! puts on the host, in the kernel's terms.

use std::net::{IpAddr, Ipv4Addr};

use crate::config::model::vrrp::{Family, RouteKind};
use crate::io::links::Link;

/// Whether the kernel has a usable link-layer address for a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NeighbourState {
    /// Known and confirmed, or fixed, or being confirmed while it is used.
    Usable,
    /// Known but unconfirmed for a while; the kernel will not confirm it unless it is used.
    Stale,
    /// Not known; perhaps it is being asked for.
    Unknown,
    /// Asked for in vain.
    Silent,
}

impl NeighbourState {
    /// Whether frames can be sent to it.
    pub(crate) const fn is_known(self) -> bool {
        matches!(self, Self::Usable | Self::Stale)
    }
}

/// An entry of the neighbour table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub(crate) ifindex: u32,
    pub(crate) address: IpAddr,
    pub(crate) state: NeighbourState,
    /// Six bytes on Ethernet; tunnels have others or none.
    pub(crate) link_address: Vec<u8>,
}

/// How the kernel would send to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// The address is this host's.
    Local,
    /// To a neighbour on a link: the address itself or a gateway.
    Via {
        /// The link.
        ifindex: u32,
        /// Whose link-layer address is needed.
        neighbour: IpAddr,
    },
    /// It would not; the text continues "no route to 10.0.0.9".
    None(&'static str),
}

/// Everything there is at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) links: Vec<Link>,
    pub(crate) neighbours: Vec<Neighbour>,
}

/// An address on an interface of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostAddress {
    pub(crate) index: u32,
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
    /// 0 global, 253 link, 254 host.
    pub(crate) scope: u8,
    /// IPv4 only; the interface's name when the kernel chooses.
    pub(crate) label: Option<String>,
    pub(crate) broadcast: Option<Ipv4Addr>,
    /// IPv4: another address of the same network came first.
    pub(crate) secondary: bool,
    /// IPv6: it is not, or not yet, known to be unique on the link.
    pub(crate) doubtful: bool,
}

/// A route of this host with the protocol number of VRRP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostRoute {
    pub(crate) kind: RouteKind,
    /// Host bits are zero.
    pub(crate) destination: (IpAddr, u8),
    pub(crate) via: Option<IpAddr>,
    pub(crate) oif: Option<u32>,
    pub(crate) source: Option<IpAddr>,
    pub(crate) table: u32,
    pub(crate) metric: u32,
    /// IPv4 only; without one it follows from the next hop.
    pub(crate) scope: Option<u8>,
    pub(crate) onlink: bool,
}

/// A policy rule of this host with the protocol number of VRRP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostRule {
    pub(crate) family: Family,
    /// Host bits are zero, and so it is for `to`.
    pub(crate) from: Option<(IpAddr, u8)>,
    pub(crate) to: Option<(IpAddr, u8)>,
    pub(crate) iif: Option<String>,
    pub(crate) oif: Option<String>,
    /// Mark and mask.
    pub(crate) fwmark: Option<(u32, u32)>,
    pub(crate) preference: Option<u32>,
    pub(crate) table: u32,
}

/// A link with what stands above, below and on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkDetail {
    pub(crate) link: Link,
    /// The index of the link below it, or of the other end of a veth.
    pub(crate) below: Option<u32>,
    /// The number of the namespace where that is, if it is another.
    pub(crate) elsewhere: Option<i32>,
    /// The index of the bridge or bond whose port it is.
    pub(crate) controller: Option<u32>,
    /// The number of the XDP program on it.
    pub(crate) program: Option<u32>,
    /// Whether that is in the stack and not in the driver, if the kernel says one of the two.
    pub(crate) is_generic: Option<bool>,
    /// Mode and policy of a bond, in the words of `ip link`.
    pub(crate) bond: Option<[String; 2]>,
}

/// A macvlan interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Macvlan {
    pub(crate) link: Link,
    /// The index of the interface it is on.
    pub(crate) parent: Option<u32>,
    /// Whether it talks to nobody on the same parent.
    pub(crate) private: bool,
}
