//! Owns the raw sockets through which adverts come and go. Reads no advert and decides nothing.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::config::model::vrrp::Family;
use crate::vrrp::wire;

/// IP protocol number of VRRP.
pub(super) const VRRP: i32 = 112;
/// IP protocol number of the authentication header, in which version 2 may hide it.
pub(super) const AUTHENTICATION_HEADER: i32 = 51;

/// Room for some seconds of a flood, so that an advert in it is not lost.
const RECEIVE_BUFFER: usize = 1 << 20;
/// `TC_PRIO_CONTROL` (`linux/pkt_sched.h`): before everything else in the queue of the interface.
const SOCKET_PRIORITY: u32 = 7;
/// Internetwork control, RFC 2474; keepalived marks its adverts so.
const TRAFFIC_CLASS: u32 = 0xc0;
const MAX_PACKET: usize = 2048;

/// What one socket listens to. Virtual routers that listen to the same share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) family: Family,
    /// [`VRRP`] or [`AUTHENTICATION_HEADER`].
    pub(super) protocol: i32,
    pub(super) place: Place,
}

impl Key {
    /// The link it is bound to.
    pub(super) fn link(&self) -> Option<&str> {
        match &self.place {
            Place::Link { name, .. } => Some(name),
            Place::Address { link, .. } => link.as_deref(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Link { name, group } => write!(f, "of {group} on {name}"),
            Place::Address { address, .. } => write!(f, "of {address}"),
        }
    }
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// On one link, for a group and what is sent to it directly.
    Link { name: String, group: IpAddr },
    /// On one address, for unicast peers; a link-local one with its link.
    Address { address: IpAddr, link: Option<String> },
}

/// An open socket.
#[derive(Debug)]
pub(super) struct Channel {
    socket: Socket,
    family: Family,
    /// The index of the link it is bound to; 0 for none.
    link: u32,
}

/// A packet as it came in.
pub(super) enum Received<'a> {
    /// From the IPv4 header on.
    V4(&'a [u8]),
    /// What follows the IPv6 header.
    V6 { payload: &'a [u8], source: Ipv6Addr, destination: Ipv6Addr, hop_limit: Option<u8> },
}

impl Received<'_> {
    /// The virtual router it speaks for, if it is an advert at all.
    pub(super) fn virtual_router(&self) -> Option<u8> {
        match self {
            Self::V4(packet) => wire::virtual_router_v4(packet),
            Self::V6 { payload, .. } => wire::virtual_router_v6(payload),
        }
    }
}

impl Channel {
    /// Opens the socket; `link` is the index of the link that `key` names, 0 if it names none.
    pub(super) fn open(key: &Key, link: u32) -> io::Result<Self> {
        let domain = match key.family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let socket =
            Socket::new(domain, Type::RAW.nonblocking().cloexec(), Some(Protocol::from(key.protocol)))?;
        setsockopt(&socket, sockopt::Priority, &(SOCKET_PRIORITY as i32))?;
        // Beyond the administrator's limit where we may, up to it where we may not.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        match key.family {
            Family::V4 => {
                socket.set_header_included_v4(true)?;
                socket.set_multicast_loop_v4(false)?;
            }
            Family::V6 => {
                socket.set_multicast_loop_v6(false)?;
                // A virtual interface sends from the address of the real one.
                socket.set_freebind_v6(true)?;
                socket.set_multicast_hops_v6(255)?;
                socket.set_unicast_hops_v6(255)?;
                socket.set_tclass_v6(TRAFFIC_CLASS)?;
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
                setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
            }
        }
        match &key.place {
            Place::Link { name, group } => {
                socket.bind_device(Some(name.as_bytes()))?;
                match group {
                    IpAddr::V4(group) => {
                        socket.join_multicast_v4_n(group, &InterfaceIndexOrAddress::Index(link))?;
                    }
                    IpAddr::V6(group) => {
                        socket.set_multicast_if_v6(link)?;
                        socket.join_multicast_v6(group, link)?;
                    }
                }
            }
            Place::Address { address, link: name } => {
                if let Some(name) = name {
                    socket.bind_device(Some(name.as_bytes()))?;
                }
                let address = match *address {
                    IpAddr::V4(v4) => SocketAddr::from((v4, 0)),
                    IpAddr::V6(v6) => SocketAddrV6::new(v6, 0, 0, link).into(),
                };
                socket.bind(&address.into())?;
            }
        }
        Ok(Self { socket, family: key.family, link })
    }

    /// Sends a whole IPv4 packet.
    pub(super) fn send_v4(&self, packet: &[u8], destination: Ipv4Addr) -> io::Result<()> {
        self.socket.send_to(packet, &SocketAddrV4::new(destination, 0).into()).map(drop)
    }

    /// Sends the payload of an IPv6 packet.
    pub(super) fn send_v6(
        &self,
        payload: &[u8],
        source: Ipv6Addr,
        destination: Ipv6Addr,
        hop_limit: u8,
    ) -> io::Result<()> {
        let from = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
            ipi6_ifindex: self.link,
        };
        let to = SockaddrIn6::from(SocketAddrV6::new(destination, 0, 0, self.link));
        let hop_limit = libc::c_int::from(hop_limit);
        let control = [ControlMessage::Ipv6PacketInfo(&from), ControlMessage::Ipv6HopLimit(&hop_limit)];
        sendmsg(self.socket.as_raw_fd(), &[IoSlice::new(payload)], &control, MsgFlags::empty(), Some(&to))?;
        Ok(())
    }

    /// Takes the next packet in, if there is one, and hands it to `take`; says whether there was.
    pub(super) fn receive(&self, take: impl FnOnce(Received<'_>)) -> io::Result<bool> {
        let mut buffer = [0; MAX_PACKET];
        let outcome = match self.family {
            Family::V4 => {
                (&self.socket).read(&mut buffer).map(|length| take(Received::V4(&buffer[..length])))
            }
            Family::V6 => self.receive_v6(&mut buffer, take),
        };
        match outcome {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn receive_v6(&self, buffer: &mut [u8], take: impl FnOnce(Received<'_>)) -> io::Result<()> {
        let mut control = cmsg_space!(libc::in6_pktinfo, libc::c_int);
        let (length, source, destination, hop_limit) = {
            let mut parts = [IoSliceMut::new(buffer)];
            let message = recvmsg::<SockaddrIn6>(
                self.socket.as_raw_fd(),
                &mut parts,
                Some(&mut control),
                MsgFlags::empty(),
            )?;
            let (mut destination, mut hop_limit) = (Ipv6Addr::UNSPECIFIED, None);
            for item in message.cmsgs()? {
                match item {
                    ControlMessageOwned::Ipv6PacketInfo(info) => destination = info.ipi6_addr.s6_addr.into(),
                    ControlMessageOwned::Ipv6HopLimit(limit) => hop_limit = u8::try_from(limit).ok(),
                    _ => {}
                }
            }
            (
                message.bytes,
                message.address.map_or(Ipv6Addr::UNSPECIFIED, |from| from.ip()),
                destination,
                hop_limit,
            )
        };
        take(Received::V6 { payload: &buffer[..length], source, destination, hop_limit });
        Ok(())
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
