//! The stream of the kernel's changes. Its queue is the socket's buffer; what does not fit is lost, and the reader
//! is told so with [`Event::Overrun`].

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;

use rtnetlink::packet_core::{NLM_F_REPLACE, NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};

use super::facts::{HostAddress, Neighbour};
use super::{Error, VRRP_PROTOCOL, decode};
use crate::io::links::Link;

/// Room for a burst of about a thousand neighbour messages. Taken from the kernel's limit if that is smaller.
const RECEIVE_BUFFER: libc::c_int = 1 << 20;

/// `linux/rtnetlink.h`, since 5.3; absent from libc.
const RTM_NEWNEXTHOP: u16 = 104;
const RTM_DELNEXTHOP: u16 = 105;

/// What to hear about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// Links.
    Links,
    /// Links and addresses.
    Interfaces,
    /// Links, addresses, routes and rules.
    Host,
    /// Links, neighbours and all that may change a route.
    All,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A link is new or different.
    Link(Link),
    /// A link is gone from this network namespace.
    LinkGone { index: u32 },
    /// A neighbour entry is new or different.
    Neighbour(Neighbour),
    /// A neighbour entry is gone.
    NeighbourGone { ifindex: u32, address: IpAddr },
    /// An address of this host is new or different.
    Address(HostAddress),
    /// An address of this host is gone.
    AddressGone(HostAddress),
    /// Routes, rules or next-hop objects changed: lookups may have other answers.
    Routes(RouteChange),
    /// Changes were lost: only a new look at everything helps.
    Overrun,
}

/// What a change of routes may mean for those that VRRP put there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RouteChange {
    /// One of them, or a rule, is gone.
    Lost,
    /// A route took the place of another, which may have been one of them; the kernel does not say which.
    Replaced,
    /// Nothing.
    Other,
}

/// A socket that listens to changes.
pub(crate) struct Events {
    socket: TokioSocket,
    ready: VecDeque<Event>,
}

impl Events {
    /// Listens from now on. Belongs to the network namespace of the calling thread.
    pub(crate) fn open(group: Group) -> Result<Self, Error> {
        Self::try_open(group)
            .map_err(|source| Error::Socket { what: "open a netlink socket for kernel events", source })
    }

    fn try_open(group: Group) -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        let inner = socket.socket_mut();
        inner.set_rx_buf_sz(RECEIVE_BUFFER)?;
        inner.bind(&SocketAddr::new(0, 0))?;
        let groups: &[u32] = match group {
            Group::Links => &[libc::RTNLGRP_LINK],
            Group::Interfaces => &[libc::RTNLGRP_LINK, libc::RTNLGRP_IPV4_IFADDR, libc::RTNLGRP_IPV6_IFADDR],
            Group::Host => &[
                libc::RTNLGRP_LINK,
                libc::RTNLGRP_IPV4_IFADDR,
                libc::RTNLGRP_IPV6_IFADDR,
                libc::RTNLGRP_IPV4_ROUTE,
                libc::RTNLGRP_IPV6_ROUTE,
                libc::RTNLGRP_IPV4_RULE,
                libc::RTNLGRP_IPV6_RULE,
            ],
            Group::All => &[
                libc::RTNLGRP_LINK,
                libc::RTNLGRP_NEIGH,
                libc::RTNLGRP_IPV4_IFADDR,
                libc::RTNLGRP_IPV6_IFADDR,
                libc::RTNLGRP_IPV4_ROUTE,
                libc::RTNLGRP_IPV6_ROUTE,
                libc::RTNLGRP_IPV4_RULE,
                libc::RTNLGRP_IPV6_RULE,
                libc::RTNLGRP_NEXTHOP,
            ],
        };
        for group in groups {
            inner.add_membership(*group)?;
        }
        Ok(Self { socket, ready: VecDeque::new() })
    }

    /// The next change. Loses nothing when the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            match self.socket.recv_from_full().await {
                // Only the kernel, port 0, is believed.
                Ok((datagram, from)) if from.port_number() == 0 => split(&datagram, &mut self.ready),
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.drain()?;
                    return Ok(Event::Overrun);
                }
                Err(source) => return Err(Error::Socket { what: "read kernel events", source }),
            }
        }
    }

    /// Until its buffer is empty, the kernel drops all further events and does not say so again (`netlink_overrun`), so
    /// only a look that begins after that sees everything.
    fn drain(&mut self) -> Result<(), Error> {
        self.ready.clear();
        loop {
            match self.socket.socket_ref().recv_from_full() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(source) => return Err(Error::Socket { what: "read kernel events", source }),
            }
        }
    }
}

/// All messages of one datagram; a message that cannot be read counts as lost.
fn split(mut datagram: &[u8], events: &mut VecDeque<Event>) {
    while let Ok(message) = NetlinkBuffer::new_checked(datagram) {
        let length = message.length() as usize;
        events.extend(event(message.message_type(), &datagram[..length]));
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

fn event(kind: u16, bytes: &[u8]) -> Option<Event> {
    match kind {
        // Routes come by the hundred thousand where a routing daemon runs; their contents are not decoded.
        libc::RTM_NEWROUTE
        | libc::RTM_DELROUTE
        | libc::RTM_NEWRULE
        | libc::RTM_DELRULE
        | RTM_NEWNEXTHOP
        | RTM_DELNEXTHOP => return Some(Event::Routes(route_change(kind, bytes))),
        libc::RTM_NEWLINK
        | libc::RTM_DELLINK
        | libc::RTM_NEWADDR
        | libc::RTM_DELADDR
        | libc::RTM_NEWNEIGH
        | libc::RTM_DELNEIGH => {}
        _ => return None,
    }
    let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) else {
        return Some(Event::Overrun);
    };
    let NetlinkPayload::InnerMessage(message) = message.payload else { return None };
    match message {
        RouteNetlinkMessage::NewLink(link) => decode::link(&link).map(Event::Link),
        RouteNetlinkMessage::DelLink(link) => {
            decode::link(&link).map(|link| Event::LinkGone { index: link.index })
        }
        RouteNetlinkMessage::NewAddress(address) => decode::address(&address).map(Event::Address),
        RouteNetlinkMessage::DelAddress(address) => decode::address(&address).map(Event::AddressGone),
        RouteNetlinkMessage::NewNeighbour(entry) => decode::neighbour(&entry).map(Event::Neighbour),
        RouteNetlinkMessage::DelNeighbour(entry) => decode::neighbour(&entry)
            .map(|entry| Event::NeighbourGone { ifindex: entry.ifindex, address: entry.address }),
        _ => None,
    }
}

fn route_change(kind: u16, bytes: &[u8]) -> RouteChange {
    // `struct nlmsghdr`: the flags stand after length and type. `struct rtmsg`: the protocol is its sixth byte.
    let flags = bytes.get(6..8).map_or(0, |flags| u16::from_ne_bytes([flags[0], flags[1]]));
    let protocol = bytes.get(16 + 5).copied();
    match kind {
        libc::RTM_DELRULE => RouteChange::Lost,
        libc::RTM_DELROUTE if protocol == Some(VRRP_PROTOCOL) => RouteChange::Lost,
        libc::RTM_NEWROUTE if flags & NLM_F_REPLACE != 0 && protocol != Some(VRRP_PROTOCOL) => {
            RouteChange::Replaced
        }
        _ => RouteChange::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_messages_in_one_datagram() {
        let mut datagram = Vec::new();
        for kind in [libc::RTM_NEWROUTE, libc::RTM_DELRULE, libc::RTM_NEWTFILTER] {
            datagram.extend(18u32.to_ne_bytes());
            datagram.extend(kind.to_ne_bytes());
            datagram.extend([0; 10 + 2 + 2]);
        }
        let mut events = VecDeque::new();
        split(&datagram, &mut events);
        assert_eq!(events, [Event::Routes(RouteChange::Other), Event::Routes(RouteChange::Lost)]);
    }

    #[test]
    fn routes_of_vrrp_are_told_from_others() {
        let rows = [
            (libc::RTM_DELROUTE, 0, VRRP_PROTOCOL, RouteChange::Lost),
            (libc::RTM_DELROUTE, 0, 4, RouteChange::Other),
            (libc::RTM_NEWROUTE, NLM_F_REPLACE, 4, RouteChange::Replaced),
            (libc::RTM_NEWROUTE, NLM_F_REPLACE, VRRP_PROTOCOL, RouteChange::Other),
            (libc::RTM_NEWROUTE, 0, 4, RouteChange::Other),
            (libc::RTM_NEWRULE, 0, 0, RouteChange::Other),
        ];
        for (kind, flags, protocol, expected) in rows {
            let mut bytes = vec![0; 28];
            bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
            bytes[21] = protocol;
            assert_eq!(route_change(kind, &bytes), expected);
        }
        assert_eq!(route_change(libc::RTM_DELROUTE, &[]), RouteChange::Other);
    }

    #[test]
    fn an_unreadable_neighbour_counts_as_lost() {
        let mut datagram = Vec::new();
        datagram.extend(17u32.to_ne_bytes());
        datagram.extend(libc::RTM_NEWNEIGH.to_ne_bytes());
        datagram.extend([0; 11]);
        let mut events = VecDeque::new();
        split(&datagram, &mut events);
        assert_eq!(events, [Event::Overrun]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            kind in 0u16..120, payload in prop::collection::vec(any::<u8>(), 0..200), tail in any::<[u8; 8]>()
        ) {
            let mut datagram = Vec::new();
            datagram.extend((16 + payload.len() as u32).to_ne_bytes());
            datagram.extend(kind.to_ne_bytes());
            datagram.extend([0; 10]);
            datagram.extend(payload);
            datagram.extend(tail);
            split(&datagram, &mut VecDeque::new());
        }
    }
}
