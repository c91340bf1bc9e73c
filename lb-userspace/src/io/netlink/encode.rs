//! What VRRP puts on a host, as rtnetlink messages.

use std::net::IpAddr;

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, CacheInfo};
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType, RouteVia,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use super::VRRP_PROTOCOL;
use super::facts::{HostAddress, HostRoute, HostRule};
use super::requests::family;
use crate::config::model::vrrp::{Family, RouteKind};

/// What names an address, for taking it away: neither label nor scope matter.
pub(super) fn address(address: &HostAddress) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.address);
    message.header.prefix_len = address.prefix;
    message.header.index = address.index;
    message.attributes.push(AddressAttribute::Local(address.address));
    message.attributes.push(AddressAttribute::Address(address.address));
    message
}

/// The same with all that matters when it is put there.
pub(super) fn new_address(host: &HostAddress) -> AddressMessage {
    let mut message = address(host);
    match host.address {
        IpAddr::V4(_) => {
            message.header.scope = host.scope.into();
            message.attributes.extend(host.label.clone().map(AddressAttribute::Label));
            message.attributes.extend(host.broadcast.map(AddressAttribute::Broadcast));
        }
        IpAddr::V6(_) => {
            // The election has decided who has it; duplicate address detection would only delay or forbid it.
            message.header.flags = AddressHeaderFlags::Nodad;
            if host.prefix == 128 {
                // Usable, but not preferred as the source of what this host sends of its own.
                let mut lifetimes = CacheInfo::default();
                lifetimes.ifa_valid = u32::MAX;
                lifetimes.ifa_preferred = 0;
                message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
            }
        }
    }
    message
}

/// A route to put there.
pub(super) fn new_route(route: &HostRoute) -> RouteMessage {
    let mut message = self::route(route);
    let linked = route.kind == RouteKind::Unicast && route.via.is_none();
    message.header.scope = match route.scope {
        Some(scope) => scope.into(),
        None if linked => RouteScope::Link,
        None => RouteScope::Universe,
    };
    if route.onlink {
        message.header.flags = RouteFlags::Onlink;
    }
    message
}

/// A route to take away.
pub(super) fn route(route: &HostRoute) -> RouteMessage {
    let (destination, prefix) = route.destination;
    let mut message = RouteMessage::default();
    message.header.address_family = family(destination);
    message.header.destination_prefix_length = prefix;
    message.header.protocol = RouteProtocol::from(VRRP_PROTOCOL);
    message.header.scope = route.scope.map_or(RouteScope::NoWhere, RouteScope::from);
    message.header.kind = match route.kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Blackhole => RouteType::BlackHole,
        RouteKind::Unreachable => RouteType::Unreachable,
        RouteKind::Prohibit => RouteType::Prohibit,
    };
    let attributes = &mut message.attributes;
    if prefix > 0 {
        attributes.push(RouteAttribute::Destination(destination.into()));
    }
    attributes.extend(route.via.map(|via| match via {
        via if family(via) == family(destination) => RouteAttribute::Gateway(via.into()),
        via => RouteAttribute::Via(RouteVia::from(via)),
    }));
    attributes.extend(route.oif.map(RouteAttribute::Oif));
    attributes.extend(route.source.map(|source| RouteAttribute::PrefSource(source.into())));
    attributes.push(RouteAttribute::Table(route.table));
    if route.metric > 0 {
        attributes.push(RouteAttribute::Priority(route.metric));
    }
    message
}

/// A rule, to put there or to take away.
pub(super) fn rule(rule: &HostRule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = match rule.family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    message.header.action = RuleAction::ToTable;
    message.header.src_len = rule.from.map_or(0, |(_, prefix)| prefix);
    message.header.dst_len = rule.to.map_or(0, |(_, prefix)| prefix);
    let attributes = &mut message.attributes;
    attributes.extend(rule.from.map(|(address, _)| RuleAttribute::Source(address)));
    attributes.extend(rule.to.map(|(address, _)| RuleAttribute::Destination(address)));
    attributes.extend(rule.iif.clone().map(RuleAttribute::Iifname));
    attributes.extend(rule.oif.clone().map(RuleAttribute::Oifname));
    if let Some((mark, mask)) = rule.fwmark {
        attributes.extend([RuleAttribute::FwMark(mark), RuleAttribute::FwMask(mask)]);
    }
    attributes.extend(rule.preference.map(RuleAttribute::Priority));
    attributes.push(RuleAttribute::Table(rule.table));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::from(VRRP_PROTOCOL)));
    message
}
