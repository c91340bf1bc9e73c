//! What a lab is to be: how many real servers, how they are joined, and what its links are like.
//!
//! ```text
//!   Legs::One                                 Legs::Two
//!   client .9 --+                             client .9 -- wan -- director .2 -- lan -- rs1 .11
//!   director .2 +-- lan, 10.77.0.0/24                 10.78.0.0/24     10.77.0.0/24 +- rs2 .12
//!   rs1 .11 ----+                                       \__ router .254 (the switch) __/
//!
//!   Legs::Routed
//!   client .9 -- 10.78.0.0/24 -- .254 edge .1 -- narrow link, 10.79.0.0/24 -- .254 router .254 -- lan, as One
//! ```
//! The VIP ends in .100 and is in the client's network, with `Legs::Routed` in the servers'. In IPv6 the networks are
//! `fd77::/64`, `fd78::/64` and `fd79::/64`, and the hosts have the same numbers, as they are written.

use std::path::PathBuf;

use crate::family::{Family, LAN, WAN};
use crate::host;
use crate::trunk::Tags;

/// Bytes of the largest packet on the link between the routers of [`Legs::Routed`].
pub const NARROW_MTU: usize = 1300;

/// How the director is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Legs {
    /// Client and servers on one interface.
    One,
    /// The client on `wan0`, the servers on `lan0`.
    Two,
    /// As [`Legs::One`], but the client is behind two routers whose link takes packets of [`NARROW_MTU`] at most.
    Routed,
}

impl Legs {
    /// The network of the client, and that of the virtual address.
    pub(crate) fn networks(self) -> (u8, u8) {
        match self {
            Self::One => (LAN, LAN),
            Self::Two => (WAN, WAN),
            Self::Routed => (WAN, LAN),
        }
    }
}

/// What interfaces do for their stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offload {
    /// What the kernel does by itself: frames between namespaces may be larger than the MTU.
    Usual,
    /// Nothing, so that each frame is one that a cable would carry.
    Off,
}

/// What to build.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Number of real servers, each with nginx running.
    pub servers: usize,
    /// The director's interfaces.
    pub legs: Legs,
    /// The versions of IP that are spoken.
    pub families: &'static [Family],
    /// The MTU of all links but the narrow one, where it is not the usual one.
    pub mtu: Option<usize>,
    /// What interfaces do for their stacks.
    pub offload: Offload,
    /// The VLAN tags in which the client's packets reach the director and leave it.
    pub tags: Option<Tags>,
    /// The `xlvs` to test.
    pub binary: PathBuf,
}

impl Plan {
    /// A lab on one IPv4 network with the binary of `XLVS_BIN`, or the release build.
    pub fn servers(servers: usize) -> Self {
        Self {
            servers,
            legs: Legs::One,
            families: &[Family::V4],
            mtu: None,
            offload: Offload::Usual,
            tags: None,
            binary: host::binary(),
        }
    }

    /// The same with client and servers on different networks.
    #[must_use]
    pub fn two_legs(self) -> Self {
        Self { legs: Legs::Two, ..self }
    }

    /// The same with the client behind a narrow link.
    #[must_use]
    pub fn routed(self) -> Self {
        Self { legs: Legs::Routed, ..self }
    }

    /// The same with IPv6 beside IPv4.
    #[must_use]
    pub fn dual_stack(self) -> Self {
        Self { families: &Family::BOTH, ..self }
    }

    /// The same with links of another MTU.
    #[must_use]
    pub fn mtu(self, mtu: usize) -> Self {
        Self { mtu: Some(mtu), ..self }
    }

    /// The same with frames as a cable would carry them.
    #[must_use]
    pub fn without_offload(self) -> Self {
        Self { offload: Offload::Off, ..self }
    }

    /// The same with the client's packets in VLAN tags on the director's cable, and frames as a cable would carry them.
    #[must_use]
    pub fn tagged(self, tags: Tags) -> Self {
        Self { tags: Some(tags), ..self.without_offload() }
    }
}
