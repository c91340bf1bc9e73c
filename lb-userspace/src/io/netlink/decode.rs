//! rtnetlink messages to facts. What is not understood becomes nothing, never an error: newer kernels say more.

use std::net::IpAddr;

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState as Nud,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia};

use super::facts::{Neighbour, NeighbourState, Route};
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
