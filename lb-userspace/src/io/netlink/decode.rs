//! rtnetlink messages to facts. What is not understood becomes nothing, never an error: newer kernels say more.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoBond, InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType,
    LinkMessage, LinkXdp, MacVlanMode, XdpAttached,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState as Nud,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteType, RouteVia,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use super::VRRP_PROTOCOL;
use super::facts::{HostAddress, HostRoute, HostRule, LinkDetail, Macvlan, Neighbour, NeighbourState, Route};
use crate::config::model::vrrp::{Family, RouteKind};
use crate::io::links::{Carrier, Link};

/// A link, or nothing for what only a bridge says about its ports.
pub(super) fn link(message: &LinkMessage) -> Option<Link> {
    if message.header.interface_family == AddressFamily::Bridge {
        return None;
    }
    let name = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })?;
    let flags = message.header.flags;
    let mut link = Link {
        name,
        index: message.header.index,
        mac: None,
        mtu: 0,
        carrier: match (flags.contains(LinkFlags::Up), flags.contains(LinkFlags::LowerUp)) {
            (false, _) => Carrier::AdminDown,
            (true, false) => Carrier::NoCarrier,
            (true, true) => Carrier::Up,
        },
        kind: None,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Address(bytes) if message.header.link_layer_type == LinkLayerType::Ether => {
                link.mac = <[u8; 6]>::try_from(bytes.as_slice()).ok();
            }
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    Some(link)
}

/// A link with what stands above, below and on it.
pub(super) fn link_detail(message: &LinkMessage) -> Option<LinkDetail> {
    let (mut below, mut elsewhere, mut controller) = (None, None, None);
    let (mut program, mut is_generic, mut bond) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Link(index) => below = Some(*index).filter(|index| *index != 0),
            LinkAttribute::LinkNetNsId(number) => elsewhere = Some(*number),
            LinkAttribute::Controller(index) => controller = Some(*index),
            LinkAttribute::LinkInfo(infos) => {
                bond = infos.iter().find_map(|info| match info {
                    LinkInfo::Data(InfoData::Bond(told)) => Some(spreading(told)),
                    _ => None,
                });
            }
            LinkAttribute::Xdp(told) => {
                program = told.iter().find_map(|attribute| match attribute {
                    LinkXdp::ProgId(id) => Some(*id),
                    _ => None,
                });
                is_generic = told.iter().find_map(|attribute| match attribute {
                    LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(true),
                    LinkXdp::Attached(XdpAttached::Driver) => Some(false),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    Some(LinkDetail { link: link(message)?, below, elsewhere, controller, program, is_generic, bond })
}

fn spreading(told: &[InfoBond]) -> [String; 2] {
    let mut words = [String::new(), String::new()];
    for attribute in told {
        match attribute {
            InfoBond::Mode(mode) => words[0] = mode.to_string(),
            InfoBond::XmitHashPolicy(policy) => words[1] = policy.to_string(),
            _ => {}
        }
    }
    words
}

/// A macvlan interface, or nothing for another kind.
pub(super) fn macvlan(message: &LinkMessage) -> Option<Macvlan> {
    let mut parent = None;
    let mut infos: &[LinkInfo] = &[];
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Link(index) => parent = Some(*index),
            LinkAttribute::LinkInfo(found) => infos = found,
            _ => {}
        }
    }
    if !infos.contains(&LinkInfo::Kind(InfoKind::MacVlan)) {
        return None;
    }
    let private = infos.iter().any(|info| match info {
        LinkInfo::Data(InfoData::MacVlan(data)) => data.contains(&InfoMacVlan::Mode(MacVlanMode::Private)),
        _ => false,
    });
    Some(Macvlan { link: link(message)?, parent, private })
}

/// An address of an IP family.
pub(super) fn address(message: &AddressMessage) -> Option<HostAddress> {
    let mut flags = u32::from(message.header.flags.bits());
    let (mut local, mut peer, mut label, mut broadcast) = (None, None, None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Label(text) => label = Some(text.clone()),
            AddressAttribute::Broadcast(address) => broadcast = Some(*address),
            AddressAttribute::Flags(all) => flags = all.bits(),
            _ => {}
        }
    }
    let has = |flag| AddressFlags::from_bits_retain(flags).intersects(flag);
    Some(HostAddress {
        index: message.header.index,
        address: local.or(peer)?,
        prefix: message.header.prefix_len,
        scope: message.header.scope.into(),
        label,
        broadcast,
        secondary: has(AddressFlags::Secondary),
        doubtful: has(AddressFlags::Tentative | AddressFlags::Dadfailed),
    })
}

/// A route that VRRP may have put there.
pub(super) fn host_route(message: &RouteMessage) -> Option<HostRoute> {
    if u8::from(message.header.protocol) != VRRP_PROTOCOL {
        return None;
    }
    let kind = match message.header.kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::BlackHole => RouteKind::Blackhole,
        RouteType::Unreachable => RouteKind::Unreachable,
        RouteType::Prohibit => RouteKind::Prohibit,
        _ => return None,
    };
    let all: IpAddr = match message.header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let mut route = HostRoute {
        kind,
        destination: (all, message.header.destination_prefix_length),
        via: None,
        oif: None,
        source: None,
        table: message.header.table.into(),
        metric: 0,
        scope: Some(message.header.scope.into()),
        onlink: message.header.flags.contains(RouteFlags::Onlink),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => route.destination.0 = ip(address)?,
            RouteAttribute::Gateway(address) => route.via = ip(address),
            RouteAttribute::Via(RouteVia::Inet(v4)) => route.via = Some(IpAddr::V4(*v4)),
            RouteAttribute::Via(RouteVia::Inet6(v6)) => route.via = Some(IpAddr::V6(*v6)),
            RouteAttribute::Oif(index) => route.oif = Some(*index),
            RouteAttribute::PrefSource(address) => route.source = ip(address),
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            _ => {}
        }
    }
    Some(route)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

/// A rule that VRRP may have put there.
pub(super) fn rule(message: &RuleMessage) -> Option<HostRule> {
    let family = match message.header.family {
        AddressFamily::Inet => Family::V4,
        AddressFamily::Inet6 => Family::V6,
        _ => return None,
    };
    if message.header.action != RuleAction::ToTable {
        return None;
    }
    let mut rule = HostRule {
        family,
        from: None,
        to: None,
        iif: None,
        oif: None,
        fwmark: None,
        preference: Some(0),
        table: message.header.table.into(),
    };
    let (mut ours, mut mark, mut mask) = (false, None, u32::MAX);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(address) => rule.from = Some((*address, message.header.src_len)),
            RuleAttribute::Destination(address) => rule.to = Some((*address, message.header.dst_len)),
            RuleAttribute::Iifname(name) => rule.iif = Some(name.clone()),
            RuleAttribute::Oifname(name) => rule.oif = Some(name.clone()),
            RuleAttribute::FwMark(value) => mark = Some(*value),
            RuleAttribute::FwMask(value) => mask = *value,
            RuleAttribute::Priority(preference) => rule.preference = Some(*preference),
            RuleAttribute::Table(table) => rule.table = *table,
            RuleAttribute::Protocol(protocol) => ours = u8::from(*protocol) == VRRP_PROTOCOL,
            _ => {}
        }
    }
    rule.fwmark = mark.map(|mark| (mark, mask));
    ours.then_some(rule)
}

/// A neighbour of an IP family, proxies aside.
pub(super) fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let proxy = message.header.flags.contains(NeighbourFlags::Proxy);
    let ip = matches!(message.header.family, AddressFamily::Inet | AddressFamily::Inet6);
    if proxy || !ip {
        return None;
    }
    let mut address = None;
    let mut link_address = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => address = Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => address = Some(IpAddr::V6(*v6)),
            NeighbourAttribute::LinkLayerAddress(bytes) => link_address.clone_from(bytes),
            _ => {}
        }
    }
    let state = match message.header.state {
        Nud::Reachable | Nud::Delay | Nud::Probe | Nud::Permanent | Nud::Noarp => NeighbourState::Usable,
        Nud::Stale => NeighbourState::Stale,
        Nud::Failed => NeighbourState::Silent,
        _ => NeighbourState::Unknown,
    };
    Some(Neighbour { ifindex: message.header.ifindex, address: address?, state, link_address })
}

/// The answer to a route lookup for `destination`.
pub(super) fn route(destination: IpAddr, message: &RouteMessage) -> Route {
    match message.header.kind {
        RouteType::Local | RouteType::Anycast => return Route::Local,
        RouteType::Unicast => {}
        RouteType::Broadcast => return Route::None("it is a broadcast address here"),
        RouteType::Multicast => return Route::None("it is a multicast address"),
        RouteType::Prohibit => return Route::None("it is prohibited by a route"),
        RouteType::BlackHole => return Route::None("it is in a blackhole route"),
        _ => return Route::None("the routing table says unreachable"),
    }
    let mut ifindex = None;
    let mut neighbour = destination;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => ifindex = Some(*index),
            RouteAttribute::Gateway(RouteAddress::Inet(v4)) | RouteAttribute::Via(RouteVia::Inet(v4)) => {
                neighbour = IpAddr::V4(*v4);
            }
            RouteAttribute::Gateway(RouteAddress::Inet6(v6)) | RouteAttribute::Via(RouteVia::Inet6(v6)) => {
                neighbour = IpAddr::V6(*v6);
            }
            _ => {}
        }
    }
    ifindex.map_or(Route::None("its route has no interface"), |ifindex| Route::Via { ifindex, neighbour })
}

/// The refusal of a route lookup, if the error number means that there is no route.
pub(super) fn no_route(errno: i32) -> Option<Route> {
    match errno {
        libc::ENETUNREACH => Some(Route::None("the routing table has none")),
        libc::EHOSTUNREACH => Some(Route::None("the routing table says unreachable")),
        libc::EACCES => Some(Route::None("it is prohibited by a route")),
        libc::EINVAL => Some(Route::None("it is in a blackhole route")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtnetlink::packet_route::route::RouteMessage;

    fn route_message(kind: RouteType, attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.kind = kind;
        message.attributes = attributes;
        message
    }

    #[test]
    fn route_answers() {
        let to: IpAddr = "10.0.0.9".parse().unwrap();
        let gateway: std::net::Ipv4Addr = "10.0.0.1".parse().unwrap();
        let gateway6: std::net::Ipv6Addr = "fe80::1".parse().unwrap();
        let via = |neighbour: IpAddr| Route::Via { ifindex: 3, neighbour };
        let oif = RouteAttribute::Oif(3);
        let rows = [
            (RouteType::Local, vec![RouteAttribute::Oif(1)], Route::Local),
            (RouteType::Unicast, vec![oif.clone()], via(to)),
            (
                RouteType::Unicast,
                vec![oif.clone(), RouteAttribute::Gateway(gateway.into())],
                via(gateway.into()),
            ),
            (
                RouteType::Unicast,
                vec![oif.clone(), RouteAttribute::Via(gateway6.into())],
                via(gateway6.into()),
            ),
            (RouteType::Unicast, vec![], Route::None("its route has no interface")),
            (RouteType::Broadcast, vec![oif], Route::None("it is a broadcast address here")),
        ];
        for (kind, attributes, expected) in rows {
            assert_eq!(route(to, &route_message(kind, attributes)), expected);
        }
    }

    #[test]
    fn neighbour_states() {
        let rows = [
            (Nud::Reachable, NeighbourState::Usable),
            (Nud::Delay, NeighbourState::Usable),
            (Nud::Probe, NeighbourState::Usable),
            (Nud::Permanent, NeighbourState::Usable),
            (Nud::Noarp, NeighbourState::Usable),
            (Nud::Stale, NeighbourState::Stale),
            (Nud::Incomplete, NeighbourState::Unknown),
            (Nud::Failed, NeighbourState::Silent),
            (Nud::None, NeighbourState::Unknown),
        ];
        for (nud, state) in rows {
            let mut message = NeighbourMessage::default();
            message.header.family = AddressFamily::Inet;
            message.header.state = nud;
            let address: std::net::Ipv4Addr = "10.0.0.9".parse().unwrap();
            message.attributes.push(NeighbourAttribute::Destination(address.into()));
            assert_eq!(neighbour(&message).unwrap().state, state);
        }
    }

    #[test]
    fn bridge_and_proxy_entries_are_no_neighbours() {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        assert_eq!(neighbour(&message), None);
        message.header.family = AddressFamily::Inet;
        message.header.flags = NeighbourFlags::Proxy;
        assert_eq!(neighbour(&message), None);
    }
}
