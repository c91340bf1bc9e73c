//! What the kernel says about links, neighbours and routes, reduced to what forwarding needs.

use std::net::IpAddr;

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
