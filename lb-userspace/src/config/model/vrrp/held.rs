//! What an instance holds while it is master: addresses, routes and policy rules.

use std::net::{IpAddr, Ipv4Addr};

use super::Family;
use crate::config::source::Span;

/// An address that a `vrrp_instance` owns while it is master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualAddress {
    /// The address.
    pub address: IpAddr,
    /// The length of its prefix; without it the address stands alone.
    pub prefix: Option<u8>,
    /// The interface it is put on, if not that of the instance.
    pub dev: Option<String>,
    /// Its label, such as `eth0:1`.
    pub label: Option<String>,
    /// Its scope; global without one.
    pub scope: Option<Scope>,
    /// Its broadcast address.
    pub broadcast: Option<Broadcast>,
}

/// A broadcast address as `ip address` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// `brd +`: the host bits set.
    Computed,
    /// Given.
    Address(Ipv4Addr),
}

/// The scope of an address or route: 0 global, 253 link, 254 host, 200 site, or another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(pub u8);

/// A route that exists while an instance is master, in the words of `ip route add`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRoute {
    /// Unicast, unless it says blackhole, unreachable or prohibit.
    pub kind: RouteKind,
    /// Destination and the length of its prefix; 0.0.0.0/0 or `::/0` for `default`.
    pub destination: (IpAddr, u8),
    /// The next hop.
    pub via: Option<IpAddr>,
    /// The interface.
    pub dev: Option<String>,
    /// The preferred source.
    pub source: Option<IpAddr>,
    /// The table; main (254) without one.
    pub table: Option<u32>,
    /// The metric.
    pub metric: Option<u32>,
    /// The scope.
    pub scope: Option<Scope>,
    /// `onlink`: the next hop is taken to be on the link.
    pub onlink: bool,
    /// Where it stands in the file.
    pub span: Span,
}

/// What a route does with packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of ip-route(8), which explains them")]
pub enum RouteKind {
    #[default]
    Unicast,
    Blackhole,
    Unreachable,
    Prohibit,
}

/// A policy rule that exists while an instance is master, in the words of `ip rule add`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRule {
    /// The family: that of its addresses, or of the instance.
    pub family: Family,
    /// From this prefix.
    pub from: Option<(IpAddr, u8)>,
    /// To this prefix.
    pub to: Option<(IpAddr, u8)>,
    /// Packets that came in by this interface.
    pub iif: Option<String>,
    /// Packets of sockets bound to this interface.
    pub oif: Option<String>,
    /// Mark and mask.
    pub fwmark: Option<(u32, u32)>,
    /// Its place; the kernel's choice without one.
    pub preference: Option<u32>,
    /// The table to look in.
    pub table: u32,
    /// Where it stands in the file.
    pub span: Span,
}
