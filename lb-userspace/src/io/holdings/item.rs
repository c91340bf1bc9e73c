//! One thing that is held: how it is written for people, what it is to the kernel, and whether that is there.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Held, HeldAddress};
use crate::config::model::vrrp::{Broadcast, Family, RouteKind, VirtualRoute, VirtualRule};
use crate::io::links::Link;
use crate::io::netlink::Error;
use crate::io::netlink::facts::{HostAddress, HostRoute, HostRule};

const TABLE_MAIN: u32 = 254;
/// `IP6_RT_PRIO_USER`: an IPv6 route without a metric has this one.
const METRIC_V6: u32 = 1024;

/// An address, a route or a rule. Two that are written the same are the same.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Address(HeldAddress),
    Route(VirtualRoute),
    Rule(VirtualRule),
}

/// The same with the indexes that interfaces have now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resolved {
    Address(HostAddress),
    Route(HostRoute),
    Rule(HostRule),
}

/// What the host has of what VRRP could have put there.
#[derive(Debug, Default)]
pub(super) struct Present {
    pub(super) addresses: Vec<HostAddress>,
    pub(super) routes: Vec<HostRoute>,
    pub(super) rules: Vec<HostRule>,
}

/// Everything of `held` in the order in which it is put there: what needs another comes behind it.
pub(super) fn items(held: Held) -> Vec<Item> {
    let addresses = held.addresses.into_iter().map(Item::Address);
    let routes = held.routes.into_iter().map(Item::Route);
    let rules = held.rules.into_iter().map(Item::Rule);
    addresses.chain(routes).chain(rules).collect()
}

impl Item {
    pub(super) fn is_address(&self) -> bool {
        matches!(self, Self::Address(_))
    }

    pub(super) fn is_route(&self) -> bool {
        matches!(self, Self::Route(_))
    }

    pub(super) fn is_rule(&self) -> bool {
        matches!(self, Self::Rule(_))
    }

    /// In the kernel's terms; an interface that is missing is the error.
    pub(super) fn resolve(&self, links: &[Link]) -> Result<Resolved, String> {
        match self {
            Self::Address(address) => Ok(Resolved::Address(host_address(address, links)?)),
            Self::Route(route) => Ok(Resolved::Route(host_route(route, links)?)),
            Self::Rule(rule) => Ok(Resolved::Rule(host_rule(rule))),
        }
    }

    /// Why the kernel refused it and what to do about it, for people.
    pub(super) fn advice(&self, error: &Error) -> String {
        let hint = match (self, error.errno()) {
            (_, Some(libc::EPERM)) => "this needs the capability CAP_NET_ADMIN",
            (Self::Address(held), Some(libc::EACCES)) if held.address.is_ipv6() => {
                "IPv6 is switched off on the interface: see the sysctl disable_ipv6"
            }
            (Self::Address(_), Some(libc::EINVAL)) => {
                "check its prefix and label: a label begins with the name of the interface"
            }
            (Self::Route(_), Some(libc::ENETUNREACH | libc::EHOSTUNREACH)) => {
                "no network of this host reaches the gateway: add one, or say `onlink`"
            }
            (Self::Route(_), Some(libc::ENETDOWN)) => "the interface is switched off",
            (Self::Route(_), Some(libc::ENODEV)) => {
                "name its interface with `dev`, or its gateway with `via`"
            }
            (Self::Route(_), Some(libc::EINVAL)) => {
                "check that the gateway is on a network of the interface and that `src` is an address of this host"
            }
            (Self::Route(_), Some(libc::EEXIST)) => {
                "the host has another route to there with this metric: give one of them another metric"
            }
            _ => "check the configuration",
        };
        format!("{error}; {hint}")
    }
}

impl Resolved {
    /// The interface it is on, if that matters.
    pub(super) fn index(&self) -> Option<u32> {
        match self {
            Self::Address(address) => Some(address.index),
            Self::Route(route) => route.oif,
            Self::Rule(_) => None,
        }
    }

    /// Whether the host has it and it can be used.
    pub(super) fn is_in(&self, present: &Present) -> bool {
        match self {
            Self::Address(wanted) => {
                present.addresses.iter().any(|there| same_address(wanted, there) && !there.doubtful)
            }
            Self::Route(_) | Self::Rule(_) => !self.found_in(present).is_empty(),
        }
    }

    /// What stands in its way: an IPv6 address that somebody put there with duplicate address detection cannot be used
    /// before that has ended well, and an IPv6 route whose source address went away is left without one.
    pub(super) fn useless_in(&self, present: &Present) -> Vec<Self> {
        match self {
            Self::Address(wanted) => {
                let there = present.addresses.iter();
                let useless = there.filter(|there| same_address(wanted, there) && there.doubtful);
                useless.cloned().map(Self::Address).collect()
            }
            Self::Route(wanted) if wanted.destination.0.is_ipv6() => {
                let sourceless = HostRoute { source: None, ..wanted.clone() };
                let there = present.routes.iter();
                let useless = there.filter(|there| there.source.is_none() && same_route(&sourceless, there));
                useless.cloned().map(Self::Route).collect()
            }
            Self::Route(_) | Self::Rule(_) => Vec::new(),
        }
    }

    /// What the host has of it, whoever put it there. What the kernel decides, such as the metric of a rule, is not
    /// compared; nor is what an address needs not be unique in, such as its label.
    pub(super) fn found_in(&self, present: &Present) -> Vec<Self> {
        match self {
            Self::Address(wanted) => {
                let found = present.addresses.iter().filter(|there| same_address(wanted, there));
                found.cloned().map(Self::Address).collect()
            }
            Self::Route(wanted) => {
                let found = present.routes.iter().filter(|there| same_route(wanted, there));
                found.cloned().map(Self::Route).collect()
            }
            Self::Rule(wanted) => {
                let found = present.rules.iter().filter(|there| same_rule(wanted, there));
                found.cloned().map(Self::Rule).collect()
            }
        }
    }
}

/// An interface can have an IPv6 address once only, an IPv4 address once with each length of prefix.
fn same_address(wanted: &HostAddress, there: &HostAddress) -> bool {
    let prefix = wanted.address.is_ipv6() || wanted.prefix == there.prefix;
    (wanted.index, wanted.address) == (there.index, there.address) && prefix
}

fn same_rule(wanted: &HostRule, there: &HostRule) -> bool {
    let preference = wanted.preference.or(there.preference);
    *there == HostRule { preference, ..wanted.clone() }
}

fn same_route(wanted: &HostRoute, there: &HostRoute) -> bool {
    let ours = HostRoute {
        oif: wanted.oif.or(there.oif),
        source: wanted.source.or(there.source),
        // IPv6 has no scopes.
        scope: wanted.scope.filter(|_| wanted.destination.0.is_ipv4()).or(there.scope),
        onlink: there.onlink,
        ..wanted.clone()
    };
    ours == *there
}

fn host_address(held: &HeldAddress, links: &[Link]) -> Result<HostAddress, String> {
    let prefix = held.prefix_length();
    let broadcast = match (held.broadcast, held.address) {
        (Some(Broadcast::Address(given)), _) => Some(given),
        // RFC 3021: a network of two addresses or one has no broadcast address.
        (Some(Broadcast::Computed), IpAddr::V4(v4)) if prefix < 31 => {
            Some(Ipv4Addr::from_bits(v4.to_bits() | u32::MAX >> prefix))
        }
        _ => None,
    };
    Ok(HostAddress {
        index: index(&held.interface, links)?,
        address: held.address,
        prefix,
        scope: held.scope.map_or(0, |scope| scope.0),
        label: held.label.clone(),
        broadcast,
        secondary: false,
        doubtful: false,
    })
}

fn host_route(route: &VirtualRoute, links: &[Link]) -> Result<HostRoute, String> {
    let metric = match (route.destination.0, route.metric) {
        (IpAddr::V6(_), None | Some(0)) => METRIC_V6,
        (_, metric) => metric.unwrap_or(0),
    };
    Ok(HostRoute {
        kind: route.kind,
        destination: network(route.destination),
        via: route.via,
        oif: route.dev.as_ref().map(|name| index(name, links)).transpose()?,
        source: route.source,
        table: route.table.unwrap_or(TABLE_MAIN),
        metric,
        scope: route.scope.map(|scope| scope.0),
        onlink: route.onlink,
    })
}

fn host_rule(rule: &VirtualRule) -> HostRule {
    let selector = |prefix: Option<(IpAddr, u8)>| prefix.map(network).filter(|(_, length)| *length > 0);
    HostRule {
        family: rule.family,
        from: selector(rule.from),
        to: selector(rule.to),
        iif: rule.iif.clone(),
        oif: rule.oif.clone(),
        fwmark: rule.fwmark,
        preference: rule.preference,
        table: rule.table,
    }
}

/// Without the host bits, as the kernel wants or reports it.
fn network((address, prefix): (IpAddr, u8)) -> (IpAddr, u8) {
    let prefix_of = |width: u8| u32::from(width.saturating_sub(prefix));
    let address = match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(prefix_of(32)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(prefix_of(128)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    };
    (address, prefix)
}

fn index(name: &str, links: &[Link]) -> Result<u32, String> {
    links.iter().find(|link| link.name == name).map(|link| link.index).ok_or_else(|| {
        format!(
            "interface {name} does not exist; make it or name another, it is tried again when there is one"
        )
    })
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write_address(address, f),
            Self::Route(route) => write_route(route, f),
            Self::Rule(rule) => write_rule(rule, f),
        }
    }
}

fn write_address(held: &HeldAddress, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "address {}/{} dev {}", held.address, held.prefix_length(), held.interface)?;
    part(f, "label", held.label.as_ref())?;
    part(f, "scope", held.scope.map(|scope| scope.0))?;
    match held.broadcast {
        Some(Broadcast::Computed) => f.write_str(" brd +"),
        Some(Broadcast::Address(address)) => write!(f, " brd {address}"),
        None => Ok(()),
    }
}

fn write_route(route: &VirtualRoute, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let kind = match route.kind {
        RouteKind::Unicast => "",
        RouteKind::Blackhole => "blackhole ",
        RouteKind::Unreachable => "unreachable ",
        RouteKind::Prohibit => "prohibit ",
    };
    let (address, prefix) = network(route.destination);
    write!(f, "route {kind}{address}/{prefix}")?;
    part(f, "via", route.via)?;
    part(f, "dev", route.dev.as_ref())?;
    part(f, "src", route.source)?;
    part(f, "table", route.table)?;
    part(f, "metric", route.metric)?;
    part(f, "scope", route.scope.map(|scope| scope.0))?;
    f.write_str(if route.onlink { " onlink" } else { "" })
}

fn write_rule(rule: &VirtualRule, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let rule = host_rule(rule);
    f.write_str(match rule.family {
        Family::V4 => "rule",
        Family::V6 => "IPv6 rule",
    })?;
    part(f, "from", rule.from.map(|(address, prefix)| format!("{address}/{prefix}")))?;
    part(f, "to", rule.to.map(|(address, prefix)| format!("{address}/{prefix}")))?;
    part(f, "iif", rule.iif)?;
    part(f, "oif", rule.oif)?;
    part(f, "fwmark", rule.fwmark.map(|(mark, mask)| format!("{mark:#x}/{mask:#x}")))?;
    part(f, "preference", rule.preference)?;
    part(f, "table", Some(rule.table))
}

fn part(f: &mut fmt::Formatter<'_>, word: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {word} {value}"))
}
